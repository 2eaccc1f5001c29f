"""What all commands share: the package's own errors in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import typer

from posgrad_edu.errors import UnsupportedOperation
from posgrad_edu.models import WeightsError


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn the package's own errors, which say what to do, into one line on stderr and exit code 2."""
    try:
        yield
    except (ValueError, OSError, WeightsError, UnsupportedOperation) as error:
        typer.echo(f"posgrad-edu: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2) from error
