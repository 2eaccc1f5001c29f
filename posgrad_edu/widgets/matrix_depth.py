"""MatrixDepth: what a product of many random matrices does to two directions. No network, no photo.

On its way back through a network, the signal of a class is multiplied by one matrix a layer. Here the matrices are
random, and two signals start at right angles: one-hot vectors, as two classes would. The switch decides what each
matrix keeps:

    signed     W as it is
    positive   max(W, 0), entry by entry: what z+ does to a layer's weights
    clamped    W as it is, but what comes out is clamped: max(W g, 0), as guided backprop does at each ReLU

Gates set a share of each layer's outputs to zero, the same outputs for both signals, as the ReLUs of one photo do.
What is watched is the angle between the two signals, and the ratio of the product's two largest singular values: near
0, the product has rank one, and whatever goes in comes out in one direction. The clamped way isn't a product of
matrices, so it has an angle only.

Reference:
    Birkhoff. Extensions of Jentzsch's Theorem. Transactions of the American Mathematical Society 85, 1957.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray

from posgrad_edu import viz
from posgrad_edu.widgets.controls import slider, toggles
from posgrad_edu.widgets.panel import Panel
from posgrad_edu.widgets.sentences import whole_percent
from posgrad_edu.widgets.theme import AXIS, LINES, MARK, chart, gallery

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

ENTRIES = ("signed", "positive", "clamped")
WIDTHS = (4, 16, 64, 128)
GATES = (0.0, 0.25, 0.5, 0.75, 0.9)
DEEPEST = 40
DRAWN_AS = {"signed": "signed", "positive": "positive", "clamped": "third"}  # in the theme


class Signals(NamedTuple):
    """Two signals after 0, 1, 2, ... layers, their angles in degrees, and the products' singular value ratios.

    vectors (depth + 1, 2, width), each of length 1, or 0 where nothing arrives; angles and ratios (depth + 1,), nan
    where there is none.
    """

    vectors: Array
    angles: Array
    ratios: Array


class MatrixDepth(Panel):
    """A slider over depth, and controls for the matrices' signs, the share of closed gates, and the width.

    seed: which random matrices. start: values for the controls depth (0 to 40), entries ("signed", "positive",
    "clamped"), gates (a share from ``GATES``) and width (one of ``WIDTHS``).
    Results: ``vectors`` (2, width), ``angle`` in degrees, ``ratio`` of the two largest singular values (nan where there
    is none), ``summary`` (text), ``figure()`` (static). Raises ``ValueError`` for a control that doesn't exist.
    """

    def __init__(self, seed: int = 0, **start: Any) -> None:
        super().__init__()
        self.seed = seed
        self.depth = widgets.IntSlider(1, min=0, max=DEEPEST, description="Layers", continuous_update=False)
        kinds = ["as drawn, both signs", "negative entries set to 0", "both signs, but what comes out is clamped"]
        self.entries = toggles("Matrices", list(ENTRIES), kinds)
        self.gates = slider("Closed gates", [(whole_percent(g), g) for g in GATES])
        sizes = [f"{width} entries in each signal" for width in WIDTHS]
        self.width = toggles("Width", list(WIDTHS), sizes, value=64)
        self._begin(["depth", "entries", "gates", "width"], start)

    def signals(self, entries: str | None = None) -> Signals:
        """Return the signals at all depths, with the controls' gates and width; entries: ``None`` for those shown."""
        return propagate(entries or self.entries.value, self.gates.value, self.width.value, self.seed)

    def _clear(self) -> None:
        self.vectors: Array = np.zeros((2, 0))
        self.angle = self.ratio = math.nan

    def _measure(self) -> None:
        found, depth = self.signals(), self.depth.value
        self.vectors = found.vectors[depth]
        self.angle, self.ratio = float(found.angles[depth]), float(found.ratios[depth])

    def _sentence(self) -> str:
        return angle_in_words(self.entries.value, self.angle, self.ratio)

    @property
    def setting(self) -> str:
        closed = f"{whole_percent(self.gates.value)} of the gates closed"
        layers = "1 layer" if self.depth.value == 1 else f"{self.depth.value} layers"
        return f"{layers} of width {self.width.value}, {self.entries.value}, {closed}"

    @property
    def alt(self) -> str:
        """The figure in words."""
        return (
            f"{self.setting}. Left: the entries of two signals against each other. Right: their angle by depth, for "
            f"{', '.join(ENTRIES)} matrices. {self.summary}"
        )

    def _html(self) -> str:
        signals = chart(3, 3, self._draw_signals, left=0.15, right=0.97, bottom=0.15, top=0.97)
        angles = chart(5, 3, self._draw_angles, left=0.13, right=0.98, bottom=0.16, top=0.96)
        on_a_line = "Points on a line through the middle: the two signals have the same direction."
        entries = f"{self.setting}. The entries of two signals against each other."
        by_depth = f"Their angle by depth, for {', '.join(ENTRIES)} matrices. {self.summary}"
        return gallery([(signals, entries, on_a_line), (angles, by_depth, self.setting)])

    def _figure(self) -> Figure:
        """Return the two signals held against each other, and the angles by depth."""
        figure = viz.figure_class()(figsize=(9, 3.3), dpi=90, layout="constrained")
        signals, angles = figure.subplots(1, 2, width_ratios=[1, 2])
        self._draw_signals(signals)
        self._draw_angles(angles)
        figure.suptitle(self.setting, fontsize=11)
        figure.alt = self.alt
        return figure

    def _draw_signals(self, axes: Axes) -> None:
        one, other = self.vectors
        limit = 1.1 * max(np.abs(self.vectors).max(), 1e-9)
        axes.axhline(0, **AXIS)
        axes.axvline(0, **AXIS)
        axes.plot(one, other, ".", color=LINES[DRAWN_AS[self.entries.value]]["color"])
        axes.set(xlim=(-limit, limit), ylim=(-limit, limit), xticks=[0], yticks=[0])
        axes.set(xlabel="entry of the first signal", ylabel="of the second", aspect="equal")

    def _draw_angles(self, axes: Axes) -> None:
        depths = np.arange(DEEPEST + 1)
        for entries in ENTRIES:
            angles, shown = self.signals(entries).angles, entries == self.entries.value
            style = LINES[DRAWN_AS[entries]] | {"alpha": 1.0 if shown else 0.35, "markersize": 3}
            axes.plot(depths, angles, label=entries, **style)
        axes.axvline(self.depth.value, label="shown", **MARK)
        axes.set(xlabel="layers", ylabel="angle between the signals", ylim=(-5, 185), yticks=[0, 45, 90, 135, 180])
        axes.legend(frameon=False, loc="upper left", fontsize=9, ncols=4)


