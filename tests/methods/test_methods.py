"""Each method against its definition written out plainly, and the identities between methods."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable

import networks as nets
import pytest
import torch
import torch.nn.functional as F
from networks import explain, largest
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.engine.graph import Gate
from posgrad_edu.handling import HANDLINGS, Handling
from posgrad_edu.methods.fullgrad import fullgrad_terms
from posgrad_edu.methods.photo_pass import PhotoPass
from posgrad_edu.methods.rectgrad import kth_smallest
from posgrad_edu.methods.relu_rules import GuidedBackprop

Case = tuple[str, nn.Module, Tensor, Tensor]
CAMS = ("gradcam", "gradcam++", "layercam")
INPUT_SPACE = ("gradient", "input-x-gradient", "deconvnet", "guided-backprop", "rectgrad", "lrp")
# The handling each method was published with; LRP's is a composite of two.
PUBLISHED = {
    "gradient": "signed",
    "input-x-gradient": "signed",
    "gradcam": "signed",
    "gradcam++": "positive",
    "layercam": "positive",
    "fullgrad": "absolute",
    "deconvnet": "positive",
    "guided-backprop": "positive",
    "rectgrad": "positive",
}
EXACT = 1e-12  # two float64 computations in another order


def autograd(net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Return the gradient of each photo's logit, one photo at a time."""
    grads = []
    for photo, c in zip(x, target.tolist(), strict=True):
        leaf = photo.unsqueeze(0).clone().requires_grad_()
        grads.append(torch.autograd.grad(net(leaf)[0, c], leaf)[0])
    return torch.cat(grads)


# Identities


def test_gradient_is_autograds(case: Case) -> None:
    _, net, x, target = case
    expected = autograd(net, x, target)
    assert largest(explain(net, x, target, "gradient", reduce=None), expected) < EXACT
    assert largest(explain(net, x, target, "gradient"), expected.sum(1)) < EXACT
    assert largest(explain(net, x, target, "input-x-gradient"), (x * expected).sum(1)) < EXACT


def test_input_x_gradient_is_complete_without_biases() -> None:
    net, x = nets.seeded(lambda: nets.plain(bias=False)), nets.photos(16)
    maps = explain(net, x, nets.TARGETS, "input-x-gradient")
    assert largest(maps.sum((2, 3)), net(x).detach().gather(1, nets.TARGETS)) < EXACT


def test_guided_backprop_signed_is_the_gradient(case: Case) -> None:
    _, net, x, target = case
    gradient = explain(net, x, target, "gradient", reduce=None)
    assert torch.equal(explain(net, x, target, "guided-backprop", "signed", reduce=None), gradient)
    assert largest(explain(net, x, target, "guided-backprop", reduce=None), gradient) > 0.1


def test_guided_backprop_goes_back_by_its_rule_to_the_gradient(case: Case) -> None:
    """Signed it takes the gradient's pass; a handling of one's own that changes nothing goes through each ReLU."""
    _, net, x, target = case
    unchanged = Handling("unchanged", lambda information: information)
    gradient = explain(net, x, target, "gradient", reduce=None)
    assert torch.equal(explain(net, x, target, "guided-backprop", unchanged, reduce=None), gradient)


def test_a_derived_guided_backprop_keeps_its_own_way_back(case: Case) -> None:
    class Doubled(GuidedBackprop):
        def back(self, grad: Tensor, gated: Tensor, gate: Gate) -> Tensor:
            return 2 * super().back(grad, gated, gate)

    _, net, x, target = case
    assert largest(explain(net, x, target, Doubled, "signed"), explain(net, x, target, "gradient")) > 0.1


def test_rectgrad_that_cuts_nothing(case: Case) -> None:
    _, net, x, target = case
    signed = explain(net, x, target, "rectgrad", "signed", q=0, reduce=None)
    assert largest(signed, explain(net, x, target, "gradient", reduce=None)) < EXACT
    positive = explain(net, x, target, "rectgrad", "positive", q=0, reduce=None)
    assert largest(positive, explain(net, x, target, "guided-backprop", reduce=None)) < EXACT
    assert largest(explain(net, x, target, "rectgrad", q=0.9, reduce=None), positive) > 0.01


