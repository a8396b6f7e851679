"""Rollbacks on a real registry: however often you look, there's always a version in Production."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.domain.core.actors import Person
from bot.domain.registry.model import Stage
from bot.domain.rollbacks.rollback_targets import rollback_transition
from bot.domain.transitions.transition import TransitionState
from bot.ledger import SqlLedger
from bot.ports import ModelRegistry
from bot.registry.mlflow.registry import MlflowRegistry
from bot.registry.tag_stages import TagStageRegistry
from tests.support.app.harness import executor, holders, make_transition
from tests.support.ledger.ledgers import PostgresServer
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import MlflowBackend, RegistryContents

ROUNDS = 20


def in_stage(registry: ModelRegistry) -> list[int]:
    """Return the versions in Production, according to the registry."""
    return holders(registry, "churn")


def by_alias(registry: ModelRegistry) -> list[int]:
    """Return the version that the alias points to."""
    return [version for alias, version in registry.model("churn").aliases.items() if alias == "champion"]


@contextmanager
def watching(
    registry: ModelRegistry, who: Callable[[ModelRegistry], list[int]] = in_stage
) -> Iterator[list[list[int]]]:
    """Read Production as fast as possible until the block ends; yield what was read."""
    seen: list[list[int]] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            seen.append(who(registry))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join(30)


def rolls_back(ledger: SqlLedger, registry: ModelRegistry, rounds: int = ROUNDS) -> list[TransitionState]:
    """Roll back and forth between two versions that have both served; return each outcome."""
    moves, bob = executor(ledger, registry), Person("T0LOCAL", "U0BOB")
    with ledger.write() as tx:
        for version in (2, 3):
            tx.add_transition(replace(make_transition("churn", version, after=version), state=TransitionState.DONE))
    for number in range(rounds):
        target, incumbent = ((2, 3), (3, 2))[number % 2]
        move = rollback_transition(
            f"rollback:{number}",
            "churn",
            target=target,
            incumbent=incumbent,
            actor=bob,
            now=datetime.now(UTC),
            reason="it fell",
        )
        with ledger.write() as tx:
            for bar in tx.rollback_blocks("churn"):
                tx.save_rollback_block(replace(bar, cleared_at=move.intended_at, cleared_by=bob))
            tx.add_transition(move)
        moves.execute_due("churn")
    with ledger.read() as reading:
        return [reading.transition(f"rollback:{number}").state for number in range(rounds)]


@pytest.mark.parametrize("kind", ["sqlite", "http"])
def test_production_always_has_one_version_during_rollbacks(
    kind: str, sqlite_url: str, registries: Callable[[str], tuple[ModelRegistry, RegistryContents]]
) -> None:
    registry, backend = registries(kind)
    backend.add_model("churn", versions=[Stage.ARCHIVED, Stage.ARCHIVED, Stage.PRODUCTION])
    ledger = SqlLedger(sqlite_url)
    with watching(registry) as seen:
        ends = rolls_back(ledger, registry)
    ledger.close()
    assert set(ends) == {TransitionState.DONE}
    assert len(seen) > ROUNDS
    assert {len(one) for one in seen} == {1}


def test_production_always_has_one_version_by_alias_without_stages(
    sqlite_url: str, registries: Callable[[str], tuple[ModelRegistry, RegistryContents]]
) -> None:
    registry, backend = registries("http")
    backend.add_model("churn", versions=3)
    tagged, ledger = TagStageRegistry(registry, champion="champion", challenger="challenger"), SqlLedger(sqlite_url)
    tagged.transition_stage("churn", 3, Stage.PRODUCTION, archive_existing=True)
    with watching(registry, by_alias) as seen:
        ends = rolls_back(ledger, tagged)
    ledger.close()
    assert set(ends) == {TransitionState.DONE}
    assert len(seen) > ROUNDS
    assert {tuple(one) for one in seen} == {(2,), (3,)}


@pytest.mark.postgres
def test_production_always_has_one_version_if_archiving_needs_its_own_call(
    sqlite_url: str, postgres_server: PostgresServer, mlflow_patience: None, tmp_path: Path
) -> None:
    database = postgres_server.url(postgres_server.create())
    backend, server = MlflowBackend(database), MlflowServer(database, tmp_path)  # with psycopg 3: mlflow#24592
    backend.add_model("churn", versions=[Stage.ARCHIVED, Stage.ARCHIVED, Stage.PRODUCTION])
    server.start()
    registry, ledger = MlflowRegistry(server.uri), SqlLedger(sqlite_url)
    with watching(registry) as seen:
        ends = rolls_back(ledger, registry, 4)
    ledger.close()
    server.close()
    backend.close()
    assert set(ends) == {TransitionState.DONE}
    assert min(len(one) for one in seen) == 1
