"""The number of requests for comparisons and promotions on a real MLflow, which hardly depends on the versions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest

from bot.domain.commands.parser import build_command
from bot.domain.commands.registry import Compare
from bot.domain.transitions.transition import TransitionState
from bot.ledger import SqlLedger
from bot.registry.mlflow.registry import MlflowRegistry
from bot.services.registry.comparisons import Comparisons
from bot.services.registry.queries import RegistryQueries
from tests.support.app.harness import context_over, executor, holders, make_transition, transition_state
from tests.support.ledger.bulk_data import add_many_versions
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import MlflowBackend

Open = Callable[[int], MlflowRegistry]


@pytest.fixture
def opened(mlflow_server: MlflowServer, mlflow_backend: MlflowBackend, mlflow_sqlite: str) -> Iterator[Open]:
    """Return a function that opens a fresh registry over HTTP with that many versions of `churn`, v1 in Production."""
    registries = []

    def open_it(versions: int) -> MlflowRegistry:
        add_many_versions(mlflow_backend, mlflow_sqlite, "churn", versions, metrics={"f1": 0.9, "auc": 0.8})
        registries.append(registry := MlflowRegistry(mlflow_server.uri, timeout=20))
        return registry

    yield open_it
    for registry in registries:
        registry.close()


@pytest.fixture
def ledger(sqlite_url: str) -> Iterator[SqlLedger]:
    opened = SqlLedger(sqlite_url)
    yield opened
    opened.close()


def asked(server: MlflowServer) -> list[str]:
    """Return the requests that the server received since the last call."""
    paths = [request.split("/mlflow/")[1] for request in server.requests]
    server.requests.clear()
    return paths


@pytest.mark.parametrize("number", [1, 10, 1001])
def test_a_comparison_costs_one_request_per_thousand_versions_and_two_more(
    opened: Open, mlflow_server: MlflowServer, ledger: SqlLedger, number: int
) -> None:
    context = context_over(ledger, opened(number))
    comparisons, command = (
        Comparisons(context, RegistryQueries(context)),
        build_command(Compare, {"model": "churn"}),
    )
    found = comparisons.compare(command)
    assert (found.versions, found.incumbent) == ([*range(number, 0, -1)], 1)
    assert found.frame[["auc", "f1"]].notna().all(axis=None)
    assert len(asked(mlflow_server)) <= 2 + math.ceil(number / 1000)
    assert comparisons.compare(command).frame.equals(found.frame)
    assert asked(mlflow_server) == ["model-versions/search", "runs/get"]  # the versions, and the run in Production


@pytest.mark.parametrize("number", [10, 1001])
def test_a_promotion_costs_at_most_five_requests(
    opened: Open, mlflow_server: MlflowServer, ledger: SqlLedger, number: int
) -> None:
    registry = opened(number)
    with ledger.write() as tx:
        tx.add_transition(make_transition("churn", number, after=1))
    executor(ledger, registry).execute_due("churn")
    assert len(asked(mlflow_server)) <= 5
    assert transition_state(ledger, "churn") is TransitionState.DONE
    assert holders(registry, "churn") == [number]
    assert registry.model("churn").aliases == {"champion": number}
