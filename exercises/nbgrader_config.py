"""nbgrader's settings for this course. Run its commands in this folder: nbgrader autograde 02_gradcam"""

from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearOutput,
    DeduplicateIds,
    NbGraderPreprocessor,
    OverwriteCells,
    OverwriteKernelspec,
)


class ForgetCopies(NbGraderPreprocessor):
    """Make the copy of a graded cell an ordinary one.

    ``DeduplicateIds`` leaves an empty mark on it, on which ``OverwriteCells`` with ``add_missing_cells`` fails.
    """

    def preprocess_cell(self, cell, resources, cell_index):
        """Take the empty mark away."""
        if cell.metadata.get("nbgrader") == {}:
            del cell.metadata["nbgrader"]
        return cell, resources


c = get_config()  # noqa: F821  nbgrader defines it

c.CourseDirectory.course_id = "posgrad_edu"

# What stands in place of a solution.
c.ClearSolutions.code_stub = {"python": 'raise NotImplementedError("Write your code here, in place of this line.")'}
c.ClearSolutions.text_stub = "*Write your answer here, in place of this line.*"

# A changed test cell is always replaced by the right one. With this, a deleted one comes back.
c.OverwriteCells.add_missing_cells = True
c.Autograde.sanitize_preprocessors = [
    ClearOutput,
    DeduplicateIds,
    ForgetCopies,
    OverwriteKernelspec,
    OverwriteCells,
    CheckCellMetadata,
]

# Seconds for one cell. An endless loop ends with its cell; the cells after it are still graded.
c.Execute.timeout = 60
c.Execute.interrupt_on_timeout = True
