"""The export, which takes half a minute, once for all tests of a run, also where several processes share them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

EXPORT = Path(__file__).parents[2] / "docs" / "lab" / "export.py"


def exported_once(factory: pytest.TempPathFactory) -> Path:
    """Return the folder that ``docs/lab/export.py`` wrote: model/ and photos/."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # of all processes of this run
    folder = shared / "lab-export"
    with FileLock(shared / "lab-export.lock"):
        if not (folder / "model" / "manifest.json").exists():  # written last
            folder.mkdir(exist_ok=True)
            subprocess.run([sys.executable, str(EXPORT), str(folder)], check=True, cwd=folder, timeout=900)
    return folder
