"""The command line, ``posgrad-edu``: a file for each command.

    posgrad-edu doctor                                     # is everything here that the course needs?
    posgrad-edu lab                                        # open the course in JupyterLab
    posgrad-edu exercise 02                                # open your copy of an exercise
    posgrad-edu grade                                      # for instructors: open the grading of exercises
    posgrad-edu explain coffee --class espresso --method gradcam --handling positive --out map.png
    posgrad-edu study --jobs 2 --out results               # measure all of it
    posgrad-edu audit captum:GuidedBackprop                # one page about one method, also another package's
    posgrad-edu site --host 0.0.0.0                        # show the web pages to a room

A mistake is answered with one line on stderr and exit code 2; ``doctor`` exits with 1 if something is amiss.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from posgrad_edu.cli.audit import audit
from posgrad_edu.cli.doctor import doctor
from posgrad_edu.cli.explain import explain
from posgrad_edu.cli.grade import grade
from posgrad_edu.cli.lab import exercise, lab
from posgrad_edu.cli.site import site
from posgrad_edu.cli.study import study
from posgrad_edu.study.running import installed_version


class WholeHelp(TyperGroup):
    """Commands whose list says all of each one's first sentence, in as many lines as it takes."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        rows = [(name, first_sentence(one.help or "")) for name, one in commands.items() if one and not one.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def first_sentence(text: str) -> str:
    """Return the first sentence of a text, in one line."""
    return re.split(r"(?<=[.?!])\s", " ".join(text.split()), maxsplit=1)[0]


app = typer.Typer(
    cls=WholeHelp,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"posgrad-edu {installed_version()}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Build gradient-based saliency methods, flip one switch, measure what positive gradients take away."""


for command in (doctor, lab, exercise, grade, explain, study, audit, site):
    app.command()(command)
