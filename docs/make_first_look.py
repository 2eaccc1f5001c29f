"""Draw the README's picture by the README's own command: python docs/make_first_look.py

docs/first_look.webp flips the switch every three seconds. docs/first_look.jpg shows both at once, for those who want no
motion. The command is written in README.md alone.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from typer.testing import CliRunner

from posgrad_edu.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
FILM, STILL = "first_look.webp", "first_look.jpg"


def command(out: Path, readme: str) -> list[str]:
    """Return the arguments of the README's command that draws the picture, with another file to write."""
    (line,) = re.findall(rf"^    posgrad-edu (explain .*) --out {re.escape(FILM)}$", readme, re.MULTILINE)
    return [*shlex.split(line), "--out", str(out)]


def draw(folder: Path) -> str:
    """Write both pictures into a folder and return what the command says of the maps; ``RuntimeError`` if it fails."""
    readme, said = (ROOT / "README.md").read_text(encoding="utf-8"), ""
    for name in (FILM, STILL):
        result = CliRunner().invoke(app, command(folder / name, readme))
        if result.exit_code:
            raise RuntimeError(result.output)
        said = result.output
    return said


if __name__ == "__main__":
    sys.stdout.write(draw(ROOT / "docs"))
