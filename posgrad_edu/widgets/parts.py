"""What the widgets are put together from: classes and layers by name, controls, pictures with words, sentences."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from PIL.Image import Image
from torch import Tensor, nn

from posgrad_edu import viz
from posgrad_edu.engine.layers import PASSES_ON, is_spatial, watch
from posgrad_edu.engine.passes import run_without_graph
from posgrad_edu.handling import Handling
from posgrad_edu.metrics.similarity import Similarity
from posgrad_edu.models.classifier import Classifier, resolve_class

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RANKED = ("most likely", "runner-up", "least likely")
# For ToggleButtons: the name stands before its buttons, as with other controls, and they wrap where there's no room.
IN_LINE = {"display": "flex", "flex_flow": "row wrap", "width": "auto"}
COMPUTING = '<progress aria-label="computing"></progress> computing ...'
EVIDENCE = "Red: evidence for. Blue: evidence against."

# --- Classes and layers ---


def find_class(clf: Classifier, word: str, logits: Tensor) -> int:
    """Return the class that a word, a number or a rank such as "runner-up" stands for."""
    return resolve_class(clf, word, logits)


def find_classes(clf: Classifier, words: Iterable[str | int], logits: Tensor) -> tuple[int, ...]:
    """Return the classes that words, numbers or ranks stand for."""
    return tuple(find_class(clf, str(word), logits) for word in words)


def find_pair(clf: Classifier, words: Iterable[str | int], logits: Tensor) -> tuple[int, ...]:
    """Return the two classes that the words stand for; ``ValueError`` where both are the same."""
    classes = find_classes(clf, words, logits)
    if len(set(classes)) == 1:
        raise ValueError(f"Both classes are {clf.labels[classes[0]]}. Choose two, so that their maps can be compared.")
    return classes


def spatial_layers(clf: Classifier) -> list[str]:
    """Return the names of the outer layers that a CAM can look at, in the order of the forward pass."""
    outer = {m: name for name, m in clf.net.named_modules() if name.count(".") <= 1 and name}
    found: dict[str, object] = {}

    def seen(module: nn.Module, output: object) -> None:
        if is_spatial(output) and not isinstance(module, PASSES_ON) and all(output is not o for o in found.values()):
            found[outer[module]] = output  # an outer layer hands on its last inner layer's output: one name is enough

    with watch(outer, seen):
        run_without_graph(clf.net, clf.batch())
    return list(dict.fromkeys([*found, clf.cam_layer]))


# --- Controls ---


def slider(description: str, options: Sequence[Any], **looks: Any) -> widgets.SelectionSlider:
    """Return a slider over options, values or pairs (words, value), that speaks up when it's let go."""
    return widgets.SelectionSlider(options=options, description=description, continuous_update=False, **looks)


def toggles(description: str, options: Sequence[Any], tooltips: Sequence[str], **looks: Any) -> widgets.ToggleButtons:
    """Return a button for each option, a value or a pair (words, value), one of which is down."""
    looks = {"layout": IN_LINE, **looks}
    return widgets.ToggleButtons(options=options, tooltips=tooltips, description=description, **looks)


def handling_toggles(description: str, handlings: Sequence[Handling], **looks: Any) -> widgets.ToggleButtons:
    """Return a button for each handling."""
    return toggles(description, [h.name for h in handlings], [h.meaning for h in handlings], **looks)


def class_box(clf: Classifier, description: str, value: str | int, width: str, **looks: Any) -> widgets.Combobox:
    """Return a box for a class: a word, a number or a rank such as "runner-up"."""
    return widgets.Combobox(
        options=(*RANKED, *clf.labels), value=str(value), description=description, continuous_update=False,
        placeholder="a word, such as espresso", layout={"width": width}, **looks,
    )  # fmt: skip


def side_by_side(*controls: widgets.Widget) -> widgets.HBox:
    """Return controls side by side, wrapped where there's no room."""
    return widgets.HBox(controls, layout={"flex_flow": "row wrap"})


