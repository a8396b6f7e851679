"""Audit events: what happened, in one vocabulary. A tag reads `source:subject:action`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from bot.domain.core.actors import Actor, actor_id, parse_actor

GENESIS_HASH = "0" * 64  # what the first event's hash is chained to


class EventTag(Enum):
    """Every kind of event. The comment says when it is written."""

    PROMOTION_REQUESTED = "person:promotion:asked"  # a promotion was asked for, before the registry was read
    PROMOTION_REFUSED = "person:promotion:refused"  # the asking was refused: by the rules, or by what the registry said
    REQUEST_OPENED = "registrar:request:opened"  # a request is open, its card on the way
    VOTED = "person:request:voted"  # one person's approve or reject
    REQUEST_COMMAND_REFUSED = "person:request:refused"  # a click or command on a request that the rules refused
    VOTE_WITHDRAWN = "person:request:withdrawn"  # somebody took their vote back
    VOTE_LAPSED = "registrar:vote:lapsed"  # an approval no longer counts: whoever gave it can no longer approve
    GATES_OVERRIDDEN = "person:request:overridden"  # somebody let the failed gates of a request pass, and why
    BROKE_GLASS = "person:request:broke_glass"  # an admin moved it without approvals, in an emergency, and why
    REVIEWED = "person:request:reviewed"  # someone else reviewed what was moved without approvals, and their words
    REVIEW_OVERDUE = "registrar:request:review_overdue"  # nobody has within the time that the policy sets
    REMINDED = "registrar:request:reminded"  # those who can decide were reminded
    APPROVED = "registrar:request:approved"  # enough approvals: the move is written down
    REJECTED = "registrar:request:rejected"  # one person who may decide said no: the request has ended
    CANCELLED = "person:request:cancelled"  # the requester or an admin took it back
    EXPIRED = "registrar:request:expired"  # not decided, or not moved, in time
    STALE = "registrar:request:stale"  # what it was decided on had changed: nothing was moved
    FAILED = "registrar:request:failed"  # the registry refused the move
    REGISTRY_CHANGE_REQUESTED = "person:registry:asked"  # a change of the registry was asked for, before it was made
    REGISTRY_CHANGE_REFUSED = "person:registry:failed"  # it was not made: the rules or the registry said no
    REGISTERED = "registrar:version:registered"  # a version was made out of a run
    DESCRIBED = "registrar:version:described"  # a description was written
    TAGGED = "registrar:version:tagged"  # tags were set or taken away
    ARCHIVED = "registrar:version:archived"  # a version was taken aside, and read back
    STAGE_REPAIRED = "registrar:stage:mended"  # a stage has its one holder again, read back
    ROLLED_BACK = "registrar:version:rolled_back"  # the version before is in Production again, read back
    ROLLBACK_FORCED = "person:version:forced"  # somebody went back to a version that may not load, and why it may not
    UNBLOCKED = "person:version:cleared"  # a version that was rolled back as bad was unblocked
    TRANSITION_NOT_MADE = "registrar:version:not_moved"  # an archiving, repair or rollback changed nothing, and why
    DRIFT_FOUND = "registry:model:changed"  # the poll found a change that nobody asked us for
    FROZEN = "person:production:frozen"  # somebody froze Production, of one model or of all
    UNFROZEN = "person:production:unfrozen"  # somebody lifted what was frozen
    MONITOR_ADDED = "person:monitor:added"  # somebody let a monitor watch a model
    MONITOR_EDITED = "person:monitor:edited"  # somebody changed a monitor: its rule before and after
    MONITOR_PAUSED = "person:monitor:paused"  # somebody stopped its checks
    MONITOR_RESUMED = "person:monitor:resumed"  # somebody let it be checked again
    MONITOR_REMOVED = "person:monitor:removed"  # somebody took a monitor away
    MONITOR_SILENCED = "person:monitor:silenced"  # somebody held back its posts and acts, until when and why
    MONITOR_UNSILENCED = "person:monitor:unsilenced"  # somebody let it post and act again
    MONITOR_ARMED = "person:monitor:armed"  # a second person let it roll back by itself; an admin perhaps untried
    BREAKER_RESET = "person:breaker:reset"  # an admin let automatic rollbacks go on
    INCIDENT_ACKNOWLEDGED = "person:incident:acknowledged"  # somebody looks after an incident
    POLICY_LOADED = "registrar:policy:taken"  # a policy is in force: its text, the names behind its ids, what changed
    POLICY_INVALID = "registrar:policy:broken"  # an edited file is wrong: the policy before it goes on holding
    ANCHORED = "registrar:audit:anchored"  # the chain's head was written down elsewhere
    HISTORY_IMPORTED = "person:history:imported"  # terms of Production from before Registrar were added, and why
    WORK_HELD = "registrar:ledger:held"  # ledger and MLflow disagree as after a restore: what was waiting is held
    BLOCKED = "registrar:version:barred"  # MLflow's tags say that it was rolled back, and a restored ledger doesn't
    HOLD_ACCEPTED = "person:ledger:accepted"  # an admin lets what was held be carried out, and why
    HOLD_DROPPED = "person:ledger:dropped"  # an admin ended what was held, and why
    TRANSITION_DONE = "registrar:version:moved"  # moved, and read back
    TRANSITION_OBSERVED = "registry:version:moved"  # the poll found a move that nobody asked us for
    MONITOR_FAILED = "monitor:version:failed"  # a monitor's rule says that the version in Production is bad
    MONITOR_NO_VERDICT = "monitor:version:blind"  # a monitor has had no data, errors, or no verdict for too long
    MONITOR_RECOVERED = "monitor:version:well"  # it is well again, or measured and judged again
    INCIDENT_RESOLVED = "registrar:incident:resolved"  # an incident is over, and how it ended
    BREAKER_TRIPPED = "registrar:breaker:tripped"  # automatic rollbacks stop until an admin resets them
    BASELINE_RATCHETED = "monitor:baseline:raised"  # a version's own days replace its baseline, since they're better
    POLICY_MONITORS_LOADED = "registrar:monitor:taken"  # a monitor of the policy file was added, changed or removed
    SERVING_CONFIRMED = "registrar:serving:confirmed"  # the serving side reports the version that was moved
    SERVING_TIMED_OUT = "registrar:serving:denied"  # its time limit is over, and it does not
    WEBHOOK_GIVEN_UP = "registrar:endpoint:given_up"  # an endpoint never took the event of a move, and why
    PROMOTION_CANCELLED = "person:promotion:called_off"  # who asked took it back before the registry was read
    API_REFUSED = "client:api:refused"  # a program was refused at the HTTP API; once a minute for each
    METRICS_REFUSED = "client:metrics:refused"  # readings were not taken from a program; once a minute for each
    PERMISSION_REFUSED = "person:registry:refused"  # the rules let somebody not do, or not see, something


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact for the auditor. Never edited; `evidence` holds plain JSON values only."""

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
    """An event as it stands in the chain: its number, the hash before it and its own."""

    number: int
    event: Event
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class ChainHead:
    """Where the chain ends: the last event's number and hash."""

    number: int
    hash: str


CHAIN_START = ChainHead(0, GENESIS_HASH)


def canonical_json(event: Event, number: int) -> str:
    """Return the event as the one text that is hashed: JSON, keys sorted, no spaces, times in UTC."""
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
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_time(at: datetime) -> str:
    """Return a time as the one text that is hashed: in UTC, to the microsecond."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def parse_canonical_json(text: str) -> Event:
    """Return the event that `canonical` wrote."""
    fields = json.loads(text)
    return Event(
        at=datetime.fromisoformat(fields["at"]),
        actor=parse_actor(fields["actor"]),
        tag=EventTag(fields["tag"]),
        **{key: fields[key] for key in ("subject", "model", "before", "after", "why", "origin", "evidence")},
    )


def chained_hash(previous_hash: str, body: str) -> str:
    """Return the hash of an event: SHA-256 over the hash before it, a line end, and its canonical text."""
    return hashlib.sha256(f"{previous_hash}\n{body}".encode()).hexdigest()
