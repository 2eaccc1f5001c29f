"""FullGrad: the input gradient and the gradient of every bias, together, explain the whole logit.

A ReLU network is piecewise linear. So its logit is a sum of what flows from the input and from each bias:

    f_c(x) = Σ x ⊙ ∂f_c/∂x + Σ_l Σ b_l ⊙ ∂f_c/∂b_l                                  (completeness, eq. 3)

∂f_c/∂b_l at one position is the gradient of the logit with regard to layer l's output there. A BatchNorm has a bias
that no parameter holds alone, b - μ w / sqrt(σ² + ε), with μ and σ² its running statistics. A constant that the network
adds or subtracts anywhere, as when it normalizes its photos itself, is a bias, too.

The map adds up the terms over channels and layers after ψ, which handles the sign, brings each term to the same
range in each photo, and resizes it to the photo:

    M = Σ_channels ψ(x ⊙ ∂f_c/∂x) + Σ_l Σ_channels ψ(b_l ⊙ ∂f_c/∂b_l)              published: h = absolute

Terms of linear layers have no position: they belong to the sum, not to the map. ψ rescales magnitudes to [0, 1] by
their smallest and largest over all channels and positions, and keeps the sign; for absolute terms that is what the
authors publish. ReLU6 units at 6 pass no gradient, so there the sum differs from the logit, as it does with
smooth activations.

Example:
    >>> sum(term.sum() for term in fullgrad_terms(net, x, 282))        # the logit of class 282

Reference: Srinivas, Fleuret. Full-Gradient Representation for Neural Network Visualization. NeurIPS 2019.
arXiv:1905.00780, eq. 3 and 5.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge

from posgrad_edu.engine.audit import once, versions
from posgrad_edu.engine.backward import (
    ADDITIONS,
    CLAMP,
    RELU,
    WITH_WEIGHTS,
    backward_rules,
    is_constant,
    is_relu,
    refuse,
    scale_and_shift,
)
from posgrad_edu.engine.contrast import contrasted
from posgrad_edu.engine.inputs import Contrast, Target, as_reference, checked_classes
from posgrad_edu.engine.passes import checked_logits, gradients, with_gradients
from posgrad_edu.errors import UnsupportedOperation
from posgrad_edu.handling import ABSOLUTE, Handling
from posgrad_edu.methods.base import Method
from posgrad_edu.methods.photo_pass import PassMethod, PhotoPass

SUBTRACTIONS = (
    torch.sub,
    torch.subtract,
    torch.rsub,
    Tensor.__rsub__,
    Tensor.sub,
    Tensor.sub_,
    Tensor.subtract,
    Tensor.subtract_,
)
# These too hold biases, but are not piecewise linear or not treated here: refused rather than forgotten.
_OTHER_BIASES = (
    F.layer_norm,
    F.group_norm,
    F.instance_norm,
    F.bilinear,
    F.multi_head_attention_forward,
    F.conv_transpose1d,
    F.conv_transpose2d,
    F.conv_transpose3d,
    torch.fake_quantize_per_tensor_affine,
    torch.fake_quantize_per_channel_affine,
)
TOKENS = "Here it works on tokens, whose positions are no picture's."


@dataclass(frozen=True)
class FullGrad(Method):
    """The input's and all biases' contributions, added up (Srinivas and Fleuret 2019, eq. 5).

    rescale: bring each term to the range [-1, 1] in each photo before adding (published), or add them as they are.
    """

    name: ClassVar[str] = "fullgrad"
    published: ClassVar[Handling] = ABSOLUTE
    record_options: ClassVar[tuple[str, ...]] = ()
    record_serves: ClassVar[Hashable] = (PassMethod.record,)

    rescale: bool = True

    def record(self, net: nn.Module, x: Tensor, target: Tensor) -> BiasPass:
        return BiasPass(net, x, target)

    def maps(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        record = self.record(net, x, target)
        record.only_once = True
        return self.read(record)

    def read(self, record: BiasPass) -> Tensor:
        terms = [term for term in record.terms if term.ndim == 5 and len(term) == len(record.x)]  # others are zero
        return self.added(terms, record.x.shape[-2:])

    def added(self, terms: list[Tensor], size: Sequence[int]) -> Tensor:
        """Return the map (N, K, H, W) of terms (N, K, C, h, w), for photos of this size."""
        # Resizing is linear: adding up the terms of one size first gives the same map, many times faster.
        sums: dict[torch.Size, Tensor] = {}
        for term in terms:
            summed = self.psi(term)
            sums[summed.shape] = sums[summed.shape].add_(summed) if summed.shape in sums else summed
        return torch.stack([enlarged(added, size) for added in sums.values()]).sum(0)

    def psi(self, term: Tensor) -> Tensor:
        """Return a term (N, K, C, h, w) handled, rescaled, and summed over its channels: (N, K, h, w)."""
        handled = self.handle(term)
        if not self.rescale:
            return handled.sum(2)
        low, high = handled.amin((2, 3, 4)), handled.amax((2, 3, 4))
        if not nowhere(low < 0):
            magnitude = handled.abs()
            low, high = magnitude.amin((2, 3, 4)), magnitude.amax((2, 3, 4))
        span = torch.where(high > low, high - low, 1.0)
        # Σ_channels sign(t) (|t| - low) / span, written out: most often low is 0, and then there are no signs to add.
        signs = 0.0 if nowhere(low > 0) else handled.sign().sum(2)
        return (handled.sum(2) - low[..., None, None] * signs) / span[..., None, None]


def nowhere(condition: Tensor) -> bool:
    """Tell whether a condition holds for no value here, so that a step can be left out."""
    return not condition.any()


def enlarged(summed: Tensor, size: Sequence[int]) -> Tensor:
    """Return terms (N, K, h, w) that were summed over their channels in the photo's size, as the authors do it."""
    return F.interpolate(summed, size=tuple(size), mode="bilinear", align_corners=True)


