"""The content of a person's App Home. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bot.domain.audit.events import ChainedEvent, Event, EventTag
from bot.domain.core.sentence import Sentence
from bot.domain.monitoring.incident import Incident
from bot.domain.monitoring.model_status import ModelStatus
from bot.domain.monitoring.rules.false_rollbacks import FalseRollbackEstimate
from bot.domain.policy.freezes import Freeze
from bot.domain.promotions.request import Request
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.rollbacks.rollback_targets import BEFORE_REGISTRAR
from bot.domain.transitions.restores import Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRequest:
    """A pending request that the person can decide.

    `block` is what blocks its version, if anything. `is_frozen`: whether a freeze prevents its approval for now.
    """

    request: Request
    verdict: Sentence
    block: RollbackBlock | None
    is_frozen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRequest:
    """A request that the person opened and, if it's pending, who it's waiting for."""

    request: Request
    waiting: Sentence | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeView:
    """One person's App Home. A number whose name ends in `_more` counts the items that aren't shown."""

    to_decide: Sequence[PendingRequest]
    to_decide_more: int
    reviews: Sequence[Request]  # break-glass requests that the person can review
    incidents: Sequence[Incident]  # that no one has acknowledged
    incidents_more: int
    own_requests: Sequence[OwnRequest]  # pending ones first
    statuses: Sequence[ModelStatus]  # those with problems first
    global_freezes: Sequence[Freeze]  # freezes of all models
    expected_false_rollbacks: FalseRollbackEstimate | None  # of all armed monitors
    recent_events: Sequence[ChainedEvent]
    policy_notice: Sentence | None  # why the policy in effect differs from the policy file
    hold: Hold | None = None
    links: Mapping[str, str] = field(default_factory=dict)  # to the messages in Slack, by request or incident id


# Recent activity shows decisions and outcomes, not every vote.
RECENT_EVENT_TAGS = (
    EventTag.TRANSITION_DONE,
    EventTag.REJECTED,
    EventTag.STALE,
    EventTag.EXPIRED,
    EventTag.FAILED,
    EventTag.GATES_OVERRIDDEN,
    EventTag.FROZEN,
    EventTag.UNFROZEN,
    EventTag.TRANSITION_OBSERVED,
    EventTag.ROLLED_BACK,
    EventTag.BREAKER_TRIPPED,
    EventTag.STAGE_REPAIRED,
    EventTag.ARCHIVED,
    EventTag.REGISTERED,
    EventTag.POLICY_LOADED,
    EventTag.POLICY_INVALID,
    EventTag.SERVING_TIMED_OUT,
    EventTag.WEBHOOK_GIVEN_UP,
    EventTag.MONITOR_ARMED,
    EventTag.BREAKER_RESET,
    EventTag.WORK_HELD,
    EventTag.HOLD_ACCEPTED,
    EventTag.HOLD_DROPPED,
    EventTag.REVIEWED,
    EventTag.REVIEW_OVERDUE,
)


def recent_activity(events: Iterable[ChainedEvent], limit: int) -> list[ChainedEvent]:
    """Return the events (newest first) that a person would care about, with only the latest one for each subject.

    A serving timeout doesn't replace another event about its subject; both are returned. `limit` caps the result.
    """
    by_subject: dict[tuple[str, bool], ChainedEvent] = {}
    for link in events:
        if not _is_noise(link.event):
            # That an endpoint doesn't follow doesn't replace the line about the rollback.
            by_subject.setdefault((link.event.subject, link.event.tag is EventTag.SERVING_TIMED_OUT), link)
    return list(by_subject.values())[:limit]


def _is_noise(event: Event) -> bool:
    """Return whether an event reports no change: the first policy, an unchanged one, or state from before Registrar."""
    if event.tag is EventTag.POLICY_LOADED:
        return event.before is None or not event.evidence.get("changes")
    return event.tag is EventTag.TRANSITION_OBSERVED and event.why == BEFORE_REGISTRAR
