"""A source's answer becomes one value; invalid points never do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.core.sentence import pack_sentence, say, unpack_sentence
from bot.domain.monitoring.readings import Answer, CheckOutcome, Reading
from bot.domain.monitoring.rules.aggregation import measure
from bot.domain.policy.monitor_config import AGGREGATES, MonitorConfig

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
NAN, INF = math.nan, math.inf


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def rule(aggregate: str | None = None, **more: Any) -> MonitorConfig:
    return MonitorConfig(name="accuracy", source="push", aggregate=aggregate, greater_than=0.8, **more)


def read(points: Sequence[Any], aggregate: str | None = None, *, timeless: bool = False, **more: Any) -> Reading:
    """Return the value of the last hour's points."""
    answer = Answer(points=points, is_timeless=timeless)
    return measure(answer, rule(aggregate, **more), since=NOW - HOUR, until=NOW, now=NOW)


def minutes(*values: Any) -> list[tuple[datetime, Any]]:
    """Return one point per minute, the last one now."""
    return [(ago(minutes=len(values) - 1 - at), value) for at, value in enumerate(values)]


def test_mean_averages_the_window() -> None:
    found = read(minutes(0.5, 0.75, 1.0), "mean")
    assert found == Reading(value=0.75, points=3, fresh=3, newest=NOW)


def test_only_points_after_the_newest_one_seen_are_fresh() -> None:
    answer = Answer(points=minutes(0.5, 0.75, 1.0))
    found = measure(answer, rule(), since=NOW - HOUR, until=NOW, now=NOW, newest_seen=ago(minutes=1))
    assert found.fresh == 1


def test_a_threshold_uses_the_newest_point_in_any_order() -> None:
    assert read(list(reversed(minutes(0.8, 0.9, 0.7)))).value == 0.7


@pytest.mark.parametrize(("how", "value"), [("p50", 5.0), ("p90", 9.0), ("p99", 9.9), ("mean", 5.0), ("last", 10.0)])
def test_each_aggregate_has_its_value(how: str, value: float) -> None:
    assert read(minutes(*range(11)), how).value == pytest.approx(value)


def test_a_rate_is_a_counter_s_growth_per_second() -> None:
    assert read(minutes(0, 60, 180), "rate").value == pytest.approx(1.5)


def test_a_falling_counter_was_reset() -> None:
    assert read(minutes(100, 160, 30), "rate").value == pytest.approx(90 / 120)


def test_a_rate_of_one_reading_is_no_data() -> None:
    found = read(minutes(5.0), "rate")
    assert (found.outcome, str(found.why)) == (CheckOutcome.NO_DATA, "A rate needs two readings, but there's only one.")


def test_the_first_of_two_readings_at_the_same_time_counts() -> None:
    found = read([(NOW, 0.9), (NOW, 0.1), (NOW.astimezone(timezone(HOUR)), 0.2)])
    assert (found.value, found.points) == (0.9, 1)


def test_invalid_points_are_ignored() -> None:
    points = [(NOW, 0.9), *minutes(NAN, INF, "0.5", None, True)[:-1], (ago(hours=2), 0.1), (NOW + HOUR, 0.2)]
    found = read(points, "mean")
    assert (found.value, found.points) == (0.9, 1)


@pytest.mark.parametrize(
    ("points", "why"),
    [
        ([], "No readings."),
        (minutes(NAN), "No usable readings: 1 NaN or infinite."),
        (minutes(INF, -INF, 10**400), "No usable readings: 3 NaN or infinite."),
        (minutes("0.9", None, True, [1]), "No usable readings: 4 not a number."),
        ([(NOW + timedelta(seconds=61), 0.9)], "No usable readings: 1 in the future."),
        ([(NOW - HOUR, 0.9)], "No usable readings: 1 before the time range."),
        ([(NOW.replace(tzinfo=None), 0.9)], "No usable readings: 1 without a timestamp and time zone."),
        ([("today", 0.9)], "No usable readings: 1 without a timestamp and time zone."),
        (
            [*minutes(NAN, NAN), (NOW + HOUR, 0.9)],
            "No usable readings: 2 NaN or infinite, 1 in the future.",
        ),
        ([(ago(minutes=11), 0.9)], "The newest reading is too old: 2026-05-04 11:49 UTC."),
    ],
)
def test_no_data_says_why(points: list[Any], why: str) -> None:
    found = read(points)
    assert (found.outcome, str(found.why), found.points) == (CheckOutcome.NO_DATA, why, 0)
    assert math.isnan(found.value)
    assert found.why is not None
    assert str(unpack_sentence(pack_sentence(found.why))) == why


