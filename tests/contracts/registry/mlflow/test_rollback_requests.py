"""The number of requests for a rollback on a real MLflow: the same for any number of versions and any actor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.monitoring.monitor import MonitorStatus
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import TransitionKind, TransitionState
from bot.ledger import SqlLedger
from bot.registry.mlflow.registry import MlflowRegistry
from tests.support.app.harness import holders
from tests.support.ledger.bulk_data import add_many_versions
from tests.support.monitoring.monitoring_harness import MonitoringHarness
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import MlflowBackend

Open = Callable[[int], MonitoringHarness]

READ, MOVE, ALIAS = "model-versions/get", "model-versions/transition-stage", "registered-models/alias"
# It reads the incumbent and the target, transitions with archiving, sets the alias, and verifies.
THE_MOVE = [READ, READ, MOVE, ALIAS, READ]


@pytest.fixture
def opened(
    mlflow_server: MlflowServer, mlflow_backend: MlflowBackend, mlflow_sqlite: str, sqlite_url: str
) -> Iterator[Open]:
    """Return a function that adds that many versions of `churn`, v2 in Production after v1, without requests yet."""
    closing: list[Callable[[], None]] = []

    def open_it(versions: int) -> MonitoringHarness:
        add_many_versions(mlflow_backend, mlflow_sqlite, "churn", versions, metrics={"f1": 0.9})
        registry = MlflowRegistry(mlflow_server.uri, timeout=20)
        ledger = SqlLedger(sqlite_url)
        closing.extend([registry.close, ledger.close])
        watched = MonitoringHarness(ledger, registry)
        for version in (1, 2):
            watched.serves(version, since=datetime.now(UTC) - timedelta(days=4 - version))
        registry.transition_stage("churn", 2, Stage.PRODUCTION, archive_existing=True)
        mlflow_server.requests.clear()
        return watched

    yield open_it
    for close in closing:
        close()


def asked(server: MlflowServer) -> list[str]:
    """Return the requests that the server received since the last call."""
    paths = [request.split("/mlflow/")[1] for request in server.requests]
    server.requests.clear()
    return paths


@pytest.mark.parametrize("number", [3, 60])
def test_the_requests_of_a_person_s_rollback(opened: Open, mlflow_server: MlflowServer, number: int) -> None:
    watched = opened(number)
    watched.roll_back()
    asked(mlflow_server)  # whether the version loads, which is cached now
    watched.moves.execute_due("churn")
    assert asked(mlflow_server) == THE_MOVE
    assert is_rolled_back(watched)


@pytest.mark.parametrize("number", [3, 60])
def test_an_automatic_rollback_has_already_checked_the_target(
    opened: Open, mlflow_server: MlflowServer, number: int
) -> None:
    watched = opened(number)
    monitor = watched.monitor("accuracy", fail_after=2)
    watched.reads(0.5)
    watched.monitoring.check_now(monitor)
    assert watched.standing(monitor).state is MonitorStatus.PENDING
    looked = asked(mlflow_server)
    assert looked[:2] == [READ, "runs/get"]
    assert not {MOVE, ALIAS}.intersection(looked)
    watched.monitoring.check_now(monitor)
    assert asked(mlflow_server) == THE_MOVE
    assert is_rolled_back(watched)


def is_rolled_back(watched: MonitoringHarness) -> bool:
    """Return whether v1 is in Production with its alias, and the ledger has the finished transition."""
    with watched.ledger.read() as reading:
        newest = reading.transitions("churn")[0]
    named = watched.registry.model("churn").aliases
    return (
        (newest.kind, newest.version, newest.state) == (TransitionKind.ROLLBACK, 1, TransitionState.DONE)
        and holders(watched.registry, "churn") == [1]
        and named == {"champion": 1}
    )
