"""Passes through a network: which need a graph, which leave the photos alone, and what they refuse."""

from __future__ import annotations

import networks as nets
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.engine.backward import scale_and_shift
from posgrad_edu.engine.cam_layer import last_spatial_layer
from posgrad_edu.engine.inputs import as_target
from posgrad_edu.engine.passes import (
    checked_logits,
    forward,
    gradients,
    input_gradients,
    predict,
    run_without_graph,
    with_gradients,
)


def in_place(*more: nn.Module) -> nn.Module:
    """A network whose first layer overwrites what it is given."""
    return nets.seeded(
        lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3), *more, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    )


@pytest.mark.parametrize("run", [run_without_graph, predict])
def test_passes_without_a_graph(run) -> None:
    net, x = in_place(), nets.photos(8)
    before = x.clone()
    output = run(net, x.requires_grad_())
    assert not output.requires_grad
    assert torch.equal(x, before)
    assert torch.equal(output, net(before.clone()))


def test_logits_keep_the_photos_and_the_graph() -> None:
    net, x = in_place(), nets.photos(8)
    before = x.clone()
    assert checked_logits(net, x.requires_grad_()).requires_grad
    assert torch.equal(x, before)


def test_logits_of_another_number_of_photos_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(N, classes\) = \(3, ...\), but returned shape \(1, 4\)"):
        predict(nn.Sequential(in_place(), Mean()), nets.photos(8))


class Mean(nn.Module):
    """Mixes the photos of a batch into one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(0, keepdim=True)


def test_the_last_class_exists_and_the_next_does_not() -> None:
    net, x = in_place(), nets.photos(8)
    assert forward(net, x, as_target(3, 3, x.device)).shape == (3, 4)
    with pytest.raises(ValueError, match="Class 4 is out of range: the network has 4 classes, 0 to 3"):
        forward(net, x, as_target(4, 3, x.device))


def test_gradients_free_the_graph_unless_it_is_wanted_again() -> None:
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([[0, 2], [1, 0]])
    logits = x**2
    first = input_gradients(logits, target, x, retain_graph=True)
    assert torch.equal(first, input_gradients(logits, target, x))
    assert first[0].tolist() == [[2 * x[0, 0].item(), 0, 0], [0, 0, 2 * x[0, 2].item()]]
    with pytest.raises(RuntimeError, match="second time"):
        input_gradients(logits, target, x)


def test_an_input_that_nothing_depends_on_has_no_gradient() -> None:
    x, other = torch.ones(1, 2, requires_grad=True), torch.ones(1, requires_grad=True)
    ((grad, none),) = gradients(x * 3, torch.tensor([[1]]), [x, other])
    assert grad is not None
    assert grad.tolist() == [[0.0, 3.0]]
    assert none is None
    with pytest.raises(ValueError, match="don't depend on what is explained"):
        list(gradients(other.expand(1, 2), torch.tensor([[1]]), [x]))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_are_taken_in_any_mode(mode) -> None:
    with mode(), with_gradients():
        x = torch.ones(1, requires_grad=True)
        assert torch.autograd.grad((3 * x).sum(), x)[0].item() == 3


# --- What is known of layers and classes ---


@pytest.mark.parametrize("shape", [(5, 1), (1, 5)])
def test_a_strip_of_positions_has_positions(shape: tuple[int, int]) -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool2d(shape), nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Conv2d(2, 2, 1))
    assert last_spatial_layer(net.append(nn.Flatten()).eval(), torch.rand(1, 3, 8, 8)) == "1"


@pytest.mark.parametrize("passing", [nn.Identity(), nn.Dropout2d(), nn.AdaptiveMaxPool2d(2), nn.AvgPool2d(2)])
def test_layers_that_pass_on_are_no_layers_for_a_cam(passing: nn.Module) -> None:
    net = in_place(passing).eval()
    assert last_spatial_layer(net, nets.photos(8)) == "1"


def test_the_layer_of_a_network_is_looked_for_once_for_each_size() -> None:
    net, runs = in_place(), []
    net.register_forward_hook(lambda *_: runs.append(1))
    for size in (8, 8, 12, 8):
        assert last_spatial_layer(net, torch.rand(2, 3, size, size).double()) == "1"
    assert len(runs) == 2


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_classes_of_any_whole_type(dtype: torch.dtype) -> None:
    classes = as_target(torch.tensor([2, 1], dtype=dtype), 2, torch.device("cpu"))
    assert classes.dtype == torch.int64
    assert classes.tolist() == [[2], [1]]


@pytest.mark.parametrize("values", [[True, False], [1.0, 2.0], [1j, 2j]])
def test_classes_that_are_no_whole_numbers(values: list[complex]) -> None:
    with pytest.raises(ValueError, match="target holds class indices, so whole numbers"):
        as_target(torch.tensor(values), 2, torch.device("cpu"))


@pytest.mark.parametrize("affine", [False, True])
def test_scale_and_shift_of_a_batchnorm(affine: bool) -> None:
    norm = nn.BatchNorm2d(3, eps=0.1, affine=affine).double().eval()
    for value in (norm.running_mean, norm.running_var, *norm.parameters()):
        nn.init.uniform_(value, 0.5, 2)
    x = nets.photos(4)
    scale, shift = scale_and_shift(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    assert torch.allclose(scale[:, None, None] * x + shift[:, None, None], norm(x), atol=1e-12, rtol=0)
    assert not scale.requires_grad
    assert not shift.requires_grad


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("method", ["gradient", "guided-backprop", "fullgrad"])
def test_one_photo_alone_has_the_same_map_before_tokens(method: str, channels_last: bool) -> None:
    """PyTorch's BatchNorm passes on a wrong gradient there: see ``engine/layout.py``."""

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
            self.norm.weight.data.uniform_(0.5, 2)  # a scale of its own for each channel, which PyTorch mixes up
            self.weight = nn.Parameter(torch.randn(14 * 14, 8))

        def forward(self, x: Tensor) -> Tensor:
            z = self.norm(F.relu(self.conv(x)))
            total = (z.flatten(2).transpose(1, 2) * self.weight).sum((1, 2))
            return torch.stack([total, 2 * total], 1)

    net, x = nets.seeded(Tokens), nets.photos(16)
    net.requires_grad_(not channels_last)
    if channels_last:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    together = pg.explain(net, x, 1, method)
    for photo, its_map in zip(x, together, strict=True):
        assert torch.allclose(pg.explain(net, photo[None], 1, method)[0], its_map, rtol=1e-8, atol=1e-10)
