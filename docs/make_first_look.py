"""Draw docs/first_look.png, the picture in the README: python docs/make_first_look.py."""

from pathlib import Path

import posgrad_edu as pg
from posgrad_edu.viz import map_title, show_grid, to_png

COLUMNS = {
    "GradCAM, signed": ("gradcam", "signed"),
    "GradCAM, positive": ("gradcam", "positive"),
    "GradCAM++, as published": ("gradcam++", None),
}

clf = pg.load_classifier()
photo = pg.load_photo("coffee")
x = clf.preprocess(photo).unsqueeze(0)
classes = [clf.index("espresso"), clf.least_likely(photo)]
maps = {title: pg.explain(clf.net, x, [classes], *switch)[0] for title, switch in COLUMNS.items()}

# GradCAM++ has other units. One factor for both classes makes its espresso as strong as positive GradCAM's.
factor = maps["GradCAM, positive"][0].max() / maps["GradCAM++, as published"][0].max()
maps["GradCAM++, as published"] *= factor
print(f"GradCAM++ is divided by {1 / factor:.1f}.")

probabilities = clf.probabilities(photo)
rows = {
    map_title(clf.labels[c], float(probabilities[c])): {title: found[row] for title, found in maps.items()}
    for row, c in enumerate(classes)
}
figure = show_grid(clf.view(photo), rows, share="row")
Path(__file__).with_name("first_look.png").write_bytes(to_png(figure))
print(figure.alt)
