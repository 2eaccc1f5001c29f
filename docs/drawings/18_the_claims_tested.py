"""How a verdict is reached: a claim, two numbers for each picture, two intervals, one word."""

from posgrad_edu.viz import Schematic


def draw() -> Schematic:
    drawing = Schematic(
        10.6,
        3.2,
        alt="From left to right: a claim; for each picture two correlations, with positive and with signed handling;"
        " their mean and their paired difference, each with an interval; two questions, does the first interval lie"
        " above 0.5 and the second above 0; both yes: agrees, one: partly, none: disagrees.",
    )
    claim = drawing.box(0.8, 1.6, "claim", "muted")
    pictures = drawing.box(2.9, 1.6, "each picture $i$:\n$\\rho_i^{+}$ and $\\rho_i^{\\pm}$", width=1.9)
    mean = drawing.box(5.4, 2.5, "mean of $\\rho_i^{+}$\nwith interval", width=1.9)
    difference = drawing.box(5.4, 0.7, "mean of $\\rho_i^{+} - \\rho_i^{\\pm}$\nwith interval", width=2.2)
    alike = drawing.box(7.8, 2.5, "above 0.5?", width=1.3)
    more = drawing.box(7.8, 0.7, "above 0?", width=1.3)
    word = drawing.box(9.7, 1.6, "both: agrees\none: partly\nnone: disagrees", "muted", width=1.6)
    steps = [(claim, pictures), (pictures, mean), (pictures, difference), (mean, alike), (difference, more)]
    for start, end in [*steps, (alike, word), (more, word)]:
        drawing.arrow(start, end)
    return drawing
