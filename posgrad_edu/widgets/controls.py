"""The widgets' controls, and what their words stand for: classes, and layers of the network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import ipywidgets as widgets
import torch
from torch import Tensor, nn

from posgrad_edu.engine.cam_layer import find_layer
from posgrad_edu.engine.contrast import MEAN
from posgrad_edu.engine.layers import POOLING_LIKE, is_spatial, watch
from posgrad_edu.engine.passes import run_without_graph
from posgrad_edu.errors import UnsupportedOperation, nearest_names
from posgrad_edu.handling import Handling
from posgrad_edu.methods import ATTENTION_METHODS, METHODS, explain
from posgrad_edu.models.classifier import Classifier, resolve_class
from posgrad_edu.models.labels import plain

RANKED = ("most likely", "runner-up", "least likely")
# What each of two classes' logits is held against.
NONE, OTHER = "none", "other"  # contrasts, beside MEAN
CONTRASTS = (("the logit", NONE), ("minus the mean of all", MEAN), ("minus the other class", OTHER))

# --- Controls; their options are values, or pairs (words, value) ---


def slider(description: str, options: Sequence[Any], **traits: Any) -> widgets.SelectionSlider:
    """Return a slider over options that speaks up when it's let go."""
    return widgets.SelectionSlider(options=options, description=description, continuous_update=False, **traits)


def number_slider(description: str, value: float, low: float, high: float, step: float) -> widgets.FloatSlider:
    """Return a slider over numbers that speaks up when it's let go."""
    return widgets.FloatSlider(value, min=low, max=high, step=step, description=description, continuous_update=False)


def toggles(description: str, options: Sequence[Any], tooltips: Sequence[str], **traits: Any) -> widgets.ToggleButtons:
    """Return a button for each option, one of which is down."""
    return widgets.ToggleButtons(options=options, tooltips=tooltips, description=description, **traits)


def handling_toggles(
    handlings: Sequence[Handling], description: str = "Handling", **traits: Any
) -> widgets.ToggleButtons:
    """Return a button for each handling."""
    return toggles(description, [h.name for h in handlings], [h.meaning for h in handlings], **traits)


def dropdown(description: str, options: Sequence[Any], **traits: Any) -> widgets.Dropdown:
    """Return a list of options that opens."""
    return widgets.Dropdown(options=options, description=description, **traits)


def contrast_list() -> widgets.Dropdown:
    """Return a list of what is explained: a class's logit, or its difference from others."""
    return dropdown("Explained", CONTRASTS, value=NONE)


def class_box(clf: Classifier, description: str, value: str) -> widgets.Combobox:
    """Return a box for a class: a word, a number or a rank such as "runner-up". It offers names as one types."""
    names = dict.fromkeys([*RANKED, *clf.labels, *(other for others in clf.synonyms for other in others)])
    return widgets.Combobox(
        options=tuple(names),
        value=value,
        description=description,
        placeholder="a word, such as espresso",
        continuous_update=False,
    )


def set_options(control: Any, options: Sequence[Any], otherwise: Any) -> None:
    """Give a control other options; it keeps its value where that is among them, and takes ``otherwise`` if not."""
    if list(control.options) == list(options):
        return
    values = [option[1] if isinstance(option, tuple) else option for option in options]
    kept = control.value if control.value in values else otherwise
    control.options = options
    control.value = kept


def in_rows(controls: Iterable[widgets.Widget]) -> widgets.Box:
    """Return controls in rows, as many beside each other as there's room for."""
    box = widgets.Box(list(controls))
    box.add_class("posgrad-edu-controls")
    return box


# --- Classes and layers ---


def class_word(clf: Classifier, word: str | int, logits: Tensor) -> str:
    """Return the word for a class's box: of one that is given as a number its name, where that finds it again."""
    if isinstance(word, str):
        return word
    name = clf.labels[clf.index(word)]
    try:
        return name if resolve_class(clf, name, logits) == word else str(word)
    except ValueError:  # several classes have this name
        return str(word)


