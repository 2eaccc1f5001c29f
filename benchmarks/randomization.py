"""What a randomization test costs: all layers, six methods, eight photos, here and with Quantus' MPRT.

    python benchmarks/randomization.py                        # on two cores about a quarter of an hour
    python benchmarks/randomization.py --photos 4 --layers 4  # a minute or two: few layers, and the whole reckoned
    python benchmarks/randomization.py --busy                 # beside other work: one thread, its processor time counts

Both explain the same class of the same photos with every layer of EfficientNet-Lite0 made random, from the output
down, with one draw, on two cores: Quantus with two threads, this package once with two threads in one process, and once
with two processes of one thread, as ``posgrad-edu study --jobs 2`` does. Quantus is given one function a method, from
captum and zennit, as its users would write them. Two figures can be compared: the whole test, and one step of it.
Quantus counts each BatchNorm as a layer of its own (and makes it the identity), so its cascade has more steps. It
measures Spearman's correlation; this package measures that of signed and of absolute maps, SSIM and HOG in the same
run. The study measures the controls along, too.

With ``--layers`` both stop after that many layers, and after one, in turn; what the layers in between cost gives a
step, and the whole test is reckoned from it. Both take one thread and turns, and it's their processor time that is
compared, so that other work on the machine does little harm. `make bench` measures this part.

captum's hooks don't see the ReLU6s of this network, so its guided backprop and DeconvNet are the plain gradient here.
That makes them no slower.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import captum.attr
import numpy as np
import quantus
import torch
import typer
import zennit.composites
from zennit.attribution import Gradient
from zennit.canonizers import SequentialMergeBatchNorm

import posgrad_edu as pg
from posgrad_edu.metrics import randomizable_layers
from posgrad_edu.study import PUBLISHED, Study, plan, run
from posgrad_edu.study.schema import LOGIT

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


def in_one_process(x: torch.Tensor, target: torch.Tensor, clf: pg.Classifier, layers: int | None = None) -> int:
    """Run the test with ``parameter_sensitivity``, of all layers or the first few; return the number of steps."""
    methods = {name: name for name in METHODS}
    depths = None if layers is None else range(1, layers + 1)
    table = pg.parameter_sensitivity(clf.net, x, methods, target=target, seeds=[0], depths=depths, progress=False)
    return table.depth.nunique()


def in_two_processes(photos: int) -> int:
    """Run the test as a study; return the number of steps."""
    how: dict[str, Any] = {"contrasts": (LOGIT,), "depths": 50, "seeds": 1}
    study = Study(METHODS, (PUBLISHED,), ("parameters",), ("efficientnet-lite0",), **how)
    names = pg.photo_names()[:photos]
    units = [unit for unit in plan(study).units if unit.picture.name in names]
    with tempfile.TemporaryDirectory() as folder:
        return run(units, Path(folder), jobs=2, progress=False).rows.depth.nunique()


RANDOM_LAYERS = quantus.PyTorchModel.get_random_layer_generator


def with_quantus(
    explain: Explain, x: torch.Tensor, target: torch.Tensor, clf: pg.Classifier, layers: int | None = None
) -> int:
    """Run Quantus' test of one method, of all layers or the first few; return the number of steps."""
    metric = quantus.MPRT(abs=False, normalise=False, disable_warnings=True)

    def first(*args: Any, **options: Any) -> Any:
        return islice(RANDOM_LAYERS(*args, **options), layers)

    with patch.object(quantus.PyTorchModel, "get_random_layer_generator", first):
        scores = metric(model=clf.net, x_batch=x.numpy(), y_batch=target.numpy(), explain_func=explain)
    return len(scores) - 1  # one score is that of the trained network


