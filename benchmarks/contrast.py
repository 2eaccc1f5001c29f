"""What a map of one logit owes to a vector that no prediction depends on: DESIGN's table, and the same with a contrast.

    python benchmarks/contrast.py [--photos 7]

The mean over photos of the rank correlation between the most likely class's map and another's: the least likely one's,
and the mean of ten random classes'. ``shifted`` adds a · |min_c w_ck| to each class's weights. Behind a bar the number
of pairs with a constant map, which have no correlation. Takes about 20 minutes on a laptop; ``docs/contrast.md`` has
the result.
"""

from __future__ import annotations

import argparse

import torch

import posgrad_edu as pg
from posgrad_edu.models import shift_vector, shifted

METHODS = {
    "GradCAM signed": ("gradcam", "signed"),
    "GradCAM positive": ("gradcam", "positive"),
    "gradient signed": ("gradient", "signed"),
    "guided backprop positive": ("guided-backprop", "positive"),
    "LRP signed": ("lrp", "signed"),
    "LRP positive": ("lrp", "positive"),
}
SHIFTS = (0.0, 0.25, -0.25, -1.0)
PHOTOS = ("coffee", "cat", "rocket", "motorcycle", "astronaut", "china", "flower")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=int, default=len(PHOTOS))
    count = parser.parse_args().photos
    clf = pg.load_classifier("efficientnet-lite0")
    x = torch.cat([clf.batch(pg.load_photo(name)) for name in PHOTOS[:count]])
    methods = {label: pg.METHODS[name](handling) for label, (name, handling) in METHODS.items()}
    for contrast in (None, "mean"):
        for other in ("least", "random"):
            print(f"\ncontrast {contrast}, most likely against {other}\n")
            print("| a | " + " | ".join(methods) + " |\n|" + "---|" * (len(methods) + 1))
            for a in SHIFTS:
                net = shifted(clf.net, shift_vector(clf.net, a), x)
                table = pg.class_sensitivity(net, x, methods, other=other, contrast=contrast)
                cells = [cell(rows) for _, rows in table.groupby("method", sort=False)]
                print(f"| {a:+g} | " + " | ".join(cells) + " |", flush=True)


def cell(rows) -> str:
    """Return a mean over photos, of each first over its classes, and how many pairs have none."""
    missing = int(rows.degenerate.sum())
    return f"{rows.groupby('photo').spearman.mean().mean():+.2f}" + f" ({missing} undefined)" * bool(missing)


if __name__ == "__main__":
    main()
