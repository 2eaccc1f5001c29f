"""What ``clf.explain`` returns: maps that know what was asked of whom, and that show themselves in a notebook.

espresso = clf.explain(photo, "espresso", method="gradcam", handling="positive")
espresso.map                                # a tensor (H, W)
espresso.save("espresso.png")
espresso.compare("cup")                     # both maps beside each other, and how alike they are
clf.explain(photo, ["espresso", "cup"])     # a list of explanations, shown as a grid
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from torch import Tensor

from posgrad_edu import viz
from posgrad_edu.data.files import whole_file
from posgrad_edu.methods import Method
from posgrad_edu.metrics import Similarity, compare
from posgrad_edu.viz.words import plain_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

QUANTILE = 0.999  # of a fine map's magnitudes, where its colour is full


class Shown:
    """Something that Jupyter shows as the figure that ``show`` makes, with its words for those who don't see it."""

    def show(self, **options: Any) -> Figure:
        """Return the figure; its alt text is in ``figure.alt``. options: those of ``viz.show_grid``."""
        raise NotImplementedError

    def save(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Write the figure to a file, in the format that its ending names (.png, .pdf, .svg, ...), whole or not at all.

        A file that is there is replaced. Raises ``ValueError`` for an ending that matplotlib can't write.
        """
        with whole_file(Path(path)) as file:
            self.show(**options).savefig(file, format=Path(path).suffix.removeprefix(".").lower() or "png")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        pictures, metadata = self.show()._repr_mimebundle_(include, exclude)  # type: ignore[attr-defined]
        return pictures | {"text/plain": repr(self)}, metadata


@dataclass(frozen=True, eq=False)
class Explanation(Shown):
    """A map of one photo for one class.

    map: (H, W), raw and signed. photo: the part of the photo that the network sees. target, label, probability: the
    class that was asked about. method, handling: their names. title: what a figure calls the two. fine: whether the
    map has the photo's detail, which CAMs don't have.
    contrast: what the map is about, in words: "logit", or "logit minus the mean of all".
    again: asks the same about another class, by its name or number.
    """

    map: Tensor = field(repr=False)
    photo: Image = field(repr=False)
    target: int
    label: str
    probability: float = field(repr=False)
    method: str
    handling: str
    title: str = field(repr=False)
    fine: bool = field(repr=False)
    again: Callable[[str | SupportsIndex], Explanation] = field(repr=False)
    contrast: str = field(default="logit", repr=False)

    @property
    def heading(self) -> str:
        """What stands above the map, such as "espresso 95 %"."""
        return viz.map_title(self.label, self.probability)

    def show(self, **options: Any) -> Figure:
        """Return a figure of the photo and the map; options are those of ``viz.show_grid``, such as ``style``."""
        return _figure(self.photo, {self.heading: self.map}, [self.fine], {"title": self.title, **options})

    def compare(self, other: str | SupportsIndex) -> Comparison:
        """Return this explanation beside the one of another class, in words as for ``clf.explain``, and how alike.

        Raises ``ValueError`` for a class that doesn't exist, and for the class that this one is about.
        """
        second = self.again(other)
        if second.target == self.target:
            raise ValueError(f"The map would be compared with itself: {other!r} is {self.label!r}, too. Name another.")
        return Comparison(self, second, compare(self.map, second.map))


@dataclass(frozen=True, eq=False)
class Comparison(Shown):
    """Two explanations that differ in the class alone, and how alike their maps are."""

    first: Explanation
    second: Explanation
    similarity: Similarity

    def show(self, **options: Any) -> Figure:
        """Return a figure of the photo and both maps in one scale; their rank correlation stands above."""
        maps = _by_heading([self.first, self.second])
        signed, magnitudes = map(plain_number, (self.similarity.spearman, self.similarity.spearman_abs))
        numbers = f"rank correlation {signed}, of magnitudes {magnitudes}"
        if self.similarity.degenerate:
            numbers = "one of the maps is constant, so they can't be compared"
        title = f"{self.first.title}: {numbers}"
        return _figure(self.first.photo, maps, [self.first.fine], {"title": title, **options})


class Explanations(Shown, Sequence[Explanation]):
    """Several explanations: photo by photo, of each method by method, of each class by class.

    Shown as a grid, a row for each photo and method. Maps of one method have one scale; several methods, whose units
    differ, have one for each row.
    """

    def __init__(self, explanations: Iterable[Explanation]) -> None:
        self._all = list(explanations)

    def __len__(self) -> int:
        return len(self._all)

    @overload
    def __getitem__(self, index: int) -> Explanation: ...
    @overload
    def __getitem__(self, index: slice) -> Explanations: ...
    def __getitem__(self, index: int | slice) -> Explanation | Explanations:
        return Explanations(self._all[index]) if isinstance(index, slice) else self._all[index]

    def __repr__(self) -> str:
        return f"Explanations({self._all!r})"

    def show(self, **options: Any) -> Figure:
        """Return a figure of the photos and all maps; options are those of ``viz.show_grid``."""
        if not self._all:
            raise ValueError("There is no explanation to show.")
        photos = {id(one.photo): one.photo for one in self}
        number = {photo: n for n, photo in enumerate(photos, start=1)}
        titles = list(dict.fromkeys(one.title for one in self))
        rows: dict[tuple[int, str], list[Explanation]] = {}
        for one in self:
            rows.setdefault((id(one.photo), one.title), []).append(one)
        how: dict[str, Any] = {"title": titles[0]} if len(titles) == 1 else {"share": "row"}
        maps: Any = {
            ", ".join([f"photo {number[photo]}"] * (len(photos) > 1) + [title] * (len(titles) > 1)): _by_heading(row)
            for (photo, title), row in rows.items()
        }
        shown = [photos[photo] for photo, _ in rows] if len(photos) > 1 else next(iter(photos.values()))
        fine = [row[0].fine for row in rows.values()]
        return _figure(shown, maps if len(rows) > 1 else maps[""], fine, how | options)


def _by_heading(row: Sequence[Explanation]) -> dict[str, Tensor]:
    """Return the maps of one photo and method by what stands above them, which differs where the class does."""
    headings = viz.map_titles([(one.target, one.label, one.probability) for one in row])
    return {heading: one.map for heading, one in zip(headings, row, strict=True)}


def _figure(photo: Image | list[Image], maps: Any, fine: Sequence[bool], options: dict[str, Any]) -> Figure:
    """Return ``viz.show_grid``'s figure; fine: of each row of maps, or one for all."""
    return viz.show_grid(photo, maps, **drawn_how(fine) | options)


def drawn_how(fine: Sequence[bool]) -> dict[str, Any]:
    """Return ``viz.show_grid``'s options for rows of maps that have the photo's detail, and rows that don't.

    Of fine maps a few pixels lie far above all others, so these saturate, and a photo below would hide the rest.
    """
    if not any(fine):
        return {}
    if all(fine):
        return {"style": "heatmap", "quantile": QUANTILE}
    return {
        "style": ["heatmap" if one else "overlay" for one in fine],
        "quantile": [QUANTILE if one else None for one in fine],
    }


def handling_of(method: Method) -> str:
    """Return the name of the handling in force, or that it is the published one, where that has no name."""
    handling = method.active_handling
    return "as published" if handling is None else str(handling)
