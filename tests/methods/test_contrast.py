"""A contrast of logits: what it is, that a common vector in the last layer can't change it, and what is refused."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass
from typing import Any, ClassVar

import networks as nets
import pytest
import torch
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.engine.contrast import Weights, contrasted, reference
from posgrad_edu.engine.passes import forward, input_gradients, with_gradients
from posgrad_edu.errors import UnsupportedOperation
from posgrad_edu.handling import HANDLINGS, SIGNED, Handling
from posgrad_edu.methods import CONTROLS, LRP, METHODS
from posgrad_edu.methods.base import InputSpaceMethod, finish
from posgrad_edu.methods.fullgrad import fullgrad_terms
from posgrad_edu.methods.function import FunctionMethod
from posgrad_edu.methods.lrp_rules import RULES, Rule, get_rule
from posgrad_edu.methods.sharing import explain_contrasts
from posgrad_edu.models import shift_vector, shifted

CLASSES = range(nets.CLASSES)
# A map that is a sum over seeds: that of a contrast is the difference of maps of logits. Signed DeconvNet and Guided
# Backprop go back through a ReLU linearly; alpha of GradCAM++ and RectGrad's threshold are made of the signal itself,
# and FullGrad rescales each term.
LINEAR = ("gradient", "input-x-gradient", "gradcam", "layercam", "deconvnet", "guided-backprop")
NOT_LINEAR = ("gradcam++", "rectgrad", "fullgrad")
SAME, DIFFERENT = 1e-9, 1e-2  # relative: float64 in another order; what nobody would take for rounding
GRADIENTS = [method for method in METHODS if method != "lrp"]


def some(quick: Any, *slow: Any) -> list[Any]:
    """Return parameters of which only the first is tested each time."""
    return [quick, *(pytest.param(each, marks=pytest.mark.slow) for each in slow)]


def options(method: str) -> dict[str, Any]:
    return {"q": nets.RECTGRAD_Q} if method == "rectgrad" else {}


def explain(net: nn.Module, x: Tensor, target: Any, method: str, handling: Any = None, **given: Any) -> Tensor:
    return pg.explain(net, x, target, method, handling, **options(method), **given)


def of_all_classes(net: nn.Module, x: Tensor, method: str, handling: Any = None, **given: Any) -> Tensor:
    """Return the maps (N, classes, H, W) of all logits."""
    return explain(net, x, [[*CLASSES]] * len(x), method, handling, **given)


# --- What a contrast is ---


class Difference(nn.Module):
    """The network with its logits replaced by contrasts: a plain restatement, in front of the methods."""

    def __init__(self, net: nn.Module, against: Tensor | None) -> None:
        super().__init__()
        self.net, self.against = net, against

    def forward(self, x: Tensor) -> Tensor:
        logits = self.net(x)
        if self.against is None:
            return logits - logits.mean(1, keepdim=True)
        return logits - logits.gather(1, self.against[: len(x), None])


@pytest.mark.parametrize("against", [None, torch.tensor([2, 3, 0])], ids=["mean", "a class"])
@pytest.mark.parametrize("name", some("plain", "residual", "dense"))
@pytest.mark.parametrize("method", GRADIENTS)
def test_it_is_the_map_of_a_network_whose_logits_are_contrasts(method: str, name: str, against: Tensor | None) -> None:
    net, x, target = nets.make(name)
    restated = Difference(net, against).eval()
    for handling in HANDLINGS:
        ours = explain(net, x, target, method, handling, contrast="mean" if against is None else against)
        theirs = explain(restated, x, target, method, handling)
        assert nets.largest(ours, theirs) < SAME
        assert nets.largest(explain(net, x, target, method, handling), theirs) > DIFFERENT


@pytest.mark.parametrize("method", METHODS)
def test_linear_methods_explain_a_contrast_by_the_difference_of_maps(method: str) -> None:
    net, x, target = nets.make("plain")
    given: dict[str, Any] = {"rule": "epsilon", "seed": "logit"} if method == "lrp" else {"handling": "signed"}
    every = of_all_classes(net, x, method, **given)
    own = every[range(3), target]
    for contrast, difference in (("mean", own - every.mean(1)), (3, own - every[:, 3])):
        found = nets.largest(explain(net, x, target, method, contrast=contrast, **given), difference)
        assert found < SAME if method not in NOT_LINEAR else found > DIFFERENT


def test_the_terms_of_fullgrad_add_up_to_the_contrast() -> None:
    net, x, target = nets.make("batchnorm")
    logits = net(x).detach()
    values = logits - logits.mean(1, keepdim=True)
    terms = fullgrad_terms(net, x, target, contrast="mean")
    total = torch.stack([term.flatten(1).sum(1) for term in terms]).sum(0)
    assert torch.allclose(total, values[range(3), target], rtol=0, atol=1e-12 * float(logits.abs().max()))


def test_each_of_several_classes_has_the_contrast_of_its_place() -> None:
    net, x, _ = nets.make("plain")
    both = explain(net, x, nets.TARGETS, "gradient", contrast=nets.TARGETS.flip(1))
    assert nets.largest(both[:, 0], -both[:, 1]) < SAME
    for k in (0, 1):
        alone = explain(net, x, nets.TARGETS[:, k], "gradient", contrast=nets.TARGETS[:, 1 - k])
        assert torch.equal(both[:, k], alone)
    one = explain(net, x, [[0, 1]] * 3, "gradient", contrast=5)
    assert torch.equal(one, explain(net, x, [[0, 1]] * 3, "gradient", contrast=torch.full((3, 2), 5)))


def test_several_methods_in_one_call_are_asked_the_same() -> None:
    net, x, target = nets.make("plain")
    methods = {(m, h): METHODS[m](h, **options(m)) for m in METHODS for h in ("signed", "positive")}
    for label, maps in pg.explain(net, x, target, methods, contrast="mean").items():
        assert torch.equal(maps, methods[label](net, x, target, "mean")), label
        assert not torch.equal(maps, methods[label](net, x, target)), label


def brightness(net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Somebody else's method: what the network says, times the photo."""
    return net(x).gather(1, target[:, None])[:, :, None] * x.mean(1)


