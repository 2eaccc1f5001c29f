"""Draw the lessons' schematics, one file here for each: python docs/drawings/make.py [02 ...]

The SVG files lie in notebooks/drawings, where the lessons show them with their alt texts.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from posgrad_edu.viz import Schematic

HERE = Path(__file__).resolve().parent
OUT = HERE.parents[1] / "notebooks" / "drawings"


def scripts(numbers: list[str]) -> list[Path]:
    """Return the drawings' scripts: all, or those whose names begin with one of these numbers."""
    return sorted(path for path in HERE.glob("[0-9]*.py") if path.name.startswith(tuple(numbers) or ""))


def drawn(script: Path) -> Schematic:
    """Return the drawing that a script makes."""
    return runpy.run_path(str(script))["draw"]()


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for script in scripts(sys.argv[1:]):
        drawing = drawn(script)
        drawing.save(OUT / f"{script.stem}.svg")
        print(f"![{drawing.alt}](drawings/{script.stem}.svg)")
