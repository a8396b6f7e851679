"""Monitors that could never give a verdict are refused with the reason and a suggestion."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bot.domain.monitoring.rules import baselines
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.policy.monitor_validation import (
    MAX_BASELINE_DAYS,
    MIN_BASELINE_WINDOWS,
    MIN_DAY_COVERAGE,
    find_config_problem,
    nearest_windows,
)

DAY = timedelta(days=1)
MINUTES = st.integers(min_value=1, max_value=10 * 24 * 60).map(lambda minutes: timedelta(minutes=minutes))


def a_rule(**fields: Any) -> MonitorConfig:
    return MonitorConfig.model_validate({"name": "accuracy", "source": "push", "rule": "blocks"} | fields)


def said(**fields: Any) -> tuple[str, str]:
    """Return the invalid field and the sentence about it."""
    found = find_config_problem(a_rule(**fields))
    assert found is not None
    return found.field, str(found.reason)


@pytest.mark.parametrize("window", ["5m", "30m", "50m", "1h", "6h", "8h", "12h", "22h", "1d", "2d", "3d", "90h", "4d"])
def test_windows_that_cover_most_of_a_day_are_accepted(window: str) -> None:
    assert find_config_problem(a_rule(window=window)) is None


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"window": "5d"},
            "A baseline covers at most 21d. A window of 5d fits 4 times, but must fit 5 times; use at most 4d.",
        ),
        (
            {"window": "97h"},
            "A baseline covers at most 21d. A window of 4d 1h fits 4 times, but must fit 5 times; use at most 4d.",
        ),
        (
            {"window": "20d"},
            "A baseline covers at most 21d. A window of 20d fits 1 time, but must fit 5 times; use at most 4d.",
        ),
        (
            {"window": "30d"},
            "A baseline covers at most 21d. A window of 30d fits 0 times, but must fit 5 times; use at most 4d.",
        ),
        (
            {"window": "5h", "history": "7h", "every": "1m"},
            "A baseline covers at most 21h. A window of 5h fits 4 times, but must fit 5 times; use at most 4h.",
        ),
    ],
)
def test_a_window_that_fits_a_baseline_too_few_times_is_refused(fields: dict[str, Any], sentence: str) -> None:
    assert said(**fields) == ("window", sentence)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"window": "7h"}, "A window of 7h fits 3 times into 1d, so 3h would never be checked. Use 6h or 8h."),
        (
            {"window": "5h"},
            "A window of 5h fits 4 times into 1d, so 4h would never be checked. Use 4h 48m or 6h.",
        ),
        ({"window": "13h"}, "A window of 13h fits 1 time into 1d, so 11h would never be checked. Use 12h or 1d."),
        (
            {"window": "36h"},
            "A window of 1d 12h fits 1 time into 2d, so 12h would never be checked. Use 1d or 2d.",
        ),
        (
            {"window": "7h", "every": "6h30m"},
            "A window of 7h fits 3 times into 1d, so 3h would never be checked. Use 8h.",
        ),
        (
            {"window": "25m", "history": "7h"},
            "A window of 25m fits 2 times into 1h, so 10m would never be checked. Use 20m or 30m.",
        ),
    ],
)
def test_windows_that_leave_too_much_of_the_day_unchecked_are_refused(fields: dict[str, Any], sentence: str) -> None:
    assert said(**fields) == ("window", sentence)


def test_a_window_shorter_than_the_time_between_checks_is_refused() -> None:
    field, sentence = said(window="5m", every="10m")
    assert field == "window"
    assert sentence == (
        "A window of 5m is shorter than the 10m between checks, so most windows would have no reading. "
        "Use at least 10m."
    )
    assert find_config_problem(a_rule(window="10m", every="10m")) is None


@pytest.mark.parametrize("rule", ["blocks", "sequential"])
def test_checks_that_are_too_far_apart_for_a_baseline_are_refused(rule: str) -> None:
    field, sentence = said(rule=rule, every="5d")
    assert field == "every"
    assert sentence == (
        "A baseline covers at most 21d. One check every 5d gives 4 readings, but 5 are needed; check at least every 4d."
    )
    assert said(rule=rule, every="1h", history="1h")[0] == "every"
    assert find_config_problem(a_rule(rule=rule, every="4d", window="4d")) is None


@pytest.mark.parametrize("rule", ["blocks", "sequential"])
def test_a_fraction_of_the_error_is_refused_if_lower_is_better(rule: str) -> None:
    field, sentence = said(rule=rule, query="log_loss", direction="lower", min_effect="10% of error")
    assert field == "min_effect"
    assert sentence == "Lower is better for log_loss, so a plain percentage is already relative to the error. Use 10%."
    assert find_config_problem(a_rule(rule=rule, direction="higher", min_effect="10% of error")) is None
    assert find_config_problem(a_rule(rule=rule, direction="lower", min_effect="10%")) is None


@pytest.mark.parametrize("fields", [{"window": "5d"}, {"window": "7h"}, {"window": "1m"}, {"every": "30d"}])
def test_a_threshold_needs_no_baseline(fields: dict[str, Any]) -> None:
    assert find_config_problem(a_rule(rule="threshold", greater_than=0.9, aggregate="mean", **fields)) is None


@pytest.mark.parametrize("window", ["5d", "7h", "1m"])
def test_the_sequential_rule_has_no_windows(window: str) -> None:
    assert find_config_problem(a_rule(rule="sequential", window=window)) is None


@pytest.mark.parametrize("fields", [{"window": "5d"}, {"window": "7h"}, {"window": "1m"}, {"every": "5d"}])
def test_a_stored_rule_that_would_now_be_refused_still_loads(fields: dict[str, Any]) -> None:
    rule = a_rule(**fields)
    assert find_config_problem(rule) is not None
    assert MonitorConfig.model_validate_json(rule.model_dump_json()) == rule


@given(window=MINUTES, history=st.sampled_from(["7d", "10d", "14d", "7h", "1d"]))
def test_suggested_windows_are_accepted(window: timedelta, history: str) -> None:
    rule = a_rule(window=window, history=history, every="10s")
    found, day = find_config_problem(rule), rule.baseline_day
    assume(found is not None and "never be checked" in str(found.reason))
    shorter, longer = nearest_windows(window, day)
    assert shorter < window < longer
    assert [find_config_problem(rule.model_copy(update={"window": one})) for one in (shorter, longer)] == [None, None]


@given(window=MINUTES)
def test_accepted_windows_cover_most_of_a_day(window: timedelta) -> None:
    assume(find_config_problem(a_rule(window=window, every="10s")) is None)
    period = next(days * DAY for days in range(1, 5) if days * DAY >= window)
    assert period // window * window >= MIN_DAY_COVERAGE * period


def test_the_limits_match_those_of_the_rules() -> None:
    assert (MAX_BASELINE_DAYS, MIN_BASELINE_WINDOWS) == (baselines.MAX_DAYS, baselines.MIN_DAYS)
    for history in ("7h", "7d", "14d"):
        rule = a_rule(history=history)
        assert rule.baseline_day.total_seconds() == baselines.day_length(rule.history.total_seconds())


@pytest.mark.parametrize("rule", ["blocks", "sequential"])
def test_a_baseline_longer_than_the_retention_of_checks_is_refused(rule: str) -> None:
    found = find_config_problem(a_rule(rule=rule, history="40d"))
    assert found is not None
    assert (found.field, str(found.reason)) == (
        "history",
        "Checks are kept for 35d, so a baseline can't cover 40d. Use at most 35d.",
    )
    assert find_config_problem(a_rule(rule=rule, history="35d")) is None


def test_a_longer_history_has_whole_days() -> None:
    assert find_config_problem(a_rule(history="14d", window="4d")) is None
    assert find_config_problem(a_rule(history="14d", window="5d")) is not None