def test_several_contrasts_at_once_are_each_by_itself() -> None:
    net, x, _ = nets.make("residual")
    made = [METHODS[m](h, **options(m)) for m in METHODS for h in ("signed", "positive", None)]
    made += [LRP(rule=rule, seed=seed) for rule in ("zero", "epsilon", "z+") for seed in ("one", "logit")]
    made += [control() for control in CONTROLS.values()] + [FunctionMethod(brightness, "brightness")]
    methods = dict(enumerate(made))
    others = [next(c for c in CLASSES if c not in own) for own in nets.TARGETS.tolist()]  # one a photo
    asked: list[Any] = [None, "mean", others, nets.TARGETS.flip(1)]
    for found, contrast in zip(explain_contrasts(net, x, nets.TARGETS, methods, asked), asked, strict=True):
        assert list(found) == list(methods)
        for label, maps in found.items():
            alone = methods[label](net, x, nets.TARGETS, contrast)
            assert nets.largest(maps, alone) < SAME, (made[label], contrast)


def test_each_of_several_contrasts_is_checked() -> None:
    net, x, target = nets.make("plain")
    methods = {"gradient": METHODS["gradient"]()}
    with pytest.raises(ValueError, match="held against itself"):
        explain_contrasts(net, x, target, methods, [None, target])
    with pytest.raises(ValueError, match="out of range"):
        explain_contrasts(net, x, target, methods, ["mean", nets.CLASSES])
    one = nn.Sequential(net, nn.Linear(nets.CLASSES, 1).to(x)).eval()
    with pytest.raises(ValueError, match="a single class"):
        explain_contrasts(one, x, 0, methods, [None, "mean"])
    with pytest.raises(UnsupportedOperation, match="by-itself takes its gradients without the package's engine"):
        explain_contrasts(net, x, target, {"own": ByItself()}, [None, "mean"])


