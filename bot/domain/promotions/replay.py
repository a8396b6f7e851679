"""Derives a request's verdict again, from the facts in the audit log and the policy at that time. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bot.domain.audit.events import ChainedEvent, Event, EventTag
from bot.domain.core.actors import Actor, Person, actor_id, parse_actor
from bot.domain.core.agent import unpack_agent
from bot.domain.core.ci_run import CiRun
from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.policy.authorization import Permission, authorize
from bot.domain.policy.freezes import ActiveFreeze
from bot.domain.policy.parser import revision_of
from bot.domain.policy.policy import Policy, TargetRule
from bot.domain.promotions.approvers import missing_requirement, required_approvals
from bot.domain.promotions.file_gate import FILE_FACTS, FILES, INTEGRITY_GATE, with_file_gate
from bot.domain.promotions.gates import (
    SIGNATURE_GATE,
    UNBLOCKED,
    check_gates,
    decision_basis_change,
    with_unblocked_version,
)
from bot.domain.promotions.recorded_facts import GATE_FACTS, PROFILE, TOO_LARGE
from bot.domain.promotions.request import GateResult, Request, RequestSnapshot, RequestState, unpack_snapshot
from bot.domain.promotions.votes import Vote, VoteChoice, counting_approvals, state_after_votes
from bot.domain.registry.model import Stage

UNREADABLE = "unreadable"  # what's derived from facts that someone edited into something else
BREAK_GLASS, NOT_ENOUGH = "break glass", "not enough approvals"  # instead of the approvers

Facts = Mapping[str, Any]  # see `recorded_facts`; empty if they weren't recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayStep:
    """One step of a decision: what the audit event with this number recorded, and what the rules derive now.

    `derived` is None if the facts weren't recorded.
    """

    event: int
    name: Sentence
    recorded: str
    derived: str | None

    @property
    def agrees(self) -> bool | None:
        """Whether the recorded and derived results are the same; None if the facts weren't recorded."""
        return None if self.derived is None else self.recorded == self.derived

    @property
    def sentence(self) -> Sentence:
        """The step in one line."""
        template = _STEP_TEMPLATES[self.agrees]
        return say(template, event=self.event, name=self.name, recorded=self.recorded, derived=self.derived)


def replay(
    events: Sequence[ChainedEvent], policy_texts: Mapping[str, str], parse: Callable[[str], Policy]
) -> list[ReplayStep]:
    """Return the steps of a request, in order; the last one is how it ended, or its current state.

    `events` are the audit events about the request and about unblocked versions of its model, oldest first.
    `policy_texts` are the recorded policies, by revision; `parse` raises Misconfigured. There are no steps without the
    event that opened the request.
    """
    opened = next((one for one in events if one.event.tag is EventTag.REQUEST_OPENED), None)
    if opened is None:
        return []
    try:
        decision = _Replay(opened.event, policy_texts, parse)
    except (KeyError, TypeError, ValueError, AttributeError):
        return [_unreadable(opened)]
    for event in events:
        decision.follow(event)
    return decision.steps()


