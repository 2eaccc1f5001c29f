"""What all commands share: the package's own errors in one line."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import typer

from posgrad_edu.errors import UnsupportedOperation
from posgrad_edu.models import WeightsError

RANDOM = ', and weights="random" for an untrained network.'  # which commands don't offer
CALL = re.compile(r"load_classifier\([^()]*download=True\)")


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn the package's own errors, which say what to do, into one line on stderr and exit code 2."""
    try:
        yield
    except (ValueError, OSError, WeightsError, UnsupportedOperation) as error:
        typer.echo(f"posgrad-edu: {in_words(error)}", err=True)
        raise typer.Exit(2) from error


def in_words(error: Exception) -> str:
    """Return an error's message in one line: the system's without its number, a download as the option it is here."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"'{error.filename}': {error.strerror}. Check that the disk isn't full and who may write there."
    # Who types commands has no Python to write in: the option stands where the call would.
    return CALL.sub("--download", " ".join(str(error).split()).replace(RANDOM, "."))