def weighted(net: nn.Module, x: Tensor, made: Any, s: Tensor) -> Tensor:
    """Return the map of Σ s · logits, as an export asks for it; s (classes,)."""
    target = torch.zeros(len(x), 1, dtype=torch.long)
    with with_gradients(), contrasted(Weights(s.expand(len(x), 1, -1)), made.name):
        return finish(made.maps(net, x.clone(), target), x, 0)


@pytest.mark.parametrize("handling", ["signed", "positive", None])
@pytest.mark.parametrize("method", METHODS)
def test_weights_of_all_logits_are_a_contrast_too(method: str, handling: Any) -> None:
    net, x, _ = nets.make("residual")
    one_hot = torch.eye(nets.CLASSES, dtype=x.dtype)
    scores = {None: one_hot[2], "mean": one_hot[2] - 1 / nets.CLASSES, 4: one_hot[2] - one_hot[4]}
    for contrast, s in scores.items():
        found = weighted(net, x, METHODS[method](handling, **options(method)), s)
        assert nets.largest(found, explain(net, x, 2, method, handling, contrast=contrast)) < SAME


def test_weights_are_as_many_as_logits_and_no_class() -> None:
    net, x, _ = nets.make("plain")
    with pytest.raises(ValueError, match=f"5 weights for {nets.CLASSES} logits"):
        weighted(net, x, METHODS["gradient"](), torch.ones(5, dtype=x.dtype))
    with pytest.raises(UnsupportedOperation, match="mine takes a class or a contrast, not weights"):
        weighted(net, x, FunctionMethod(lambda net, x, target: x[:, 0], "mine"), torch.ones(nets.CLASSES))
    noise = [weighted(net, x, CONTROLS["noise"](), torch.eye(nets.CLASSES)[k]) for k in (0, 0, 1)]
    assert torch.equal(noise[0], noise[1])
    assert not torch.equal(noise[0], noise[2])


# --- LRP ---


@pytest.mark.parametrize("bias", ["absorb", "ignore"])
@pytest.mark.parametrize("against", [None, 3], ids=["mean", "a class"])
@pytest.mark.parametrize("rule", [*RULES, SIGNED, pg.POSITIVE, pg.NEGATIVE])
def test_relevance_starts_at_the_class_and_is_taken_away_at_the_contrast(
    rule: str | Handling, against: int | None, bias: str
) -> None:
    net, x, target = nets.make("plain")
    given: dict[str, Any] = {"handling": rule} if isinstance(rule, Handling) else {"rule": rule}
    contrast = "mean" if against is None else against
    maps = {s: of_all_classes(net, x, "lrp", seed=s, bias=bias, **given) for s in ("one", "logit")}
    taken = {s: every.mean(1) if against is None else every[:, against] for s, every in maps.items()}
    started = {s: every[range(3), target] for s, every in maps.items()}
    logits = net(x).detach()
    reference = logits.mean(1) if against is None else logits[:, against]
    own = logits[range(3), target]
    if rule in ("zero", "epsilon", "gamma", SIGNED):
        expected = {"logit": started["logit"] - taken["logit"]}
        expected["one"] = expected["logit"] / (own - reference)[:, None, None]
    else:
        expected = {"one": started["one"] - taken["one"]}
        expected["logit"] = expected["one"] * own[:, None, None]
    for seed, values in expected.items():
        ours = explain(net, x, target, "lrp", contrast=contrast, seed=seed, bias=bias, **given)
        if rule == "flat":  # it asks no weights, so that nothing is left
            assert values.abs().max() < 1e-15 * maps[seed].abs().max()
            assert ours.abs().max() < 1e-15 * maps[seed].abs().max()
        else:
            assert nets.largest(ours, values) < SAME