class _Replay:
    """A request's state, as its events change it. A refused vote or override doesn't change it."""

    def __init__(self, opened: Event, policy_texts: Mapping[str, str], parse: Callable[[str], Policy]) -> None:
        self._texts, self._parse = policy_texts, parse
        self._policies: dict[str, Policy | None] = {}
        self._steps: list[ReplayStep] = []
        self._votes: list[Vote] = []
        self._number = 0  # the current event's
        self._recorded, self._recorded_state = RequestSnapshot(), RequestState.PENDING
        self._request = Request(  # its snapshot is derived
            id=opened.subject,
            model=opened.model or "",
            version=opened.evidence["version"],
            from_stage=Stage.NONE,
            target=Stage(opened.evidence["target"]),
            incumbent=opened.evidence["incumbent"],
            requester=parse_actor(opened.evidence["requester"]),
            reason="",
            required=0,
            opened_at=opened.at,
            expires_at=opened.at,
            ci=CiRun(**opened.evidence["ci"]) if "ci" in opened.evidence else None,
            agent=unpack_agent(opened.evidence["agent"]) if "agent" in opened.evidence else None,
        )

    def follow(self, chained: ChainedEvent) -> None:
        """Add the steps for the next event."""
        event, self._number = chained.event, chained.number
        try:
            permission, facts = _needed_permission(event), _facts(event)
            if permission and self._is_allowed(event.actor, permission, facts, event.at) is False:
                return
            if FILES in facts:
                self._request = with_file_gate(self._request, FILE_FACTS.validate_python(facts[FILES]))
            if handle := _HANDLERS.get(event.tag):
                handle(self, event, facts)
        except (KeyError, TypeError, ValueError, AttributeError):
            self._steps.append(_unreadable(chained))

    def steps(self) -> list[ReplayStep]:
        """Return the steps."""
        if self._recorded_state.is_open:
            self._add_verdict(say("State"), self._recorded_state.value, self._state().value)
        return self._steps

    def _add(self, name: Sentence, recorded: str, derived: str | None) -> None:
        self._steps.append(ReplayStep(event=self._number, name=name, recorded=recorded, derived=derived))

    def _add_verdict(self, name: Sentence, recorded: str, derived: str | None) -> None:
        """Add a step that depends on all earlier ones."""
        self._add(name, recorded, derived if all(step.derived is not None for step in self._steps) else None)

    def _policy(self, facts: Facts) -> Policy | None:
        """Return the policy that applied at the time, or None if it wasn't recorded or this release can't read it."""
        if (revision := facts.get("policy")) is None:
            return None
        if revision not in self._policies:
            text, self._policies[revision] = self._texts.get(revision, ""), None
            with suppress(Misconfigured):
                self._policies[revision] = self._parse(text)
            self._add(say("Policy"), revision, revision_of(text) if self._policies[revision] else None)
        return self._policies[revision]

    # -- people --------------------------------------------------------------------------------------------------------

    def _is_allowed(self, actor: Actor, permission: Permission, facts: Facts, at: datetime) -> bool | None:
        """Add the step for a permission; return whether the rules grant it, or None if that can't be derived."""
        policy, decision = self._policy(facts), None
        caller = PROFILE.validate_python(facts["profile"]) if "profile" in facts else actor
        if policy is not None and not isinstance(caller, Person):
            frozen = ActiveFreeze(say("{why}", why=facts["frozen"]), None) if "frozen" in facts else None
            decision = authorize(caller, permission, replace(self._request.access_target, frozen=frozen), policy, at)
        name = say("Permission of {who} to {act}", who=Code(actor_id(actor)), act=permission.value)
        self._add(name, facts.get("rule", "allowed"), None if decision is None else decision.rule)
        return None if decision is None else decision.allowed

    def _ask(self, event: Event, facts: Facts) -> None:
        self._request = replace(self._request, breaks_glass=bool(event.evidence.get("break_glass")))

    def _vote(self, event: Event, facts: Facts) -> None:
        """Add a vote, replacing an earlier one that had lapsed, or remove the vote if it was withdrawn."""
        voter = PROFILE.validate_python(facts["profile"]).person if "profile" in facts else event.actor
        if not isinstance(voter, Person):  # an operator's vote, recorded by an older release
            voter = Person("", event.evidence["by"]["slack"])
        self._votes = [vote for vote in self._votes if vote.voter.user != voter.user]
        if event.tag is EventTag.VOTED:
            choice = VoteChoice(event.evidence["choice"])
            self._votes.append(Vote(request=self._request.id, voter=voter, choice=choice, reason="", at=event.at))

    def _lapse(self, event: Event, facts: Facts) -> None:
        voter = Person("", event.evidence["voter"])
        if not self._is_allowed(voter, Permission.APPROVE, {**facts, "rule": event.evidence["rule"]}, event.at):
            self._votes = [vote for vote in self._votes if vote.voter.user != voter.user]

    def _override(self, event: Event, facts: Facts) -> None:
        self._request = replace(self._request, overridden_by=event.actor)

    def _approve(self, event: Event, facts: Facts) -> None:
        """Add the steps for the files, which may have been hashed since the request was opened, and the approvals."""
        self._recorded_state = RequestState.APPROVED
        if "seen" in event.evidence:
            self._recorded, seen = unpack_snapshot(event.evidence["seen"]), self._request.seen
            self._add_gates(say("when it was approved"), _files_only(self._recorded).gates, seen and _files_only(seen))
        recorded = ", ".join(event.evidence.get("approvers", [BREAK_GLASS]))
        derived = ", ".join(actor_id(vote.voter) for vote in counting_approvals(self._votes)) or BREAK_GLASS
        is_enough = self._state() is RequestState.APPROVED and not self._is_rule_changed(self._policy(facts))
        self._add_verdict(say("Approvals"), recorded, derived if is_enough else NOT_ENOUGH)

    def _is_rule_changed(self, policy: Policy | None) -> bool:
        """Return whether a policy's rule has changed since the request was opened, or now requires more approvals."""
        request, seen = self._request, self._request.seen
        if policy is None or seen is None or request.breaks_glass:
            return False
        is_other = policy.fingerprint(request.model, request.target) != seen.rule
        return is_other or missing_requirement(request, policy) is not None

    def _state(self) -> RequestState:
        """Return the state that follows from the votes."""
        return RequestState.APPROVED if self._request.breaks_glass else state_after_votes(self._request, self._votes)

    # -- gates ---------------------------------------------------------------------------------------------------------

    def _open(self, event: Event, facts: Facts) -> None:
        request = self._request
        self._recorded = unpack_snapshot(event.evidence["seen"]) if "seen" in event.evidence else RequestSnapshot()
        policy = self._policy(facts)
        if policy is not None:
            rule = policy.rules_for(request.model).rule(request.target) or TargetRule()
            seen = self._derive(replace(self._recorded, facts=facts), policy)
            self._request = replace(
                request,
                seen=with_unblocked_version(seen) if facts.get(UNBLOCKED) else seen,
                required=required_approvals(request.access_target, policy),
                expires_at=datetime.fromisoformat(facts["opened_at"]) + rule.expires_after,
            )
        self._add_gates(say("when it was opened"), self._recorded.gates, self._request.seen)
        derived = str(self._request.required) if policy else None
        self._add(say("Required approvals"), str(facts.get("required", "?")), derived)

    def _derive(self, seen: RequestSnapshot, policy: Policy) -> RequestSnapshot:
        """Return the snapshot with the gate results that follow from its metrics and facts under a policy."""
        model, target = self._request.model, self._request.target
        read = replace(
            GATE_FACTS.validate_python({key: fact for key, fact in seen.facts.items() if fact is not None}),
            metrics=seen.metrics,
            incumbent_metrics=seen.against,
            validation=seen.validation,
            directions=policy.metrics_for(model).directions,
        )
        rule = policy.rules_for(model).rule(target) or TargetRule()
        return replace(seen, gates=check_gates(rule.gates, read), rule=policy.fingerprint(model, target))

    def _add_gates(self, when: Sentence, recorded: Iterable[GateResult], derived: RequestSnapshot | None) -> None:
        """Add a step for each gate; nothing is derived for one whose facts weren't recorded."""
        before, now = ({gate.key: gate for gate in gates} for gates in (recorded, derived.gates if derived else ()))
        for key, gate in (now | before).items():
            is_known = derived is not None and not (gate.name == SIGNATURE_GATE and derived.facts.get(TOO_LARGE))
            name = say("Gate {gate} {when}", gate=Name(key), when=when)
            self._add(name, _gate_text(before.get(key)), _gate_text(now.get(key)) if is_known else None)

    def _unblock(self, event: Event, facts: Facts) -> None:
        """Mark the gate `not_blocked` of a pending request as passed if this version's block is what failed it."""
        if (seen := self._request.seen) is None or self._recorded_state is not RequestState.PENDING:
            return
        number = (seen.facts.get("block") or {}).get("version", self._request.version)
        if event.subject == f"{self._request.model} v{number}":
            self._request = replace(self._request, seen=with_unblocked_version(seen))

    # -- the end -------------------------------------------------------------------------------------------------------

    def _end(self, event: Event, facts: Facts) -> None:
        """Add the step for the final state. MLflow's refusals and changes made outside Registrar can't be derived."""
        self._recorded_state, derived = _END_STATES[event.tag], None
        is_late = event.at >= self._request.expires_at
        if event.tag is EventTag.CANCELLED or (event.tag is EventTag.EXPIRED and is_late):
            derived = self._recorded_state  # the permission to cancel was a step of its own
        elif event.tag in {EventTag.EXPIRED, EventTag.REJECTED}:
            derived = self._state()
        elif self._is_outdated(event, facts):
            derived = RequestState.STALE
        elif event.tag is EventTag.TRANSITION_DONE and "people" in facts:
            derived = RequestState.DONE if "changed" in facts or self._request.breaks_glass else None
        self._add_verdict(say("Result"), self._recorded_state.value, derived and derived.value)

    def _is_outdated(self, event: Event, facts: Facts) -> bool:
        """Add the steps for the checks right before the transition; return whether any of them stops it."""
        policy = self._policy(facts)
        if self._is_rule_changed(policy) or ("changed" in facts and self._did_gates_change(facts, policy)):
            return True
        people = facts.get("people", [])
        refused = [
            (person["who"], person["act"])
            for person in people
            if self._is_allowed(parse_actor(person["who"]), Permission(person["act"]), person, event.at) is False
        ]
        if any(act != Permission.APPROVE.value for _, act in refused):
            return True
        self._votes = [vote for vote in self._votes if (actor_id(vote.voter), Permission.APPROVE.value) not in refused]
        return bool(people) and self._state() is not RequestState.APPROVED

    def _did_gates_change(self, facts: Facts, policy: Policy | None) -> bool:
        """Add the steps for the gates right before the transition; return whether they make the request outdated."""
        changed, seen, current = facts["changed"], self._request.seen, None
        recorded = [GateResult(**gate) for gate in changed["gates"]] if "gates" in changed else self._recorded.gates
        if policy is not None and seen is not None:
            metrics, against = (changed.get(key, getattr(seen, key)) for key in ("metrics", "against"))
            now = {**seen.facts, **changed}
            current = self._derive(replace(seen, metrics=metrics, against=against, facts=now), policy)
        self._add_gates(say("right before the transition"), recorded, current)
        return current is not None and decision_basis_change(self._request, current) is not None