def fullgrad_terms(net: nn.Module, x: Tensor, target: Target, contrast: Contrast = None) -> list[Tensor]:
    """Return all terms of the completeness sum, the input's first, each (N, K, ...), signed and not resized.

    net, x, target, contrast: as for ``explain``. Raises what it does. The terms: x (N, K, C, H, W), then in forward
    order (N, K, channels, h, w) of a convolution, a BatchNorm or an added constant, (N, K, units) of a linear layer.
    """
    classes = checked_classes(net, x, target)
    with with_gradients(), contrasted(as_reference(contrast, classes), FullGrad.name):
        record = BiasPass(net, x.detach().clone(), classes.clone())
        record.only_once = True
        return record.terms


class BiasPass(PhotoPass):
    """A forward pass that takes note of biases, so that one way back has the gradient of the photo and of each bias."""

    def __init__(self, net: nn.Module, x: Tensor, target: Tensor) -> None:
        self.biases = Biases()
        with self.biases.context():
            super().__init__(net, x, target)

    @cached_property
    def _found(self) -> tuple[list[Tensor], Tensor]:
        """The terms, and the gradient (N, K, C, H, W) of each asked logit with regard to the photo."""
        x = self.x.detach()
        factors, shapes = [x, *self.biases.values], [x.shape, *self.biases.shapes]
        places, retain = [self.x, *self.biases.places], not self.only_once
        per_class, of_photo = [], []
        for grads in gradients(self.logits, self.seed, places, retain_graph=retain):
            _refuse_other_batches(grads, len(x))
            reached = [x.new_zeros(shape) if g is None else g for shape, g in zip(shapes, grads, strict=True)]
            per_class.append([factor * g for factor, g in zip(factors, reached, strict=True)])
            of_photo.append(reached[0])
        once(refuse_unseen_constants, self.net, x, self.logits.detach(), state=versions(self.net))
        if len(per_class) == 1:
            return [term.unsqueeze(1) for term in per_class[0]], of_photo[0].unsqueeze(1)  # stack would copy them all
        return [torch.stack(term, dim=1) for term in zip(*per_class, strict=True)], torch.stack(of_photo, dim=1)

    @property
    def terms(self) -> list[Tensor]:
        """x ⊙ ∂f/∂x (N, K, C, H, W), then b ⊙ ∂f/∂b of each layer or constant that is a bias, in forward order."""
        return self._found[0]

    @property
    def gradient(self) -> Tensor:
        """The gradient of each asked logit with regard to the photo, (N, K, C, H, W)."""
        return self._found[1]


def _refuse_other_batches(grads: list[Tensor | None], photos: int) -> None:
    """Refuse a bias that works on other pictures than the photos, such as their crops, or each photo by itself."""
    for grad in grads:
        if grad is not None and len(grad) != photos:
            raise UnsupportedOperation(
                f"fullgrad: a layer of this network runs on {len(grad)} picture(s) for {photos} photo(s), so it isn't "
                "clear which term is whose. Choose another method."
            )


def refuse_unseen_constants(net: nn.Module, x: Tensor, logits: Tensor) -> None:
    """Refuse a network in which a constant enters that isn't among the biases found: its term would be missing.

    A network that says anything about a black photo without its biases has another constant in it. Its ReLUs let all
    through then: one at which the constant arrives below 0 would hide it.
    x: (N, C, H, W). logits: what the network with its biases says of x.
    """
    with Biases(without=True).context():
        dark = checked_logits(net, torch.zeros_like(x).requires_grad_()).detach()
    if dark.abs().max() > 1e3 * torch.finfo(dark.dtype).eps * logits.abs().max().clamp_min(1.0):
        raise UnsupportedOperation(
            "fullgrad found a constant in this network that is no bias of a layer, as from torch.cat, padding with a "
            "value, a softmax, or a part that isn't run in Python (scripted, exported, another thread). Its term would "
            "be missing from the sum: choose another method."
        )


