"""What the base class gives every method: the handling in force, copies to write into, and records to share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import networks as nets
import pytest
import torch
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.handling import NEGATIVE, POSITIVE, SIGNED, Handling
from posgrad_edu.methods.cam import GradCAM, GradCAMPlusPlus, LayerCAM
from posgrad_edu.methods.controls import Edges, InputMagnitude, Noise
from posgrad_edu.methods.fullgrad import FullGrad, fullgrad_terms
from posgrad_edu.methods.gradient import Gradient, InputXGradient
from posgrad_edu.methods.lrp import LRP
from posgrad_edu.methods.rectgrad import RectGrad
from posgrad_edu.methods.relu_rules import GuidedBackprop
from posgrad_edu.methods.sharing import Records, explain_contrasts


class OwnMaps(GradCAM):
    """A method that makes its maps without record and read."""

    name = "own-maps"

    def maps(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        return x.mean(1, keepdim=True).expand(-1, target.shape[1], -1, -1)


class OwnRecord(GradCAM):
    """A method with a record of its own."""

    name = "own-record"

    def record(self, net: nn.Module, x: Tensor, target: Tensor) -> tuple[Tensor, list[Tensor]]:
        return super().record(net, x, target)


class OwnRecordThatIsShared(OwnRecord):
    """A method that says what decides its own record."""

    name = "own-record-that-is-shared"
    record_options: ClassVar[tuple[str, ...]] = ("layer",)

    def record(self, net: nn.Module, x: Tensor, target: Tensor) -> tuple[Tensor, list[Tensor]]:
        return super().record(net, x, target)


# --- The handling in force ---


def test_the_handling_in_force_is_the_given_one_or_the_published_one() -> None:
    assert GradCAM().active_handling is GradCAM.published is SIGNED
    assert LayerCAM().active_handling is POSITIVE
    assert LayerCAM("negative").active_handling is NEGATIVE
    own = Handling("doubled", lambda t: 2 * t)
    assert LayerCAM(own).active_handling is own
    assert LayerCAM(own).handle(torch.tensor([-1.0, 2.0])).tolist() == [-2.0, 4.0]


def test_only_a_handling_of_somebody_else_s_gets_a_copy() -> None:
    given: list[int] = []
    own = Handling("doubled", lambda t: (given.append(t.data_ptr()), 2 * t)[1])
    gradient = torch.ones(2)
    LayerCAM(own).handle(gradient)
    assert given != [gradient.data_ptr()]
    assert LayerCAM("signed").handle(gradient) is gradient


def test_lrp_has_no_single_published_handling() -> None:
    assert LRP.published is None
    assert LRP().active_handling is None
    assert LRP("positive").active_handling is POSITIVE
    assert [name for name, method in pg.METHODS.items() if method.published is None] == ["lrp"]


def test_no_handling_in_force_is_refused_where_one_is_needed() -> None:
    with pytest.raises(ValueError, match="lrp has no published handling"):
        LRP().handle(torch.ones(2))


# --- What maps may write into ---


@pytest.mark.parametrize("together", [False, True])
def test_a_method_may_write_into_what_it_is_given(together: bool) -> None:
    class Writes(pg.Method):
        name = "writes"

        def maps(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
            assert not x.requires_grad
            maps = x.mul_(2).sum(1, keepdim=True).expand(-1, target.shape[1], -1, -1).clone()
            target.zero_()
            return maps

    net, x, target = nets.make("plain")
    before, asked = x.clone(), target.unsqueeze(1).repeat(1, 2)
    for photos in (x, x.requires_grad_()):
        if together:
            maps = pg.explain(net, photos, asked, {"writes": Writes()})["writes"]
        else:
            maps = pg.explain(net, photos, asked, Writes)
        assert torch.equal(maps[:, 1], 2 * before.sum(1))
        assert torch.equal(x, before)
        assert torch.equal(asked, target.unsqueeze(1).repeat(1, 2))
        assert not maps.requires_grad


@pytest.mark.parametrize("method", pg.METHODS)
def test_photos_and_classes_made_in_inference_mode(method: str) -> None:
    net, x, target = nets.make("batchnorm")
    expected = pg.explain(net, x, target, method)
    with torch.inference_mode():
        photos, asked = x.clone(), target.clone()
        kind = pg.METHODS[method]
        together = pg.explain(net, photos, asked, {"one": kind(), "two": kind()})
        maps = pg.explain(net, photos, asked, method)
    for found in (maps, together["one"], together["two"]):
        assert torch.equal(found, expected)
        assert not found.requires_grad


def test_terms_of_photos_made_in_inference_mode() -> None:
    net, x, target = nets.make("batchnorm")
    expected = fullgrad_terms(net, x, target)
    with torch.inference_mode():
        terms = fullgrad_terms(net, x.clone(), target.clone())
    assert all(torch.equal(a, b) for a, b in zip(terms, expected, strict=True))
    assert not any(term.requires_grad for term in terms)


def test_maps_carry_no_graph_whatever_the_method_returns() -> None:
    class Graph(pg.Method):
        name = "graph"

        def maps(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
            return x.requires_grad_().sum(1, keepdim=True)

    net, x, _ = nets.make("plain")
    assert not pg.explain(net, x, 0, Graph).requires_grad


# --- Which methods share a record ---


@pytest.mark.parametrize(
    ("wrong", "target"),
    [
        (lambda x: x.sum(1), 0),  # K is forgotten
        (lambda x: x.sum(1).unsqueeze(0), 0),  # K stands first
        (lambda x: x.sum(1, keepdim=True), [[0, 1]] * 3),  # one class of two
        (lambda x: x[:1].sum(1, keepdim=True), 0),  # one photo of three
    ],
)
def test_maps_of_another_shape_are_refused(wrong: Callable[[Tensor], Tensor], target: int | list[list[int]]) -> None:
    class Mine(OwnMaps):
        name = "mine"

        def maps(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
            return wrong(x)

    net, x, _ = nets.make("plain")
    for asked in (Mine(), {"a": Mine()}):
        with pytest.raises(ValueError, match=r"^maps of mine .* Return \(N, K, h, w\), here \(3, [12], h"):
            pg.explain(net, x, target, asked)


@pytest.mark.parametrize("upsample", [True, False])
def test_maps_of_fewer_photos_are_refused_in_each_resolution(upsample: bool) -> None:
    class FirstPhoto(GradCAM):
        def read(self, record: Any) -> Tensor:
            return super().read(record)[:1]

    net, x, _ = nets.make("plain")
    with pytest.raises(ValueError, match=r"returned the shape \(1, 1, .* for 3 photo"):
        FirstPhoto(upsample=upsample)(net, x, 0)


def test_a_record_of_ones_own_is_read_by_nobody_else_nor_used_for_other_classes() -> None:
    class OfAsked(Gradient):
        record_options: ClassVar[tuple[str, ...]] = ()

        def record(self, net: nn.Module, x: Tensor, target: Tensor) -> Any:
            return super().record(net, x * (1 + target.sum()), target)

    class OtherPhoto(FullGrad):
        record_options: ClassVar[tuple[str, ...]] = ()

        def record(self, net: nn.Module, x: Tensor, target: Tensor) -> Any:
            return super().record(net, x.flip(-1), target)

    net, x, _ = nets.make("plain")
    records = Records()
    for c in (0, 1):
        assert nets.largest(records.explain(net, x, c, OfAsked()), pg.explain(net, x, c, OfAsked())) < 1e-12
    maps = pg.explain(net, x, 0, {"other": OtherPhoto(), "gradient": Gradient()})
    assert nets.largest(maps["gradient"], pg.explain(net, x, 0, "gradient")) < 1e-12


def test_methods_that_make_the_same_record_have_one_key() -> None:
    families = [
        [GradCAM(), GradCAM("positive"), GradCAM(relu=True), GradCAMPlusPlus(), LayerCAM("negative")],
        [GradCAM(layer="0"), LayerCAM(layer="0")],
        [Gradient(), Gradient(reduce=None), InputXGradient("positive"), GuidedBackprop("signed"), RectGrad(q=0.5)],
        [FullGrad(), FullGrad("signed", rescale=False)],
        [Noise(), Noise("absolute"), Noise(seed=1), Edges(), InputMagnitude()],
        [OwnRecordThatIsShared(), OwnRecordThatIsShared("positive")],
    ]
    for n, family in enumerate(families):
        for m, other in enumerate(families):
            same = {a.record_key() == b.record_key() for a in family for b in other}
            assert same == {n == m}, (family, other)


@pytest.mark.parametrize("contrasts", [[None], [None, "mean"]])
@pytest.mark.parametrize("case", ["plain", "batchnorm", "residual"])
def test_one_pass_and_way_back_serve_fullgrad_and_the_gradient(
    case: str, contrasts: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    net, x, _ = nets.make(case)
    methods = {n: pg.METHODS[n]() for n in ("gradient", "rectgrad", "fullgrad", "guided-backprop", "input-x-gradient")}
    alone = [[m(net, x, nets.TARGETS, contrast) for m in methods.values()] for contrast in contrasts]
    counted = nets.Counted(net).eval()
    explain_contrasts(counted, x, nets.TARGETS, methods, contrasts)  # the audits
    ways: list[object] = []
    back = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *args, **options: ways.append(0) or back(*args, **options))
    counted.passes = 0
    together = explain_contrasts(counted, x, nets.TARGETS, methods, contrasts)
    assert counted.passes == 1
    assert len(ways) == 3 * nets.TARGETS.shape[1] * len(contrasts)  # RectGrad's, guided backprop's, and one for three
    assert all(list(maps) == list(methods) for maps in together)
    for found, expected in zip(together, alone, strict=True):
        for ours, theirs in zip(found.values(), expected, strict=True):
            assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", [OwnMaps, OwnRecord, LRP])
def test_a_method_that_goes_its_own_way_shares_with_no_other(kind: type[pg.Method]) -> None:
    method = kind()
    assert method.record_key() != kind().record_key()
    assert method.record_key() != GradCAM().record_key()


def test_a_method_with_maps_of_its_own_beside_its_parent() -> None:
    net, x, target = nets.make("plain")
    together = pg.explain(net, x, target, {"parent": GradCAM(), "own": OwnMaps(), "again": OwnMaps()})
    assert torch.equal(together["parent"], pg.explain(net, x, target, "gradcam"))
    assert torch.equal(together["own"], x.mean(1))
    assert torch.equal(together["again"], x.mean(1))


def test_maps_come_in_the_order_they_were_asked_for() -> None:
    net, x, target = nets.make("plain")
    methods = {"a": GradCAM(), "b": Gradient(), "c": LayerCAM(), "d": Noise(), "e": InputXGradient()}
    assert list(pg.explain(net, x, target, methods)) == list(methods)
