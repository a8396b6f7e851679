"""Find all steps of a monitor by calling the functions that compute its next state.

They're called with every kind of check, starting from every state that these calls lead to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from math import nan
from types import SimpleNamespace
from typing import Any, NamedTuple

from bot.domain.core.sentence import say
from bot.domain.monitoring.consecutive_checks import RuleResult, assess
from bot.domain.monitoring.monitor import (
    Monitor,
    MonitorState,
    MonitorStatus,
    ProductionTerm,
    state_after_resume,
    state_for_term,
)
from bot.domain.monitoring.readings import CheckOutcome, Reading
from bot.domain.policy.monitor_config import MonitorConfig
from bot.services.transitions.completion import restart_monitors

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_LONG_AGO = NOW - timedelta(days=30)
_WHY = say("Why.")
_MAX_COUNT = 4  # counts above this don't lead to other states: every number below is smaller
MONITOR = Monitor(
    id="m",
    model="m",
    created_at=NOW - timedelta(days=60),
    rule=MonitorConfig.model_validate(
        {"name": "m", "source": "s", "min_effect": "2%", "hard_limit": 0.5, "fail_after": 2, "recover_after": 2}
        | {"no_data": 2, "error": 2}
    ),
)
_TERM = ProductionTerm(transition_id="t", version=1, since=NOW)
_ANOTHER_TERM = ProductionTerm(transition_id="u", version=2, since=NOW)


class Check(NamedTuple):
    """A kind of check.

    It has a reading, the rule's result, whether the warm-up is over, and the time from which a verdict is due.
    """

    outcome: CheckOutcome = CheckOutcome.OK
    value: float = 1.0
    result: RuleResult | None = None
    warmed_up: bool = True
    due_since: datetime = NOW


CHECKS = (
    Check(CheckOutcome.ERROR, nan),
    Check(CheckOutcome.NO_DATA, nan),
    Check(CheckOutcome.NO_DATA, nan, RuleResult(is_worse=None, why=_WHY), warmed_up=False),  # labels arrive later
    Check(value=0.1, warmed_up=False),  # outside the hard limit
    Check(value=0.1, result=RuleResult(is_worse=None)),
    Check(warmed_up=False),
    Check(result=RuleResult(is_worse=True)),
    Check(result=RuleResult(is_worse=True, is_confirmed=True)),
    Check(result=RuleResult(is_worse=False)),
    Check(result=RuleResult(is_worse=False, is_recovered=False)),
    Check(result=RuleResult(is_worse=None, why=_WHY)),  # too few readings for a verdict, which isn't due yet
    Check(result=RuleResult(is_worse=None, why=_WHY), due_since=_LONG_AGO),
    Check(result=RuleResult(is_worse=None)),  # nothing new to evaluate
    Check(result=RuleResult(is_worse=None), due_since=_LONG_AGO),
)


def monitor_steps() -> set[tuple[Enum, Enum]]:
    """Return a monitor's steps: from checks, edits, and resuming, and from changes of Production."""
    first = MonitorState(monitor="m", revision=1, version=1, move="t")
    found: set[tuple[Enum, Enum]] = set()
    reached = {_comparable(replace(first, state=it)) for it in (MonitorStatus.OK, MonitorStatus.WARMUP)}
    to_do = list(reached)
    while to_do:
        current = to_do.pop()
        for following in map(_comparable, _next_states(current)):
            found.add((current.state, following.state))
            is_same_term = (following.move, following.revision) == (current.move, current.revision)
            if is_same_term and following not in reached:
                reached.add(following)
                to_do.append(following)
    found.add((MonitorStatus.DISABLED, state_for_term(replace(first, move=None), MONITOR, _TERM).state))
    found |= {(status, _after_promotion(status)) for status in MonitorStatus}
    return {(source, target) for source, target in found if source is not target}


def _next_states(current: MonitorState) -> Iterator[MonitorState]:
    for check in CHECKS:
        why = None if check.outcome is CheckOutcome.OK else _WHY
        reading = Reading(outcome=check.outcome, value=check.value, points=1, fresh=1, newest=NOW, why=why)
        yield assess(
            MONITOR,
            current,
            reading,
            check.result,
            now=NOW,
            warmed_up=check.warmed_up,
            due_since=check.due_since,
        ).monitor_state
    yield state_for_term(current, MONITOR, None)
    yield state_for_term(current, MONITOR, _ANOTHER_TERM)
    yield state_for_term(current, replace(MONITOR, revision=2), _TERM)
    yield state_after_resume(current, MONITOR, NOW)


class _OneMonitor:
    """The part of the ledger that a promotion or a rollback uses to restart monitors."""

    def __init__(self, state: MonitorState) -> None:
        self.state = state

    def monitors(self, _model: str) -> list[Monitor]:
        return [MONITOR]

    def monitor_state(self, _monitor: str) -> MonitorState:
        return self.state

    def save_monitor_state(self, state: MonitorState) -> None:
        self.state = state


def _after_promotion(status: MonitorStatus) -> MonitorStatus:
    ledger: Any = _OneMonitor(MonitorState(monitor="m", state=status))
    promotion: Any = SimpleNamespace(id="u", model="m", version=2)
    restart_monitors(ledger, promotion)
    restarted: MonitorStatus = ledger.state.state
    return restarted


def _comparable(state: MonitorState) -> MonitorState:
    """Return only what the next status depends on, with counts capped so that the search ends."""
    return MonitorState(
        monitor=state.monitor,
        revision=state.revision,
        version=state.version,
        move=state.move,
        state=state.state,
        **{name: min(getattr(state, name), _MAX_COUNT) for name in _COUNTS},
    )


_COUNTS = ("bad", "good", "empty", "broken", "beyond", "unjudged")
