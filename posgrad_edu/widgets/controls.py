"""The widgets' controls, and what their words stand for: classes, and layers of the network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import ipywidgets as widgets
import torch
from torch import Tensor, nn

from posgrad_edu.engine.cam_layer import find_layer
from posgrad_edu.engine.contrast import MEAN
from posgrad_edu.engine.layers import PASSES_ON, is_spatial, watch
from posgrad_edu.handling import Handling
from posgrad_edu.models.classifier import Classifier, resolve_class
from posgrad_edu.widgets import theme

RANKED = ("most likely", "runner-up", "least likely")
# What each of two classes' logits is held against.
CONTRASTS = (("the logit", "none"), ("minus the mean of all", "mean"), ("minus the other class", "other"))

# --- Controls; their options are values, or pairs (words, value) ---


def slider(description: str, options: Sequence[Any], **traits: Any) -> widgets.SelectionSlider:
    """Return a slider over options that speaks up when it's let go."""
    traits = {"layout": theme.SLIDER, "style": theme.NAME, "continuous_update": False, **traits}
    return widgets.SelectionSlider(options=options, description=description, **traits)


def toggles(description: str, options: Sequence[Any], tooltips: Sequence[str], **traits: Any) -> widgets.ToggleButtons:
    """Return a button for each option, one of which is down."""
    traits = {"layout": theme.IN_LINE, "style": theme.BUTTONS, **traits}
    return widgets.ToggleButtons(options=options, tooltips=tooltips, description=description, **traits)


def handling_toggles(
    handlings: Sequence[Handling], description: str = "Gradients", **traits: Any
) -> widgets.ToggleButtons:
    """Return a button for each handling."""
    names, meanings = [h.name for h in handlings], [h.meaning for h in handlings]
    return toggles(description, names, meanings, **{"style": theme.NARROW_BUTTONS, **traits})


def dropdown(description: str, options: Sequence[Any], **traits: Any) -> widgets.Dropdown:
    """Return a list of options that opens."""
    traits = {"layout": theme.LIST, "style": theme.NAME, **traits}
    return widgets.Dropdown(options=options, description=description, **traits)


def contrast_list(**traits: Any) -> widgets.Dropdown:
    """Return a list of what is explained: a class's logit, or its difference from others."""
    return dropdown("Explained", CONTRASTS, value="none", **traits)


def class_box(clf: Classifier, description: str, value: str | int, **traits: Any) -> widgets.Combobox:
    """Return a box for a class: a word, a number or a rank such as "runner-up"."""
    traits = {"layout": theme.BOX, "style": theme.NAME, "placeholder": "a word, such as espresso", **traits}
    return widgets.Combobox(
        options=(*RANKED, *clf.labels), value=str(value), description=description, continuous_update=False, **traits
    )


def set_options(control: Any, options: Sequence[Any], otherwise: Any) -> None:
    """Give a control other options; it keeps its value where that is among them, and takes ``otherwise`` if not."""
    if list(control.options) == list(options):
        return
    values = [option[1] if isinstance(option, tuple) else option for option in options]
    kept = control.value if control.value in values else otherwise
    control.options = options
    control.value = kept


def side_by_side(*controls: widgets.Widget) -> widgets.HBox:
    """Return controls side by side, wrapped where there's no room."""
    return widgets.HBox(controls, layout=theme.WRAPPED)


# --- Classes and layers ---


def find_classes(clf: Classifier, words: Iterable[str | int], logits: Tensor) -> tuple[int, ...]:
    """Return the classes that words, numbers or ranks stand for."""
    return tuple(resolve_class(clf, str(word), logits) for word in words)


def find_pair(clf: Classifier, words: Iterable[str | int], logits: Tensor) -> tuple[int, ...]:
    """Return the two classes that the words stand for; ``ValueError`` where both are the same."""
    classes = find_classes(clf, words, logits)
    if len(set(classes)) == 1:
        raise ValueError(f"Both classes are {clf.labels[classes[0]]}. Choose two, so that their maps can be compared.")
    return classes


def contrast_of(value: str, classes: Sequence[int]) -> Literal["mean"] | Tensor | None:
    """Return the contrast that a value of ``contrast_list`` stands for, where maps of two classes are asked for."""
    if value == "other":
        return torch.tensor([[*reversed(classes)]])
    return MEAN if value == MEAN else None


def spatial_layers(clf: Classifier) -> list[str]:
    """Return the names of the outer layers that a CAM can look at, in the order of the forward pass."""
    outer = {m: name for name, m in clf.net.named_modules() if name.count(".") <= 1 and name}
    found: dict[str, object] = {}

    def seen(module: nn.Module, output: object) -> None:
        if is_spatial(output) and not isinstance(module, PASSES_ON) and all(output is not o for o in found.values()):
            found[outer[module]] = output  # an outer layer hands on its last inner layer's output: one name is enough

    with watch(outer, seen), torch.no_grad():
        clf.net(clf.batch())
    return list(dict.fromkeys([*found, clf.cam_layer]))


def layer_sizes(clf: Classifier, x: Tensor, layers: Sequence[str] | None) -> dict[str, tuple[int, int]]:
    """Return height and width of each layer's output; ``None`` for all of ``spatial_layers``.

    Raises ``ValueError`` for a layer that doesn't exist or has no positions, and where there is none.
    """
    names = spatial_layers(clf) if layers is None else list(layers)
    if not names:
        raise ValueError("layers is empty. Give at least one layer, or None for all.")
    modules = {find_layer(clf.net, name, x): name for name in names}
    sizes: dict[str, tuple[int, int]] = {}

    def seen(module: nn.Module, output: object) -> None:
        if isinstance(output, Tensor) and is_spatial(output):
            sizes[modules[module]] = (output.shape[2], output.shape[3])

    with watch(modules, seen), torch.no_grad():
        clf.net(x.clone())  # a first layer that works in place overwrites this copy
    for name in names:
        if name not in sizes:
            raise ValueError(f"The layer {name!r} has no output with positions. Leave it out of layers.")
    return {name: sizes[name] for name in names}


def last_layer(clf: Classifier, sizes: Iterable[str]) -> str:
    """Return the layer that a CAM usually looks at, if it's among these, or the last of them."""
    names = list(sizes)
    return clf.cam_layer if clf.cam_layer in names else names[-1]
