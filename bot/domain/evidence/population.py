"""The population of changes to Production, and the exceptions, built from audit events in order. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Automation, parse_actor
from bot.domain.core.errors import RegistrarError
from bot.domain.evidence.controls import ExceptionKind
from bot.domain.evidence.request_trail import Fields, RequestTrail, user_of
from bot.domain.policy.policy import Policy
from bot.domain.registry.model import Stage
from bot.domain.transitions.passport_status import PASSPORT_KINDS
from bot.domain.transitions.transition import TransitionKind, TransitionState

# Each change's keys. They're a public interface: never rename or remove one.
CHANGE_KEYS = {
    "id": "the transition's ID",
    "model": "the model's name",
    "version": "the version that entered Production, or null if Production was emptied",
    "before": "the version that was in Production before, or null",
    "cause": "promotion, break_glass, rollback, `mend` (a repair), or observed (made in the registry directly)",
    "is_baseline": "whether it was in Production when Registrar first read the registry",
    "at": "when it took effect",
    "event": "the number of its audit event",
    "executed_by": "who caused it: for a promotion, whoever completed the approvals",
    "reason": "the stated reason",
    "request": "the request's ID, or null",
    "requested_by": "the requester, or null",
    "approved_by": "a list of the people whose approvals counted",
    "policy": "the revision of the policy in effect",
    "read_back_at": "when the registry confirmed it, or null",
    "serving": "confirmed, denied, or null if the endpoint wasn't checked or hadn't reported",
    "serving_at": "when that was recorded, or null",
    "review": "of a break-glass promotion: due, at, by; otherwise null",
    "passport": "the ID of its passport, or null",
}
_ENTRIES = {
    EventTag.TRANSITION_DONE.value: None,
    EventTag.ROLLED_BACK.value: TransitionKind.ROLLBACK,
    EventTag.STAGE_REPAIRED.value: TransitionKind.REPAIR,
    EventTag.TRANSITION_OBSERVED.value: TransitionKind.OBSERVED,
}
# What people do to oversee the models, as reports name it.
INTERVENTIONS = {
    EventTag.VOTED.value: "voted",
    EventTag.ROLLED_BACK.value: "rolled back",
    EventTag.FROZEN.value: "froze",
    EventTag.UNFROZEN.value: "unfroze",
    EventTag.REJECTED.value: "rejected",
    EventTag.GATES_OVERRIDDEN.value: "overrode gates",
    EventTag.BROKE_GLASS.value: "broke glass",
    EventTag.REVIEWED.value: "reviewed",
    EventTag.UNBLOCKED.value: "unblocked",
    EventTag.BREAKER_RESET.value: "allowed automatic rollbacks again",
}
LATEST = "9999-12-31T23:59:59.999999+00:00"  # after every event


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceQuestion:
    """What a report covers. Times are canonical UTC text, which sorts chronologically; both ends are included.

    `model` limits the report to one model; None means all. `sample` is how many changes to sample, and `seed` decides
    which ones.
    """

    since: str
    until: str = LATEST
    model: str | None = None
    sample: int = 25
    seed: int = 7

    def covers(self, at: str, model: str | None) -> bool:
        """Return whether a time is in the period and the report covers the model."""
        return self.since <= at <= self.until and self.model in {None, model}

    def rank(self, change_id: str) -> str:
        """Return the text that ranks a change for sampling; the sample has the changes that rank lowest."""
        return hashlib.sha256(f"{self.seed}:{change_id}".encode()).hexdigest()


@dataclass(slots=True)
class Population:
    """The changes and exceptions found so far. Add every audit event once, in order.

    `first_read_at` is when Registrar first read the registry, if known.
    """

    question: EvidenceQuestion
    parse_policy: Callable[[str], Policy]
    first_read_at: str | None
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    exceptions: list[dict[str, Any]] = field(default_factory=list)
    approvers: dict[str, list[str]] = field(default_factory=dict)  # the Slack IDs of those who approved each change
    sampled: dict[str, RequestTrail | None] = field(default_factory=dict)  # by the change's ID
    policies: list[tuple[Fields, Policy | None]] = field(default_factory=list)
    recorded: set[str] = field(default_factory=set)  # all changes to Production in the log, also outside the period
    holders: dict[str, int | None] = field(default_factory=dict)  # the version in Production, by model
    last_change_at: dict[str, str] = field(default_factory=dict)  # by model
    for_callers: dict[str, list[str]] = field(default_factory=dict)  # what changed for callers, if that was recorded
    imported_models: set[str] = field(default_factory=set)
    keys_since: int | None = None  # the number of the first event about a key that signs passports
    counts: Counter[str] = field(default_factory=Counter)  # events in the period, by tag
    interventions: list[Fields] = field(default_factory=list)  # the events in the period of people who oversee models
    unreadable: list[int] = field(default_factory=list)  # events that this version can't read
    _open: dict[str, RequestTrail] = field(default_factory=dict)
    _to_review: dict[str, RequestTrail] = field(default_factory=dict)

    @property
    def policy(self) -> Policy | None:
        """The policy in effect after the last event, if it's known."""
        return self.policies[-1][1] if self.policies else None

    def add(self, event: Fields) -> None:
        """Process the next event, given as its body's fields with its number."""
        try:
            if event["tag"] in _ENTRIES and _is_about_production(event):
                self.recorded.add(self._transition_id(event))
            if event["at"] > self.question.until:
                return
            if self.question.covers(event["at"], event["model"]):
                self.counts[event["tag"]] += 1
                if event["tag"] in INTERVENTIONS and not isinstance(parse_actor(event["actor"]), Automation):
                    self.interventions.append(event)
            if handle := _HANDLERS.get(event["tag"]):
                handle(self, event)
        except (KeyError, ValueError, TypeError, AttributeError):  # altered, or from another version
            self.unreadable.append(event["number"])

    def report(self, kind: ExceptionKind, event: Fields, **facts: Any) -> None:
        """Add an exception if its event is in the period and about a model that the report covers."""
        if self.question.covers(event["at"], event["model"]):
            self.add_exception(kind, event["at"], event["model"], event["subject"], event["number"], facts)

    def add_exception(
        self,
        kind: ExceptionKind,
        at: str | None,
        model: str | None,
        subject: str | None,
        number: int | None,
        facts: Mapping[str, Any],
    ) -> None:
        """Add an exception; `number` is its audit event's number."""
        where = {"at": at, "model": model, "subject": subject, "event": number}
        self.exceptions.append({"kind": kind.code, **where, "facts": facts})

    def finish(self) -> None:
        """Report what should have happened by `question.until` but didn't."""
        for trail in self._to_review.values():
            due = trail.review_due()
            late = {**trail.opened, "at": due, "number": trail.events[-1]}
            self.report(ExceptionKind.BREAK_GLASS_NOT_REVIEWED, late, broke_glass_at=trail.broke_glass_at, due=due)
        for trail in self._open.values():
            if trail.approved_at or trail.broke_glass_at:
                ended = {**trail.opened, "at": trail.expires_at(), "number": trail.events[-1]}
                self.report(ExceptionKind.NOT_READ_BACK, ended, expired_at=ended["at"])

    # -- policies and requests -----------------------------------------------------------------------------------------

    def _load_policy(self, event: Fields) -> None:
        try:
            policy = self.parse_policy(event["evidence"]["text"])
        except RegistrarError:  # this version can't read it
            policy = None
        self.policies.append((event, policy))

    def _open_request(self, event: Fields) -> None:
        if event["evidence"]["target"] == Stage.PRODUCTION.value:
            facts = event["evidence"]
            rule = facts.get("rule") or {}
            trail = RequestTrail(event, event["subject"], facts, rule, events=[event["number"]])
            trail.check()
            self._open[trail.id] = trail

    def _change_request(self, event: Fields) -> None:
        trail = self._open.get(event["subject"]) or self._to_review.get(event["subject"])
        if trail is not None:
            trail.events.append(event["number"])
            _REQUEST_HANDLERS[event["tag"]](self, trail, event)

    def _vote(self, trail: RequestTrail, event: Fields) -> None:
        trail.add_vote(event, self.policy)

    def _remove_vote(self, trail: RequestTrail, event: Fields) -> None:
        trail.votes.pop(event["evidence"].get("voter") or user_of(event, self.policy), None)

    def _override(self, trail: RequestTrail, event: Fields) -> None:
        gates = [gate["name"] for gate in event["evidence"].get("gates", ()) if not gate["passed"]]
        trail.override = {
            "by": event["actor"],
            "reason": event["why"],
            "gates": gates,
            "override_event": event["number"],
        }

    def _approve(self, trail: RequestTrail, event: Fields) -> None:
        trail.approved_at = event["at"]

    def _break_glass(self, trail: RequestTrail, event: Fields) -> None:
        trail.broke_glass_at = event["at"]

    def _review(self, trail: RequestTrail, event: Fields) -> None:
        self._to_review.pop(trail.id, None)
        due = event["evidence"].get("due") or trail.review_due()
        facts = {"by": event["actor"], "at": event["at"], "due": due}
        if (change := self.changes.get(trail.transition)) is not None:
            change["review"] = facts
        trail.review = facts | {"comment": event["why"]}
        if event["at"] > due:
            self.report(ExceptionKind.BREAK_GLASS_LATE_REVIEW, event, **facts)
        if user_of(event, self.policy) in trail.own_ids(self.policy):
            self.report(ExceptionKind.SELF_APPROVAL, event, reviewer=event["actor"])

    def _end_request(self, trail: RequestTrail, event: Fields) -> None:
        del self._open[trail.id]
        if event["tag"] == EventTag.FAILED.value:
            self.report(ExceptionKind.FAILED, event, why=event["why"])

    # -- changes to Production -----------------------------------------------------------------------------------------

    def _transition_id(self, event: Fields) -> str:
        if event["tag"] != EventTag.TRANSITION_DONE.value:
            return str(event["subject"])
        trail = self._open.get(event["subject"])
        return trail.transition if trail else f"promotion:{event['subject']}"

    def _enter(self, event: Fields) -> None:
        """Record a change to Production: a promotion, a rollback, a repair, or a change made outside Registrar."""
        if not _is_about_production(event):
            return
        if event["model"] is None:
            raise ValueError("a change of no model")
        trail = self._open.pop(event["subject"], None)
        if trail is not None:
            trail.events.append(event["number"])
        change = self._change(event, trail)
        self.holders[event["model"]], self.last_change_at[event["model"]] = change["version"], event["at"]
        if trail is not None and trail.broke_glass_at:
            self._to_review[trail.id] = trail
            change["review"] = {"due": trail.review_due(), "at": None, "by": None}
        for kind, facts in trail.approval_faults() if trail else ():
            self.report(kind, event, **facts)
        if change["cause"] == TransitionKind.OBSERVED.value and not change["is_baseline"]:
            self.report(ExceptionKind.OUTSIDE_REGISTRAR, event, version=change["version"], before=change["before"])
        if event["evidence"].get("forced"):
            self.report(ExceptionKind.FORCED_ROLLBACK, event, by=event["actor"], reason=change["reason"])
        if self.question.covers(event["at"], event["model"]):
            self.changes[change["id"]] = change
            self.approvers[change["id"]] = trail.approvers if trail else []
            self._draw(change["id"], trail)
            if trail and trail.facts.get("seen"):
                self.for_callers[change["id"]] = trail.changes_for_callers()

    def _change(self, event: Fields, trail: RequestTrail | None) -> dict[str, Any]:
        is_observed = event["tag"] == EventTag.TRANSITION_OBSERVED.value
        kind, evidence = _ENTRIES[event["tag"]], event["evidence"]
        left = is_observed and evidence["stage"] != Stage.PRODUCTION.value
        change_id = trail.transition if trail else self._transition_id(event)
        known: Mapping[str, Any] = trail.facts if trail else {}
        return {
            **dict.fromkeys(CHANGE_KEYS),
            "id": change_id,
            "model": event["model"],
            "version": None if left else _number(event["after"]),
            "before": _number(event["before"]),
            "cause": kind.value if kind else change_id.partition(":")[0],
            "is_baseline": is_observed and self._is_baseline(event),
            "at": event["at"],
            "event": event["number"],
            "executed_by": event["actor"],
            "reason": known.get("reason") or evidence.get("reason") or event["why"],
            "request": event["subject"] if kind is None else None,
            "requested_by": evidence.get("requester"),
            "approved_by": [vote["voter"] for vote in trail.approvals] if trail else [],
            "policy": str(self.policies[-1][0]["after"]) if self.policies else None,
            "read_back_at": None if is_observed else event["at"],
        }

    def _is_baseline(self, event: Fields) -> bool:
        """Return whether the version was already in Production when Registrar first read the registry."""
        first_seen_at = self.last_change_at.get(event["model"], event["at"])
        return bool(first_seen_at == event["at"] <= (self.first_read_at or ""))

    def _draw(self, change_id: str, trail: RequestTrail | None) -> None:
        """Keep details only for changes that can still be in the sample."""
        self.sampled[change_id] = trail
        if len(self.sampled) > self.question.sample:
            del self.sampled[max(self.sampled, key=self.question.rank)]

    def _end_transition(self, event: Fields) -> None:
        evidence = event["evidence"]
        if evidence["to"] == Stage.PRODUCTION.value and evidence["state"] == TransitionState.FAILED.value:
            self.report(ExceptionKind.FAILED, event, why=event["why"])

    def _serve(self, event: Fields) -> None:
        is_confirmed = event["tag"] == EventTag.SERVING_CONFIRMED.value
        if (change := self.changes.get(event["evidence"]["move"])) is not None:
            change |= {"serving": "confirmed" if is_confirmed else "denied", "serving_at": event["at"]}
        if not is_confirmed:
            self.report(ExceptionKind.SERVING_NOT_CONFIRMED, event, seen=event["evidence"]["seen"])

    def _drift(self, event: Fields) -> None:
        """Report a moved alias, unless Production changed to the same version; that change is reported separately."""
        alias = event["evidence"].get("production_alias")
        if alias and alias["after"] != self.holders.get(event["model"]):
            self.report(ExceptionKind.ALIAS_OUTSIDE_REGISTRAR, event, **alias)

    def _change_files(self, event: Fields) -> None:
        if event["evidence"]["version"] == self.holders.get(event["model"]):
            self.report(ExceptionKind.FILES_CHANGED, event, **event["evidence"])

    def _certify(self, event: Fields) -> None:
        """Process a new passport or a new signing key."""
        self.keys_since = self.keys_since or event["number"]
        if (change := self.changes.get(event["subject"].rpartition(":")[0])) is not None:
            change["passport"] = event["subject"]

    def _import(self, event: Fields) -> None:
        self.imported_models.add(event["model"])

    def without_passport(self) -> list[str]:
        """Return the IDs of the changes that have no passport even though a signing key already existed."""
        kinds, first = {kind.value for kind in PASSPORT_KINDS}, self.keys_since
        return [
            change["id"]
            for change in self.changes.values()
            if first and change["event"] > first and change["cause"] in kinds and change["passport"] is None
        ]


