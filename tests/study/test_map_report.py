"""The page about one map: its numbers, restated plainly; the words for them; and what it writes."""

from __future__ import annotations

import base64
import dataclasses
import io
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr
from skimage.filters import sobel
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.metrics.randomization import with_random
from posgrad_edu.scenes import NAMES, make_scene
from posgrad_edu.study.map_report import FIELDS, MapReport, map_report

SCENE = make_scene(3)


@pytest.fixture(scope="module")
def clf() -> pg.Classifier:
    return pg.load_classifier("scenes")


@pytest.fixture(scope="module")
def report(clf: pg.Classifier) -> MapReport:
    return map_report(clf, SCENE.image, "four", against=["one", 2], box=SCENE.boxes[0])


def rank_correlation(a: Tensor, b: Tensor) -> float:
    return float(spearmanr(a.flatten().numpy(), b.flatten().numpy()).statistic)


def test_numbers_are_those_of_the_maps(clf: pg.Classifier, report: MapReport) -> None:
    x = clf.batch(SCENE.image)
    maps = pg.explain(clf.net, x, [[4, 1, 2]], "gradcam", contrast="mean")[0]
    assert torch.allclose(report.map, maps[0], atol=1e-6)
    assert report.of_classes == pytest.approx([rank_correlation(maps[0], other) for other in maps[1:]], abs=1e-3)
    assert report.spearman_classes == pytest.approx(np.mean(report.of_classes))
    heads = [pg.explain(with_random(clf.net, ["head"], s), x, 4, "gradcam", contrast="mean")[0] for s in (0, 1, 2)]
    assert report.of_heads == pytest.approx([rank_correlation(maps[0], one) for one in heads], abs=1e-3)
    assert report.spearman_head == pytest.approx(np.mean(report.of_heads))
    edges = torch.from_numpy(sobel(x[0, 0].double().numpy()))
    assert report.spearman_edges == pytest.approx(rank_correlation(maps[0].abs(), edges), abs=1e-3)
    left, top, right, bottom = SCENE.boxes[0]
    evidence = maps[0].clamp(min=0)
    assert report.share_in_box == pytest.approx(
        float(evidence[top:bottom, left:right].sum() / evidence.sum()), abs=1e-4
    )
    assert report.box_area == pytest.approx((right - left) * (bottom - top) / 64**2)


def test_it_says_who_was_asked_what(clf: pg.Classifier, report: MapReport) -> None:
    assert (report.network, report.target, report.label) == ("scenes", 4, clf.labels[4])
    assert report.probability == pytest.approx(float(clf.probabilities(SCENE.image)[4]))
    assert report.most_likely == clf.top(SCENE.image, k=1)[0].label
    assert (report.method, report.handling, report.layer) == ("gradcam", "signed", clf.cam_layer)
    assert report.contrast == "logit minus the mean of all"
    assert report.classes == (clf.labels[1], clf.labels[2])
    assert not report.fine


def test_handling_and_contrast_reach_the_map(clf: pg.Classifier, report: MapReport) -> None:
    positive = map_report(clf, SCENE.image, 4, handling="positive", against=[1])
    assert not torch.allclose(positive.map, report.map)
    assert positive.of_classes[0] > report.of_classes[0] + 0.2  # the switch
    logit = map_report(clf, SCENE.image, 4, contrast=None, against=[1])
    assert not torch.allclose(logit.map, report.map)
    assert torch.allclose(logit.map, pg.explain(clf.net, clf.batch(SCENE.image), 4, "gradcam")[0], atol=1e-6)


def test_other_classes_are_random_ones(clf: pg.Classifier) -> None:
    every = map_report(clf, SCENE.image, 4, method="gradient")
    assert sorted(every.classes) == sorted(clf.labels[c] for c in range(10) if c != 4)
    held = map_report(clf, SCENE.image, 4, method="gradient", contrast=1)
    assert sorted(held.classes) == sorted(clf.labels[c] for c in range(10) if c not in (1, 4))
    drawn = [map_report(clf, SCENE.image, 4, method="gradient", against=3, seed=s) for s in (0, 0, 1)]
    assert len(drawn[0].classes) == 3
    assert drawn[0].classes == drawn[1].classes != drawn[2].classes
    assert drawn[0].of_heads == drawn[1].of_heads != drawn[2].of_heads


def test_the_network_stays_as_it_was(clf: pg.Classifier) -> None:
    before = {name: value.clone() for name, value in clf.net.state_dict().items()}
    map_report(clf, SCENE.image, 4, against=1)
    assert all(torch.equal(before[name], value) for name, value in clf.net.state_dict().items())


# --- Words ---


def line(report: MapReport, beginning: str) -> tuple[str, str]:
    (found,) = [control for control in report.controls() if control.against.startswith(beginning)]
    return found.number, found.says


