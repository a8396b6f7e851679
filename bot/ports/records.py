"""The values that ports take and return: ledger rows, queries, and results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

from bot.domain.core.actors import Actor
from bot.domain.core.agent import Agent
from bot.domain.core.ci_run import CiRun
from bot.domain.monitoring.incident import IncidentKind
from bot.domain.monitoring.monitor import MonitorStatus
from bot.domain.promotions.request import Request, RequestState
from bot.domain.transitions.transition import Transition, TransitionState


@dataclass(frozen=True, slots=True)
class Claim:
    """A process's exclusive claim on work, from `now` to `until`. If `owner` dies, another process takes over then."""

    owner: str
    now: datetime
    until: datetime


class QueuedCommandState(Enum):
    """The state of a queued command."""

    DRAFT = "draft"  # its modal is still open
    WAITING = "waiting"  # recorded; the registry has not been read yet
    OPENED = "opened"  # it opened a request
    DONE = "done"  # it was executed, and verified in the registry
    REFUSED = "refused"  # the rules or the registry's contents didn't allow it


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedCommand:
    """A command that is recorded before the registry is read. `where` is the channel it came from.

    `command` is the input of `load_command`. If the command opens a request, the request has the same ID. `key` is the
    caller's idempotency key, which prevents a second command with the same key. `digest` is the hash of what was sent.
    If the command was refused, `error` is the error's class, and `outcome` is its message.
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
    agent: Agent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TagUpdate:
    """A write to a version's tags in the registry, queued together with the change it reports.

    `tags`: the value to set for each tag, or None to delete the tag. `line`: what to add to the description. `alias`:
    an alias to delete if it still points to the version. The updates for one version are written in order.
    """

    id: str
    model: str
    version: int
    tags: Mapping[str, str | None] = field(default_factory=dict)
    line: str = ""
    alias: str = ""
    number: int = 0
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldWork:
    """The unfinished work that the active hold covers, oldest first. Empty if no hold is active."""

    transitions: Sequence[Transition] = ()
    commands: Sequence[QueuedCommand] = ()
    requests: Sequence[Request] = ()  # pending ones; for an approved one, its transition is held
    tag_updates: Sequence[TagUpdate] = ()


class MessageKind(Enum):
    """The kind of a message."""

    CARD = "card"  # a request's one message, rendered from its current state
    NOTICE = "notice"  # a drift notice's one message, rendered from its current state
    CHANNEL_MESSAGE = "said"  # a sentence in a channel
    THREAD_REPLY = "news"  # a line in the thread of the card or notice
    DIRECT = "direct"  # a message to one person
    ROLLBACK = "rollback"  # the one message of a manual rollback, rendered from its current state
    INCIDENT = "incident"  # an incident's one message, rendered from its current state
    PROPOSAL = "proposal"  # the one message of a proposed monitor, rendered from its current state
    CHART = "chart"  # an image in the thread of the message with the same ordering key
    REVIEW = "review"  # an incident's review, with its files, in the thread of the incident's message
    EVENT = "event"  # a signed event for a webhook endpoint, not for Slack
    AUDIT = "audit"  # audit events for the policy's audit stream, not for Slack

    @property
    def is_updated_in_place(self) -> bool:
        """Whether an ordering key has only one message of this kind, which is edited instead of posted again."""
        return self in _UPDATED_IN_PLACE

    @property
    def is_in_thread(self) -> bool:
        """Whether messages of this kind are posted in the thread of the message with the same ordering key."""
        return self in {MessageKind.THREAD_REPLY, MessageKind.CHART, MessageKind.REVIEW}


ENDPOINT_KINDS: Final = frozenset({MessageKind.EVENT, MessageKind.AUDIT})
_UPDATED_IN_PLACE = frozenset(
    {MessageKind.CARD, MessageKind.NOTICE, MessageKind.ROLLBACK, MessageKind.INCIDENT, MessageKind.PROPOSAL}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxMessage:
    """One row of the outbox. `key` is never reused. Messages with the same ordering key, `lane`, are sent in order."""

    key: str
    lane: str
    kind: MessageKind
    to: str  # a channel or a user id; a thread reply goes to its card's or notice's channel
    data: dict[str, Any] = field(default_factory=dict)
    number: int = 0
    attempts: int = 0
    was_tried: bool = False  # an earlier attempt may have reached Slack
    created_at: datetime | None = None
    claimed_until: datetime | None = None  # until then no other process delivers it

    @property
    def ref_key(self) -> str:
        """The key under which the message's location is recorded.

        That's the ordering key if only the latest location for that key is recorded: for messages that are updated in
        place, and for audit messages. Otherwise, it's the message's own key.
        """
        return self.lane if self.kind.is_updated_in_place or self.kind is MessageKind.AUDIT else self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryProgress:
    """An outbox row's delivery progress: why it hasn't been delivered, if known, and when it's tried next."""

    is_waiting: bool
    why: str = ""
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class MessageRef:
    """The location of a message in Slack; `file` is the ID of an uploaded file.

    For an audit stream, `channel` is the key of the last delivered message, and `ts` is the number of that message's
    last event.
    """

    channel: str
    ts: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class PendingCount:
    """How many are pending, and since when the oldest has been; `since` is None if there are none or it's unknown."""

    number: int = 0
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The unfinished work at one moment, for metrics. A key that's missing from a mapping means zero."""

    requests: Mapping[RequestState, PendingCount]  # open ones, since they were opened
    commands: PendingCount  # waiting for the registry to be read
    transitions: Mapping[TransitionState, PendingCount]  # intended and executing, since they were intended
    messages: Mapping[MessageKind, PendingCount]  # in the outbox, since they were added
    tag_updates: int  # not written to the registry yet
    incidents: Mapping[IncidentKind, PendingCount]  # open ones, since they were opened
    tripped_breakers: int
    monitors: Mapping[MonitorStatus, int]  # without paused and removed ones
    overdue_checks: PendingCount  # due and not finished, since they were due
    audit_events: int  # in the audit log


