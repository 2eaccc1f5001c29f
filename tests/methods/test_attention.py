"""Attention rollout and gradient rollout: against a plain restatement, on networks of others, and what is refused."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.layers import set_fused_attn
from timm.utils.attention_extract import AttentionExtract
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torchvision.models import VisionTransformer

import posgrad_edu as pg
from posgrad_edu.engine.attention import FUSED, attention_layers
from posgrad_edu.engine.tokens import tokens_of
from posgrad_edu.methods import METHODS, AttentionRollout, GradientRollout
from posgrad_edu.scenes import ScenesTransformer

HANDLED = {
    "signed": lambda t: t,
    "positive": lambda t: torch.where(t > 0, t, 0.0),
    "negative": lambda t: torch.where(t < 0, t, 0.0),
    "absolute": lambda t: torch.where(t < 0, -t, t),
}
DOUBLE = torch.float64
each_handling = pytest.mark.parametrize("handling", HANDLED)


def random_weights(net: nn.Module, seed: int = 0) -> nn.Module:
    """Give each parameter values that are large enough for every block to matter: some networks begin near zero."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        spread = 1.5 / parameter.shape[-1] ** 0.5 if parameter.ndim > 1 else 0.5
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype) * spread
    return net.eval().requires_grad_(False)


def photos(n: int, *shape: int) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)


def scenes_net() -> nn.Module:
    return random_weights(ScenesTransformer(width=16, blocks=3, heads=2).to(DOUBLE))


def torchvision_net(**options: Any) -> nn.Module:
    sizes = {"image_size": 32, "patch_size": 8, "num_layers": 3, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 20}
    return random_weights(VisionTransformer(**{**sizes, **options}, num_classes=5).to(DOUBLE))


def timm_net(name: str = "vit_tiny_patch16_224", size: Any = 32, patch: int = 8, **options: Any) -> nn.Module:
    sizes = {"img_size": size, "patch_size": patch, "embed_dim": 16, "depth": 3, "num_heads": 2, "num_classes": 5}
    return random_weights(timm.create_model(name, **{**sizes, **options}).to(DOUBLE))


# --- A plain restatement, for the network of scenes: every step by hand ---