def test_a_minute_of_clock_skew_is_tolerated() -> None:
    assert read([(NOW + timedelta(seconds=60), 0.9)]).value == 0.9


def test_points_after_a_delayed_window_wait_for_their_own() -> None:
    answer = Answer(points=[(ago(minutes=30), 0.5), (ago(minutes=65), 0.9)])
    found = measure(answer, rule(), since=ago(hours=2), until=ago(hours=1), now=NOW)
    assert (found.value, found.points) == (0.9, 1)


@pytest.mark.parametrize("at", [ago(days=400), NOW + HOUR])
def test_timeless_points_always_count(at: datetime) -> None:
    assert read([(at, 0.9)], timeless=True).value == 0.9


@pytest.mark.parametrize("value", [np.float32(0.5), np.int64(1), 0, -0.0])
def test_every_type_of_number_is_accepted(value: Any) -> None:
    assert read([(NOW, value)]).outcome is CheckOutcome.OK


@pytest.mark.parametrize("how", ["mean", "rate", "p75"])
def test_numbers_too_large_to_compute_with_are_no_data(how: str) -> None:
    found = read(minutes(-1.7e308, 1.7e308, 1.7e308), how)
    assert found.outcome is CheckOutcome.NO_DATA or math.isfinite(found.value)
    assert read(minutes(1.7e308, 1.7e308), "mean").outcome is CheckOutcome.NO_DATA


@pytest.mark.parametrize("outcome", [CheckOutcome.ERROR, CheckOutcome.NO_DATA])
def test_a_failed_answer_keeps_its_outcome(outcome: CheckOutcome) -> None:
    answer = Answer(points=[(NOW, 0.9)], outcome=outcome, why=say("It is down."))
    found = measure(answer, rule(), since=NOW - HOUR, until=NOW, now=NOW)
    assert (found.outcome, str(found.why)) == (outcome, "It is down.")
    assert math.isnan(found.value)


zones = st.timezones() | st.just(UTC) | st.none()
times = st.datetimes(timezones=zones) | st.datetimes(NOW.replace(tzinfo=None) - 2 * HOUR, timezones=st.just(UTC))
near = st.floats(-7200, 120).map(lambda seconds: NOW + timedelta(seconds=seconds))
values = st.floats() | st.integers() | st.booleans() | st.none() | st.text() | st.decimals() | st.fractions()


# -- counts: k of n ----------------------------------------------------------------------------------------------------


def counts(*pairs: tuple[Any, Any]) -> list[tuple[datetime, Any, Any]]:
    """Return one count per minute, the last one now."""
    return [(at, *pair) for at, pair in minutes(*pairs)]


def test_counts_are_added_up() -> None:
    found = read(counts((1, 2), (0, 8)), "mean")
    assert found == Reading(value=0.1, total=10, points=2, fresh=2, newest=NOW)


def test_a_threshold_uses_the_newest_count() -> None:
    found = read(counts((1, 2), (0, 8)))
    assert (found.value, found.total, found.points) == (0.0, 8, 2)


def test_an_empty_count_is_not_the_newest() -> None:
    found = read(counts((9, 10), (0, 0)))
    assert (found.value, found.total, found.newest) == (0.9, 10, ago(minutes=1))


def test_a_count_can_be_fractional() -> None:
    assert read(counts((0.75, 1.5))).value == 0.5


