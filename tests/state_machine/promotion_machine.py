"""The state machine's rules: what people, clocks, processes, and others do, in the model and in the services."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import rule

from bot.domain.commands.parser import parse_command
from bot.domain.commands.policy import FreezeModel
from bot.domain.commands.rollbacks import Rollback, Unblock
from bot.domain.core.actors import Profile
from bot.services.transitions.executor import LEASE
from tests.state_machine.fixtures import PEOPLE
from tests.state_machine.records import (
    NONE,
    PRODUCTION,
    AskRecord,
    ExternalChange,
    InjectedFault,
    Rule,
)
from tests.state_machine.request_rules import RequestRules
from tests.state_machine.strategies import (
    MODELS,
    PROCESSES,
    VOTED,
    Measured,
    external_changes,
    figures,
    in_moving,
    models,
    nth,
    outcome,
    processes,
    rules,
    stages,
    then,
    versions,
    which,
)


class RequestsMachine(RequestRules):
    """People request, decide, freeze, and edit; registries and processes fail. The model predicts the outcome."""

    def teardown(self) -> None:
        """Let all work finish. Check that no approved request or queued command is lost."""
        try:
            if self.is_sound:
                self._settle()
        finally:
            self.ledger.close()
            Path(self.url.removeprefix("sqlite:///")).unlink()
            self.file.unlink()

    @rule(
        who=st.sampled_from(["bob", "bob", "dave", "monitor", "desk", *PEOPLE]),
        model=models,
        version=st.none() | versions,
        clears=st.sampled_from(["", "", "dave", "bob", "alice"]),
        mishaps=st.none() | in_moving,
        process=processes,
    )
    def roll_back(
        self, who: str, model: str, version: int | None, clears: str, mishaps: list[InjectedFault] | None, process: str
    ) -> None:
        """Roll back to a version, or with None to one that served before. With `clears`, try to unblock it first."""
        named = version or self._served_before(model, process)
        if clears:
            unblock = parse_command(f"unblock {model} {named} --reason fixed")
            assert isinstance(unblock, Unblock)
            self.both(
                lambda: self.model.unblock(clears, model, named),
                then("cleared", lambda: self.benches[process].execute(self.person(clears), unblock)),
            )
        command = parse_command(f"rollback {model} {named} --reason bad")
        assert isinstance(command, Rollback)
        bench, now = self.benches[process], self.clock.now()
        ask = AskRecord("", who, model, named, PRODUCTION, False, {}, at=now, not_before=now, is_back=True)

        def write_down() -> str:
            queued = bench.execute(self.person(who), command).queued
            assert queued is not None
            ask.id = queued.id
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
        """Return a version that served before the current one. If there isn't one, put another in Production first."""
        others = sorted(set(self.model.stages[model]) - set(self.model.holders(model, PRODUCTION)))
        if len({one.version for one in self.model.past[model] if one.state == "done"}) < 2 and others:
            self.tick(timedelta(0), process, "poll")
            self.in_mlflow(ExternalChange(model, others[0], PRODUCTION))
            self.tick(timedelta(0), process, "poll")
        served = [one.version for one in self.model.past[model] if (one.state, one.stages[1]) == ("done", PRODUCTION)]
        return next((one for one in reversed(served) if one != served[-1]), 1)

    # -- freezes, policy, MLflow, and accounts ---------------------------------------------------------------------

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
        """Unfreeze Production if it's frozen and `more` isn't set. Otherwise, freeze it, with or without an end."""
        if not more and any(self.model.frozen(one) for one in MODELS):
            self._unfreeze(who, model, process)
            return
        until = f" --until {int(lasts.total_seconds())}s" if lasts else ""
        command = parse_command(f"freeze {model or '--all'}{until} --reason quarter")
        assert isinstance(command, FreezeModel)
        self.both(
            lambda: self.model.freeze(who, model, lasts),
            then("frozen", lambda: self.benches[process].execute(self.person(who), command)),
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
        """Change a rule in the policy file, and load it once it has settled. The ledger can be busy at first."""
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
        if ask_id:  # under the old rule
            self._let_approve(ask_id, 1, process)
        self.clock.time += timedelta(seconds=1)
        other = "there" if process == "here" else "here"
        if restarts:  # a loosened rule has to settle again; any other rule is loaded immediately
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
        if ask_id:  # under the new rule
            self._let_approve(ask_id, 5, process)

    def _take_up(self, comes: str, by: Sequence[str] = PROCESSES) -> None:
        """Reload the policy file in these processes, and check the outcome."""
        for process in by:
            take_up = self.policies[process].reload
            found = outcome(lambda take_up=take_up: str(take_up()))  # type: ignore[misc]  # a default has no type here
            assert found == comes, f"{found}, and should be {comes}"

    @rule(what=external_changes() | st.builds(Measured, models, st.none() | versions, figures) | st.integers(1, 6))
    def in_mlflow(self, what: ExternalChange | Measured | int) -> None:
        """Move, delete, measure, or register a version in MLflow, or stop MLflow from responding for some steps."""
        if isinstance(what, ExternalChange):
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

    @rule(
        who=st.sampled_from([VOTED, VOTED, "bob", "carol", "dave", "alice"]),
        number=which,
        most=st.sampled_from([0, 1, 5, 5]),
        returns=st.booleans(),
        process=processes,
    )
    def deactivate(self, who: str, number: int, most: int, returns: bool, process: str) -> None:
        """Deactivate someone's account, perhaps after they voted; others approve. Perhaps reactivate it later."""
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

    @rule(
        how=st.sampled_from(["created again", "created again", "replaced", "renamed"]),
        number=which,
        most=st.sampled_from([0, 1, 5]),
        polls=st.booleans(),
        process=processes,
    )
    def get_another_version(self, how: str, number: int, most: int, polls: bool, process: str) -> None:
        """Put another version under the name and number of a requested one. Then approve and run the request."""
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
        """Delete a model in MLflow, and create it again with the same version numbers, stages, and metrics."""
        was, metrics, highest = self.model.stages[model], dict(self.model.metrics), self.model.highest[model]
        self.excused.add(model)
        self.registry.delete_model(model)
        self.registry.add_model(model)
        self.model.clear(model)
        for version in range(1, highest + 1):
            self._add(model, was.get(version, NONE), metrics[model, version])

    def _swap(self) -> None:
        """Swap the names of the two models in MLflow."""
        self.excused.update(MODELS)
        one, other = MODELS
        for name, new in ((one, "neither"), (other, one), ("neither", other)):
            self.registry.rename_model(name, new)
        self.model.swap(one, other)

    # -- teardown --------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """End outages and freezes, and let both processes work until nothing is left to do."""
        self.away = 0
        self.everything_is_as_it_has_to_be()
        for model in (None, *MODELS):
            if any(one.model == model and not one.lifted for one in self.model.freezes):
                self._unfreeze("dave", model)
        self.clock.time += timedelta(days=1)  # long enough even if the clock was set back
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
