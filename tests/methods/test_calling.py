"""One way to say which method: a name, a class, an instance, or several of these by label."""

from __future__ import annotations

from typing import Any, get_args

import networks as nets
import pytest
import torch
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.data import photos
from posgrad_edu.handling import HANDLINGS, HandlingName
from posgrad_edu.methods import CONTROLS, METHODS, ControlName, GradCAM, MethodName, RectGrad, explain, resolve
from posgrad_edu.metrics import MODES, randomization, sensitivity
from posgrad_edu.models import loading
from posgrad_edu.scenes import network, pictures


@pytest.fixture
def net() -> nn.Module:
    return nets.make("plain")[0]


@pytest.fixture
def x() -> Tensor:
    return nets.photos(16)


@pytest.mark.parametrize(
    ("literal", "registry"),
    [
        (MethodName, METHODS),
        (ControlName, CONTROLS),
        (HandlingName, HANDLINGS),
        (randomization.Mode, MODES),
        (randomization.BatchNormMode, randomization.BATCHNORM),
        (sensitivity.Other, sensitivity.OTHERS),
        (sensitivity.Own, [sensitivity.OWN]),
        (photos.PhotoName, [photo.name for photo in photos.PHOTOS]),
        (pictures.Split, pictures.SPLITS),
        (network.Head, network.HEADS),
        (loading.Offline, [*pg.models.weights.LITE, pg.models.SCENES]),
        (loading.Weights, ["pretrained", "random", *(set(network.SCENES_WEIGHTS) - {"pretrained"})]),
    ],
)
def test_the_names_that_editors_complete_are_those_that_exist(literal: Any, registry: Any) -> None:
    assert list(get_args(literal)) == list(registry)


# --- Each form of one method ---

FORMS: dict[str, tuple[Any, Any]] = {
    "a name": ("gradcam", "positive"),
    "a class": (GradCAM, "positive"),
    "a handling of its own kind": ("gradcam", pg.POSITIVE),
    "an instance": (GradCAM("positive"), None),
}


@pytest.mark.parametrize(("method", "handling"), FORMS.values(), ids=FORMS)
def test_explain_takes_a_method_in_any_form(net: nn.Module, x: Tensor, method: Any, handling: Any) -> None:
    expected = GradCAM("positive")(net, x, nets.TARGETS)
    assert torch.equal(explain(net, x, nets.TARGETS, method, handling), expected)
    assert torch.equal(resolve(method, handling)(net, x, nets.TARGETS), expected)


MEASURES: dict[str, Any] = {
    "class": lambda net, x, *given, **options: pg.class_sensitivity(net, x, *given, **options),
    "parameters": lambda net, x, *given, **o: pg.parameter_sensitivity(net, x, *given, seeds=[0], depths=[1], **o),
    "data": lambda net, x, *given, **options: pg.data_sensitivity(net, nets.make("plain")[0], x, *given, **options),
    "localization": lambda net, x, *given, **options: pg.localization(
        net, x, [[(0, 0, 8, 16)]] * 3, [[0]] * 3, *given, **options
    ),
    "perturbation": lambda net, x, *given, **o: pg.perturbation(net, x, *given, patch=4, steps=4, **o),
    "complexity": lambda net, x, *given, **o: pg.complexity_sensitivity(net, x, *given, seeds=[0], **o),
}
each_measure = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)


@each_measure
def test_every_measure_takes_a_method_in_any_form(net: nn.Module, x: Tensor, measure: Any) -> None:
    tables = [measure(net, x, method, handling) for method, handling in FORMS.values()]
    assert "method" not in tables[0]
    for table in tables[1:]:
        assert table.equals(tables[0])


@each_measure
def test_a_table_of_several_methods_names_them_in_its_first_column(net: nn.Module, x: Tensor, measure: Any) -> None:
    methods: dict[str, Any] = {"z": "gradient", "": GradCAM, "a": GradCAM("positive")}
    table = measure(net, x, methods)
    assert table.columns[0] == "method"
    assert list(dict.fromkeys(table.method)) == list(methods)
    for label, method in methods.items():
        alone = measure(net, x, method)
        part = table[table.method == label].drop(columns="method").reset_index(drop=True)
        assert part[list(alone)].equals(alone)
    assert list(measure(net, x, {"only": "gradient"}).method.unique()) == ["only"]


