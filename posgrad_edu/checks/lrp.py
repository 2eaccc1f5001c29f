"""LRP: how one layer hands the relevance of its outputs to its inputs."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.given import BATCHES
from posgrad_edu.checks.engine.task import Args, Mistake, Task

Keep = Callable[[Tensor], Tensor]


def _linear(n: int) -> Args:
    """Inputs (N, 7), weights (5, 7), biases (5,), relevance (N, 5) and epsilon, large enough to matter."""
    a, w = torch.randn(BATCHES[n], 7).relu() + 0.1, torch.randn(5, 7)
    return a, w, torch.randn(5), torch.randn(BATCHES[n], 5), (0.25, 0.1, 0.5, 0.25)[n]


def _everything(values: Tensor) -> Tensor:
    return values


def _positive(values: Tensor) -> Tensor:
    return values.clamp(min=0)


def _steady(z: Tensor, epsilon: float) -> Tensor:
    return z + torch.where(z < 0, -epsilon, epsilon)


def _outputs(a: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return a @ w.T + b


def _epsilon(a: Tensor, w: Tensor, b: Tensor, r: Tensor, eps: float) -> Tensor:
    return a * ((r / _steady(_outputs(a, w, b), eps)) @ w)


_SHARE = "An input's share is a_i w_ji / (z_j + epsilon * sign(z_j)), with z_j the output, its bias included."
LRP_EPSILON = Task(
    name="lrp epsilon",
    signature="lrp_epsilon(a, w, b, relevance, epsilon)",
    returns="relevance of the inputs, (N, I), of a linear layer",
    about="""
