"""A study: all methods, handlings and checks over many photos; means, the paper's claims, a report, charts."""

from posgrad_edu.study.charts import class_sensitivity_bars, randomization_curves
from posgrad_edu.study.claims import CLAIMS, verdict, verdict_table
from posgrad_edu.study.measure import PUBLISHED, Plan, Study, Unit, plan
from posgrad_edu.study.run import StudyStopped
from posgrad_edu.study.summary import interval, read_summary, report, summarize

__all__ = [
    "CLAIMS",
    "PUBLISHED",
    "Plan",
    "Study",
    "StudyStopped",
    "Unit",
    "class_sensitivity_bars",
    "interval",
    "plan",
    "randomization_curves",
    "read_summary",
    "report",
    "summarize",
    "verdict",
    "verdict_table",
]
