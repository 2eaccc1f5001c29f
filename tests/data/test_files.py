"""Files are whole or not there, whatever goes wrong while they are written."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from posgrad_edu.data.files import PART, remove_parts, whole_file, write_table, write_text


def test_a_file_gets_its_name_when_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, events = tmp_path / "new" / "a.txt", []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda n: (events.append(("fsync", os.fstat(n).st_size)), fsync(n)))
    monkeypatch.setattr(Path, "replace", lambda self, to: (events.append(("replace", to)), replace(self, to)))
    with whole_file(path) as file:
        file.write(b"some text")
        assert not path.exists()
    assert events == [("fsync", 9), ("replace", path)]
    assert path.read_bytes() == b"some text"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text("the old one: ü", path)

    def fail() -> None:
        with whole_file(path) as file:
            file.write(b"half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert path.read_text(encoding="utf-8") == "the old one: ü"
    assert list(tmp_path.iterdir()) == [path]


def test_tables_are_written_as_their_names_say(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": pd.array(["x", "y"], dtype="string")})
    for name in ("a.parquet", "a.csv"):
        write_table(table, tmp_path / name)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "a.parquet"), table)
    assert (tmp_path / "a.csv").read_bytes() == b"a,b\n1,x\n,y\n"


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / f"a.parquet.17{PART}").write_bytes(b"PAR1")
    (tmp_path / "deep" / "b.parquet").write_bytes(b"PAR1")
    remove_parts(tmp_path)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["b.parquet"]