def find_classes(clf: Classifier, words: Iterable[str | int], logits: Tensor) -> tuple[int, ...]:
    """Return the classes that words, numbers or ranks stand for."""
    return tuple(resolve_class(clf, str(word), logits) for word in words)


def meanings(clf: Classifier, word: str) -> list[tuple[str, str]]:
    """Return what a word may mean that stands for no one class: labels, each with what the box understands.

    Classes that the word fits, best first; where it fits none, those of a similar name.
    """
    try:
        fits = clf.find(word)
    except ValueError:
        fits = [clf.find(name)[0] for name in nearest_names(word, clf.labels)]
    return [(clf.labels[c], clf.labels[c] if clf.labels.count(clf.labels[c]) == 1 else str(c)) for c in fits]


def understood(clf: Classifier, word: str, index: int) -> str:
    """Return as which class a word was understood, where it is neither that class's label nor a number or rank."""
    said, label = plain(word), clf.labels[index]
    if said == plain(label) or said in map(plain, RANKED) or word.strip().lstrip("-").isdigit():
        return ""
    return f"{word!r} is understood as class {index}, {label!r}."


def find_pair(clf: Classifier, words: Iterable[str | int], logits: Tensor) -> tuple[int, ...]:
    """Return the two classes that the words stand for; ``ValueError`` where both are the same."""
    classes = find_classes(clf, words, logits)
    if len(set(classes)) == 1:
        raise ValueError(f"Both classes are {clf.labels[classes[0]]}. Choose two, so that their maps can be compared.")
    return classes


def contrast_of(value: str, others: Sequence[Any]) -> Literal["mean"] | Tensor | None:
    """Return the contrast that a value of ``contrast_list`` stands for; others: the other class of each one asked."""
    if value == OTHER:
        return torch.tensor([others])
    return MEAN if value == MEAN else None


def usable_methods(clf: Classifier, x: Tensor) -> tuple[list[str], list[str]]:
    """Return the names of the methods that explain this network, and of those that don't.

    Networks that a CAM can look at do without the attention methods, of which nothing is said. Others, such as vision
    transformers, are asked: each method explains class 0 of the photo once, or refuses.
    """
    try:
        _ = clf.cam_layer  # found on first use
        return list(METHODS), []
    except ValueError:
        names = [*ATTENTION_METHODS, *METHODS]
    usable = [name for name in names if _explains(clf, x, name)]
    return (usable, [name for name in names if name not in usable]) if usable else (list(METHODS), [])


def _explains(clf: Classifier, x: Tensor, method: str) -> bool:
    try:
        explain(clf.net, x, 0, method)
    except (ValueError, UnsupportedOperation):
        return False
    return True


def spatial_layers(clf: Classifier) -> list[str]:
    """Return the names of the outer layers that a CAM can look at, in the order of the forward pass."""
    outer = {m: name for name, m in clf.net.named_modules() if name.count(".") <= 1 and name}
    found: dict[str, object] = {}

    def seen(module: nn.Module, output: object) -> None:
        if is_spatial(output) and not isinstance(module, POOLING_LIKE) and all(output is not o for o in found.values()):
            found[outer[module]] = output  # an outer layer hands on its last inner layer's output: one name is enough

    with watch(outer, seen):
        run_without_graph(clf.net, clf.batch())
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

    with watch(modules, seen):
        run_without_graph(clf.net, x)
    for name in names:
        if name not in sizes:
            raise ValueError(f"The layer {name!r} has no output with positions. Leave it out of layers.")
    return {name: sizes[name] for name in names}


def usual_layer(clf: Classifier, sizes: Iterable[str]) -> str:
    """Return the layer that a CAM usually looks at, if it's among these, or the last of them."""
    names = list(sizes)
    return clf.cam_layer if clf.cam_layer in names else names[-1]
