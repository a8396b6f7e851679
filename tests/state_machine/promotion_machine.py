"""The moves of the game: what people, clocks, processes and others do, in the model and with the services at once."""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bot.domain.approvals import Choice, RequestState
from bot.domain.commands import FreezeModel, Promote, Rollback, Unblock, UnfreezeModel
from bot.domain.errors import RegistrarError
from bot.domain.events import START, Event, Head, Tag
from bot.domain.moves import Move, MoveKind, MoveState
from bot.domain.parsing import parse
from bot.domain.people import Caller, Profile, actor_id
from bot.domain.policy import read_policy
from bot.domain.registry import Stage
from bot.ledger.audit import verify
from bot.policy_file import PolicyFile
from bot.services.moves import LEASE
from bot.services.policies import Policies
from tests.state_machine.audit_checker import Auditor
from tests.state_machine.fixtures import NAMES, PEOPLE, MortalLedger, MortalRegistry, written
from tests.state_machine.model import Model
from tests.state_machine.records import (
    ACCURACY,
    ALIASES,
    ARCHIVED,
    F1,
    LEADS,
    MEMBERS,
    NONE,
    PRODUCTION,
    SAME_PERSON,
    STAGING,
    Ask,
    Died,
    Hand,
    Mishap,
    Rule,
    Stumbled,
)
from tests.state_machine.registry_model import strike
from tests.support.services.bench import Bench, FakeDirectory, ManualClock

MODELS = ("churn", "pair")
PROCESSES = ("here", "there")
FIRST_RULES = {
    ("churn", STAGING): Rule(own=True),
    ("churn", PRODUCTION): Rule(gates=(ACCURACY, F1), override=frozenset({"dave"}), remind=timedelta(hours=1)),
    ("pair", STAGING): Rule(gates=(ACCURACY,)),
    ("pair", PRODUCTION): Rule(required=2, lives=timedelta(hours=4), remind=timedelta(hours=1)),
}
JOBS = {Tag.FOUND, Tag.OBSERVED, Tag.POLICY_TAKEN}  # told in tests of their own; here what follows from it matters
LEGAL = {  # what may have become of a request between two looks at it
    "pending": {"pending", "approved", "executing", "done", "failed", "rejected", "cancelled", "expired", "stale"},
    "approved": {"approved", "executing", "done", "failed", "stale", "expired"},
    "executing": {"approved", "executing", "done", "failed", "stale", "expired"},
}
DECIDERS = [name for name in PEOPLE if name != "desk"]  # nothing of Slack's comes from a terminal
ASKED, VOTED = "who asked", "who voted last"
WRITES, READS = {"transition", "set_alias"}, {"model", "version", "versions"}

processes = st.sampled_from(PROCESSES)
models = st.sampled_from(MODELS)
which = st.integers(0, 3)  # of several, counted from the newest
versions = st.integers(1, 5)
figures = st.dictionaries(st.sampled_from([ACCURACY, F1]), st.sampled_from([0.7, 0.8, 0.81, 0.9]), max_size=2)
stages = st.sampled_from([PRODUCTION, PRODUCTION, STAGING])
spans = st.builds(
    lambda seconds: timedelta(seconds=seconds), st.sampled_from([0, 2, 20, 61, 4200, 90_000, -1, -30, -600])
)
rules = st.builds(
    Rule,
    approvers=st.sampled_from([*[LEADS] * 4, *[LEADS | {"alice"}] * 2, frozenset({"carol", "erin"}), frozenset()]),
    required=st.sampled_from([1, 1, 2]),
    own=st.booleans(),
    gates=st.sampled_from([(), (), (ACCURACY,), (F1,), (ACCURACY, F1)]),
    override=st.sampled_from([frozenset(), frozenset({"dave"}), LEADS]),
    lives=st.sampled_from([timedelta(hours=1), timedelta(hours=24)]),
    remind=st.sampled_from([None, timedelta(minutes=30)]),
)


@st.composite
def hands(draw: st.DrawFn) -> Hand:
    """Draw what somebody does in MLflow behind our back."""
    stage = draw(st.sampled_from([PRODUCTION, PRODUCTION, STAGING, ARCHIVED, NONE, None]))
    return Hand(draw(models), draw(versions), stage, draw(st.booleans()))


