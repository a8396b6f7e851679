"""Which version was in Production at a time, on a day, or before Registrar started."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from bot.domain.commands.parser import load_command, parse_command
from bot.domain.commands.rollbacks import ShowHistory
from bot.domain.core.actors import MONITOR_AUTOMATION, Person
from bot.domain.core.errors import BadInput
from bot.domain.core.relative_time import RelativeDay
from bot.domain.registry.model import Stage
from bot.domain.rollbacks.history import (
    ProductionChange,
    Timeline,
    TimeWindow,
    periods_in_window,
    production_changes,
    production_gaps,
    resolve_window,
)
from bot.domain.rollbacks.history_messages import describe_entry, describe_period, describe_production_at
from bot.domain.rollbacks.rollback_targets import BEFORE_REGISTRAR, ServingPeriod, period_at, serving_periods
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
BOB = Person("T1", "UBOB")


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


def move(version: int, when: datetime, kind: TransitionKind = TransitionKind.PROMOTION, **changes: Any) -> Transition:
    fields: dict[str, Any] = {
        "id": f"m{when.isoformat()}",
        "model": "churn",
        "from_stage": Stage.STAGING,
        "target": Stage.PRODUCTION,
        "expected_incumbent": None,
        "actor": BOB,
        "intended_at": when,
        "finished_at": when,
        "state": TransitionState.DONE,
    }
    return Transition(**(fields | {"version": version, "kind": kind} | changes))


def left(version: int, when: datetime) -> Transition:
    return move(version, when, TransitionKind.OBSERVED, from_stage=Stage.PRODUCTION, target=Stage.ARCHIVED)


# v3 served on March 1. v4 followed on the 3rd at 14:00, then v5 at 15:00, rolled back at 15:30. On the 6th, nothing
# served from 10:00 to 11:00, when v6 followed.
STORY = serving_periods(
    [
        move(6, at(6, 11)),
        left(4, at(6, 10)),
        move(
            4,
            at(3, 15, 30),
            TransitionKind.ROLLBACK,
            expected_incumbent=5,
            actor=MONITOR_AUTOMATION,
            reason="accuracy 0.7",
        ),
        move(5, at(3, 15)),
        move(4, at(3, 14), expected_incumbent=3),
        move(3, at(1, 9), TransitionKind.OBSERVED, why=BEFORE_REGISTRAR),
    ]
)


def asked(when: Any, story: Sequence[ServingPeriod] = STORY, watched: datetime | None = None) -> str:
    """Return the answer to `--at`, in plain words."""
    meant = resolve_window(when, NOW)
    first = min([one.since for one in story] + ([watched] if watched else []), default=None)
    end = meant.end or meant.start
    return str(
        describe_production_at(
            Timeline(
                model="churn",
                periods=periods_in_window(story, meant),
                now=NOW,
                watched_since=first,
                requests={},
                window=meant,
                before=next((one for one in story if one.since <= meant.start), None),
                after=next((one for one in reversed(story) if one.since > end), None),
            )
        )
    )


# -- times -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "version"),
    [
        (at(1, 8, 59), None),
        (at(1, 9), 3),
        (at(3, 13, 59), 3),
        (at(3, 14), 4),
        (at(3, 15), 5),
        (at(3, 15, 30), 4),
        (at(6, 9, 59), 4),
        (at(6, 10), None),
        (at(6, 11), 6),
        (NOW, 6),
    ],
)
def test_the_version_at_a_time_is_found(when: datetime, version: int | None) -> None:
    found = period_at(STORY, when)
    assert (found.version if found else None) == version


@pytest.mark.parametrize(
    ("when", "said"),
    [
        (at(3, 14, 30), "v4 of “churn” was in Production at 2026-03-03 14:30 UTC."),
        (
            datetime(2026, 3, 3, 16, 30, tzinfo=timezone(timedelta(hours=2))),
            "v4 of “churn” was in Production at 2026-03-03 14:30 UTC.",
        ),
        (timedelta(hours=2), "v6 of “churn” was in Production at 2026-03-10 10:00 UTC."),
        (
            at(6, 10, 30),
            "No version of “churn” was in Production at 2026-03-06 10:30 UTC. v4 was there until "
            "2026-03-06 10:00 UTC. v6 entered Production at 2026-03-06 11:00 UTC.",
        ),
        (
            at(1, 8),
            "No record: Registrar has been watching “churn” only since 2026-03-01 09:00 UTC. "
            "v3 was already in Production then.",
        ),
    ],
)
def test_a_time_has_an_answer(when: Any, said: str) -> None:
    assert asked(when) == said


def test_before_a_model_s_first_version_nothing_served() -> None:
    assert asked(at(2), serving_periods([move(1, at(5))]), watched=at(1)) == (
        "No version of “churn” was in Production at 2026-03-02 00:00 UTC. "
        "v1 entered Production at 2026-03-05 00:00 UTC."
    )


def test_the_incumbent_before_the_first_record_is_named() -> None:
    assert "v3 was in Production before v4 (2026-03-05 00:00 UTC)." in asked(
        at(2), serving_periods([move(4, at(5), expected_incumbent=3)])
    )


def test_a_model_that_was_never_seen_has_no_record() -> None:
    assert asked(at(2), []) == "No record: Registrar hasn't seen “churn” in Production yet."


# -- days --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "said"),
    [
        (2, "v3 of “churn” was in Production all day on 2 March 2026 (UTC)."),
        (
            3,
            "Production of “churn” on 3 March 2026 (UTC): v3, then v4 from 2026-03-03 14:00 UTC, v5 from "
            "2026-03-03 15:00 UTC, v4 from 2026-03-03 15:30 UTC.",
        ),
        (
            6,
            "Production of “churn” on 6 March 2026 (UTC): v4, then no version from 2026-03-06 10:00 UTC, v6 from "
            "2026-03-06 11:00 UTC.",
        ),
        (1, "Production of “churn” on 1 March 2026 (UTC): v3, first seen 2026-03-01 09:00 UTC."),
        (10, "v6 of “churn” was in Production all day on 10 March 2026 (UTC), so far."),
    ],
)
def test_a_day_has_an_answer(day: int, said: str) -> None:
    assert asked(date(2026, 3, day)) == said


def test_a_day_before_registrar_started_has_no_record() -> None:
    assert asked(date(2026, 2, 27)).startswith("No record: Registrar has been watching “churn” only since 2026-03-01")


@pytest.mark.parametrize(("word", "day"), [(RelativeDay.TODAY, 10), (RelativeDay.YESTERDAY, 9)])
def test_yesterday_and_today_are_days_in_utc(word: RelativeDay, day: int) -> None:
    assert asked(word) == asked(date(2026, 3, day))


def test_an_empty_day_has_an_answer() -> None:
    story = serving_periods([left(3, at(2, 8)), move(3, at(1, 9))])
    assert asked(date(2026, 3, 5), story) == "No version of “churn” was in Production on 5 March 2026 (UTC)."


def test_a_change_at_midnight_belongs_to_the_new_day() -> None:
    story = serving_periods([move(2, at(5)), move(1, at(4))])
    assert production_changes(story, resolve_window(date(2026, 3, 4), NOW)) == []
    assert [one.version for one in periods_in_window(story, resolve_window(date(2026, 3, 4), NOW))] == [1]
    assert [one.version for one in periods_in_window(story, resolve_window(date(2026, 3, 5), NOW))] == [2]


def test_many_changes_are_counted() -> None:
    story = serving_periods([move(n, at(3, 10, n)) for n in range(20, 0, -1)])
    assert asked(date(2026, 3, 3), story).endswith("v8 from 2026-03-03 10:08 UTC, and 12 more changes.")


def test_changes_include_an_empty_production() -> None:
    assert production_changes(STORY, resolve_window(date(2026, 3, 6), NOW)) == [
        ProductionChange(at(6, 10), None),
        ProductionChange(at(6, 11), 6),
    ]


@pytest.mark.parametrize("when", [date(2026, 3, 11), at(10, 12, 1)])
def test_the_future_is_refused(when: Any) -> None:
    with pytest.raises(BadInput, match="is in the future"):
        resolve_window(when, NOW)


def test_a_very_long_age_means_the_earliest_time() -> None:
    assert resolve_window(timedelta(days=999_999_999), NOW) == TimeWindow(datetime.min.replace(tzinfo=UTC))


def test_gaps_without_a_version_are_found() -> None:
    assert production_gaps(STORY, NOW) == [(at(6, 10), at(6, 11))]
    assert production_gaps(serving_periods([left(3, at(2)), move(3, at(1))]), NOW) == [(at(2), NOW)]
    assert production_gaps([], NOW) == []


# -- the argument ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("2026-03-03", date(2026, 3, 3)),
        ("2026-3-3", date(2026, 3, 3)),
        ("2026-03-03T14:00", at(3, 14)),
        ("'2026-03-03 14:00'", at(3, 14)),
        ("2026-03-03T16:00+02:00", at(3, 14)),
        ("2h", timedelta(hours=2)),
    ],
)
def test_a_time_is_parsed_and_stored(typed: str, meant: Any) -> None:
    command = parse_command(f"history churn --at {typed}")
    assert isinstance(command, ShowHistory)
    assert command.at == meant
    assert type(command.at) is type(meant)
    assert load_command(command.dump()) == command


@pytest.mark.parametrize("typed", ["2026-02-30", "0001-01-01", "tomorrow", "2026-13-01", "9999-01-01"])
def test_an_invalid_time_is_refused(typed: str) -> None:
    with pytest.raises(BadInput):
        parse_command(f"history churn --at {typed}")


def test_an_age_is_stored_as_an_absolute_time() -> None:
    command = ShowHistory(model="churn", at=timedelta(hours=2)).with_absolute_time(NOW)
    assert command.at == at(10, 10)
    assert command.with_absolute_time(NOW + timedelta(days=1)) == command


# -- causes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (0, "promoted by @UBOB"),
        (1, "rolled back from v5 by the monitor: accuracy 0.7"),
        (4, "already in Production when Registrar first looked"),
    ],
)
def test_the_cause_of_a_period_is_described(place: int, said: str) -> None:
    assert (
        str(describe_entry(STORY[place], Timeline(model="churn", periods=tuple(STORY), now=NOW, requests={}))) == said
    )


def test_the_time_and_duration_of_a_period_are_described() -> None:
    timeline = Timeline(model="churn", periods=tuple(STORY), now=NOW, requests={})
    assert str(describe_period(STORY[0], timeline)) == "serving now, since 2026-03-06 11:00 UTC (4d 1h)"
    assert str(describe_period(STORY[2], timeline)) == "2026-03-03 15:00 UTC to 2026-03-03 15:30 UTC (30m)"
    assert str(describe_period(STORY[4], timeline)) == (
        "first seen 2026-03-01 09:00 UTC to 2026-03-03 14:00 UTC (at least 2d 5h)"
    )