class DueWork(Enum):
    """Kinds of work in the ledger that can be due."""

    MESSAGES = "messages"  # to Slack
    EVENTS = "events"  # to webhooks and the audit stream
    RECOVERY = "recovery"  # unfinished transitions and waiting commands
    EXPIRY = "expiry"  # pending requests, which expire or whose freeze window begins or ends
    TAGS = "tags"
    SERVING_CHECKS = "serving checks"
    DIGESTS = "digests"
    INCIDENTS = "incidents"  # open ones
    MONITORS = "monitors"


@dataclass(frozen=True, slots=True)
class CheckBatch:
    """Checks against one source that run together, as pairs of monitor ID and slot. `owner` has claimed them."""

    source: str
    owner: str
    slots: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A monitor's query to a source: the points of `query` for a version, after `since` and up to `until`.

    `source` is the source's name in the policy. `since` is never before the version entered Production. `of`: a second
    query; if set, points are counts, with the count from `query` and the total from `of`. `timeout`: how long the
    source can take to answer.
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
    """An answered HTTP API call with an Idempotency-Key. `digest` is the hash of what was sent."""

    client: str
    key: str
    digest: str
    status: int
    answer: str
    at: datetime


class DeliveryOutcome(Enum):
    """How a delivery attempt ended."""

    DELIVERED = "delivered"
    RETRY = "later"  # try again after `retry_after`
    UNKNOWN = "unknown"  # the answer was lost: search for the key before trying again
    REFUSED = "never"  # Slack will never accept it


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """The result of a delivery attempt. `is_new`: whether the message was newly posted, not edited or found."""

    outcome: DeliveryOutcome
    message_ref: MessageRef | None = None
    retry_after: timedelta = timedelta(0)
    why: str = ""
    is_new: bool = False
