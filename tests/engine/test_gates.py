"""Rules made for ReLUs serve gates of channels, and moved values; they refuse activations in whatever disguise."""

from __future__ import annotations

from collections.abc import Callable

import networks as nets
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import posgrad_edu as pg
from posgrad_edu.errors import UnsupportedOperation


class Between(nn.Module):
    """conv, ReLU, what is under test, conv, ReLU, head; ``weights`` is for what needs some."""

    def __init__(
        self,
        between: Callable[[Between, Tensor], Tensor] = lambda net, z: z,
        head: Callable[[Between, Tensor], Tensor] = lambda net, v: net.fc(v),
    ) -> None:
        super().__init__()
        self.between, self.head = between, head
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.gate, self.along = nn.Conv2d(8, 8, 1), nn.Conv1d(1, 1, 3, padding=1)
        self.fc, self.units = nn.Linear(8, 6), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        z = self.between(self, F.relu(self.first(x)))
        return self.head(self, F.relu(self.second(z)).mean((2, 3)))

    def excited(self, z: Tensor) -> Tensor:
        return self.gate(z.mean((2, 3), keepdim=True))


def standardized(net: Between, z: Tensor) -> Tensor:
    w = net.second.weight
    return F.relu(F.conv2d(z, (w - w.mean((1, 2, 3), keepdim=True)) / w.std((1, 2, 3), keepdim=True), padding=1))


def assigned(net: Between, z: Tensor) -> Tensor:
    swapped = torch.zeros_like(z)
    swapped[:, :4], swapped[:, 4:] = z[:, 4:], 0.5 * z[:, :4]
    return swapped


def doubled_part(net: Between, z: Tensor) -> Tensor:
    doubled = z.clone()
    doubled[:, :4] *= 2
    return doubled


def split_attention(net: Between, z: Tensor) -> Tensor:
    parts = torch.stack([z, z.roll(1, 1)], dim=1)
    share = torch.stack([net.excited(z), net.excited(z.roll(1, 1))], dim=1).softmax(1)
    return (parts * share).sum(1)


def filled(net: Between, z: Tensor) -> Tensor:
    a = z.clone()
    a[:, :2].fill_(0.5)
    return a


def rotated(net: Between, z: Tensor) -> Tensor:
    turn = torch.tensor([[0.9, 0.1, 0], [-0.1, 0.9, 0]]).to(z).expand(len(z), 2, 3)
    return F.grid_sample(z, F.affine_grid(turn, z.shape, align_corners=False), align_corners=False)


SERVED: dict[str, Callable[[Between, Tensor], Tensor]] = {
    "a gate of channels": lambda net, z: z * torch.sigmoid(net.excited(z)),
    "a hard sigmoid": lambda net, z: z * F.hardsigmoid(net.excited(z)),
    "an expanded gate": lambda net, z: z * torch.sigmoid(net.excited(z)).expand_as(z),
    "a gate along channels": lambda net, z: (
        z * torch.sigmoid(net.along(z.mean((2, 3)).unsqueeze(1))).squeeze(1)[..., None, None].expand_as(z)
    ),
    "a gate of places": lambda net, z: z * torch.sigmoid(z.mean(1, keepdim=True)),
    "split attention": split_attention,
    "standardized weights": standardized,
    "assigned parts": assigned,
    "a filled part": filled,
    "a part times a number": doubled_part,
    "unfolded and folded": lambda net, z: F.fold(F.unfold(z, 3, padding=1), z.shape[-2:], 3, padding=1),
    "a constant grid": rotated,
    "a number": lambda net, z: torch.ops.aten.mul.Scalar(torch.ops.aten.div.Scalar(z, 3.0), 2.0),
    "shuffled": lambda net, z: F.channel_shuffle(z, 4),
    "sorted": lambda net, z: z.sort(1).values,
    "antialiased": lambda net, z: F.interpolate(z, scale_factor=0.5, mode="bilinear", antialias=True),
}
HEADS: dict[str, Callable[[Between, Tensor], Tensor]] = {
    "cosine": lambda net, v: 10 * F.linear(F.normalize(v), F.normalize(net.fc.weight)),
    "softmax": lambda net, v: net.fc(v).softmax(1),
    "log-softmax": lambda net, v: net.fc(v).log_softmax(1),
    "temperature": lambda net, v: net.fc(v) / torch.tensor(2.0),
    "sigmoid": lambda net, v: net.fc(v).sigmoid(),
}


