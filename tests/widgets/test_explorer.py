"""The Explorer and the prediction, driven as a notebook cell drives them."""

from __future__ import annotations

import base64
import html
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import posgrad_edu as pg
from posgrad_edu.metrics.similarity import compare
from posgrad_edu.viz import signed_number
from posgrad_edu.widgets import Explorer, FullGradLayers, Predict
from posgrad_edu.widgets.controls import class_word
from posgrad_edu.widgets.lessons import LESSON_OF, about, first_sentence
from posgrad_edu.widgets.style import ROOM

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture(scope="module")
def clf() -> pg.Classifier:
    return pg.load_classifier("efficientnet-lite0")


@pytest.fixture
def lab(clf: pg.Classifier) -> Explorer:
    return Explorer(clf, ["coffee", "cat"])


def pictures(lab: Explorer) -> list[Image.Image]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', lab.pictures.value)
    return [Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB") for data in found]


def redness(picture: Image.Image) -> int:
    """Red minus blue, over all pixels."""
    levels = np.asarray(picture).astype(int)
    return int((levels[..., 0] - levels[..., 2]).sum())


def test_it_starts_on_the_absent_class(lab: Explorer, clf: pg.Classifier) -> None:
    assert lab.labels == ("espresso", "punching bag")
    x = clf.preprocess(pg.load_photo("coffee")).unsqueeze(0)
    expected = pg.explain(clf.net, x, [list(lab.classes)], "gradcam")[0]
    assert torch.equal(lab.maps, expected)
    assert lab.similarity == compare(*expected)
    assert signed_number(lab.similarity.spearman) in lab.summary


def test_the_switch_changes_picture_number_and_sentence(lab: Explorer) -> None:
    lab.handling.value = "signed"
    before, said = pictures(lab), lab.summary
    lab.handling.value = "positive"
    after = pictures(lab)
    assert len(before) == len(after) == 3
    assert redness(before[2]) < 0 < redness(after[2])  # the punching bag: blue, then red
    assert "Opposite" in said
    assert "same map" in lab.summary
    assert lab.similarity is not None
    assert lab.similarity.spearman > 0.9


def test_the_scale_is_shared_and_stays_when_the_switch_is_flipped(lab: Explorer) -> None:
    lab.handling.value = "signed"
    limit = lab.limit
    peaks = sorted(lab.maps.abs().amax((1, 2)).tolist())
    assert peaks[0] < limit < peaks[1]
    lab.handling.value = "positive"
    assert lab.limit == limit


def test_classes_by_word_number_and_rank(lab: Explorer, clf: pg.Classifier) -> None:
    logits = clf.logits(pg.load_photo("coffee"))
    order = logits.argsort(descending=True).tolist()
    for word, index in {
        "teapot": clf.index("teapot"),
        "283": 283,
        "runner-up": order[1],
        "least likely": order[-1],
    }.items():
        lab.class_b.value = word
        assert lab.classes == (order[0], index)


def test_a_class_given_as_a_number_stands_in_its_box_by_name(clf: pg.Classifier) -> None:
    crane, cup = clf.find("crane")[0], clf.index("cup")
    lab = Explorer(clf, ["coffee"], method="gradcam", class_a=cup, class_b=crane)
    assert (lab.class_a.value, lab.class_b.value) == ("cup", "crane (large long-necked wading bird)")
    assert lab.classes == (cup, crane)
    assert FullGradLayers(clf, "coffee", cup, "teapot").class_a.value == "cup"


def test_a_name_that_would_not_find_the_class_again_stays_a_number() -> None:
    scenes = pg.load_classifier("scenes")
    scenes._labels = [*"aabc3defg", "runner-up"]
    found = [class_word(scenes, n, torch.arange(10.0)) for n in range(10)]
    assert found == ["0", "1", "b", "c", "4", "d", "e", "f", "g", "9"]


def test_a_class_that_is_not_there_gets_a_helpful_word(lab: Explorer) -> None:
    lab.class_b.value = "expresso"
    assert "Did you mean 'espresso'" in lab.summary


def test_the_layer_belongs_to_cams(lab: Explorer) -> None:
    assert not lab.layer.disabled
    before = lab.maps
    lab.layer.value = "blocks.4"
    assert not torch.allclose(before, lab.maps)
    lab.method.value = "gradient"
    assert lab.layer.disabled


@pytest.mark.slow
def test_every_method_and_handling_is_shown(lab: Explorer) -> None:
    for method in lab.method.options:
        lab.method.value = method
        for handling in ("as published", "signed"):
            lab.handling.value = handling
            assert len(pictures(lab)) == 3, (method, handling, lab.summary)


def test_a_vision_transformer_is_offered_what_explains_it() -> None:
    scene = pg.scenes.make_scenes(1, seed=3)[0]
    clf = pg.load_classifier("scenes-transformer")
    lab = Explorer(clf, {"scene": scene.image})
    offered = ["attention-rollout", "gradient-rollout", "gradient", "input-x-gradient"]
    assert list(lab.method.options) == offered
    assert lab.method.value == "gradient-rollout"
    expected = pg.explain(clf.net, clf.batch(scene.image), [list(lab.classes)], "gradient-rollout")[0]
    assert torch.equal(lab.maps, expected)
    assert lab.layer.disabled
    assert not lab.opacity.disabled  # coarse maps lie over the photo
    refused = sorted(set(pg.METHODS) - set(offered), key=list(pg.METHODS).index)
    assert f"no rule for: {', '.join(refused)}." in lab.rest.value
    for method in offered:
        lab.method.value = method
        assert len(pictures(lab)) == 3, lab.summary
        assert "shape" not in lab.summary


def test_offers_follow_another_network(clf: pg.Classifier) -> None:
    ours = pg.Classifier(clf.net, clf.preprocess, clf.labels)
    lab = Explorer(ours, ["coffee"])
    assert list(lab.method.options) == list(pg.METHODS)
    assert lab.rest.value == ""
    other = pg.load_classifier("scenes-transformer")
    lab.clf.net, lab.clf.preprocess, lab.clf._labels = other.net, other.preprocess, other._labels
    lab.clf._cam_layer = None
    lab.refresh()
    assert lab.method.value == "gradient-rollout", lab.summary
    assert "gradcam++" in lab.rest.value


def test_opacity_fades_the_colours(lab: Explorer) -> None:
    strong = redness(pictures(lab)[1])
    lab.opacity.value = 0.2
    assert 0 < redness(pictures(lab)[1]) < strong


def test_start_values_and_their_refusal(clf: pg.Classifier) -> None:
    lab = Explorer(clf, ["coffee"], method="gradcam++", class_b="teapot")
    assert lab.method.value == "gradcam++"
    assert lab.labels[1] == "teapot"
    with pytest.raises(ValueError, match="at least one photo"):
        Explorer(clf, [])


def test_own_photos_by_name(clf: pg.Classifier) -> None:
    lab = Explorer(clf, {"mine": pg.load_photo("rocket")})
    assert lab.photo.value == "mine"
    assert len(pictures(lab)) == 3


@pytest.mark.slow
def test_one_photo_offers_no_choice(lab: Explorer, clf: pg.Classifier) -> None:
    """A list that can be opened and changes nothing would be taken for broken."""
    assert Explorer(clf, ["coffee"]).photo.disabled
    assert not lab.photo.disabled


def test_figure_shows_what_the_widget_shows(lab: Explorer) -> None:
    lab.handling.value = "positive"
    assert "punching bag" in lab.figure().alt


def test_it_has_a_size_for_projectors(lab: Explorer, clf: pg.Classifier) -> None:
    assert lab.size.value == "page"
    assert ROOM not in lab._dom_classes
    before = pictures(lab)
    lab.size.value = "room"
    assert ROOM in lab._dom_classes
    assert pictures(lab) == before
    lab.class_b.value = "no such class"
    assert ROOM in lab._dom_classes
    lab.size.value = "page"
    assert ROOM not in lab._dom_classes
    assert ROOM in Explorer(clf, ["coffee"], size="room")._dom_classes


def test_the_method_is_said_with_its_lesson(lab: Explorer) -> None:
    link = '<a href="02_gradcam.ipynb" target="_blank">Lesson 02</a>'
    assert f"gradcam: Channels weighted by their averaged gradient. {link}" in lab.pictures.value
    lab.method.value = "gradient"
    assert "gradient: The gradient of the logit with regard to the input." in lab.pictures.value


@pytest.mark.parametrize("name", [*pg.METHODS, *pg.methods.ATTENTION_METHODS, *pg.CONTROLS])
def test_each_method_is_said_in_one_line_without_its_source(name: str) -> None:
    words = about(name).partition(" <a ")[0]
    assert words.startswith(f"{html.escape(name)}: ")
    assert words.endswith(".")
    assert not re.search(r"\d{4}|None", words)


def test_lessons_are_files_beside_the_notebooks() -> None:
    assert [stem for stem in LESSON_OF.values() if not (NOTEBOOKS / f"{stem}.ipynb").is_file()] == []


def test_a_method_of_ones_own_without_a_docstring_says_nothing() -> None:
    @dataclass(frozen=True)
    class Mine:
        scale: float = 1.0

    assert first_sentence(Mine) == ""
    assert about("no such method") == about(None) == ""


def test_a_prediction_is_kept_and_compared() -> None:
    question = Predict("Up or down?", ["up", "down"])
    assert question.guess is None
    assert question.reveal("down") == "Measured: down."
    question.guess = "down"
    assert "As you predicted" in question.reveal("down")
    question.guess = "up"
    words = question.reveal("down")
    assert "You predicted: up" in words
    assert "You predicted: up" in question.reply.value
    with pytest.raises(ValueError, match="none of the choices"):
        question.reveal("sideways")
    with pytest.raises(ValueError, match="two choices"):
        Predict("Up?", ["up"])


def test_choices_are_shuffled_by_the_question_but_for_scales() -> None:
    choices = ["none", "one", "two", "all"]
    shown = [Predict(f"How many of {n}?", choices).choices.options for n in range(20)]
    assert shown == [Predict(f"How many of {n}?", choices).choices.options for n in range(20)]
    assert all(sorted(one) == sorted(choices) for one in shown)
    assert {one[0] for one in shown} == {*choices}
    scale = Predict("How many?", choices, in_order=True)
    assert scale.choices.options == scale.answers == tuple(choices)
    assert Predict("How many?", choices).answers == tuple(choices)


@pytest.mark.slow
@pytest.mark.parametrize(("value", "words"), [("mean", "minus the mean of all"), ("other", "minus the other class")])
def test_a_contrast_is_what_explain_gives(lab: Explorer, clf: pg.Classifier, value: str, words: str) -> None:
    lab.method.value = "gradient"
    a, b = lab.classes
    x = clf.batch(pg.load_photo("coffee"))
    against = "mean" if value == "mean" else [[b, a]]
    assert words not in lab.setting
    lab.contrast.value = value
    assert torch.equal(lab.maps, pg.explain(clf.net, x, [[a, b]], "gradient", contrast=against)[0])
    assert lab.setting == f"coffee, gradient, gradients as published, {words}"
    assert words in lab.pictures.value
    if value == "other":
        assert lab.spearman == pytest.approx(-1)


def test_a_class_held_against_itself_is_said_in_words(lab: Explorer) -> None:
    lab.contrast.value, lab.class_b.value = "other", "espresso"
    assert "would be held against itself" in lab.summary
    lab.contrast.value = "mean"
    assert "Choose another class B" in lab.summary
