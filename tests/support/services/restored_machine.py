"""A machine whose ledger and registry can be restored from a backup."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.domain.policy.parser import validate_policy
from bot.domain.policy.policy import Policy
from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import Stage
from bot.domain.transitions.restores import HoldKind
from bot.ledger import SqlLedger
from bot.ledger.backup import back_up
from tests.support.services.bench import BOB, POLICY, Bench
from tests.support.services.fakes import FaultyRegistry, ManualClock


class RestorableMachine:
    """A machine with one ledger file. The registry and the clock aren't affected by a restore."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.registry = FaultyRegistry()
        self.registry._now = self.clock.now
        self.registry.add_model("churn", versions=[Stage.ARCHIVED, Stage.STAGING, Stage.PRODUCTION, Stage.NONE])
        self.registry.set_alias("churn", "champion", 3)
        self.policy: Policy = validate_policy(POLICY)
        self._open: list[SqlLedger] = []
        self._starts = 0

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder / 'ledger.db'}"

    def start(self) -> Bench:
        """Start a process. As in the bot, no waiting work is executed before the check."""
        self.stop()
        self._starts += 1
        ledger = SqlLedger(self.url)
        ledger.migrate()
        self._open.append(ledger)
        bench = Bench(
            ledger=ledger, registry=self.registry, clock=self.clock, policy=self.policy, owner=f"here:{self._starts}:a"
        )
        bench.context.startup_check.require(bench.restores.check)
        with ledger.write() as tx:
            for owner in tx.lease_owners():
                tx.release_leases(owner)
        return bench

    def stop(self) -> None:
        while self._open:
            self._open.pop().close()

    def back_up(self) -> None:
        (self.folder / "backup.db").unlink(missing_ok=True)
        back_up(self.url, self.folder / "backup.db")

    def restore(self) -> None:
        self.stop()
        for file in self.folder.glob("ledger.db*"):
            file.unlink()
        shutil.copy(self.folder / "backup.db", self.folder / "ledger.db")


def recover(bench: Bench) -> None:
    """Run the bot's check after its start."""
    for model in bench.moves.models_with_unfinished():
        bench.moves.execute_due(model)
    bench.errands.execute_due()
    bench.mirror.write_due()
    if bench.context.startup_check.has_passed():
        bench.watch.poll()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[RestorableMachine]:
    made = RestorableMachine(tmp_path)
    yield made
    made.stop()


def start_and_recover(machine: RestorableMachine) -> Bench:
    bench = machine.start()
    recover(bench)
    return bench


def roll_back(bench: Bench, text: str = "rollback churn --reason 'accuracy fell'") -> None:
    bench.do(text, BOB)
    bench.mirror.write_due()
    bench.watch.poll()


def promote_and_roll_back(machine: RestorableMachine, version: int = 1) -> None:
    """Back up the ledger while a promotion waits, make it and roll it back as bad, then restore the backup."""
    bench = start_and_recover(machine)
    request = bench.approved(f"promote churn {version} production")
    machine.back_up()
    machine.clock.advance(hours=1)
    bench.moves.execute_due("churn")
    assert bench.state(request) is RequestState.DONE
    bench.mirror.write_due()
    machine.clock.advance(hours=1)
    roll_back(bench)
    assert machine.registry.holders() == [3]
    machine.restore()
    machine.clock.advance(hours=1)


def hold_of(bench: Bench) -> HoldKind | None:
    with bench.ledger.read() as reading:
        hold = reading.active_hold()
    return hold.kind if hold else None
