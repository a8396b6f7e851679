"""Audit events: what happened. A tag has the form `source:subject:action`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from bot.domain.core.actors import Actor, actor_id, parse_actor

GENESIS_HASH = "0" * 64  # the hash before the first event
AUDIT_PAGE_SIZE = 20  # events per page


class EventTag(Enum):
    """Every kind of audit event. Each one's comment says when it's recorded."""

    PROMOTION_REQUESTED = "person:promotion:asked"  # a promotion was requested, before the registry was read
    PROMOTION_REFUSED = "person:promotion:refused"  # the request was refused, by the rules or by the registry
    REQUEST_OPENED = "registrar:request:opened"  # a request is open, and its card is queued
    VOTED = "person:request:voted"  # someone approved or rejected
    REQUEST_COMMAND_REFUSED = "person:request:refused"  # the rules refused a click or command on a request
    VOTE_WITHDRAWN = "person:request:withdrawn"  # someone withdrew their vote
    VOTE_LAPSED = "registrar:vote:lapsed"  # an approval no longer counts, because the voter can no longer approve
    GATES_OVERRIDDEN = "person:request:overridden"  # someone overrode a request's failed gates, with the reason
    BROKE_GLASS = "person:request:broke_glass"  # an admin promoted without approvals in an emergency, with the reason
    REVIEWED = "person:request:reviewed"  # another person reviewed a break-glass promotion, with a comment
    REVIEW_OVERDUE = "registrar:request:review_overdue"  # no one reviewed a break-glass promotion in time
    REMINDED = "registrar:request:reminded"  # the approvers were reminded
    APPROVED = "registrar:request:approved"  # a request has enough approvals, and its transition is recorded
    REJECTED = "registrar:request:rejected"  # an approver rejected a request, which ends it
    CANCELLED = "person:request:cancelled"  # the requester or an admin canceled a request
    EXPIRED = "registrar:request:expired"  # a request expired before it was decided or executed
    STALE = "registrar:request:stale"  # a request is outdated, because what it was based on has changed
    FAILED = "registrar:request:failed"  # the registry refused a request's transition
    REGISTRY_CHANGE_REQUESTED = "person:registry:asked"  # a registry change was requested, before it was made
    REGISTRY_CHANGE_REFUSED = "person:registry:failed"  # the rules or the registry refused a registry change
    REGISTERED = "registrar:version:registered"  # a run was registered as a version
    DESCRIBED = "registrar:version:described"  # a description was written
    TAGGED = "registrar:version:tagged"  # tags were set or removed
    ARCHIVED = "registrar:version:archived"  # a version was archived, verified in the registry
    STAGE_REPAIRED = "registrar:stage:mended"  # a stage has a single version again, verified in the registry
    ROLLED_BACK = "registrar:version:rolled_back"  # an earlier version is in Production again, verified in the registry
    ROLLBACK_FORCED = "person:version:forced"  # someone rolled back to a version that might not load
    UNBLOCKED = "person:version:cleared"  # a version that a rollback had blocked was unblocked
    TRANSITION_NOT_MADE = "registrar:version:not_moved"  # an archive, repair, or rollback changed nothing; says why
    DRIFT_FOUND = "registry:model:changed"  # the poll found a change made outside Registrar
    FROZEN = "person:production:frozen"  # someone froze Production, for one model or all
    UNFROZEN = "person:production:unfrozen"  # someone unfroze Production
    MONITOR_ADDED = "person:monitor:added"  # someone added a monitor
    MONITOR_PROPOSED = "person:monitor:proposed"  # an agent proposed a monitor, with its backtest; someone can add it
    MONITOR_DISMISSED = "person:monitor:dismissed"  # someone dismissed a proposed monitor
    MONITOR_EDITED = "person:monitor:edited"  # someone edited a monitor, with its rule before and after
    MONITOR_PAUSED = "person:monitor:paused"  # someone paused a monitor
    MONITOR_RESUMED = "person:monitor:resumed"  # someone resumed a monitor
    MONITOR_REMOVED = "person:monitor:removed"  # someone removed a monitor
    MONITOR_SILENCED = "person:monitor:silenced"  # someone silenced a monitor, with the end time and the reason
    MONITOR_UNSILENCED = "person:monitor:unsilenced"  # someone unsilenced a monitor
    MONITOR_ARMED = "person:monitor:armed"  # a second person armed a monitor; an admin can without a dry run
    BREAKER_RESET = "person:breaker:reset"  # an admin allowed automatic rollbacks again
    INCIDENT_ACKNOWLEDGED = "person:incident:acknowledged"  # someone acknowledged an incident
    POLICY_LOADED = "registrar:policy:taken"  # a policy took effect, with its text, its changes, and the names in it
    POLICY_INVALID = "registrar:policy:broken"  # an edited file is invalid: the previous policy stays in effect
    ANCHORED = "registrar:audit:anchored"  # the chain's head was recorded elsewhere
    HISTORY_IMPORTED = "person:history:imported"  # serving periods from before Registrar were added; says why
    WORK_HELD = "registrar:ledger:held"  # the ledger and MLflow disagree, so pending work is held
    BLOCKED = "registrar:version:barred"  # a restored ledger lacks a rollback that MLflow's tags show
    HOLD_ACCEPTED = "person:ledger:accepted"  # an admin allowed held work to be executed, with the reason
    HOLD_DROPPED = "person:ledger:dropped"  # an admin dropped held work, with the reason
    TRANSITION_DONE = "registrar:version:moved"  # a version was moved, verified in the registry
    PASSPORT_ISSUED = "registrar:passport:issued"  # a version that entered a stage got a passport
    KEY_CREATED = "person:key:created"  # someone created a key that signs passports
    TRANSITION_OBSERVED = "registry:version:moved"  # the poll found a transition made outside Registrar
    MONITOR_FAILED = "monitor:version:failed"  # a monitor's rule says that the version in Production is bad
    MONITOR_NO_VERDICT = "monitor:version:blind"  # a monitor has had errors, no data, or no verdict for too long
    MONITOR_RECOVERED = "monitor:version:well"  # a monitor is healthy again, or has data and verdicts again
    INCIDENT_RESOLVED = "registrar:incident:resolved"  # an incident is over, and how it ended
    BREAKER_TRIPPED = "registrar:breaker:tripped"  # automatic rollbacks stop until an admin resets them
    BASELINE_RATCHETED = "monitor:baseline:raised"  # a version's own, better days became its baseline
    POLICY_MONITORS_LOADED = "registrar:monitor:taken"  # a monitor of the policy file was added, changed, or removed
    SERVING_CONFIRMED = "registrar:serving:confirmed"  # the endpoint reports the version in Production
    SERVING_TIMED_OUT = "registrar:serving:denied"  # the endpoint didn't report that version in time
    FILES_RECORDED = "registrar:version:files_recorded"  # all files of a version are hashed
    FILES_CHANGED = "registrar:version:files_changed"  # files of a version differ from what was recorded
    WEBHOOK_GIVEN_UP = "registrar:endpoint:given_up"  # a webhook endpoint never accepted a transition's event; says why
    PROMOTION_CANCELLED = "person:promotion:called_off"  # a promotion was canceled before the registry was read
    API_REFUSED = "client:api:refused"  # the HTTP API refused a program; at most once a minute for each program
    METRICS_REFUSED = "client:metrics:refused"  # readings were rejected; at most once a minute for each program
    PERMISSION_REFUSED = "person:registry:refused"  # the rules denied someone an action or access


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An entry in the audit log. It's never edited; `evidence` contains only plain JSON values."""

    at: datetime
    actor: Actor
    tag: EventTag
    subject: str
    model: str | None = None
    before: str | None = None
    after: str | None = None
    why: str = ""
    origin: str = ""  # slack, terminal, api, job
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainedEvent:
    """An event in the chain, with its number, the previous event's hash, and its own hash."""

    number: int
    event: Event
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The head of the chain: the last event's number and hash."""

    number: int
    hash: str


