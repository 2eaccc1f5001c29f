"""Does each lesson notice when the library breaks the switch? Run: python benchmarks/lesson_mutations.py [04 12 ...]

Each lesson is run in a kernel whose library is wrong in one way, and its printed outputs are held against those that
are stored, as nbval does. A lesson that uses what is broken must print something else, or stop; one whose library is
right must not.

    nothing                  a control
    positive does nothing    POSITIVE returns what it is given
    signed clamps            SIGNED drops what is negative
    contrast ignored         maps and scores are those of logits
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parents[1]
FIRST_LINES = {
    "nothing": "",
    "positive does nothing": "object.__setattr__(h.POSITIVE, 'function', lambda information: information)",
    "signed clamps": "object.__setattr__(h.SIGNED, 'function', lambda information: information.clamp(min=0))",
    "contrast ignored": """
def logits_alone():
    if _asked.get() is not None:
        _asked.get().applied = True


c.reference.__code__ = logits_alone.__code__
c.contrasts.__code__ = (lambda logits, against: logits).__code__
""",
}
USES = {
    "nothing": "",
    "positive does nothing": r"\bpositive\b",
    "signed clamps": r"\bsigned\b",
    "contrast ignored": r"""\bcontrast"?(=|: )"mean"|\bcontrast=(?!False|True|None)\w|\bShiftSlider\b""",
}


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """Return what each cell printed or returned, without pictures and widgets."""
    texts = []
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        parts = [output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs]
        texts.append(re.sub(r"\s+", " ", " ".join(parts)).strip())
    return texts


def notices(path: Path, first_lines: str) -> bool:
    """Tell whether a lesson prints something else, or stops, where these lines have run before it."""
    stored = nbformat.read(path, as_version=4)
    again: Any = nbformat.from_dict(stored)
    with tempfile.TemporaryDirectory() as folder:
        startup = Path(folder, "profile_default", "startup", "00.py")
        startup.parent.mkdir(parents=True)
        startup.write_text(f"import posgrad_edu.handling as h\nimport posgrad_edu.engine.contrast as c\n{first_lines}")
        os.environ["IPYTHONDIR"] = folder
        before = printed(stored)
        try:
            NotebookClient(again, timeout=600, resources={"metadata": {"path": str(path.parent)}}).execute()
        except CellExecutionError:
            return True
    return printed(again) != before


def main(numbers: list[str]) -> int:
    """Print a row for each lesson and break; return how many rows are wrong."""
    os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    missed = 0
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        if not path.name.startswith(tuple(numbers) or ""):
            continue
        code = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
        if not re.search(r"^import posgrad_edu as pg$", code, re.MULTILINE):
            print(f"{path.stem:34s} asks the library for no map", flush=True)
            continue
        for name, lines in FIRST_LINES.items():
            if re.search(USES[name], code, re.IGNORECASE):
                seen = notices(path, lines)
                right = seen == bool(lines)
                missed += not right
                words = "noticed" if seen else "the same"
                print(f"{path.stem:34s} {name:22s} {words}{'' if right else '   <-- WRONG'}", flush=True)
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > 0)
