"""nbgrader's settings for this course. Run its commands in this folder: nbgrader autograde 02_gradcam"""

import sys
from pathlib import Path

from nbconvert.preprocessors import ClearMetadataPreprocessor
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    ClearOutput,
    DeduplicateIds,
    IgnorePattern,
    LimitOutput,
    OverwriteKernelspec,
    SaveAutoGrades,
)

sys.path.append(str(Path(__file__).resolve().parent))  # nbgrader, too, runs this file by its path
from grading import (
    ExecuteTheOthers,
    ForgetCopies,
    ForgetOtherPrograms,
    OverwriteChangedCells,
    kernel_arguments,
)
from offline import OfflinePage

c = get_config()  # noqa: F821  nbgrader defines it

c.CourseDirectory.course_id = "posgrad_edu"

# What stands in place of a solution.
c.ClearSolutions.code_stub = {"python": 'raise NotImplementedError("Write your code here, in place of this line.")'}
c.ClearSolutions.text_stub = "*Write your answer here, in place of this line.*"

# A changed test cell is always replaced by the right one. With this, a deleted one comes back.
c.OverwriteChangedCells.add_missing_cells = True
c.Autograde.sanitize_preprocessors = [
    ClearOutput,
    ForgetOtherPrograms,
    DeduplicateIds,
    ForgetCopies,
    OverwriteKernelspec,
    OverwriteChangedCells,
    CheckCellMetadata,
]

# Seconds for one cell. An endless loop ends with its cell; the cells after it are still graded.
c.ExecuteTheOthers.timeout = 60
c.ExecuteTheOthers.interrupt_on_timeout = True
c.ExecuteTheOthers.extra_arguments = kernel_arguments()
c.ExecuteTheOthers.store_widget_state = False  # feedback would load scripts from a network to show it
c.Autograde.autograde_preprocessors = [
    ExecuteTheOthers,
    IgnorePattern,
    ClearMetadataPreprocessor,
    LimitOutput,
    SaveAutoGrades,
    AssignLatePenalties,
    CheckCellMetadata,
]

c.GenerateFeedback.exporter_class = OfflinePage