@pytest.mark.parametrize("conv", ["zero", "z+", "gamma"])
def test_with_a_signed_last_layer_lrp_sees_one_row_of_weights(conv: str) -> None:
    net, x, target = nets.make("batchnorm")
    for photo, c in zip(x.split(1), target.tolist(), strict=True):
        row = copy.deepcopy(net)
        row.fc = nn.Linear(48, 1).double().eval()
        with torch.no_grad():
            row.fc.weight.copy_(net.fc.weight[c] - net.fc.weight.mean(0))
            row.fc.bias.copy_(net.fc.bias[c] - net.fc.bias.mean())
        for seed in ("one", "logit"):
            method = LRP(conv=conv, linear="zero", seed=seed)
            assert nets.largest(method(net, photo, c, "mean"), method(row, photo, 0)) < SAME


def test_the_mean_is_clrp1_without_its_relu() -> None:
    net, x, target = nets.make("plain")
    for photo, c in zip(x.split(1), target.tolist(), strict=True):
        others = [k for k in CLASSES if k != c]
        of_others = explain(net, photo, [others], "lrp", "positive")[0].mean(0)  # began with 1 / (K - 1) each
        clrp1 = explain(net, photo, c, "lrp", "positive")[0] - of_others
        ours = explain(net, photo, c, "lrp", "positive", contrast="mean")[0]
        assert nets.largest(ours, clrp1 * (nets.CLASSES - 1) / nets.CLASSES) < SAME


# --- One vector more for all classes ---


@pytest.mark.parametrize("a", some(0.5, -1.0, 30.0))
@pytest.mark.parametrize("name", some("plain", "batchnorm", "residual", "dense", "relu6"))
@pytest.mark.parametrize("method", GRADIENTS)
def test_no_shift_changes_the_map_of_a_contrast_whatever_the_handling(method: str, name: str, a: float) -> None:
    net, x, target = nets.make(name)
    other = shifted(net, shift_vector(net, a), x)
    for handling, contrast in itertools.product(HANDLINGS, ("mean", 3)):
        before, after = (explain(n, x, target, method, handling, contrast=contrast) for n in (net, other))
        # The seed's weights Σ_k s_k (w_k + v) are K sums, each rounded at the size of v: about K a eps of their own.
        assert nets.largest(after, before) < 1e4 * nets.CLASSES * (1 + abs(a)) * torch.finfo(x.dtype).eps


@pytest.mark.parametrize("method", METHODS)
def test_a_shift_changes_the_map_of_a_logit(method: str) -> None:
    net, x, target = nets.make("plain")
    other = shifted(net, shift_vector(net, 0.5), x)
    before, after = (explain(n, x, target, method, "signed") for n in (net, other))
    assert nets.largest(after, before) > DIFFERENT


@pytest.mark.parametrize(("conv", "linear"), [("zero", "zero"), ("z+", "zero"), ("gamma", "zero"), ("z+", "epsilon")])
@pytest.mark.parametrize("seed", ["one", "logit"])
def test_nor_that_of_lrp_with_a_signed_last_layer(conv: str, linear: str, seed: str) -> None:
    net, x, target = nets.make("batchnorm")
    other = shifted(net, shift_vector(net, 0.5), x)
    before, after = (
        explain(n, x, target, "lrp", contrast="mean", conv=conv, linear=linear, seed=seed) for n in (net, other)
    )
    # epsilon takes the share 1e-6 / |f_k| away from each class's relevance
    smallest = min(float(n(x).detach().abs().min()) for n in (net, other))
    assert nets.largest(after, before) < (SAME if linear == "zero" else 100 * 1e-6 / smallest)


@pytest.mark.parametrize("rule", ["z+", "alpha-beta"])
def test_other_rules_in_the_last_layer_see_each_class_by_itself(rule: str) -> None:
    net, x, target = nets.make("batchnorm")
    other = shifted(net, shift_vector(net, 0.5), x)
    before, after = (explain(n, x, target, "lrp", contrast="mean", conv="z+", linear=rule) for n in (net, other))
    assert nets.largest(after, before) > DIFFERENT


# --- Controls, methods of one's own, refusals ---


