"""Errors that say what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UnsupportedOperation(NotImplementedError):
    """The network uses an operation for which the chosen method has no rule."""


class DeviceError(ValueError):
    """A device is asked for that isn't in this computer."""


def nearest_names(name: object, known: Iterable[str], most: int = 3) -> list[str]:
    """Return up to ``most`` of the known names that look like ``name``, best first."""
    by_lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(str(name).lower(), by_lower, n=most, cutoff=0.5)
    return [by_lower[c] for c in close]


def unknown_name(kind: str, name: object, known: Iterable[str]) -> ValueError:
    """Return (not raise) a ``ValueError`` for a name that doesn't exist, with the nearest names that do."""
    known = list(known)
    near = nearest_names(name, known)
    hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else ""
    listed = f"There are: {', '.join(known)}." if len(known) <= 20 else ""
    return ValueError(" ".join(part for part in (f"There is no {kind} {name!r}.", hint, listed) if part))
