"""Drawings: where things are, and that a file is the same each time."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.text import Annotation

from posgrad_edu.viz import Schematic
from posgrad_edu.viz.schematic import COLOURS

ALT = "A box with a letter in it, and an arrow to the switch."


def test_a_drawing_is_the_same_file_each_time(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        drawing = Schematic(4, 2, alt=ALT)
        drawing.arrow(drawing.box(1, 1, "$G_k$"), drawing.switch(3, 1), "back", kind="back")
        drawing.save(tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()


def test_an_arrow_goes_from_edge_to_edge() -> None:
    drawing = Schematic(6, 2, alt=ALT)
    left, right = drawing.box(1, 1, "a", width=1), drawing.box(4, 1, "b", width=2)
    assert left.edge(right, gap=0) == pytest.approx((1.5, 1))
    assert right.edge(left, gap=0) == pytest.approx((3, 1))
    above = drawing.box(1, 1.8, "c", width=1, height=0.5)
    assert left.edge(above, gap=0) == pytest.approx((1, 1.25))


def test_a_box_is_as_wide_as_its_longest_line_and_as_high_as_all() -> None:
    drawing = Schematic(9, 3, alt=ALT)
    one, two = drawing.box(2, 1, "gradients"), drawing.box(6, 1, "a\ngradients\nb")
    assert one.wide == two.wide > drawing.box(2, 2, "a").wide
    assert two.high > one.high
    assert drawing.box(4, 2, "$\\mathrm{a}$").wide == drawing.box(5, 2, "a").wide  # what isn't drawn takes no place


@pytest.mark.parametrize(("align", "middle"), [("left", 3.48), ("center", 3), ("right", 2.52)])
def test_words_lie_where_their_place_says(align: str, middle: float) -> None:
    place = Schematic(6, 2, alt=ALT).text(3, 1, "evidence", align=align)
    assert place[:3] == pytest.approx((middle, 1, 0.48))


def test_only_what_flows_back_is_dashed() -> None:
    drawing = Schematic(6, 2, alt=ALT)
    for kind in COLOURS:
        drawing.arrow((1, 1), (2, 1), kind=kind)
    arrows = [words.arrow_patch for words in drawing.canvas.texts if isinstance(words, Annotation)]
    dashed = [kind for kind, arrow in zip(COLOURS, arrows, strict=True) if arrow and arrow.get_linestyle() == "--"]
    assert dashed == ["back"]


def test_a_grid_s_colours_say_the_sign() -> None:
    drawing = Schematic(3, 3, alt=ALT)
    place = drawing.grid(1.5, 1.5, [[1, 0], [-2, 0.5]], cell=0.5)
    assert place == (1.5, 1.5, 0.5, 0.5)
    assert [text.get_text() for text in drawing.canvas.texts] == ["+1", "0", "−2", "+0.5"]
    for_it, nothing, against, _ = [patch.get_edgecolor()[:3] for patch in drawing.canvas.patches]
    assert for_it[0] > for_it[2]
    assert against[2] > against[0]
    assert len(set(nothing)) == 1


def test_a_drawing_needs_words() -> None:
    with pytest.raises(ValueError, match="alt says in words"):
        Schematic(2, 2, alt="a box")


def test_a_plot_lies_where_it_was_asked_for() -> None:
    axes = Schematic(4, 2, alt=ALT).axes(1, 0.5, 2, 1)
    assert axes.get_position().bounds == pytest.approx((0.25, 0.25, 0.5, 0.5))
