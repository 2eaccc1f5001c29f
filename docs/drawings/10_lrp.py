"""How LRP hands a logit down two layers of a network with six numbers, by the signed rule and by the positive one."""

from posgrad_edu.viz import Schematic

# What each edge carries back, by the units it joins: hidden unit -> pixel.
SHARES = {"LRP-0": [("+2", "+2"), ("+6", "−4")], "z+": [("+2", "+2"), ("+2", "0")]}
PIXELS = {"LRP-0": ("+8", "−2"), "z+": ("+4", "+2")}
SWITCH = {"LRP-0": "$h$: signed", "z+": "$h$: positive"}


def draw() -> Schematic:
    drawing = Schematic(
        10.4,
        3.5,
        alt="The toy network twice, dashed arrows from the logit to the pixels. LRP-0, switch signed: the second hidden"
        " unit gives 6 and -4, the pixels hold 8 and -2. z+, switch positive: it gives 2 and 0, the pixels 4 and 2.",
    )
    for left, name in [(0.0, "LRP-0"), (5.2, "z+")]:
        panel(drawing, left, name)
    return drawing


def panel(drawing: Schematic, left: float, name: str) -> None:
    """Draw the network once, beginning at ``left``."""
    drawing.text(left + 0.75, 3.15, name, bold=True)
    drawing.switch(left + 2.0, 3.15, SWITCH[name])
    heights = (2.2, 0.65)
    pixels = [
        drawing.box(left + 0.75, y, f"$x_{n} = {n}$\n$R = {held}$", width=1.1)
        for n, y, held in zip((1, 2), heights, PIXELS[name], strict=True)
    ]
    hidden = [
        drawing.box(left + 2.95, y, f"$a_{n} = {a}$\n$R = {held}$", width=1.1)
        for n, y, a, held in zip((1, 2), heights, (4, 1), ("+4", "+2"), strict=True)
    ]
    logit = drawing.box(left + 4.55, 1.425, "$f = 6$\n$R = +6$", width=1.1)
    for unit, y, share in zip(hidden, (2.1, 0.75), ("+4", "+2"), strict=True):
        drawing.arrow(logit, unit, kind="back")
        drawing.text(left + 3.85, y, share, "back", size=10)
    places = [[(1.85, 2.35), (1.72, 1.06)], [(1.72, 1.79), (1.85, 0.5)]]
    for unit, shares, spots in zip(hidden, SHARES[name], places, strict=True):
        for pixel, share, (x, y) in zip(pixels, shares, spots, strict=True):
            drawing.arrow(unit, pixel, kind="back")
            drawing.text(left + x, y, share, "back", size=10)