def _is_about_production(event: Fields) -> bool:
    evidence = event["evidence"]
    return bool("stage" in evidence or Stage.PRODUCTION.value in {evidence.get("target"), evidence.get("to")})


def _number(label: str | None) -> int | None:
    """Return a label's version number, such as 4 for `v4`; None without a label."""
    return int(label.removeprefix("v")) if label else None


_ENDS = (EventTag.REJECTED, EventTag.CANCELLED, EventTag.EXPIRED, EventTag.STALE, EventTag.FAILED)
_REQUEST_HANDLERS: dict[str, Callable[[Population, RequestTrail, Fields], None]] = {
    EventTag.VOTED.value: Population._vote,
    EventTag.VOTE_WITHDRAWN.value: Population._remove_vote,
    EventTag.VOTE_LAPSED.value: Population._remove_vote,
    EventTag.GATES_OVERRIDDEN.value: Population._override,
    EventTag.APPROVED.value: Population._approve,
    EventTag.BROKE_GLASS.value: Population._break_glass,
    EventTag.REVIEWED.value: Population._review,
    **{tag.value: Population._end_request for tag in _ENDS},
}
_HANDLERS: dict[str, Callable[[Population, Fields], None]] = {
    EventTag.POLICY_LOADED.value: Population._load_policy,
    EventTag.REQUEST_OPENED.value: Population._open_request,
    EventTag.TRANSITION_NOT_MADE.value: Population._end_transition,
    EventTag.SERVING_CONFIRMED.value: Population._serve,
    EventTag.SERVING_TIMED_OUT.value: Population._serve,
    EventTag.DRIFT_FOUND.value: Population._drift,
    EventTag.FILES_CHANGED.value: Population._change_files,
    EventTag.HISTORY_IMPORTED.value: Population._import,
    EventTag.KEY_CREATED.value: Population._certify,
    EventTag.PASSPORT_ISSUED.value: Population._certify,
    **dict.fromkeys(_REQUEST_HANDLERS, Population._change_request),
    **dict.fromkeys(_ENTRIES, Population._enter),
}
