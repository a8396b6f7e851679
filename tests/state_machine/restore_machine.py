"""Restore the ledger and the registry from backups while requests are pending, in any order."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bot.domain.core.errors import RegistrarError
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from tests.state_machine.fixtures import CrashingRegistry
from tests.support.registry.memory_contents import StoredModel
from tests.support.services.bench import BOB, CAROL, DAVE
from tests.support.services.restored_machine import RestorableMachine, recover

Picture = dict[int, tuple[Stage, dict[str, str]]]  # stage and tags, by version number


class RestoresMachine(RuleBasedStateMachine):
    """People promote and roll back; backups are made and restored. Work is on hold until an admin decides."""

    seen: ClassVar[Counter[str]] = Counter()

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.it = RestorableMachine(Path(mkdtemp(dir=folder)))
        self.registry = self.it.registry = CrashingRegistry(self.it.clock)
        self.registry.add_model("churn", versions=[Stage.ARCHIVED, Stage.STAGING, Stage.PRODUCTION, Stage.NONE])
        self.registry.set_alias("churn", "champion", 3)
        self.bad: dict[datetime | None, datetime] = {}  # when a version was rolled back, by creation time
        self.dated: dict[tuple[datetime | None, str | None], datetime] = {}  # also by MLflow's rollback_date tag
        self.waiting: set[str] = set()  # work of a restored ledger, on hold until an admin decides
        self.ledger_picture: Picture | None = None  # the registry at the time of the ledger's backup
        self.registry_backup: StoredModel | None = None
        self.bench = self.it.start()
        self._go_on()
        self.registry.moving = self._moving

    def teardown(self) -> None:
        """Stop the bot."""
        self.it.stop()

    def _go_on(self) -> None:
        """Run what the bot does at startup, and its jobs."""
        recover(self.bench)
        recover(self.bench)

    def _moving(self, model: str, version: int, stage: Stage) -> None:
        """Check that the transition isn't on hold, and wasn't requested before its version was rolled back."""
        with self.bench.ledger.read() as reading:
            [move] = [one for one in reading.transitions(model) if one.state is TransitionState.EXECUTING]
            asked_at = reading.queued_command(_ask_of(move)).at
        assert _ask_of(move) not in self.waiting, "it is held"
        bad_since = self.bad.get(self.registry._models[model].versions[version].created_at)
        assert stage is not Stage.PRODUCTION or bad_since is None or bad_since < asked_at, "it is known to be bad"

    @invariant()
    def one_version_serves_at_most(self) -> None:
        """Check that Registrar never leaves two versions in Production."""
        self.seen["steps"] += 1
        assert len(self.registry.holders()) <= 1

    def _picture(self) -> Picture:
        versions = self.registry._models["churn"].versions
        return {number: (one.stage, dict(one.tags)) for number, one in versions.items()}

    # -- what people do ------------------------------------------------------------------------------------------------

    @rule(
        version=st.integers(1, 5),
        approves=st.sampled_from([True, True, True, False]),
        backs_up=st.sampled_from(["", "ledger", "ledger", "registry", "both"]),
        then=st.sampled_from(["waits", "moves", "turns out bad", "turns out bad"]),
    )
    def promote(self, version: int, approves: bool, backs_up: str, then: str) -> None:
        """Request a promotion, and perhaps make a backup while it's pending. Perhaps run it, then roll back."""
        self.it.clock.advance(minutes=1)
        try:
            request = self.bench.open(f"promote churn {version} production")
            if approves:
                self.bench.approve(request)
        except RegistrarError:
            return
        if backs_up and not self.waiting:
            self._back_up(backs_up)
        if then != "waits":
            self._go_on()
        if then == "turns out bad":
            self.roll_back(None, False)

    @rule(version=st.none() | st.integers(1, 5), waits=st.booleans())
    def roll_back(self, version: int | None, waits: bool) -> None:
        """Roll back Production because its version is bad. If `waits`, leave the command in the queue."""
        self.it.clock.advance(minutes=1)
        text = f"rollback churn {version or ''} --reason 'accuracy fell'"
        try:
            if waits:
                self.bench.ask(text, BOB)
            else:
                self.bench.do(text, BOB)
                self._go_on()
        except RegistrarError:
            pass
        for move in self._moves():
            out = self.registry._models["churn"].versions.get(move.expected_incumbent or 0)
            if move.kind is TransitionKind.ROLLBACK and move.finished_at == self.it.clock.now() and out:
                self.bad[out.created_at] = self.it.clock.now()
                self.dated[out.created_at, out.tags.get("rollback_date")] = self.it.clock.now()
                self.seen["rolled back"] += 1

    @rule(version=st.integers(1, 5), stage=st.sampled_from([Stage.PRODUCTION, Stage.STAGING, Stage.ARCHIVED]))
    def in_mlflow(self, version: int, stage: Stage) -> None:
        """Move a version directly in MLflow, or register one."""
        self.it.clock.advance(minutes=1)
        if version in self.registry._models["churn"].versions:
            self.registry.by_hand("churn", version, stage)
        else:
            self.registry.add_version("churn")

    @rule(minutes=st.sampled_from([1, 60, 700]))
    def work(self, minutes: int) -> None:
        """Advance the clock, and run the bot's jobs."""
        self.it.clock.advance(minutes=minutes)
        self._go_on()

    def _moves(self) -> list[Transition]:
        return [one for one in self.bench.moves_of() if one.state is TransitionState.DONE]

    # -- backups -------------------------------------------------------------------------------------------------------

    def _back_up(self, of: str) -> None:
        """Back up the ledger, the registry, or both."""
        self.bench.mirror.write_due()  # otherwise, tags that aren't written yet would count as evidence
        self.bench.watch.poll()
        if of != "registry":
            self.it.back_up()
            self.ledger_picture = self._picture()
        if of != "ledger":
            self.registry_backup = _copy(self.registry._models["churn"])

    @precondition(lambda self: self.ledger_picture is not None)
    @rule(minutes=st.sampled_from([1, 700]))
    def restore_the_ledger(self, minutes: int) -> None:
        """Restore the ledger's file. Anything newer in MLflow is evidence of the restore."""
        self.it.restore()
        self._start_after_a_restore(minutes, has_evidence=self._has_evidence())

    def _has_evidence(self) -> bool:
        """Return whether a stage or a tag is newer than the ledger's backup. A missing tag doesn't count."""
        was, nothing = self.ledger_picture or {}, (Stage.NONE, dict[str, str]())
        return any(
            stage is not was.get(number, nothing)[0] or not tags.items() <= was.get(number, nothing)[1].items()
            for number, (stage, tags) in self._picture().items()
        )

    @precondition(lambda self: self.registry_backup is not None)
    @rule(minutes=st.sampled_from([1, 700]))
    def restore_the_registry(self, minutes: int) -> None:
        """Restore MLflow's database. Stages that the ledger saw later are evidence of the restore."""
        assert self.registry_backup is not None
        self.bench.watch.poll()
        was = self._picture()
        self.registry._models["churn"] = _copy(self.registry_backup)
        stages = [{number: stage for number, (stage, _) in picture.items()} for picture in (was, self._picture())]
        self._start_after_a_restore(minutes, has_evidence=stages[0] != stages[1])

    def _start_after_a_restore(self, minutes: int, *, has_evidence: bool) -> None:
        self.it.clock.advance(minutes=minutes)
        self.registry.moving = None
        self.bench = self.it.start()
        with self.bench.ledger.read() as reading:
            barred = {bar.version: bar.at for bar in sorted(reading.rollback_blocks("churn"), key=lambda one: one.at)}
            unfinished = [
                _ask_of(one)
                for one in reading.transitions("churn")
                if one.state in {TransitionState.INTENDED, TransitionState.EXECUTING}
            ]
            asks = reading.due_command_ids(self.it.clock.now() + timedelta(days=999))
        versions = self.registry._models["churn"].versions.values()
        self.bad = {}  # only what the ledger or the registry still has
        for one in versions:
            times = [barred.get(one.version), self.dated.get((one.created_at, one.tags.get("rollback_date")))]
            if known := [at for at in times if at]:
                self.bad[one.created_at] = max(known)
        self.waiting = {*unfinished, *asks} if has_evidence else set()
        self.registry.moving = self._moving
        self.seen[f"restored, {'something' if self.waiting else 'nothing'} held"] += 1
        self._go_on()
        if self.waiting:
            assert self.bench.restores.active_hold() is not None
        elif self.bench.restores.active_hold() is None:
            self.seen["not held"] += 1

    @rule(drops=st.booleans(), who=st.sampled_from([DAVE, DAVE, CAROL]))
    def decide(self, drops: bool, who: object) -> None:
        """Drop the work on hold or let it run, as an admin or as someone who isn't one."""
        if self.bench.restores.active_hold() is None:
            return
        lift = self.bench.restores.drop if drops else self.bench.restores.accept
        try:
            lift(who, "Friday's backup", origin="terminal")  # type: ignore[arg-type]  # a Profile
        except RegistrarError:
            assert who is CAROL
            return
        assert who is DAVE
        self.seen["dropped" if drops else "accepted"] += 1
        dropped, self.waiting = set(self.waiting) if drops else set[str](), set()
        self._go_on()
        made = {
            _ask_of(one) for one in self._moves() if one.kind in {TransitionKind.PROMOTION, TransitionKind.ROLLBACK}
        }
        assert not dropped & made


def _ask_of(move: Transition) -> str:
    """Return the ID of the command that led to a transition. Its request has the same ID."""
    return move.id.partition(":")[2]


def _copy(model: StoredModel) -> StoredModel:
    return replace(model, versions=dict(model.versions), aliases=dict(model.aliases))
