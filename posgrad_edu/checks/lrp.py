"""LRP: how one layer hands the relevance of its outputs to its inputs."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from posgrad_edu.checks.engine.changes import Change
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.given import BATCHES
from posgrad_edu.checks.engine.mutations import on_arguments, swapped, then, unchanged, with_argument
from posgrad_edu.checks.engine.task import Args, Function, Mistake, Task

Two = Callable[[Tensor, Tensor], Tensor]
Denominator = Callable[[Tensor, float], Tensor]  # outputs or sums, epsilon -> what relevance is divided by


def away_from_zero(z: Tensor, epsilon: float) -> Tensor:
    """Return z + epsilon * sign(z), where sign(0) is 1."""
    return z + torch.where(z < 0, -epsilon, epsilon)


def without_factor(factor: Tensor, values: Tensor) -> Tensor:
    """Return the values alone, in place of a product."""
    return values


_TIMES_R = "Each output hands out its own relevance: multiply its shares by it."
_ZERO = "sign(0) is +1 here: torch.where(z < 0, -epsilon, epsilon)."
_DETACH = "The quotient is a constant on the way back: (relevance / denominator).detach()."


def wrong_denominators(right: Function, of: str, factor: str, hint: str) -> list[Mistake | Function]:
    """Return the mistakes of dividing by something else, and of leaving out a factor.

    right: takes relevance and epsilon as its last arguments, and as keywords ``below``, a ``Denominator``, and
    ``times``, the product. of, factor: what is divided and multiplied by, in words. hint: the equation.
    """
    sign = f"Add it with the sign of the {of}: it moves the denominator away from zero."
    return [
        Mistake("sign-of-zero", f"where the {of} is 0, your epsilon is zero as well", _ZERO),
        partial(right, below=lambda z, e: z + e * z.sign()),
        Mistake("sign-of-zero", f"where the {of} is 0, you hand out nothing", _ZERO),
        partial(right, below=lambda z, e: torch.where(z == 0, torch.inf, away_from_zero(z, e))),
        Mistake("sign-of-zero", f"where the {of} is 0, your epsilon has the wrong sign", _ZERO),
        partial(right, below=lambda z, e: torch.where(z == 0, -e, away_from_zero(z, e))),
        Mistake("epsilon-missing", f"you used no epsilon, and hand out nothing where the {of} is 0", hint),
        partial(right, below=lambda z, e: torch.where(z == 0, torch.inf, z)),
        Mistake("epsilon-sign", f"you added epsilon without the sign of the {of}", sign),
        partial(right, below=torch.add),
        Mistake("epsilon-sign", "you subtracted epsilon where it should be added", sign),
        partial(right, below=torch.sub),
        Mistake("epsilon-sign", "epsilon moves your denominator towards zero instead of away from it", sign),
        partial(right, below=lambda z, e: away_from_zero(z, -e)),
        Mistake("epsilon-missing", "you used no epsilon, or one of your own instead of the one you were given", hint),
        *(with_argument(right, -1, own) for own in (0.0, 1e-6, 1e-9)),
        Mistake("epsilon-clamp", "you cut the denominator off at epsilon", sign),
        partial(right, below=lambda z, e: z.clamp(min=e)),
        Mistake("quotient-not-detached", f"the gradient went through the quotient of relevance and {of}, too", _DETACH),
        # What r is divided by where the gradient of z * r / (z + epsilon) also goes through the denominator.
        partial(right, below=lambda z, e: away_from_zero(z, e) ** 2 / torch.where(z < 0, -e, e)),
        Mistake("not-divided", f"you didn't divide by the {of}", hint),
        partial(right, below=lambda z, e: torch.ones_like(z)),
        Mistake("multiplied", f"you multiplied by the {of} instead of dividing", hint),
        partial(right, below=lambda z, e: 1 / z),
        partial(right, below=lambda z, e: 1 / away_from_zero(z, e)),
        partial(right, below=lambda z, e: 1 / (z + e)),
        Mistake("relevance-missing", "the relevance isn't in your shares", _TIMES_R),
        on_arguments(right, torch.ones_like, -2),
        Mistake("relevance-missing", f"you multiplied by the {of} in place of the relevance divided by it", _TIMES_R),
        lambda *args: partial(right, below=lambda z, e: args[-2] / z)(*args),
        lambda *args: partial(right, below=lambda z, e: args[-2] / away_from_zero(z, e))(*args),
        Mistake("relevance-divided", "you divided by the relevance instead of multiplying", _TIMES_R),
        on_arguments(right, torch.reciprocal, -2),
        Mistake("relevance-absolute", "you took the magnitude of the relevance", "Relevance keeps its sign."),
        on_arguments(right, torch.abs, -2),
        Mistake("squared", "you squared the relevance", _TIMES_R),
        on_arguments(right, torch.square, -2),
        Mistake("output-missing", f"your denominator is epsilon alone, without the {of}", hint),
        partial(right, below=lambda z, e: torch.where(z < 0, -e, e)),
        partial(right, below=lambda z, e: torch.full_like(z, e)),
        Mistake("epsilon-factor", "you added twice the epsilon, or half of it, or its square", hint),
        partial(right, below=lambda z, e: away_from_zero(z, 2 * e)),
        partial(right, below=lambda z, e: away_from_zero(z, e / 2)),
        partial(right, below=lambda z, e: away_from_zero(z, e**2)),
        Mistake("denominator-squared", f"you divided by the {of} twice", hint),
        partial(right, below=lambda z, e: away_from_zero(z, e) ** 2),
        partial(right, below=lambda z, e: away_from_zero(z, e) * z),
        Mistake("not-multiplied", f"you added the {factor} instead of multiplying by it", hint),
        partial(right, times=torch.add),
        Mistake("upside-down", f"you divided by what should be multiplied: the {factor}, or relevance by {of}", hint),
        lambda *args: partial(right, below=lambda z, e: args[-2] ** 2 / away_from_zero(z, e))(*args),
        partial(right, times=torch.div),
        partial(right, times=swapped(torch.div)),
        Mistake("squared", f"the {factor} enters twice, squared", hint),
        partial(right, times=lambda factor, values: factor**2 * values),
        Mistake("input-missing", f"you divided by the {of}, but didn't multiply by the {factor}", hint),
        partial(right, times=without_factor),
        Mistake("positive-only", f"you dropped negative {of}s", f"The {of} keeps its sign here."),
        partial(right, below=lambda z, e: z.relu() + e),
        Mistake("positive-only", "you dropped the negative relevance", "Relevance keeps its sign."),
        on_arguments(right, torch.relu, -2),
        Mistake("batch-mixed", f"you added up the {of}s over the batch", f"Each photo has {of}s of its own."),
        partial(right, below=lambda z, e: away_from_zero(z.sum(0, keepdim=True), e)),
    ]


def _linear(n: int) -> Args:
    """Inputs (N, 7), weights (5, 7), biases (5,), relevance (N, 5) and epsilon, large enough to matter."""
    a, w, b = torch.randn(BATCHES[n], 7).relu() + 0.1, torch.randn(5, 7), torch.randn(5)
    if n % 2:
        _let_cancel(a, w, b)
    return a, w, b, torch.randn(BATCHES[n], 5), (0.25, 0.1, 0.5, 0.25)[n]


def _let_cancel(a: Tensor, w: Tensor, b: Tensor) -> None:
    """Let two contributions to the first output cancel, in numbers that any order adds up to exactly 0."""
    a[:, 0] = a[:, 1] = (a[:, 1] * 8).ceil() / 8
    w[0], b[0] = 0.0, 0.0
    w[0, 0] = (w[1, 0] * 8).floor().clamp(min=1) / 8
    w[0, 1] = -w[0, 0]


def _epsilon(
    a: Tensor,
    w: Tensor,
    b: Tensor | None,
    r: Tensor,
    e: float,
    below: Denominator = away_from_zero,
    times: Two = torch.mul,
    forward: Callable[..., Tensor] = F.linear,
    back: Two = torch.matmul,
) -> Tensor:
    return times(a, back(r / below(forward(a, w, b), e), w))


def _over_outputs(a: Tensor, w: Tensor, b: Tensor, r: Tensor, e: float, back: Two = torch.matmul, **_: Any) -> Tensor:
    return a * back(r, w) / away_from_zero(a * back(torch.ones_like(r), w), e)


def _bias_shared(
    a: Tensor, w: Tensor, b: Tensor, r: Tensor, e: float, forward: Function = F.linear, back: Two = torch.matmul
) -> Tensor:
    s = r / away_from_zero(forward(a, w, b), e)
    of_each = (b / w[0].numel()).reshape(-1, *[1] * (a.ndim - 2))
    return a * back(s, w) + back(s * of_each, torch.ones_like(w))


_SHARE = "An input's share is a_i w_ji / (z_j + epsilon * sign(z_j)), with z_j the output, its bias included."
_NOT_ZPLUS = "That is z+; epsilon keeps all contributions."
_OF_AN_OUTPUT = "The denominator belongs to an output: it adds up the contributions of all inputs."
_BIAS_KEEPS = "Here the bias takes its own share, and that share goes to no input."


def _of_any_layer(**layer: Any) -> list[Mistake | Function]:
    """Return the mistakes of LRP-epsilon in a linear layer and in a convolution alike. layer: forward and back."""
    right = partial(_epsilon, **layer)
    return [
        Mistake("bias-missing", "the bias is missing from the denominator", _SHARE),
        with_argument(right, 2, None),
        Mistake("bias-sign", "you subtracted the bias instead of adding it", _SHARE),
        on_arguments(right, torch.neg, 2),
        Mistake("bias-sign", "you took the magnitude of the bias", _SHARE),
        on_arguments(right, torch.abs, 2),
        Mistake("bias-alone", "your denominator is the bias alone, without what the inputs give", _SHARE),
        partial(right, forward=on_arguments(layer.get("forward", F.linear), torch.zeros_like, 0)),
        Mistake("weights-changed", "you squared the weights", _SHARE),
        on_arguments(right, torch.square, 1),
        Mistake("weights-changed", "you took the magnitudes of the weights", _NOT_ZPLUS),
        on_arguments(right, torch.abs, 1),
        *wrong_denominators(right, "output", "input", _SHARE),
        Mistake("not-divided", "you neither divided by the output nor multiplied by the input", _SHARE),
        partial(right, below=lambda z, e: torch.ones_like(z), times=without_factor),
        Mistake("positive-only", "you kept the positive weights only", _NOT_ZPLUS),
        on_arguments(right, torch.relu, 1),
        Mistake("positive-only", "you kept the positive weights and biases only", _NOT_ZPLUS),
        on_arguments(right, torch.relu, 1, 2),
        Mistake("relu-on-result", "you dropped the negative relevance of the inputs", "Relevance keeps its sign."),
        then(right, torch.relu),
        Mistake("absolute", "you took absolute values in the denominator", "The output keeps its sign."),
        partial(right, below=lambda z, e: z.abs() + e),
        Mistake("wrong-axis", "you divided by sums over the outputs instead of the inputs", _OF_AN_OUTPUT),
        partial(_over_outputs, **layer),
        Mistake("bias-shared", "you shared the bias out among the inputs", _BIAS_KEEPS),
        partial(_bias_shared, **layer),
    ]


LRP_EPSILON = Task(
    name="lrp epsilon",
    signature="lrp_epsilon(a, w, b, relevance, epsilon)",
    returns="relevance of the inputs, (N, I), of a linear layer",
    about="""
