"""What ``clf.explain`` returns: the right maps, the right words, and pictures that are whole."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch
from PIL import Image
from torch import nn

import posgrad_edu as pg
from posgrad_edu.data import Preprocessing
from posgrad_edu.methods import GradCAM
from posgrad_edu.metrics import compare
from posgrad_edu.models import Classifier, Comparison, Explanation, Explanations

CAT, COFFEE = pg.load_photo("cat"), pg.load_photo("coffee")
LABELS = ["cat", "espresso", "cup", "cup, broken"]


@pytest.fixture
def clf() -> Classifier:
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 6, 3), nn.ReLU()]
    net = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)).eval()
    return Classifier(net, Preprocessing(size=32, resize=36), LABELS)


# --- One ---


@pytest.mark.parametrize("word", ["espresso", 1, torch.tensor(1), "1"])
@pytest.mark.parametrize(("method", "handling"), [("gradcam", "positive"), ("lrp", "positive"), ("gradient", None)])
def test_an_explanation_is_what_explain_returns(clf: Classifier, word: Any, method: str, handling: str | None) -> None:
    found = clf.explain(COFFEE, word, method=method, handling=handling)
    assert isinstance(found, Explanation)
    assert torch.equal(found.map, pg.explain(clf.net, clf.batch(COFFEE), 1, method, handling)[0])
    assert (found.label, found.target, found.method) == ("espresso", 1, method)
    assert found.handling == (handling or "signed")
    assert found.probability == pytest.approx(float(clf.probabilities(COFFEE)[1]))
    assert found.photo.tobytes() == clf.view(COFFEE).tobytes()
    assert repr(found) == f"Explanation(target=1, label='espresso', method={method!r}, handling={found.handling!r})"


@pytest.mark.parametrize(("words", "place"), [((), 0), (("runner-up",), 1), (("least likely",), -1)])
def test_classes_can_be_asked_for_by_their_place(clf: Classifier, words: tuple, place: int) -> None:
    assert clf.explain(CAT, *words).target == int(clf.logits(CAT).sort(descending=True).indices[place])


def test_a_cam_looks_at_the_classifier_s_layer_unless_told_otherwise(clf: Classifier) -> None:
    x, last, first = clf.batch(CAT), "3", "1"
    assert torch.equal(clf.explain(CAT, 0).map, pg.explain(clf.net, x, 0, layer=last)[0])
    clf.cam_layer = first
    early = pg.explain(clf.net, x, 0, layer=first)[0]
    assert torch.equal(clf.explain(CAT, 0).map, early)
    assert torch.equal(clf.explain(CAT, 0, GradCAM()).map, early)
    assert torch.equal(clf.explain(CAT, 0, layer=last).map, pg.explain(clf.net, x, 0, layer=last)[0])
    assert torch.equal(clf.explain(CAT, 0, GradCAM(layer=last)).map, pg.explain(clf.net, x, 0, layer=last)[0])


def test_options_reach_the_method(clf: Classifier) -> None:
    found = clf.explain(CAT, 0, "rectgrad", "signed", q=0.5)
    assert torch.equal(found.map, pg.explain(clf.net, clf.batch(CAT), 0, "rectgrad", "signed", q=0.5)[0])


def test_probabilities_of_a_multilabel_network_are_sigmoids(clf: Classifier) -> None:
    several = Classifier(clf.net, clf.preprocess, LABELS, multilabel=True)
    assert several.explain(CAT, 2).probability == pytest.approx(float(clf.logits(CAT)[2].sigmoid()))


# --- Shown and saved ---


def shown(what: Any) -> tuple[Image.Image, str, str]:
    """Return the picture, the alt text and the plain text that Jupyter gets."""
    data, metadata = what._repr_mimebundle_()
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/jpeg"])))
    return picture, plain(metadata["image/jpeg"]["alt"]), data["text/plain"]


def plain(text: str) -> str:
    """Return a text with single, plain spaces."""
    return " ".join(text.split())


def test_an_explanation_shows_itself(clf: Classifier) -> None:
    found = clf.explain(COFFEE, "espresso", handling="positive")
    picture, alt, text = shown(found)
    assert min(picture.size) > 200
    assert alt.startswith(f"gradcam, positive. {plain(found.heading)}: ")
    assert alt == plain(found.show().alt)
    assert text == repr(found)


def test_coarse_maps_lie_on_the_photo_and_fine_ones_beside_it(clf: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(pg.viz, "show_grid", lambda photo, maps, **options: seen.append(options))
    clf.explain(CAT).show()
    clf.explain(CAT, method="gradient").show()
    clf.explain(CAT, method={"cam": "gradcam", "gradient": "gradient"}).show()
    clf.explain(CAT, method="gradient").show(style="overlay", title="mine")
    fine = {"style": "heatmap", "quantile": 0.999}
    assert seen == [
        {"title": "gradcam, signed"},
        {**fine, "title": "gradient, signed"},
        {"style": ["overlay", "heatmap"], "quantile": [None, 0.999], "share": "row"},  # the CAM keeps the photo
        {**fine, "style": "overlay", "title": "mine"},
    ]


@pytest.mark.parametrize(("name", "start"), [("map.png", b"\x89PNG"), ("map.PDF", b"%PDF"), ("map.svg", b"<?xml")])
def test_the_file_s_ending_names_its_format(clf: Classifier, tmp_path: Path, name: str, start: bytes) -> None:
    clf.explain(CAT).save(tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_picture_is_saved_whole_or_not_at_all(
    clf: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "map.png"
    path.write_text("what was there")
    found = clf.explain(CAT)

    def interrupted(self: Any, file: BinaryIO, **options: Any) -> None:
        file.write(b"\x89PNG")
        raise KeyboardInterrupt

    with pytest.raises(ValueError, match="xyz"):
        found.save(tmp_path / "map.xyz")
    with monkeypatch.context() as patch:
        patch.setattr(pg.viz.figure_class(), "savefig", interrupted)
        with pytest.raises(KeyboardInterrupt):
            found.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["map.png"]
    assert path.read_text() == "what was there"
    found.save(path)
    assert Image.open(path).format == "PNG"


# --- Compared ---


def test_the_same_question_for_another_class(clf: Classifier) -> None:
    clf.cam_layer = "1"
    found = clf.explain(CAT, "cat", handling="positive").compare("cup")
    assert isinstance(found, Comparison)
    again = clf.explain(CAT, "cup", handling="positive")
    assert torch.equal(found.second.map, again.map)
    assert (found.first.label, found.second.label) == ("cat", "cup")
    assert found.similarity == compare(found.first.map, again.map)
    picture, alt, _ = shown(found)
    assert picture.width > picture.height
    assert plain(found.first.heading) in alt
    assert plain(again.heading) in alt
    assert f"rank correlation {found.similarity.spearman:.2f}" in alt.replace("−", "-")


def test_comparing_knows_the_place_in_the_ranking_and_constant_maps(clf: Classifier) -> None:
    assert clf.explain(CAT).compare("least likely").second.target == clf.least_likely(CAT)
    with torch.no_grad():
        clf.net[-1].weight[0] = 0
    assert "one of the maps is constant" in clf.explain(CAT, 0).compare(1).show().alt


def test_what_can_t_be_compared_is_refused(clf: Classifier) -> None:
    found = clf.explain(CAT, "cat")
    with pytest.raises(ValueError, match="compared with itself: 0 is 'cat', too"):
        found.compare(0)
    with pytest.raises(ValueError, match="Did you mean 'espresso'"):
        found.compare("espreso")


# --- Several ---


def test_a_list_of_classes(clf: Classifier) -> None:
    found = clf.explain(COFFEE, ["espresso", "most likely", 0], "gradcam", "positive")
    assert isinstance(found, Explanations)
    assert [one.target for one in found] == [1, clf.top(COFFEE)[0].index, 0]
    for one in found:
        assert torch.allclose(one.map, clf.explain(COFFEE, one.target, "gradcam", "positive").map, atol=1e-6)
    assert isinstance(found[1:], Explanations)
    assert found[-1].label == "cat"
    assert len(found) == 3
    assert len(clf.explain(COFFEE, ["cat"])) == 1
    assert all(plain(one.heading) in shown(found)[1] for one in found)


def test_classes_of_one_label_have_a_panel_each(clf: Classifier) -> None:
    cranes = Classifier(clf.net, clf.preprocess, ["crane"] * len(LABELS))
    alt = shown(cranes.explain(COFFEE, [0, 2, 0]))[1]
    assert [f"crane (class {c}) " in alt for c in (0, 1, 2)] == [True, False, True]
    assert "crane (class 1) " in shown(cranes.explain(COFFEE, 0).compare(1))[1]
    assert "(class" not in shown(clf.explain(COFFEE, [0, 1, 0]))[1]


def test_photos_classes_and_methods_at_once(clf: Classifier) -> None:
    methods = {"signed": GradCAM("signed"), "guided": "guided-backprop"}
    found = clf.explain([CAT, COFFEE], ["cat", "cup"], methods)
    expected = [(p, m, c) for p in (CAT, COFFEE) for m in ("gradcam", "guided-backprop") for c in (0, 2)]
    assert [(one.method, one.target) for one in found] == [(m, c) for _, m, c in expected]
    for one, (photo, method, target) in zip(found, expected, strict=True):
        assert torch.allclose(one.map, clf.explain(photo, target, method).map, atol=1e-6)
        assert one.photo.tobytes() == clf.view(photo).tobytes()
    alt = shown(found)[1]
    for label in ("photo 1, signed", "photo 1, guided", "photo 2, signed", "photo 2, guided"):
        assert f"{label}, cat" in alt
    assert found[2].compare("espresso").second.method == "guided-backprop"


def test_each_photo_is_drawn_in_its_row(clf: Classifier) -> None:
    figure = clf.explain([CAT, COFFEE], "cat").show()
    drawn = [bytes(ax.images[0].get_array()) for ax in figure.axes if ax.images]
    assert [drawn.index(clf.view(photo).tobytes()) for photo in (CAT, COFFEE)] == [0, 1]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"photo": []}, "photo is an empty list"),
        ({"target": []}, "target is an empty list"),
        ({"target": "lion"}, "There is no class 'lion'"),
        ({"target": 4}, "Class 4 is out of range"),
        ({"method": "gradcm"}, "Did you mean 'gradcam'"),
        ({"method": GradCAM(), "handling": "positive"}, "handling: this GradCAM has its options already"),
        ({"method": "gradient", "reduce": None}, r"one map \(H, W\)"),
    ],
)
def test_what_makes_no_sense_is_refused(clf: Classifier, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clf.explain(**{"photo": CAT, **asked})
    with pytest.raises(TypeError, match="A photo is a PIL image, not str"):
        clf.explain("cat")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="no explanation to show"):
        clf.explain([CAT])[1:].show()  # type: ignore[index]


# --- Contrasts ---


@pytest.mark.parametrize(
    ("contrast", "given", "words"),
    [
        ("mean", "mean", "logit minus the mean of all"),
        ("cup, broken", 3, "logit minus cup, broken's"),
        (0, 0, "logit minus cat's"),
    ],
)
def test_an_explanation_can_be_of_a_contrast(clf: Classifier, contrast: Any, given: Any, words: str) -> None:
    found = clf.explain(COFFEE, ["espresso", "cup"], "gradient", contrast=contrast)
    expected = pg.explain(clf.net, clf.batch(COFFEE), [[1, 2]], "gradient", contrast=given)[0]
    assert torch.equal(torch.stack([one.map for one in found]), expected)
    assert [one.contrast for one in found] == [words] * 2
    assert found[0].title == f"gradient, signed, {words}"
    pair = found[0].compare("cup")
    assert pair.similarity == compare(*expected)
    assert words in pair.show().alt
    assert clf.explain(COFFEE, "espresso").contrast == "logit"


def test_a_class_can_be_held_against_the_runner_up(clf: Classifier) -> None:
    most, second = clf.logits(CAT).topk(2).indices.tolist()
    found = clf.explain(CAT, contrast="runner-up")
    assert torch.equal(found.map, pg.explain(clf.net, clf.batch(CAT), most, contrast=second)[0])
    with pytest.raises(ValueError, match="would be held against itself"):
        clf.explain(CAT, contrast="most likely")
    with pytest.raises(ValueError, match="There is no class 'maen'"):
        clf.explain(CAT, contrast="maen")