def test_words_follow_from_numbers(report: MapReport) -> None:
    alike = dataclasses.replace(report, of_classes=(0.9, 0.3), of_heads=(0.51, 0.51, 0.52), spearman_edges=-0.2)
    assert line(alike, "maps of 2 other classes (1, 2)") == ("0.60 (0.30 to 0.90)", "alike")
    assert line(alike, "maps of the network with 'head' random, 3 draws") == ("0.51 (0.51 to 0.52)", "alike")
    assert line(alike, "the photo's edges") == ("−0.20", "differs")
    assert alike.limits()[0].startswith("It doesn't say what speaks for 4 and not for others")
    assert alike.limits()[1].startswith("It doesn't show what the last layer has learned")
    differs = dataclasses.replace(report, classes=("1",), of_classes=(0.5,), of_heads=(-0.9, 0.1, 0.2))
    assert line(differs, "maps of 1 other class (")[1] == line(differs, "maps of the network")[1] == "differs"
    assert not any("doesn't say" in words or "doesn't show" in words for words in differs.limits())


@pytest.mark.parametrize(
    ("share", "area", "says"),
    [
        (0.3, 0.2, "more than its area"),
        (0.2, 0.2, "no more than its area"),
        (math.nan, 0.2, "there is no evidence for the class"),
    ],
)
def test_words_for_the_box(report: MapReport, share: float, area: float, says: str) -> None:
    changed = dataclasses.replace(report, share_in_box=share, box_area=area)
    assert changed.controls()[-1].says == says


def test_a_page_without_a_box_says_so(report: MapReport) -> None:
    without = dataclasses.replace(report, share_in_box=None, box_area=None)
    assert len(without.controls()) == 3
    assert any("no box was given" in words for words in without.limits())
    assert not any("no box was given" in words for words in report.limits())


def test_limits_name_an_unsure_network_and_a_single_logit(report: MapReport) -> None:
    assert not any("only" in words or "single logit" in words for words in report.limits())
    unsure = dataclasses.replace(report, probability=0.3, contrast="logit")
    words = " ".join(unsure.limits())
    assert "gives 4 only 30" in words
    assert "A single logit also holds" in words


def test_a_constant_map_is_told_from_a_photo_without_edges(clf: pg.Classifier, report: MapReport) -> None:
    for flat in (torch.zeros(64, 64), torch.full((64, 64), math.nan)):
        assert any("The map is constant" in words for words in dataclasses.replace(report, map=flat).limits())
    blank = map_report(clf, Image.new("RGB", (64, 64), (90, 90, 90)), 4, method="gradient", against=[1])
    assert blank.map.std() > 0
    assert line(blank, "the photo's edges") == ("–", "can't be compared")
    assert not any("The map is constant" in words for words in blank.limits())


def test_maps_that_can_t_be_compared_count_in_no_mean(report: MapReport) -> None:
    some = dataclasses.replace(report, of_classes=(math.nan, 0.4))
    assert some.spearman_classes == 0.4
    none = dataclasses.replace(report, of_classes=(math.nan, math.nan))
    assert math.isnan(none.spearman_classes)
    assert line(none, "maps of 2 other") == ("–", "can't be compared")


# --- The page ---


def test_six_fields(report: MapReport) -> None:
    fields = report.fields()
    assert tuple(fields) == FIELDS
    assert fields["Question"] == "What speaks for 4? Explained is its logit minus the mean of all."
    assert fields["Method"] == f"gradcam, at layer {report.layer!r}."
    assert fields["Handling"] == "signed: keep evidence for and against."
    for text in (report.markdown(), report.html()):
        assert [text.index(f"{name}.") for name in FIELDS] == sorted(text.index(f"{name}.") for name in FIELDS)


def test_it_shows_itself_with_words(report: MapReport) -> None:
    bundle = report._repr_mimebundle_()
    (alt,) = re.findall(r'<img [^>]*alt="([^"]+)"', bundle["text/html"])
    assert alt.startswith("Each map in its own scale. ")
    assert "edges: " in alt
    assert bundle["text/plain"] == repr(report)
    assert "tensor" not in repr(report)


def test_a_saved_page_is_one_file(report: MapReport, tmp_path: Path) -> None:
    report.save(tmp_path / "four.html")
    page = (tmp_path / "four.html").read_text(encoding="utf-8")
    (source,) = re.findall(r'(?:src|href)="([^"]+)"', page)
    picture = Image.open(io.BytesIO(base64.b64decode(source.removeprefix("data:image/jpeg;base64,"))))
    assert picture.width > 500
    assert page.startswith("<!doctype html>")
    assert "<h1>" in page
    assert [path.name for path in tmp_path.iterdir()] == ["four.html"]


def test_markdown_is_saved_with_its_picture(report: MapReport, tmp_path: Path) -> None:
    report.save(str(tmp_path / "four.md"))
    assert {path.name for path in tmp_path.iterdir()} == {"four.md", "four.jpg"}
    text = (tmp_path / "four.md").read_text(encoding="utf-8")
    assert text == report.markdown("four.jpg")
    assert "](four.jpg)" in text
    assert "![" not in report.markdown()


