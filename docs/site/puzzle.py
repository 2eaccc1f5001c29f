"""The puzzle on the first page: one photo, two maps, and the switch. Its pictures and numbers are computed here."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterable
from pathlib import Path

import posgrad_edu as pg
from posgrad_edu import viz

PHOTO, PIXELS = "coffee", 448
HANDLINGS = {"positive": "positive only", "signed": "signed"}


def pictures() -> Iterable[tuple[Path, bytes]]:
    """Yield the photo, two maps for each handling, and the puzzle's HTML.

    Raises ``ValueError`` where the text that goes with them would no longer be true.
    """
    clf, photo = pg.load_classifier(), pg.load_photo(PHOTO)
    classes = [clf.least_likely(photo), clf.index("espresso")]  # map 1, map 2
    view = dataclasses.replace(clf.preprocess, size=PIXELS, resize=PIXELS * 8 // 7).view(photo)
    yield Path("_static", "puzzle", "photo.jpg"), jpeg(view)
    alike, words = {}, {}
    for handling in HANDLINGS:
        maps = pg.explain(clf.net, clf.batch(photo), [classes], method="gradcam", handling=handling)[0]
        alike[handling] = pg.compare(*maps).spearman
        for n, one in enumerate(maps, start=1):  # each in full colour at its strongest value: how strong is no hint
            yield Path("_static", "puzzle", f"{handling}-{n}.jpg"), jpeg(viz.overlay(view, one))
            words[handling, n] = viz.describe_map(one)
    if not alike["positive"] > 0.9 or not alike["signed"] < -0.9:
        raise ValueError(f"The first page says that the maps are nearly the same or nearly opposite; they are {alike}.")
    labels = [clf.labels[c] for c in classes]
    yield Path("puzzle.html"), page(labels, alike, words).encode()


def jpeg(picture: object) -> bytes:
    """Return a picture as the bytes of a JPEG file."""
    import io

    file = io.BytesIO()
    picture.save(file, "JPEG", quality=88, subsampling=0, optimize=True)  # type: ignore[attr-defined]
    return file.getvalue()


def page(labels: list[str], alike: dict[str, float], words: dict[tuple[str, int], str]) -> str:
    """Return the puzzle as HTML. Two radio buttons are the switch, so that it works without JavaScript, too."""
    one, two = map(html.escape, labels)
    switch = "".join(
        f'<input type="radio" name="handling" id="handling-{h}" value="{h}"{" checked" if h == "positive" else ""}>'
        f'<label for="handling-{h}">{title}</label>'
        for h, title in HANDLINGS.items()
    )
    said = {
        "positive": f"Rank correlation of the two maps: {signed(alike['positive'])}. Nearly the same, for two classes "
        "that have nothing in common.",
        "signed": f"Rank correlation of the two maps: {signed(alike['signed'])}. Nearly opposite: the cup speaks for "
        f"{two} (map 2, red) and against {one} (map 1, blue).",
    }
    shown = "".join(
        f'<div class="maps {h}">'
        + "".join(
            f'<figure><img src="_static/puzzle/{h}-{n}.jpg" width="{PIXELS}" height="{PIXELS}" '
            f'alt="Map {n}, {HANDLINGS[h]}: {html.escape(words[h, n])}"><figcaption>map {n}</figcaption></figure>'
            for n in (1, 2)
        )
        + f"<p>{said[h]}</p></div>"
        for h in HANDLINGS
    )
    return (
        '<div class="puzzle" id="puzzle">'
        "<p>A network says <em>espresso</em>. Each map colours what spoke for a class in red, and what spoke against "
        f"it in blue. One was asked about <em>{two}</em>, the other about <em>{one}</em>; both are in full colour "
        "where they are strongest. <strong>Which is which?</strong> Guess. Then flip the switch to <em>signed</em>.</p>"
        f'<fieldset class="switch"><legend>Gradients</legend>{switch}'
        f'<div class="pictures"><figure class="photo"><img src="_static/puzzle/photo.jpg" width="{PIXELS}" '
        f'height="{PIXELS}" alt="A small cup of espresso on a red saucer with a spoon.">'
        "<figcaption>photo</figcaption></figure>"
        f"{shown}</div></fieldset></div>\n"
    )


def signed(number: float) -> str:
    """Return a number with its sign and two digits, with a real minus."""
    return f"{number:+.2f}".replace("-", "−")