def by_hand(net: Any, x: Tensor, c: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return A and ∂f_c/∂A of each block, (N, heads, T, T)."""
    grid = net.stem(x).flatten(2).transpose(1, 2)
    tokens = torch.cat([net.class_token.repeat(len(x), 1, 1), grid], 1) + net.position
    kept = []
    for block in net.blocks:
        width, heads = tokens.shape[2], block.attention.heads
        q, k, v = (block.attention.qkv(block.norm1(tokens))).split(width, dim=2)
        outputs, of_heads = [], []
        for h in range(heads):
            part = slice(h * width // heads, (h + 1) * width // heads)
            scores = torch.einsum("nid,njd->nij", q[..., part], k[..., part]) / (width // heads) ** 0.5
            a = scores.exp() / scores.exp().sum(2, keepdim=True)
            a = a.requires_grad_() if not a.requires_grad else a
            a.retain_grad()
            of_heads.append(a)
            outputs.append(torch.einsum("nij,njd->nid", a, v[..., part]))
        kept.append(of_heads)
        tokens = tokens + block.attention.out(torch.cat(outputs, 2))
        tokens = tokens + block.mlp(block.norm2(tokens))
    net.head(net.norm(tokens[:, 0]))[:, c].sum().backward()
    weights = [torch.stack([a.detach() for a in heads], 1) for heads in kept]
    return weights, [torch.stack([a.grad for a in heads], 1) for heads in kept]


def rolled_out(weights: list[Tensor], grads: list[Tensor], handling: str) -> Tensor:
    """Return R (N, T, T) by Chefer et al. 2021, eq. 5 and 6, token by token."""
    n, heads, size, _ = weights[0].shape
    result = torch.eye(size, dtype=DOUBLE).repeat(n, 1, 1)
    for a, g in zip(weights, grads, strict=True):
        for photo in range(n):
            mean = sum(HANDLED[handling](g[photo, h] * a[photo, h]) for h in range(heads)) / heads
            result[photo] = result[photo] + mean @ result[photo]
    return result


def enlarged(cells: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(cells[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


@each_handling
def test_gradient_rollout_is_its_equation(handling: str) -> None:
    net, x = scenes_net(), photos(2, 1, 64, 64)
    maps = pg.explain(net, x, [[3, 7], [0, 9]], "gradient-rollout", handling)
    for photo, classes in enumerate([[3, 7], [0, 9]]):
        for k, c in enumerate(classes):
            weights, grads = by_hand(net, x[photo : photo + 1], c)
            row = rolled_out(weights, grads, handling)[:, 0, 1:].reshape(1, 8, 8)
            assert row.abs().max() > 1e-4
            assert torch.allclose(maps[photo, k], enlarged(row, (64, 64))[0], atol=1e-12, rtol=1e-9)


def test_attention_rollout_is_its_equation() -> None:
    net, x = scenes_net(), photos(2, 1, 64, 64)
    weights, _ = by_hand(net, x, 0)
    result = torch.eye(65, dtype=DOUBLE).repeat(2, 1, 1)
    for a in weights:
        half = (a.mean(1) + torch.eye(65, dtype=DOUBLE)) / 2
        assert torch.allclose(half.sum(2), torch.ones(2, 65, dtype=DOUBLE))
        result = half @ result
    maps = pg.explain(net, x, [[3, 7], [0, 9]], "attention-rollout")
    assert torch.allclose(maps[:, 0], enlarged(result[:, 0, 1:].reshape(2, 8, 8), (64, 64)))
    assert torch.equal(maps[:, 0], maps[:, 1])


def test_it_is_published_with_positive_handling_and_shares_its_record() -> None:
    net, x = scenes_net(), photos(2, 1, 64, 64)
    together = pg.explain(net, x, 3, {h: GradientRollout(h) for h in HANDLED} | {"published": GradientRollout()})
    assert torch.equal(together["published"], together["positive"])
    for handling in HANDLED:
        assert torch.equal(together[handling], pg.explain(net, x, 3, "gradient-rollout", handling))
    assert not torch.allclose(together["signed"], together["positive"])
    assert GradientRollout("signed").record_key() == GradientRollout().record_key() != AttentionRollout().record_key()


# --- Networks of others ---

# What is read, how many constants, and the grid, for each way to put a vision transformer together.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int], list[int] | str, tuple[int, int]]] = {
    "scenes": (scenes_net, (1, 64, 64), [0], (8, 8)),
    "torchvision": (torchvision_net, (3, 32, 32), [0], (4, 4)),
    "timm": (timm_net, (3, 32, 32), [0], (4, 4)),
    "timm, not square": (functools.partial(timm_net, size=(16, 40)), (3, 16, 40), [0], (2, 5)),
    "timm, average": (functools.partial(timm_net, global_pool="avg", class_token=False), (3, 32, 32), "all", (4, 4)),
    "timm, average beside a class token": (functools.partial(timm_net, global_pool="avg"), (3, 32, 32), "all", (4, 4)),
    "timm, registers": (functools.partial(timm_net, reg_tokens=3), (3, 32, 32), [0], (4, 4)),
    "timm, registers and average": (
        functools.partial(timm_net, reg_tokens=2, class_token=False, global_pool="avg"),
        (3, 32, 32),
        "all",
        (4, 4),
    ),
    "timm, distilled": (
        functools.partial(timm_net, "deit_tiny_distilled_patch16_224"),
        (3, 32, 32),
        [0, 1],
        (4, 4),
    ),
    "timm, relative positions": (
        functools.partial(timm_net, "vit_relpos_small_patch16_224"),
        (3, 32, 32),
        "all",
        (4, 4),
    ),
    "timm, rotary positions": (
        functools.partial(timm_net, "eva02_tiny_patch14_224"),
        (3, 32, 32),
        "all",
        (4, 4),
    ),
}
each_network = pytest.mark.parametrize("name", NETWORKS)


def weights_written_out(name: str, net: nn.Module, x: Tensor) -> list[Tensor]:
    """Return A layer by layer, as timm's own extraction finds it, or PyTorch's ``need_weights``."""
    if name == "scenes":
        return by_hand(net, x, 0)[0]
    if name == "torchvision":
        found: list[Tensor] = []
        for block in net.encoder.layers:  # type: ignore[union-attr, attr-defined]
            block.self_attention.register_forward_pre_hook(
                lambda module, args, kwargs: (args, {**kwargs, "need_weights": True, "average_attn_weights": False}),
                with_kwargs=True,
            )
            block.self_attention.register_forward_hook(lambda module, args, output: found.append(output[1]))
        net(x)
        return found
    written_out = copy.deepcopy(net)
    for module in written_out.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
    return list(AttentionExtract(written_out, method="hook")(x).values())


@each_network
def test_weights_tokens_and_grid_of_each_kind_of_network(name: str) -> None:
    make, shape, read, grid = NETWORKS[name]
    net, x = make(), photos(2, *shape)
    tokens = tokens_of("gradient-rollout", net, x)
    first = len(tokens.picture) and tokens.picture[0]
    assert tokens.grid == grid
    assert tokens.picture == list(range(first, first + grid[0] * grid[1]))
    assert tokens.read == (tokens.picture if read == "all" else read)
    leaf = x.clone().requires_grad_()
    layers = attention_layers("gradient-rollout", net(leaf), leaf)
    theirs = weights_written_out(name, net, x)
    assert len(layers) == len(theirs) > 2
    for ours, a in zip(layers, theirs, strict=True):
        assert torch.allclose(ours.weights, a, atol=1e-12)


@each_network
def test_the_gradient_is_that_of_a_small_change_of_attention(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a little to the first layer's A: the logit changes by the gradient times that."""
    make, shape, *_ = NETWORKS[name]
    net, x = make(), photos(1, *shape).requires_grad_()
    logits = net(x)
    layer = attention_layers("gradient-rollout", logits, x)[0]
    (arrived,) = torch.autograd.grad(logits[0, 2], [layer.edge])
    change = torch.randn(layer.weights.shape, generator=torch.Generator().manual_seed(2), dtype=DOUBLE)
    kernel, ends = F.scaled_dot_product_attention, []
    for small in (1e-6, -1e-6):
        added = iter([small, 0.0, 0.0])

        def changed(q: Tensor, k: Tensor, v: Tensor, *args: Any, added: Any = added, **kwargs: Any) -> Tensor:
            return kernel(q, k, v, *args, **kwargs) + next(added) * change @ v

        monkeypatch.setattr(F, "scaled_dot_product_attention", changed)
        ends.append(net(x)[0, 2].item())
        assert list(added) == []
    slope = (ends[0] - ends[1]) / 2e-6
    assert abs(slope) > 1e-3
    assert (layer.gradient(arrived) * change).sum().item() == pytest.approx(slope, rel=1e-4)


# --- Ways to compute the same attention ---


def by_map(net: nn.Module, x: Tensor) -> Tensor:
    return pg.explain(net, x, [[0, 3]] * len(x), "gradient-rollout", "signed")


def test_attention_that_the_network_writes_out_is_the_same() -> None:
    x = photos(2, 3, 32, 32)
    expected = by_map(timm_net(), x)
    set_fused_attn(False)
    try:
        written_out = timm_net()
    finally:
        set_fused_attn(True)
    assert not written_out.blocks[0].attn.fused_attn
    assert torch.allclose(by_map(written_out, x), expected, atol=1e-13)
    with sdpa_kernel(SDPBackend.MATH):  # a fused call that PyTorch takes apart
        assert torch.allclose(by_map(timm_net(), x), expected, atol=1e-13)


class OwnTransformer(nn.Module):
    """What somebody writes after a tutorial: nn.MultiheadAttention, its weights asked for or not."""

    def __init__(self, need_weights: bool = True, batch_first: bool = True, order: str = "rows") -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 8, stride=8)
        self.position = nn.Parameter(torch.randn(17, 12))
        self.attention = nn.ModuleList(nn.MultiheadAttention(12, 3, batch_first=batch_first) for _ in range(3))
        self.head = nn.Linear(12, 5)
        self.options = {"need_weights": need_weights}
        self.batch_first, self.order = batch_first, order

    def tokens(self, x: Tensor) -> Tensor:
        grid = self.patches(x)
        grid = grid.mT if self.order == "columns" else grid
        grid = grid.flatten(2).transpose(1, 2)
        return torch.cat([torch.zeros_like(grid[:, :1]), grid], 1) + self.position

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.tokens(x)
        for layer in self.attention:
            t = tokens if self.batch_first else tokens.transpose(0, 1)
            added = layer(t, t, t, **self.options)[0]
            tokens = self.between(tokens + (added if self.batch_first else added.transpose(0, 1)))
        return self.head(self.read(tokens))

    def between(self, tokens: Tensor) -> Tensor:
        return torch.tanh(tokens)

    def read(self, tokens: Tensor) -> Tensor:
        return tokens[:, 0]


