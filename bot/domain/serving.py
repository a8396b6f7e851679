"""Moved is not yet serving: what the serving side says about the version that it really uses. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

FIRST_ASKED = timedelta(seconds=1)  # after the move
ASKED_EVERY = timedelta(seconds=5)
GIVEN_UP_AFTER = timedelta(minutes=10)  # then the thread says that it does not serve what the registry says


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