def relu_of_a_part(net: Between, z: Tensor) -> Tensor:
    a = net.second(z)
    a[:, :4].relu_()
    return a


def larger_of_what_is_written_beside_zeros(net: Between, z: Tensor) -> Tensor:
    pair = torch.zeros(2, *z.shape, dtype=z.dtype)
    pair[0] = net.second(z)
    return pair.amax(0)


def chosen(net: Between, z: Tensor) -> Tensor:
    a = net.second(z)
    return torch.stack([torch.zeros_like(a), a]).gather(0, (a > 0).long()[None])[0]


def twice_as_wide(net: Between, z: Tensor) -> Tensor:
    a = net.second(z).unsqueeze(1)
    return (a.expand(-1, 2, -1, -1, -1) * torch.sigmoid(a)).mean(1)


def flat_mask(net: Between, z: Tensor) -> Tensor:
    a = net.second(z)
    return (a.flatten() * (a > 0).to(a).flatten()).reshape(a.shape)


def photos_own_weights(net: Between, z: Tensor) -> Tensor:
    w = net.second.weight * z.mean().view(1, 1, 1, 1)
    return F.conv2d(z, w, padding=1)


def attention(net: Between, z: Tensor) -> Tensor:
    f = z.flatten(2)
    weights = torch.baddbmm(f.new_zeros(()), f.transpose(1, 2), f).softmax(-1)
    return torch.bmm(f, weights).view(z.shape)


REFUSED: dict[str, Callable[[Between, Tensor], Tensor]] = {
    "SiLU": lambda net, z: net.second(z) * net.second(z).sigmoid(),
    "SiLU, expanded": twice_as_wide,
    "a sigmoid before weights": lambda net, z: net.second(z).sigmoid(),
    "tanh": lambda net, z: net.second(z).tanh(),
    "a float mask": lambda net, z: net.second(z) * (net.second(z) > 0).to(z),
    "a flat mask": flat_mask,
    "a detached scale": lambda net, z: net.second(z) * (net.second(z).sign().detach() + 1.5),
    "one over": lambda net, z: torch.ones(8, 1, 1).to(z) / (net.second(z) + 20),
    "an outer product": lambda net, z: z + (z.mean(3, keepdim=True) * z.mean(2, keepdim=True)),
    "a ReLU of a part": relu_of_a_part,
    "the larger of it and 0": lambda net, z: torch.stack([net.second(z), torch.zeros_like(z)]).amax(0),
    "the larger of it and 0, written": larger_of_what_is_written_beside_zeros,
    "one of two by an index": chosen,
    "a filled part": lambda net, z: net.second(z).masked_fill(net.second(z) < 0, 0),
    "norms of one value": lambda net, z: torch.linalg.vector_norm(net.second(z).unsqueeze(-1), dim=-1),
    "attention": attention,
    "products of rows": lambda net, z: torch.stack([(f @ f.T).view(1, 8, 8).mean(0) @ f for f in z.flatten(2)]).view(
        z.shape
    ),
}

each = pytest.mark.parametrize


def signed_is_the_gradient(net: nn.Module) -> None:
    x = nets.photos(16)
    for method in (pg.METHODS["guided-backprop"]("signed"), pg.METHODS["rectgrad"]("signed", q=0)):
        assert torch.allclose(method(net, x, 1), pg.explain(net, x, 1, "gradient"), rtol=1e-9, atol=1e-12)


@each("name", SERVED)
def test_what_is_no_activation_is_served(name: str) -> None:
    signed_is_the_gradient(nets.seeded(lambda: Between(SERVED[name])))


