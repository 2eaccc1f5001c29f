"""What the widgets say about two maps: the sentence follows the number, a threshold belongs to the lower side."""

from __future__ import annotations

import math

import pytest
import torch

from posgrad_edu.widgets.sentences import DEGREES, describe, full_colour, in_percent, rank_correlation_is, red_shares


@pytest.mark.parametrize(
    ("correlation", "says"),
    [
        (1.0, "The same map for espresso and for cup: it doesn't show what sets the two classes apart."),
        (0.91, "The same map"),
        (0.9, "Much alike: most of the map for espresso is there for cup, too."),
        (0.51, "Much alike"),
        (0.5, "Partly alike"),
        (0.2, "Hardly related: the two classes have maps of their own."),
        (-0.19, "Hardly related"),
        (-0.2, "Partly reversed"),
        (-0.5, "Opposite maps: what speaks for espresso speaks against cup."),
        (-1.0, "Opposite maps"),
        (math.nan, "One of the maps is constant"),
    ],
)
def test_the_sentence_follows_the_number(correlation: float, says: str) -> None:
    assert describe(correlation, "espresso", "cup").startswith(says)


def test_what_is_compared_is_named() -> None:
    words = describe(0.95, "the trained network", "the random one", "networks")
    assert words == (
        "The same map for the trained network and for the random one: it doesn't show what sets the two networks apart."
    )


def test_thresholds_fall_and_no_number_is_left_out() -> None:
    thresholds = [threshold for threshold, _ in DEGREES]
    assert thresholds == sorted(thresholds, reverse=True)
    assert thresholds[-1] < -1
    assert len({words for _, words in DEGREES}) == len(DEGREES)


def test_numbers_in_words() -> None:
    assert rank_correlation_is(-0.254) == "Rank correlation −0.25."
    assert "nothing to compare" in rank_correlation_is(math.nan)
    assert in_percent(["ant", "bee"], [0.25, 1.0]) == "ant 25%, bee 100%"
    maps = torch.tensor([[[1.0, -1.0], [0.0, 2.0]], [[-1.0, -1.0], [-1.0, 0.0]]])
    assert red_shares(["ant", "bee"], maps) == "Red: ant 50%, bee 0%."


def test_the_key_says_how_far_values_lie_beyond_the_scale() -> None:
    assert full_colour(0.5, "in both maps") == "Full colour at ±0.5 in both maps."
    assert full_colour(0.5, "in both maps", torch.full((2, 1, 1), 0.5)) == "Full colour at ±0.5 in both maps."
    words = full_colour(0.5, "in both maps", torch.full((2, 1, 1), -1.5))
    assert words == "Full colour at ±0.5 in both maps. The strongest value here is 3 times that."
