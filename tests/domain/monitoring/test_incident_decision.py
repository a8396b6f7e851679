"""What's decided about a failing monitor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.domain.core.actors import Person
from bot.domain.core.sentence import say
from bot.domain.monitoring.incident import DecisionInput, IncidentStatus, TrippedBreaker, decide, is_common_cause
from bot.domain.monitoring.monitor import Monitor
from bot.domain.policy.freezes import ActiveFreeze
from tests.support.domain.monitors import HOURS, NOW, a_monitor

ANN = Person("T1", "U1")


# -- decisions ---------------------------------------------------------------------------------------------------------


def situation(monitor: Monitor | None = None, **changes: Any) -> DecisionInput:
    """Return the input with which an armed monitor rolls back, with these changes."""
    base = DecisionInput(
        monitor=monitor or a_monitor(cooldown="6h", max_auto=2),
        model="churn",
        version=7,
        transition_id="m1",
        serving_transition_id="m1",
        last_rollback_at=None,
        auto_rollbacks_of_model=0,
        auto_rollbacks_of_all=0,
        max_auto_rollbacks=3,
        breaker=None,
        freeze=None,
        open_request=None,
        target=6,
        skipped_target=None,
        has_common_cause=False,
        now=NOW,
    )
    return replace(base, **changes)


FROZEN = ActiveFreeze(description=say("It is frozen."), until=None)


@pytest.mark.parametrize(
    ("changes", "doing"),
    [
        ({}, IncidentStatus.INTENT),
        ({"serving_transition_id": "m2"}, IncidentStatus.SUPERSEDED),
        ({"has_common_cause": True}, IncidentStatus.HELD),
        ({"freeze": FROZEN}, IncidentStatus.FROZEN),
        ({"target": None}, IncidentStatus.HELD),
        ({"open_request": "r4k7q"}, IncidentStatus.AWAITING_HUMAN),
        ({"breaker": TrippedBreaker(model="churn", at=NOW, why=say("Too many."))}, IncidentStatus.TRIPPED),
        ({"auto_rollbacks_of_model": 1}, IncidentStatus.INTENT),
        ({"auto_rollbacks_of_model": 2}, IncidentStatus.TRIPPED),
        ({"auto_rollbacks_of_all": 2}, IncidentStatus.INTENT),
        ({"auto_rollbacks_of_all": 3}, IncidentStatus.TRIPPED),
        ({"last_rollback_at": NOW - 5 * HOURS}, IncidentStatus.COOLDOWN),
        ({"last_rollback_at": NOW - 6 * HOURS}, IncidentStatus.INTENT),
        # Whatever makes a verdict void comes first, then whatever stops everything, then the rest.
        ({"serving_transition_id": "m2", "has_common_cause": True}, IncidentStatus.SUPERSEDED),
        ({"has_common_cause": True, "target": None}, IncidentStatus.HELD),
        ({"target": None, "open_request": "r4k7q"}, IncidentStatus.HELD),
        ({"open_request": "r4k7q", "auto_rollbacks_of_model": 2}, IncidentStatus.AWAITING_HUMAN),
        ({"auto_rollbacks_of_model": 2, "last_rollback_at": NOW}, IncidentStatus.TRIPPED),
    ],
    ids=lambda one: ", ".join(one) or "nothing" if isinstance(one, dict) else one.value,
)
def test_what_an_armed_monitor_does(changes: dict[str, Any], doing: IncidentStatus) -> None:
    decided = decide(situation(**changes))
    assert decided.status is doing
    assert (decided.trip_reason is not None) == (doing is IncidentStatus.TRIPPED and "breaker" not in changes)


@pytest.mark.parametrize(
    ("rule", "doing"),
    [("dry_run", IncidentStatus.LOGGED), ("notify", IncidentStatus.NOTIFIED), ("ask", IncidentStatus.AWAITING_HUMAN)],
)
def test_other_actions_never_roll_back(rule: str, doing: IncidentStatus) -> None:
    assert decide(situation(a_monitor(action=rule))).status is doing


def test_an_unarmed_auto_monitor_asks() -> None:
    assert decide(situation(replace(a_monitor(), created_by=ANN))).status is IncidentStatus.AWAITING_HUMAN


def test_a_silenced_monitor_does_nothing() -> None:
    silent = replace(a_monitor(), silenced_until=NOW + HOURS, silenced_by=Person("T1", "U1"))
    assert decide(situation(silent)).status is IncidentStatus.SILENCED
    assert decide(situation(replace(silent, silenced_until=NOW))).status is IncidentStatus.INTENT


@pytest.mark.parametrize(
    ("failing", "watching", "is_in_doubt"),
    [(2, 2, False), (3, 3, True), (3, 10, True), (3, 11, False), (30, 100, True), (29, 100, False)],
)
def test_when_a_source_is_suspect(failing: int, watching: int, is_in_doubt: bool) -> None:
    assert is_common_cause(failing, watching) is is_in_doubt
