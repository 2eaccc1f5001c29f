"""Run the exercises' sources and the workshops, each in a fresh kernel: they put out what their files hold.

The lessons are run by test_browser.py, in JupyterLab; where there is no chromium or no playwright, here. So where both
are there, ``-m "not browser"`` runs no lesson.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
from chromium import CHROMIUM
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook, new_output
from stored import WIDGET, code_cells, differences
from tqdm.notebook import tqdm

ROOT = Path(__file__).resolve().parents[1]
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
OTHERS = [
    *sorted((ROOT / "notebooks" / "workshops").glob("*.ipynb")),
    *sorted((ROOT / "exercises" / "source").glob("*/*.ipynb")),
]
IN_A_BROWSER = CHROMIUM and find_spec("playwright")
NOTEBOOKS = OTHERS if IN_A_BROWSER else [*LESSONS, *OTHERS]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}  # and no progress bars


@pytest.mark.slow
@pytest.mark.usefixtures("quick_kernels")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_outputs_are_those_that_the_notebook_holds(path: Path, request: pytest.FixtureRequest) -> None:
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}})
    ran = client.execute(env={**os.environ, **ONE_THREAD})
    assert not (found := differences(path, ran, request.session)), "\n".join(found)


def test_another_number_is_a_difference_and_a_progress_bar_is_none(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    printed = [new_output("stream", text=f"{n} of 3\n") for n in (1, 2)]
    cells = [new_code_cell(f"print({n})", outputs=[output]) for n, output in enumerate(printed)]
    path = tmp_path / "lesson.ipynb"
    nbformat.write(ran := new_notebook(cells=cells), path)
    assert differences(path, ran, request.session) == []
    printing = code_cells(ran)[0]
    bar = {WIDGET: {}, "text/plain": repr(tqdm(total=3, display=False).container)}
    printing.outputs.append(new_output("display_data", bar))
    assert differences(path, ran, request.session) == []
    printing.outputs[0].text = printing.outputs[0].text.replace("1", "4")
    (found,) = differences(path, ran, request.session)
    assert printing.source in found
    printing.outputs.append(new_output("display_data", {WIDGET: {}, "text/plain": "a slider"}))
    del printing.outputs[0]
    (found,) = differences(path, ran, request.session)
    assert "Missing output fields" in found or "Unexpected output fields" in found