@pytest.mark.parametrize("method", PUBLISHED)
def test_no_handling_is_the_published_one(method: str, case: Case) -> None:
    _, net, x, target = case
    published = explain(net, x, target, method)
    assert torch.equal(published, explain(net, x, target, method, PUBLISHED[method]))
    assert pg.METHODS[method].published == HANDLINGS[PUBLISHED[method]]
    assert torch.equal(published, explain(net, x, target, method, HANDLINGS[PUBLISHED[method]]))


def test_every_method_is_looked_at() -> None:
    assert set(pg.METHODS) == {*PUBLISHED, "lrp"} == {*CAMS, *INPUT_SPACE, "fullgrad"}


@pytest.mark.parametrize("method", pg.METHODS)
def test_the_four_handlings_give_four_maps(method: str) -> None:
    net, x, target = nets.make("batchnorm")
    maps = {h: explain(net, x, target, method, h) for h in HANDLINGS}
    for a in maps:
        for b in maps:
            assert a == b or largest(maps[a], maps[b]) > 0.01, (a, b)


@pytest.mark.parametrize("handling", HANDLINGS)
@pytest.mark.parametrize("method", ["gradient", "input-x-gradient"])
def test_handling_of_the_gradient_acts_on_the_finished_map(method: str, handling: str, case: Case) -> None:
    _, net, x, target = case
    for reduce in ("sum", "absmax", None):
        finished = explain(net, x, target, method, "signed", reduce=reduce)
        assert torch.equal(explain(net, x, target, method, handling, reduce=reduce), HANDLINGS[handling](finished))


# Deconvnet, guided backprop, rectgrad, written out by hand


