"""Constants that a network adds: FullGrad counts them as biases, LRP refuses them; sums of constants alone are left."""

from __future__ import annotations

from collections.abc import Callable

import networks as nets
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.engine.backward import is_constant
from posgrad_edu.errors import UnsupportedOperation
from posgrad_edu.methods.fullgrad import fullgrad_terms

Change = Callable[[nn.Module, Tensor], Tensor]


class Changing(nn.Module):
    """A convolution, ``change`` with a parameter and a buffer at hand, a ReLU, and a linear layer."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)
        self.shift = nn.Parameter(torch.randn(4))
        self.register_buffer("fixed", torch.randn(4, 1, 1))
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.change(self, self.conv(x)).relu().mean((2, 3)))


CONSTANTS: dict[str, Change] = {
    "number": lambda net, z: z + 1,
    "number first": lambda net, z: 1 + z,
    "number, in place": lambda net, z: z.add_(0.5),
    "tensor": lambda net, z: z + torch.ones(1),
    "buffer": lambda net, z: z + net.fixed,
    "buffer first": lambda net, z: torch.add(net.fixed, z),
    "keywords": lambda net, z: torch.add(input=z, other=net.fixed),
    "parameter": lambda net, z: z + net.shift[:, None, None],
    "what is made of parameters": lambda net, z: z + (2 * net.shift).view(-1, 1, 1).exp(),
    "parameter, in place": lambda net, z: z.add_(net.shift.view(1, 4, 1, 1)),
    "multiple": lambda net, z: torch.add(z, net.fixed, alpha=-0.5),
    "into a buffer": lambda net, z: net.fixed.repeat(len(z), 1, *z.shape[2:]).add_(z),
    "detached": lambda net, z: z + z.detach().abs(),
    "a clamp of a buffer": lambda net, z: z + net.fixed.clamp(-0.1, 0.1),
    "a layer of a buffer": lambda net, z: z + F.conv2d(net.fixed[None], net.shift.diag()[..., None, None], net.shift),
}
DIFFERENCES: dict[str, Change] = {
    "minus a number": lambda net, z: z - 0.5,
    "a number minus": lambda net, z: 1 - z,
    "minus a buffer": lambda net, z: z - net.fixed,
    "minus a parameter, in place": lambda net, z: z.sub_(net.shift[:, None, None]),
    "a buffer minus": lambda net, z: net.fixed - z,
    "torch.rsub": lambda net, z: torch.rsub(z, net.fixed, alpha=2),
    "normalized": lambda net, z: torch.subtract(z, 0.2).div(0.3),
    "subtract": lambda net, z: z.subtract(0.2),
    "subtract_": lambda net, z: z.subtract_(net.fixed),
}
FREE: dict[str, Change] = {
    "residual": lambda net, z: z + z.relu(),
    "difference": lambda net, z: z - z.relu(),
    "two constants": lambda net, z: z * (net.fixed + net.shift[:, None, None]),
}


def made(change: Change, frozen: bool) -> tuple[nn.Module, Tensor]:
    return nets.seeded(lambda: Changing(change)).requires_grad_(not frozen), nets.photos(8)


each_frozen = pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "trainable"])


@each_frozen
@pytest.mark.parametrize("name", [*CONSTANTS, *DIFFERENCES, *FREE])
def test_fullgrad_s_terms_add_up_to_the_logit_with_constants(name: str, frozen: bool) -> None:
    net, x = made((CONSTANTS | DIFFERENCES | FREE)[name], frozen)
    terms = fullgrad_terms(net, x, [[0, 1]] * len(x))
    logits = net(x).detach()
    assert nets.largest(sum(term.flatten(2).sum(2) for term in terms), logits) < 1e-12
    assert len(terms) == (3 if name in FREE else 4)  # the photo, convolution, constant, linear layer
    assert pg.explain(net, x, 0, "fullgrad").shape == (3, 8, 8)


def test_the_term_of_a_constant_by_hand() -> None:
    net, x = made(CONSTANTS["parameter"], frozen=False)
    term = fullgrad_terms(net, x, 1)[2]
    gate = (net.conv(x) + net.shift[:, None, None] > 0).double()
    expected = net.shift[:, None, None] * net.fc.weight[1][:, None, None] * gate / 36
    assert nets.largest(term[:, 0], expected.detach()) < 1e-12


def test_a_network_that_normalizes_its_photos_itself() -> None:
    class Normalized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nets.plain()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x.sub_(0.5).div_(0.25))

    net, x = nets.seeded(Normalized), nets.photos(16)
    terms = fullgrad_terms(net, x, 0)
    assert nets.largest(sum(term.flatten(1).sum(1) for term in terms), net(x.clone())[:, 0].detach()) < 1e-12
    assert [tuple(term.shape[2:]) for term in terms[:2]] == [(3, 16, 16), (3, 16, 16)]


def test_fullgrad_refuses_constants_added_to_tokens() -> None:
    net, x = made(lambda net, z: (z.flatten(2) + 1).view_as(z), frozen=True)
    with pytest.raises(UnsupportedOperation, match=r"fullgrad has no rule for .*add\. Here it works on tokens"):
        fullgrad_terms(net, x, 0)


def test_a_bias_whose_layer_nobody_reads_has_terms_of_zero() -> None:
    def idle(net: nn.Module, z: Tensor) -> Tensor:
        net.conv(torch.cat([z, z])[:2, :3])
        return z

    net, x = made(idle, frozen=True)
    unread = fullgrad_terms(net, x, [[0, 1]] * 3)[2]
    assert unread.shape == (2, 2, 4, 4, 4)
    assert not unread.any()


@each_frozen
@pytest.mark.parametrize("bias", ["absorb", "ignore"])
@pytest.mark.parametrize("name", CONSTANTS)
def test_lrp_refuses_constants(name: str, bias: str, frozen: bool) -> None:
    net, x = made(CONSTANTS[name], frozen)
    with pytest.raises(UnsupportedOperation, match=r"lrp has no rule for .*add_?\. It adds a constant or a multiple"):
        pg.explain(net, x, 0, "lrp", bias=bias)


@each_frozen
def test_lrp_keeps_all_relevance_where_constants_are_only_added_to_constants(frozen: bool) -> None:
    def residual(net: nn.Module, z: Tensor) -> Tensor:
        assert (net.fixed + net.shift[:, None, None] + 1).shape == (4, 1, 1)
        assert (net.fixed * net.shift.exp().view(-1, 1, 1)).shape == (4, 1, 1)  # no rule, and no relevance either
        return z + z.relu()

    net, x = made(residual, frozen)
    kept = pg.explain(net, x, 0, "lrp", rule="zero", bias="ignore").sum((1, 2))
    assert (kept - 1).abs().max() < 1e-9


def test_what_is_constant() -> None:
    photo, weight = torch.randn(3, requires_grad=True), nn.Parameter(torch.randn(3))
    for value in (1, 2.5, None, torch.ones(3), weight, 2 * weight, weight[:1].exp() + torch.ones(1), photo.detach()):
        assert is_constant(value)
    for value in (photo, photo[:1], photo * weight, weight + photo.exp(), torch.cat([weight, photo])):
        assert not is_constant(value)


class Standardized(nn.Conv2d):
    """A convolution whose weights are standardized anew in each pass, by the function for BatchNorms, as timm does."""

    def now(self) -> Tensor:
        flat = self.weight.reshape(1, len(self.weight), -1)
        return F.batch_norm(flat, None, None, training=True, momentum=0.0, eps=1e-6).reshape_as(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.now(), self.bias, padding=1)


@pytest.mark.parametrize("method", ["lrp", "fullgrad"])
@pytest.mark.parametrize("frozen", [True, False])
def test_weights_that_are_standardized_are_constants(method: str, frozen: bool) -> None:
    rest = nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 3)
    net = nets.seeded(lambda: nn.Sequential(Standardized(3, 4, 3), *rest))
    plain = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1).double(), *net[1:]).eval()
    plain[0].weight.data, plain[0].bias.data = net[0].now().detach(), net[0].bias.detach()
    net.requires_grad_(not frozen)
    x = nets.photos(8)
    torch.testing.assert_close(pg.explain(net, x, 1, method), pg.explain(plain, x, 1, method))


def bordered(z: Tensor, value: float = 0.7) -> Tensor:
    """Put a constant where no rule sees it."""
    return F.pad(z, (1, 1, 1, 1), value=value)


AFTER: dict[str, Change] = {
    "nothing": lambda net, z: bordered(z),
    "plus a number": lambda net, z: bordered(z) + 1,
    "number first": lambda net, z: 1 + bordered(z),
    "minus a buffer": lambda net, z: bordered(z) - net.fixed,
    "a number minus": lambda net, z: 1 - bordered(-z, -0.7),
    "divided by a clamp": lambda net, z: bordered(z) / bordered(z).abs().sum(1, keepdim=True).clamp(min=1e-6),
    "divided by a clamped parameter": lambda net, z: bordered(z) / (0 * net.shift[:, None, None]).clamp(min=0.1),
    "hidden by a ReLU": lambda net, z: 1 - bordered(z),
    "hidden by a ReLU6": lambda net, z: F.relu6(bordered(z, -0.7)) + bordered(z, -0.7).clamp(0, 2),
    "in place": lambda net, z: bordered(z).add_(net.fixed),
    "a residual addition": lambda net, z: bordered(z) + bordered(z).relu(),
    "a convolution": lambda net, z: F.conv2d(bordered(z), net.fixed.new_ones(4, 4, 1, 1), net.shift),
    "a BatchNorm": lambda net, z: F.batch_norm(
        bordered(z), net.fixed.flatten(), net.fixed.new_ones(4), None, net.shift
    ),
    "a clamp": lambda net, z: bordered(z).clamp(-100, 100),
}


@each_frozen
@pytest.mark.parametrize("name", AFTER)
def test_a_constant_that_no_rule_sees_is_found_behind_whatever_follows(name: str, frozen: bool) -> None:
    net, x = made(AFTER[name], frozen)
    with pytest.raises(UnsupportedOperation, match=r"^fullgrad found a constant in this network that is no bias of a"):
        fullgrad_terms(net, x, 0)