a: inputs (N, I), not negative. w: weights (O, I). b: biases (O,). relevance: of the outputs, (N, O). With
z_j = sum_i a_i w_ji + b_j, input i receives from output j the share a_i w_ji / (z_j + epsilon * sign(z_j)). The
bias keeps what is left.
""",
    lesson=7,
    make=_linear,
    right=_epsilon,
    hint=_SHARE,
    mistakes=[
        Mistake("bias-missing", "the bias is missing from the denominator", _SHARE),
        lambda a, w, b, r, e: _epsilon(a, w, 0 * b, r, e),
        Mistake(
            "epsilon-sign",
            "you added epsilon without the sign of the output",
            "For a negative output, subtract it: or the denominator moves towards zero.",
        ),
        lambda a, w, b, r, e: a * ((r / (_outputs(a, w, b) + e)) @ w),
        Mistake(
            "epsilon-sign",
            "you subtracted epsilon where it should be added",
            "epsilon moves the denominator away from zero.",
        ),
        lambda a, w, b, r, e: a * ((r / (_outputs(a, w, b) - e)) @ w),
        Mistake(
            "epsilon-sign",
            "epsilon moves your denominator towards zero instead of away from it",
            "Add it with the sign of the output.",
        ),
        lambda a, w, b, r, e: a * ((r / _steady(_outputs(a, w, b), -e)) @ w),
        Mistake("epsilon-missing", "you didn't use the epsilon that you were given", _SHARE),
        lambda a, w, b, r, e: _epsilon(a, w, b, r, 0.0),
        Mistake("epsilon-missing", "you used a number of your own instead of epsilon", _SHARE),
        lambda a, w, b, r, e: _epsilon(a, w, b, r, 1e-6),
        Mistake("epsilon-clamp", "you cut the denominator off at epsilon", "Add it with the sign of the output."),
        lambda a, w, b, r, e: a * ((r / _outputs(a, w, b).clamp(min=e)) @ w),
        Mistake("input-missing", "you forgot to multiply by the input at the end", _SHARE),
        lambda a, w, b, r, e: (r / _steady(_outputs(a, w, b), e)) @ w,
        Mistake("not-divided", "you didn't divide by the output", _SHARE),
        lambda a, w, b, r, e: a * (r @ w),
        lambda a, w, b, r, e: r @ w,
        Mistake("multiplied", "you multiplied by the output instead of dividing", _SHARE),
        lambda a, w, b, r, e: a * ((r * _outputs(a, w, b)) @ w),
        Mistake("positive-only", "you kept the positive weights only", "That is z+; epsilon keeps all contributions."),
        lambda a, w, b, r, e: _epsilon(a, w.clamp(min=0), b, r, e),
        Mistake(
            "positive-only",
            "you kept the positive weights and biases only",
            "That is z+; epsilon keeps all contributions.",
        ),
        lambda a, w, b, r, e: _epsilon(a, w.clamp(min=0), b.clamp(min=0), r, e),
        Mistake("positive-only", "you dropped the negative relevance", "Relevance keeps its sign."),
        lambda a, w, b, r, e: _epsilon(a, w, b, r.clamp(min=0), e),
        Mistake("positive-only", "you dropped the negative outputs", "Outputs keep their sign here."),
        lambda a, w, b, r, e: a * ((r / (_outputs(a, w, b).relu() + e)) @ w),
        Mistake("relu-on-result", "you dropped the negative relevance of the inputs", "Relevance keeps its sign."),
        lambda a, w, b, r, e: _epsilon(a, w, b, r, e).relu(),
        Mistake("absolute", "you took absolute values in the denominator", "The output keeps its sign."),
        lambda a, w, b, r, e: a * ((r / (_outputs(a, w, b).abs() + e)) @ w),
        Mistake(
            "wrong-axis",
            "you divided by sums over the outputs instead of the inputs",
            "z_j belongs to an output: it adds up the contributions of all inputs.",
        ),
        lambda a, w, b, r, e: _over_outputs(a, w, r, e),
        Mistake("batch-mixed", "you added up the outputs over the batch", "Each photo has outputs of its own."),
        lambda a, w, b, r, e: a * ((r / _steady(_outputs(a, w, b).sum(0, keepdim=True), e)) @ w),
        Mistake(
            "bias-shared",
            "you shared the bias out among the inputs",
            "Here the bias takes its own share, and that share goes to no input.",
        ),
        lambda a, w, b, r, e: _bias_shared(a, w, b, r, e),
    ],
)


def _over_outputs(a: Tensor, w: Tensor, r: Tensor, e: float) -> Tensor:
    contributions = torch.einsum("ni,oi->noi", a, w)
    return (contributions / _steady(contributions.sum(1, keepdim=True), e) * r[..., None]).sum(1)


def _bias_shared(a: Tensor, w: Tensor, b: Tensor, r: Tensor, e: float) -> Tensor:
    contributions = torch.einsum("ni,oi->noi", a, w) + (b / w.shape[1])[None, :, None]
    return (contributions * (r / _steady(_outputs(a, w, b), e))[..., None]).sum(1)


check_lrp_epsilon = checker(LRP_EPSILON)


def _linear_with_dead_output(n: int) -> Args:
    """As ``_linear``, without epsilon; no contribution to the last output is positive."""
    a, w, b, r, _ = _linear(n)
    a = a + 0.3  # denominators stay far above whatever small number is added to them
    w[-1], b[-1] = -w[-1].abs(), -b[-1].abs()
    w[:-1, 0], b[0], b[1] = w[:-1, 0].abs() + 0.2, b[0].abs(), -b[1].abs()
    return a, w, b, r


def _zplus(a: Tensor, w: Tensor, b: Tensor, r: Tensor) -> Tensor:
    return _epsilon(a, _positive(w), _positive(b), r, 1e-9)


def _kept(a: Tensor, w: Tensor, b: Tensor, r: Tensor, above: Tensor, below: Tensor) -> Tensor:
    """The share with other weights above the line than below; nothing where the denominator is zero."""
    return a * (torch.where(below == 0, 0.0, r / torch.where(below == 0, 1.0, below)) @ above)


_PLUS = "An input's share is a_i max(w_ji, 0) / (sum of these over all inputs + max(b_j, 0))."
LRP_ZPLUS = Task(
    name="lrp z+",
    signature="lrp_zplus(a, w, b, relevance)",
    returns="relevance of the inputs, (N, I), of a linear layer",
    about="""
