"""Requests: their states, and the facts that approvers decide on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from bot.domain.core.actors import Actor, format_actor
from bot.domain.core.agent import Agent
from bot.domain.core.ci_run import CiRun
from bot.domain.core.errors import AlreadyDecided, Refused
from bot.domain.core.sentence import Code, say
from bot.domain.policy.authorization import AccessTarget
from bot.domain.registry.model import Stage, VersionIdentity, VersionInfo
from bot.domain.registry.signature_changes import CallerImpact, pack_caller_impact, unpack_caller_impact


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """The result of one gate: the value and the bound. All texts are for people; `name` and `bound` identify it.

    `limit` is what a failed metric's value would have to reach; None for other gates, and for results from older
    releases.
    """

    name: str
    bound: str
    value: str
    passed: bool
    note: str = ""
    limit: float | None = None

    @property
    def key(self) -> str:
        """What distinguishes this gate from the rule's other gates."""
        return f"{self.name} {self.bound}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSnapshot:
    """The facts that approvers decide on.

    `rule` is the fingerprint of the policy's rule, and `policy` is the policy's revision. `metrics` are the
    candidate's, and `against` the incumbent's; missing ones are left out. `validation` has the results that the
    requester reported. `callers` is what changes for callers, if that was compared. `blocked` is the number of the
    blocked version: the candidate, or another version with the same files.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    against: Mapping[str, float] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)
    gates: tuple[GateResult, ...] = ()
    rule: str = ""
    policy: str = ""
    callers: CallerImpact = field(default_factory=CallerImpact)
    blocked: int | None = None
    former: Mapping[str, str | None] = field(default_factory=dict)  # tags that the request replaced; None: absent
    facts: Mapping[str, Any] = field(default_factory=dict)  # what else the gates read: see `recorded_facts`

    def fails_gate(self, name: str) -> bool:
        """Return whether a gate of this name failed."""
        return any(gate.name == name for gate in self.failed_gates)

    @property
    def failed_gates(self) -> list[GateResult]:
        """The failed gates."""
        return [gate for gate in self.gates if not gate.passed]


def pack_snapshot(snapshot: RequestSnapshot) -> dict[str, Any]:
    """Return the snapshot as plain JSON values, for the ledger and the audit log."""
    optional_fields: dict[str, Any] = (
        {} if snapshot.callers == CallerImpact() else {"callers": pack_caller_impact(snapshot.callers)}
    )
    optional_fields |= {} if snapshot.blocked is None else {"blocked": snapshot.blocked}
    return {
        "metrics": dict(snapshot.metrics),
        "against": dict(snapshot.against),
        "validation": dict(snapshot.validation),
        "gates": [_pack_gate(gate) for gate in snapshot.gates],
        "rule": snapshot.rule,
        "policy": snapshot.policy,
    } | optional_fields


def _pack_gate(gate: GateResult) -> dict[str, Any]:
    packed = asdict(gate)
    return packed if gate.limit is not None else {name: value for name, value in packed.items() if name != "limit"}


def unpack_snapshot(data: Mapping[str, Any]) -> RequestSnapshot:
    """Return the snapshot that `pack_snapshot` wrote, with `former` and `facts` if they're stored."""
    gates = tuple(GateResult(**gate) for gate in data["gates"])
    callers = CallerImpact() if data.get("callers") is None else unpack_caller_impact(data["callers"])
    return RequestSnapshot(**{**data, "gates": gates, "callers": callers})


class RequestState(Enum):
    """The states of a request: pending → approved → executing → done, or one of five other final states."""

    PENDING = "pending"  # waiting for approvals
    APPROVED = "approved"  # enough approvals; its transition is recorded
    EXECUTING = "executing"  # the transition is being executed
    DONE = "done"  # the version was promoted, and the registry confirmed it
    REJECTED = "rejected"  # an approver rejected it
    CANCELLED = "cancelled"  # the requester or an admin canceled it
    EXPIRED = "expired"  # not decided or executed in time
    STALE = "stale"  # outdated: the facts it's based on changed since it was opened
    FAILED = "failed"  # the registry refused the transition

    @property
    def is_open(self) -> bool:
        """Whether it can still change state."""
        return bool(NEXT_STATES[self])

    @property
    def label(self) -> str:
        """The state as people read it; the value is stored."""
        return {"cancelled": "canceled", "stale": "outdated"}.get(self.value, self.value)


