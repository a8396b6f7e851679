"""A machine whose ledger and registry can be put back from a backup."""

from __future__ import annotations

import shutil
from pathlib import Path

from bot.domain.policy import Policy, read_policy
from bot.domain.registry import Stage
from bot.ledger import SqlLedger
from bot.ledger.backup import back_up
from tests.support.services.bench import POLICY, Bench, BentRegistry, HandClock


class Machine:
    """A machine with one ledger file. The registry and the clock go on whatever is restored there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = HandClock()
        self.registry = BentRegistry()
        self.registry._now = self.clock.now
        self.registry.add("churn", versions=[Stage.ARCHIVED, Stage.STAGING, Stage.PRODUCTION, Stage.NONE])
        self.registry.set_alias("churn", "champion", 3)
        self.policy: Policy = read_policy(POLICY)
        self._open: list[SqlLedger] = []
        self._starts = 0

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder / 'ledger.db'}"

    def start(self) -> Bench:
        """Start a process: as the bot does, nothing that was waiting is touched before the check."""
        self.stop()
        self._starts += 1
        ledger = SqlLedger(self.url)
        ledger.migrate()
        self._open.append(ledger)
        bench = Bench(
            ledger=ledger, registry=self.registry, clock=self.clock, policy=self.policy, owner=f"here:{self._starts}:a"
        )
        bench.context.gate.guard(bench.restores.check)
        with ledger.write() as tx:
            for owner in tx.owners():
                tx.disown(owner)
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
    """Do what the bot does right after its start."""
    for model in bench.moves.unfinished():
        bench.moves.run(model)
    bench.errands.carry_out_waiting()
    bench.mirror.write()
    if bench.context.gate.is_open():
        bench.watch.poll()