def by_hand(
    photo: Tensor, c: int, matrices: list[Tensor], biases: list[Tensor], relu: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Go forward through the matrices and back again; ``relu(z, g)`` is what a ReLU passes on."""
    inputs, a = [], photo.flatten()
    for matrix, bias in zip(matrices[:-1], biases[:-1], strict=True):
        inputs.append(matrix @ a + bias)
        a = inputs[-1].clamp(min=0)
    signal = matrices[-1][c]
    for matrix, z in zip(reversed(matrices[:-1]), reversed(inputs), strict=True):
        signal = relu(z, signal) @ matrix
    return signal.reshape(photo.shape)


BY_HAND: dict[str, Callable[[float], float]] = {
    "signed": lambda g: g,
    "positive": lambda g: g if g > 0 else 0.0,
    "negative": lambda g: g if g < 0 else 0.0,
    "absolute": lambda g: g if g > 0 else -g,
}


def rectified(z: Tensor, g: Tensor, handle: Callable[[float], float], q: float) -> Tensor:
    handled = [handle(v) for v in g.tolist()]
    contributions = [abs(max(a, 0.0) * r) for a, r in zip(z.tolist(), handled, strict=True)]
    ordered = sorted(contributions)
    threshold = ordered[math.ceil(q * len(ordered)) - 1] if q else 0.0
    return torch.tensor(
        [r if c > threshold else 0.0 for r, c in zip(handled, contributions, strict=True)], dtype=z.dtype
    )


@pytest.mark.parametrize("handling", HANDLINGS)
@pytest.mark.parametrize("method", ["gradient", "deconvnet", "guided-backprop", "rectgrad"])
def test_backward_rules_by_hand(method: str, handling: str) -> None:
    net, x, matrices, biases = nets.toy()
    handle = BY_HAND[handling]
    rules: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "gradient": lambda z, g: torch.where(z > 0, g, 0.0),
        "deconvnet": lambda z, g: torch.tensor([handle(v) for v in g.tolist()], dtype=z.dtype),
        "guided-backprop": lambda z, g: torch.tensor(
            [handle(v) if a > 0 else 0.0 for v, a in zip(g.tolist(), z.tolist(), strict=True)], dtype=z.dtype
        ),
        "rectgrad": lambda z, g: rectified(z, g, handle, 0.7),
    }
    options = {"q": 0.7} if method == "rectgrad" else {}
    target = torch.tensor([4, 0, 2])
    ours = explain(net, x, target, method, "signed" if method == "gradient" else handling, reduce=None, **options)
    hand = [by_hand(photo, c, matrices, biases, rules[method]) for photo, c in zip(x, target.tolist(), strict=True)]
    assert largest(ours, torch.stack(hand)) < EXACT


def test_deconvnet_signed_is_the_product_of_the_weights() -> None:
    net, x, (m1, m2, m3, m4), _ = nets.toy()
    product = m4 @ m3 @ m2 @ m1  # no gate anywhere: the same for every photo
    ours = explain(net, x, torch.tensor([1, 1, 3]), "deconvnet", "signed", reduce=None)
    assert largest(ours, product[[1, 1, 3]].reshape(x.shape)) < EXACT
    assert torch.equal(ours[0], ours[1])


@pytest.mark.parametrize("q", [0.1, 0.5, 0.75, 0.9])
def test_rectgrad_cuts_at_least_the_share_q_in_a_layer(q: float) -> None:
    net = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(300, 2)).double().eval()
    x = nets.photos(10)
    maps = explain(net, x, 1, "rectgrad", "absolute", q=q, reduce=None)
    contributions = (x.clamp(min=0) * net[2].weight[1].reshape(3, 10, 10)).abs().flatten(1)
    for kept, c in zip((maps != 0).flatten(1), contributions, strict=True):
        assert (~kept).sum() == max(math.ceil(q * 300), (c == 0).sum())  # no ties among these
        assert c[kept].min() > c[~kept].max()


def test_the_kth_smallest_of_many_values() -> None:
    values = nets.photos(20).flatten(1).clamp(min=0)  # half of them are 0
    for k in range(1, values.shape[1] + 1, 97):
        for each in (values, values.bfloat16()):  # the second goes as on a GPU
            assert torch.equal(kth_smallest(each, k), each.kthvalue(k, dim=1).values)


def test_signed_guided_backprop_needs_no_way_back_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x, target = nets.make("plain")
    expected = explain(net, x, target, "gradient")
    monkeypatch.setattr(PhotoPass, "signal", None)
    assert torch.equal(explain(net, x, target, "guided-backprop", "signed"), expected)


def test_rectgrad_remembers_activations_that_are_overwritten_later() -> None:
    _, x, target = nets.make("plain")  # a clamp's output may be changed in place: its derivative needs the input only
    expected = explain(nets.spelled(lambda z: z.clamp(min=0) + 0.5), x, target, "rectgrad")
    assert torch.equal(explain(nets.spelled(lambda z: z.clamp(min=0).add_(0.5)), x, target, "rectgrad"), expected)


def test_rectgrad_times_input() -> None:
    net, x, target = nets.make("inplace")
    plain = explain(net, x, target, "rectgrad", reduce=None)
    assert torch.equal(explain(net, x, target, "rectgrad", times_input=True), (x * plain).sum(1))


def test_reductions_over_colour_channels(case: Case) -> None:
    _, net, x, target = case
    for method in INPUT_SPACE:
        channels = explain(net, x, target, method, reduce=None)
        assert channels.shape == x.shape
        assert torch.equal(explain(net, x, target, method), channels.sum(1))
        strongest = torch.where(channels.amax(1) >= -channels.amin(1), channels.amax(1), channels.amin(1))
        assert torch.equal(explain(net, x, target, method, reduce="absmax"), strongest)


# CAMs, from recorded activations


def recorded(net: nn.Module, layer: nn.Module, photo: Tensor, c: int) -> tuple[Tensor, Tensor]:
    """Return a layer's activations and gradients (C, h, w), recorded without the package's help."""
    kept: list[Tensor] = []

    def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        kept.append(output.detach().clone().requires_grad_())
        return kept[-1].clone()

    handle = layer.register_forward_hook(hook)
    try:
        logit = net(photo.unsqueeze(0))[0, c]
    finally:
        handle.remove()
    return kept[-1].detach()[0], torch.autograd.grad(logit, kept[-1])[0][0]


def cam_by_hand(method: str, activation: Tensor, gradient: Tensor, handle: Callable[[float], float]) -> Tensor:
    channels, height, width = activation.shape
    places = [(i, j) for i in range(height) for j in range(width)]
    a, g = activation.tolist(), gradient.tolist()
    out = [[0.0] * width for _ in range(height)]
    for k in range(channels):
        total = math.fsum(a[k][i][j] for i, j in places)
        if method == "gradcam":
            weight = math.fsum(handle(g[k][i][j]) for i, j in places) / len(places)
        elif method == "gradcam++":
            weight = 0.0
            for i, j in places:
                v = g[k][i][j]
                alpha = v**2 / (2 * v**2 + total * v**3) if v != 0 else 0.0
                weight += alpha * handle(v)
        for i, j in places:
            out[i][j] += (handle(g[k][i][j]) if method == "layercam" else weight) * a[k][i][j]
    return torch.tensor(out, dtype=torch.float64)


LAYERS = {
    "plain": ("conv2", "relu2"),
    "inplace": ("conv1", "conv2"),  # followed by a ReLU in place
    "batchnorm": ("bn1", "relu2"),
    "functional": ("conv2",),
    "residual": ("layer2", "layer4.0.bn2"),
    "dense": ("features.denseblock2", "features.norm5"),  # read by an F.relu in place
    "relu6": ("features.2", "features.5.0"),  # the second has many channels, and loops by hand take their time
}


@pytest.mark.parametrize("handling", HANDLINGS)
@pytest.mark.parametrize("method", CAMS)
@pytest.mark.parametrize(
    ("name", "layer"),
    [
        pytest.param(n, layer, marks=[pytest.mark.slow] if layer == "features.5.0" else [])
        for n, layers in LAYERS.items()
        for layer in layers
    ],
)
def test_cams_from_recorded_activations(name: str, layer: str, method: str, handling: str) -> None:
    net, x, target = nets.make(name)
    module = net.get_submodule(layer)
    small = torch.stack(
        [
            cam_by_hand(method, *recorded(net, module, photo, c), BY_HAND[handling])
            for photo, c in zip(x, target.tolist(), strict=True)
        ]
    )
    expected = F.interpolate(small[:, None], size=x.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    ours = explain(net, x, target, method, handling, layer=layer)
    assert largest(ours, expected) < 1e-10  # gradcam++ signed is near its pole now and then
    assert torch.equal(ours, explain(net, x, target, method, handling, layer=module))
    clamped = F.interpolate(small[:, None].clamp(min=0), size=x.shape[-2:], mode="bilinear", align_corners=False)
    assert (pg.explain(net, x, target, method, handling, layer, relu=True) - clamped[:, 0]).abs().max() <= (
        1e-10 * expected.abs().max()
    )


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("plain", "relu2"),
        ("inplace", "relu2"),
        ("functional", "conv2"),
        ("batchnorm", "relu2"),
        ("residual", "layer4.0.relu"),
        ("dense", "features.norm5"),
        ("relu6", "features.5.2"),
    ],
)
def test_the_layer_by_default_is_the_last_with_positions(name: str, last: str) -> None:
    net, x, target = nets.make(name)
    assert torch.equal(explain(net, x, target, "gradcam"), explain(net, x, target, "gradcam", layer=last))


def test_a_relu_that_is_used_again_without_positions_counts_where_it_last_had_some() -> None:
    net, x, target = nets.make("reused")
    plain, _, _ = nets.make("plain")
    for method in CAMS:
        assert torch.equal(explain(net, x, target, method), explain(plain, x, target, method, layer="relu2"))


def test_the_default_layer_does_not_depend_on_what_was_explained_before() -> None:
    fresh, x, target = nets.make("residual")
    expected = explain(fresh, x, target, "gradcam")
    used, _, _ = nets.make("residual")
    smaller = nets.photos(24)  # the last stage has one position only
    of_smaller = explain(used, smaller, target, "gradcam")
    assert torch.equal(of_smaller, explain(used, smaller, target, "gradcam", layer="layer3.0.relu"))
    assert torch.equal(explain(used, x, target, "gradcam"), expected)
    assert torch.equal(explain(used, smaller, target, "gradcam"), of_smaller)


def test_gradcam_plus_plus_where_the_gradient_is_zero() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(18, 2)).double().eval()
    with torch.no_grad():
        net[2].weight[0, :5] = 0
    ours = explain(net, nets.photos(3), 0, "gradcam++", "signed", layer="0")
    assert torch.isfinite(ours).all()


def test_a_layer_s_channels_with_negative_gradients_vanish_under_positive() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)).double().eval()
    with torch.no_grad():
        net[3].weight[0] = torch.tensor([3.0, -5.0])
    x = nets.photos(4)
    a = net[0](x).detach()
    assert largest(explain(net, x, 0, "gradcam", "signed", layer="0"), (3 * a[:, 0] - 5 * a[:, 1]) / 16) < EXACT
    assert largest(explain(net, x, 0, "gradcam", "positive", layer="0"), 3 * a[:, 0] / 16) < EXACT
    assert largest(explain(net, x, 0, "gradcam", "negative", layer="0"), -5 * a[:, 1] / 16) < EXACT
    assert largest(explain(net, x, 0, "gradcam", "absolute", layer="0"), (3 * a[:, 0] + 5 * a[:, 1]) / 16) < EXACT


# FullGrad


def total(terms: list[Tensor]) -> Tensor:
    return torch.stack([t.flatten(2).sum(2) for t in terms]).sum(0)


def test_fullgrad_is_complete_on_relu_networks(relu_case: Case) -> None:
    _, net, x, _ = relu_case
    terms = fullgrad_terms(net, x, nets.TARGETS)
    assert largest(total(terms), net(x).detach().gather(1, nets.TARGETS)) < 1e-9
    assert all(not t.requires_grad for t in terms)
    only_input = total(terms[:1])
    assert largest(only_input, net(x).detach().gather(1, nets.TARGETS)) > 0.01  # the biases matter


def test_fullgrad_is_not_complete_where_relu6_saturates() -> None:
    net, x, _ = nets.make("relu6")
    saturated: list[bool] = []
    for module in net.modules():
        if isinstance(module, nn.ReLU6):
            module.register_forward_hook(lambda m, i, output: saturated.append(bool((output == 6).any())))
    logits = net(x).detach().gather(1, nets.TARGETS)
    assert any(saturated)
    assert largest(total(fullgrad_terms(net, x, nets.TARGETS)), logits) > 0.01
    for module in net.modules():  # the same network without the second gate is complete
        if isinstance(module, nn.ReLU6):
            module.max_val = math.inf
    assert largest(total(fullgrad_terms(net, x, nets.TARGETS)), net(x).detach().gather(1, nets.TARGETS)) < 1e-9


def test_fullgrad_terms_one_by_one() -> None:
    net, x, target = nets.make("batchnorm")
    terms = fullgrad_terms(net, x, target)
    # the input, conv1 has no bias, bn1, conv2, bn2, fc
    assert [tuple(t.shape[2:]) for t in terms] == [(3, 16, 16), (8, 16, 16), (12, 8, 8), (12, 8, 8), (6,)]
    assert largest(terms[0][:, 0], x * autograd(net, x, target)) < EXACT
    for index, (layer, bias) in enumerate(
        [
            (net.bn1, net.bn1.bias - net.bn1.running_mean * net.bn1.weight / (net.bn1.running_var + 1e-5).sqrt()),
            (net.conv2, net.conv2.bias),
            (net.bn2, net.bn2.bias - net.bn2.running_mean * net.bn2.weight / (net.bn2.running_var + 1e-5).sqrt()),
        ],
        start=1,
    ):
        for n, c in enumerate(target.tolist()):
            _, gradient = recorded(net, layer, x[n], c)
            assert largest(terms[index][n, 0], bias.detach()[:, None, None] * gradient) < EXACT


def psi_by_hand(term: Tensor, handle: Callable[[float], float], size: tuple[int, int]) -> Tensor:
    """Rescale one photo's term (C, h, w), resize channel after channel, and add them up."""
    handled = torch.tensor([handle(v) for v in term.flatten().tolist()], dtype=term.dtype).reshape(term.shape)
    low, high = handled.abs().min(), handled.abs().max()
    scaled = handled.sign() * (handled.abs() - low) / (high - low)
    out = torch.zeros(size, dtype=term.dtype)
    for channel in scaled:
        out += F.interpolate(channel[None, None], size=size, mode="bilinear", align_corners=True)[0, 0]
    return out


@pytest.mark.parametrize("handling", HANDLINGS)
@pytest.mark.parametrize("name", ["plain", "batchnorm", "residual", "relu6"])
def test_fullgrad_map_from_its_terms(name: str, handling: str) -> None:
    net, x, target = nets.make(name)
    expected = []
    for n in range(len(x)):
        terms = [t[n, 0] for t in fullgrad_terms(net, x, target) if t.ndim == 5]
        expected.append(sum(psi_by_hand(t, BY_HAND[handling], tuple(x.shape[-2:])) for t in terms))
    assert largest(explain(net, x, target, "fullgrad", handling), torch.stack(expected)) < EXACT


def test_fullgrad_published_psi() -> None:
    """The authors' own post-processing: abs, subtract the smallest, divide by the largest, resize, add."""
    net, x, target = nets.make("dense")
    expected = torch.zeros(3, *x.shape[-2:], dtype=torch.float64)
    for term in (t[:, 0] for t in fullgrad_terms(net, x, target) if t.ndim == 5):
        t = term.abs()
        t = t - t.flatten(1).min(1).values[:, None, None, None]
        t = t / t.flatten(1).max(1).values[:, None, None, None]
        expected += F.interpolate(t, size=x.shape[-2:], mode="bilinear", align_corners=True).sum(1)
    assert largest(explain(net, x, target, "fullgrad"), expected) < EXACT


def test_fullgrad_without_rescaling_adds_the_terms_as_they_are() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1), nn.Flatten())
    net = net.append(nn.Linear(50, 3, bias=False)).double().eval()  # positions stay: no resizing
    x = nets.photos(5)
    maps = explain(net, x, nets.TARGETS % 3, "fullgrad", "signed", rescale=False)
    assert largest(maps.sum((2, 3)), net(x).detach().gather(1, nets.TARGETS % 3)) < EXACT


