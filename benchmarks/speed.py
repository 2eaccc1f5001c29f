"""What the package costs on top of PyTorch: rivals take turns in one process, and medians are compared.

    python benchmarks/speed.py

Prints ratios of medians: GradCAM against a bare forward pass, guided backprop against a bare forward and backward
pass, both on EfficientNet-Lite0, and ``import posgrad_edu`` against ``import torch, torchvision``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch

import posgrad_edu as pg

ROUNDS = 40
IMPORTS = 9


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(ours: Callable[[], object], bare: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Return the medians of both in seconds, and their ratio; the rivals alternate, and so does who starts."""
    times: dict[Callable[[], object], list[float]] = {ours: [], bare: []}
    for work in (ours, bare):  # warm up
        work()
    for n in range(rounds):
        for work in (ours, bare) if n % 2 else (bare, ours):
            times[work].append(seconds(work))
    ours_median, bare_median = statistics.median(times[ours]), statistics.median(times[bare])
    return ours_median, bare_median, ours_median / bare_median


def report(name: str, result: tuple[float, float, float]) -> None:
    ours, bare, ratio = result
    print(f"{name:45s} {ours * 1000:7.1f} ms against {bare * 1000:7.1f} ms: ratio {ratio:.2f}")


def importing(what: str) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, "-c", f"import {what}"], check=True)


def main() -> None:
    clf = pg.load_classifier("efficientnet-lite0")
    x = clf.preprocess(pg.load_photo("coffee")).unsqueeze(0)
    target = clf.index("espresso")

    def forward() -> None:
        with torch.no_grad():
            clf.net(x)

    def forward_and_backward() -> None:
        leaf = x.clone().requires_grad_()
        torch.autograd.grad(clf.net(leaf)[0, target], leaf)

    report("GradCAM / forward", compare(lambda: pg.explain(clf.net, x, target, "gradcam"), forward, ROUNDS))
    report(
        "guided backprop / forward and backward",
        compare(lambda: pg.explain(clf.net, x, target, "guided-backprop"), forward_and_backward, ROUNDS),
    )
    both = importing("posgrad_edu"), importing("torch, torchvision")
    report("import posgrad_edu / import torch, torchvision", compare(*both, IMPORTS))


if __name__ == "__main__":
    main()