# --- The signals, and in words ---


@functools.lru_cache(maxsize=64)
def propagate(entries: str, gates: float, width: int, seed: int = 0) -> Signals:
    """Return what becomes of two one-hot signals in ``DEEPEST`` layers of random matrices (width, width).

    entries: "signed", "positive" or "clamped". gates: the share of each layer's outputs that is set to zero, at random,
    the same for both signals. Entries are drawn from a normal distribution around 0. The same seed gives all three the
    same matrices and gates.
    """
    weights, gate_order = (np.random.default_rng(key) for key in (seed, [seed, 1]))  # closing gates leaves the weights
    signals, product = np.eye(width)[:, :2], np.eye(width)
    vectors, ratios = [signals.T], [1.0]
    for _ in range(DEEPEST):
        matrix = weights.standard_normal((width, width))
        gate = gate_order.permutation(width) >= round(gates * width)
        if entries == "positive":
            matrix = np.maximum(matrix, 0)
        matrix = matrix * gate[:, None]
        signals = matrix @ signals
        if entries == "clamped":
            signals = np.maximum(signals, 0)
        signals = scaled(signals, np.linalg.norm(signals, axis=0))  # only directions are watched
        product = matrix @ product
        product = scaled(product, np.linalg.norm(product))
        vectors.append(signals.T)
        ratios.append(math.nan if entries == "clamped" else ratio_of(product))
    return Signals(np.array(vectors), np.array([angle_between(*pair) for pair in vectors]), np.array(ratios))


def scaled(values: Array, size: Array | np.floating[Any]) -> Array:
    """Return values divided by their size; what is zero stays zero."""
    return values / np.where(size > 0, size, 1.0)


def angle_between(one: Array, other: Array) -> float:
    """Return the angle between two vectors of length 1 in degrees, exact also where it is tiny; nan if one is zero."""
    if not one.any() or not other.any():
        return math.nan
    return math.degrees(2 * math.atan2(float(np.linalg.norm(one - other)), float(np.linalg.norm(one + other))))


def ratio_of(matrix: Array) -> float:
    """Return the second singular value over the first: 0 for rank one, nan for a matrix of zeros."""
    first, second = np.linalg.svd(matrix, compute_uv=False)[:2]
    return float(second / first) if first > 0 else math.nan


def angle_in_words(entries: str, angle: float, ratio: float) -> str:
    """Return the angle and the ratio of singular values in plain sentences."""
    if math.isnan(angle):
        return "Nothing arrives any more of one of the signals: too many gates are closed, or too many entries are 0."
    degrees = "below 0.1" if angle < 0.1 else f"{angle:.1f}"
    numbers = f"The angle between the two signals is {degrees} degrees."
    if entries == "clamped":
        second = "A clamp after each matrix: not a product of matrices, so it has no singular values."
    else:
        size = "below 0.001" if ratio < 0.001 else f"{ratio:.3f}" if ratio < 0.1 else f"{ratio:.2f}"
        second = f"The second singular value is {size} of the first."
    if angle < 5:
        return f"{numbers} {second} Which signal went in can hardly be told from what comes out."
    if angle > 175:
        return f"{numbers} {second} The same line, in opposite directions: only the sign tells the two apart."
    return f"{numbers} {second} The two can be told apart."