# --- Pictures ---


def pair_limit(maps: Tensor) -> float:
    """Return one magnitude of full colour for two maps (2, H, W), so that the weaker can still be seen."""
    peaks = sorted(maps.abs().amax((1, 2)).tolist())
    return math.sqrt(max(peaks[0], 0.05 * peaks[1]) * peaks[1]) or 1.0  # between the two, nearer the weaker


def map_titles(clf: Classifier, classes: Iterable[int], logits: Tensor) -> list[str]:
    """Return a title with label, probability and logit for each class."""
    shares = logits.sigmoid() if clf.multilabel else logits.softmax(0)
    return [viz.map_title(clf.labels[c], float(shares[c]), float(logits[c])) for c in classes]


def gallery(
    panels: Iterable[tuple[Image | Figure, str, str]], note: str, widths: Iterable[int] = (260, 260, 260, 260)
) -> str:
    """Return pictures or figures side by side as HTML, from (picture, alt text, caption), and a note below them.

    widths: of the pictures, in pixels of the screen.
    """
    figures = (
        '<figure style="margin:0 8px 8px 0"><div style="line-height:0;border:1px solid #bbb">'
        f'{viz.to_html_img(picture, alt, width=width)}</div><figcaption style="width:{width}px">'
        f"{html.escape(caption).replace(chr(10), '<br>')}</figcaption></figure>"
        for (picture, alt, caption), width in zip(panels, widths, strict=False)
    )
    return f'<div style="display:flex;flex-wrap:wrap">{"".join(figures)}</div><small>{html.escape(note)}</small>'


# --- Words ---


def status(words: str) -> str:
    """Return a line of HTML that a screen reader reads out when it changes."""
    return f'<p role="status" style="font-size:110%">{html.escape(words)}</p>'


def minus(text: str) -> str:
    """Return a text with hyphens as true minus signs."""
    return text.replace("-", "−")


def number(value: float, digits: int = 2) -> str:
    """Return a number with its sign, a true minus, and never a negative zero."""
    return minus(f"{round(value, digits) + 0.0:+.{digits}f}")


def in_percent(labels: Iterable[str], shares: Iterable[float]) -> str:
    """Return names, each with its share, such as "espresso 25%, cup 30%"."""
    return ", ".join(f"{label} {share:.0%}" for label, share in zip(labels, shares, strict=True))


def layer_scale(maps: Tensor, limit: float) -> str:
    """Return a note on the colours of maps that share a scale with all others of their layer."""
    times = float(maps.abs().max()) / limit
    beyond = f" The strongest value here is {times:.3g} times that." if times > 1 else ""
    return f"{EVIDENCE} Full colour at ±{viz.two_digits(limit)} in all maps of this layer.{beyond}"


def setting_scale(limit: float) -> str:
    """Return a note on the colours of two maps whose scale changes with the setting."""
    return (
        f"{EVIDENCE} One scale for both maps, another for each setting: here full colour at ±{viz.two_digits(limit)}."
    )


def describe(similarity: Similarity, a: str, b: str, same_class: bool = False) -> str:
    """Return one plain sentence on how alike two maps are, with the numbers."""
    if same_class:
        return f"Both maps are for {a}. Choose another class B to compare with."
    if similarity.degenerate or math.isnan(similarity.spearman):
        return "One of the maps is constant: it ranks no pixel above another, so the two can't be compared."
    numbers = f"Rank correlation {similarity.spearman:.2f} signed, {similarity.spearman_abs:.2f} of magnitudes."
    if similarity.spearman > 0.9:
        return f"{numbers} The same map for {a} and for {b}: it doesn't show what sets the two classes apart."
    if similarity.spearman > 0.5:
        return f"{numbers} Much alike: most of the map for {a} is there for {b}, too."
    if similarity.spearman < -0.5:
        return f"{numbers} Opposite maps: what speaks for {a} speaks against {b}."
    return f"{numbers} Different maps for {a} and for {b}: the picture depends on the class."
