"""What this course adds to nbgrader, which ``nbgrader_config.py`` switches on: honest submissions grade, whatever they
were saved with, and what goes wrong in one cell costs that cell.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from nbgrader.api import MissingEntry
from nbgrader.preprocessors import ClearHiddenTests, Execute, NbGraderPreprocessor, OverwriteCells

NEEDED = ("nbgrader", "tags", "deletable", "editable")  # of a cell's metadata
MEMORY_GB = 8  # that a submission's kernel may take; the largest exercise needs about 2
LIMIT_MEMORY = f"import resource; resource.setrlimit(resource.RLIMIT_DATA, ({MEMORY_GB} << 30, {MEMORY_GB} << 30))"
ENDED = "This cell ended the kernel: it left Python, or took too much memory.\nThe other cells ran without it."


class ForgetOtherPrograms(NbGraderPreprocessor):
    """Take away what the program has left that saved the notebook: a widget's state, Colab's notes.

    Widget state as Colab writes it, without ``state``, is what feedback fails on.
    """

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Keep of the metadata what grading needs."""
        nb.metadata = NotebookNode({k: v for k, v in nb.metadata.items() if k in ("kernelspec", "language_info")})
        for cell in nb.cells:
            cell.metadata = NotebookNode({name: cell.metadata[name] for name in NEEDED if name in cell.metadata})
        return nb, resources


class ForgetCopies(NbGraderPreprocessor):
    """Make the copy of a graded cell an ordinary one.

    ``DeduplicateIds`` leaves an empty mark on it, on which ``OverwriteCells`` with ``add_missing_cells`` fails.
    """

    def preprocess_cell(self, cell: NotebookNode, resources: Any, cell_index: int) -> tuple[NotebookNode, Any]:
        """Take the empty mark away."""
        if cell.metadata.get("nbgrader") == {}:
            del cell.metadata["nbgrader"]
        return cell, resources


class OverwriteChangedCells(OverwriteCells):
    """Overwrite graded cells by the originals, and warn of those only that the learner has changed.

    nbgrader holds a submitted cell against the original with its hidden tests. So it would say of each honest
    submission that "checksum has changed".
    """

    def preprocess_cell(self, cell: NotebookNode, resources: Any, cell_index: int) -> tuple[NotebookNode, Any]:
        """Put the hidden tests back where nothing else is missing, then let nbgrader compare."""
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        with contextlib.suppress(MissingEntry):
            original = self.gradebook.find_source_cell(name, self.notebook_id, self.assignment_id)
            if original.locked and self._as_released(cell, original.source, resources) == cell.source.strip():
                cell.source = original.source
        return super().preprocess_cell(cell, resources, cell_index)

    def _as_released(self, cell: NotebookNode, source: str, resources: Any) -> str:
        """Return an original cell's text without its hidden tests."""
        copy = NotebookNode({**cell, "source": source})
        return ClearHiddenTests(enforce_metadata=False).preprocess_cell(copy, resources, 0)[0].source.strip()


class ExecuteTheOthers(Execute):
    """Run a submission. A cell that ends its kernel counts as an error, and the others run as if it weren't there."""

    def preprocess(self, nb: NotebookNode, resources: Any, km: Any = None) -> tuple[NotebookNode, Any]:
        """Run all cells; after the end of a kernel, run all but the cell that ended it, from the first on."""
        self._fatal: set[int] = set()
        while True:
            self._running = -1
            try:
                return super().preprocess(nb, resources, km)
            except DeadKernelError:
                if self._running in self._fatal | {-1}:  # it died for another reason
                    raise
                self.log.warning(
                    "Cell %d ended the kernel. It counts as an error, the others run without it.", self._running
                )
                self._fatal.add(self._running)

    def preprocess_cell(self, cell: NotebookNode, resources: Any, cell_index: int) -> tuple[NotebookNode, Any]:
        """Run a cell, unless it is known to end the kernel."""
        if cell_index not in self._fatal:
            self._running = cell_index
            return super().preprocess_cell(cell, resources, cell_index)
        error = {"output_type": "error", "ename": "KernelEnded", "evalue": ENDED, "traceback": ["KernelEnded", ENDED]}
        cell.outputs = [NotebookNode(error)]
        return cell, resources


def kernel_arguments() -> list[str]:
    """Return what a submission's kernel is started with: no history, and on Linux a limit for its memory."""
    limits = [f"--IPKernelApp.exec_lines={LIMIT_MEMORY}"] if sys.platform == "linux" else []
    return ["--HistoryManager.hist_file=:memory:", *limits]
