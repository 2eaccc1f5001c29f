"""What the lab shows: its methods with their graphs, in the order of the course, and words about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from posgrad_edu.methods import COARSE, METHODS, Method
from posgrad_edu.methods.base import make_method

# Layers for CAMs: the one that the package takes, then ends of stages, ever earlier and finer.
LAYERS = ("bn2.act", "blocks.6", "blocks.4", "blocks.2", "blocks.1")
CAMS = ("gradcam", "gradcam++", "layercam")
PHOTOS = ("coffee", "cat", "rocket", "astronaut", "motorcycle", "china", "flower")  # the page's first photo first
SHIFTS = (-1.0, -0.5, -0.25, -0.1, 0.0, 0.1, 0.25, 0.5, 1.0)  # those of the ShiftSlider
POSITIVE = {"signed": 0, "positive": 1, "absolute": 2}  # the values of the graphs' input

# Title, and one line on what it is.
WORDS = {
    "gradient": ("Gradient", "Which pixels would change the class's score, if they were a little brighter?"),
    "input-x-gradient": ("Input × gradient", "The gradient, times the pixel itself."),
    "gradcam": ("GradCAM", "Channels of one layer, each weighted by its averaged gradient, added up."),
    "gradcam++": ("GradCAM++", "GradCAM with a weighted average of the gradients."),
    "layercam": ("LayerCAM", "Each place of each channel, weighted by its own gradient."),
    "fullgrad": ("FullGrad", "The gradient of the input and of every bias, together."),
    "deconvnet": ("DeconvNet", "Back through the network; at each ReLU the signal is handled, but not gated."),
    "guided-backprop": ("Guided backprop", "The gradient; at each ReLU the signal is handled and gated."),
    "rectgrad": ("RectGrad", "Back only through the units that contribute most: 2 % of each layer."),
    "lrp": ("LRP", "The score, shared out layer by layer in proportion to what each input contributed."),
}


@dataclass(frozen=True)
class GraphSpec:
    """One graph: the file's name, and its methods by the names of their outputs. They share one record."""

    name: str
    methods: dict[str, Method]


def graphs(net: nn.Module) -> Iterator[GraphSpec]:
    """Yield the graphs to export. net: the network whose layers CAMs look at."""
    for layer in LAYERS:
        module = net.get_submodule(layer)
        yield GraphSpec(f"cam-{layer}", {name: make_method(METHODS[name], {"layer": module}) for name in CAMS})
    yield GraphSpec("gradient", {name: METHODS[name]() for name in ("gradient", "input-x-gradient")})
    for name in ("fullgrad", "deconvnet", "guided-backprop", "rectgrad"):
        yield GraphSpec(name, {name: METHODS[name]()})
    for handling in (None, "signed", "positive"):
        yield GraphSpec(f"lrp-{handling or 'published'}", {"lrp": METHODS["lrp"](handling)})


def entry(name: str) -> dict[str, Any]:
    """Return what the manifest says of a method."""
    method = METHODS[name]
    title, line = WORDS[name]
    found: dict[str, Any] = {"key": name, "title": title, "line": line, "output": name}
    found |= {"coarse": issubclass(method, COARSE), "published": method.published.name if method.published else None}
    found["signed"] = True  # all of the package's maps have blue below zero and red above, and no ReLU at the end
    if name in CAMS:
        found["layers"] = [{"name": layer, "graph": _file(f"cam-{layer}")} for layer in LAYERS]
        found |= {"layer": LAYERS[0], "relu": False}  # an option, off as in the package: the map's negative values to 0
    elif name != "lrp":
        found["graph"] = _file("gradient" if name == "input-x-gradient" else name)
    found["handlings"] = _handlings(name)
    return found


def _handlings(name: str) -> list[dict[str, Any]]:
    if name == "lrp":
        kinds = {"published": None, "signed": 0, "positive": 1}
        return [{"key": kind, "positive": value, "graph": _file(f"lrp-{kind}")} for kind, value in kinds.items()]
    return [{"key": kind, "positive": value} for kind, value in POSITIVE.items()]


def _file(graph: str) -> str:
    return f"graphs/{graph}.onnx"
