"""How much memory a learner's kernel takes: a lesson is run cell by cell in a kernel of its own.

    OMP_NUM_THREADS=1 python benchmarks/memory.py notebooks/00_start_here.ipynb    # a line a cell
    OMP_NUM_THREADS=1 python benchmarks/memory.py --trim notebooks/*.ipynb         # a line a lesson, at its end

--trim gives back after each cell what it freed, as docs/jupyterhub.md says how to set up.

"own" is what no other kernel shares with this one (private pages that were written to), so it counts once for each
learner. "files" are pages of libraries and weights, which all kernels of one installation share: they count once.
"peak" is the most of both that the kernel ever had. Linux only.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import psutil
from jupyter_client.manager import start_new_kernel

MIB = 2**20
TRIM = "get_ipython().events.register('post_run_cell', lambda *_: __import__('ctypes').CDLL(None).malloc_trim(0))"


def report(pid: int, what: str) -> None:
    """Print one line about a process: its memory in MiB, and the processor time that it has taken."""
    parts = psutil.Process(pid).memory_maps(grouped=True)
    own = sum(part.private_dirty for part in parts)
    files = sum(part.rss for part in parts) - own
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    peak = int(status["VmHWM"].split()[0]) / 1024
    seconds = sum(psutil.Process(pid).cpu_times()[:2])
    line = f"own {own / MIB:5.0f}  files {files / MIB:5.0f}  peak {peak:5.0f}  processor {seconds:4.0f} s"
    print(f"{what:36} {line}", flush=True)


def run(notebook: Path, trim: bool, each_cell: bool) -> None:
    """Run a notebook's code cells and report on the kernel, after each or at the end."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    manager, client = start_new_kernel(cwd=str(notebook.parent))
    pid = manager.provisioner.process.pid
    try:
        if trim:
            client.execute_interactive(TRIM, timeout=60)
        if each_cell:
            report(pid, "empty kernel")
        for n, source in enumerate(code, start=1):
            client.execute_interactive(source, timeout=600, output_hook=lambda message: None)
            if each_cell or n == len(code):
                report(pid, source.splitlines()[0][:36] if each_cell else notebook.stem)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="How much memory a learner's kernel takes.")
    parser.add_argument("--trim", action="store_true", help="give back after each cell what it freed")
    parser.add_argument("notebooks", nargs="+", type=Path)
    options = parser.parse_args()
    for path in options.notebooks:
        run(path, options.trim, each_cell=len(options.notebooks) == 1)