def test_a_table_of_several_methods_goes_method_by_method(net: nn.Module) -> None:
    many = nets.photos(16, count=6)  # more than one batch
    methods = {"z": "gradient", "a": "gradcam"}
    for table, rows in (
        (pg.class_sensitivity(net, many, methods), 6),
        (pg.localization(net, many, [[(0, 0, 8, 16)]] * 6, [[0]] * 6, methods), 6),
        (pg.parameter_sensitivity(net, many, methods, seeds=[0, 1], depths=[1, 2]), 24),
    ):
        assert table.method.tolist() == ["z"] * rows + ["a"] * rows
        assert table.photo[:6].tolist() == list(range(6))


@each_measure
def test_every_measure_refuses_options_beside_an_instance_or_several(net: nn.Module, x: Tensor, measure: Any) -> None:
    for given in ((GradCAM(), "positive"), ({"a": "gradcam"}, "positive")):
        with pytest.raises(ValueError, match=r"^handling: "):
            measure(net, x, *given)
    with pytest.raises(ValueError, match=r"^layer: this GradCAM has its options already"):
        measure(net, x, GradCAM(), layer="conv1")


# --- Several methods ---


def test_several_methods_are_given_back_by_their_labels(net: nn.Module, x: Tensor) -> None:
    maps = explain(net, x, nets.TARGET, {"z": GradCAM, 3: "gradient", ("a", 1): GradCAM("positive", layer="conv1")})
    assert list(maps) == ["z", 3, ("a", 1)]
    assert torch.equal(maps["z"], GradCAM()(net, x, nets.TARGET))
    assert torch.equal(maps[3], explain(net, x, nets.TARGET, "gradient"))
    assert torch.equal(maps["a", 1], explain(net, x, nets.TARGET, "gradcam", "positive", "conv1"))
    assert list(explain(net, x, 0, {"only": "gradcam"})) == ["only"]


@pytest.mark.parametrize("methods", [{"a": "gradcam", "b": "layercam"}, {"a": "lrp"}, "gradcam"], ids=str)
def test_a_photo_and_target_made_in_inference_mode(methods: Any) -> None:
    net, x, _ = nets.make("plain")
    with torch.inference_mode():
        photo, target = x.clone(), nets.TARGETS.clone()
        inside = explain(net, photo, target, methods)
    outside, expected = explain(net, photo, target, methods), explain(net, x, nets.TARGETS, methods)
    for maps in (inside, outside):
        if isinstance(maps, dict):
            assert all(torch.equal(maps[label], expected[label]) for label in methods)
        else:
            assert torch.equal(maps, expected)


# --- Refusals ---


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (GradCAM(), {"handling": "positive"}, r"Give them to it, as in GradCAM\(handling='positive'\)\."),
        (RectGrad(), {"q": 0.5}, r"q: this RectGrad has its options already.*RectGrad\(q=0\.5\)"),
        (GradCAM(), {"layer": nn.ReLU()}, r"layer: .*GradCAM\(layer=\.\.\.\)"),
        (GradCAM(), {"reduce": None}, r"reduce: .*GradCAM\(reduce=\.\.\.\)"),
        (
            {"a": "gradcam"},
            {"handling": "signed", "q": 1},
            r"handling, q: which method .*\(handling='signed', q=1",
        ),
        ({}, {}, "method holds no method"),
        ({"signed": "singed"}, {}, "There is no method 'singed'"),
        ({"a": {"b": "gradcam"}}, {}, r"There is no method \{'b': 'gradcam'\}"),
        (3, {}, "There is no method 3"),
        (["gradcam"], {}, r"There is no method \['gradcam'\]"),
        (nn.ReLU, {}, "There is no method <class"),
        ("gradcam", {"q": 0.5}, "There is no option of gradcam 'q'"),
    ],
)
def test_what_is_no_method_and_what_nobody_could_tell_is_refused(method: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve(method, **options)
