"""A fixed bound: what fails, and what gives no verdict."""

from __future__ import annotations

import math

import pytest

from bot.domain.monitoring.rules.threshold import judge_threshold
from tests.support.domain.rules import NAN


@pytest.mark.parametrize(("value", "is_worse"), [(0.86, False), (0.85, True), (0.84, True)])
def test_a_value_must_be_greater(value: float, is_worse: bool) -> None:
    assert judge_threshold(value, greater_than=0.85).is_worse is is_worse


@pytest.mark.parametrize(("value", "is_worse", "bound"), [(1, True, 1), (2, False, 1), (8, False, 9), (9, True, 9)])
def test_a_value_must_be_between_two_bounds(value: float, is_worse: bool, bound: float) -> None:
    found = judge_threshold(value, greater_than=1, less_than=9)
    assert (found.is_worse, found.bound) == (is_worse, bound)


def test_a_threshold_explains_its_verdict() -> None:
    assert str(judge_threshold(0.85, greater_than=0.85).why) == "0.85 isn't greater than 0.85."
    assert str(judge_threshold(120, less_than=200).why) == "120 is less than 200."
    assert math.isnan(judge_threshold(1, less_than=2).baseline_value)


@pytest.mark.parametrize("value", [NAN, math.inf, -math.inf])
def test_an_invalid_value_gives_no_verdict(value: float) -> None:
    assert judge_threshold(value, greater_than=0).is_worse is None


@pytest.mark.parametrize(
    "bounds", [{}, {"greater_than": 2, "less_than": 1}, {"greater_than": 1, "less_than": 1}, {"less_than": NAN}]
)
def test_a_threshold_needs_satisfiable_bounds(bounds: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="greater_than"):
        judge_threshold(1, **bounds)