def mishaps(*calls: str) -> st.SearchStrategy[list[Mishap]]:
    """Return nothing, or up to two things that happen around calls of these names."""
    blows = st.sampled_from(["dies", "stumbles", "away", *["overtaken"] * (2 if "transition" in calls else 0)])
    any_time = st.builds(Mishap, st.sampled_from(["before", "after"]), st.sampled_from(calls), blows | hands())
    refused = st.builds(Mishap, st.just("before"), st.sampled_from(calls), st.just("refuses"))
    return st.just([]) | st.lists(any_time | refused, min_size=1, max_size=2)


@dataclass(frozen=True)
class Measured:
    """A version's run gets other metrics, or with None there is a new version."""

    model: str
    version: int | None
    figures: dict[str, float]


in_asking = mishaps("model", "versions", "runs")
in_moving = mishaps("versions", "runs", "transition", "set_alias", "model", "version")


class RequestsMachine(RuleBasedStateMachine):
    """People ask, decide, freeze and edit; registries and processes fail; the model says what comes of it."""

    seen: ClassVar[Counter[str]] = Counter()  # what happened in all runs, for whoever doubts that enough did

    def __init__(self, template: Path, folder: Path) -> None:
        super().__init__()
        self.url = f"sqlite:///{shutil.copy(template, folder / f'{uuid4().hex}.db')}"
        self.clock = ManualClock()
        self.registry = MortalRegistry(self.clock)
        self.directory = FakeDirectory()
        self.model = Model(self.clock.now(), MODELS)
        self.ledger = MortalLedger(self.url)
        self.benches: dict[str, Bench] = {}
        self.mishaps: list[Mishap] = []
        self.ids: dict[str, str] = {}  # of requests, by the ask that they came of
        self.asks: dict[str, str] = {}  # and the other way round
        self.states: dict[str, str] = {}
        self.auditor, self.head = Auditor(), START
        self.is_sound = True  # nothing was found wrong yet
        self.away = 0  # for so many steps the registry does not answer
        self.calls: list[str] = []
        self.excused: set[str] = set()  # models with several holders, or none, and somebody wanted it so
        self._fill()
        self.file, self.policies = folder / f"{uuid4().hex}.yml", dict[str, Policies]()
        self._write(FIRST_RULES)
        self.model.rules.update(FIRST_RULES)
        for process in PROCESSES:
            self._start(process)

    def _fill(self) -> None:
        good, fair = {ACCURACY: 0.9, F1: 0.8}, {ACCURACY: 0.8}
        layouts = {"churn": [ARCHIVED, STAGING, PRODUCTION, NONE], "pair": [NONE, NONE]}
        for model, stages in layouts.items():
            self.registry.add(model)
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
            policy=read_policy(json.loads(self.text)),
            owner=f"{process}:1:a",
            directory=self.directory,
        )
        self.policies[process] = Policies(self.benches[process].context, PolicyFile(self.file), self.directory)
        self.policies[process].begin()

    def teardown(self) -> None:
        """Let everything come to its end: nothing that was approved or asked for may be lost."""
        try:
            if self.is_sound:
                self._settle()
        finally:
            self.ledger.close()
            Path(self.url.removeprefix("sqlite:///")).unlink()
            self.file.unlink()

    # -- both sides ------------------------------------------------------------------------------------------------

    def both(self, predict: Callable[[], str], do: Callable[[], str], process: str = "here") -> str:
        """Do something in the model and with the services, and compare what came of it."""
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
        if came == "Died":
            self._restart(process, is_known_dead=False)
        return came

    def arm(self, process: str, mishaps: Sequence[Mishap]) -> None:
        """Let these things happen to a process, in the model and in earnest."""
        other = "there" if process == "here" else "here"

        def overtake(model: str) -> None:
            armed, self.model.mishaps = self.model.mishaps, []
            self.model.now += 2 * LEASE
            self.model.run(other, model)
            self.model.mishaps = armed

        def overtake_in_earnest() -> None:
            armed, self.mishaps = self.mishaps, []
            self.clock.time += 2 * LEASE
            self.benches[other].moves.run(self.moved)
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

    def _strike(self, what: str | Hand) -> None:
        self.seen[what if isinstance(what, str) else "meddled"] += 1
        if isinstance(what, Hand):
            self.excused.add(what.model)
            self.registry.handle(what)
        elif what == "overtaken":
            self.overtake()
        else:
            raise strike(what)

    def _moving(self, model: str, version: int, stage: Stage) -> None:
        """See that what is moved was approved, and may move now. The audit alone is asked."""
        with self.ledger.read() as reading:
            moves = [one for one in reading.moves(model) if one.state is MoveState.EXECUTING]
            approved = {link.event.subject for link in reading.latest(model=model, tags=[Tag.APPROVED])}
            [moving] = [one for one in moves if (one.version, one.target) == (version, stage)]
            if moving.kind is MoveKind.ROLLBACK:
                assert reading.entries(model, version), "it never served"
                assert version not in {bar.version for bar in reading.bars(model)}, "it is blocked"
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
        self.ledger = MortalLedger(self.url)
        for one, bench in self.benches.items():
            object.__setattr__(bench, "ledger", self.ledger)
            object.__setattr__(bench.context, "ledger", self.ledger)
            if one == process:
                self._start(process)
        if is_known_dead:
            with self.ledger.write() as tx:
                tx.disown(f"{process}:1:a")

    # -- asking ----------------------------------------------------------------------------------------------------

    @rule(
        who=st.sampled_from([*PEOPLE, "alice", "alice", "bob", "desk"]),
        model=models,
        version=versions,
        stage=stages,
        keep=st.booleans(),
        validation=st.just({}) | figures,
        process=processes,
        mishaps=st.none() | in_asking,
    )
    def ask(
        self,
        who: str,
        model: str,
        version: int,
        stage: str,
        keep: bool,
        validation: dict[str, float],
        mishaps: list[Mishap] | None,
        process: str,
    ) -> None:
        """Somebody asks for whatever it may be; it is opened at once, or with None as `mishaps` left to the clock."""
        self._ask(who, model, version, stage, keep, validation, mishaps, process)

    def _ask(
        self,
        who: str,
        model: str,
        version: int,
        stage: str,
        keep: bool,
        validation: dict[str, float],
        mishaps: list[Mishap] | None,
        process: str,
    ) -> None:
        flags = " --keep-existing" * keep + "".join(f" --validation {key}={v}" for key, v in validation.items())
        command = parse(f"promote {model} {version} {stage.lower()}{flags}")
        assert isinstance(command, Promote)
        errands, now = self.benches[process].errands, self.clock.now()
        ask = Ask("", who, model, version, stage, keep, validation, at=now, not_before=now)

        def write_down() -> str:
            ask.id = errands.ask(self.person(who), command, where="C1", origin="slack").id
            return "asked"

        if not self.model.may_ask(who):
            self.both(lambda: self.model.refuse_to_ask(who), write_down)
            return
        self.both(lambda: "asked", write_down)
        self.model.ask(ask)
        if mishaps is not None:
            self._carry_out(ask.id, mishaps, process)

    @rule(
        who=st.sampled_from(["alice", "alice", "bob", "bob", "desk", "ci", "monitor"]),
        place=st.integers(0, 3),
        number=which,
        keep=st.sampled_from([False, False, False, True]),
        most=st.sampled_from([0, 1, 5, 5]),
        mishaps=st.none() | in_moving,
        process=processes,
    )
    def promote(
        self, who: str, place: int, number: int, keep: bool, most: int, mishaps: list[Mishap] | None, process: str
    ) -> None:
        """Somebody asks for what nothing is in the way of, so many approve, and without None it is moved at once."""
        ask_id = self._open(who, place, number, keep, process)
        if ask_id:
            self._let_approve(ask_id, most, process)
            if mishaps is not None:
                self._run(process, self.model.asks[ask_id].model, mishaps)

    def _open(self, who: str, place: int, number: int, keep: bool, process: str) -> str | None:
        """Ask for something that can be asked for; return the ask if a request came of it."""
        free = [one for one in self.model.rules if self.model.open_request(*one) is None]
        if not free:
            return None
        model, stage = free[place % len(free)]
        able = [one for one, held in sorted(self.model.stages[model].items()) if held not in {stage, PRODUCTION}]
        asked = len(self.model.asks)
        if able:
            self._ask(who, model, able[-1 - number % len(able)], stage, keep, {}, [], process)
        if len(self.model.asks) == asked or next(reversed(self.model.asks)) not in self.model.requests:
            return None
        self._learn()
        return next(reversed(self.model.asks))

    def _request(self, number: int, process: str) -> str | None:
        """Return the ask of a request that waits for people; open one where there is none, else take one that ended."""
        if not self.pending():
            self._open("alice", number, number, False, process)
        return nth(self.pending() or list(self.ids), number)

    @rule(number=st.none() | which, mishaps=in_asking, process=processes)
    def carry_out(self, number: int | None, mishaps: list[Mishap], process: str) -> None:
        """The clock takes up what waits; or one ask is taken up twice, as two threads may do."""
        ask_id = None if number is None else nth(list(self.model.asks), number)
        if ask_id is not None:
            self._carry_out(ask_id, mishaps, process)
            return
        self.arm(process, mishaps)
        errands = self.benches[process].errands
        self.both(lambda: self.model.carry_out_waiting(process), then("tried", errands.carry_out_waiting), process)

    def _carry_out(self, ask_id: str, mishaps: list[Mishap], process: str) -> None:
        self.arm(process, mishaps)
        errands = self.benches[process].errands
        self.both(
            lambda: self.model.carry_out(ask_id, process), then("opened", lambda: errands.carry_out(ask_id)), process
        )

    # -- deciding --------------------------------------------------------------------------------------------------

    @rule(
        act=st.sampled_from(["approve", "approve", "reject", "withdraw", "withdraw", "override", "cancel"]),
        who=st.sampled_from([ASKED, ASKED, VOTED, "bob", "carol", "dave"]) | st.sampled_from(DECIDERS),
        number=which,
        twice=st.sampled_from([False, False, True]),
        dies=st.sampled_from([False, False, False, True]),
        process=processes,
    )
    def press(self, act: str, who: str, number: int, twice: bool, dies: bool, process: str) -> None:
        """Somebody does something to a request; the process dies in the middle of it, or the click arrives twice."""
        ask_id = self._request(number, process)
        if ask_id is None:
            return
        asked = self.model.asks[ask_id].who
        chosen = {ASKED: SAME_PERSON.get(asked, asked), VOTED: next(reversed(self.model.requests[ask_id].votes), "bob")}
        presses = chosen.get(who, who)
        if dies:
            self.ledger.dies = True
            self.both(died, lambda: self._press(act, presses, ask_id, process), process)
        for _ in range(1 + twice):
            self._press_both(act, presses, ask_id, process)

    @rule(
        number=which,
        most=st.sampled_from([1, 5]),
        regrets=st.booleans(),
        passes=st.booleans(),
        mishaps=st.none() | in_moving,
        process=processes,
    )
    def let_approve(
        self, number: int, most: int, regrets: bool, passes: bool, mishaps: list[Mishap] | None, process: str
    ) -> None:
        """Those who may approve, one regrets it, failed gates are let pass, and without None it is moved at once."""
        ask_id = self._request(number, process)
        if ask_id is None:
            return
        self._let_approve(ask_id, most, process)
        votes = self.model.requests[ask_id].votes
        if regrets and votes:
            self._press_both("withdraw", next(iter(votes)), ask_id, process)
        if passes and self.model.requests[ask_id].state == "pending":
            self._press_both("override", "dave", ask_id, process)
        if mishaps is not None:
            self._run(process, self.model.asks[ask_id].model, mishaps)

    def _let_approve(self, ask_id: str, most: int, process: str) -> None:
        ask = self.model.asks[ask_id]
        may = self.model.rules[ask.model, ask.target].approvers & MEMBERS
        for who in sorted(may - {ask.who})[:most]:
            if self.model.requests[ask_id].state == "pending":
                self._press_both("approve", who, ask_id, process)

    def _press_both(self, act: str, who: str, ask_id: str, process: str) -> None:
        model = self.model
        predicted: dict[str, Callable[[], str]] = {
            "withdraw": lambda: model.withdraw(who, ask_id),
            "override": lambda: model.override(who, ask_id),
            "cancel": lambda: model.cancel(who, ask_id),
        }
        self.both(
            predicted.get(act) or (lambda: model.vote(who, ask_id, act)), lambda: self._press(act, who, ask_id, process)
        )

    def _press(self, act: str, who: str, ask_id: str, process: str) -> str:
        requests, caller, one = self.benches[process].requests, self.person(who), self.ids[ask_id]
        if act == "cancel":
            return requests.cancel(caller, one, origin="slack").state.value
        if act == "withdraw":
            return requests.withdraw(caller, one, origin="slack").request.state.value
        if act == "override":
            return requests.override(caller, one, reason="known", origin="slack").request.state.value
        return requests.vote(caller, one, Choice(act), reason="because", origin="slack").request.state.value

    def pending(self) -> list[str]:
        """Return the asks whose requests wait for people."""
        return [ask_id for ask_id, one in self.model.requests.items() if one.state == "pending"]

    # -- moving ----------------------------------------------------------------------------------------------------

    @rule(
        number=which,
        process=processes,
        later=st.sampled_from([timedelta(0), timedelta(0), 2 * LEASE]),
        mishaps=in_moving,
    )
    def run(self, number: int, process: str, later: timedelta, mishaps: list[Mishap]) -> None:
        """A process makes moves that wait, at once or when every lease and pause is over; things go wrong with it."""
        self.clock.time += later
        if not self.unfinished() and (ask_id := self._open("alice", number, number, False, process)):
            self._let_approve(ask_id, 5, process)
        self._run(process, nth(self.unfinished(), number) or "churn", mishaps)

    def unfinished(self) -> list[str]:
        """Return the models that have moves to be made."""
        states = {"intended", "executing"}
        return [model for model, moves in self.model.moves.items() if any(one.state in states for one in moves)]

    def _run(self, process: str, model: str, mishaps: Sequence[Mishap] = ()) -> None:
        self.arm(process, mishaps)
        self.moved, done = model, self.done()
        moves = self.benches[process].moves
        self.both(lambda: self.model.run(process, model), then("ran", lambda: moves.run(model)), process)
        assert self.clock.now() == self.model.now
        if self.done() != done:
            self._is_read_back_last()

    def done(self) -> int:
        """Return how many moves were made."""
        return [one.state for moves in self.model.moves.values() for one in moves].count("done")

    def _is_read_back_last(self) -> None:
        """See that after the last write something was read: nobody says done for what they only wrote."""
        order = {call: number for number, call in enumerate(self.calls)}
        assert max(order.get(call, -1) for call in READS) > max(order.get(call, -1) for call in WRITES)

    @rule(
        who=st.sampled_from(["bob", "bob", "dave", "monitor", "desk", *PEOPLE]),
        model=models,
        version=st.none() | versions,
        clears=st.sampled_from(["", "", "dave", "bob", "alice"]),
        mishaps=st.none() | in_moving,
        process=processes,
    )
    def roll_back(
        self, who: str, model: str, version: int | None, clears: str, mishaps: list[Mishap] | None, process: str
    ) -> None:
        """Somebody wants a version back, or with None one that served; perhaps it's unblocked before."""
        named = version or self._served_before(model, process)
        if clears:
            unblock = parse(f"unblock {model} {named} --reason fixed")
            assert isinstance(unblock, Unblock)
            rollbacks = self.benches[process].rollbacks
            self.both(
                lambda: self.model.unblock(clears, model, named),
                then("cleared", lambda: rollbacks.unblock(self.person(clears), unblock, origin="slack")),
            )
        command = parse(f"rollback {model} {named} --reason bad")
        assert isinstance(command, Rollback)
        errands, now = self.benches[process].errands, self.clock.now()
        ask = Ask("", who, model, named, PRODUCTION, False, {}, at=now, not_before=now, is_back=True)

        def write_down() -> str:
            ask.id = errands.ask(self.person(who), command, where="C1", origin="slack").id
            return "asked"

        if not self.model.may_roll_back(who, model):
            self.both(lambda: self.model.refuse_to_ask(who, "person:registry:failed"), write_down)
            return
        self.both(lambda: "asked", write_down)
        self.model.ask(ask)
        self._carry_out(ask.id, [], process)
        if mishaps is not None:
            self._run(process, model, mishaps)

    def _served_before(self, model: str, process: str) -> int:
        """Return a version that served before the present one; let another one serve where there is none."""
        others = sorted(set(self.model.stages[model]) - set(self.model.holders(model, PRODUCTION)))
        if len({one.version for one in self.model.past[model] if one.state == "done"}) < 2 and others:
            self.tick(timedelta(0), process, "poll")
            self.in_mlflow(Hand(model, others[0], PRODUCTION))
            self.tick(timedelta(0), process, "poll")
        served = [one.version for one in self.model.past[model] if (one.state, one.stages[1]) == ("done", PRODUCTION)]
        return next((one for one in reversed(served) if one != served[-1]), 1)

    # -- the clock -------------------------------------------------------------------------------------------------

    @rule(span=spans, process=processes, job=st.sampled_from(["expire", "remind", "poll", "poll", "run", "restart"]))
    def tick(self, span: timedelta, process: str, job: str) -> None:
        """Time passes, or the clock is put back; then it wakes a process, or that is started anew."""
        self.clock.time += span
        it = self.benches[process]
        if job == "expire":
            self.both(self.model.expire, lambda: str(it.requests.expire()))
        elif job == "remind":
            self.both(self.model.remind, lambda: str(it.requests.remind(list)))
        elif job == "run":
            for model in MODELS:
                self._run(process, model)
        elif job == "restart":
            self._restart(process, is_known_dead=span > timedelta(0))
        elif self.both(self.model.poll, then("polled", it.watch.poll)) == "polled":
            self.both(self.model.refresh, lambda: str(it.requests.refresh()))

    # -- what others do --------------------------------------------------------------------------------------------

    @rule(
        who=st.sampled_from(["dave", "dave", "bob", "alice", "guest"]),
        model=st.sampled_from([None, *MODELS]),
        lasts=st.sampled_from([None, timedelta(minutes=1), timedelta(hours=2)]),
        more=st.sampled_from([False, False, True]),
        process=processes,
    )
    def freeze_or_unfreeze(
        self, who: str, model: str | None, lasts: timedelta | None, more: bool, process: str
    ) -> None:
        """Somebody freezes Production, for a while or until somebody lifts it; or lifts it, unless they want `more`."""
        if not more and any(self.model.frozen(one) for one in MODELS):
            self._unfreeze(who, model, process)
            return
        until = f" --until {int(lasts.total_seconds())}s" if lasts else ""
        command = parse(f"freeze {model or '--all'}{until} --reason quarter")
        assert isinstance(command, FreezeModel)
        freezing = self.benches[process].freezing
        self.both(
            lambda: self.model.freeze(who, model, lasts),
            then("frozen", lambda: freezing.freeze(self.person(who), command, origin="slack")),
        )

    def _unfreeze(self, who: str, model: str | None, process: str = "here") -> None:
        command = parse(f"unfreeze {model or '--all'}")
        assert isinstance(command, UnfreezeModel)
        freezing = self.benches[process].freezing
        self.both(
            lambda: self.model.unfreeze(who, model),
            then("unfrozen", lambda: freezing.unfreeze(self.person(who), command, origin="slack")),
        )

    @rule(
        model=models,
        stage=stages,
        new=rules,
        busy=st.integers(0, 2),
        restarts=st.booleans(),
        number=which,
        process=processes,
    )
    def edit_the_policy(
        self, model: str, stage: str, new: Rule, busy: int, restarts: bool, number: int, process: str
    ) -> None:
        """Somebody writes another rule into the policy file, which settles; the ledger may be busy when it has."""
        before, rules = self.model.rules[model, stage], {(model, stage): new}
        self._write(rules)
        if new == before:
            return
        self._take_up("False")
        waits = timedelta(seconds=30 if new.loosens(before) else 2)
        self.seen["loosened" if new.loosens(before) else "edited"] += 1
        self.clock.time += waits - timedelta(seconds=1)
        self._take_up("False")
        ask_id = nth(self.pending(), number)
        if ask_id:  # under the rule before
            self._let_approve(ask_id, 1, process)
        self.clock.time += timedelta(seconds=1)
        other = "there" if process == "here" else "here"
        if restarts:  # which settles a loosened rule once more, and takes up another one at once
            if not new.loosens(before):
                self.model.rules.update(rules)
            self._restart(other, is_known_dead=True)
        for _ in range(busy if not restarts or new.loosens(before) else 0):
            self.ledger.is_busy = True
            self._take_up("LedgerUnavailable", [process] if restarts else PROCESSES)
            self.ledger.is_busy = False
            self.clock.time += timedelta(seconds=1)
        self._take_up("True", [process])
        self._take_up("False" if restarts and not new.loosens(before) else "True", [other])
        self.model.rules.update(rules)
        if ask_id:  # under the new one
            self._let_approve(ask_id, 5, process)

    def _take_up(self, comes: str, by: Sequence[str] = PROCESSES) -> None:
        """Let these processes look at the policy file."""
        for process in by:
            take_up = self.policies[process].take_up
            found = outcome(lambda take_up=take_up: str(take_up()))  # type: ignore[misc]  # a default has no type here
            assert found == comes, f"{found}, and should be {comes}"

    @rule(what=hands() | st.builds(Measured, models, st.none() | versions, figures) | st.integers(1, 6))
    def in_mlflow(self, what: Hand | Measured | int) -> None:
        """Somebody moves, deletes, measures or registers a version in MLflow; or for some steps it does not answer."""
        if isinstance(what, Hand):
            self.excused.add(what.model)
            self.registry.handle(what)
            self.model.by_hand(what)
        elif isinstance(what, int):
            self.away = what
        elif what.version is None:
            self._add(what.model, NONE, what.figures)
        elif what.version in self.model.stages[what.model]:
            self.registry.measure(what.model, what.version, what.figures)
            self.model.metrics[what.model, what.version] = what.figures

    def _add(self, model: str, stage: str, figures: dict[str, float]) -> None:
        self.registry.add_measured(model, Stage(stage), figures)
        self.model.add(model, stage, figures)

    @rule(
        who=st.sampled_from([VOTED, VOTED, "bob", "carol", "dave", "alice"]),
        number=which,
        most=st.sampled_from([0, 1, 5, 5]),
        returns=st.booleans(),
        process=processes,
    )
    def deactivate(self, who: str, number: int, most: int, returns: bool, process: str) -> None:
        """Somebody's account is deactivated, perhaps after they voted, and people go on; then perhaps they return."""
        ask_id = self._request(number, process)
        if ask_id is None:
            return
        self._let_approve(ask_id, most, process)
        left = next(reversed(self.model.requests[ask_id].votes), "bob") if who == VOTED else who
        self.seen[f"left with a request {self.model.requests[ask_id].state}"] += 1
        self._become(left, is_gone=True)
        self._let_approve(ask_id, 5, process)
        self._run(process, self.model.asks[ask_id].model)
        if returns:
            for one in list(self.model.gone):
                self._become(one, is_gone=False)
            self._let_approve(ask_id, 5, process)

    def _become(self, who: str, *, is_gone: bool) -> None:
        (self.model.gone.add if is_gone else self.model.gone.discard)(who)
        profile = PEOPLE[who]
        assert isinstance(profile, Profile)
        self.directory.become(profile, is_deleted=is_gone)

    def person(self, who: str) -> Caller:
        """Return somebody as Slack says they are now."""
        found = PEOPLE[who]
        return replace(found, is_deleted=True) if who in self.model.gone and isinstance(found, Profile) else found

    @rule(
        how=st.sampled_from(["created again", "created again", "replaced", "renamed"]),
        number=which,
        most=st.sampled_from([0, 1, 5]),
        polls=st.booleans(),
        process=processes,
    )
    def get_another_version(self, how: str, number: int, most: int, polls: bool, process: str) -> None:
        """Another version gets the name and number of a requested one, which looks the same; then people go on."""
        ask_id = self._request(number, process)
        if ask_id is None:
            return
        self._let_approve(ask_id, most, process)
        ask = self.model.asks[ask_id]
        self.seen[f"{how} with a request {self.model.requests[ask_id].state}"] += 1
        if how == "created again":
            self._create_again(ask.model)
        elif how == "renamed":
            self._swap()
        elif ask.version in self.model.stages[ask.model]:
            self.registry.replace(ask.model, ask.version)
            self.model.replace(ask.model, ask.version)
        if polls:
            self.tick(timedelta(0), process, "poll")
        self._let_approve(ask_id, 5, process)
        self._run(process, ask.model)

    def _create_again(self, model: str) -> None:
        """Delete a model in MLflow, and create it again with the same numbers, stages and figures."""
        was, metrics, highest = self.model.stages[model], dict(self.model.metrics), self.model.highest[model]
        self.excused.add(model)
        self.registry.delete(model)
        self.registry.add(model)
        self.model.clear(model)
        for version in range(1, highest + 1):
            self._add(model, was.get(version, NONE), metrics[model, version])

    def _swap(self) -> None:
        """Rename the two models in MLflow, each to the other's name."""
        self.excused.update(MODELS)
        one, other = MODELS
        for name, new in ((one, "neither"), (other, one), ("neither", other)):
            self.registry.rename(name, new)
        self.model.swap(one, other)

    # -- what always holds -----------------------------------------------------------------------------------------

    @invariant()
    def everything_is_as_it_has_to_be(self) -> None:
        """Audit, ledger and registry say what the model says, and nobody can object to it."""
        self.seen["steps"] += 1
        self.is_sound = False
        self._check_audit()
        self._check_ledger()
        self._check_registry()
        self.is_sound, self.away = True, self.away - 1
        self.registry.down = self.model.down = self.away > 0

    def _check_audit(self) -> None:
        """Every act and refusal is an event, once; the auditor objects to none; the chain holds."""
        self._learn()
        with self.ledger.read() as reading:
            links = reading.links(after=self.head.number)
            records, head = reading.records(after=self.head.number), reading.head()
        assert verify(records, head, after=self.head) is None
        self.head = Head(head.number, head.hash)
        with self.ledger.read() as reading:
            [taken] = reading.latest(tags=[Tag.POLICY_TAKEN], most=1)
        assert taken.event.evidence["text"] == self.text
        assert {bench.context.rules.revision for bench in self.benches.values()} == {taken.event.after}
        events = [link.event for link in links if link.event.tag not in JOBS]
        for event in events:
            self.auditor.hear(event)
        assert by_subject([self._told(event) for event in events]) == by_subject(self.model.told)
        self.model.told.clear()

    def _learn(self) -> None:
        """Learn how the requests are called that came of asks."""
        with self.ledger.read() as reading:
            for ask_id in [one for one in self.model.requests if one not in self.ids]:
                self.ids[ask_id] = reading.ask(ask_id).request or ""
                self.asks[self.ids[ask_id]] = ask_id

    def _ask_of(self, move: Move) -> str:
        """Return the ask that a move came of."""
        return self.asks[move.request] if move.request else move.id.removeprefix("rollback:")

    def _told(self, event: Event) -> tuple[str, str, str, object]:
        more: object = None
        if event.tag in {Tag.VOTED, Tag.WITHDRAWN}:
            more = event.evidence["approvals"]
        elif event.tag is Tag.REMINDED:
            more = sorted(NAMES[f"slack:T1/{user}"] for user in event.evidence["people"])
        kind, _, one = event.subject.partition(":")
        about = self.asks.get(event.subject, event.subject)
        if kind == "freeze":
            about = kind
        elif kind == "ask" and one not in self.model.asks:
            about = "ask:"
        return event.tag.value, NAMES[actor_id(event.actor)], about, more

    def _check_ledger(self) -> None:
        """Requests, votes, moves and asks are as they have to be, and no state was reached that has no way to it."""
        with self.ledger.read() as reading:
            requests = reading.requests(most=10_000)
            votes = {
                one.id: {NAMES[actor_id(vote.voter)]: vote.choice.value for vote in reading.votes(one.id)}
                for one in requests
                if one.state.is_open
            }
            moves = {
                model: [move for move in reading.moves(model, most=10_000) if move.kind is not MoveKind.OBSERVED]
                for model in MODELS
            }
            waiting = set(reading.waiting_asks(self.clock.now() + timedelta(days=9999)))
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
        """Every version stands where it has to, and Production has one holder unless somebody wanted it otherwise."""
        assert self.registry.stages() == self.model.stages
        assert self.registry.names() == self.model.aliases
        for model in MODELS:
            holders = self.model.holders(model, PRODUCTION)
            if len(holders) == 1:
                self.excused.discard(model)
            never_had_one = model not in self.excused and ALIASES[PRODUCTION] not in self.model.aliases[model]
            assert len(holders) == 1 or model in self.excused or (never_had_one and not holders)

    # -- the end ---------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Put everything right that is wrong, and let both processes work until nothing is left to do."""
        self.away = 0
        self.everything_is_as_it_has_to_be()
        for model in (None, *MODELS):
            if any(one.model == model and not one.lifted for one in self.model.freezes):
                self._unfreeze("dave", model)
        self.clock.time += timedelta(days=1)  # however often it was put back
        rounds = 0
        while self.unfinished() or any(ask.waits for ask in self.model.asks.values()):
            self.clock.time += 2 * LEASE
            for process in PROCESSES:
                self.tick(timedelta(0), process, "run")
                self.carry_out(None, [], process)
            rounds += 1
            assert rounds < 5, "something waits for ever"
        self.everything_is_as_it_has_to_be()
        for move in (one for moves in self.model.moves.values() for one in moves if one.is_back):
            self.seen[f"rollback {move.state}"] += 1
        for request in self.model.requests.values():
            self.seen[f"ended {request.state}"] += 1
            assert request.state not in {"approved", "executing"}


def outcome(act: Callable[[], str]) -> str:
    """Return what came of it in one word: what it returned, or the class of what it raised."""
    try:
        return act()
    except (RegistrarError, Stumbled, Died) as error:
        return type(error).__name__


def then(word: str, act: Callable[[], object]) -> Callable[[], str]:
    """Return what acts and then says this word."""

    def do() -> str:
        act()
        return word

    return do


def died() -> str:
    """Die."""
    raise Died


def nth(things: list[str], number: int) -> str | None:
    """Return one of them, counted from the newest; None of nothing."""
    return things[-1 - number % len(things)] if things else None


def by_subject(told: list[tuple[str, str, str, object]]) -> dict[str, list[tuple[str, str, object]]]:
    """Return what was told of each subject, in order; which of two subjects came first is nobody's concern."""
    found: dict[str, list[tuple[str, str, object]]] = defaultdict(list)
    for tag, who, about, more in told:
        found[about].append((tag, who, more))
    return dict(found)