def in_channels(bias: Tensor, output: Tensor) -> Tensor:
    """Return a bias, if it has one value a channel, in a shape that fits the output."""
    return bias.reshape(-1, *[1] * (output.ndim - 2)) if bias.ndim == 1 else bias


class Biases:
    """The biases of one forward pass, in its order, and where each of them enters."""

    def __init__(self, without: bool = False) -> None:
        self.without = without  # run the network without them
        self.seen_photo: set[Node] = set()
        self.values: list[Tensor] = []
        self.places: list[GradientEdge] = []
        self.shapes: list[torch.Size] = []  # of the output there

    def context(self) -> backward_rules:
        """Return the context to run the network in."""
        rules = {F.batch_norm: self.batch_norm, **dict.fromkeys(WITH_WEIGHTS, self.linear)}
        rules |= dict.fromkeys(ADDITIONS + SUBTRACTIONS, self.addition)
        rules |= dict.fromkeys(CLAMP, self.clamp)
        if self.without:
            rules |= dict.fromkeys(RELU, self.clamp)
        return backward_rules(rules | dict.fromkeys(_OTHER_BIASES, self.other))

    def constant(self, value: object) -> bool:
        """Tell whether a value holds nothing of the photo."""
        return is_constant(value, self.seen_photo)

    def note(self, func: Callable[..., Tensor], output: Tensor, bias: Tensor | None) -> Tensor:
        """Take note of a bias, one a channel or of the output's shape, and return the output."""
        if bias is not None and output.requires_grad:
            if output.ndim not in (2, 4):
                raise refuse("fullgrad", func, TOKENS)
            # The edge names this very value, even when an in-place ReLU overwrites the tensor later.
            self.places.append(get_gradient_edge(output))
            self.shapes.append(output.shape)
            self.values.append(in_channels(bias.detach(), output))
        return output

    def linear(
        self,
        func: Callable[..., Tensor],
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        """A convolution or linear layer: its own bias."""
        if self.constant(input) and self.constant(weight):
            return func(input, weight, bias, *args, **kwargs)
        if not (self.constant(weight) and self.constant(bias)):
            raise refuse("fullgrad", func, "Its weights depend on the photo.")
        if func is F.linear and input.ndim != 2:
            raise refuse("fullgrad", func, TOKENS)
        if self.without:
            return func(input, weight, None, *args, **kwargs)
        return self.note(func, func(input, weight, bias, *args, **kwargs), bias)

    def batch_norm(self, func: Callable[..., Tensor], input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """A BatchNorm: what it adds to each channel."""
        if self.constant(input):  # as where weights are standardized
            return func(input, *args, **kwargs)
        scale, shift = scale_and_shift(input, *args, **kwargs)
        if self.without:
            return input * in_channels(scale, input)
        return self.note(func, func(input, *args, **kwargs), shift)

    def addition(self, func: Callable[..., Tensor], input: Any, other: Any, *args: Any, **kwargs: Any) -> Tensor:
        """A sum or difference of a constant and of what depends on the photo: the constant."""
        fixed = self.constant(input), self.constant(other)
        if fixed[0] == fixed[1]:  # two that depend on the photo, such as a residual addition, or none
            return func(input, other, *args, **kwargs)
        if self.without:
            return func(
                *(0 * v if constant else v for v, constant in zip((input, other), fixed, strict=True)), *args, **kwargs
            )
        alone = [v if constant else torch.zeros_like(v) for v, constant in zip((input, other), fixed, strict=True)]
        shift = func(*alone, *args, **kwargs).detach().clone()  # what is added to the part that depends on the photo
        output = func(input, other, *args, **kwargs)
        return self.note(func, output, shift)

    def clamp(self, func: Callable[..., Tensor], input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """A clamp: where it is no ReLU and clips a value, its bound is a constant of the network."""
        relu = is_relu(func, (input, *args), kwargs)
        if self.without and relu and not self.constant(input):
            return input  # all is let through
        if self.without or relu or self.constant(input):
            return func(input, *args, **kwargs)
        before = input.detach().clone()
        output = func(input, *args, **kwargs)
        if not torch.equal(before, output):
            raise refuse("fullgrad", func, "Where it clips, its bound is a constant: choose another method.")
        return output

    def other(self, func: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """A layer whose bias isn't treated here."""
        raise refuse("fullgrad", func, "Its bias would be missing from the sum: choose another method.")
