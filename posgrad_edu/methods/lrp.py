"""Layer-wise relevance propagation (LRP): redistribute the logit, layer by layer, down to the pixels.

Each layer with weights redistributes the relevance R_j of its outputs to its inputs, in proportion to the
contributions a_i w_ij or to what a rule makes of them (``lrp_rules.py`` has the rules):

    R_i = Σ_j  h(a_i w_ij) / (Σ_i' h(a_i' w_i'j) + h(b_j)) · R_j

``handling`` is this h, in every convolution and linear layer: signed gives the epsilon rule, positive gives z+, which
is alpha1-beta0. As published (``handling=None``) the composite is z+ in convolutions, epsilon in linear layers.

What has no weights: a ReLU passes relevance unchanged. Max pooling gives it to its winner. Average pooling and
residual additions redistribute it in proportion to their signed inputs. Concatenation and reshaping take it apart. A
BatchNorm is merged into the layer whose output it reads; without one it is a layer of one weight a channel. Anything
else is refused by name, so that relevance is nowhere lost or made in silence, but for biases:

    bias="absorb" (published)   a bias receives its share, and no pixel does
    bias="ignore"               biases stay out of the denominator: pixels receive all the relevance of the output,
                                but for z+ where an output has no positive contribution at all

The output starts with relevance 1 (seed="one"), so that a map holds shares of the logit, whatever the logit's sign;
seed="logit" starts with the logit itself, as Bach et al. do: the map times one number, negative for a class that the
network denies. In a ReLU network rule="zero", seed="logit" gives input x gradient exactly.

With a contrast Σ_k s_k f_k (``engine/contrast.py``) relevance starts at the class and is taken away at the contrast (Gu
et al. 2018). How much class k starts with depends on the rule of the last layer with weights:

    zero, epsilon, gamma    s_k f_k    They divide by a number with the logit's sign, so that a class that the network
                                       denies would otherwise give what it should take away. The relevance adds up to
                                       the contrast, and seed="one" divides the map by it.
    all others (z+, ...)    s_k        Shares of positive evidence, equally large; seed="logit" multiplies by f_c. For
                                       "mean" it's the CLRP1 of Gu et al. with equal weights for the other classes,
                                       times (K - 1) / K for K classes, and without its final ReLU.

So with epsilon in the last layer the map sees its weights as one row Σ_k s_k w_k, and one vector added to all rows
changes nothing. z+ sees each class's positive weights by themselves: there a common vector still changes the map.

Example:
    >>> maps = explain(net, x, target=282, method="lrp", rule=Gamma(gamma=0.25), first=ZBox(low=-1, high=1))

References:
    Bach et al. On Pixel-Wise Explanations. PLoS ONE 2015, sec. "Layer-wise relevance propagation".
    Montavon et al. Layer-Wise Relevance Propagation: An Overview. 2019 (composites).
    Gu, Yang, Tresp. Understanding Individual Decisions of CNNs via Contrastive Backpropagation. ACCV 2018.
    arXiv:1812.02100 (CLRP).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import Node

from posgrad_edu.engine import backward
from posgrad_edu.engine.backward import (
    OwnBackward,
    backward_rules,
    is_constant,
    is_relu,
    own_backward,
    refuse,
    scale_and_shift,
)
from posgrad_edu.engine.contrast import for_each_reference, reference, seeds
from posgrad_edu.engine.graph import refuse_unshared
from posgrad_edu.engine.passes import forward, input_gradients
from posgrad_edu.errors import UnsupportedOperation
from posgrad_edu.handling import Handling
from posgrad_edu.methods.base import InputSpaceMethod
from posgrad_edu.methods.lrp_rules import (
    Epsilon,
    Handled,
    LinearLayer,
    Redistribution,
    Rule,
    Zero,
    get_rule,
    stabilized,
)

AVERAGES = (F.avg_pool2d, F.adaptive_avg_pool2d, Tensor.mean, torch.mean)
# Relevance follows the values through these: PyTorch's own derivative takes it back to where they came from.
ROUTES = (
    F.max_pool2d,
    torch.max_pool2d,
    F.adaptive_max_pool2d,
    F.dropout,
    F.dropout2d,
    F.channel_shuffle,
    torch.cat,
    torch.concat,
    torch.flatten,
    torch.squeeze,
    torch.unsqueeze,
    torch.transpose,
    torch.permute,
    torch.reshape,
    torch.chunk,
    torch.split,
    Tensor.flatten,
    Tensor.reshape,
    Tensor.view,
    Tensor.squeeze,
    Tensor.unsqueeze,
    Tensor.transpose,
    Tensor.permute,
    Tensor.contiguous,
    Tensor.clone,
    Tensor.chunk,
    Tensor.split,
    Tensor.__getitem__,
    Tensor.to,
)


@dataclass(frozen=True)
class LRP(InputSpaceMethod):
    """Relevance redistributed from the logit to the pixels (Bach et al. 2015).

    rule: one rule for all layers, by name ("zero", "epsilon", "z+", "gamma", "alpha-beta", "flat") or a ``Rule``.
    conv, linear: instead, rules for convolutions and for linear layers. first: the rule of the first layer.
    bias: "absorb" or "ignore". seed: "logit" or "one". A ``handling`` decides all rules but ``first``.
    """

    name: ClassVar[str] = "lrp"
    published: ClassVar[Handling | None] = None  # the composite's convolutions and linear layers differ

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
        if self.active_handling is not None:
            return Handled(self.active_handling), Handled(self.active_handling), first
        conv, linear = self.rule or self.conv or "z+", self.rule or self.linear or "epsilon"
        return get_rule(conv), get_rule(linear), first

    def maps(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        if x.device.type == "mps":  # some versions of PyTorch convolve wrongly there in the layout that follows
            return self.relevance(net, x, target)
        # Convolutions on a CPU are quicker where the channels of one place lie side by side; only rounding differs.
        try:
            return self.relevance(net, x.contiguous(memory_format=torch.channels_last), target)
        except RuntimeError as error:
            if "view size is not compatible" not in str(error):
                raise
        return self.relevance(net, x, target)  # its view(...) is made for photos that lie in memory as usual

    def relevance(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        """Return the maps (N, K, H, W), by one pass through the network and back."""
        conv, linear, first = self.rules()
        x = x.requires_grad_()
        propagation = Propagation(conv, linear, first, with_bias=self.bias == "absorb")
        with propagation.context():
            logits = forward(net, x, target)
        refuse_unshared(logits, x, OwnBackward)
        propagation.refuse_overwritten()
        start = for_each_reference(lambda classes: self.start(logits.detach(), classes, propagation.last)[0], target)
        unit = for_each_reference(lambda classes: self.start(logits.detach(), classes, propagation.last)[1], target)
        relevance = input_gradients(logits, start, x)
        return self.reduced(relevance * unit[..., None, None, None])  # each rule is linear in the relevance it is given

    def start(self, logits: Tensor, target: Tensor, last: Rule) -> tuple[Tensor, Tensor]:
        """Return the relevance (N, K, classes) that the output starts with, and the unit (N, K) of the map."""
        seed, of_class = seeds(logits, target), logits.gather(1, target)
        if reference() is None or not last.divides_by_logit:
            return seed, of_class if self.seed == "logit" else torch.ones_like(of_class)
        start = seed * logits.unsqueeze(1)
        return start, torch.ones_like(of_class) if self.seed == "logit" else 1 / start.sum(2)


class Source(NamedTuple):
    """The layer that made a tensor, for a BatchNorm that reads it."""

    version: int  # of the output: it tells whether an in-place ReLU or addition has changed it since
    output: Tensor  # held so that no other tensor gets its id
    input: Tensor
    layer: LinearLayer
    rule: Rule


@dataclass
class Summand:
    """One of the two tensors that an addition adds."""

    a: Tensor


@dataclass
class Propagation:
    """One forward pass in which each operation gets its LRP rule as its way back."""

    conv: Rule
    linear: Rule
    first: Rule | None
    with_bias: bool = True
    seen_photo: set[Node] = field(default_factory=set)
    sources: dict[int, Source] = field(default_factory=dict)  # by the id of their output
    readers: dict[int, list[tuple[LinearLayer | Summand, int]]] = field(default_factory=dict)  # by address
    last: Rule = field(default_factory=Zero)  # of the layer with weights that ran last

    def constant(self, value: object) -> bool:
        """Tell whether a value holds nothing of the photo."""
        return is_constant(value, self.seen_photo)

    def context(self) -> backward_rules:
        """Return the context to run the network in."""
        families: dict[tuple[Callable, ...], Callable | None] = {
            backward.WITH_WEIGHTS: self.weighted,
            (F.batch_norm,): self.batch_norm,
            backward.RELU + backward.CLAMP: self.relu,
            AVERAGES: self.average,
            backward.ADDITIONS: self.addition,
            (F.pad,): self.pad,
            (Tensor.data.__get__, Tensor.numpy): self.expose,  # type: ignore[attr-defined]
            ROUTES: None,
        }
        treated = {function: rule for functions, rule in families.items() for function in functions}
        return backward_rules(treated, otherwise=self.unknown)

    def weighted(self, func: Callable, input: Tensor, weight: Tensor, bias: Any = None, *rest: Any, **k: Any) -> Tensor:
        """A convolution or linear layer: its rule redistributes."""
        if self.constant(input) and self.constant(weight):  # no relevance passes here
            return func(input, weight, bias, *rest, **k)
        if torch.is_autocast_enabled(input.device.type):
            raise refuse("lrp", func, "It runs here under autocast, in half precision: switch that off.")
        if not (self.constant(weight) and self.constant(bias)):
            raise refuse("lrp", func, "Its weights depend on the photo.")
        rule = self.linear if func is F.linear else self.conv
        if self.first is not None:
            rule, self.first = self.first, None
        self.last = rule
        shift = bias.detach() if bias is not None and self.with_bias else None
        layer = LinearLayer(lambda a, w, b: func(a, w, b, *rest, **k), input.detach(), weight.detach(), shift)
        if func is F.linear and (self.with_bias or bias is None):  # large weights: run it once
            layer.a = layer.a.clone()
            way_back = Redistribution(layer, rule)
            output = own_backward(lambda _: way_back.output(), way_back, input)
        else:
            output = self.redistribute(lambda a: func(a, weight, bias, *rest, **k), layer, rule, input)
        self.sources[id(output)] = Source(output._version, output, input, layer, rule)
        return output

    def batch_norm(self, func: Callable, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """A BatchNorm: merged into the layer that made its input, or a layer of one weight a channel."""
        if self.constant(input):  # as where weights are standardized
            return func(input, *args, **kwargs)
        scale, shift = scale_and_shift(input, *args, **kwargs)
        source = self.sources.get(id(input))
        if source is not None and source.version == input._version:
            read, rule, layer = source.input, source.rule, source.layer
            weight = layer.w * scale.reshape(-1, *[1] * (layer.w.ndim - 1))
            bias = shift if layer.b is None else layer.b * scale + shift
            merged = LinearLayer(layer.apply, layer.a, weight, bias)
        else:
            read, rule = input, self.conv
            merged = LinearLayer(per_channel, input.detach(), scale, shift)
        return self.redistribute(lambda _: func(input.detach(), *args, **kwargs), merged, rule, read)

    def redistribute(
        self, compute: Callable[[Tensor], Tensor], layer: LinearLayer, rule: Rule, input: Tensor
    ) -> Tensor:
        """Return ``compute(input)`` with the rule as its way back."""
        if not self.with_bias:
            layer.b = None
        self.keep(layer)
        return own_backward(compute, Redistribution(layer, rule), input)

    def keep(self, reader: LinearLayer | Summand) -> None:
        """Take note that the way back needs the values of ``reader.a`` as they are now."""
        self.readers.setdefault(reader.a.untyped_storage().data_ptr(), []).append((reader, reader.a._version))

    def before_overwriting(self, tensor: Tensor) -> None:
        """Give those who need a tensor's values a copy. Most tensors are never overwritten, so that none is made."""
        for reader, _ in self.readers.pop(tensor.untyped_storage().data_ptr(), ()):
            reader.a = reader.a.clone()

    def refuse_overwritten(self) -> None:
        """Refuse a network in which an operation without a rule has overwritten what a layer has read."""
        if any(reader.a._version != version for readers in self.readers.values() for reader, version in readers):
            raise UnsupportedOperation(
                "lrp needs the input of each layer as the layer read it, and something in this network overwrites one "
                "in place, such as x.detach().mul_(2). Use its form that makes a new tensor."
            )

    @property
    def unweighted(self) -> Rule:
        """The rule of additions and averages: in proportion to their signed inputs."""
        return Zero() if isinstance(self.linear, Zero) else Epsilon()

    def average(self, func: Callable, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """An average: a linear layer whose weights are all alike."""
        layer = LinearLayer(lambda a, *_: func(a, *args, **kwargs), input.detach(), input.new_ones(()))
        return self.redistribute(lambda a: func(a, *args, **kwargs), layer, self.unweighted, input)

    def addition(self, func: Callable, input: Tensor, other: Tensor, **kwargs: Any) -> Tensor:
        """A residual addition: each summand receives its part of the sum."""
        constant = self.constant(input), self.constant(other)
        if all(constant):  # no relevance passes here
            return func(input, other, **kwargs)
        if any(constant) or kwargs.get("alpha", 1) != 1:
            raise refuse("lrp", func, "It adds a constant or a multiple, not two tensors that depend on the photo.")
        summands = Summand(input.detach()), Summand(other.detach())
        for summand in summands:
            self.keep(summand)
        if func.__name__.endswith("_"):
            self.before_overwriting(input)
        denominator = stabilized(summands[0].a + summands[1].a, self.unweighted.epsilon)

        def back(relevance: Tensor) -> tuple[Tensor, ...]:
            share = relevance / denominator
            return tuple((s.a * share).sum_to_size(s.a.shape) for s in summands)

        return own_backward(lambda a, b: func(a, b, **kwargs), back, input, other)

    def pad(
        self, func: Callable, input: Tensor, pad: Any, mode: str = "constant", value: float | None = None
    ) -> Tensor:
        """A border of zeros, or of copies: relevance follows the values."""
        if value:
            raise refuse("lrp", func, "A border that isn't zero would take a share of the relevance.")
        return func(input, pad, mode, value)

    def expose(self, func: Callable, input: Tensor, *args: Any) -> Any:
        """Values that can be written into unseen: whoever needs them gets a copy."""
        self.before_overwriting(input)
        return func(input, *args)

    def relu(self, func: Callable, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """A ReLU: relevance passes unchanged."""
        if not is_relu(func, (input, *args), kwargs):
            return self.unknown(func, input, *args, **kwargs)
        if func.__name__.endswith("_") or True in (*args, *kwargs.values()):  # perhaps inplace=True
            self.before_overwriting(input)
        return own_backward(lambda z: func(z, *args, **kwargs), lambda relevance: (relevance,), input)

    def unknown(self, func: Callable, *args: Any, **kwargs: Any) -> Any:
        """Anything else: fine where no relevance passes, refused where some would."""
        output = func(*args, **kwargs)
        outputs = output if isinstance(output, (tuple, list)) else [output]
        if not all(self.constant(o) for o in outputs):
            raise refuse("lrp", func, "It works on networks of linear layers, ReLUs, BatchNorm, pooling and additions.")
        return output


def per_channel(a: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
    """Return a · w + b, with one weight and one bias a channel."""
    places = (1, -1, *[1] * (a.ndim - 2))
    z = a * w.reshape(places)
    return z if b is None else z + b.reshape(places)