def _unreadable(chained: ChainedEvent) -> ReplayStep:
    name = say("Facts of {tag}", tag=Code(chained.event.tag.value))
    return ReplayStep(event=chained.number, name=name, recorded="recorded", derived=UNREADABLE)


def _facts(event: Event) -> Facts:
    return event.evidence.get("facts") or {}


def _files_only(snapshot: RequestSnapshot) -> RequestSnapshot:
    return replace(snapshot, gates=tuple(gate for gate in snapshot.gates if gate.name == INTEGRITY_GATE))


def _needed_permission(event: Event) -> Permission | None:
    """Return the permission that an event needed, or None."""
    if event.tag is EventTag.VOTED:
        return Permission(event.evidence["choice"])
    if event.tag is EventTag.PROMOTION_REQUESTED and event.evidence.get("break_glass"):
        return Permission.BREAK_GLASS
    return _PERMISSIONS.get(event.tag)


def _gate_text(gate: GateResult | None) -> str:
    return "none" if gate is None else f"{gate.value}, {'passed' if gate.passed else 'failed'}"


_STEP_TEMPLATES = {
    True: "✓ {event}  {name}: {recorded}",
    False: "✗ {event}  {name}: recorded: {recorded}; derived: {derived}",
    None: "? {event}  {name}: {recorded} (details not recorded)",
}
_PERMISSIONS = {
    EventTag.PROMOTION_REQUESTED: Permission.REQUEST,
    EventTag.VOTE_WITHDRAWN: Permission.WITHDRAW,
    EventTag.GATES_OVERRIDDEN: Permission.OVERRIDE,
    EventTag.CANCELLED: Permission.CANCEL,
    EventTag.REVIEWED: Permission.REVIEW,
}
_END_STATES = {
    EventTag.TRANSITION_DONE: RequestState.DONE,
    EventTag.REJECTED: RequestState.REJECTED,
    EventTag.CANCELLED: RequestState.CANCELLED,
    EventTag.EXPIRED: RequestState.EXPIRED,
    EventTag.STALE: RequestState.STALE,
    EventTag.FAILED: RequestState.FAILED,
}
_HANDLERS: Mapping[EventTag, Callable[[_Replay, Event, Facts], None]] = {
    EventTag.PROMOTION_REQUESTED: _Replay._ask,
    EventTag.REQUEST_OPENED: _Replay._open,
    EventTag.VOTED: _Replay._vote,
    EventTag.VOTE_WITHDRAWN: _Replay._vote,
    EventTag.VOTE_LAPSED: _Replay._lapse,
    EventTag.GATES_OVERRIDDEN: _Replay._override,
    EventTag.UNBLOCKED: _Replay._unblock,
    EventTag.APPROVED: _Replay._approve,
    EventTag.BROKE_GLASS: _Replay._approve,
    **dict.fromkeys(_END_STATES, _Replay._end),
}