CHAIN_START = ChainHead(0, GENESIS_HASH)


def _as_dict(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"not JSON: {type(value).__name__}")


# Encodes JSON data as canonical text. Raises ValueError for NaN, and TypeError for anything that isn't JSON.
encode_json: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_as_dict
).encode


def canonical_json(event: Event, number: int) -> str:
    """Return the canonical text that is hashed: JSON with sorted keys, no spaces, and times in UTC."""
    fields = {
        "number": number,
        "at": canonical_time(event.at),
        "actor": actor_id(event.actor),
        "tag": event.tag.value,
        "subject": event.subject,
        "model": event.model,
        "before": event.before,
        "after": event.after,
        "why": event.why,
        "origin": event.origin,
        "evidence": dict(event.evidence),
    }
    return encode_json(fields)


def canonical_time(at: datetime) -> str:
    """Return the canonical text of a time: in UTC, to the microsecond."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def parse_canonical_json(text: str) -> Event:
    """Return the event that `canonical_json` wrote."""
    fields = json.loads(text)
    return Event(
        at=datetime.fromisoformat(fields["at"]),
        actor=parse_actor(fields["actor"]),
        tag=EventTag(fields["tag"]),
        subject=fields["subject"],
        model=fields["model"],
        before=fields["before"],
        after=fields["after"],
        why=fields["why"],
        origin=fields["origin"],
        evidence=fields["evidence"],
    )


def chained_hash(previous_hash: str, body: str) -> str:
    """Return the hash of an event: SHA-256 of the previous hash, a newline, and its canonical text."""
    return hashlib.sha256(f"{previous_hash}\n{body}".encode()).hexdigest()
