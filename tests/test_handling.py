"""The switch: what each handling keeps, for any numbers whatever."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import posgrad_edu as pg
from posgrad_edu.handling import ABSOLUTE, HANDLINGS, NEGATIVE, POSITIVE, SIGNED, Handling, get_handling

settings.register_profile("quiet", deadline=None, max_examples=60)
settings.load_profile("quiet")

shapes = st.lists(st.integers(0, 4), min_size=0, max_size=4)
dtypes = st.sampled_from([torch.float16, torch.float32, torch.float64])


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """Tensors of any shape and float type, with zeros, infinities and very large and small values among them."""
    shape, dtype = draw(shapes), draw(dtypes)
    count = int(torch.Size(shape).numel())
    numbers = draw(st.lists(st.floats(allow_nan=False, width=16), min_size=count, max_size=count))
    return torch.tensor(numbers, dtype=dtype).reshape(shape)


any_handling = st.sampled_from(list(HANDLINGS.values()))


@given(tensors())
def test_positive_and_negative_add_up_to_signed(t: Tensor) -> None:
    assert torch.equal(POSITIVE(t) + NEGATIVE(t), SIGNED(t))


@given(tensors())
def test_positive_minus_negative_is_absolute(t: Tensor) -> None:
    assert torch.equal(POSITIVE(t) - NEGATIVE(t), ABSOLUTE(t))


@given(tensors())
def test_each_keeps_what_its_name_says(t: Tensor) -> None:
    kept = [handling(t).flatten().tolist() for handling in (SIGNED, POSITIVE, NEGATIVE, ABSOLUTE)]
    for value, s, p, n, a in zip(t.flatten().tolist(), *kept, strict=True):
        assert s == value
        assert p == (value if value > 0 else 0)
        assert n == (value if value < 0 else 0)
        assert a == (value if value > 0 else -value)


@given(tensors(), any_handling)
def test_a_second_time_changes_nothing(t: Tensor, handling: Handling) -> None:
    assert torch.equal(handling(handling(t)), handling(t))


@given(tensors(), any_handling, st.integers(-6, 6))
def test_scales_with_its_input(t: Tensor, handling: Handling, power: int) -> None:
    c, t = 2.0**power, t.double()  # a power of two: no rounding
    assert torch.equal(handling(c * t), c * handling(t))


@given(tensors(), any_handling)
def test_keeps_shape_and_type_and_leaves_its_input_alone(t: Tensor, handling: Handling) -> None:
    before = t.clone()
    kept = handling(t)
    assert (kept.shape, kept.dtype, kept.device) == (t.shape, t.dtype, t.device)
    assert torch.equal(t, before)


def test_names() -> None:
    assert list(HANDLINGS) == ["signed", "positive", "negative", "absolute"] == [str(h) for h in HANDLINGS.values()]
    for name, handling in HANDLINGS.items():
        assert get_handling(name) is handling
        assert get_handling(handling) is handling
    assert tuple(HANDLINGS.values()) == (pg.SIGNED, pg.POSITIVE, pg.NEGATIVE, pg.ABSOLUTE)


def test_a_handling_of_ones_own_is_returned_as_it_is_and_works_in_a_method() -> None:
    squared_sign = Handling("sign", torch.sign)
    assert get_handling(squared_sign) is squared_sign
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2)).eval()
    x = torch.randn(1, 3, 2, 2)
    ours = pg.explain(net, x, 1, "gradient", squared_sign)
    assert torch.equal(ours, pg.explain(net, x, 1, "gradient").sign())


@pytest.mark.parametrize(
    ("wrong", "near"), [("postive", "positive"), ("Negativ", "negative"), ("SIGNED", "signed"), ("absolut", "absolute")]
)
def test_a_misspelt_name_is_refused_with_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"There is no handling '{wrong}'. Did you mean '{near}'"):
        get_handling(wrong)


def test_a_name_like_no_other_is_refused_with_all_there_are() -> None:
    with pytest.raises(ValueError, match=r"no handling 'xyz'\. There are: signed, positive, negative, absolute"):
        get_handling("xyz")