a: inputs (N, I), not negative. w: weights (O, I). b: biases (O,). relevance: of the outputs, (N, O). With
z_j = sum_i a_i w_ji + b_j, input i receives from output j the share a_i w_ji / (z_j + epsilon * sign(z_j)). The
bias keeps what is left.
""",
    lesson=10,
    make=_linear,
    right=_epsilon,
    hint=_SHARE,
    mistakes=_of_any_layer(),
)
check_lrp_epsilon = checker(LRP_EPSILON)


FAINT = 0.05  # the smallest denominator of the last try: what is cut off at 0.1 shows, what is added at 1e-6 doesn't
ROUNDING = 2e-4  # of relevance, which is about 1: that much is changed by adding 1e-5 to the smallest denominator


def _linear_with_dead_output(n: int) -> Args:
    """As ``_linear``, without epsilon; no contribution to the last output is positive. The last try is small."""
    a, w, b, r, _ = _linear(n)
    a = a + 0.3  # denominators stay far above whatever small number is added to them
    w[-1], b[-1] = -w[-1].abs(), -b[-1].abs()
    w[:-1, 0], b[0], b[1] = w[:-1, 0].abs() + 0.2, b[0].abs(), -b[1].abs()
    scale = FAINT / F.linear(a, w.relu(), b.relu())[:, :-1].min() if n == 3 else 1.0
    return a * scale, w, b * scale, r


def _negative(values: Tensor) -> Tensor:
    return values.clamp(max=0)


def _zplus(
    a: Tensor,
    w: Tensor,
    b: Tensor,
    r: Tensor,
    above: Change = torch.relu,
    below: Change = torch.relu,
    bias: Change = torch.relu,
    outputs: Change = unchanged,
    times: Two = torch.mul,
) -> Tensor:
    """The share with weights changed above and below the line; nothing where the denominator is zero."""
    z = outputs(F.linear(a, below(w), bias(b)))
    return times(a, torch.where(z == 0, 0.0, r / z) @ above(w))


def _of_positive(rule: Function) -> Function:
    return lambda a, w, b, r: rule(a, w.relu(), b.relu(), r, 1e-9)


_PLUS = "An input's share is a_i max(w_ji, 0) / (sum of these over all inputs + max(b_j, 0))."
_SMALL = "Add a small number, such as 1e-9, to the denominator: then nothing is handed out there."
_NOT_SMALL = "Denominators of small inputs are small, too: 1e-9, or torch.where(z > 0, ...)."
_BIAS_CLIPPED = "Where contributions are clipped, the bias is clipped as well: max(b, 0)."
LRP_ZPLUS = Task(
    name="lrp z+",
    signature="lrp_zplus(a, w, b, relevance)",
    returns="relevance of the inputs, (N, I), of a linear layer",
    about="""
