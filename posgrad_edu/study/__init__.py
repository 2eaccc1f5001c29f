"""A study: all methods, handlings and sanity tests over many photos; means, the paper's claims, a report, charts."""

from posgrad_edu.study.charts import dot_plot, plot, randomization_curves
from posgrad_edu.study.claims import CLAIMS
from posgrad_edu.study.formatting import format_estimate, format_number
from posgrad_edu.study.map_report import MapReport, map_report
from posgrad_edu.study.measuring import measure
from posgrad_edu.study.planning import Plan, Study, Unit, plan
from posgrad_edu.study.report import markdown_report
from posgrad_edu.study.running import StudyStopped, run
from posgrad_edu.study.schema import PUBLISHED
from posgrad_edu.study.summary import interval, read_summary, summarize
from posgrad_edu.study.verdicts import verdict, verdict_table

__all__ = [
    "CLAIMS",
    "PUBLISHED",
    "MapReport",
    "Plan",
    "Study",
    "StudyStopped",
    "Unit",
    "dot_plot",
    "format_estimate",
    "format_number",
    "interval",
    "map_report",
    "markdown_report",
    "measure",
    "plan",
    "plot",
    "randomization_curves",
    "read_summary",
    "run",
    "summarize",
    "verdict",
    "verdict_table",
]