def own(kind: type[OwnTransformer] = OwnTransformer, **options: Any) -> nn.Module:
    return random_weights(kind(**options).to(DOUBLE))


@pytest.mark.parametrize("batch_first", [True, False])
def test_a_transformer_of_ones_own_with_and_without_its_weights(batch_first: bool) -> None:
    x = photos(2, 3, 32, 32)
    written_out, fused = (by_map(own(need_weights=need, batch_first=batch_first), x) for need in (True, False))
    assert torch.allclose(written_out, fused, atol=1e-13)
    assert fused.abs().max() > 1e-6
    alone = torch.cat([by_map(own(batch_first=batch_first), x[i : i + 1]) for i in range(2)])
    assert torch.allclose(written_out, alone, atol=1e-13)


def test_pytorch_s_own_encoder() -> None:
    class Encoder(OwnTransformer):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(12, 3, 20, batch_first=True)
            self.attention = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.attention(self.tokens(x))[:, 0])

    net, x = own(Encoder), photos(2, 3, 32, 32)
    leaf = x.clone().requires_grad_()
    assert len(attention_layers("gradient-rollout", net(leaf), leaf)) == 2
    assert by_map(net, x).abs().max() > 1e-6


def test_fused_kernels_of_all_devices_keep_what_is_read_of_them() -> None:
    """Those of other devices can't run here, but PyTorch has their nodes' types."""
    kernels = {name: kind for name, kind in vars(torch._C._functions).items() if name.startswith(FUSED)}
    assert len(kernels) > 3
    for kind in kernels.values():
        assert {f"_saved_{part}" for part in ("query", "key", "value", "output", "scale")} <= set(dir(kind))