a: inputs (N, I), not negative. w: weights (O, I). b: biases (O,). relevance: of the outputs, (N, O). Input i
receives from output j the share a_i max(w_ji, 0) / (sum_i a_i max(w_ji, 0) + max(b_j, 0)), and nothing where that
is 0 / 0.
""",
    lesson=10,
    make=_linear_with_dead_output,
    right=_zplus,
    rounding=ROUNDING,
    hint=_PLUS,
    mistakes=[
        Mistake("all-zero", "your result is zero everywhere", f"By the gradient? {_DETACH}"),
        lambda a, w, b, r: torch.zeros_like(a),
        Mistake("cut-off", "you cut the denominator off, or raised it, at a number that isn't small", _NOT_SMALL),
        *(partial(_zplus, outputs=partial(torch.clamp, min=least)) for least in (0.1, 0.5, 1.0)),
        *(partial(_zplus, outputs=partial(torch.add, other=extra)) for extra in (0.01, 0.1, 1.0)),
        Mistake("not-finite", "an output without positive contributions gives 0 / 0", _SMALL),
        Mistake("bias-missing", "the bias is missing from the denominator", _PLUS),
        partial(_zplus, bias=torch.zeros_like),
        Mistake("bias-sign", "you subtracted the biases, or took their magnitudes", _BIAS_CLIPPED),
        partial(_zplus, bias=lambda b: -b.relu()),
        partial(_zplus, bias=torch.abs),
        Mistake("relevance-missing", "the relevance isn't in your shares", _TIMES_R),
        on_arguments(_zplus, torch.ones_like, 3),
        Mistake("relevance-divided", "you divided by the relevance instead of multiplying", _TIMES_R),
        on_arguments(_zplus, torch.reciprocal, 3),
        Mistake("relevance-absolute", "you took the magnitude of the relevance", "Relevance keeps its sign."),
        on_arguments(_zplus, torch.abs, 3),
        Mistake("multiplied", "you multiplied by the sum of the contributions instead of dividing", _PLUS),
        partial(_zplus, outputs=lambda z: torch.where(z == 0, 0.0, 1 / z)),
        partial(_zplus, outputs=lambda z: 1 / (z + 1e-6)),
        Mistake("denominator-squared", "you divided by the sum of the contributions twice", _PLUS),
        partial(_zplus, outputs=torch.square),
        Mistake("not-multiplied", "you added the inputs instead of multiplying by them", _PLUS),
        partial(_zplus, times=torch.add),
        Mistake("not-multiplied", "you divided by the inputs instead of multiplying by them", _PLUS),
        partial(_zplus, times=swapped(torch.div)),
        Mistake("squared", "you squared the weights, above the line or below", _PLUS),
        partial(_zplus, above=lambda w: w.relu() ** 2),
        partial(_zplus, below=lambda w: w.relu() ** 2),
        partial(_zplus, above=lambda w: w.relu() ** 2, below=lambda w: w.relu() ** 2),
        Mistake("squared", "the inputs enter twice, squared", _PLUS),
        partial(_zplus, times=lambda a, shares: a * a * shares),
        Mistake("one-absolute", "you took absolute weights above the line or below it", _PLUS),
        partial(_zplus, above=torch.abs),
        partial(_zplus, below=torch.abs),
        Mistake("denominator-absolute", "you took magnitudes of the outputs for the denominator", _PLUS),
        partial(_zplus, below=unchanged, bias=unchanged, outputs=torch.abs),
        Mistake("bias-negative", "you added negative biases to the denominator, too", _BIAS_CLIPPED),
        partial(_zplus, bias=unchanged),
        Mistake("all-weights", "you kept the negative weights, too", "That is LRP-0; z+ takes max(w, 0)."),
        partial(_zplus, above=unchanged, below=unchanged, bias=unchanged),
        partial(_zplus, above=unchanged, below=unchanged, bias=torch.zeros_like),
        Mistake("denominator-signed", "you clipped the weights above the line only", _PLUS),
        partial(_zplus, below=unchanged, bias=unchanged),
        Mistake("denominator-signed", "you clipped the outputs instead of the contributions", _PLUS),
        partial(_zplus, below=unchanged, bias=unchanged, outputs=torch.relu),
        partial(_zplus, above=unchanged, below=unchanged, bias=unchanged, outputs=torch.relu),
        Mistake("numerator-signed", "you clipped the weights in the denominator only", _PLUS),
        partial(_zplus, above=unchanged),
        *(
            partial(_zplus, above=unchanged, outputs=partial(torch.add, other=10.0**-n))
            for n in (5, 6, 7, 8, 9, 10, 12)
        ),
        Mistake("wrong-sign-kept", "you kept the negative weights instead of the positive ones", _PLUS),
        partial(_zplus, above=_negative, below=_negative, bias=_negative),
        partial(_zplus, above=_negative, below=_negative, bias=torch.zeros_like),
        Mistake("absolute-weights", "you took absolute weights instead of positive ones", "clamp(min=0), not abs()."),
        partial(_zplus, above=torch.abs, below=torch.abs, bias=torch.abs),
        partial(_zplus, above=torch.abs, below=torch.abs),
        Mistake("input-missing", "you forgot to multiply by the input at the end", _PLUS),
        partial(_zplus, times=without_factor),
        Mistake("input-missing", "you shared out by the weights, without the inputs", _PLUS),
        on_arguments(_zplus, torch.ones_like, 0),
        on_arguments(partial(_zplus, bias=torch.zeros_like), torch.ones_like, 0),
        Mistake("not-divided", "you didn't divide by the sum of the contributions", _PLUS),
        partial(_zplus, outputs=torch.ones_like),
        partial(_zplus, outputs=torch.ones_like, times=without_factor),
        Mistake("positive-relevance", "you dropped the negative relevance", "The rule clips weights, not relevance."),
        on_arguments(_zplus, torch.relu, 3),
        Mistake("wrong-axis", "you divided by sums over the outputs instead of the inputs", _OF_AN_OUTPUT),
        _of_positive(_over_outputs),
        Mistake("bias-returned", "you shared the bias out among the inputs", _BIAS_KEEPS),
        _of_positive(_bias_shared),
    ],
)
check_lrp_zplus = checker(LRP_ZPLUS)


def _conv(n: int) -> Args:
    """Inputs (N, 4, 5, 6), weights (4, 4, 3, 3), biases, relevance (N, 4, 5, 6) and epsilon."""
    a, w, b = torch.randn(BATCHES[n], 4, 5, 6).relu() + 0.1, torch.randn(4, 4, 3, 3), torch.randn(4)
    if n % 2:
        _let_cancel(a, w, b)
    return a, w, b, torch.randn(BATCHES[n], 4, 5, 6), (0.5, 0.25, 1.0, 0.5)[n]


_forward = partial(F.conv2d, padding=1)
_transposed = partial(F.conv_transpose2d, padding=1)
_conv_epsilon = partial(_epsilon, forward=_forward, back=_transposed)


_BACK = "The way back is the transposed convolution: F.conv_transpose2d(s, w, padding=1), or autograd of the layer."
LRP_EPSILON_CONV = Task(
    name="lrp epsilon of a convolution",
    signature="lrp_epsilon_conv(a, w, b, relevance, epsilon)",
    returns="relevance of the inputs, (N, C, H, W)",
    about="""
