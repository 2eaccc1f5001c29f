"""Files that are whole or not there: what was written before a failure is as it was, and nothing half-written is left.

with whole_file(Path("map.png")) as file:
    figure.savefig(file, format="png")
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pandas import DataFrame

PART = ".part"  # how the name of a file ends that isn't whole yet


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write to, which gets the name ``path`` when all of it is on the disk.

    Its folder is made if it isn't there. Raises ``OSError`` if the file can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}{PART}")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # on the disk before it gets its name, in case the power fails
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_table(table: DataFrame, path: Path) -> None:
    """Write a table to a parquet or a CSV file."""
    with whole_file(path) as file:
        if path.suffix == ".csv":
            table.to_csv(file, index=False, lineterminator="\n")
        else:
            table.to_parquet(file, index=False, write_page_checksum=True)  # so that damage is noticed


def write_text(text: str, path: Path) -> None:
    """Write a text in UTF-8."""
    with whole_file(path) as file:
        file.write(text.encode("utf-8"))


def remove_parts(folder: Path) -> None:
    """Remove what processes left in a folder that were killed while they wrote."""
    for part in folder.rglob(f"*{PART}"):
        part.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
