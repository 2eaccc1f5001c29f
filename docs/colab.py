"""The cell in each lesson that installs the course on Colab, and does nothing elsewhere: python docs/colab.py

It needs the repository's address, which stands in pyproject.toml (``repository.py``). Until it's set there, the cell
says so, on Colab. Run this again when it was set or has changed. No lesson is run: the cell has no output, and what the
cells after it are numbered moves up by one when it's put in.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat import NotebookNode
from repository import ROOT, address

TAG = "colab"
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
HEAD = (
    "# On Colab this installs the course; elsewhere it does nothing.\n"
    "# On Colab the answers are shown already. To guess first: Edit, Clear all outputs.\nimport sys\n\n"
)
UNKNOWN = "This copy of the course has no address to install it from. Ask whoever gave it to you."
# Colab has PyTorch, timm and its own ipywidgets, which a newer version would break: so no extra of the package.
INSTALL = """\
    course = "posgrad-edu @ git+{}"
    get_ipython().run_line_magic("pip", f"install -q '{{course}}'")
    get_ipython().system("posgrad-edu lab --copy-only --folder /content/course")
    get_ipython().run_line_magic("cd", "-q /content/course/my-course")  # some cells read files of the course"""
METADATA = {"tags": [TAG], "jupyter": {"source_hidden": True}}  # folded: a learner has nothing to do with it


def source(where: str | None) -> str:
    """Return the cell's code for the repository's address, ``None`` where none is set."""
    does = f'    raise SystemExit("{UNKNOWN}")' if where is None else INSTALL.format(where)
    return f'{HEAD}if "google.colab" in sys.modules:\n{does}'


def is_colab(cell: NotebookNode) -> bool:
    """Tell whether a cell is the one that this file writes."""
    return TAG in cell.metadata.get("tags", [])


def with_cell(notebook: NotebookNode, where: str | None) -> NotebookNode:
    """Return a notebook whose second cell is the one for Colab; one that is there gets today's address."""
    kept = [cell for cell in notebook.cells if not is_colab(cell)]
    cell = nbformat.v4.new_code_cell(source(where), execution_count=1, metadata=METADATA, id=TAG)
    moved = 1 - (len(notebook.cells) - len(kept))  # cells are numbered as if it had been run first
    for other in kept:
        if other.cell_type == "code" and other.execution_count is not None:
            other.execution_count += moved
            for output in other.outputs:
                if output.output_type == "execute_result":
                    output.execution_count += moved
    notebook.cells = [kept[0], cell, *kept[1:]]
    return notebook


def write(path: Path, where: str | None) -> None:
    """Write the cell into a lesson."""
    nbformat.write(with_cell(nbformat.read(path, as_version=4), where), path)


if __name__ == "__main__":
    for lesson in LESSONS:
        write(lesson, address())
