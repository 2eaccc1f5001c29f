"""The same network, run in ways that can't be looked into: each map is the plain network's, or is refused in words."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import networks as nets
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import posgrad_edu as pg
from posgrad_edu.methods.lrp_rules import ZBox

REFUSED = (ValueError, pg.UnsupportedOperation)
RAW = ("autograd", "hook", "graph leaves", "unhashable", "must match", "expected")  # of errors from inside PyTorch


class Runs(nn.Module):
    """A network that is run by a function."""

    def __init__(self, net: nn.Module, run: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.run = net, run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self.net, x)


def traced(net: nn.Module, x: Tensor) -> nn.Module:
    return torch.jit.trace(net, x)


def scripted(net: nn.Module, x: Tensor) -> nn.Module:
    return torch.jit.script(net)


def scripted_in_part(net: nn.Module, x: Tensor) -> nn.Module:
    net.conv2 = torch.jit.script(nn.Sequential(net.conv2, net.relu2))
    net.relu2 = nn.Identity()
    return net


def exported(net: nn.Module, x: Tensor) -> nn.Module:
    module = torch.export.export(net, (x,)).module()
    module.eval = lambda: [setattr(part, "training", False) for part in module.modules()]  # its own refuses
    return module


def in_another_thread(net: nn.Module, x: Tensor) -> nn.Module:
    return Runs(net, lambda net, x: ThreadPoolExecutor(1).submit(net, x).result())


def checkpointed(net: nn.Module, x: Tensor) -> nn.Module:
    return Runs(net, lambda net, x: checkpoint(net, x, use_reentrant=False))


def compiled(net: nn.Module, x: Tensor) -> nn.Module:
    return torch.compile(net, backend="eager")


def by_vmap(net: nn.Module, x: Tensor) -> nn.Module:
    return Runs(net, lambda net, x: torch.vmap(lambda photo: net(photo.unsqueeze(0)).squeeze(0))(x))


RUNTIMES = (traced, scripted, scripted_in_part, exported, in_another_thread, checkpointed, by_vmap)
SLOW = pytest.param(compiled, marks=pytest.mark.slow)


def run_otherwise(net: nn.Module, x: Tensor, runtime: Callable[[nn.Module, Tensor], nn.Module]) -> nn.Module:
    other = runtime(copy.deepcopy(net), x)
    other.eval()
    return other


def explained_or_refused(net: nn.Module, x: Tensor, method: str, **options: Any) -> Tensor | None:
    """Return maps for class 1, or ``None`` where they are refused in words of ours."""
    try:
        return pg.explain(net, x, 1, method, **options)
    except REFUSED as error:
        words = str(error)
    assert not any(word in words for word in RAW)
    return None


@pytest.fixture(scope="module")
def plain() -> tuple[nn.Module, Tensor]:
    net, x, _ = nets.make("plain")
    return net, x


@pytest.mark.filterwarnings("ignore")  # torch.jit is deprecated, but still used
@pytest.mark.parametrize("runtime", [*RUNTIMES, SLOW], ids=lambda runtime: runtime.__name__)
@pytest.mark.parametrize("method", pg.METHODS)
def test_another_runtime_gives_the_same_map_or_none(
    runtime: Callable[[nn.Module, Tensor], nn.Module], method: str, plain: tuple[nn.Module, Tensor]
) -> None:
    net, x = plain
    right = pg.explain(net, x, 1, method)
    other = run_otherwise(net, x, runtime)
    found = explained_or_refused(other, x, method)
    if found is not None:
        torch.testing.assert_close(found, right)


@pytest.mark.parametrize("runtime", [*RUNTIMES, SLOW], ids=lambda runtime: runtime.__name__)
@pytest.mark.filterwarnings("ignore")
def test_another_runtime_has_a_gradient(runtime: Callable, plain: tuple[nn.Module, Tensor]) -> None:
    """So that the test above can't pass because everything is refused."""
    net, x = plain
    other = run_otherwise(net, x, runtime)
    torch.testing.assert_close(pg.explain(other, x, 1, "gradient"), pg.explain(net, x, 1, "gradient"))