def test_controls_know_no_contrast_but_noise_is_another() -> None:
    net, x, _ = nets.make("plain")
    target = torch.tensor([1, 2, 5])
    for name in CONTROLS:
        of_logit, *others = (explain(net, x, target, name, contrast=c) for c in (None, "mean", 0, 3, "mean"))
        assert torch.equal(others[0], others[-1])
        assert all(torch.equal(of_logit, each) for each in others) == (name != "noise")
        assert len({float(each[0, 0, 0]) for each in (of_logit, *others)}) == (4 if name == "noise" else 1)


@dataclass(frozen=True)
class Own(InputSpaceMethod):
    """A method as CONTRIBUTING has it."""

    name: ClassVar[str] = "own"

    def maps(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        x.requires_grad_()
        return self.reduced(self.handle(input_gradients(forward(net, x, target), target, x)))


@dataclass(frozen=True)
class ByItself(Own):
    """A method that takes its gradients without the engine."""

    name: ClassVar[str] = "by-itself"

    def maps(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        x.requires_grad_()
        return torch.autograd.grad(net(x).gather(1, target).sum(), x)[0].sum(1, keepdim=True)


def test_a_method_of_ones_own_follows_or_is_refused() -> None:
    net, x, target = nets.make("plain")
    ours = pg.explain(net, x, target, Own, contrast="mean")
    assert torch.equal(ours, pg.explain(net, x, target, "gradient", contrast="mean"))
    assert torch.equal(pg.explain(net, x, target, ByItself), pg.explain(net, x, target, "gradient"))
    for form in (ByItself, {"a": ByItself()}):
        with pytest.raises(UnsupportedOperation, match="by-itself takes its gradients without the package's engine"):
            pg.explain(net, x, target, form, contrast="mean")
    assert torch.equal(pg.explain(net, x, target, ByItself), pg.explain(net, x, target, "gradient"))


REFUSED: dict[str, tuple[Any, str]] = {
    "another word": ("average", "There is no contrast 'average'.*mean, None, a class"),
    "the class itself": (torch.tensor([3, 1, 2]), "Photo 1: class 1 would be held against itself"),
    "no such class": (6, "Class 6 is out of range: the network has 6 classes"),
    "a negative one": (-1, "Class -1 is out of range"),
    "a fraction": (0.5, "contrast holds class indices, so whole numbers"),
    "too many photos": (torch.tensor([3, 4]), "contrast of shape .2,. doesn't fit 3 photo"),
    "too many classes": (torch.tensor([[3, 4]] * 3), "contrast holds 2 classes a photo, target 1"),
}


@pytest.mark.parametrize(("contrast", "message"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("method", ["gradcam", "lrp", "edges"])
def test_a_contrast_that_makes_no_sense_is_refused(method: str, contrast: Any, message: str) -> None:
    net, x, target = nets.make("plain")
    for form in (method, {"a": method}):
        with pytest.raises(ValueError, match=message):
            pg.explain(net, x, target, form, contrast=contrast)


def test_a_single_logit_has_no_mean_to_be_held_against() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 14 * 14, 1)).double().eval()
    with pytest.raises(ValueError, match="The network has a single class"):
        pg.explain(net, nets.photos(16), 0, "gradient", contrast="mean")


def test_nothing_is_left_behind() -> None:
    net, x, target = nets.make("plain")
    leaf = x.clone().requires_grad_()
    before = input_gradients(forward(net, leaf, target[:, None]), target[:, None], leaf)
    explain(net, x, target, "gradient", contrast="mean")
    with pytest.raises(ValueError, match="out of range"):
        explain(net, x, 99, "gradient", contrast=2)
    assert reference() is None
    assert torch.equal(input_gradients(forward(net, leaf, target[:, None]), target[:, None], leaf), before)


def test_a_rule_of_ones_own_starts_with_equal_relevance() -> None:
    assert not Rule().divides_by_logit
    assert {name: get_rule(name).divides_by_logit for name in RULES} == {
        name: name in ("zero", "epsilon", "gamma") for name in RULES
    }