a: inputs (N, I), not negative. w: weights (O, I). b: biases (O,). relevance: of the outputs, (N, O). Input i
receives from output j the share a_i max(w_ji, 0) / (sum_i a_i max(w_ji, 0) + max(b_j, 0)), and nothing where that
is 0 / 0.
""",
    lesson=7,
    make=_linear_with_dead_output,
    right=_zplus,
    hint=_PLUS,
    mistakes=[
        Mistake(
            "not-finite",
            "an output without positive contributions gives 0 / 0",
            "Add a small number, such as 1e-9, to the denominator: then nothing is handed out there.",
        ),
        Mistake("bias-missing", "the bias is missing from the denominator", _PLUS),
        lambda a, w, b, r: _zplus(a, w, 0 * b, r),
        Mistake(
            "bias-negative",
            "you added negative biases to the denominator, too",
            "Where contributions are clipped, the bias is clipped as well: max(b, 0).",
        ),
        lambda a, w, b, r: _kept(a, w, b, r, _positive(w), a @ _positive(w).T + b),
        lambda a, w, b, r: a * ((r / (a @ _positive(w).T + b + 1e-9)) @ _positive(w)),
        Mistake("all-weights", "you kept the negative weights, too", "That is LRP-0; z+ takes max(w, 0)."),
        lambda a, w, b, r: _epsilon(a, w, b, r, 1e-9),
        lambda a, w, b, r: _epsilon(a, w, 0 * b, r, 1e-9),
        Mistake(
            "denominator-signed", "you clipped the weights above the line only", "Clip them in the denominator, too."
        ),
        lambda a, w, b, r: _kept(a, w, b, r, _positive(w), _outputs(a, w, b)),
        Mistake(
            "denominator-signed",
            "you clipped the outputs instead of the contributions",
            "max(w, 0) first, then the sum.",
        ),
        lambda a, w, b, r: _kept(a, w, b, r, _positive(w), _outputs(a, w, b).relu()),
        lambda a, w, b, r: _kept(a, w, b, r, w, _outputs(a, w, b).relu()),
        Mistake(
            "numerator-signed", "you clipped the weights in the denominator only", "Clip them above the line, too."
        ),
        lambda a, w, b, r: _kept(a, w, b, r, w, a @ _positive(w).T + _positive(b)),
        Mistake("wrong-sign-kept", "you kept the negative weights instead of the positive ones", _PLUS),
        lambda a, w, b, r: _kept(a, w, b, r, w.clamp(max=0), a @ w.clamp(max=0).T + b.clamp(max=0)),
        lambda a, w, b, r: _kept(a, w, b, r, w.clamp(max=0), a @ w.clamp(max=0).T),
        Mistake("absolute-weights", "you took absolute weights instead of positive ones", "clamp(min=0), not abs()."),
        lambda a, w, b, r: _epsilon(a, w.abs(), b.abs(), r, 1e-9),
        lambda a, w, b, r: _epsilon(a, w.abs(), _positive(b), r, 1e-9),
        Mistake("input-missing", "you forgot to multiply by the input at the end", _PLUS),
        lambda a, w, b, r: (r / (a @ _positive(w).T + _positive(b) + 1e-9)) @ _positive(w),
        Mistake("input-missing", "you shared out by the weights, without the inputs", _PLUS),
        lambda a, w, b, r: _zplus(torch.ones_like(a), w, b, r),
        lambda a, w, b, r: _zplus(torch.ones_like(a), w, 0 * b, r),
        Mistake("not-divided", "you didn't divide by the sum of the contributions", _PLUS),
        lambda a, w, b, r: a * (r @ _positive(w)),
        lambda a, w, b, r: r @ _positive(w),
        Mistake("positive-relevance", "you dropped the negative relevance", "The rule clips weights, not relevance."),
        lambda a, w, b, r: _zplus(a, w, b, r.clamp(min=0)),
        Mistake(
            "wrong-axis",
            "you divided by sums over the outputs instead of the inputs",
            "The denominator belongs to an output: it adds up the contributions of all inputs.",
        ),
        lambda a, w, b, r: _over_outputs(a, _positive(w), r, 1e-9),
        Mistake(
            "bias-returned",
            "you shared the bias out among the inputs",
            "Here the bias takes its own share, and that share goes to no input.",
        ),
        lambda a, w, b, r: _bias_shared(a, _positive(w), _positive(b), r, 1e-9),
    ],
)


check_lrp_zplus = checker(LRP_ZPLUS)


def _conv(n: int) -> Args:
    """Inputs (N, 4, 5, 6), weights (4, 4, 3, 3), biases, relevance (N, 4, 5, 6) and epsilon."""
    a, w = torch.randn(BATCHES[n], 4, 5, 6).relu() + 0.1, torch.randn(4, 4, 3, 3)
    return a, w, torch.randn(4), torch.randn(BATCHES[n], 4, 5, 6), (0.5, 0.25, 1.0, 0.5)[n]


Back = Callable[[Tensor, Tensor], Tensor]


def _transposed(s: Tensor, w: Tensor) -> Tensor:
    return F.conv_transpose2d(s, w, padding=1)


def _conv_epsilon(a: Tensor, w: Tensor, b: Tensor, r: Tensor, e: float, back: Back = _transposed) -> Tensor:
    return a * back(r / _steady(F.conv2d(a, w, b, padding=1), e), w)


def _with_back(back: Back) -> Callable[..., Tensor]:
    return lambda a, w, b, r, e: _conv_epsilon(a, w, b, r, e, back)


_BACK = "The way back is the transposed convolution: F.conv_transpose2d(s, w, padding=1), or autograd of the layer."
LRP_EPSILON_CONV = Task(
    name="lrp epsilon of a convolution",
    signature="lrp_epsilon_conv(a, w, b, relevance, epsilon)",
    returns="relevance of the inputs, (N, C, H, W)",
    about="""
