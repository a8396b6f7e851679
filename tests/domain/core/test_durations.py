"""Durations as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.core.durations import format_duration, parse_duration, serialize_duration


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("24h", timedelta(hours=24)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
        ("1h30m", timedelta(minutes=90)),
        (" 1H 30M ", timedelta(minutes=90)),
    ],
)
def test_a_duration_is_parsed(text: str, span: timedelta) -> None:
    assert parse_duration(text) == span


@pytest.mark.parametrize("text", ["", "soon", "24", "24 hours", "-1h", "1.5h", "h", "1h and a bit", "1y", None, 24])
def test_an_invalid_duration_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValueError, match="such as 30m"):
        parse_duration(text)


def test_a_duration_that_overflows_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter duration"):
        parse_duration("9999999999999w")


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0s"), (45, "45s"), (5400, "1h 30m"), (604_800, "7d"), (90_061, "1d 1h"), (-5, "0s")]
)
def test_a_duration_is_shown_in_its_two_largest_units(seconds: int, shown: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == shown


@given(st.integers(min_value=0, max_value=10**10))
def test_a_serialized_duration_is_parsed_back(seconds: int) -> None:
    span = timedelta(seconds=seconds)
    assert parse_duration(serialize_duration(span)) == span