def test_rounding_never_makes_a_proportion_exceed_1() -> None:
    found = read(counts((100 * (1 + 1e-12), 100)))
    assert (found.value, found.total) == (1.0, 100)


@pytest.mark.parametrize(
    ("points", "why"),
    [
        (counts((0, 0)), "Nothing was counted: 0 of 0."),
        (counts((0, 0), (0, 0.0), (NAN, 1)), "Nothing was counted: 0 of 0."),
        (counts((-1, 5)), "No usable readings: 1 not between 0 and the total."),
        (counts((6, 5), (1, 0), (0, -1)), "No usable readings: 3 not between 0 and the total."),
        (counts((1, INF), (NAN, 1), (1, NAN)), "No usable readings: 3 NaN or infinite."),
        (counts((1, None), ("1", 2), (True, 2)), "No usable readings: 3 not a number."),
        ([(ago(hours=2), 1, 2)], "No usable readings: 1 before the time range."),
        ([(NOW,)], "No usable readings: 1 not a number."),
    ],
    ids=["0 of 0", "more of those", "below 0", "more than all", "NaN or infinite", "no numbers", "too old", "nothing"],
)
def test_invalid_counts_say_why(points: list[Any], why: str) -> None:
    found = read(points, "mean")
    assert (found.outcome, str(found.why), found.points, found.total) == (CheckOutcome.NO_DATA, why, 0, None)


def test_a_plain_value_among_counts_is_ignored() -> None:
    found = read([*counts((9, 10)), (ago(minutes=1), 0.1)], "mean")
    assert (found.value, found.total, found.points) == (0.9, 10, 1)


def test_a_plain_value_is_no_data_if_the_rule_needs_counts() -> None:
    found = read(minutes(0.5, 0.9), "mean", of="predictions")
    assert (found.outcome, str(found.why)) == (
        CheckOutcome.NO_DATA,
        "No usable readings: 2 without a total.",
    )


@pytest.mark.parametrize("how", ["rate", "p95"])
def test_other_aggregates_of_counts_are_an_error(how: str) -> None:
    found = read(counts((9, 10)), how)
    assert (found.outcome, str(found.why)) == (
        CheckOutcome.ERROR,
        f"Can't compute the {how} of counts. Use mean or last.",
    )


@given(
    figures=st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)).map(sorted), min_size=1, max_size=30),
    how=st.sampled_from(["mean", "last"]),
)
def test_the_value_of_counts_is_a_proportion_of_their_total(figures: list[list[float]], how: str) -> None:
    found = read(counts(*((low, high) for low, high in figures)), how)
    if found.outcome is CheckOutcome.NO_DATA:
        assert not any(high for _, high in figures)
        return
    assert found.total is not None
    assert 0 <= found.value <= 1
    assert 0 < found.total <= sum(high for _, high in figures) * (1 + 1e-9)


figures = values | st.floats(0, 1)
in_time = times | near | st.none()


@given(
    points=st.lists(st.tuples(in_time, figures) | st.tuples(in_time, figures, figures), max_size=30),
    how=st.sampled_from(AGGREGATES),
    timeless=st.booleans(),
)
def test_an_ok_always_has_a_finite_value(points: list[Any], how: str, timeless: bool) -> None:
    found = read(points, how, timeless=timeless)
    assert (found.outcome is CheckOutcome.OK) == math.isfinite(found.value)
    assert (found.outcome is CheckOutcome.OK) == (found.points > 0)
    assert (found.why is None) == (found.outcome is CheckOutcome.OK)


@given(figures=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), how=st.sampled_from(["mean", "p50", "p99"]))
def test_a_value_is_between_the_lowest_and_highest_reading(figures: list[float], how: str) -> None:
    points = [(ago(seconds=at), figure) for at, figure in enumerate(figures)]
    value = read(points, how).value
    slack = 1e-9 * max(1, *map(abs, figures))
    assert min(figures) - slack <= value <= max(figures) + slack
    assert read(points[::-1], how).value == value