The same rule as for ``check_lrp_epsilon``, for a convolution of 3 x 3 with padding=1. a: inputs (N, C, H, W), not
negative. w: weights (O, C, 3, 3). b: biases (O,). relevance: of the outputs, (N, O, H, W).
""",
    lesson=7,
    make=_conv,
    right=_conv_epsilon,
    hint=_SHARE,
    mistakes=[
        Mistake("kernel-not-transposed", "you went back with the forward convolution", _BACK),
        _with_back(lambda s, w: F.conv2d(s, w, padding=1)),
        Mistake(
            "kernel-not-transposed", "the kernel's rows and columns are flipped the wrong way on the way back", _BACK
        ),
        _with_back(lambda s, w: F.conv2d(s, w.transpose(0, 1), padding=1)),
        Mistake("kernel-not-transposed", "the kernel's channels are swapped the wrong way on the way back", _BACK),
        _with_back(lambda s, w: F.conv2d(s, w.flip(2, 3), padding=1)),
        Mistake("kernel-not-transposed", "the kernel's rows stand where its columns should on the way back", _BACK),
        _with_back(lambda s, w: _transposed(s, w.transpose(2, 3))),
        Mistake("bias-missing", "the bias is missing from the denominator", _SHARE),
        lambda a, w, b, r, e: _conv_epsilon(a, w, 0 * b, r, e),
        Mistake("bias-on-the-way-back", "you added the bias on the way back, too", _BACK),
        lambda a, w, b, r, e: _conv_epsilon(a, w, b, r, e, lambda s, w: F.conv_transpose2d(s, w, b, padding=1)),
        Mistake(
            "epsilon-sign",
            "you added epsilon without the sign of the output",
            "For a negative output, subtract it: or the denominator moves towards zero.",
        ),
        lambda a, w, b, r, e: a * _transposed(r / (F.conv2d(a, w, b, padding=1) + e), w),
        Mistake(
            "epsilon-sign",
            "epsilon moves your denominator towards zero instead of away from it",
            "Add it with the sign of the output.",
        ),
        lambda a, w, b, r, e: a * _transposed(r / _steady(F.conv2d(a, w, b, padding=1), -e), w),
        Mistake("epsilon-missing", "you didn't use the epsilon that you were given", _SHARE),
        lambda a, w, b, r, e: _conv_epsilon(a, w, b, r, 0.0),
        Mistake("epsilon-missing", "you used a number of your own instead of epsilon", _SHARE),
        lambda a, w, b, r, e: _conv_epsilon(a, w, b, r, 1e-6),
        Mistake("input-missing", "you forgot to multiply by the input at the end", _SHARE),
        lambda a, w, b, r, e: _conv_epsilon(a, w, b, r, e) / a,
        Mistake("not-divided", "you didn't divide by the output", _SHARE),
        lambda a, w, b, r, e: a * _transposed(r, w),
        Mistake("positive-only", "you kept the positive weights only", "That is z+; epsilon keeps all contributions."),
        lambda a, w, b, r, e: _conv_epsilon(a, w.clamp(min=0), b, r, e),
        Mistake(
            "positive-only",
            "you kept the positive weights and biases only",
            "That is z+; epsilon keeps all contributions.",
        ),
        lambda a, w, b, r, e: _conv_epsilon(a, w.clamp(min=0), b.clamp(min=0), r, e),
        Mistake("positive-only", "you dropped the negative outputs", "Outputs keep their sign here."),
        lambda a, w, b, r, e: a * _transposed(r / (F.conv2d(a, w, b, padding=1).relu() + e), w),
        Mistake("absolute", "you took absolute values in the denominator", "The output keeps its sign."),
        lambda a, w, b, r, e: a * _transposed(r / (F.conv2d(a, w, b, padding=1).abs() + e), w),
    ],
)


check_lrp_epsilon_conv = checker(LRP_EPSILON_CONV)
