"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.core.numbers import format_difference, format_number
from tests.support.domain.comparisons import NAN


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.020999999999999908, "0.021"),
        (0.1 + 0.2, "0.3"),
        (0.91234567, "0.9123"),
        (42.0, "42"),
        (0.0, "0"),
        (-0.0, "0"),
        (12345.678, "12,346"),
        (9999.6, "10,000"),
        (999.96, "1,000"),
        (1234567890.0, "1,234,567,890"),
        (0.0001, "0.0001"),
        (0.00001234567, "1.235e-5"),
        (1.5e-300, "1.5e-300"),
        (2.5e15, "2.5e15"),
        (NAN, "–"),
        (math.inf, "∞"),
        (-math.inf, "-∞"),
        (-0.5, "-0.5"),
        (1.7e308, "1.7e308"),
        (5e-324, "4.941e-324"),
    ],
)
def test_a_number_is_formatted_for_people(value: float, expected: str) -> None:
    assert format_number(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(0.021, "+0.021"), (-4.0, "-4"), (0.0, "0"), (NAN, "–")])
def test_a_difference_has_its_sign(value: float, expected: str) -> None:
    assert format_difference(value) == expected


@given(st.floats(-1e307, 1e307))
def test_a_formatted_number_is_the_value_in_four_digits(value: float) -> None:
    assert float(format_number(value).replace(",", "")) == pytest.approx(value, rel=5.1e-4, abs=0)