NEXT_STATES: dict[RequestState, frozenset[RequestState]] = {
    RequestState.PENDING: frozenset(
        {RequestState.APPROVED, RequestState.REJECTED, RequestState.CANCELLED, RequestState.EXPIRED, RequestState.STALE}
    ),
    RequestState.APPROVED: frozenset(
        {RequestState.EXECUTING, RequestState.STALE, RequestState.FAILED, RequestState.EXPIRED}
    ),
    # Back to approved: the registry isn't responding, and the transition waits for it.
    RequestState.EXECUTING: frozenset(
        {RequestState.DONE, RequestState.STALE, RequestState.FAILED, RequestState.EXPIRED, RequestState.APPROVED}
    ),
    RequestState.DONE: frozenset(),
    RequestState.REJECTED: frozenset(),
    RequestState.CANCELLED: frozenset(),
    RequestState.EXPIRED: frozenset(),
    RequestState.STALE: frozenset(),
    RequestState.FAILED: frozenset(),
}
OPEN_STATES = tuple(state for state in RequestState if state.is_open)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request to promote a version to a stage. `incumbent` was in the stage when the request was opened."""

    id: str
    model: str
    version: int
    from_stage: Stage
    target: Stage
    incumbent: int | None
    requester: Actor
    reason: str
    required: int
    opened_at: datetime
    expires_at: datetime
    keep_existing: bool = False
    semver: str | None = None
    state: RequestState = RequestState.PENDING
    decided_at: datetime | None = None
    decided_by: Actor | None = None
    outcome: str = ""
    former_status: str | None = None  # the version's tag approval_status before the request was opened
    seen: RequestSnapshot | None = None  # the facts when it was opened; None if an older release opened it
    overridden_by: Actor | None = None  # who overrode failed gates
    override_reason: str = ""
    reminded: int = 0  # how often the approvers were reminded
    ci: CiRun | None = None  # the CI run that it came from
    agent: Agent | None = None  # the agent that made it
    breaks_glass: bool = False  # an admin promoted without approvals, in an emergency
    identity: VersionIdentity | None = (
        None  # the version's identity when it was opened; None if an older release opened it
    )
    incumbent_identity: VersionIdentity | None = None
    # Only a break-glass promotion needs a review; those from older releases have no due date.
    review_due: datetime | None = None
    reviewed_by: Actor | None = None
    reviewed_at: datetime | None = None
    review_reason: str = ""
    review_reminded: int = 0  # 1: before the date, 2: once it was overdue

    def with_state(self, state: RequestState, **changes: object) -> Request:
        """Return the request in its next state. Raise AlreadyDecided if `NEXT_STATES` doesn't allow it."""
        if state not in NEXT_STATES[self.state]:
            raise AlreadyDecided(f"The request is {self.state.label}, so it can't become {state.label}.")
        return replace(self, state=state, **changes)  # type: ignore[arg-type]  # dataclasses.replace is untyped

    def is_about(self, version: VersionInfo) -> bool:
        """Return whether it's about this version, rather than a different one that had the same number."""
        if self.version != version.version:
            return False
        return self.identity is None or self.identity.is_same(version.identity())

    @property
    def access_target(self) -> AccessTarget:
        """The target that permissions to decide, cancel, or review it apply to."""
        return AccessTarget(
            model=self.model, target=self.target, requester=self.requester, ci=self.ci, agent=self.agent
        )

    @property
    def has_blocking_gates(self) -> bool:
        """Whether a gate failed and nobody has overridden it, so that no number of approvals is enough."""
        return self.seen is not None and bool(self.seen.failed_gates) and self.overridden_by is None

    @property
    def needs_review(self) -> bool:
        """Whether it's a completed break-glass promotion that nobody has reviewed yet."""
        return self.review_due is not None and self.reviewed_at is None and self.state is RequestState.DONE

    def review_reminder_at(self) -> datetime | None:
        """Return when the next reminder about its review is due, or None.

        The first is a day before the due date, or halfway to it if that's later. The second is at the due date.
        """
        if not self.needs_review or self.review_due is None or self.review_reminded > 1:
            return None
        if self.review_reminded == 1:
            return self.review_due
        began = self.decided_at or self.opened_at
        return self.review_due - min(timedelta(days=1), (self.review_due - began) / 2)

    def is_pending_past_expiry(self, now: datetime) -> bool:
        """Return whether it's still pending but past its expiry."""
        return self.state is RequestState.PENDING and self.is_past_expiry(now)

    def is_past_expiry(self, now: datetime) -> bool:
        """Return whether it's past its expiry, approved or not."""
        return now >= self.expires_at


def check_reviewable(request: Request) -> None:
    """Check that a request's review can be recorded now.

    Raise Refused if it was approved normally or isn't done, and AlreadyDecided if it has been reviewed.
    """
    if not request.breaks_glass:
        raise Refused(say("Request {id} didn't break glass, so there's nothing to review.", id=Code(request.id)))
    if request.state is not RequestState.DONE:
        why = (
            "Request {id} isn't done yet. Review it when it is."
            if request.state.is_open
            else ("Request {id} ended without a promotion ({state}), so there's nothing to review.")
        )
        raise Refused(say(why, id=Code(request.id), state=request.state.label))
    if request.reviewed_by is not None:
        raise AlreadyDecided(
            say("{who} already reviewed this ({at}).", who=format_actor(request.reviewed_by), at=request.reviewed_at)
        )
