"""Serving checks: whether the endpoint reports the version in Production. No I/O, no clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from bot.domain.core.actors import actor_id, resolve_operator
from bot.domain.core.sentence import truncate
from bot.domain.promotions.request import Request
from bot.domain.promotions.votes import Vote, counting_approvals
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import Transition, transition_time

FIRST_CHECK_DELAY = timedelta(seconds=1)  # after the transition
MAX_REPORT_LENGTH = 200  # characters of a report that are stored


class ServingCheckState(Enum):
    """The state of a serving check."""

    PENDING = "asked"  # the registry was changed; serving isn't confirmed yet
    CONFIRMED = "confirmed"  # the endpoint reports the version
    TIMED_OUT = "denied"  # it didn't within the time limit
    SUPERSEDED = "overtaken"  # Production changed again before it was confirmed


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingCheck:
    """A check of the serving endpoint after a transition. `lane` is the ordering key of the result's thread."""

    move: str
    model: str
    version: int
    lane: str
    asked_at: datetime
    state: ServingCheckState = ServingCheckState.PENDING
    next_at: datetime | None = None
    deadline: datetime | None = None
    seen: str = ""  # the latest report, or why it couldn't be read
    confirmed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ServingReport:
    """The result of one check: the reported version, or why it couldn't be read."""

    version: str | None
    error: str = ""

    @property
    def summary(self) -> str:
        """The report's stored text: the version or the error, truncated."""
        return truncate(self.version if self.version is not None else self.error, MAX_REPORT_LENGTH)


def reports_version(reported: str, version: int) -> bool:
    """Return whether a report such as `6`, `v6`, or `V6` names this version."""
    match = re.fullmatch(r"[vV]?(\d{1,9})", reported.strip())
    return match is not None and int(match[1]) == version


def start_serving_check(transition: Transition, ordering_key: str, now: datetime, timeout: timedelta) -> ServingCheck:
    """Return a new serving check for a transition into Production; it times out after `timeout`."""
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
    """Return the check updated with a new report: confirmed, timed out, or due again after `interval`."""
    check = replace(check, seen=report.summary, next_at=None)
    if report.version is not None and reports_version(report.version, check.version):
        return replace(check, state=ServingCheckState.CONFIRMED, confirmed_at=now)
    if check.deadline is None or now >= check.deadline:
        return replace(check, state=ServingCheckState.TIMED_OUT)
    return replace(check, next_at=min(now + interval, check.deadline))


def transition_event(
    transition: Transition, reason: str, request: Request | None = None, votes: Sequence[Vote] = ()
) -> dict[str, object]:
    """Return the webhook event for a transition into or out of Production.

    The event's `version` is None if Production is now empty. `request`: the transition's request, if any. `votes`: the
    votes on that request.
    """
    overrider = request.overridden_by if request else None
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
        "overridden_by": actor_id(resolve_operator(overrider)) if overrider else None,
        "override_reason": request.override_reason if request else "",
    }
