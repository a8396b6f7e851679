"""The monitor's state machine, in tables, without a clock or a ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from bot.domain.core.sentence import say
from bot.domain.monitoring.consecutive_checks import (
    RuleResult,
    Verdict,
    assess,
    is_warmed_up,
    verdicts_due_since,
)
from bot.domain.monitoring.monitor import (
    Monitor,
    MonitorState,
    MonitorStatus,
    ProductionTerm,
    state_after_resume,
    state_for_term,
    with_soon_due,
)
from bot.domain.monitoring.readings import CheckOutcome, Reading
from bot.domain.monitoring.rules import sequential
from bot.domain.policy.monitor_config import RULES
from tests.support.domain.monitors import HOURS, NOW, a_monitor

TERM = ProductionTerm(transition_id="m1", version=7, since=NOW - timedelta(days=1))


def figure(value: float) -> Reading:
    """Return a reading that no earlier check has seen."""
    return Reading(value=value, points=1, fresh=1)


# The result of one check, by letter.
SAYS: dict[str, tuple[Reading, RuleResult | None]] = {
    "g": (figure(0.9), RuleResult(is_worse=False)),
    "b": (figure(0.7), RuleResult(is_worse=True)),
    "h": (figure(0.88), RuleResult(is_worse=False, is_recovered=False)),  # within the bound, not far enough
    "x": (figure(0.3), RuleResult(is_worse=True)),  # outside the hard limit
    "n": (Reading(outcome=CheckOutcome.NO_DATA), None),
    "e": (Reading(outcome=CheckOutcome.ERROR), None),
    "u": (figure(0.9), RuleResult(is_worse=None, why=say("the baseline is gone"))),
    "s": (Reading(value=0.9, points=1), RuleResult(is_worse=None)),  # still the same window
}


LETTERS = {
    MonitorStatus.OK: "o",
    MonitorStatus.PENDING: "p",
    MonitorStatus.FAILED: "F",
    MonitorStatus.NO_DATA: "N",
    MonitorStatus.ERROR: "E",
    MonitorStatus.WARMUP: "W",
    MonitorStatus.CANT_JUDGE: "C",
}


def lives(monitor: Monitor, checks: str, *, warm: bool = True) -> str:
    """Return the status after each check, as letters."""
    standing, states = state_for_term(MonitorState(monitor="m"), monitor, TERM), ""
    for at, letter in enumerate(checks):
        reading, judgement = SAYS[letter]
        now = NOW + at * monitor.rule.every
        verdict = assess(monitor, standing, reading, judgement if warm else None, now=now, warmed_up=warm)
        assert verdict.has_changed == (verdict.monitor_state.state is not standing.state)
        standing = verdict.monitor_state
        states += LETTERS[standing.state]
    return states


@pytest.mark.parametrize(
    ("rule", "checks", "states"),
    [
        ({"fail_after": 2}, "gbbg", "opFF"),
        ({"fail_after": 1}, "b", "F"),
        ({"fail_after": 3}, "bbgbbb", "ppoppF"),  # one good check restarts the count
        ({"fail_after": 2, "recover_after": 3}, "bbggg", "pFFFo"),
        ({"fail_after": 2, "recover_after": 2}, "bbgbgg", "pFFFFo"),  # that many good ones in a row
        (
            {"fail_after": 1, "recover_after": 2},
            "bghgg",
            "FFFFo",
        ),  # within the bound but not far enough isn't healthy yet
        ({"fail_after": 2, "recover_after": 1}, "gh", "oo"),  # that matters only after a failure
        ({"fail_after": 2, "no_data": 3}, "gnnngn", "oooNoo"),
        ({"fail_after": 2, "no_data": 2}, "bnbg", "ppFF"),  # a gap keeps the counts
        ({"fail_after": 1, "no_data": 1}, "bnnn", "FFFF"),  # and a failing monitor stays failing
        ({"fail_after": 1, "error": 1}, "bee", "FFF"),
        ({"error": 2}, "geeg", "ooEo"),
        ({"error": 2, "no_data": 2}, "eneen", "oooEN"),  # a gap ends a run of errors
        ({"fail_after": 3, "hard_limit": 0.5}, "gxxg", "opFF"),  # twice in a row, regardless of fail_after
        ({"fail_after": 3, "hard_limit": 0.5}, "xgx", "pop"),
        ({"fail_after": 3, "hard_limit": 0.5}, "xnx", "ppp"),  # a gap in between breaks the run
        ({"no_data": 2, "hard_limit": 0.5}, "nnxg", "oNNo"),  # one reading outside it isn't a verdict yet
        ({"no_data": 2, "hard_limit": 0.5}, "nnxx", "oNNF"),
        ({"min_points": 9}, "uuuuu", "WWWWW"),  # too few readings to judge
        ({"fail_after": 1, "min_points": 9}, "bu", "FF"),
        ({"no_data": 9}, "guuug", "oooCo"),  # three consecutive checks that should have reached a verdict
        ({}, "guugu", "ooooo"),
        ({}, "gussg", "oooCo"),  # each check within an unjudged window counts
        ({"no_data": 9}, "gunsg", "oooCo"),  # including one without a value
        ({"error": 9}, "gueeg", "oooCo"),
        ({"no_data": 2}, "guunn", "oooCN"),
        ({"no_data": 9}, "guuunnn", "oooCCCC"),
        ({"fail_after": 2}, "buuub", "pppCF"),  # and the counts are kept
        ({"fail_after": 1}, "buuus", "FFFFF"),  # a failing monitor stays failing
        ({"no_data": 2}, "nnsssg", "oNNNNo"),  # a value alone isn't a recovery
        ({"error": 2}, "eesssg", "oEEEEo"),
        ({"no_data": 2}, "nnsuuug", "oNNNNCo"),  # nor is a window with a gap
        ({"fail_after": 2}, "bsb", "ppF"),  # the same window counts once
    ],
)
def test_checks_change_the_status(rule: dict[str, Any], checks: str, states: str) -> None:
    assert lives(a_monitor(**rule), checks) == states


def test_only_the_hard_limit_counts_during_the_warm_up() -> None:
    assert lives(a_monitor(fail_after=1, hard_limit=0.5), "bbxx", warm=False) == "WWpF"


def test_a_value_during_the_warm_up_ends_a_gap() -> None:
    assert lives(a_monitor(no_data=2), "gnngg", warm=False) == "WWNWW"


def checked(monitor: Monitor, standing: MonitorState, says: str, *, after: timedelta) -> Verdict:
    """Return the verdict of a check that long after verdicts became due."""
    return assess(monitor, standing, *SAYS[says], now=NOW + after, warmed_up=True, due_since=NOW)


EVERY_HOUR: dict[str, Any] = {"greater_than": None, "window": "1h", "min_points": 1, "no_data": 100}


@pytest.mark.parametrize(
    ("rule", "minutes", "outcome"),
    [
        (EVERY_HOUR, 136, CheckOutcome.OK),
        (EVERY_HOUR, 137, CheckOutcome.UNJUDGED),
        (EVERY_HOUR | {"window": "2h"}, 137, CheckOutcome.OK),
        (EVERY_HOUR | {"every": "10m"}, 137, CheckOutcome.OK),
        (EVERY_HOUR | {"rule": "sequential"}, 16, CheckOutcome.OK),
        (EVERY_HOUR | {"rule": "sequential"}, 17, CheckOutcome.UNJUDGED),
        ({}, 17, CheckOutcome.UNJUDGED),
    ],
)
@pytest.mark.parametrize("judged", [None, NOW])
def test_a_monitor_that_never_has_anything_new_to_judge_is_noticed(
    rule: dict[str, Any], minutes: int, outcome: CheckOutcome, judged: datetime | None
) -> None:
    found = checked(
        a_monitor(**rule), MonitorState(monitor="m", judged_at=judged), "s", after=timedelta(minutes=minutes)
    )
    assert found.outcome is outcome


def test_a_clock_set_back_by_more_than_a_window_is_noticed() -> None:
    monitor = a_monitor(**EVERY_HOUR)
    ahead = MonitorState(monitor="m", judged_at=NOW + timedelta(hours=9), judged_to=NOW + timedelta(minutes=77))
    assert checked(monitor, ahead, "s", after=timedelta()).outcome is CheckOutcome.UNJUDGED
    assert checked(monitor, ahead, "s", after=timedelta(minutes=1)).outcome is CheckOutcome.OK


@pytest.mark.parametrize(
    ("rule", "minutes", "outcome"),
    [
        ({"min_points": 4}, 40, CheckOutcome.OK),
        ({"min_points": 4}, 41, CheckOutcome.UNJUDGED),
        ({}, 0, CheckOutcome.UNJUDGED),
        (EVERY_HOUR | {"rule": "sequential"}, 60, CheckOutcome.OK),
        (EVERY_HOUR | {"rule": "sequential"}, 61, CheckOutcome.UNJUDGED),
        (EVERY_HOUR, 0, CheckOutcome.UNJUDGED),
    ],
)
def test_how_long_a_new_monitor_can_lack_readings(rule: dict[str, Any], minutes: int, outcome: CheckOutcome) -> None:
    found = checked(a_monitor(**rule), MonitorState(monitor="m"), "u", after=timedelta(minutes=minutes))
    assert (found.outcome, found.monitor_state.unjudged) == (outcome, int(outcome is CheckOutcome.UNJUDGED))


def test_after_its_first_verdict_a_monitor_can_no_longer_lack_readings() -> None:
    monitor = a_monitor(**EVERY_HOUR | {"rule": "sequential"})
    since = NOW + timedelta(minutes=1)
    found = checked(monitor, MonitorState(monitor="m", judged_at=since), "u", after=timedelta(minutes=5))
    assert found.outcome is CheckOutcome.UNJUDGED


def test_no_verdict_is_due_for_windows_before_the_last_change() -> None:
    monitor, judgement = a_monitor(**EVERY_HOUR), RuleResult(is_worse=None, why=say("half empty"), judged_to=NOW)
    for due, outcome in (
        (NOW - timedelta(minutes=59), CheckOutcome.OK),
        (NOW - timedelta(hours=1), CheckOutcome.UNJUDGED),
    ):
        found = assess(
            monitor, MonitorState(monitor="m"), figure(0.9), judgement, now=NOW, warmed_up=True, due_since=due
        )
        assert found.outcome is outcome


def test_sequential_gets_time_for_its_first_readings() -> None:
    assert RULES["sequential"].first_verdict_checks >= sequential.MIN_READINGS


def test_a_check_without_a_value_keeps_the_reason_for_the_missing_verdict() -> None:
    monitor, standing = a_monitor(no_data=9), state_for_term(MonitorState(monitor="m"), a_monitor(), TERM)
    for letter in "un":
        standing = checked(monitor, standing, letter, after=timedelta()).monitor_state
    assert str(standing.why) == "the baseline is gone"


def test_verdicts_are_due_after_the_warm_up_and_the_last_change() -> None:
    monitor = a_monitor(warmup="1h")
    assert verdicts_due_since(monitor, TERM, NOW) == TERM.since + timedelta(hours=1)
    assert verdicts_due_since(replace(monitor, created_at=NOW), TERM, NOW) == NOW
    assert verdicts_due_since(replace(monitor, created_at=NOW + HOURS), TERM, NOW) == TERM.since + timedelta(hours=1)


def test_windows_during_a_pause_are_not_judged() -> None:
    standing = MonitorState(
        monitor="m", state=MonitorStatus.NO_DATA, value=0.9, empty=4, unjudged=1, judged_at=TERM.since
    )
    now = state_after_resume(standing, a_monitor(greater_than=None, window="1h"), NOW)
    assert (now.state, now.value, now.empty, now.unjudged) == (MonitorStatus.OK, None, 0, 0)
    assert (now.judged_to, now.judged_at) == (NOW + timedelta(hours=1), NOW)
    assert (
        state_after_resume(replace(standing, state=MonitorStatus.FAILED, judged_at=None), a_monitor(), NOW).state
        is MonitorStatus.FAILED
    )


def test_a_run_of_failures_begins_with_the_first_one() -> None:
    monitor, standing = a_monitor(fail_after=3), state_for_term(MonitorState(monitor="m"), a_monitor(), TERM)
    for at, letter in enumerate("bgbbb"):
        standing = assess(
            monitor, standing, *SAYS[letter], now=NOW + at * timedelta(minutes=5), warmed_up=True
        ).monitor_state
    assert (standing.state, standing.since) == (MonitorStatus.FAILED, NOW + timedelta(minutes=10))


@pytest.mark.parametrize(
    ("monitor", "term"),
    [
        (replace(a_monitor(), revision=2), TERM),
        (a_monitor(), ProductionTerm(transition_id="m2", version=7, since=NOW)),
        (a_monitor(), None),
    ],
    ids=["edited", "moved", "nobody serves"],
)
def test_counts_start_over_with_a_new_term_or_revision(monitor: Monitor, term: ProductionTerm | None) -> None:
    counted = MonitorState(
        monitor="m",
        slot=9,
        revision=1,
        move="m1",
        version=7,
        state=MonitorStatus.FAILED,
        bad=3,
        points=99,
        unjudged=2,
        judged_at=NOW,
    )
    anew = state_for_term(counted, monitor, term)
    assert (anew.bad, anew.points, anew.unjudged, anew.slot, anew.judged_at) == (0, 0, 0, 9, NOW)
    assert anew.state is (MonitorStatus.OK if term else MonitorStatus.DISABLED)
    assert state_for_term(counted, a_monitor(), TERM) is counted


@pytest.mark.parametrize(
    ("edited", "term", "kept"),
    [
        (a_monitor(), TERM, (True, True)),
        (a_monitor().with_rule(a_monitor(greater_than=0.8).rule), TERM, (True, False)),
        (a_monitor().with_rule(a_monitor(query="f1").rule), TERM, (True, False)),
        (a_monitor(), ProductionTerm(transition_id="m2", version=8, since=NOW), (False, False)),
        (a_monitor(), None, (False, False)),
    ],
    ids=["nothing new", "another bound", "another metric", "moved", "nobody serves"],
)
def test_a_new_revision_keeps_the_last_failure_but_not_the_evidence(
    edited: Monitor, term: ProductionTerm | None, kept: tuple[bool, bool]
) -> None:
    before = MonitorState(monitor="m", revision=1, move="m1", version=7, failed_at=NOW, evidence=(0.5, 2.0))
    found = state_for_term(before, edited, term)
    assert (found.failed_at == NOW, found.evidence == (0.5, 2.0)) == kept


@pytest.mark.parametrize(
    ("checks", "failed"),
    [("ggg", None), ("gbg", 1), ("bbggggb", 6), ("gxg", None), ("gxx", 2), ("bnen", 0)],
    ids=["never", "once", "twice", "no verdict", "the hard limit", "gaps"],
)
def test_the_state_has_the_time_of_the_last_failed_verdict(checks: str, failed: int | None) -> None:
    monitor, standing = a_monitor(hard_limit=0.5), state_for_term(MonitorState(monitor="m"), a_monitor(), TERM)
    for at, letter in enumerate(checks):
        standing = assess(
            monitor, standing, *SAYS[letter], now=NOW + timedelta(minutes=at), warmed_up=True
        ).monitor_state
    assert standing.failed_at == (None if failed is None else NOW + timedelta(minutes=failed))


BLOCKS: dict[str, Any] = {"rule": "blocks", "greater_than": None}


SEQUENTIAL: dict[str, Any] = {"rule": "sequential", "greater_than": None}


@pytest.mark.parametrize(
    ("rule", "minutes"),
    [
        ({}, 120),
        ({"window": "5m"}, 30),
        ({"warmup": "7m"}, 7),
        ({"warmup": "0s"}, 0),
        (BLOCKS, 120),
        (BLOCKS | {"window": "1d"}, 2880),
        (SEQUENTIAL, 30),
        (SEQUENTIAL | {"window": "1d"}, 30),
        (SEQUENTIAL | {"warmup": "7m"}, 7),
    ],
    ids=[
        "two windows",
        "half an hour at least",
        "as said",
        "none",
        "two blocks",
        "two days",
        "no window",
        "no window of a day",
        "as said of a sequence",
    ],
)
def test_how_long_the_warm_up_is(rule: dict[str, Any], minutes: int) -> None:
    monitor, warm_at = a_monitor(**rule), NOW + timedelta(minutes=minutes)
    term = replace(TERM, since=NOW)
    assert is_warmed_up(monitor, term, warm_at)
    assert not is_warmed_up(monitor, term, warm_at - timedelta(seconds=1))


@pytest.mark.parametrize(
    ("rule", "needed"),
    [({}, 1), ({"min_points": 7}, 7), (BLOCKS, 0), (SEQUENTIAL, 0), (BLOCKS | {"min_points": 7}, 7)],
)
def test_how_many_readings_a_verdict_needs(rule: dict[str, Any], needed: int) -> None:
    assert a_monitor(**rule).rule.required_points == needed


def test_jitter_spreads_checks_by_a_tenth_of_the_interval() -> None:
    monitor, others = a_monitor(every="10m"), [replace(a_monitor(every="10m"), id=f"m{n}") for n in range(50)]
    pauses = [(monitor.next_check_at(NOW, slot) - NOW).total_seconds() for slot in range(200)]
    assert 540 <= min(pauses) < 560
    assert 640 < max(pauses) <= 660
    assert len({one.next_check_at(NOW, 1) for one in others}) == 50
    assert all(one != other for one, other in pairwise(pauses))


def due_in(seconds: float, every: str = "60s") -> tuple[Monitor, MonitorState]:
    monitor = replace(a_monitor(every=every), id=f"due in {seconds}")
    return monitor, MonitorState(monitor=monitor.id, next_at=NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("due", "checked"),
    [
        ([1, 2], []),  # nothing is due yet
        ([0, 1, 5, 6], [0, 1, 5]),  # a tenth of the interval is 6 s, but 5 s is the limit
        ([-5], [-5]),
        ([], []),
    ],
)
def test_a_check_is_made_a_little_early_if_another_one_is_due(due: list[float], checked: list[float]) -> None:
    monitors = [due_in(seconds) for seconds in due]
    assert [monitor.id for monitor, _ in with_soon_due(monitors, NOW)] == [f"due in {seconds}" for seconds in checked]


def test_a_monitor_with_a_short_interval_is_hardly_checked_early() -> None:
    due, soon = due_in(0), due_in(2, every="10s")
    assert with_soon_due([due, soon], NOW) == [due]
