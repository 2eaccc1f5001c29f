"""A learner's exception in words: what it means, in which line, and what usually helps."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

import torch

ERROR = "error"
FOLDER = Path(__file__).parents[1]  # the folder of all checks: a line in it isn't the learner's


class Known(NamedTuple):
    """An exception that learners meet often: its type, a part of its text, and what it means."""

    type: type[BaseException]
    part: str
    key: str
    says: str
    hint: str


_SHAPES = "two tensors have sizes that don't fit"
_KEEPDIM = "Print their shapes; keepdim=True keeps an axis that you averaged, so that the result still broadcasts."
_INPLACE = "something was overwritten in place that the way back still needs"
_CLONE = "Use clone() before you record or change it, and operations without an underscore at the end."
_FULL_HOOK = "a full backward hook makes views of a module's input and output, which a ReLU that works in place changes"
_TENSOR_HOOK = "Put the hook on the tensor instead: output.register_hook(...), in a forward hook that returns a clone."
_DTYPES = "two tensors hold numbers of different types"
_FLOAT = "Print their dtypes; .to(other) or .float() brings one to the type of the other."
_NO_PLACE = "you asked for a place that doesn't exist"
_COUNTS = "Check the number of photos, channels or layers: they differ from try to try."
_NONE = "you calculate with None"
_GRAD_NONE = (
    "A .grad is None before backward(), and for tensors that aren't leaves: torch.autograd.grad gives it directly."
)

# What PyTorch says in a RuntimeError: a part of it, and the key, what it means, and a hint.
_OF_TORCH = {
    "backward through the graph a second time": (
        "retain-graph",
        "you went back through the same graph twice",
        "Give retain_graph=True all times but the last, or add up the logits and go back once.",
    ),
    "One of the differentiated Tensors does not require grad": (
        "no-graph",
        "the tensor that you differentiate by isn't part of a graph",
        "Call requires_grad_() on it before the forward pass.",
    ),
    "does not require grad": (
        "no-graph",
        "there is no graph to go back through",
        "Call requires_grad_() on the leaf before the forward pass, without no_grad() and detach() on the way.",
    ),
    "grad can be implicitly created only for scalar": (
        "not-a-scalar",
        "you went back from several logits at once",
        "Choose one logit a photo, and add them up over the batch: photos don't meet, so each keeps its own gradient.",
    ),
    "not have been used in the graph": (
        "unused",
        "the logit doesn't depend on the tensor that you differentiate by",
        "Run the network on that very tensor, not on a copy made before.",
    ),
    "a leaf Variable that requires grad": (
        "leaf-in-place",
        "you overwrote a parameter while torch was recording operations for gradients",
        "Write with torch.no_grad(): around that line.",
    ),
    "BackwardHook": ("in-place", _FULL_HOOK, _TENSOR_HOOK),
    "modified by an inplace": ("in-place", _INPLACE, _CLONE),
    "is being modified inplace": ("in-place", _INPLACE, _CLONE),
    "used in an in-place operation": ("in-place", _INPLACE, _CLONE),
    "Can't call numpy() on Tensor that requires grad": (
        "not-detached",
        "you turned a tensor into an array that still belongs to a graph",
        "detach() it first.",
    ),
    **dict.fromkeys(("dtype", "scalar type", "type (", "can't be cast"), ("dtypes", _DTYPES, _FLOAT)),
    "view size is not compatible": (
        "view",
        "view() can't lay these values out anew: they don't lie one after the other in memory",
        "Write reshape() instead of view(); it copies where it has to.",
    ),
    **dict.fromkeys(("out of bounds", "out of range", "out of DATA bounds"), ("index", _NO_PLACE, _COUNTS)),
    **dict.fromkeys(("must match", "cannot be multiplied", "shape", "to have", "size"), ("shapes", _SHAPES, _KEEPDIM)),
    "Boolean value of Tensor": (
        "if-on-tensor",
        "you asked if, of a whole tensor",
        "torch.where or a mask decides for each value by itself.",
    ),
}
_ALIKE = "Is it spelt alike everywhere, and was the cell that makes it run?"
_DENOMINATOR = "Ask first when the denominator can be zero, and what the answer should be then."
_AXES = "Print its shape; the axes count from 0: photo, channel, row, column."
_OWN_NAME = "Is a helper of yours named like the function itself?"
_REPLACE = "Replace the line that raises NotImplementedError by your own."
# The first that fits is taken: a text that holds another one stands before it.
KNOWN = [
    Known(NotImplementedError, "", "not-written", "your function isn't written yet", _REPLACE),
    *(Known(RuntimeError, part, *words) for part, words in _OF_TORCH.items()),
    Known(IndexError, "Dimension out of range", "dimension", "you named an axis that the tensor doesn't have", _AXES),
    Known(IndexError, "", "index", _NO_PLACE, _COUNTS),
    Known(ZeroDivisionError, "", "division-by-zero", "you divided by zero", _DENOMINATOR),
    Known(NameError, "", "name", "you used a name that doesn't exist", _ALIKE),
    Known(AttributeError, "NoneType", "none", _NONE, _GRAD_NONE),
    Known(TypeError, "NoneType", "none", _NONE, _GRAD_NONE),
    Known(RecursionError, "", "recursion", "your function calls itself without an end", _OWN_NAME),
]

OTHER = "Put a print before that line, or run the function on a tensor of your own."


def explain(error: BaseException, function: Callable[..., Any], signature: str) -> tuple[str, str, str]:
    """Return key, what is said, and hint for an exception of a learner's function."""
    text = _text(error)
    if isinstance(error, TypeError) and _raised_by_call(error):
        says = f"your function can't be called as asked ({text})"
        return "signature", says, f"It should be defined as {signature}."
    place = where(error, function)
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return "memory", f"memory ran out{place}", "A tensor grew too large: print the shapes on the way."
    for known in KNOWN:
        if isinstance(error, known.type) and known.part in text:
            name = f": {text}" if isinstance(error, NameError) else ""
            return known.key, known.says + name + place, known.hint
    first = text.strip().partition("\n")[0]
    return ERROR, f"{type(error).__name__}{': ' + first if first else ''}{place}", OTHER


def _text(error: BaseException) -> str:
    """Return what an exception says; nothing where it can't say it."""
    try:
        return str(error)
    except Exception:  # whatever a learner's own __str__ does
        return ""


def where(error: BaseException, function: Callable[..., Any]) -> str:
    """Return ", in line 3: ``weights = ...``" for the learner's own line that an exception came from."""
    frames = traceback.extract_tb(error.__traceback__)
    code = _code(function)
    own = [f for f in frames if code is not None and f.filename == code.co_filename]
    if not own:
        own = [f for f in frames if not _in_package(f.filename)]
    if not own:
        return ""
    line = f": {own[-1].line}" if own[-1].line else ""
    return f", in line {own[-1].lineno}{line}"


def _code(function: Any) -> CodeType | None:
    while hasattr(function, "__wrapped__") or hasattr(function, "func"):  # decorators and functools.partial
        function = getattr(function, "__wrapped__", None) or function.func
    found = getattr(function, "__code__", None) or getattr(getattr(function, "__call__", None), "__code__", None)  # noqa: B004
    return found if isinstance(found, CodeType) else None


def _raised_by_call(error: BaseException) -> bool:
    """Whether not a single line of the learner's function was run."""
    return all(_in_package(frame.filename) for frame in traceback.extract_tb(error.__traceback__))


def _in_package(filename: str) -> bool:
    return FOLDER in Path(filename).parents