# One forward pass, several classes, several photos


@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize("method", pg.METHODS)
def test_all_classes_share_one_forward_pass(method: str, classes: int) -> None:
    net, x, _ = nets.make("batchnorm")
    counting = nets.Counting(net).eval()
    target = torch.arange(classes).repeat(len(x), 1)
    explain(counting, x, target, method)
    assert (
        counting.calls <= 4
    )  # the first time it is audited (2), and a CAM looks for its layer or FullGrad for constants
    counting.calls = 0
    explain(counting, x, target, method)
    assert counting.calls == 1
    if method in CAMS:
        fresh = nets.Counting(nets.make("batchnorm")[0]).eval()
        explain(fresh, x, target, method, layer="net.conv2")
        assert fresh.calls == 3


@pytest.mark.parametrize("method", pg.METHODS)
def test_forms_of_target(method: str) -> None:
    net, x, _ = nets.make("inplace")
    one = explain(net, x, 4, method)
    assert one.shape == (3, 16, 16)
    for same in ([4, 4, 4], (4, 4, 4), torch.tensor([4, 4, 4]), torch.tensor(4), torch.tensor([4, 4, 4]).int()):
        assert torch.equal(explain(net, x, same, method), one)
    several = explain(net, x, nets.TARGETS, method)
    assert several.shape == (3, 2, 16, 16)
    assert torch.equal(explain(net, x, nets.TARGETS.tolist(), method), several)
    column = explain(net, x, torch.tensor([[4], [4], [4]]), method)
    assert column.shape == (3, 1, 16, 16)
    assert torch.equal(column[:, 0], one)


