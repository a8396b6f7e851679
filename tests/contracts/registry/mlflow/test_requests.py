"""The number of requests that each call sends to a real MLflow."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from bot.registry.mlflow.adapter import links
from bot.registry.mlflow.registry import MlflowRegistry
from tests.support.registry.contract_fixtures import CALLS, WRITING
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import MlflowBackend


class TestRequests:
    @pytest.mark.parametrize("call", CALLS)
    def test_a_call_is_one_request(self, remote: MlflowRegistry, mlflow_server: MlflowServer, call: str) -> None:
        CALLS[call](remote)
        assert len(mlflow_server.requests) == 1

    @pytest.mark.parametrize("call", WRITING)
    def test_a_write_without_a_recent_read_reads_first(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, call: str
    ) -> None:
        CALLS[call](MlflowRegistry(mlflow_server.uri))
        read, written = (request.split()[0] for request in mlflow_server.requests)
        assert (read, written in {"POST", "PATCH", "DELETE"}) == ("GET", True)

    def test_an_old_read_is_repeated(self, remote: MlflowRegistry, mlflow_server: MlflowServer) -> None:
        times = iter([0.0, 61.0, 61.0])
        registry = MlflowRegistry(mlflow_server.uri, monotonic=lambda: next(times))
        registry.model("churn")
        registry.set_alias("churn", "champion", 1)
        assert len(mlflow_server.requests) == 3

    def test_a_single_run_is_fetched_without_a_search(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, mlflow_runs: list[str]
    ) -> None:
        assert remote.tracker.runs(mlflow_runs[:1]).keys() == set(mlflow_runs[:1])
        assert remote.tracker.runs(["f" * 32]) == {}
        assert [request.partition("/mlflow/")[2] for request in mlflow_server.requests] == ["runs/get"] * 2

    @pytest.mark.parametrize(("number", "requests"), [(2, 1), (1000, 1), (1001, 2)])
    def test_a_thousand_runs_are_one_request(
        self,
        remote: MlflowRegistry,
        mlflow_server: MlflowServer,
        mlflow_runs: list[str],
        monkeypatch: pytest.MonkeyPatch,
        number: int,
        requests: int,
    ) -> None:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")  # the machine can be slow
        assert len(remote.tracker.runs(mlflow_runs[:number])) == number
        assert len(mlflow_server.requests) == requests + 1  # the first call reads the experiments
        remote.tracker.runs(mlflow_runs[:number])
        assert len(mlflow_server.requests) == 2 * requests + 1

    def test_no_runs_need_no_request(self, remote: MlflowRegistry, mlflow_server: MlflowServer) -> None:
        assert remote.tracker.runs([]) == remote.tracker.runs(["a b", "'"]) == {}
        assert mlflow_server.requests == []

    def test_a_missing_run_is_searched_in_new_experiments_only(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, mlflow_backend: MlflowBackend
    ) -> None:
        old = mlflow_backend.add_run()
        assert remote.tracker.runs([old, "f" * 32]).keys() == {old}
        assert len(mlflow_server.requests) == 2
        remote.tracker.runs([old, "f" * 32])
        assert len(mlflow_server.requests) == 4  # the runs, and the experiments, none of which is new
        new = mlflow_backend.add_run(experiment="new")
        assert remote.tracker.runs([old, new]).keys() == {old, new}
        assert len(mlflow_server.requests) == 7

    def test_a_run_s_experiment_id_matches_its_page_s_url(
        self, remote: MlflowRegistry, mlflow_backend: MlflowBackend
    ) -> None:
        run_id = mlflow_backend.add_run(experiment="churn")
        known = mlflow_backend.tracking.get_experiment_by_name("churn").experiment_id
        assert str(links("http://mlflow").run(remote.tracker.runs([run_id])[run_id])).endswith(
            f"/experiments/{known}/runs/{run_id}"
        )

    def test_runs_of_a_deleted_experiment_are_found(
        self, remote: MlflowRegistry, mlflow_backend: MlflowBackend
    ) -> None:
        run_id = mlflow_backend.add_run(experiment="gone")
        mlflow_backend.delete_experiment("gone")
        assert remote.tracker.runs([run_id])[run_id].is_deleted

    def test_a_registration_requests_the_run_its_model_and_the_registered_model(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, mlflow_backend: MlflowBackend
    ) -> None:
        run_id = mlflow_backend.add_run(models=["classifier"])
        remote.register_version("churn", run_id, tags={"semver": "1.0.0"}, description="new")
        assert [request.split("/mlflow/")[1] for request in mlflow_server.requests][2:] == [
            "registered-models/get",
            "model-versions/create",
        ]
        assert len(mlflow_server.requests) == 4

    def test_versions_are_read_page_by_page(self, mlflow_server: MlflowServer, mlflow_backend: MlflowBackend) -> None:
        mlflow_backend.add_model("churn", versions=7)
        registry = MlflowRegistry(mlflow_server.uri, versions_per_page=3)
        assert [v.version for v in registry.versions("churn")] == [7, 6, 5, 4, 3, 2, 1]
        assert len(mlflow_server.requests) == 3

    def test_a_version_deleted_between_two_pages_hides_no_other_version(
        self, mlflow_server: MlflowServer, mlflow_backend: MlflowBackend
    ) -> None:
        for name in ("a", "b", "c", "d"):
            mlflow_backend.add_model(name, versions=2)
        registry = MlflowRegistry(mlflow_server.uri, versions_per_page=3)
        pages = iter(registry.versions_by_model())
        listed = dict([next(pages), next(pages)])
        mlflow_backend.delete_version("a", 1)
        listed |= dict(pages)
        assert {name: len(versions) for name, versions in listed.items()} == {"a": 2, "b": 2, "c": 2, "d": 2}

    def test_recently_updated_models_are_one_request(
        self, mlflow_server: MlflowServer, mlflow_backend: MlflowBackend
    ) -> None:
        for number in range(101):
            mlflow_backend.add_model(f"m{number}")
        registry = MlflowRegistry(mlflow_server.uri)
        newest = max(model.updated_at for model in registry.models() if model.updated_at)
        mlflow_server.requests.clear()
        assert registry.recently_updated(newest)
        assert len(mlflow_server.requests) == 1
        assert len(registry.recently_updated(newest - timedelta(hours=1))) == 101
        assert len(mlflow_server.requests) == 3


@pytest.fixture
def mlflow_runs(mlflow_sqlite: str, mlflow_backend: MlflowBackend) -> list[str]:
    """Return the ids of 1,001 runs, written directly to the database because MLflow takes 5 ms for each."""
    first = mlflow_backend.add_run(metrics={"auc": 0.5})
    ids = [first, *(f"{number:032x}" for number in range(1000))]
    engine = sa.create_engine(mlflow_sqlite)
    with engine.begin() as connection:
        for table, key in (("runs", "run_uuid"), ("latest_metrics", "run_uuid")):
            row = connection.execute(sa.text(f"SELECT * FROM {table}")).mappings().one()  # noqa: S608
            columns = sa.table(table, *(sa.column(name) for name in row))
            connection.execute(sa.insert(columns), [{**row, key: run_id} for run_id in ids[1:]])
    engine.dispose()
    return ids
