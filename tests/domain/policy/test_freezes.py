"""Freezes by people and by the policy's windows: when no version can enter or leave Production."""

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


def test_a_freeze_applies_only_to_its_model() -> None:
    assert FREEZE.applies_to("churn", NOW)
    assert not FREEZE.applies_to("fraud", NOW)


def test_a_freeze_of_all_models_applies_to_each() -> None:
    assert replace(FREEZE, model=None).applies_to("fraud", NOW)


def test_a_freeze_ends_exactly_at_its_end_time() -> None:
    ending = replace(FREEZE, until=NOW + HOUR)
    assert ending.is_active(NOW + HOUR - timedelta(microseconds=1))
    assert not ending.is_active(NOW + HOUR)
    assert not ending.is_active(NOW + 2 * HOUR)


def test_the_unfreeze_command_in_the_message_can_be_typed() -> None:
    assert (unfreeze_command("churn"), unfreeze_command(None)) == ("/model unfreeze churn", "/model unfreeze --all")


def test_a_lifted_freeze_no_longer_applies() -> None:
    assert not replace(FREEZE, lifted_at=NOW).is_active(NOW)


def test_a_freeze_says_who_why_and_until_when() -> None:
    found = active_freeze("churn", [FREEZE], NO_WINDOWS, NOW)
    assert found is not None
    assert str(found.description) == "@U1 froze Production for “churn” until further notice: audit."
    assert found.until is None


def test_the_longest_of_several_freezes_is_reported() -> None:
    short, long = (replace(FREEZE, id=str(n), until=NOW + n * HOUR) for n in (1, 2))
    for freezes in ([short, long], [long, short]):
        found = active_freeze("churn", freezes, NO_WINDOWS, NOW)
        assert found is not None
        assert found.until == NOW + 2 * HOUR
    endless = active_freeze("churn", [long, FREEZE, short], NO_WINDOWS, NOW)
    assert endless is not None
    assert endless.until is None


def test_without_a_freeze_or_window_nothing_is_frozen() -> None:
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
    assert str(found.description) == "The policy freezes Production for “churn” until 2026-05-04 06:00 UTC: weekend."


def test_windows_of_a_pattern_and_of_all_models_both_apply() -> None:
    models = {"churn*": {"freeze": [{"cron": "0 12 * * *", "for": "1h"}]}, "*": {}}
    policy = validate_policy({"models": models})
    assert active_freeze("churn", [], policy, NOW)
    assert active_freeze("fraud", [], policy, NOW) is None


def test_a_window_across_a_daylight_saving_change_keeps_its_length() -> None:
    start = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # 1:30 in Berlin, half an hour before the clocks go forward
    assert cron_window_at("30 1 * * *", timedelta(hours=2), "Europe/Berlin", start + HOUR) == (start, start + 2 * HOUR)


def test_of_overlapping_windows_the_latest_end_is_reported() -> None:
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
def test_weekdays_are_numbered_as_in_cron(weekday: str, days: str) -> None:
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
def test_an_invalid_cron_expression_or_zone_is_refused(cron: str, zone: str) -> None:
    with pytest.raises(ValueError, match=r"can't read|isn't a time zone|isn't a cron expression"):
        check_cron(cron, zone)


def test_an_invalid_window_in_the_policy_is_refused_with_its_path() -> None:
    with pytest.raises(Misconfigured, match=r"freeze\.0: .*isn't a time zone"):
        weekends(zone="Mars/Olympus")
