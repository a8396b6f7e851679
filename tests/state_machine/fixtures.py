"""Fixtures for the state machine: people, a policy file, and a ledger and a registry that can fail anytime."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import event

from bot.domain.core.actors import Automation, Caller, Client, Operator, Person, Profile, actor_id, actor_of
from bot.domain.core.errors import LedgerUnavailable
from bot.domain.registry.model import Stage
from bot.ledger import SqlLedger
from bot.ledger.stores.transaction import SqlLedgerTransaction
from tests.state_machine.records import (
    ADMINS,
    AT_LEAST,
    CLOCK,
    LEADS,
    MARGIN,
    SAME_PERSON,
    ExternalChange,
    ProcessDied,
    Rule,
)
from tests.support.services.bench import ALICE, BOB, CAROL, DAVE, GUEST, STRANGER
from tests.support.services.fakes import FaultyRegistry, ManualClock

PEOPLE: dict[str, Caller] = {
    "alice": ALICE,
    "bob": BOB,
    "carol": CAROL,
    "dave": DAVE,
    "erin": Profile(person=Person("T1", "UERIN")),
    "guest": GUEST,
    "stranger": STRANGER,
    "robot": Profile(person=Person("T1", "UROBOT"), is_bot=True),
    "monitor": Automation("monitor"),
    "ci": Client("ci"),
    "desk": Operator("desk"),
}
NAMES = {actor_id(actor_of(caller)): name for name, caller in PEOPLE.items()} | {"automation:clock": CLOCK}
USERS = {name: one.person.user for name, one in PEOPLE.items() if isinstance(one, Profile) and name != "stranger"}
GATES: dict[str, dict[str, Any]] = {
    "accuracy": {"metric": "accuracy", "at_least": AT_LEAST},
    "f1": {"metric": "f1", "not_worse_than_incumbent_by": MARGIN},
}


def written(rules: Mapping[tuple[str, str], Rule]) -> str:
    """Return a policy file with these rules by model and target, and a default rule for every other model."""
    models: dict[str, dict[str, Any]] = {"*": {"production": {"approvers": ["lead"]}}}
    for (model, target), rule in rules.items():
        models.setdefault(model, {})[target.lower()] = _written(rule)
    return json.dumps(
        {
            "roles": {"lead": _users(LEADS), "admin": _users(ADMINS)},
            "operators": {name: USERS[person] for name, person in SAME_PERSON.items()},
            "clients": {"ci": {"may": ["request"]}},
            "models": models,
        }
    )


def _written(rule: Rule) -> dict[str, Any]:
    found = {
        "approvers": ["lead"] if rule.approvers == LEADS else _users(rule.approvers),
        "required": rule.required,
        "requester_may_approve": rule.own,
        "override": _users(rule.override),
        "gates": [GATES[name] for name in rule.gates],
        "expires_after": _minutes(rule.lives),
    }
    return found if rule.remind is None else found | {"remind_after": _minutes(rule.remind)}


def _users(names: frozenset[str]) -> list[str]:
    return sorted(USERS[name] for name in names)


def _minutes(span: timedelta) -> str:
    return f"{int(span.total_seconds() // 60)}m"


class CrashingLedger(SqlLedger):
    """A ledger whose process can die right before a commit. It doesn't sync to disk: no test cuts the power."""

    def __init__(self, url: str) -> None:
        super().__init__(url, timeout=20)
        self.dies = False
        self.is_busy = False

        @event.listens_for(self._writer, "connect")
        def connect(connection: Any, _: object) -> None:
            connection.execute("PRAGMA synchronous = OFF")

    @contextmanager
    def write(self) -> Iterator[SqlLedgerTransaction]:
        """Open a transaction. Raise LedgerUnavailable if `is_busy`, or ProcessDied before the commit if `dies`."""
        if self.is_busy:
            raise LedgerUnavailable("The ledger is busy.")
        with super().write() as tx:
            yield tx
            if self.dies:
                self.dies = False
                raise ProcessDied


class CrashingRegistry(FaultyRegistry):
    """A registry that calls `tap` before and after every request, and never returns the same time twice."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock
        self._ticks = 0
        self._now = self._tick
        self.tap: Callable[[str, str], None] | None = None
        self.moving: Callable[[str, int, Stage], None] | None = None

    def transition_stage(self, name: str, version: int, stage: Stage, *, archive_existing: bool) -> None:
        """Call `moving`, then move the version. External changes don't call this."""
        if self.moving:
            self.moving(name, version, stage)
        super().transition_stage(name, version, stage, archive_existing=archive_existing)

    def handle(self, hand: ExternalChange) -> None:
        """Move or delete a version as someone in MLflow would, even while the bot can't reach the registry."""
        if hand.version not in self._models[hand.model].versions:
            return
        with self.unwatched():
            if hand.stage is None:
                self.delete_version(hand.model, hand.version)
            else:
                self.by_hand(hand.model, hand.version, Stage(hand.stage), archive_existing=hand.archive)

    def measure(self, model: str, version: int, metrics: Mapping[str, float]) -> None:
        """Set the metrics of the version's run."""
        self.add_run(self._models[model].versions[version].run_id or "", metrics=metrics)

    def add_measured(self, model: str, stage: Stage, metrics: Mapping[str, float]) -> None:
        """Add a version whose run has these metrics."""
        self.add_version(model, stage=stage, run_id=self.add_run(f"run-{self._ticks}", metrics=metrics))

    def replace(self, model: str, version: int) -> None:
        """Replace a version with another one that has the same number and metrics."""
        was = self._runs[self._models[model].versions[version].run_id or ""].info
        run = self.add_run(f"run-{self._tick():%f}", metrics=was.metrics)
        self.replace_version(model, version, run_id=run, created_at=self._tick())
        self._models[model].updated_at = self._tick()

    def stages(self) -> dict[str, dict[int, str]]:
        """Return each version's stage, by model and version number."""
        return {
            name: {number: one.stage.value for number, one in model.versions.items()}
            for name, model in self._models.items()
        }

    def names(self) -> dict[str, dict[str, int]]:
        """Return the aliases of every model."""
        return {name: dict(model.aliases) for name, model in self._models.items()}

    @contextmanager
    def unwatched(self) -> Iterator[None]:
        """Suspend `tap` and the outage during an external change."""
        was = self.tap, self.is_down
        self.tap, self.is_down = None, False
        yield
        self.tap, self.is_down = was

    @contextmanager
    def _simulated_request(self, method: str) -> Iterator[None]:
        if self.tap:
            self.tap("before", method)
        with super()._simulated_request(method):
            yield
        if self.tap:
            self.tap("after", method)

    def _tick(self) -> Any:
        self._ticks += 1
        return self._clock.now() + timedelta(microseconds=self._ticks)
