"""Rules for requests: request a promotion, vote, override gates, and run transitions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import rule

from bot.domain.commands.parser import parse_command
from bot.domain.commands.promotions import Promote
from bot.services.transitions.executor import LEASE
from tests.state_machine.fixtures import PEOPLE
from tests.state_machine.machine_base import ServicesBesideModel
from tests.state_machine.records import (
    MEMBERS,
    PRODUCTION,
    SAME_PERSON,
    AskRecord,
    InjectedFault,
)
from tests.state_machine.strategies import (
    ASKED,
    DECIDERS,
    VOTED,
    die,
    figures,
    in_asking,
    in_moving,
    models,
    nth,
    processes,
    stages,
    versions,
    which,
)


class RequestRules(ServicesBesideModel):
    """People request promotions and decide."""

    # -- requesting ------------------------------------------------------------------------------------------------

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
        mishaps: list[InjectedFault] | None,
        process: str,
    ) -> None:
        """Request any promotion. Run the command immediately, or leave it in the queue if `mishaps` is None."""
        self._ask(who, model, version, stage, keep, validation, mishaps, process)

    def _ask(
        self,
        who: str,
        model: str,
        version: int,
        stage: str,
        keep: bool,
        validation: dict[str, float],
        mishaps: list[InjectedFault] | None,
        process: str,
    ) -> None:
        flags = " --keep-existing" * keep + "".join(f" --validation {key}={v}" for key, v in validation.items())
        command = parse_command(f"promote {model} {version} {stage.lower()}{flags}")
        assert isinstance(command, Promote)
        bench, now = self.benches[process], self.clock.now()
        ask = AskRecord("", who, model, version, stage, keep, validation, at=now, not_before=now)

        def write_down() -> str:
            queued = bench.execute(self.person(who), command).queued
            assert queued is not None
            ask.id = queued.id
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
        self,
        who: str,
        place: int,
        number: int,
        keep: bool,
        most: int,
        mishaps: list[InjectedFault] | None,
        process: str,
    ) -> None:
        """Request a promotion that nothing blocks. Approve up to `most` times, and run it unless `mishaps` is None."""
        ask_id = self._open(who, place, number, keep, process)
        if ask_id:
            self._let_approve(ask_id, most, process)
            if mishaps is not None:
                self._run(process, self.model.asks[ask_id].model, mishaps)

    def _open(self, who: str, place: int, number: int, keep: bool, process: str) -> str | None:
        """Request a possible promotion. Return its command's ID if that opened a request, or None."""
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
        """Return a pending request's command ID, opening one if needed. If that fails, use an ended request."""
        if not self.pending():
            self._open("alice", number, number, False, process)
        return nth(self.pending() or list(self.ids), number)

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
        """Act on a request. The process can die in the middle of it, or the click can arrive twice."""
        ask_id = self._request(number, process)
        if ask_id is None:
            return
        asked = self.model.asks[ask_id].who
        chosen = {ASKED: SAME_PERSON.get(asked, asked), VOTED: next(reversed(self.model.requests[ask_id].votes), "bob")}
        presses = chosen.get(who, who)
        if dies:
            self.ledger.dies = True
            self.both(die, lambda: self._press(act, presses, ask_id, process), process)
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
        self, number: int, most: int, regrets: bool, passes: bool, mishaps: list[InjectedFault] | None, process: str
    ) -> None:
        """Approve a request up to `most` times. Perhaps withdraw a vote, override gates, and run the transition."""
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
        reason = {"override": " --reason known", "reject": " --reason because"}.get(act, "")
        request = self.benches[process].execute(self.person(who), f"{act} {self.ids[ask_id]}{reason}").request
        assert request is not None
        return request.state.value

    # -- transitions -----------------------------------------------------------------------------------------------

    @rule(
        number=which,
        process=processes,
        later=st.sampled_from([timedelta(0), timedelta(0), 2 * LEASE]),
        mishaps=in_moving,
    )
    def run(self, number: int, process: str, later: timedelta, mishaps: list[InjectedFault]) -> None:
        """Run pending transitions with faults, immediately or after all leases and pauses have ended."""
        self.clock.time += later
        if not self.unfinished() and (ask_id := self._open("alice", number, number, False, process)):
            self._let_approve(ask_id, 5, process)
        self._run(process, nth(self.unfinished(), number) or "churn", mishaps)
