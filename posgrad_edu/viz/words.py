"""Words and numbers about maps: titles, sentences for those who can't see them, true minus signs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from posgrad_edu.viz.maps import Array, Map, as_array

NO_BREAK = "\N{NO-BREAK SPACE}"
EVIDENCE = ("evidence for", "evidence against")  # what red and blue mean, unless somebody says otherwise

# --- Numbers ---


def true_minus(text: str) -> str:
    """Return a text of numbers with hyphens as true minus signs."""
    return text.replace("-", "−")


def plain_number(value: float, digits: int = 2) -> str:
    """Write a number with a true minus, and never a negative zero: 0.25, −1.50, 0.00."""
    text = f"{value:.{digits}f}"
    return true_minus(text if float(text) else text.removeprefix("-"))


def signed_number(value: float, digits: int = 2) -> str:
    """Write a number with its sign, a true minus, and never a negative zero: +0.25, −1.50, +0.00."""
    return true_minus(f"{round(value, digits) + 0.0:+.{digits}f}")


def two_digits(magnitude: float) -> str:
    """Write a magnitude with two digits, and hundreds without an exponent: 0.15, 24, 480."""
    return f"{float(f'{magnitude:.2g}'):g}"


def percent(share: float) -> str:
    """Write a share so that 0 % and 100 % only stand for none and all; no line breaks before the sign."""
    if 0 < share < 0.001:
        return f"<{NO_BREAK}0.1{NO_BREAK}%"
    if 0.99 < share < 1:
        return f">{NO_BREAK}99{NO_BREAK}%"
    return f"{100 * share:.1f}{NO_BREAK}%" if 0 < share < 0.095 else f"{100 * share:.0f}{NO_BREAK}%"


# --- Sentences ---


def map_title(label: str, probability: float, logit: float | None = None) -> str:
    """Return a panel's title such as "espresso 95 %", and the logit in a second line where it is given."""
    if not 0 <= probability <= 1 + 1e-6:
        raise ValueError(f"A probability is from 0 to 1, not {probability}. softmax makes it from logits.")
    title = f"{label} {percent(probability)}"
    return title if logit is None else f"{title}\nlogit {signed_number(logit, 1)}"


def map_titles(classes: Sequence[tuple[int, str, float]]) -> list[str]:
    """Return the titles of panels for classes, each its number, label and probability: "espresso 95 %".

    Where two classes have one label, such as ImageNet's cranes, it's "crane (class 134) 34 %".
    """
    shared = Counter(label for _, label in {(index, label) for index, label, _ in classes})
    return [
        map_title(f"{label} (class {index})" if shared[label] > 1 else label, probability)
        for index, label, probability in classes
    ]


def describe_map(map: Map, limit: float | None = None, evidence: bool = True) -> str:
    """Return a sentence that says where a map's evidence lies, in ninths of the picture, and of which sign.

    limit: the scale's; given, the sentence ends with the strongest value's share of it, or says that it lies beyond.
    evidence: False names the colours alone, of maps whose values don't speak for a class or against it.
    """
    values = as_array(map)
    positive, negative = values.clip(min=0), -values.clip(max=0)
    total = positive.sum() + negative.sum()
    red, blue = ("evidence for the class", "evidence against the class") if evidence else ("red", "blue")
    if total == 0:
        return f"No {'evidence' if evidence else 'colour'} anywhere: the map is zero."
    if negative.sum() == 0:
        sentence = f"{red.capitalize()} only, most of it {_place(positive)}"
    elif positive.sum() == 0:
        sentence = f"{blue.capitalize()} only, most of it {_place(negative)}"
    else:
        sentence = (
            f"Most {red} {_place(positive)}, most {blue.replace('the class', 'it')} {_place(negative)}; "
            f"{percent(positive.sum() / total)} of the magnitude is positive"
        )
    if limit is not None:
        share = np.abs(values).max() / limit
        strongest = "lies beyond" if share > 1 + 1e-6 else f"is {percent(min(1.0, share))} of"
        sentence += f"; the strongest value {strongest} the scale"
    return f"{sentence}."


def alt_text(what: str, map: Map, limit: float | None = None, evidence: bool = True) -> str:
    """Return alt text for a picture of a map: what it is, such as "GradCAM for espresso", then what it shows."""
    return f"{what}: {describe_map(map, limit, evidence)}"


def _place(magnitudes: Array) -> str:
    """Name the ninth of a map that holds the most."""
    sums = [[cell.sum() for cell in np.array_split(band, 3, axis=1)] for band in np.array_split(magnitudes, 3)]
    row, column = divmod(int(np.argmax(sums)), 3)
    if row == column == 1:
        return "in the centre"
    return f"{('upper', 'middle', 'lower')[row]} {('left', 'centre', 'right')[column]}"