The same rule as for ``check_lrp_epsilon``, for a convolution of 3 x 3 with padding=1. a: inputs (N, C, H, W), not
negative. w: weights (O, C, 3, 3). b: biases (O,). relevance: of the outputs, (N, O, H, W).
""",
    lesson=10,
    make=_conv,
    right=_conv_epsilon,
    hint=_SHARE,
    mistakes=[
        Mistake("kernel-not-transposed", "you went back with the forward convolution", _BACK),
        partial(_conv_epsilon, back=_forward),
        Mistake("kernel-not-transposed", "the kernel's rows and columns run the wrong way on the way back", _BACK),
        partial(_conv_epsilon, back=lambda s, w: _forward(s, w.transpose(0, 1))),
        Mistake("kernel-not-transposed", "the kernel's channels stand the wrong way on the way back", _BACK),
        partial(_conv_epsilon, back=lambda s, w: _forward(s, w.flip(2, 3))),
        Mistake("kernel-not-transposed", "the kernel's rows stand where its columns should on the way back", _BACK),
        partial(_conv_epsilon, back=lambda s, w: _transposed(s, w.transpose(2, 3))),
        Mistake("bias-on-each-tap", "you added the bias once for each of the kernel's nine places", _SHARE),
        on_arguments(_conv_epsilon, partial(operator.mul, 9), 2),
        Mistake("bias-on-the-way-back", "you added the bias on the way back, too", _BACK),
        lambda a, w, b, r, e: _conv_epsilon(a, w, b, r, e, back=partial(_transposed, bias=b)),
        *_of_any_layer(forward=_forward, back=_transposed),
    ],
)
check_lrp_epsilon_conv = checker(LRP_EPSILON_CONV)
