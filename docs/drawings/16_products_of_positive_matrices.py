"""What a matrix without negative entries does to the quadrant: it maps it into the wedge between its columns."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import Polygon

from posgrad_edu.viz import Schematic
from posgrad_edu.viz.schematic import COLOURS

PLUS, MINUS = np.array([[2.0, 1.0], [1.0, 1.0]]), np.array([[2.0, -1.0], [1.0, 1.0]])


def draw() -> Schematic:
    drawing = Schematic(
        11.2,
        3.5,
        alt="Two signals at right angles span the quadrant. The matrix 2 1, 1 1 maps them into a narrow wedge in it,"
        " and used again into a narrower one. The matrix 2 -1, 1 1 opens them to more than a right angle.",
    )
    for left, title, M in [
        (0.5, "two signals", np.eye(2)),
        (3.2, "no minus, once", PLUS),
        (5.9, "no minus, twice", PLUS @ PLUS),
        (9.3, "one minus, once", MINUS),
    ]:
        panel(drawing, left, title, M)
    for x, M in [(4.6, PLUS), (7.3, PLUS), (10.55, MINUS)]:
        drawing.grid(x, 2.55, M, cell=0.34)
    return drawing


def panel(drawing: Schematic, x: float, title: str, M: np.ndarray) -> None:
    """Draw where a matrix sends the two unit vectors, both made equally long, from the point (x, 0.5)."""
    foot, ends = np.array([x, 0.5]), M / np.linalg.norm(M, axis=0) * 1.4
    drawing.canvas.add_patch(
        Polygon([foot, foot + ends[:, 0], foot + ends[:, 1]], facecolor=COLOURS["back"][1], edgecolor="none")
    )
    drawing.arrow((x - 0.15, 0.5), (x + 1.75, 0.5), kind="muted")
    drawing.arrow((x, 0.35), (x, 2.25), kind="muted")
    for end in ends.T:
        drawing.arrow(tuple(foot), tuple(foot + end), kind="back")
    drawing.text(x + 0.6, 3.15, title, bold=True)
