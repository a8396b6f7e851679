"""Run each action in the services and in the model, and check the invariants after it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bot.domain.audit.audit_chain import verify
from bot.domain.audit.events import CHAIN_START, ChainHead, Event, EventTag
from bot.domain.commands.parser import parse_command
from bot.domain.commands.policy import UnfreezeModel
from bot.domain.core.actors import Caller, Profile, actor_id
from bot.domain.policy.parser import validate_policy
from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from bot.policy_file import LocalPolicyFile
from bot.services.policy.reload import PolicyReloader
from bot.services.transitions.executor import LEASE
from tests.state_machine.audit_checker import AuditChecker
from tests.state_machine.fixtures import NAMES, PEOPLE, CrashingLedger, CrashingRegistry, written
from tests.state_machine.model import Model
from tests.state_machine.records import (
    ACCURACY,
    ALIASES,
    ARCHIVED,
    F1,
    NONE,
    PRODUCTION,
    STAGING,
    ExternalChange,
    InjectedFault,
    Rule,
)
from tests.state_machine.registry_model import strike
from tests.state_machine.strategies import (
    FIRST_RULES,
    JOBS,
    LEGAL,
    MODELS,
    PROCESSES,
    READS,
    WRITES,
    by_subject,
    in_asking,
    nth,
    outcome,
    processes,
    spans,
    then,
    which,
)
from tests.support.services.bench import Bench
from tests.support.services.fakes import FakeDirectory, ManualClock


class ServicesBesideModel(RuleBasedStateMachine):
    """Services over a SQLite ledger, and their model. Every action runs in both, and their outcomes must match."""

    seen: ClassVar[Counter[str]] = Counter()  # counts what happened in all runs, to show what they cover

    def __init__(self, template: Path, folder: Path) -> None:
        super().__init__()
        self.url = f"sqlite:///{shutil.copy(template, folder / f'{uuid4().hex}.db')}"
        self.clock = ManualClock()
        self.registry = CrashingRegistry(self.clock)
        self.directory = FakeDirectory()
        self.model = Model(self.clock.now(), MODELS)
        self.ledger = CrashingLedger(self.url)
        self.benches: dict[str, Bench] = {}
        self.mishaps: list[InjectedFault] = []
        self.ids: dict[str, str] = {}  # request IDs, by the ID of the command that opened them
        self.asks: dict[str, str] = {}  # command IDs, by request ID
        self.states: dict[str, str] = {}
        self.auditor, self.head = AuditChecker(), CHAIN_START
        self.is_sound = True  # whether the last checks passed
        self.away = 0  # steps until the registry responds again
        self.calls: list[str] = []
        self.excused: set[str] = set()  # models that can have no or several versions in Production
        self._fill()
        self.file, self.policies = folder / f"{uuid4().hex}.yml", dict[str, PolicyReloader]()
        self._write(FIRST_RULES)
        self.model.rules.update(FIRST_RULES)
        for process in PROCESSES:
            self._start(process)

    def _fill(self) -> None:
        good, fair = {ACCURACY: 0.9, F1: 0.8}, {ACCURACY: 0.8}
        layouts = {"churn": [ARCHIVED, STAGING, PRODUCTION, NONE], "pair": [NONE, NONE]}
        for model, stages in layouts.items():
            self.registry.add_model(model)
            for stage in stages:
                self._add(model, stage, fair if stage in {NONE, ARCHIVED} and model == "churn" else good)
        self.registry.set_alias("churn", "champion", 3)
        self.model.aliases["churn"]["champion"] = 3
        self.registry.tap, self.registry.moving = self._tap, self._moving

    def _write(self, rules: dict[tuple[str, str], Rule]) -> None:
        self.text = written(self.model.rules | rules)
        self.file.write_text(self.text, encoding="utf-8")

    def _start(self, process: str) -> None:
        self.benches[process] = Bench(
            ledger=self.ledger,
            registry=self.registry,
            clock=self.clock,
            policy=validate_policy(json.loads(self.text)),
            owner=f"{process}:1:a",
            directory=self.directory,
        )
        self.policies[process] = PolicyReloader(
            self.benches[process].context, LocalPolicyFile(self.file), self.directory
        )
        self.policies[process].load_initial()

    # -- model and services ----------------------------------------------------------------------------------------

    def both(self, predict: Callable[[], str], do: Callable[[], str], process: str = "here") -> str:
        """Run an action in the model and in the services. Check that the outcomes match, and return the outcome."""
        self.is_sound = False
        self.model.now = self.clock.now()
        came = outcome(predict)
        self.seen[came] += 1
        self.calls.clear()
        found = outcome(do)
        if came not in {"ran", "tried", "polled", "0"}:
            note(f"# {came}")
        assert found == came, f"{found}, and should be {came}"
        self.arm(process, [])
        if came == "ProcessDied":
            self._restart(process, is_known_dead=False)
        return came

    def arm(self, process: str, mishaps: Sequence[InjectedFault]) -> None:
        """Schedule faults for a process, in the model and in the services."""
        other = "there" if process == "here" else "here"

        def overtake(model: str) -> None:
            armed, self.model.mishaps = self.model.mishaps, []
            self.model.now += 2 * LEASE
            self.model.run(other, model)
            self.model.mishaps = armed

        def overtake_in_earnest() -> None:
            armed, self.mishaps = self.mishaps, []
            self.clock.time += 2 * LEASE
            self.benches[other].moves.execute_due(self.moved)
            self.mishaps = armed

        self.model.overtake, self.overtake = overtake, overtake_in_earnest
        self.model.mishaps, self.mishaps = list(mishaps), list(mishaps)

    def _tap(self, when: str, call: str) -> None:
        if when == "before":
            self.calls.append(call)
        mishap = next((one for one in self.mishaps if (one.when, one.call) == (when, call)), None)
        if mishap:
            self.mishaps.remove(mishap)
            self._strike(mishap.what)

    def _strike(self, what: str | ExternalChange) -> None:
        self.seen[what if isinstance(what, str) else "meddled"] += 1
        if isinstance(what, ExternalChange):
            self.excused.add(what.model)
            self.registry.handle(what)
        elif what == "overtaken":
            self.overtake()
        else:
            raise strike(what)

    def _moving(self, model: str, version: int, stage: Stage) -> None:
        """Check before a version moves that an approval or a valid rollback allows it, and no freeze blocks it."""
        with self.ledger.read() as reading:
            moves = [one for one in reading.transitions(model) if one.state is TransitionState.EXECUTING]
            approved = {
                link.event.subject for link in reading.latest_audit_events(model=model, tags=[EventTag.APPROVED])
            }
            [moving] = [one for one in moves if (one.version, one.target) == (version, stage)]
            if moving.kind is TransitionKind.ROLLBACK:
                assert reading.production_entries(model, version), "it never served"
                assert version not in {bar.version for bar in reading.rollback_blocks(model)}, "it is blocked"
            else:
                assert moving.request in approved
                assert reading.request(moving.request or "").state is RequestState.EXECUTING
                assert stage is not Stage.PRODUCTION or not self.model.frozen(model)
        [made] = [one.made for one in self.model.moves[model] if one.request.ask.id == self._ask_of(moving)]
        assert self.model.made[model].get(version, made) == made, "it is another version"
        if moving.keep_existing:
            self.excused.add(model)

    def _restart(self, process: str, *, is_known_dead: bool) -> None:
        self.model.restart(process, is_known_dead=is_known_dead)
        self.ledger.close()
        self.ledger = CrashingLedger(self.url)
        for one, bench in self.benches.items():
            object.__setattr__(bench, "ledger", self.ledger)
            object.__setattr__(bench.context, "ledger", self.ledger)
            if one == process:
                self._start(process)
        if is_known_dead:
            with self.ledger.write() as tx:
                tx.release_leases(f"{process}:1:a")

    @rule(number=st.none() | which, mishaps=in_asking, process=processes)
    def carry_out(self, number: int | None, mishaps: list[InjectedFault], process: str) -> None:
        """Run the queued commands that are due, or run one command again as a second thread could."""
        ask_id = None if number is None else nth(list(self.model.asks), number)
        if ask_id is not None:
            self._carry_out(ask_id, mishaps, process)
            return
        self.arm(process, mishaps)
        errands = self.benches[process].errands
        self.both(lambda: self.model.carry_out_waiting(process), then("tried", errands.execute_due), process)

    def _carry_out(self, ask_id: str, mishaps: list[InjectedFault], process: str) -> None:
        self.arm(process, mishaps)
        errands = self.benches[process].errands
        self.both(
            lambda: self.model.carry_out(ask_id, process), then("opened", lambda: errands.execute(ask_id)), process
        )

    def pending(self) -> list[str]:
        """Return the IDs of the commands whose requests are pending."""
        return [ask_id for ask_id, one in self.model.requests.items() if one.state == "pending"]

    def unfinished(self) -> list[str]:
        """Return the models that have unfinished transitions."""
        states = {"intended", "executing"}
        return [model for model, moves in self.model.moves.items() if any(one.state in states for one in moves)]

    def _run(self, process: str, model: str, mishaps: Sequence[InjectedFault] = ()) -> None:
        self.arm(process, mishaps)
        self.moved, done = model, self.done()
        moves = self.benches[process].moves
        self.both(lambda: self.model.run(process, model), then("ran", lambda: moves.execute_due(model)), process)
        assert self.clock.now() == self.model.now
        if self.done() != done:
            self._is_read_back_last()

    def done(self) -> int:
        """Return how many transitions are done."""
        return [one.state for moves in self.model.moves.values() for one in moves].count("done")

    def _is_read_back_last(self) -> None:
        """Check that the last write to the registry was read back before the transition was reported as done."""
        order = {call: number for number, call in enumerate(self.calls)}
        assert max(order.get(call, -1) for call in READS) > max(order.get(call, -1) for call in WRITES)

    # -- the clock -------------------------------------------------------------------------------------------------

    @rule(span=spans, process=processes, job=st.sampled_from(["expire", "remind", "poll", "poll", "run", "restart"]))
    def tick(self, span: timedelta, process: str, job: str) -> None:
        """Move the clock by `span`, which can be negative. Then run one of the process's jobs, or restart it."""
        self.clock.time += span
        it = self.benches[process]
        if job == "expire":
            self.both(self.model.expire, lambda: str(it.request_upkeep.expire_overdue()))
        elif job == "remind":
            self.both(self.model.remind, lambda: str(it.request_upkeep.remind_approvers(list)))
        elif job == "run":
            for model in MODELS:
                self._run(process, model)
        elif job == "restart":
            self._restart(process, is_known_dead=span > timedelta(0))
        elif self.both(self.model.poll, then("polled", it.watch.poll)) == "polled":
            self.both(self.model.refresh, lambda: str(it.request_upkeep.end_outdated()))

    def _unfreeze(self, who: str, model: str | None, process: str = "here") -> None:
        command = parse_command(f"unfreeze {model or '--all'}")
        assert isinstance(command, UnfreezeModel)
        self.both(
            lambda: self.model.unfreeze(who, model),
            then("unfrozen", lambda: self.benches[process].execute(self.person(who), command)),
        )

    def _add(self, model: str, stage: str, figures: dict[str, float]) -> None:
        self.registry.add_measured(model, Stage(stage), figures)
        self.model.add(model, stage, figures)

    def person(self, who: str) -> Caller:
        """Return the caller as Slack describes them now."""
        found = PEOPLE[who]
        return replace(found, is_deleted=True) if who in self.model.gone and isinstance(found, Profile) else found

    # -- invariants ------------------------------------------------------------------------------------------------

    @invariant()
    def everything_is_as_it_has_to_be(self) -> None:
        """Check that the audit log, the ledger, and the registry match the model."""
        self.seen["steps"] += 1
        self.is_sound = False
        self._check_audit()
        self._check_ledger()
        self._check_registry()
        self.is_sound, self.away = True, self.away - 1
        self.registry.is_down = self.model.down = self.away > 0

    def _check_audit(self) -> None:
        """Check that each act and refusal is audited once, in a valid order, and that the hash chain is intact."""
        self._learn()
        with self.ledger.read() as reading:
            links = reading.audit_events(after_number=self.head.number)
            records, head = reading.audit_records(after_number=self.head.number), reading.audit_head()
        assert verify(records, head, start=self.head) is None
        self.head = ChainHead(head.number, head.hash)
        with self.ledger.read() as reading:
            [taken] = reading.latest_audit_events(tags=[EventTag.POLICY_LOADED], limit=1)
        assert taken.event.evidence["text"] == self.text
        assert {bench.context.active_policy.revision for bench in self.benches.values()} == {taken.event.after}
        events = [link.event for link in links if link.event.tag not in JOBS]
        for event in events:
            self.auditor.hear(event)
        assert by_subject([self._told(event) for event in events]) == by_subject(self.model.told)
        self.model.told.clear()

    def _learn(self) -> None:
        """Learn the IDs of the requests that commands opened."""
        with self.ledger.read() as reading:
            for ask_id in [one for one in self.model.requests if one not in self.ids]:
                self.ids[ask_id] = reading.queued_command(ask_id).request or ""
                self.asks[self.ids[ask_id]] = ask_id

    def _ask_of(self, move: Transition) -> str:
        """Return the ID of the command that led to a transition."""
        return self.asks[move.request] if move.request else move.id.removeprefix("rollback:")

    def _told(self, event: Event) -> tuple[str, str, str, object]:
        more: object = None
        if event.tag in {EventTag.VOTED, EventTag.VOTE_WITHDRAWN}:
            more = event.evidence["approvals"]
        elif event.tag is EventTag.REMINDED:
            more = sorted(NAMES[f"slack:T1/{user}"] for user in event.evidence["people"])
        kind, _, one = event.subject.partition(":")
        about = self.asks.get(event.subject, event.subject)
        if kind == "freeze":
            about = kind
        elif kind == "ask" and one not in self.model.asks:
            about = "ask:"
        return event.tag.value, NAMES[actor_id(event.actor)], about, more

    def _check_ledger(self) -> None:
        """Check requests, votes, transitions, and queued commands, and that each request's state change is valid."""
        with self.ledger.read() as reading:
            requests = reading.requests(limit=10_000)
            votes = {
                one.id: {NAMES[actor_id(vote.voter)]: vote.choice.value for vote in reading.votes(one.id)}
                for one in requests
                if one.state.is_open
            }
            moves = {
                model: [
                    move
                    for move in reading.transitions(model, limit=10_000)
                    if move.kind is not TransitionKind.OBSERVED
                ]
                for model in MODELS
            }
            waiting = set(reading.due_command_ids(self.clock.now() + timedelta(days=9999)))
        assert waiting == {ask.id for ask in self.model.asks.values() if ask.waits}
        found = {self.asks[one.id]: (one.state.value, one.reminded, one.overridden_by is not None) for one in requests}
        assert found == {key: (one.state, one.reminded, one.overridden) for key, one in self.model.requests.items()}
        for request_id, cast in votes.items():
            assert cast == self.model.requests[self.asks[request_id]].votes
        for model, made in moves.items():
            assert [(self._ask_of(move), move.state.value, move.attempts) for move in reversed(made)] == [
                (move.request.ask.id, move.state, move.attempts) for move in self.model.moves[model]
            ]
        for key, (state, _, _) in found.items():
            before = self.states.get(key, "pending")
            assert state in LEGAL.get(before, {before})
            self.states[key] = state
        places = [(one.model, one.target) for one in requests if one.state.is_open]
        assert len(places) == len(set(places))

    def _check_registry(self) -> None:
        """Check stages and aliases, and that one version is in Production unless the model is `excused`."""
        assert self.registry.stages() == self.model.stages
        assert self.registry.names() == self.model.aliases
        for model in MODELS:
            holders = self.model.holders(model, PRODUCTION)
            if len(holders) == 1:
                self.excused.discard(model)
            never_had_one = model not in self.excused and ALIASES[PRODUCTION] not in self.model.aliases[model]
            assert len(holders) == 1 or model in self.excused or (never_had_one and not holders)
