"""Call a learner's function so that it can't take the notebook down: with a time limit, its errors and prints kept.

The function runs in a thread of its own while the notebook waits. That works alike on Linux, macOS and Windows, in
Jupyter's main thread and outside. When time is up, an exception is raised inside that thread, which ends any loop
written in Python. Two limits: one long call inside PyTorch or NumPy goes on until it returns (it no longer holds up
the notebook), and so does a function that catches every exception, even this one.
"""

from __future__ import annotations

import ctypes
import io
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from inspect import isgenerator
from typing import Any

PRINTED = 400  # characters that are kept of what a function prints
STACK = 16 * 2**20  # bytes; the usual stack of a thread is small on macOS, and endless recursion would crash there
GRACE = 0.2  # seconds that a stopped thread is given to end


class Stopped(BaseException):
    """Raised inside a learner's function when its time is up."""


@dataclass
class Outcome:
    """What became of a call: a value, or an error, or neither because time ran out."""

    value: Any = None
    error: BaseException | None = None
    timed_out: bool = False
    printed: str = ""


class _Beginning(io.StringIO):
    """Keeps the beginning of what is written to it, so that an endless loop of prints fills no memory."""

    def write(self, text: str) -> int:
        super().write(text[: max(0, PRINTED - self.tell())])
        return len(text)


def call(function: Callable[..., Any], args: Sequence[Any], seconds: float) -> Outcome:
    """Return what ``function(*args)`` gives within ``seconds``; a generator is run to its end, as a list."""
    outcome = Outcome()
    finished = threading.Event()

    def work() -> None:
        try:
            value = function(*args)
            outcome.value = list(value) if isgenerator(value) else value
        except Stopped:
            pass
        except BaseException as error:  # also exit() and the like: they must not end the notebook's kernel
            outcome.error = error
        finally:
            finished.set()

    previous = threading.stack_size(STACK)
    try:
        thread = threading.Thread(target=work, daemon=True, name="posgrad_edu check")
        with warnings.catch_warnings(), redirect_stdout(_Beginning()) as printed:
            warnings.simplefilter("ignore")
            thread.start()
            try:
                outcome.timed_out = not finished.wait(seconds)
            finally:  # also when the learner interrupts the kernel
                _stop(thread, finished)
    finally:
        threading.stack_size(previous)
    outcome.printed = printed.getvalue()
    return outcome


def _stop(thread: threading.Thread, finished: threading.Event) -> None:
    """Raise ``Stopped`` in a thread that still runs; several times, for an ``except:`` may swallow it once."""
    for _ in range(5):
        if finished.is_set() or thread.ident is None:
            return
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Stopped))
        finished.wait(GRACE)
