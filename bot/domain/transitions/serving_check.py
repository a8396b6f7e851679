"""Moved is not yet serving: what the serving side says about the version that it really uses. No I/O, no clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from bot.domain.core.actors import actor_id, as_person
from bot.domain.core.sentence import short
from bot.domain.promotions.request import Request, Vote, approvals
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import Move, time_of

FIRST_ASKED = timedelta(seconds=1)  # after the move
SEEN_MOST = 200  # characters of a report that are kept


class ServingState(Enum):
    """What is known of the serving side after a move."""

    ASKED = "asked"  # registry moved, serving not confirmed
    CONFIRMED = "confirmed"  # it reports the version
    DENIED = "denied"  # the time is over, and it does not
    OVERTAKEN = "overtaken"  # Production has moved again before it was confirmed


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A question to the serving side. `lane` is whose thread hears of it: a request's, a rollback's, an incident's."""

    move: str
    model: str
    version: int
    lane: str
    asked_at: datetime
    state: ServingState = ServingState.ASKED
    next_at: datetime | None = None
    deadline: datetime | None = None
    seen: str = ""  # what it reported last, or why it could not be read
    confirmed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of asking once: the version that was reported, or why it could not be read."""

    version: str | None
    why: str = ""

    @property
    def told(self) -> str:
        """What is written down of it."""
        return short(self.version if self.version is not None else self.why, SEEN_MOST)


def is_version(reported: str, version: int) -> bool:
    """Tell whether `6`, `v6` or `V6` is the version meant."""
    found = re.fullmatch(r"[vV]?(\d{1,9})", reported.strip())
    return found is not None and int(found[1]) == version


def asking(move: Move, lane: str, now: datetime, timeout: timedelta) -> Serving:
    """Return the first question after a move of Production."""
    return Serving(
        move=move.id,
        model=move.model,
        version=move.version,
        lane=lane,
        asked_at=now,
        next_at=now + FIRST_ASKED,
        deadline=now + timeout,
    )


def judge(serving: Serving, heard: Heard, now: datetime, every: timedelta) -> Serving:
    """Return where the question stands after it was asked once more."""
    serving = replace(serving, seen=heard.told, next_at=None)
    if heard.version is not None and is_version(heard.version, serving.version):
        return replace(serving, state=ServingState.CONFIRMED, confirmed_at=now)
    if serving.deadline is None or now >= serving.deadline:
        return replace(serving, state=ServingState.DENIED)
    return replace(serving, next_at=min(now + every, serving.deadline))


def event(move: Move, reason: str, request: Request | None = None, votes: Sequence[Vote] = ()) -> dict[str, object]:
    """Return what endpoints are told of a move of Production; without a `version` nobody is there any more.

    `request` is the one that the move answers, `votes` are those on it.
    """
    passed = request.overridden_by if request else None
    taken = move.target is Stage.PRODUCTION
    return {
        "event": "moved",
        "id": move.id,
        "model": move.model,
        "version": move.version if taken else None,
        "stage": str(Stage.PRODUCTION),
        "previous": move.expected_incumbent if taken else move.version,
        "cause": move.kind.value,
        "actor": actor_id(as_person(move.actor)),
        "request": move.request,
        "reason": reason,
        "at": time_of(move).isoformat(),
        "requester": actor_id(as_person(request.requester)) if request else None,
        "approvers": [actor_id(vote.voter) for vote in approvals(votes)],
        "overridden_by": actor_id(as_person(passed)) if passed else None,
        "override_reason": request.override_reason if request else "",
    }