def test_labels_are_no_html(report: MapReport) -> None:
    assert "<b>x</b>" not in dataclasses.replace(report, label="<b>x</b>").html()


# --- Refusals ---


def test_what_is_no_report_is_refused(clf: pg.Classifier, report: MapReport, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one map"):
        map_report(clf, SCENE.image, 4, method={"a": "gradcam", "b": "gradient"})  # type: ignore[arg-type]
    for against in ([4], [], [NAMES[4], 1]):
        with pytest.raises(ValueError, match="other classes than '4'"):
            map_report(clf, SCENE.image, 4, against=against)
    with pytest.raises(ValueError, match=r"such as \['one'\]"):
        map_report(clf, SCENE.image, 4, against="one")  # type: ignore[arg-type]
    for number in (True, 1.5, 0, 10):
        with pytest.raises(ValueError, match=rf"against is {number}, .* how many random ones, 1 to 9"):
            map_report(clf, SCENE.image, 4, against=number)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\.html or \.md, not as '\.pdf'"):
        report.save(tmp_path / "four.pdf")


SMALL = pg.Preprocessing(size=16, resize=16, mean=(0.5,) * 3, std=(0.5,) * 3)


class Held(nn.Module):
    """A network that answers by a layer which its copies don't copy."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 3)
        self.answer = lambda z, head=self.head: head(z)

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(self.conv(x).relu().mean((2, 3)))


def test_a_network_that_holds_its_layer_is_refused() -> None:
    held = pg.Classifier(Held().eval(), SMALL, labels=["a", "b", "c"])
    with pytest.raises(ValueError, match="still answers with the trained"):
        map_report(held, SCENE.image.convert("RGB"), "a")


class Bare(nn.Module):
    """A network without layers: its weights are its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 2))

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) @ self.weight


def test_a_network_without_a_layer_is_refused() -> None:
    bare = pg.Classifier(Bare().eval(), SMALL, labels=["a", "b"])
    with pytest.raises(ValueError, match="has no layer whose weights can be made random"):
        map_report(bare, SCENE.image.convert("RGB"), "a", method="gradient")


def test_two_classes_leave_none_beside_a_contrast() -> None:
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    two = pg.Classifier(nn.Sequential(*layers).eval(), SMALL, labels=["a", "b"])
    photo = SCENE.image.convert("RGB")
    assert map_report(two, photo, "a", contrast=None).classes == ("b",)
    with pytest.raises(ValueError, match=r"No other class is left beside 'a' and its contrast\."):
        map_report(two, photo, "a", contrast="b")


def test_a_layer_may_be_given_as_a_module(clf: pg.Classifier, report: MapReport) -> None:
    layer = clf.net.get_submodule(clf.cam_layer)
    method = pg.METHODS["gradcam"](layer=layer)  # type: ignore[call-arg]
    again = map_report(clf, SCENE.image, 4, method=method, against=["one", 2])
    assert again.of_heads == pytest.approx(report.of_heads)


def test_a_page_says_what_its_numbers_are(report: MapReport) -> None:
    for text in (report.markdown(), report.html(), report.fields()["Controls"]):
        assert "Rank correlations with this map, where above 0.5 is alike" in text


def test_what_is_not_said_is_as_documented(clf: pg.Classifier) -> None:
    plain = map_report(clf, SCENE.image)
    said = {"method": "gradcam", "handling": None, "contrast": "mean", "box": None}
    same = map_report(clf, SCENE.image, "most likely", **said, against=9, seed=0)
    assert plain.markdown() == same.markdown()
    assert plain.of_heads == same.of_heads
    assert plain.of_classes == same.of_classes
    other = map_report(clf, SCENE.image, **said, against=3, seed=1)
    assert set(other.of_heads) & set(plain.of_heads) == set(plain.of_heads[1:])  # seeds 1, 2 and 3
    assert len(other.classes) == 3


def test_heads_say_which_layer_is_random(clf: pg.Classifier, report: MapReport) -> None:
    assert report.head == "head"
    assert report.layer == clf.cam_layer
    assert (report.network, report.method, report.handling) == ("scenes", "gradcam", "signed")
    assert torch.equal(report.edges_map, pg.explain(clf.net, clf.batch(SCENE.image), 4, "edges")[0])
    x = clf.batch(SCENE.image)
    assert torch.allclose(report.other_map, pg.explain(clf.net, x, 1, "gradcam", contrast="mean")[0], atol=1e-6)
    first = pg.explain(with_random(clf.net, ["head"], 0), x, 4, "gradcam", contrast="mean")[0]
    assert torch.allclose(report.head_map, first, atol=1e-6)
    assert report.classes == ("1", "2")