def timed(name: str, work: Callable[[], int], busy: bool) -> tuple[float, int]:
    """Return the seconds and the steps of a test, with ``busy`` those of this process's processor time; print both."""
    start, processor = time.perf_counter(), time.process_time()
    steps = work()
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    print(f"{name}: {seconds:.0f} s ({processor:.0f} s of the processor), {steps} steps", flush=True)
    return processor if busy else seconds, steps


def processor_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def few_layers(x: torch.Tensor, target: torch.Tensor, clf: pg.Classifier, layers: int, rounds: int) -> None:
    """Run both for one layer and for ``layers``, in turn; print what a step costs, and the whole test reckoned."""

    def theirs(count: int) -> None:
        for explain in rivals(clf.cam_layer).values():
            with_quantus(explain, x, target, clf, count)

    torch.set_num_threads(1)
    in_one_process(x[:1], target[:1], clf, 1)  # warm up
    works: dict[str, Callable[[int], object]] = {"quantus": theirs}
    works["posgrad_edu"] = lambda count: in_one_process(x, target, clf, count)
    found: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for count in (1, layers):
            for name, work in works.items():
                found.setdefault((name, count), []).append(processor_seconds(partial(work, count)))
    resettable = sum(hasattr(module, "reset_parameters") for module in clf.net.modules())
    steps = {"quantus": resettable, "posgrad_edu": len(randomizable_layers(clf.net, x))}
    print(f"{len(x)} photos, {len(METHODS)} methods; 1 and {layers} random layers, in turn, {rounds} times each:")
    print("the quickest counts, in processor time of one thread; the whole test is reckoned up from it.")
    whole = {}
    for name in works:
        one, some = min(found[name, 1]), min(found[name, layers])
        step = (some - one) / (layers - 1)
        whole[name] = one + (steps[name] - 1) * step
        print(f"{name}: {step:.2f} s a step, so {whole[name]:.0f} s reckoned for all {steps[name]} steps")
    print(f"  share of Quantus' time: {whole['posgrad_edu'] / whole['quantus']:.2f} for the test, as reckoned")


def main(
    photos: Annotated[int, typer.Option(help="How many sample photos.")] = 8,
    threads: Annotated[int, typer.Option(help="Of PyTorch, where one process works alone.")] = 2,
    layers: Annotated[int | None, typer.Option(help="Stop after so many, 2 or more, and reckon the whole.")] = None,
    rounds: Annotated[int, typer.Option(help="How often both are run with --layers; the quickest counts.")] = 2,
    busy: Annotated[bool, typer.Option(help="Compare the processor time of one thread; no two processes.")] = False,
) -> None:
    """Run all three and print seconds, steps and ratios."""
    warnings.simplefilter("ignore")
    threads = 1 if busy else threads
    torch.set_num_threads(threads)
    clf = pg.load_classifier()
    clf.net.requires_grad_(True)  # captum and zennit want it
    x = torch.cat([clf.batch(pg.load_photo(name)) for name in pg.photo_names()[:photos]])
    target = clf.net(x).argmax(1)
    if layers is not None:
        few_layers(x, target, clf, layers, rounds)
        return
    if busy:
        print("One thread; sums and shares are of its processor time.")
    theirs = 0.0
    for name, explain in rivals(clf.cam_layer).items():
        seconds, their_steps = timed(f"quantus, {name}", partial(with_quantus, explain, x, target, clf), busy)
        theirs += seconds
    print(f"quantus, all six: {theirs:.0f} s, {theirs / their_steps:.2f} s a step")
    ours = {"posgrad_edu, one process": partial(in_one_process, x, target, clf)}
    if not busy:  # the processor time of other processes isn't seen from here
        ours["posgrad_edu, two processes"] = partial(in_two_processes, photos)
    for name, work in ours.items():
        seconds, steps = timed(name, work, busy)
        step = (theirs / their_steps) / (seconds / steps)
        print(f"  share of Quantus' time: {seconds / theirs:.3f} for the test, {1 / step:.3f} for a step")


if __name__ == "__main__":
    typer.run(main)