class Autocast(nn.Sequential):
    """Layers that run in half precision."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(x)


@pytest.mark.parametrize("method", pg.METHODS)
@pytest.mark.parametrize("precision", ["float16", "bfloat16", "autocast"])
def test_half_precision_is_close_or_refused(precision: str, method: str) -> None:
    torch.manual_seed(0)  # one draw: LRP divides by sums, and near 0 half precision has nothing left of them
    net, x = nets.plain().eval(), nets.photos(16).float()
    if precision == "autocast":
        half, photos = Autocast(copy.deepcopy(net)).eval(), x
    else:
        kind = getattr(torch, precision)
        half, photos = copy.deepcopy(net).to(kind), x.to(kind)
    options = {"q": 0.5} if method == "rectgrad" else {}  # else nothing is left of so small a map
    found = explained_or_refused(half, photos, method, **options)
    if found is not None:
        right = pg.explain(net, x, 1, method, **options)
        assert (found.float() - right).norm() < 0.1 * right.norm()


@pytest.mark.parametrize("method", pg.METHODS)
def test_a_quantized_head_is_refused(method: str) -> None:
    net, x = nets.plain().eval(), nets.photos(16).float()
    quantized = torch.ao.quantization.quantize_dynamic(net, {nn.Linear}).eval()
    with pytest.raises(REFUSED, match=r"quantized|made for ReLUs|gradient|layer|other photos of the batch") as error:
        pg.explain(quantized, x, 1, method)
    assert not any(word in str(error.value) for word in RAW)


@pytest.mark.parametrize("method", pg.METHODS)
def test_another_default_device_changes_nothing(method: str) -> None:
    net, x, target = nets.make("plain")
    right = pg.explain(net, x, target, method)
    with torch.device("meta"):
        torch.testing.assert_close(pg.explain(net, x, target, method), right)


@pytest.mark.parametrize("method", [*pg.ATTENTION_METHODS, *pg.CONTROLS])
def test_another_default_device_changes_no_attention_and_no_control(method: str) -> None:
    net = pg.scenes.ScenesTransformer(width=32, blocks=2, heads=2).eval()  # of width 8, 4 of 100 have dead tokens
    x = torch.rand(2, 1, 64, 64)
    for contrast in (None, "mean", 3):
        right = pg.explain(copy.deepcopy(net), x, [[0, 1]] * 2, method, contrast=contrast)
        with torch.device("meta"):
            found = pg.explain(copy.deepcopy(net), x, [[0, 1]] * 2, method, contrast=contrast)
        torch.testing.assert_close(found, right)


def test_another_default_device_changes_no_rule_and_no_place() -> None:
    net, x, target = nets.make("plain")
    boxes, classes = [[(0, 0, 5, 5), (1, 1, 9, 9)]] * len(x), [[0, 1]] * len(x)
    rule = pg.METHODS["lrp"](first=ZBox(-9.0, 9.0))

    def found() -> str:
        covering = {"target": target, "other": [3, 3, 3], "patch": 4, "steps": 2}
        tables = pg.localization(net, x, boxes, classes, "gradient"), pg.perturbation(net, x, "gradient", **covering)
        return str([pg.explain(net, x, target, rule).tolist(), *(table.to_numpy().tolist() for table in tables)])

    right = found()
    with torch.device("meta"):
        assert found() == right


def test_another_default_device_changes_no_photo_no_scene_and_no_function() -> None:
    net, x, target = nets.make("plain")
    mine = pg.FunctionMethod(lambda net, x, target: x.sum(1).numpy(), "mine")
    clf, scene = pg.load_classifier("scenes"), pg.scenes.make_scene(0)
    prepared = pg.Preprocessing(size=32, resize=32)

    def found() -> list[object]:
        pictures = *pg.scenes.scene_tensors([scene]), prepared(scene.image), pg.explain(net, x, target, mine)
        report = pg.map_report(clf, scene.image, method="gradient", against=2)
        return [*(picture.tolist() for picture in pictures), report.classes, report.of_classes]

    right = found()
    with torch.device("meta"):
        assert found() == right