def test_the_network_and_pytorch_s_settings_are_as_before() -> None:
    net, x = timm_net(), photos(2, 3, 32, 32)
    before, logits = copy.deepcopy(net.state_dict()), net(x)
    settings = [torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.math_sdp_enabled()]
    given = x.clone()
    for method in pg.ATTENTION_METHODS:
        pg.explain(net, x, 0, method)
        with pytest.raises(ValueError, match="out of range"):
            pg.explain(net, x, 7, method)
    assert [torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.math_sdp_enabled()] == settings
    assert torch.equal(x, given)
    assert not x.requires_grad
    assert torch.equal(net(x), logits)
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())
    assert all(block.attn.fused_attn for block in net.blocks)
    hooks = [m for m in net.modules() if m._forward_hooks or m._backward_hooks or m._forward_pre_hooks]
    assert hooks == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_precisions(dtype: torch.dtype) -> None:
    exact = by_map(timm_net(), photos(2, 3, 32, 32))
    maps = by_map(timm_net().to(dtype), photos(2, 3, 32, 32).to(dtype))
    assert maps.dtype == dtype
    assert (maps - exact).abs().max() < 50 * torch.finfo(dtype).eps * exact.abs().max()


def test_where_gradients_are_switched_off_and_parameters_want_them() -> None:
    net, x = timm_net(), photos(2, 3, 32, 32)
    expected = by_map(net, x)
    with torch.inference_mode():
        assert torch.equal(by_map(net, x), expected)
    net.requires_grad_(True)
    assert torch.allclose(by_map(net, x), expected, atol=1e-14)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_an_average_s_identity_is_left_out() -> None:
    """Without it the map adds up to what the layers added; with it, to as much more as 1."""
    net, x = timm_net(global_pool="avg", class_token=False), photos(1, 3, 32, 32)
    leaf = x.clone().requires_grad_()
    logits = net(leaf)
    layers = attention_layers("gradient-rollout", logits, leaf)
    grads = torch.autograd.grad(logits[0, 1], [layer.edge for layer in layers])
    result = rolled_out(
        [a.weights for a in layers], [a.gradient(g) for a, g in zip(layers, grads, strict=True)], "signed"
    )
    row = (result - torch.eye(16, dtype=DOUBLE)).mean(1).reshape(1, 4, 4)
    assert torch.allclose(pg.explain(net, x, 1, "gradient-rollout", "signed"), enlarged(row, (32, 32)), atol=1e-13)


# --- What is refused, by what it is ---


