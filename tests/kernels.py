"""Kernels that start at once. One process imports what lessons import, and each kernel is a copy of it.

PyTorch and what comes with it take about four seconds of processor time to import, and the tests start some fifty
kernels. A copy has its own memory, so no notebook sees what another one did.

    python kernels.py serve SOCKET               # the process that is copied
    python kernels.py start SOCKET -f FILE       # what Jupyter takes for a kernel: it asks for a copy, and ends with it
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST_SECONDS = 300  # for the imports, on a computer that does much else
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# Not what looks for its kernel when it is imported: ipywidgets, and matplotlib's pyplot.
IMPORTED = (
    *("ipykernel.kernelapp", "pandas", "scipy.stats", "skimage.data", "matplotlib.figure", "torch", "timm"),
    *(f"posgrad_edu.{room}" for room in ("methods", "models", "metrics", "scenes", "study", "viz", "checks")),
)


@contextlib.contextmanager
def started(folder: Path) -> Iterator[None]:
    """Let the kernels that are started meanwhile be copies. folder: an empty one."""
    if sys.platform != "linux":  # elsewhere a process with PyTorch in it can't be copied
        yield
        return
    private = tempfile.TemporaryDirectory(dir="/tmp")  # a socket's path has at most 107 bytes
    program, place = str(Path(__file__).resolve()), f"{private.name}/socket"
    kernel = folder / "kernels" / "python3" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    command = [sys.executable, "-S", program, "start", place, "-f", "{connection_file}"]
    about = {"argv": command, "display_name": "Python 3", "language": "python", "interrupt_mode": "message"}
    kernel.write_text(json.dumps(about), encoding="utf-8")
    before, pipe = os.environ.get("JUPYTER_PATH"), subprocess.PIPE
    server = subprocess.Popen(
        [sys.executable, program, "serve", place], env={**os.environ, **ONE_THREAD}, stdin=pipe, stdout=pipe
    )
    try:
        assert server.stdout is not None
        assert select.select([server.stdout], [], [], MOST_SECONDS)[0], "The process that is copied isn't ready."
        assert server.stdout.readline(), "The process that is copied ended."  # its first words: it can be asked now
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, (str(folder), before)))
        yield
    finally:
        os.environ.pop("JUPYTER_PATH", None)
        os.environ.update({} if before is None else {"JUPYTER_PATH": before})
        server.terminate()
        server.wait(30)
        private.cleanup()


def start(place: str, options: list[str]) -> None:
    """Ask for a kernel here, with this environment, and wait for its end."""
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(place)
        request = {"options": options, "folder": str(Path.cwd()), "environment": dict(os.environ)}
        asked.sendall(json.dumps(request).encode() + b"\n")
        asked.recv(1)  # nothing comes: the kernel's end closes the connection


def serve(place: str) -> None:
    """Import, then make a copy for each who asks, until the tests end: then this process's input does, too."""
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # as kernels do: matplotlib reads it once
    sys.path[0] = str(ROOT)  # not the tests' folder: copies import this checkout, whatever is installed
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # no copy's garbage collector needs to look through what all have imported
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a copy
    others = [file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm")]
    others.remove(Path("/proc/self/comm").read_text().strip())
    # A copy has one thread only: what another holds would stay locked. jemalloc, which pyarrow brings, sees to that.
    assert set(others) <= {"jemalloc_bg_thd"}, f"These threads run beside the one that is copied: {others}"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place)
        listening.listen()
        print("ready", flush=True)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nobody reads what kernels print before they are ready
        while sys.stdin not in select.select([listening, sys.stdin], [], [])[0]:
            asked, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                be_kernel(asked)
            asked.close()
    shutil.rmtree(Path(place).parent)  # the tests were killed, or else they would do that


def be_kernel(asked: socket.socket) -> None:
    """Run a kernel until it ends, or until whoever asked for it does."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    request = json.loads(asked.makefile().readline())
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    threading.Thread(target=end_with, args=[asked], daemon=True).start()
    import numpy as np
    from ipykernel.kernelapp import launch_new_instance

    np.random.seed()  # noqa: NPY002  as in a process of its own: copies would draw the same. Python's random does so itself
    parent = f"--IPKernelApp.parent_handle={os.getppid()}"  # with which it ends, too
    sys.argv = ["ipykernel_launcher.py", *request["options"], parent]
    launch_new_instance()
    sys.exit()


def end_with(asked: socket.socket) -> None:
    asked.recv(1)
    os._exit(1)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        start(sys.argv[2], sys.argv[3:])
