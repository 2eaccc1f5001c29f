"""Layer-wise relevance propagation (LRP): share the logit out, layer by layer, down to the pixels.

Each layer with weights hands the relevance R_j of its outputs back to its inputs in
proportion to the contributions a_i w_ij, or to what a rule keeps of them (``lrp_rules.py`` has the rules):

    R_i = Σ_j  h(a_i w_ij) / (Σ_i' h(a_i' w_i'j) + h(b_j)) · R_j

``handling`` is this h, in every convolution and linear layer: signed gives the epsilon rule, positive gives z+, which
is alpha1-beta0. As published (``handling=None``) the composite is z+ in convolutions, epsilon in linear layers.

What has no weights: a ReLU passes relevance unchanged. Max pooling gives it to its winner. Average pooling and
residual additions share it in proportion to their signed inputs. Concatenation and reshaping take it apart. A
BatchNorm is merged into the layer whose output it reads; without one it is a layer of one weight a channel. Anything
else is refused by name, so that relevance is nowhere lost or made in silence, but for biases:

    bias="absorb" (published)   a bias receives its share, and no pixel does
    bias="ignore"               biases stay out of the denominator: pixels receive all the relevance of the output,
                                but for z+ where an output has no positive contribution at all to share it out by

The output starts with relevance 1 (seed="one"), so that a map holds shares of the logit, whatever the logit's sign;
seed="logit" starts with the logit itself, as Bach et al. do: the map times one number, negative for a class that the
network denies. In a ReLU network rule="zero", seed="logit" gives input x gradient exactly.

Example:
    >>> maps = explain(net, x, target=282, method="lrp", rule=Gamma(gamma=0.25), first=ZBox(low=-1, high=1))

References:
    Bach et al. On Pixel-Wise Explanations. PLoS ONE 2015, sec. "Layer-wise relevance propagation".
    Montavon et al. Layer-Wise Relevance Propagation: An Overview. 2019 (composites).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posgrad_edu.engine import backward
from posgrad_edu.engine.backward import backward_rules, is_constant, is_relu, own_backward, refuse, scale_and_shift
from posgrad_edu.engine.passes import forward, input_gradients
from posgrad_edu.handling import Handling
from posgrad_edu.methods.base import InputSpaceMethod
from posgrad_edu.methods.lrp_rules import Epsilon, Kept, Layer, Rule, ShareOut, Zero, get_rule, stabilized

AVERAGES = (F.avg_pool2d, F.adaptive_avg_pool2d, Tensor.mean, torch.mean)
# Relevance follows the values through these: PyTorch's own derivative takes it back to where they came from.
ROUTES = (
    *(F.max_pool2d, torch.max_pool2d, F.adaptive_max_pool2d, F.pad, F.dropout, F.dropout2d, F.channel_shuffle),
    *(torch.cat, torch.concat, torch.flatten, torch.squeeze, torch.unsqueeze, torch.transpose, torch.permute),
    *(torch.reshape, torch.chunk, torch.split, Tensor.flatten, Tensor.reshape, Tensor.view, Tensor.squeeze),
    *(Tensor.unsqueeze, Tensor.transpose, Tensor.permute, Tensor.contiguous, Tensor.clone, Tensor.chunk),
    *(Tensor.split, Tensor.__getitem__, Tensor.to),
)


@dataclass(frozen=True)
class LRP(InputSpaceMethod):
    """Relevance shared out from the logit to the pixels (Bach et al. 2015).

    rule: one rule for all layers, by name ("zero", "epsilon", "z+", "gamma", "alpha-beta", "flat") or a ``Rule``.
    conv, linear: instead, rules for convolutions and for linear layers. first: the rule of the first layer.
    bias: "absorb" or "ignore". seed: "logit" or "one". A ``handling`` decides all rules but ``first``.
    """

    name: ClassVar[str] = "lrp"
    published: ClassVar[Handling | None] = None  # a composite: convolutions keep the positive part, linear layers all

    rule: str | Rule | None = None
    conv: str | Rule | None = None
    linear: str | Rule | None = None
    first: str | Rule | None = None
    bias: str = "absorb"
    seed: str = "one"

    def __post_init__(self) -> None:
        super().__post_init__()
        decided = [o for o in (self.handling, self.rule, self.conv or self.linear) if o is not None]
        if len(decided) > 1:
            raise ValueError("Give LRP a handling, or one rule, or conv and linear rules: each decides all layers.")
        for name, value, choices in (("bias", self.bias, ("absorb", "ignore")), ("seed", self.seed, ("logit", "one"))):
            if value not in choices:
                raise ValueError(f"{name} is {choices[0]!r} or {choices[1]!r}, not {value!r}.")
        self.rules()  # a misspelt rule is refused now

    def rules(self) -> tuple[Rule, Rule, Rule | None]:
        """Return the rules for convolutions, for linear layers, and for the first layer of all."""
        first = None if self.first is None else get_rule(self.first)
        if self.handling is not None:
            return Kept(keep=self.switch), Kept(keep=self.switch), first
        conv, linear = self.rule or self.conv or "z+", self.rule or self.linear or "epsilon"
        return get_rule(conv), get_rule(linear), first

    def maps(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        conv, linear, first = self.rules()
        x.requires_grad_()
        with Propagation(conv, linear, first, with_bias=self.bias == "absorb").rules():
            logits = forward(net, x, target)
        relevance = input_gradients(logits, target, x)
        if self.seed == "logit":  # each rule is linear in the relevance it is given
            relevance = relevance * logits.detach().gather(1, target)[..., None, None, None]
        return self.reduced(relevance)


@dataclass
class Propagation:
    """One forward pass in which each operation gets its LRP rule as its way back."""

    conv: Rule
    linear: Rule
    first: Rule | None
    with_bias: bool = True
    # Layers by the id of their output, for a BatchNorm that reads it; the output itself is kept so that its id stays,
    # and its version, which tells whether an in-place ReLU or addition has changed it since.
    sources: dict[int, tuple[int, Tensor, Tensor, Layer, Rule]] = field(default_factory=dict)

    def rules(self) -> backward_rules:
        """Return the context to run the network in."""
        families: dict[tuple[Callable, ...], Callable | None] = {
            backward.WEIGHTED: self.weighted,
            (F.batch_norm,): self.batch_norm,
            backward.RELU + backward.CLAMP: self.relu,
            AVERAGES: self.average,
            backward.ADDITIONS: self.addition,
            ROUTES: None,
        }
        treated = {function: rule for functions, rule in families.items() for function in functions}
        return backward_rules(treated, otherwise=self.unknown)

    def weighted(self, func: Callable, input: Tensor, weight: Tensor, bias: Any = None, *rest: Any, **k: Any) -> Tensor:
        """A convolution or linear layer: shared out by its rule."""
        rule = self.linear if func is F.linear else self.conv
        if self.first is not None:
            rule, self.first = self.first, None
        channels = (-1,) if func is F.linear else (-1, *[1] * (weight.ndim - 2))
        shift = None if bias is None else bias.detach().reshape(channels)
        layer = Layer(lambda a, w: func(a, w, None, *rest, **k), copy(input), weight.detach(), shift)
        output = self.share(lambda a: func(a, weight, bias, *rest, **k), layer, rule, input)
        self.sources[id(output)] = (output._version, output, input, layer, rule)
        return output

    def batch_norm(self, func: Callable, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """A BatchNorm: merged into the layer that made its input, or a layer of one weight a channel."""
        scale, shift = scale_and_shift(input, *args, **kwargs)
        version, _, source, layer, rule = self.sources.get(id(input), (-1, input, input, None, self.conv))
        places = (1, -1, *[1] * (input.ndim - 2))
        scale_z, shift_z = scale.reshape(places), shift.reshape(places)
        if layer is not None and version == input._version:
            weight = layer.w * scale.reshape(-1, *[1] * (layer.w.ndim - 1))
            merged = Layer(layer.apply, layer.a, weight, shift_z if layer.b is None else layer.b * scale_z + shift_z)
        else:
            source, rule = input, self.conv
            merged = Layer(torch.mul, copy(input), scale_z, shift_z)
        return self.share(lambda _: func(input.detach(), *args, **kwargs), merged, rule, source)

    def share(self, compute: Callable[[Tensor], Tensor], layer: Layer, rule: Rule, input: Tensor) -> Tensor:
        """Return ``compute(input)`` with the rule as its way back."""
        if not self.with_bias:
            layer = Layer(layer.apply, layer.a, layer.w)
        return own_backward(compute, ShareOut(layer, rule), input)

    @property
    def signed(self) -> Rule:
        """What additions and averages share by: their signed inputs."""
        return Zero() if isinstance(self.linear, Zero) else Epsilon()

    def average(self, func: Callable, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """An average: a linear layer whose weights are all alike."""
        layer = Layer(lambda a, _: func(a, *args, **kwargs), copy(input), input.new_ones(()))
        return self.share(lambda a: func(a, *args, **kwargs), layer, self.signed, input)

    def addition(self, func: Callable, input: Tensor, other: Tensor, **kwargs: Any) -> Tensor:
        """A residual addition: each summand receives its part of the sum."""
        constant = is_constant(input), is_constant(other)
        if all(constant):  # no relevance passes here
            return func(input, other, **kwargs)
        if any(constant) or kwargs.get("alpha", 1) != 1:
            raise refuse("lrp", func, "It adds a constant or a multiple, not two tensors that depend on the photo.")
        summands = copy(input), copy(other)
        total = stabilized(summands[0] + summands[1], self.signed.epsilon)

        def back(relevance: Tensor) -> tuple[Tensor, ...]:
            return tuple((s * relevance / total).sum_to_size(s.shape) for s in summands)

        return own_backward(lambda a, b: func(a, b, **kwargs), back, input, other)

    def relu(self, func: Callable, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """A ReLU: relevance passes unchanged."""
        if not is_relu(func, (input, *args), kwargs):
            return self.unknown(func, input, *args, **kwargs)
        return own_backward(lambda z: func(z, *args, **kwargs), lambda relevance: (relevance,), input)

    def unknown(self, func: Callable, *args: Any, **kwargs: Any) -> Any:
        """Anything else: fine where no relevance passes, refused where some would."""
        output = func(*args, **kwargs)
        outputs = output if isinstance(output, (tuple, list)) else [output]
        if not all(is_constant(o) for o in outputs):
            raise refuse("lrp", func, "It works on networks of linear layers, ReLUs, BatchNorm, pooling and additions.")
        return output


def copy(tensor: Tensor) -> Tensor:
    """Return the values as they are now: an in-place operation may overwrite the tensor later."""
    return tensor.detach().clone()