class Mixer(OwnTransformer):
    """Convolutions between blocks tell a token about its neighbours, beside attention."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv1d(12, 12, 3, padding=1)

    def between(self, tokens: Tensor) -> Tensor:
        return torch.cat([tokens[:, :1], tokens[:, 1:] + self.mix(tokens[:, 1:].mT).mT], 1)


class Merged(OwnTransformer):
    def between(self, tokens: Tensor) -> Tensor:
        return torch.cat([tokens[:, :1], (tokens[:, 1::2] + tokens[:, 2::2]) / 2], 1) if tokens.shape[1] > 5 else tokens


class OnlySome(OwnTransformer):
    def read(self, tokens: Tensor) -> Tensor:
        return tokens[:, 3:9].mean(1)


class Largest(OwnTransformer):
    def read(self, tokens: Tensor) -> Tensor:
        return tokens.amax(1)


class NoWayAround(OwnTransformer):
    def forward(self, x: Tensor) -> Tensor:
        tokens = self.tokens(x)
        for layer in self.attention:
            tokens = layer(tokens, tokens, tokens)[0]
        return self.head(tokens.mean(1))


class SideBySide(OwnTransformer):
    def forward(self, x: Tensor) -> Tensor:
        tokens = self.tokens(x)
        tokens = tokens + sum(layer(tokens, tokens, tokens)[0] for layer in self.attention)
        return self.head(tokens[:, 0])


class Causal(OwnTransformer):
    def forward(self, x: Tensor) -> Tensor:
        tokens = self.tokens(x)
        tokens = tokens + F.scaled_dot_product_attention(*[tokens[:, None]] * 3, is_causal=True)[:, 0]
        return self.head(tokens.mean(1))


class OfChannels(OwnTransformer):
    """Cross-covariance attention: a channel reads channels, so that T isn't the number of tokens."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.tokens(x)[:, 1:].mT
        for _ in range(2):
            tokens = tokens + ((tokens @ tokens.mT).softmax(-1)[:, None] @ tokens[:, None])[:, 0]
        return self.head(tokens.mean(2))


class OverQueries(OwnTransformer):
    def forward(self, x: Tensor) -> Tensor:
        tokens = self.tokens(x)[:, None]
        return self.head((tokens + (tokens @ tokens.mT).softmax(-2) @ tokens)[:, 0].mean(1))


class MixedHeads(OwnTransformer):
    """Talking heads: each head's weights become a mixture of all heads'."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.tokens(x)
        parts = torch.stack(tokens.split(4, 2), 1)
        mixed = torch.einsum("gh,nhij->ngij", parts[0, :, 0, :3], (parts @ parts.mT).softmax(-1))
        return self.head((tokens + (mixed @ parts).transpose(1, 2).flatten(2))[:, 0])


class Transposed(OwnTransformer):
    """Each token sends by its weights what, with A instead of Aᵀ, it would read."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.tokens(x)[:, None]
        return self.head((tokens + (tokens @ tokens.mT).softmax(-1).mT @ tokens)[:, 0, 0])


