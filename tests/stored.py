"""A notebook's outputs from a run, held against those that its file holds, as ``pytest --nbval`` does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbval import plugin as nbval

SANITIZE = Path(__file__).with_name("nbval_sanitize.cfg")
WIDGET = "application/vnd.jupyter.widget-view+json"
BAR = re.compile(r"\d+%\|.*\| \d+/\d+ \[")


def differences(path: Path, ran: NotebookNode, session: pytest.Session) -> list[str]:
    """Return each cell that has put out something else than stored, and what. ran: the same notebook after a run."""
    file = nbval.IPyNbFile.from_parent(session, path=path)
    file.sanitize_patterns.update(nbval.get_sanitize_patterns(SANITIZE.read_text(encoding="utf-8")))
    found = []
    for stored, cell in zip(file.collect(), code_cells(ran), strict=True):
        assert cell.source == stored.cell.source
        ours, theirs = (nbval.coalesce_streams(o) for o in (without_bars(cell.outputs), stored.cell.outputs))
        if not stored.compare_outputs(ours, theirs):
            found.append("\n".join([f"{stored.name}:\n{cell.source}\n", *stored.comparison_traceback]))
    return found


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def without_bars(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Leave out progress bars, which come and go by the clock: stored outputs have none."""
    return [o for o in outputs if not (WIDGET in o.get("data", {}) and BAR.search(o.data.get("text/plain", "")))]
