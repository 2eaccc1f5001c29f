"""The paper's claims in our words, and the rule by which a study agrees with them or doesn't.

The paper says that two ways to handle gradients break saliency methods: adding up only positive gradients (GradCAM++,
FullGrad) and passing only positive gradients back (LRP, RectGrad, Guided Backprop). Their maps still show what stands
out in the photo, but no longer depend on the class that is asked about, nor on what the network has learnt. So each
method gives two claims, one a check, and each claim has two halves that can be measured: the positive version's maps
are alike where they should differ, and they are more alike than those of the same method with signed gradients.

The rule. Measured is the rank correlation (Spearman) of the signed maps, and for each claim

    alike         the interval of the positive version's mean lies above .5
    more alike    the interval of the paired difference, positive minus signed, lies above 0

    agrees        both        partly       one of the two
    disagrees     neither     not measured one of the two numbers, or its interval, isn't there

In the class check the maps of the most and the least likely class are compared. In the parameters check the verdict
takes the mean over the cascade, not its end. At the end every layer is random, also the first ones, which see the photo
itself: only a map that hardly depends on any weight stays there as it was. To call a map insensitive to parameters
claims less, and something of degree: that much of the network can forget before the map changes. The mean over the
cascade measures this. The end, half way, and the classifier alone stand beside it in the report.

FullGrad adds up magnitudes, as published. Both are judged, this (absolute) and FullGrad with positive terms only.

Reference: Khakzar, Baselizadeh, Navab. Rethinking Positive Aggregation and Propagation of Gradients in Gradient-based
Saliency Methods. 2020. arXiv:2012.00362, abstract.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pandas import DataFrame, Series

ALIKE_ABOVE = 0.5
VERDICTS = ("agrees", "partly", "disagrees", "not measured")

# What each check's claims say of a method.
SAYS = {
    "class": "much the same map for the most and for the least likely class",
    "parameters": "much the same map while more and more of the network becomes random",
}
# Where in a summary each check's number stands: group and mode.
JUDGED = {"class": ("least", ""), "parameters": ("mean", "cascading")}


class Claim(NamedTuple):
    """One claim: this version of this method fails this check."""

    check: str  # "class" or "parameters"
    method: str
    handling: str  # of the version that is held against the signed one
    version: str  # in words
    source: str  # "abstract": the paper's abstract names the method; "variant": it doesn't

    @property
    def text(self) -> str:
        return f"{self.version}: {SAYS[self.check]}."


_VERSIONS = (
    ("gradcam", "positive", "GradCAM with weights from positive gradients only", "variant"),
    ("gradcam++", "positive", "GradCAM++, which adds up positive gradients only", "abstract"),
    ("layercam", "positive", "LayerCAM, which weights each position by its positive gradient", "variant"),
    ("fullgrad", "absolute", "FullGrad as published, which adds up magnitudes", "abstract"),
    ("fullgrad", "positive", "FullGrad with positive terms only", "abstract"),
    ("lrp", "positive", "LRP that shares relevance out by positive contributions only (z+)", "abstract"),
    ("rectgrad", "positive", "RectGrad, which passes back where contributions are large and positive", "abstract"),
    ("guided-backprop", "positive", "Guided Backprop, which passes back positive gradients only", "abstract"),
    ("deconvnet", "positive", "DeconvNet, which passes back positive gradients whatever the ReLU's gate", "variant"),
)

CLAIMS: tuple[Claim, ...] = tuple(Claim(check, *version) for check in SAYS for version in _VERSIONS)

_READS_ONE_LAYER = (
    "The map is a weighted sum of one layer's activations. Once the cascade reaches that layer, its activations are "
    "those of random weights, and no handling of gradients can keep the map as it was; what likeness is left may be "
    "what random layers keep of the photo. Positive gradients can hide the change of the layers above: see the stage "
    "“classifier”."
)
_POSITIVE_WEIGHTS = (
    "Positive weights for channels still differ between classes. Where activations are few and lie in different "
    "places, as in a small network or where both classes are in the picture, another choice of channels is "
    "another map."
)
_SHALLOW = (
    "Positive propagation loses the class by multiplying many non-negative matrices, a product that comes ever "
    "closer to rank one. In a network of few layers the loss can stay partial."
)
_DEPTH_OF_CASCADE = (
    "The layers nearest the photo shape the map of a method that propagates. While they are as trained the map "
    "can stay; it changes when the cascade comes to them. The mean over the cascade counts both parts."
)
_SELECTS = (
    "RectGrad passes back through few units, those with the largest contributions. Which ones these are depends "
    "on activations and on what arrives from above, so that some dependence on them survives, more so in a "
    "network of few layers."
)
_TERMS = (
    "FullGrad adds a term for each layer, brought to one range each. Terms of layers near the output differ "
    "between classes, and in a network of few layers they can be a large part of the sum."
)
_BIASES = (
    "FullGrad's terms are biases times gradients. The cascade redraws biases, too, so that a layer's own term "
    "changes when the layer becomes random, whatever is done with its sign."
)

# What may explain a verdict other than "agrees": reasons that follow from how the methods are built, not measurements.
WHY: dict[tuple[str, str], str] = {
    ("gradcam", "class"): _POSITIVE_WEIGHTS,
    ("gradcam++", "class"): _POSITIVE_WEIGHTS,
    ("layercam", "class"): _POSITIVE_WEIGHTS,
    ("fullgrad", "class"): _TERMS,
    ("lrp", "class"): _SHALLOW,
    ("rectgrad", "class"): _SELECTS,
    ("guided-backprop", "class"): _SHALLOW,
    ("deconvnet", "class"): _SHALLOW,
    ("gradcam", "parameters"): _READS_ONE_LAYER,
    ("gradcam++", "parameters"): _READS_ONE_LAYER,
    ("layercam", "parameters"): _READS_ONE_LAYER,
    ("fullgrad", "parameters"): _BIASES,
    ("lrp", "parameters"): _DEPTH_OF_CASCADE,
    ("rectgrad", "parameters"): _SELECTS,
    ("guided-backprop", "parameters"): _DEPTH_OF_CASCADE,
    ("deconvnet", "parameters"): _DEPTH_OF_CASCADE,
}


def verdict(alike_low: float, difference_low: float, threshold: float = ALIKE_ABOVE) -> str:
    """Return one of ``VERDICTS`` from two intervals' lower ends: the version's mean, and its paired difference.

    threshold: maps count as alike where the first lies above it.
    """
    if math.isnan(alike_low) or math.isnan(difference_low):
        return "not measured"
    halves = int(alike_low > threshold) + int(difference_low > 0)
    return ("disagrees", "partly", "agrees")[halves]


def verdict_table(summary: DataFrame) -> DataFrame:
    """Return what a study says of each claim: one row a claim and network, in the order of ``CLAIMS``.

    summary: as ``verdicts.summarize`` makes it.
    Columns: check, method, handling, version (in words), source, claim (a sentence), network; means of spearman for
    signed, for positive (this claim's handling) and for their difference, each with _low and _high; photos (with a
    difference), comparisons and degenerate (of both versions), verdict, reading (what the two halves came to), and why
    (``WHY``; empty where the verdict agrees or wasn't measured).
    """
    import pandas as pd

    networks = sorted(summary.network.unique())
    return pd.DataFrame([_judged(claim, network, summary) for claim in CLAIMS for network in networks])


def _judged(claim: Claim, network: str, summary: DataFrame) -> dict[str, object]:
    signed = _row(summary, network, claim, "signed")
    positive = _row(summary, network, claim, claim.handling)
    both = [row for row in (signed, positive) if row is not None]
    result = verdict(_value(positive, "spearman_low"), _value(positive, "difference_low"))
    return {
        **{"check": claim.check, "method": claim.method, "handling": claim.handling},
        **{"version": claim.version, "source": claim.source, "claim": claim.text, "network": network},
        **{f"signed{end}": _value(signed, f"spearman{end}") for end in ("", "_low", "_high")},
        **{f"positive{end}": _value(positive, f"spearman{end}") for end in ("", "_low", "_high")},
        **{f"difference{end}": _value(positive, f"difference{end}") for end in ("", "_low", "_high")},
        "photos": 0 if positive is None else int(positive.paired),
        "comparisons": sum(int(row.comparisons) for row in both),
        "degenerate": sum(int(row.degenerate) for row in both),
        "verdict": result,
        "reading": _missing(signed, positive) if result == "not measured" else _reading(positive),
        "why": WHY[claim.method, claim.check] if result in ("partly", "disagrees") else "",
    }


def _row(summary: DataFrame, network: str, claim: Claim, handling: str) -> Series | None:
    group, mode = JUDGED[claim.check]
    wanted = {"network": network, "check": claim.check, "method": claim.method, "handling": handling}
    wanted |= {"group": group, "mode": mode}
    found = summary[(summary[list(wanted)] == list(wanted.values())).all(axis=1)]
    return None if found.empty else found.iloc[0]


def _value(row: Series | None, name: str) -> float:
    return math.nan if row is None else float(row[name])


def _reading(positive: Series | None) -> str:
    """Say what the two halves came to."""
    low, high = _value(positive, "spearman_low"), _value(positive, "spearman_high")
    alike = "alike" if low > ALIKE_ABOVE else "not alike" if high <= ALIKE_ABOVE else "not surely alike"
    low, high = _value(positive, "difference_low"), _value(positive, "difference_high")
    more = "more so than" if low > 0 else "less so than" if high < 0 else "not surely more so than"
    return f"{alike}, {more} signed"


def _missing(signed: Series | None, positive: Series | None) -> str:
    """Say why there is no verdict."""
    for row, name in ((positive, "this version"), (signed, "signed")):
        if row is None:
            return f"{name} has no rows"
        if row.used == 0:
            return f"each map of {name} is degenerate"
    assert positive is not None
    if positive.paired == 0:
        return "no photo has values of both versions"
    return "one photo gives no interval"


# --- In Markdown ---

RULE = """\
*Agrees*: the positive version's maps are alike (the interval of the mean Spearman correlation lies above 0.5), and they
are more alike than the signed version's (the interval of the paired difference lies above 0). *Partly*: one of the two.
*Disagrees*: neither. For classes, the most likely is compared with the least likely. For parameters, the number is the
mean over the cascade from the classifier to all layers: at its end the layers nearest the photo are random, too, and
insensitive is meant as a matter of degree."""

_SECTIONS = {
    "class": "The map no longer depends on the class",
    "parameters": "The map no longer depends on the network's parameters",
}


def verdict_section(verdicts: DataFrame) -> list[str]:
    """Return a ``verdict_table`` in Markdown, with the rule and with what may explain where it doesn't agree."""
    parts = ["## Verdicts", RULE, _tally(verdicts)]
    for check, heading in _SECTIONS.items():
        parts += [f"### {heading}", _verdict_lines(verdicts[verdicts.check == check])]
    return [*parts, *_explanations(verdicts)]


def _tally(verdicts: DataFrame) -> str:
    counts = [f"{name} {int((verdicts.verdict == name).sum())}" for name in VERDICTS]
    return (
        f"{', '.join(counts).capitalize()}, of {len(verdicts)} claims (each network counts). Variants are methods that "
        "the paper's abstract doesn't name."
    )


def _verdict_lines(verdicts: DataFrame) -> str:
    header = ["claim", "network", "signed", "this version", "difference", "photos", "degenerate maps", "verdict"]
    lines = [
        [
            f"{row.version}{' (variant)' * (row.source == 'variant')}",
            row.network,
            *(measured(row, name) for name in ("signed", "positive", "difference")),
            str(row.photos),
            f"{row.degenerate} of {row.comparisons}",
            f"**{row.verdict}**: {row.reading}",
        ]
        for _, row in verdicts.iterrows()
    ]
    return markdown(header, lines)


def _explanations(verdicts: DataFrame) -> list[str]:
    """Return what may explain each verdict that doesn't agree, beside what was measured; nothing where all agree."""
    unlike = verdicts[verdicts.why != ""]
    parts = []
    for why in unlike.why.unique():
        lines = [
            f"- {row.version} ({row.check}, {row.network}): {row.verdict}. This version "
            f"{measured(row, 'positive')}, signed {measured(row, 'signed')}, difference {measured(row, 'difference')}."
            for _, row in unlike[unlike.why == why].iterrows()
        ]
        parts += [why, "\n".join(lines)]
    opening = (
        "Where the study doesn't agree with a claim, this may be why. The reasons follow from how the methods are "
        "built; the study doesn't test them."
    )
    return ["## What may explain the rest", opening, *parts] if parts else []


def number(value: float, low: float | None = None, high: float | None = None) -> str:
    """Write a number with two digits and a real minus sign, and its interval in brackets; a dash for nan."""
    if math.isnan(value):
        return "–"
    text = f"{value:.2f}".replace("-", "−")
    text = "0.00" if text == "−0.00" else text
    if low is None or high is None:
        return text
    return f"{text} [no interval]" if math.isnan(low) else f"{text} [{number(low)}, {number(high)}]"


def measured(row: Any, name: str) -> str:
    """Write a row's mean and interval of one measure."""
    return number(*(float(row[f"{name}{end}"]) for end in ("", "_low", "_high")))


def markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Write a table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, ["---"] * len(header), *lines])