class HeadsFirst(OwnTransformer):
    """Three heads, laid out heads first and photos second: (heads · N, T, T)."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.tokens(x)
        parts = torch.cat(tokens.split(4, 2))
        added = (parts @ parts.mT).softmax(-1) @ parts
        return self.head((tokens + torch.cat(added.split(len(x)), 2))[:, 0])


class Linear(OwnTransformer):
    def forward(self, x: Tensor) -> Tensor:
        q = k = v = self.tokens(x)
        return self.head((q + F.elu(q) @ (F.elu(k).mT @ v))[:, 0])


class Shuffled(OwnTransformer):
    def tokens(self, x: Tensor) -> Tensor:
        tokens = super().tokens(x)
        return tokens[:, [0, *torch.randperm(16, generator=torch.Generator().manual_seed(3)).add(1).tolist()]]


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "no attention": (
        lambda: random_weights(nn.Sequential(nn.Flatten(), nn.Linear(3072, 5)).to(DOUBLE)),
        "none was seen",
    ),
    "a softmax over queries": (functools.partial(own, OverQueries), "another axis than the keys"),
    "mixed heads": (functools.partial(own, MixedHeads), "'Bmm' stands in between"),
    "transposed weights": (functools.partial(own, Transposed), "multiplied by the values and nothing else"),
    "heads before photos": (functools.partial(own, HeadsFirst), "which photo a head of attention belongs to"),
    "linear attention": (functools.partial(own, Linear), "none was seen"),
    "a convolution among tokens": (functools.partial(own, Mixer), "they also meet elsewhere"),
    "merged tokens": (functools.partial(own, Merged), r"their number changes, \[17, 9, 5\]"),
    "some tokens read": (functools.partial(own, OnlySome), "reads 6 of 17 tokens"),
    "the largest": (functools.partial(own, Largest), "takes the largest"),
    "no way around": (functools.partial(own, NoWayAround), "is added to its input, and in this network it isn't"),
    "side by side": (functools.partial(own, SideBySide), "two stand side by side"),
    "causal": (functools.partial(own, Causal), "isn't what the network got"),
    "attention of channels": (functools.partial(own, OfChannels), "no grid, row by row"),
    "shuffled tokens": (functools.partial(own, Shuffled), "no grid, row by row"),
    "column by column": (functools.partial(own, order="columns"), "no grid, row by row"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_what_it_is(name: str) -> None:
    make, message = REFUSED[name]
    for method in pg.ATTENTION_METHODS:
        with pytest.raises(pg.UnsupportedOperation, match=f"^{method} .*{message}"):
            pg.explain(make(), photos(2, 3, 32, 32), 0, method)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("swin_tiny_patch4_window7_224", "attention in windows"),
        ("cait_xxs24_224", "talking heads"),
        ("convit_tiny", "'Mul' stands in between"),
        ("crossvit_9_240", "1 queries, 401 keys"),
        ("xcit_nano_12_p16_224", "cross-attention"),
        ("coat_lite_tiny", "cross-attention or attention to pooled tokens"),
        ("mvitv2_tiny", "3136 queries, 196 keys"),
        ("efficientvit_b0", "none was seen"),
        ("vit_tiny_patch16_18x2_224", "side by side"),
        ("test_vit3", "1 queries"),
        ("tf_efficientnet_lite0", "none was seen"),
    ],
)
def test_networks_of_timm_that_are_refused(name: str, message: str) -> None:
    known = name if name in timm.list_models() else "vit_small_patch16_18x2_224"
    net = timm.create_model(known, num_classes=5).eval().requires_grad_(False)
    size = timm.data.resolve_data_config({}, model=net)["input_size"]
    with pytest.raises(pg.UnsupportedOperation, match=message):
        pg.explain(net, photos(1, *size).float(), 0, "gradient-rollout")


def test_a_head_of_zeros_says_so() -> None:
    net = own()
    net.head.weight.zero_()
    with pytest.raises(ValueError, match="Are its head's weights zero"):
        pg.explain(net, photos(1, 3, 32, 32), 0, "gradient-rollout")


def test_a_network_that_changes_is_examined_again() -> None:
    net, x = own(), photos(1, 3, 32, 32)
    by_map(net, x)
    net.between = functools.partial(Mixer.between, own(Mixer))  # type: ignore[method-assign]
    net.mix = nn.Conv1d(12, 12, 3, padding=1).to(DOUBLE).eval()
    with pytest.raises(pg.UnsupportedOperation, match="they also meet elsewhere"):
        by_map(net, x)


# --- Where they are known ---


def test_they_are_known_by_name_but_stand_apart() -> None:
    assert list(pg.ATTENTION_METHODS) == ["attention-rollout", "gradient-rollout"]
    assert not pg.ATTENTION_METHODS.keys() & (METHODS.keys() | pg.CONTROLS.keys())
    for name, kind in pg.ATTENTION_METHODS.items():
        assert type(pg.methods.resolve(name)) is kind
        assert kind.name == name
    with pytest.raises(ValueError, match="Did you mean 'gradient-rollout'"):
        pg.methods.resolve("gradient-rolout")


def test_a_contrast_is_the_seed_of_the_gradients_and_nothing_to_attention_alone() -> None:
    clf = pg.load_classifier("scenes-transformer", weights="random")
    x = clf.batch(pg.scenes.make_scene(0).image)
    plain = pg.explain(clf.net, x, 1, "attention-rollout")
    assert torch.equal(pg.explain(clf.net, x, 1, "attention-rollout", contrast="mean"), plain)
    against = pg.FunctionMethod(lambda net, x, target: pg.explain(net, x, target, "gradient-rollout"), "contrasts")
    for contrast in ("mean", 2):
        ours = pg.explain(clf.net, x, 1, "gradient-rollout", contrast=contrast)
        assert not torch.allclose(ours, pg.explain(clf.net, x, 1, "gradient-rollout"))
        torch.testing.assert_close(ours, pg.explain(clf.net, x, 1, against, contrast=contrast))