@pytest.mark.parametrize("handling", [None, *HANDLINGS])
@pytest.mark.parametrize("method", pg.METHODS)
def test_a_batch_gives_what_each_photo_and_class_gives_alone(method: str, handling: str | None, case: Case) -> None:
    name, net, x, _ = case
    options = {"q": nets.RECTGRAD_Q} if method == "rectgrad" else {}
    together = pg.explain(net, x, nets.TARGETS, method, handling, **options)
    empty = (method, handling, name) == ("lrp", "negative", "dense")  # its BatchNorms read values >= 0: nothing passes
    assert (together == 0).all() == empty
    for n, k in ((0, 1), (2, 0)):
        alone = pg.explain(net, x[n : n + 1], int(nets.TARGETS[n, k]), method, handling, **options)
        difference = (together[n, k] - alone[0]).abs().max()
        assert difference <= 1e-8 * together[n, k].abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", pg.METHODS)
def test_the_map_is_the_photo_s(method: str, dtype: torch.dtype) -> None:
    net, x, target = nets.make("residual")
    net, x = net.to(dtype), x[..., :33].to(dtype)  # not square
    before, version = x.clone(), x._version
    maps = explain(net, x, target, method)
    assert maps.shape == (3, 40, 33)
    assert (maps.dtype, maps.device) == (dtype, x.device)
    assert maps.grad_fn is None
    assert not maps.requires_grad
    assert torch.equal(x, before)
    assert x._version == version
    asked = x.clone().requires_grad_()
    assert torch.equal(explain(net, asked, target, method), maps)
    assert asked.grad is None
    if dtype == torch.float32:
        exact = explain(nets.make("residual")[0], x.double(), target, method, None)
        if method not in ("rectgrad",):  # a threshold: one unit in or out
            assert largest(maps.double(), exact) < 1e-3


