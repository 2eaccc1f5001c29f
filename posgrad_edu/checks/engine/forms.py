"""What a function may return: each form takes the answer and gives a list of tensors, or says what it should be."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


class Unfit(Exception):
    """The answer isn't of the kind that was asked for: the key of the mistake, and what to do."""

    def __init__(self, key: str, says: str, hint: str) -> None:
        super().__init__(says)
        self.key, self.says, self.hint = key, says, hint


def tensor(answer: Any) -> list[Tensor]:
    """One tensor of floating-point numbers."""
    if not isinstance(answer, Tensor):
        raise _wrong_type(answer, "a tensor")
    _dense(answer)
    if not answer.is_floating_point() or answer.element_size() == 1:  # torch compares no floats of eight bits
        raise Unfit(
            "wrong-dtype",
            f"your answer holds {str(answer.dtype).removeprefix('torch.')} values",
            "A comparison such as g > 0 gives a mask, and integers cut off what follows the point: return floats.",
        )
    return [answer]


def tensors(answer: Any) -> list[Tensor]:
    """A list or tuple of tensors."""
    if not isinstance(answer, (list, tuple)):
        raise _wrong_type(answer, "a list of tensors")
    return [tensor(part)[0] for part in answer]


def number(answer: Any) -> list[Tensor]:
    """One number: a float, or a tensor or array with a single value."""
    values = numbers(answer)[0]
    if values.numel() != 1:
        raise Unfit(
            "not-a-number",
            f"you returned {values.numel()} values instead of one",
            "One number compares two maps: flatten them first.",
        )
    return [values.reshape(())]


def numbers(answer: Any) -> list[Tensor]:
    """Several numbers: a tensor, an array or a list of floats."""
    try:
        if _are_single_tensors(answer):
            for part in answer:
                _dense(part)
            answer = torch.stack([part.reshape(()) for part in answer])  # with its graph, so that this can be told
        found = answer if isinstance(answer, Tensor) else torch.from_numpy(np.asarray(answer, dtype=float).copy())
    except (TypeError, ValueError, RuntimeError):  # torch raises RuntimeError for a graph within lists of lists
        raise _wrong_type(answer, "numbers") from None
    if answer is None or isinstance(answer, str):  # NumPy reads "nan" as a number
        raise _wrong_type(answer, "numbers")
    _dense(found)
    if found.is_complex():
        raise Unfit("wrong-dtype", "your answer holds complex numbers", "Return real ones.")
    return [found if found.is_floating_point() else found.double()]


def _are_single_tensors(answer: Any) -> bool:
    """Whether the answer lists tensors of one value each."""
    listed = isinstance(answer, (list, tuple)) and len(answer) > 0
    return listed and all(isinstance(part, Tensor) and part.numel() == 1 for part in answer)


def _dense(answer: Tensor) -> None:
    """Raise ``Unfit`` for a tensor that doesn't simply hold its values."""
    kinds = {"nested": answer.is_nested, "meta": answer.is_meta, "quantized": answer.is_quantized}
    kinds["sparse"] = answer.layout not in (torch.strided, torch.jagged)
    for kind, fits in kinds.items():
        if fits:
            raise Unfit("wrong-type", f"your function returned a {kind} tensor", "Return a plain tensor of floats.")


def a(noun: str) -> str:
    """Return a noun with its article."""
    return f"an {noun}" if noun[:1].lower() in set("aeio") else f"a {noun}"


def count(number: float, noun: str) -> str:
    """Return a number and a noun, "1 second" or "2 seconds"."""
    return f"{number:g} {noun}" + ("" if number == 1 else "s")


def not_none(answer: Any, wanted: str, hint: str = "Does its last line say return?") -> None:
    """Raise ``Unfit`` where a function returned nothing."""
    if answer is None:
        raise Unfit("returns-none", f"your function returned None instead of {wanted}", hint)


def _wrong_type(answer: Any, wanted: str) -> Unfit:
    not_none(answer, wanted)
    kind, way = a(type(answer).__name__), "Look at what you return."
    if isinstance(answer, np.ndarray):
        kind, way = "a NumPy array", "torch.from_numpy(...) makes a tensor of it."
    if isinstance(answer, (list, tuple)) and answer and all(isinstance(part, Tensor) for part in answer):
        way = "torch.stack(...) makes one tensor of a list of them."
    return Unfit("wrong-type", f"your function returned {kind} instead of {wanted}", way)
