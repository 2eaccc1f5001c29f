"""EfficientNet-Lite0 as blocks, and above them the signals of two classes on their way back, drawing together."""

from itertools import pairwise

from posgrad_edu.viz import Schematic

# From the photo to the logits: where a block stands, and what it is.
BLOCKS = [
    (0.8, "photo"),
    (2.5, "first conv\n32 channels"),
    (4.6, "blocks\n96 to 672"),
    (6.7, "blocks\n672 to 1152"),
    (8.8, "last conv\n1280"),
    (10.4, "logits"),
]
# How far above and below the middle the two signals run, at each block: not to scale.
GAPS = [0.05, 0.05, 0.05, 0.07, 0.62, 0.85]
MIDDLE = 2.35


def draw() -> Schematic:
    drawing = Schematic(
        11.2,
        4.0,
        alt="EfficientNet-Lite0 as a row of blocks from the photo to the logits. Above them two dashed lines go back"
        " from the logits, the signals of two classes by z+: far apart at the logits, nearer at the last convolution,"
        " side by side from the next blocks on.",
    )
    places = [drawing.box(x, 0.6, name, "muted") for x, name in BLOCKS]
    for start, end in pairwise(places):
        drawing.arrow(start, end)
    points = [(x, gap) for (x, _), gap in zip(BLOCKS, GAPS, strict=True)][::-1]
    for side in (1, -1):
        for (x, gap), (next_x, next_gap) in pairwise(points):
            drawing.arrow((x, MIDDLE + side * gap), (next_x, MIDDLE + side * next_gap), kind="back")
    drawing.text(10.4, MIDDLE + 1.1, "$e_c$", "back")
    drawing.text(10.4, MIDDLE - 1.1, "$e_d$", "back")
    drawing.switch(4.6, 3.4, "$h$: positive, in each layer")
    return drawing