class Normalized(nn.Module):
    """A network's own normalization, which overwrites its input."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sub_(0.5).div_(0.25)


def behind(first: nn.Module) -> nn.Module:
    """Return a network that begins with ``first``; the rest of it is always the same."""
    torch.manual_seed(0)
    rest = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(first, *rest, nn.Linear(4, 6)).double().eval()


@pytest.mark.parametrize("method", [name for name in pg.METHODS if name != "lrp"])
def test_a_first_layer_may_overwrite_its_input(method: str) -> None:
    net, x = behind(Normalized()), nets.photos(16)
    before = x.clone()
    maps = explain(net, x, nets.TARGET, method)  # the first call looks for the CAM's layer, the second knows it
    assert torch.equal(explain(net, x, nets.TARGET, method), maps)
    assert torch.equal(x, before)
    beforehand = explain(behind(nn.Identity()), (x - 0.5) / 0.25, nets.TARGET, method)
    if method in CAMS:
        assert torch.equal(maps, beforehand)
    elif method not in ("fullgrad", "input-x-gradient"):  # these two multiply by the photo before it is normalized
        assert largest(maps, beforehand / 0.25) < EXACT


@pytest.mark.parametrize("method", pg.METHODS)
def test_a_first_relu_may_work_in_place(method: str) -> None:
    x = nets.photos(16)
    maps = explain(behind(nn.ReLU(inplace=True)), x, nets.TARGET, method)
    assert torch.equal(maps, explain(behind(nn.ReLU()), x, nets.TARGET, method))


def test_what_else_asks_a_network_keeps_the_photos_too() -> None:
    from posgrad_edu.checks.black_boxes import Kind, boxed
    from posgrad_edu.widgets import LayerSlider

    net, x = behind(Normalized()), nets.photos(16)
    before = x.clone()
    boxed(Kind("activations", "activations"))(net, x, nets.TARGET)
    assert torch.equal(x, before)
    clf = pg.Classifier(net.float(), pg.Preprocessing(size=32, resize=32))
    slider = LayerSlider(clf, "coffee", layers=["1", "3"])
    assert torch.equal(slider._x, clf.batch(pg.load_photo("coffee")))


def test_a_method_of_ones_own() -> None:
    class Brightness(pg.Method):
        name = "brightness"

        def maps(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
            return self.handle(x.mean(1, keepdim=True)).expand(-1, target.shape[1], -1, -1)

    net, x, target = nets.make("plain")
    assert torch.equal(pg.explain(net, x, target, Brightness, "positive"), x.mean(1).clamp(min=0))


def test_a_method_with_a_record_of_its_own_beside_its_parent() -> None:
    class Doubled(pg.METHODS["gradient"]):  # type: ignore[misc, name-defined]
        name = "doubled"

        def record(self, net: nn.Module, x: Tensor, target: Tensor) -> object:
            made = super().record(net, x, target)
            made.gradient = 2 * made.gradient
            return made

    net, x, target = nets.make("plain")
    kinds = {"plain": pg.METHODS["gradient"], "doubled": Doubled}
    for order in (kinds, dict(reversed(kinds.items()))):
        together = pg.explain(net, x, target, {label: kind() for label, kind in order.items()})
        assert torch.equal(together["plain"], pg.explain(net, x, target, "gradient"))
        assert torch.equal(together["doubled"], 2 * together["plain"])


def test_method_objects_are_what_explain_calls() -> None:
    net, x, target = nets.make("plain")
    for name, kind in pg.METHODS.items():
        assert kind.name == name
        assert torch.equal(kind(handling="negative")(net, x, target), pg.explain(net, x, target, name, "negative"))


# Memory


class Graphs(nn.Module):
    """Passes its input on; what is ``kept`` lives as long as the graph of a forward pass does."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: weakref.WeakSet[object] = weakref.WeakSet()

    def forward(self, x: Tensor) -> Tensor:
        class Marker:
            pass

        marker = Marker()
        self.kept.add(marker)
        passed = x.clone()
        if passed.requires_grad:
            passed.register_hook(lambda grad, marker=marker: None)  # kept by the graph
        return passed


@pytest.mark.parametrize("method", [*(name for name in pg.METHODS if name != "lrp"), "all"])
@pytest.mark.slow
def test_no_graph_outlives_a_call(method: str) -> None:
    graphs = Graphs()
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), graphs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    x = torch.randn(2, 3, 8, 8)
    if method == "all":
        names = [name for name in pg.METHODS if name != "lrp"]
        pg.explain(net.eval(), x, 0, {name: pg.METHODS[name]() for name in names})
    else:
        pg.explain(net.eval(), x, 0, method)
    gc.collect()
    assert len(graphs.kept) == 0
