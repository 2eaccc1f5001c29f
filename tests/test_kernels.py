"""Kernels that are copies (``kernels.py``) are as kernels of their own, and end with the tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import kernels
import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere kernels are no copies"),
]

CODE = """
import numpy as np
import posgrad_edu
print(posgrad_edu.__file__, np.random.rand())
"""
TESTS = (
    "import kernels, pathlib, sys, time\nwith kernels.started(pathlib.Path(sys.argv[1])):\n  print('ready', flush=True)"
)
TESTS += "\n  time.sleep(600)"


def printed(code: str, folder: Path) -> list[str]:
    notebook = new_notebook(cells=[new_code_cell(code)])
    ran: nbformat.NotebookNode = NotebookClient(
        notebook, timeout=60, resources={"metadata": {"path": folder}}
    ).execute()
    return ran.cells[0].outputs[0].text.split()


def test_copies_have_this_checkout_and_draw_each_for_itself(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.delenv("JUPYTER_PATH", raising=False)
    deep = tmp_path_factory.mktemp("a" * 100)  # a socket's path couldn't be so long
    with kernels.started(deep):
        (first, one), (second, other) = printed(CODE, deep), printed(CODE, deep)
    assert first == second == str(kernels.ROOT / "posgrad_edu" / "__init__.py")
    assert one != other
    assert "JUPYTER_PATH" not in os.environ


def test_the_process_that_is_copied_ends_with_the_tests(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(kernels.__file__).parent)}
    command = [sys.executable, "-c", TESTS, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as tests:
        assert tests.stdout is not None
        assert tests.stdout.readline()
        (server,) = Path(f"/proc/{tests.pid}/task/{tests.pid}/children").read_text().split()
        tests.send_signal(signal.SIGKILL)
    for _ in range(200):
        if not Path(f"/proc/{server}/exe").exists():  # gone, or a zombie that nobody waits for
            return
        time.sleep(0.05)
    os.kill(int(server), signal.SIGKILL)
    pytest.fail("The process that is copied outlived the tests.")
