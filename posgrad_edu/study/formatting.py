"""Numbers, estimates with their intervals, and tables, as text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from posgrad_edu.viz.words import plain_number


def format_number(value: float) -> str:
    """Return a number with two digits and a real minus sign; a dash for nan."""
    return "–" if math.isnan(value) else plain_number(value)


def format_estimate(row: Any, name: str) -> str:
    """Return a row's mean of one score with its interval in brackets: ``name``, ``name_low`` and ``name_high``."""
    value, low, high = (float(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    if math.isnan(value):
        return format_number(value)
    if math.isnan(low):
        return f"{format_number(value)} [no interval]"
    return f"{format_number(value)} [{format_number(low)}, {format_number(high)}]"


def markdown_table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; a bar in a cell, as in |x|, doesn't end it."""
    rows = [[re.sub(r"(?<!\\)\|", r"\|", cell) for cell in line] for line in [header, ["---"] * len(header), *lines]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
