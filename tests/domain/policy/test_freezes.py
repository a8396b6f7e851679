"""Freezes and the windows of the policy: when nothing moves in Production."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.core.actors import Person
from bot.domain.core.cron_windows import check_cron, cron_window_at
from bot.domain.core.errors import Misconfigured
from bot.domain.policy.freezes import Freeze, active_freeze, unfreeze_command
from bot.domain.policy.parser import validate_policy
from bot.domain.policy.policy import Policy

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)  # a Monday
HOUR = timedelta(hours=1)
FREEZE = Freeze(id="f1", model="churn", by=Person("T1", "U1"), reason="audit", at=NOW)
NO_WINDOWS = validate_policy({"models": {}})


def weekends(**more: object) -> Policy:
    window = {"cron": "0 18 * * 5", "for": "62h", "zone": "Europe/Berlin", "reason": "weekend"} | more
    return validate_policy({"models": {"*": {}}, "freeze": [window]})


# -- by people ---------------------------------------------------------------------------------------------------------


def test_a_freeze_holds_for_its_model_and_no_other() -> None:
    assert FREEZE.applies_to("churn", NOW)
    assert not FREEZE.applies_to("fraud", NOW)


def test_a_freeze_of_every_model_holds_for_each() -> None:
    assert replace(FREEZE, model=None).applies_to("fraud", NOW)


def test_a_freeze_is_over_at_its_end_and_not_before() -> None:
    ending = replace(FREEZE, until=NOW + HOUR)
    assert ending.is_active(NOW + HOUR - timedelta(microseconds=1))
    assert not ending.is_active(NOW + HOUR)
    assert not ending.is_active(NOW + 2 * HOUR)


def test_how_a_freeze_is_lifted_is_typed_as_it_is_told() -> None:
    assert (unfreeze_command("churn"), unfreeze_command(None)) == ("/model unfreeze churn", "/model unfreeze --all")


def test_a_freeze_that_was_lifted_holds_no_more() -> None:
    assert not replace(FREEZE, lifted_at=NOW).is_active(NOW)


def test_what_is_frozen_says_by_whom_why_and_until_when() -> None:
    found = active_freeze("churn", [FREEZE], NO_WINDOWS, NOW)
    assert found is not None
    assert str(found.description) == "Production of “churn” is frozen by @U1, until somebody lifts it: audit."
    assert found.until is None


def test_of_several_that_which_lasts_longest_is_told() -> None:
    short, long = (replace(FREEZE, id=str(n), until=NOW + n * HOUR) for n in (1, 2))
    for freezes in ([short, long], [long, short]):
        found = active_freeze("churn", freezes, NO_WINDOWS, NOW)
        assert found is not None
        assert found.until == NOW + 2 * HOUR
    endless = active_freeze("churn", [long, FREEZE, short], NO_WINDOWS, NOW)
    assert endless is not None
    assert endless.until is None


def test_where_nothing_holds_nothing_is_frozen() -> None:
    assert active_freeze("churn", [replace(FREEZE, until=NOW)], NO_WINDOWS, NOW) is None


# -- by the policy -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        (datetime(2026, 5, 1, 15, 59, 59, tzinfo=UTC), False),  # Friday, 17:59:59 in Berlin
        (datetime(2026, 5, 1, 16, tzinfo=UTC), True),
        (datetime(2026, 5, 3, 12, tzinfo=UTC), True),
        (datetime(2026, 5, 4, 5, 59, 59, tzinfo=UTC), True),
        (datetime(2026, 5, 4, 6, tzinfo=UTC), False),  # Monday, 8:00 in Berlin
    ],
    ids=str,
)
def test_a_weekend_in_berlin_is_frozen(when: datetime, holds: bool) -> None:
    assert (active_freeze("churn", [], weekends(), when) is not None) is holds


def test_a_window_says_until_when_and_why() -> None:
    found = active_freeze("churn", [], weekends(), datetime(2026, 5, 2, tzinfo=UTC))
    assert found is not None
    assert str(found.description) == "The policy freezes Production of “churn” until 2026-05-04 06:00 UTC: weekend."


def test_a_pattern_s_own_windows_hold_beside_those_of_all() -> None:
    models = {"churn*": {"freeze": [{"cron": "0 12 * * *", "for": "1h"}]}, "*": {}}
    policy = validate_policy({"models": models})
    assert active_freeze("churn", [], policy, NOW)
    assert active_freeze("fraud", [], policy, NOW) is None


def test_a_window_over_the_change_to_summer_time_lasts_as_long() -> None:
    start = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # 1:30 in Berlin, half an hour before the clocks go forward
    assert cron_window_at("30 1 * * *", timedelta(hours=2), "Europe/Berlin", start + HOUR) == (start, start + 2 * HOUR)


def test_of_windows_that_overlap_the_latest_is_told() -> None:
    span = cron_window_at("0 * * * *", timedelta(hours=3), "UTC", NOW)
    assert span == (NOW, NOW + timedelta(hours=3))


@pytest.mark.parametrize(
    ("weekday", "days"),
    [
        ("0", "6"),
        ("7", "6"),
        ("1", "0"),
        ("0/2", "6135"),
        ("1-5", "01234"),
        ("5-1", "4560"),
        ("*/2", "6135"),
        ("mon,WED", "02"),
        ("sat-sun", "56"),
        ("1/2", "024"),
        ("*", "0123456"),
    ],
)
def test_weekdays_are_cron_s(weekday: str, days: str) -> None:
    monday = datetime(2026, 5, 4, 12, tzinfo=UTC)
    held = [day for day in range(7) if cron_window_at(f"0 12 * * {weekday}", HOUR, "UTC", monday + timedelta(days=day))]
    assert held == sorted(int(day) for day in days)


@pytest.mark.parametrize(
    ("cron", "zone"),
    [
        ("0 18 * *", "UTC"),
        ("61 * * * *", "UTC"),
        ("0 0 * * 8", "UTC"),
        ("0 0 * * someday", "UTC"),
        ("", "UTC"),
        ("0 0 * * *", "Europe/Berln"),
        ("0 0 * * *", ""),
    ],
)
def test_what_cannot_be_reckoned_is_refused(cron: str, zone: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be read|no time zone|no cron expression"):
        check_cron(cron, zone)


def test_a_policy_with_a_window_that_cannot_be_reckoned_is_refused_with_its_path() -> None:
    with pytest.raises(Misconfigured, match=r"freeze\.0: .*no time zone"):
        weekends(zone="Mars/Olympus")
