"""The models in a generated year, and how the ledger records what happens. For scripts/evidence_year.py."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Actor, Client, Operator, Person
from bot.domain.core.ci_run import pack_ci_run
from bot.domain.promotions.request import GateResult, Request, RequestSnapshot, RequestState, pack_snapshot
from bot.domain.promotions.votes import Vote, VoteChoice
from bot.domain.registry.model import Stage
from bot.domain.transitions.drift import REGISTRY_SEEN_KEY, RegistrySnapshot
from bot.domain.transitions.serving_check import ServingCheck, ServingCheckState
from bot.domain.transitions.transition import (
    Transition,
    TransitionKind,
    TransitionState,
    promotion_transition,
)
from bot.ports import LedgerTransaction
from bot.services.core.outbox_messages import request_event
from bot.services.policy.reload import POLICY_FILE_ACTOR
from bot.services.transitions.drift_records import POLL_ACTOR
from bot.services.transitions.serving_checks import PROBE_ACTOR

Flow = Iterator[datetime]  # runs to its next step, and says when that is
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LEADS = {"U1BOB": "Bob", "U2CAT": "Cat", "U3DAN": "Dan", "U4EVE": "Eve"}
REQUESTERS: list[Actor] = [Person("T1", "U6GUS"), Person("T1", "U7HAL"), Client("ci")]
POLICY = """\
channel: "#ml"
roles:
  admin: [U0ADA, U8IDA]
  leads: [U1BOB, U2CAT, U3DAN, U4EVE]
models:
  "*":
    production:
      approvers: [leads]
      required: 2
      override: [admin]
    rollback:
      by: [leads]
serving:
  "*":
    url: https://serving.example.com/{model}
operators:
  dan: U3DAN
people:
  github:
    cat-gh: U2CAT
clients:
  ci:
    token_env: CI_TOKEN
