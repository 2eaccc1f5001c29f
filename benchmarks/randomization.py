"""What a randomization test costs: all layers, six methods, eight photos, here and with Quantus' MPRT.

    python benchmarks/randomization.py            # on two cores about a quarter of an hour

Both explain the same class of the same photos with every layer of EfficientNet-Lite0 made random, from the output
down, with one draw, on two cores: Quantus with two threads, this package once with two threads in one process, and once
with two processes of one thread, as ``posgrad-edu study --jobs 2`` does. Quantus is given one function a method, from
captum and zennit, as its users would write them. Two figures can be compared: the whole test, and one step of it.
Quantus counts each BatchNorm as a layer of its own (and makes it the identity), so its cascade has more steps. It
measures Spearman's correlation; this package measures that of signed and of absolute maps, SSIM and HOG in the same
run. The study measures the controls along, too.

captum's hooks don't see the ReLU6s of this network, so its guided backprop and DeconvNet are the plain gradient here.
That makes them no slower.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import captum.attr
import numpy as np
import quantus
import torch
import typer
import zennit.composites
from zennit.attribution import Gradient
from zennit.canonizers import SequentialMergeBatchNorm

import posgrad_edu as pg
from posgrad_edu.study import PUBLISHED, Study, plan, run

METHODS = ("gradient", "input-x-gradient", "gradcam", "guided-backprop", "deconvnet", "lrp")
Explain = Callable[..., np.ndarray]


def with_captum(attribution: Callable[[Any], Any], **options: Any) -> Explain:
    """Return what Quantus calls: network, photos and classes in, maps out."""

    def explain(model: Any, inputs: np.ndarray, targets: np.ndarray, **_: Any) -> np.ndarray:
        x = torch.as_tensor(inputs).requires_grad_()
        maps = attribution(model).attribute(x, target=torch.as_tensor(targets), **options).sum(1, keepdim=True)
        size = inputs.shape[-2:]
        return torch.nn.functional.interpolate(maps, size=size, mode="bilinear").detach().numpy()

    return explain


def with_zennit(model: Any, inputs: np.ndarray, targets: np.ndarray, **_: Any) -> np.ndarray:
    composite = zennit.composites.EpsilonPlus(canonizers=[SequentialMergeBatchNorm()])
    with Gradient(model=model, composite=composite) as attributor:
        one_hot = torch.eye(1000)[torch.as_tensor(targets)]
        return attributor(torch.as_tensor(inputs), one_hot)[1].sum(1, keepdim=True).detach().numpy()


def rivals(layer: str) -> dict[str, Explain]:
    """Return a function for Quantus by method."""
    return {
        "gradient": with_captum(captum.attr.Saliency, abs=False),
        "input-x-gradient": with_captum(captum.attr.InputXGradient),
        "gradcam": with_captum(lambda net: captum.attr.LayerGradCam(net, net.get_submodule(layer))),
        "guided-backprop": with_captum(captum.attr.GuidedBackprop),
        "deconvnet": with_captum(captum.attr.Deconvolution),
        "lrp": with_zennit,
    }


def in_one_process(x: torch.Tensor, target: torch.Tensor, clf: pg.Classifier) -> int:
    """Run the test with ``parameter_sensitivity``; return the number of steps."""
    methods = {name: name for name in METHODS}
    table = pg.parameter_sensitivity(clf.net, x, methods, target=target, seeds=[0], progress=False)
    return table.depth.nunique()


def in_two_processes(photos: int) -> int:
    """Run the test as a study; return the number of steps."""
    study = Study(METHODS, (PUBLISHED,), ("parameters",), ("efficientnet-lite0",), depths=50, seeds=1)
    names = pg.photo_names()[:photos]
    units = [unit for unit in plan(study).units if unit.picture.name in names]
    with tempfile.TemporaryDirectory() as folder:
        return run(units, Path(folder), jobs=2, progress=False).rows.depth.nunique()


def with_quantus(explain: Explain, x: torch.Tensor, target: torch.Tensor, clf: pg.Classifier) -> int:
    """Run Quantus' test of one method; return the number of steps."""
    metric = quantus.MPRT(abs=False, normalise=False, disable_warnings=True)
    scores = metric(model=clf.net, x_batch=x.numpy(), y_batch=target.numpy(), explain_func=explain)
    return len(scores) - 1  # one score is that of the trained network


def timed(name: str, work: Callable[[], int]) -> tuple[float, int]:
    """Return the seconds and the steps of a test; print this process's processor time, too."""
    start, processor = time.perf_counter(), time.process_time()
    steps = work()
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    print(f"{name}: {seconds:.0f} s ({processor:.0f} s of the processor), {steps} steps", flush=True)
    return seconds, steps


def main(
    photos: Annotated[int, typer.Option(help="How many sample photos.")] = 8,
    threads: Annotated[int, typer.Option(help="Of PyTorch, where one process works alone.")] = 2,
) -> None:
    """Run all three and print seconds, steps and ratios."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    clf = pg.load_classifier()
    clf.net.requires_grad_(True)  # captum and zennit want it
    x = torch.cat([clf.batch(pg.load_photo(name)) for name in pg.photo_names()[:photos]])
    target = clf.net(x).argmax(1)
    theirs = 0.0
    for name, explain in rivals(clf.cam_layer).items():
        seconds, their_steps = timed(f"quantus, {name}", partial(with_quantus, explain, x, target, clf))
        theirs += seconds
    print(f"quantus, all six: {theirs:.0f} s, {theirs / their_steps:.2f} s a step")
    ours = {
        "posgrad_edu, one process": partial(in_one_process, x, target, clf),
        "posgrad_edu, two processes": partial(in_two_processes, photos),
    }
    for name, work in ours.items():
        seconds, steps = timed(name, work)
        step = (theirs / their_steps) / (seconds / steps)
        print(f"  times faster: {theirs / seconds:.1f} for the test, {step:.1f} for a step")


if __name__ == "__main__":
    typer.run(main)
