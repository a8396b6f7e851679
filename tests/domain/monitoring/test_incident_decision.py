"""What is decided about a monitor that has failed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.domain.core.actors import Person
from bot.domain.core.sentence import say
from bot.domain.monitoring.incident import Doing, Situation, Tripped, decide, is_common_cause
from bot.domain.monitoring.monitor import Monitor
from bot.domain.policy.freezes import Frozen
from tests.support.domain.monitors import HOURS, NOW, a_monitor

ANN = Person("T1", "U1")


# -- what is done about it ---------------------------------------------------------------------------------------------


def situation(monitor: Monitor | None = None, **changes: Any) -> Situation:
    """Return what lets an armed monitor roll back, with some of it changed."""
    base = Situation(
        monitor=monitor or a_monitor(cooldown="6h", max_auto=2),
        model="churn",
        version=7,
        move="m1",
        now_serving="m1",
        rolled_back_at=None,
        auto_of_model=0,
        auto_of_all=0,
        auto_most=3,
        tripped=None,
        frozen=None,
        open_request=None,
        target=6,
        passed_over=None,
        is_common=False,
        now=NOW,
    )
    return replace(base, **changes)


FROZEN = Frozen(why=say("It is frozen."), until=None)


@pytest.mark.parametrize(
    ("changes", "doing"),
    [
        ({}, Doing.INTENT),
        ({"now_serving": "m2"}, Doing.SUPERSEDED),
        ({"is_common": True}, Doing.HELD),
        ({"frozen": FROZEN}, Doing.FROZEN),
        ({"target": None}, Doing.HELD),
        ({"open_request": "r4k7q"}, Doing.AWAITING_HUMAN),
        ({"tripped": Tripped(model="churn", at=NOW, why=say("Too many."))}, Doing.TRIPPED),
        ({"auto_of_model": 1}, Doing.INTENT),
        ({"auto_of_model": 2}, Doing.TRIPPED),
        ({"auto_of_all": 2}, Doing.INTENT),
        ({"auto_of_all": 3}, Doing.TRIPPED),
        ({"rolled_back_at": NOW - 5 * HOURS}, Doing.COOLDOWN),
        ({"rolled_back_at": NOW - 6 * HOURS}, Doing.INTENT),
        # What makes a verdict void comes first, then what holds everything back, then the rest.
        ({"now_serving": "m2", "is_common": True}, Doing.SUPERSEDED),
        ({"is_common": True, "target": None}, Doing.HELD),
        ({"target": None, "open_request": "r4k7q"}, Doing.HELD),
        ({"open_request": "r4k7q", "auto_of_model": 2}, Doing.AWAITING_HUMAN),
        ({"auto_of_model": 2, "rolled_back_at": NOW}, Doing.TRIPPED),
    ],
    ids=lambda one: ", ".join(one) or "nothing" if isinstance(one, dict) else one.value,
)
def test_what_an_armed_monitor_does(changes: dict[str, Any], doing: Doing) -> None:
    decided = decide(situation(**changes))
    assert decided.doing is doing
    assert (decided.trips is not None) == (doing is Doing.TRIPPED and "tripped" not in changes)


@pytest.mark.parametrize(
    ("rule", "doing"), [("dry_run", Doing.LOGGED), ("notify", Doing.NOTIFIED), ("ask", Doing.AWAITING_HUMAN)]
)
def test_what_may_not_act_goes_no_further_than_its_action(rule: str, doing: Doing) -> None:
    assert decide(situation(a_monitor(action=rule))).doing is doing


def test_auto_that_nobody_armed_asks() -> None:
    assert decide(situation(replace(a_monitor(), created_by=ANN))).doing is Doing.AWAITING_HUMAN


def test_one_that_is_silenced_says_and_does_nothing() -> None:
    silent = replace(a_monitor(), silenced_until=NOW + HOURS, silenced_by=Person("T1", "U1"))
    assert decide(situation(silent)).doing is Doing.SILENCED
    assert decide(situation(replace(silent, silenced_until=NOW))).doing is Doing.INTENT


@pytest.mark.parametrize(
    ("failing", "watching", "is_in_doubt"),
    [(2, 2, False), (3, 3, True), (3, 10, True), (3, 11, False), (30, 100, True), (29, 100, False)],
)
def test_when_a_source_is_in_doubt(failing: int, watching: int, is_in_doubt: bool) -> None:
    assert is_common_cause(failing, watching) is is_in_doubt
