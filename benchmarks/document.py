"""What benchmarks share: the methods they compare, and how a table gets into a document of ``docs/``."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
# Methods with their handlings, which several benchmarks compare.
METHODS = {
    "gradient, signed": ("gradient", "signed"),
    "gradcam, signed": ("gradcam", "signed"),
    "gradcam, positive": ("gradcam", "positive"),
    "guided-backprop, positive": ("guided-backprop", "positive"),
    "lrp, signed": ("lrp", "signed"),
    "lrp, positive": ("lrp", "positive"),
}


def write_section(document: str, benchmark: str, text: str) -> None:
    """Put the text between the marks ``<!-- begin: benchmark -->`` and ``<!-- end: benchmark -->`` of a document."""
    begin, end = f"<!-- begin: benchmarks/{benchmark} -->", f"<!-- end: benchmarks/{benchmark} -->"
    path = DOCS / document
    before = path.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(before):
        raise ValueError(f"{document} needs the lines {begin} and {end}, for the tables to stand between.")
    path.write_text(pattern.sub(lambda _: f"{begin}\n\n{text}\n\n{end}", before), encoding="utf-8")