@each("name", HEADS)
def test_heads_are_served(name: str) -> None:
    signed_is_the_gradient(nets.seeded(lambda: Between(head=HEADS[name])))


@each("method", ["guided-backprop", "deconvnet", "rectgrad"])
@each("name", REFUSED)
@each("photos", [1, 3])
def test_activations_in_disguise_are_refused(name: str, method: str, photos: int) -> None:
    net = nets.seeded(lambda: Between(REFUSED[name])).requires_grad_(photos == 1)
    with pytest.raises(UnsupportedOperation, match=f"{method} has no rule for"):
        pg.explain(net, nets.photos(16)[:photos], 1, method)


@each("photos", [1, 3])
def test_masks_of_units_are_refused(photos: int) -> None:
    net = nets.seeded(lambda: Between(head=lambda net, v: net.fc(net.units(v) * (net.units(v) > 0).to(v))))
    with pytest.raises(UnsupportedOperation, match="no gradient, such as z > 0"):
        pg.explain(net, nets.photos(16)[:photos], 1, "guided-backprop")


class Crops(nn.Module):
    """The mean logits of a photo and its mirror image, asked in one batch."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Between()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(torch.stack([x, x.flip(-1)], 1).flatten(0, 1)).view(len(x), 2, -1).mean(1)


@each("method", ["fullgrad", "rectgrad"])
def test_layers_that_run_on_other_pictures_are_refused(method: str) -> None:
    net = nets.seeded(Crops)
    with pytest.raises(UnsupportedOperation, match=r"runs on 6 picture.* for 3 photo"):
        pg.explain(net, nets.photos(16), 1, method)
    signed = pg.explain(net, nets.photos(16), 1, "guided-backprop", "signed")
    assert torch.allclose(signed, pg.explain(net, nets.photos(16), 1, "gradient"), rtol=1e-9, atol=1e-12)


@each("clip", [lambda z: z.clamp(min=-0.01), lambda z: F.hardtanh(z, -0.01, 0.01), lambda z: z.clip(-0.01, 2)])
def test_fullgrad_refuses_bounds_that_enter_as_constants(clip: Callable[[Tensor], Tensor]) -> None:
    net = nets.seeded(lambda: Between(lambda net, z: clip(net.second(z))))
    with pytest.raises(UnsupportedOperation, match="its bound is a constant"):
        pg.explain(net, nets.photos(16), 1, "fullgrad")


def test_fullgrad_takes_a_clamp_that_clips_nothing() -> None:
    net = nets.seeded(lambda: Between(lambda net, z: z.clamp(-100, 100)))
    terms = pg.methods.fullgrad.fullgrad_terms(net, nets.photos(16), 1)
    total = sum(term.flatten(1).sum(1) for term in terms)
    assert torch.allclose(total, net(nets.photos(16))[:, 1])


@each("method", [m for m in pg.METHODS if "cam" not in m])
def test_reentrant_checkpoints_are_refused(method: str) -> None:
    def between(net: Between, z: Tensor) -> Tensor:
        return checkpoint(lambda t: F.relu(net.second(t)), z, use_reentrant=True)

    with pytest.raises(UnsupportedOperation):
        pg.explain(nets.seeded(lambda: Between(between)), nets.photos(16), 1, method)


class ByPhoto(nn.Module):
    """A network that torch.func runs on each photo by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Between()

    def forward(self, x: Tensor) -> Tensor:
        return torch.func.vmap(lambda photo: self.net(photo[None])[0])(x)


def test_a_network_inside_vmap_is_served_or_refused() -> None:
    signed_is_the_gradient(nets.seeded(ByPhoto))
    with pytest.raises(UnsupportedOperation, match="such as vmap"):
        pg.explain(nets.seeded(ByPhoto), nets.photos(16), 1, "lrp")


@each("method", ["gradcam", "layercam"])
def test_cams_of_compiled_networks_are_refused(method: str) -> None:
    net = torch.compile(nets.seeded(Between), backend="eager")
    with pytest.raises(UnsupportedOperation, match=r"net\._orig_mod"):
        pg.explain(net, nets.photos(16), 1, method)
