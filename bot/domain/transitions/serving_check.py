"""Moved is not yet serving: what the serving side says about the version that it really uses. No I/O, no clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from bot.domain.core.actors import actor_id, resolve_operator
from bot.domain.core.sentence import truncate
from bot.domain.promotions.request import Request, Vote, counting_approvals
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import Transition, transition_time

FIRST_CHECK_DELAY = timedelta(seconds=1)  # after the move
MAX_REPORT_LENGTH = 200  # characters of a report that are kept


class ServingCheckState(Enum):
    """What is known of the serving side after a move."""

    PENDING = "asked"  # registry moved, serving not confirmed
    CONFIRMED = "confirmed"  # it reports the version
    TIMED_OUT = "denied"  # the time is over, and it does not
    SUPERSEDED = "overtaken"  # Production has moved again before it was confirmed


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingCheck:
    """A question to the serving side. `lane` is whose thread hears of it: a request's, a rollback's, an incident's."""

    move: str
    model: str
    version: int
    lane: str
    asked_at: datetime
    state: ServingCheckState = ServingCheckState.PENDING
    next_at: datetime | None = None
    deadline: datetime | None = None
    seen: str = ""  # what it reported last, or why it could not be read
    confirmed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ServingReport:
    """What came of asking once: the version that was reported, or why it could not be read."""

    version: str | None
    error: str = ""

    @property
    def summary(self) -> str:
        """What is written down of it."""
        return truncate(self.version if self.version is not None else self.error, MAX_REPORT_LENGTH)


def reports_version(reported: str, version: int) -> bool:
    """Tell whether `6`, `v6` or `V6` is the version meant."""
    found = re.fullmatch(r"[vV]?(\d{1,9})", reported.strip())
    return found is not None and int(found[1]) == version


def start_serving_check(transition: Transition, ordering_key: str, now: datetime, timeout: timedelta) -> ServingCheck:
    """Return the first question after a move of Production."""
    return ServingCheck(
        move=transition.id,
        model=transition.model,
        version=transition.version,
        lane=ordering_key,
        asked_at=now,
        next_at=now + FIRST_CHECK_DELAY,
        deadline=now + timeout,
    )


def apply_report(check: ServingCheck, report: ServingReport, now: datetime, interval: timedelta) -> ServingCheck:
    """Return where the question stands after it was asked once more."""
    check = replace(check, seen=report.summary, next_at=None)
    if report.version is not None and reports_version(report.version, check.version):
        return replace(check, state=ServingCheckState.CONFIRMED, confirmed_at=now)
    if check.deadline is None or now >= check.deadline:
        return replace(check, state=ServingCheckState.TIMED_OUT)
    return replace(check, next_at=min(now + interval, check.deadline))


def transition_event(
    transition: Transition, reason: str, request: Request | None = None, votes: Sequence[Vote] = ()
) -> dict[str, object]:
    """Return what endpoints are told of a move of Production; without a `version` nobody is there any more.

    `request` is the one that the move answers, `votes` are those on it.
    """
    passed = request.overridden_by if request else None
    taken = transition.target is Stage.PRODUCTION
    return {
        "event": "moved",
        "id": transition.id,
        "model": transition.model,
        "version": transition.version if taken else None,
        "stage": str(Stage.PRODUCTION),
        "previous": transition.expected_incumbent if taken else transition.version,
        "cause": transition.kind.value,
        "actor": actor_id(resolve_operator(transition.actor)),
        "request": transition.request,
        "reason": reason,
        "at": transition_time(transition).isoformat(),
        "requester": actor_id(resolve_operator(request.requester)) if request else None,
        "approvers": [actor_id(vote.voter) for vote in counting_approvals(votes)],
        "overridden_by": actor_id(resolve_operator(passed)) if passed else None,
        "override_reason": request.override_reason if request else "",
    }