"""


@dataclass
class World:
    """The models and their versions in Production. `tx` is the current step's transaction, and `now` is its time."""

    chance: random.Random
    now: datetime
    tx: LedgerTransaction = field(init=False)
    versions: dict[str, int] = field(default_factory=dict)
    history: dict[str, list[int]] = field(default_factory=dict)
    changed_at: dict[str, datetime] = field(default_factory=dict)
    busy: dict[str, int] = field(default_factory=dict)
    marked: dict[tuple[str, datetime], str] = field(default_factory=dict)
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    # -- time and turns ------------------------------------------------------------------------------------------------

    def when_free(self, model: str, at: datetime, flow: Callable[..., Flow], *, is_optional: bool = False) -> Flow:
        """Run a flow when no other flow is using its model; if it's optional and would have to wait, skip it."""
        while model in self.busy:
            if is_optional:
                return
            yield self.now + 10 * MINUTE
        mine = self.busy[model] = next(self.ids)
        yield from flow(self, model)
        if self.busy.get(model) == mine:
            del self.busy[model]

    def begin(self, tx: LedgerTransaction, names: list[str]) -> None:
        """Load the policy, and read the registry for the first time; about half of the models are in Production."""
        self.tx = tx
        self.load_policy("rev-1", POLICY)
        for model in names:
            self.versions[model], self.history[model], self.changed_at[model] = 1, [], self.now
            if self.chance.random() < 0.5:
                self.observe(model, why="It was in Production before Registrar.")
        tx.save_registry_snapshot(RegistrySnapshot(model=REGISTRY_SEEN_KEY, at=self.now))

    def read_registry(self, tx: LedgerTransaction, different: dict[str, datetime]) -> None:
        """Record the last reading of the registry, which follows each model's last change.

        `different`: the models that have a version in Production that the audit log doesn't explain, and when they got
        it.
        """
        for model, history in self.history.items():
            stages = {history[-1]: Stage.PRODUCTION} if history else {}
            stages = {999: Stage.PRODUCTION} if model in different else stages
            at = max(self.changed_at[model], different.get(model, self.changed_at[model])) + MINUTE
            tx.save_registry_snapshot(RegistrySnapshot(model=model, at=at, stages=stages))

    def quiet_day(self, day: datetime) -> Flow:
        """Add the events that happen every day, and load a changed policy on June 15.

        If the plan alters the audit log, it alters these events.
        """
        self.audit(EventTag.METRICS_REFUSED, Client("ci"), "readings", origin="api", why="Unknown source.")
        if day.day == 15 and day.month == 6:
            self.load_policy("rev-2", POLICY.replace("leads: [", "leads: [U5FAY, "))
        yield day + 12 * HOUR
        self.audit(EventTag.API_REFUSED, Client("ci"), "promotions", origin="api", why="No permission.")

    # -- records -------------------------------------------------------------------------------------------------------

    def audit(self, tag: EventTag, actor: Actor, subject: str, model: str | None = None, **more: Any) -> None:
        """Add an audit event at the current time."""
        more.setdefault("origin", "job")
        self.tx.add_audit_event(Event(at=self.now, actor=actor, tag=tag, subject=subject, model=model, **more))

    def record(self, request: Request, tag: EventTag, actor: Actor | None, **more: Any) -> None:
        """Add an audit event about a request."""
        self.tx.add_audit_event(request_event(request, tag, actor, self.now, **more))

    def load_policy(self, revision: str, text: str) -> None:
        """Put a policy into effect."""
        evidence = {"text": text, "names": LEADS, "changes": []}
        self.audit(EventTag.POLICY_LOADED, POLICY_FILE_ACTOR, f"policy:{revision}", after=revision, evidence=evidence)

    def holder(self, model: str) -> int | None:
        """Return the model's version in Production, or None."""
        return next(reversed(self.history[model]), None)

    def open(self, model: str, requester: Actor, *, passes: bool = True, **more: Any) -> Request:
        """Open a request for the model's next version."""
        self.versions[model] += 1
        gate = GateResult(name="f1", bound="≥ 0.8", value="0.91" if passes else "0.7", passed=passes)
        seen = RequestSnapshot(metrics={"f1": 0.91 if passes else 0.7}, gates=(gate,), policy="rev")
        request = Request(
            id=f"r{next(self.ids):06}",
            model=model,
            version=self.versions[model],
            from_stage=Stage.NONE,
            target=Stage.PRODUCTION,
            incumbent=self.holder(model),
            requester=requester,
            reason="Better on the holdout set.",
            required=2,
            opened_at=self.now,
            expires_at=self.now + 7 * DAY,
            seen=seen,
            **more,
        )
        self.tx.add_request(request)
        rule = {"approvers": ["leads"], "required": 2, "override": ["admin"]}
        evidence: dict[str, Any] = {"rule": rule, "seen": pack_snapshot(seen)}
        evidence |= {"ci": pack_ci_run(request.ci)} if request.ci else {}
        self.record(request, EventTag.REQUEST_OPENED, requester, evidence=evidence)
        return request

    def vote(
        self,
        request: Request,
        user: str,
        choice: VoteChoice = VoteChoice.APPROVE,
        operator: str = "",
        named: bool = True,
    ) -> None:
        """Cast a vote, in Slack or at the terminal."""
        voter = Person("T1", user)
        self.tx.add_vote(Vote(request=request.id, voter=voter, choice=choice, reason="", at=self.now))
        by: dict[str, Any] = {"name": LEADS.get(user, user), "roles": ["leads"] if user in LEADS else [], "groups": []}
        by |= {"slack": user} if operator else {}
        evidence = {"choice": choice.value, "required": request.required, "by": by}
        actor = Operator(operator) if operator else voter
        self.record(request, EventTag.VOTED, actor, origin="terminal" if operator else "slack", evidence=evidence)

    def approve(self, request: Request, by: Actor) -> Transition:
        """Approve a request and begin its transition; return the transition."""
        approved = request.with_state(RequestState.APPROVED, decided_at=self.now, decided_by=by)
        self.tx.save_request(approved)
        tag = EventTag.BROKE_GLASS if request.breaks_glass else EventTag.APPROVED
        self.record(approved, tag, by, before="pending", after="approved")
        transition = promotion_transition(approved, by, self.now)
        self.tx.add_transition(transition)
        return transition

    def move(self, request: Request, transition: Transition) -> None:
        """Execute a request's transition."""
        done = self.finish(transition)
        self.tx.save_request(replace(self.tx.request(request.id), state=RequestState.DONE))
        labels = {"before": label(done.expected_incumbent), "after": label(done.version)}
        self.record(request, EventTag.TRANSITION_DONE, transition.actor, **labels)

    def finish(self, transition: Transition, state: TransitionState = TransitionState.DONE) -> Transition:
        """End a transition."""
        ended = replace(transition, state=state, finished_at=self.now)
        self.tx.finish_transition(ended)
        if state is TransitionState.DONE:
            self.history[transition.model].append(transition.version)
            self.changed_at[transition.model] = self.now
        return ended

    def serve(self, transition: Transition, *, confirms: bool = True) -> None:
        """Record what the endpoint reports."""
        state, tag = (
            (ServingCheckState.CONFIRMED, EventTag.SERVING_CONFIRMED)
            if confirms
            else (ServingCheckState.TIMED_OUT, EventTag.SERVING_TIMED_OUT)
        )
        about: dict[str, Any] = {
            "move": transition.id,
            "version": transition.version,
            "seen": str(transition.version) if confirms else "",
        }
        check = ServingCheck(model=transition.model, lane="x", asked_at=self.now, state=state, **about)
        self.tx.save_serving_check(check)
        self.audit(tag, PROBE_ACTOR, transition.id, transition.model, evidence=about)

    def end(self, request: Request, state: RequestState, tag: EventTag, by: Actor | None, why: str = "") -> None:
        """End a request without a promotion."""
        self.tx.save_request(replace(self.tx.request(request.id), state=state, outcome=why))
        self.record(request, tag, by, why=why, before="pending", after=state.value)

    def observe(self, model: str, why: str = "") -> None:
        """Record that the poll found a version that someone put into Production in the registry."""
        self.versions[model] += 1
        before = self.holder(model)
        transition = Transition(
            id=f"observed:{next(self.ids)}",
            kind=TransitionKind.OBSERVED,
            model=model,
            version=self.versions[model],
            from_stage=Stage.NONE,
            target=Stage.PRODUCTION,
            expected_incumbent=before,
            actor=POLL_ACTOR,
            intended_at=self.now,
            finished_at=self.now,
            state=TransitionState.DONE,
            why=why,
        )
        self.tx.add_transition(transition)
        self.history[model].append(transition.version)
        self.changed_at[model] = self.now
        labels = {"before": label(before), "after": label(transition.version), "why": why}
        evidence = {"stage": Stage.PRODUCTION.value}
        self.audit(EventTag.TRANSITION_OBSERVED, POLL_ACTOR, transition.id, model, evidence=evidence, **labels)

    def pick(self, model: str, at: datetime) -> str:
        """Return the ID of the transition that was marked for this model and time."""
        return self.marked[model, at]


def label(version: int | None) -> str | None:
    return None if version is None else f"v{version}"
