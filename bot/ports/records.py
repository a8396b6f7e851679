"""What the ports hand to and fro: rows of the ledger, questions, answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from bot.domain.core.actors import Actor
from bot.domain.core.ci_run import CiRun
from bot.domain.monitoring.incident import IncidentKind
from bot.domain.monitoring.state import MonitorStatus
from bot.domain.promotions.request import Request, RequestState
from bot.domain.transitions.transition import Transition, TransitionState


class QueuedCommandState(Enum):
    """What has become of something that a person asked for."""

    DRAFT = "draft"  # a modal is open
    WAITING = "waiting"  # committed; the registry has not been read yet
    OPENED = "opened"  # a request came of it
    DONE = "done"  # it was done, and read back
    REFUSED = "refused"  # the rules or the registry's facts said no


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedCommand:
    """What somebody asked for, written down before the registry is read. `where` is the channel it came from.

    `command` is what `commands.load` reads. A request that comes of it has the same id. `key` is the caller's own
    word for it: a second ask with the same one is none; `digest` is of what was sent. `error` is the class of what
    stood against it, and `outcome` the sentence.
    """

    id: str
    caller: Actor
    command: dict[str, Any]
    where: str
    at: datetime
    state: QueuedCommandState = QueuedCommandState.WAITING
    request: str | None = None
    attempts: int = 0
    not_before: datetime | None = None
    ci: CiRun | None = None
    key: str | None = None
    digest: str | None = None
    error: str | None = None
    outcome: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagUpdate:
    """What a version in the registry has to say, written down with the change that it tells of.

    `tags` to set, or with None to take away; `line` to add to the description; `alias` to take from the version if
    it still names it. Those of one version are written in order.
    """

    id: str
    model: str
    version: int
    tags: Mapping[str, str | None] = field(default_factory=dict)
    line: str = ""
    alias: str = ""
    number: int = 0
    attempts: int = 0
    lane: str = ""  # whose thread hears that it is written


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldWork:
    """What the active hold covers and nobody has ended, oldest first each. Empty where there's no active hold."""

    transitions: Sequence[Transition] = ()
    commands: Sequence[QueuedCommand] = ()
    requests: Sequence[Request] = ()  # pending ones; of approved ones the move is held
    tag_updates: Sequence[TagUpdate] = ()


class MessageKind(Enum):
    """What is to be told in Slack."""

    CARD = "card"  # the request's one message, drawn from its present state
    NOTICE = "notice"  # the one message of a finding, drawn from its present state
    CHANNEL_MESSAGE = "said"  # a sentence in a channel
    THREAD_REPLY = "news"  # a line in the card's thread
    DIRECT = "direct"  # a message to one person
    ROLLBACK = "rollback"  # the one message of a rollback that a person made, drawn from its present state
    INCIDENT = "incident"  # the one message of an incident, drawn from its present state
    CHART = "chart"  # a picture in the thread of the lane's message
    EVENT = "event"  # a signed event to an endpoint of the serving side; no message at all

    @property
    def is_updated_in_place(self) -> bool:
        """Tell whether it is the lane's one message, which is edited."""
        return self in {MessageKind.CARD, MessageKind.NOTICE, MessageKind.ROLLBACK, MessageKind.INCIDENT}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxMessage:
    """One row of the outbox. `key` is unique for ever; rows of one `lane` are delivered in order."""

    key: str
    lane: str
    kind: MessageKind
    to: str  # a channel, or a user for a direct message; for news the lane's card or notice says where
    data: dict[str, Any] = field(default_factory=dict)
    number: int = 0
    attempts: int = 0
    was_tried: bool = False  # an earlier try may have reached Slack
    created_at: datetime | None = None
    claimed_until: datetime | None = None  # until when nobody else delivers it


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryProgress:
    """The progress of an outbox row: why it isn't delivered, if that's known, and when it's tried next."""

    is_waiting: bool
    why: str = ""
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class MessageRef:
    """Where something stands in Slack; `file` is the id of a file that was put there."""

    channel: str
    ts: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class PendingCount:
    """How many wait, and since when the longest does; None where none does, or nobody knows."""

    number: int = 0
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What is not finished at one moment, for whoever watches from outside. What is not named is none."""

    requests: Mapping[RequestState, PendingCount]  # those that have not ended, since they were opened
    commands: PendingCount  # written down; the registry has not been read yet
    transitions: Mapping[TransitionState, PendingCount]  # intended and executing, since they were intended
    messages: Mapping[MessageKind, PendingCount]  # the outbox, since they were written
    tag_updates: int  # what versions in the registry have to say yet
    incidents: Mapping[IncidentKind, PendingCount]  # open ones, since they were opened
    tripped_breakers: int  # tripped ones
    monitors: Mapping[MonitorStatus, int]  # neither paused nor removed ones
    overdue_checks: PendingCount  # checks whose time has come, since it had
    audit_events: int  # of the audit


@dataclass(frozen=True, slots=True)
class CheckBatch:
    """Checks of one source that are made together: whose they are, and their monitors and slots."""

    source: str
    owner: str
    slots: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a monitor asks a source: the points of `query` after `since` and up to `until`, of the model's version.

    With `of`, a second query, the points are counts: `query` gives the count, and `of` the total. `source` is the
    source's name in the policy. `since` is the beginning of the version's term at the earliest.
    """

    monitor: str
    source: str
    model: str
    version: int
    query: str
    since: datetime
    until: datetime
    timeout: timedelta = timedelta(seconds=10)
    of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotentCall:
    """An answered call of the HTTP API that carried an Idempotency-Key. `digest` is of what was sent."""

    client: str
    key: str
    digest: str
    status: int
    answer: str
    at: datetime


class DeliveryOutcome(Enum):
    """What became of one delivery."""

    DELIVERED = "delivered"
    RETRY = "later"  # try again after `wait`
    UNKNOWN = "unknown"  # the answer was lost: look for the key before trying again
    REFUSED = "never"  # Slack refuses it for good


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """The result of one delivery, with where it stands or why not. `is_new`: it was posted, not edited or found."""

    outcome: DeliveryOutcome
    message_ref: MessageRef | None = None
    retry_after: timedelta = timedelta(0)
    why: str = ""
    is_new: bool = False
