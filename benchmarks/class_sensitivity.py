"""The most against the least likely class, every method and handling, on the sample photos.

    python benchmarks/class_sensitivity.py

Prints the mean over photos of the signed and the absolute Spearman rank correlation, and the number of degenerate maps.
"""

from __future__ import annotations

import pandas as pd
import torch

import posgrad_edu as pg


def main() -> None:
    clf = pg.load_classifier("efficientnet-lite0")
    x = torch.stack([clf.preprocess(pg.load_photo(name)) for name in pg.photo_names()])
    rows = []
    for method in pg.METHODS:
        for handling in (None, "signed", "positive"):
            table = pg.class_sensitivity(clf.net, x, method, handling)
            rows.append(
                {
                    "method": method,
                    "gradients": handling or "as published",
                    "signed": table.spearman.mean(),
                    "absolute": table.spearman_abs.mean(),
                    "degenerate": int(table.degenerate.sum()),
                }
            )
            print(pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1, float_format="{:+.2f}".format))
    print(f"{len(x)} photos, {clf.name}")


if __name__ == "__main__":
    main()
