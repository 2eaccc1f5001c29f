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
    """Return the drawings' scripts: all, or those whose names begin with one of these; ``ValueError`` if none does."""
    known = sorted(HERE.glob("[0-9]*.py"))
    for number in numbers:
        if not any(path.name.startswith(number) for path in known):
            raise ValueError(f"There is no drawing {number!r}. There are: {', '.join(path.stem for path in known)}.")
    return [path for path in known if path.name.startswith(tuple(numbers) or "")]


def drawn(script: Path) -> Schematic:
    """Return the drawing that a script makes."""
    return runpy.run_path(str(script))["draw"]()


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    try:
        chosen = scripts(sys.argv[1:])
    except ValueError as error:
        sys.exit(str(error))
    for script in chosen:
        drawing = drawn(script)
        drawing.save(OUT / f"{script.stem}.svg")
        print(f"![{drawing.alt}](drawings/{script.stem}.svg)")
