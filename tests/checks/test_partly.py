"""What is said of an answer that no mistake of the table explains: all that is true of it, and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from posgrad_edu import checks
from posgrad_edu.checks.angles import ANGLES_BY_DEPTH
from posgrad_edu.checks.engine import general
from posgrad_edu.checks.engine.partly import listed, ordinal
from posgrad_edu.checks.fullgrad import FULLGRAD_TERMS
from posgrad_edu.checks.gradcam import GRADCAM
from posgrad_edu.checks.lrp import LRP_EPSILON_CONV
from posgrad_edu.checks.rectgrad import RECTGRAD
from posgrad_edu.checks.spearman import SPEARMAN
from posgrad_edu.checks.summary import SUMMARY
from posgrad_edu.handling import ABSOLUTE, POSITIVE

Learner = Callable[..., Any]


def gradcam(A: Tensor, G: Tensor, h: Any) -> Tensor:
    return (h(G).mean((2, 3), keepdim=True) * A).sum(1)


def strange(A: Tensor) -> Tensor:
    return A.mean(1) ** 2 + 0.1


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        (lambda m: m.flip(0), "reordered", "another order"),
        (lambda m: m.roll(1, 0), "reordered", "another order"),
        (lambda m: m.flip(-1), "mirrored", "left and right are swapped"),
        (lambda m: m.flip(1), "mirrored", "top and bottom are swapped"),
        (lambda m: m.half(), "rounded", "half precision"),
        (lambda m: m.bfloat16(), "rounded", "bfloat16"),
        (lambda m: m.round(decimals=2), "rounded", "to 2 digits after the point"),
        (lambda m: m.round(decimals=1), "rounded", "to 1 digit after the point"),
        (lambda m: m.round(), "rounded", "to whole numbers"),
        (lambda m: m * (1 + 1e-3 * torch.linspace(-1, 1, 6)), "rounded", "nearly right, to about"),
        (lambda m: 3 * m, "wrong-factor", "it is 3 times what it should be"),
        (lambda m: -3 * m, "wrong-sign", "and it is off by a factor"),
        (lambda m: m / m.abs().sum(), "wrong-factor", "differs from try to try"),
        (lambda m: m + 1, "added", "one number that is added"),
        (lambda m: m + torch.rand(()), "not-repeatable", "two answers"),
        (lambda m: m * torch.rand(()), "not-repeatable", "two answers"),
        (lambda m: torch.cat([m[:1] ** 3, m[1:]]), "unknown", "of the photos the second is right"),
        (lambda m: m if len(m) == 1 else m**3, "unknown", "right for one photo, wrong for several"),
        (lambda m: m if len(m) > 1 else m**3, "unknown", "right for several photos, wrong for one alone"),
        (lambda m: m if len(m) > 1 else 3 * m, "unknown", "right for several photos, wrong for one alone"),
    ],
)
def test_what_is_done_to_a_right_map_is_said(change: Learner, key: str, words: str) -> None:
    result = checks.check_gradcam(lambda A, G, h: change(gradcam(A, G, h)))
    assert (result.key, words in result.says) == (key, True), result


def test_which_handling_is_right_is_said() -> None:
    """It is tried on the same photos; a memory, which the first try alone being right may look like, it is not."""
    only = checks.check_gradcam(lambda A, G, h: gradcam(A, G, h) if h == POSITIVE else strange(A))
    assert only.says.startswith("right with positive handling only, and")
    two = checks.check_gradcam(lambda A, G, h: gradcam(A, G, h) if h in (POSITIVE, ABSOLUTE) else strange(A))
    assert two.says.startswith("right with positive and absolute handling, wrong with signed and negative, and")


def test_which_quantile_is_right_is_said() -> None:
    right: Learner = RECTGRAD.right  # type: ignore[assignment]
    result = checks.check_rectgrad(lambda g, a, h, q: right(g, a, h, q) if q == 0 else right(g, a, h, q) ** 3 + 1)
    assert result.says.startswith("right where q is 0, wrong where it is "), result


@pytest.mark.slow
def test_which_part_is_right_is_said() -> None:
    terms: Learner = FULLGRAD_TERMS.right  # type: ignore[assignment]
    found = checks.check_fullgrad_terms(lambda *args: [t if n else t**3 for n, t in enumerate(terms(*args))])
    assert found.says.startswith("of the parts the second, third, fourth, fifth and sixth are right, and"), found
    angles: Learner = ANGLES_BY_DEPTH.right  # type: ignore[assignment]
    found = checks.check_angles_by_depth(lambda *args: [a if n else 7 + a / 3 for n, a in enumerate(angles(*args))])
    assert found.says.startswith("of the numbers the second, "), found

    def doubled(correlations: list[float]) -> tuple[float, int]:
        mean, number = SUMMARY.right(correlations)  # type: ignore[misc]
        return 2 * mean, number

    assert checks.check_summary(doubled).says.startswith("of the parts the second is right, and")


def test_a_factor_is_seen_where_one_try_is_nan() -> None:
    right: Learner = SPEARMAN.right  # type: ignore[assignment]
    assert "it is 2 times what it should be" in checks.check_spearman(lambda a, b: 2 * right(a, b)).says
    found = checks.check_gradcam(lambda A, G, h: 2 * gradcam(A, G, h) / (len(A) > 1))
    assert found.key == "not-finite"
    assert "in 1 of 4 tries; in the others, your result is right but for a constant factor" in found.says


def test_single_numbers_are_no_multiples_of_the_right_ones() -> None:
    """Each number is a multiple of each other number: a factor has to be the same in all tries."""
    right: Learner = SPEARMAN.right  # type: ignore[assignment]
    for learner in (lambda a, b: round(right(a, b), 2), lambda a, b: right(a, b) ** 3 + 0.05):
        found = checks.check_spearman(learner)
        assert "factor" not in found.says, found


def test_an_argument_that_is_returned_is_named() -> None:
    found = checks.check_lrp_epsilon_conv(lambda a, w, b, relevance, epsilon: a)
    assert (found.key, found.says) == ("argument-returned", "you returned the argument a as it came")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a, w, b, r: (a, w, b - b.mean(), r), "with b minus its mean"),
        (lambda a, w, b, r: (a, w, b, r.roll(1, 0)), "with relevance of the photo before in place of each photo's own"),
        (lambda a, w, b, r: (a, w.sign(), b, r), "with w replaced by its signs"),
    ],
)
def test_an_answer_that_is_right_for_another_argument_is_named(change: Learner, words: str) -> None:
    right: Learner = LRP_EPSILON_CONV.right  # type: ignore[assignment]
    found = checks.check_lrp_epsilon_conv(lambda a, w, b, r, e: right(*change(a, w, b, r), e))
    assert (found.key, found.says) == ("argument-changed", f"your answer is the right one {words}")


def test_general_words_are_used_where_a_tasks_own_would_say_more_than_is_known() -> None:
    for key in ("batch-mixed", "wrong-sign", "normalized", "first-photo-only"):
        assert general.named(GRADCAM, key) == general.GENERAL[key]
    found = checks.check_gradcam(lambda A, G, h: gradcam(A, G, h).mean(0, keepdim=True).expand(len(A), 4, 6))
    assert found.says == "you mixed the photos of the batch"


@pytest.mark.parametrize(
    ("learner", "key"),
    [
        (lambda A, G, h: gradcam(A, G, h).double() @ A[:, 0].transpose(1, 2), "dtypes"),
        (lambda A, G, h: torch.nn.functional.conv2d(A.double(), torch.ones(1, 5, 1, 1)), "dtypes"),
        (lambda A, G, h: torch.nn.functional.linear(A.double(), torch.ones(6, 6)), "dtypes"),
        (lambda A, G, h: G.transpose(1, 3).view(len(A), -1), "view"),
        (lambda A, G, h: A.gather(1, torch.full((1, 1, 1, 1), 77)), "index"),
        (lambda A, G, h: A[:, 77], "index"),
        (lambda A, G, h: A.index_select(1, torch.tensor([77])), "index"),
        (lambda A, G, h: A[:, :3] * G, "shapes"),
        (lambda A, G, h: A.reshape(7, 11), "shapes"),
        (lambda A, G, h: A @ G, "shapes"),
    ],
)
def test_errors_of_torch_are_told_apart(learner: Learner, key: str) -> None:
    assert checks.check_gradcam(learner).key == key


def test_words_are_listed() -> None:
    assert listed([0.5]) == "0.5"
    assert listed(["a", "b"]) == "a and b"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert [ordinal(n) for n in (0, 9, 10)] == ["first", "tenth", "11th"]
