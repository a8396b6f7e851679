"""A real MLflow server, and how it can fail."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot.domain.core.errors import Misconfigured, RegistryRefused, RegistryUnreachable
from bot.domain.registry.model import SignatureColumn, VersionInfo
from bot.ports import ModelRegistry
from bot.registry.mlflow.registry import MlflowRegistry
from tests.support.ledger.ledgers import PostgresServer
from tests.support.network.ports import free_port
from tests.support.registry.contract_fixtures import (
    ARCHIVED,
    CALLS,
    NONE,
    PRODUCTION,
    READING,
    WRITING,
    stages,
)
from tests.support.registry.mlflow_process import MlflowServer, mlflow_subprocess
from tests.support.registry.opened import tracker_of
from tests.support.registry.registries import MlflowBackend

OTHERS: dict[str, Callable[[ModelRegistry], object]] = {
    "runs": lambda registry: tracker_of(registry).runs(["a" * 32]),
    "package": lambda registry: tracker_of(registry).package(VersionInfo(model="churn", version=1, stage=NONE)),
    "estimator": lambda registry: tracker_of(registry).estimator_class(
        VersionInfo(model="churn", version=1, stage=NONE)
    ),
    "register": lambda registry: registry.register_version("churn", "a" * 32, tags={}),
}


class TestTrouble:
    @pytest.mark.parametrize("call", CALLS | OTHERS)
    def test_a_server_that_is_down_is_reported_quickly(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, call: str
    ) -> None:
        mlflow_server.stop()
        begun = time.monotonic()
        with pytest.raises(RegistryUnreachable, match="isn't responding"):
            (CALLS | OTHERS)[call](remote)
        assert time.monotonic() - begun < 20  # immediately; MLflow alone would retry for minutes

    def test_a_server_that_comes_back_is_called_again(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer
    ) -> None:
        mlflow_server.stop()
        with pytest.raises(RegistryUnreachable):
            remote.model("churn")
        mlflow_server.start()
        assert remote.model("churn").name == "churn"

    def test_a_slow_server_times_out(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        mlflow_server.delay(60)
        with pytest.raises(RegistryUnreachable, match="didn't respond in time"):
            remote.model("churn")

    @pytest.mark.parametrize("call", WRITING)
    def test_a_write_whose_response_is_lost_is_not_repeated(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, call: str
    ) -> None:
        mlflow_server.lose_the_next_answer()
        with pytest.raises(RegistryUnreachable):
            CALLS[call](remote)
        assert len(mlflow_server.requests) == 1

    def test_a_write_can_take_effect_even_if_its_response_is_lost(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer
    ) -> None:
        mlflow_server.lose_the_next_answer()
        with pytest.raises(RegistryUnreachable):
            remote.transition_stage("churn", 2, PRODUCTION, archive_existing=True)
        assert stages(remote) == {1: ARCHIVED, 2: PRODUCTION}

    @pytest.mark.parametrize("call", READING)
    def test_a_read_whose_connection_breaks_is_repeated(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, call: str
    ) -> None:
        mlflow_server.lose_the_next_answer()
        CALLS[call](remote)
        assert len(mlflow_server.requests) == 2

    def test_a_read_of_runs_whose_connection_breaks_is_repeated(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, mlflow_backend: MlflowBackend
    ) -> None:
        run_id = mlflow_backend.add_run()
        mlflow_server.lose_the_next_answer()
        assert remote.tracker.runs([run_id]).keys() == {run_id}

    def test_a_version_whose_response_is_lost_is_not_created_twice(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, mlflow_backend: MlflowBackend
    ) -> None:
        run_id = mlflow_backend.add_run()
        mlflow_server.lose_the_answer_to("/model-versions/create")
        with pytest.raises(RegistryUnreachable):
            remote.register_version("churn", run_id, tags={})
        assert [request.rsplit("/", 1)[1] for request in mlflow_server.requests].count("create") == 1
        assert [v.version for v in remote.versions("churn") if v.run_id == run_id] == [3]

    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    def test_a_failing_server_is_unreachable(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, status: int
    ) -> None:
        mlflow_server.answer(status, {"error_code": "INTERNAL_ERROR", "message": "SELECT password"})
        with pytest.raises(RegistryUnreachable, match="can't answer right now"):
            remote.model("churn")

    @pytest.mark.parametrize(
        ("status", "body", "sentence"),
        [
            (400, {"error_code": "BAD_REQUEST", "message": "[SQL: SELECT 1]"}, "MLflow rejected the request"),
            (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "No."}, "MLflow rejected this: No."),
            (401, "Who are you?", "Check MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD"),
            (403, {"error_code": "PERMISSION_DENIED", "message": "Permission denied"}, "needs EDIT"),
            (403, "Invalid Host header", "--allowed-hosts"),
        ],
    )
    def test_a_refusal_says_what_to_do(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, status: int, body: str, sentence: str
    ) -> None:
        mlflow_server.answer(status, body)
        with pytest.raises(RegistryRefused, match=sentence):
            remote.transition_stage("churn", 2, PRODUCTION, archive_existing=True)

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (404, "<html>nginx</html>"),
            (404, {"detail": "Not Found"}),
            (405, "<html>nginx</html>"),
            (200, "<html>Down for maintenance</html>"),
        ],
    )
    def test_a_proxy_s_response_is_not_a_refusal(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, status: int, body: str
    ) -> None:
        mlflow_server.answer(status, body)
        with pytest.raises(RegistryUnreachable, match="isn't MLflow"):
            remote.transition_stage("churn", 2, PRODUCTION, archive_existing=True)

    @pytest.mark.parametrize(
        "body",
        [
            "[]",
            "7",
            '{"model_versions": 7}',
            '{"model_versions": [7]}',
            '{"model_versions": [{"name": "churn"}]}',
            '{"runs": "none"}',
            '{"runs": [{"info": {"run_id": "r"}}]}',
            '{"runs": [{"info": {"run_id": "r", "experiment_id": "1"}, "data": {"metrics": [{"key": "a", "value": "?"}]'
            "}}]}",
        ],
    )
    def test_a_response_with_an_unexpected_shape_is_unreachable(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, mlflow_backend: MlflowBackend, body: str
    ) -> None:
        runs = [mlflow_backend.add_run(metrics={"accuracy": 0.9}) for _ in range(2)]
        remote.tracker.runs(runs)  # the experiments are cached now
        mlflow_server.answer(200, body)
        with pytest.raises(RegistryUnreachable, match="isn't MLflow"):
            remote.versions("churn") if "model_versions" in body else remote.tracker.runs(runs)

    def test_database_errors_are_only_logged(self, remote: MlflowRegistry, mlflow_server: MlflowServer) -> None:
        mlflow_server.answer(400, {"error_code": "BAD_REQUEST", "message": "[SQL: SELECT 1]"})
        with pytest.raises(RegistryRefused) as refused:
            remote.model("churn")
        assert "SELECT" not in str(refused.value)
        assert "SELECT" in str(refused.value.__cause__)

    def test_an_exception_that_the_caller_handles_is_not_a_cause(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer
    ) -> None:
        mlflow_server.answer(400, {"error_code": "BAD_REQUEST", "message": "no"})
        try:
            raise TimeoutError("something else")
        except TimeoutError:
            with pytest.raises(RegistryRefused):
                remote.model("churn")

    def test_a_password_in_the_address_is_not_shown(self) -> None:
        with pytest.raises(RegistryUnreachable) as unreachable:
            MlflowRegistry(f"http://ann:secret@127.0.0.1:{free_port()}").models()
        assert "secret" not in str(unreachable.value)

    def test_an_unsupported_address_is_refused(self, mlflow_patience: None) -> None:
        with pytest.raises(RegistryRefused, match="isn't MLflow"):
            MlflowRegistry("gopher://127.0.0.1").models()

    def test_a_failing_database_is_unreachable(self, mlflow_sqlite: str, mlflow_backend: MlflowBackend) -> None:
        engine = sa.create_engine(mlflow_sqlite)
        with engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE registered_model_tags"))
        engine.dispose()
        with pytest.raises(RegistryUnreachable, match="can't answer right now"):
            MlflowRegistry(mlflow_sqlite).models()

    def test_an_alias_that_another_process_set_first_is_set_again(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer
    ) -> None:
        said = "(sqlite3.IntegrityError) UNIQUE constraint failed: registered_model_aliases.name"
        mlflow_server.answer(400, {"error_code": "BAD_REQUEST", "message": said})
        remote.set_alias("churn", "champion", 2)
        assert remote.model("churn").aliases == {"champion": 2}


@pytest.fixture(scope="module")
def command_line_server(mlflow_template: Path) -> Iterator[str]:
    """Run `mlflow server --workers 2` on a copy of the template."""
    folder = Path(tempfile.mkdtemp(dir=mlflow_template.parent))
    database = folder / "server.db"
    database.write_bytes(mlflow_template.read_bytes())
    backend = MlflowBackend(f"sqlite:///{database}")
    backend.add_model("churn", versions=[PRODUCTION, NONE])
    backend.close()
    with mlflow_subprocess(f"sqlite:///{database}", folder) as uri:
        yield uri


@pytest.mark.slow
def test_a_transition_on_a_server_with_two_workers_is_read_back(command_line_server: str) -> None:
    registry = MlflowRegistry(command_line_server)
    registry.transition_stage("churn", 2, PRODUCTION, archive_existing=True)
    registry.set_alias("churn", "champion", 2)
    assert [stages(registry) for _ in range(5)] == [{1: ARCHIVED, 2: PRODUCTION}] * 5
    assert registry.model("churn").aliases == {"champion": 2}


TRAINING = """
import mlflow, numpy
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

inputs, labels = numpy.array([[0.0, 1.0], [1.0, 0.0]]), numpy.array([0, 1])
with mlflow.start_run() as run:
    mlflow.log_metric("auc", float("inf"))
    mlflow.log_input(mlflow.data.from_numpy(inputs, targets=labels), context="training")
    model = LogisticRegression().fit(inputs, labels)
    mlflow.sklearn.log_model(model, name="model", signature=infer_signature(inputs, labels))
print("run", run.info.run_id)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_model_that_mlflow_logged_is_registered_and_read(command_line_server: str) -> None:
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_TRACKING_URI": command_line_server}
    trained = subprocess.run(
        [sys.executable, "-c", TRAINING], env=os.environ | quiet, check=True, capture_output=True, text=True
    )
    run_id = trained.stdout.split("run ")[-1].strip()
    registry = MlflowRegistry(command_line_server)
    version = registry.register_version("fraud", run_id, tags={"semver": "1.0.0"})
    run, package = registry.tracker.runs([run_id])[run_id], registry.tracker.package(version)
    assert registry.version("fraud", 1) == version
    assert math.isnan(run.metrics["auc"])
    assert [(dataset.rows, dataset.context) for dataset in run.datasets] == [(2, "training")]
    assert package
    assert package.signature
    assert (package.flavors, package.signature.inputs) == (
        ("sklearn",),
        (SignatureColumn(name="", type="tensor(float64,[-1, 2])"),),
    )
    assert any(line.startswith("scikit-learn==") for line in package.dependencies)
    assert package.size
    assert registry.tracker.estimator_class(version) == "LogisticRegression"


@pytest.mark.postgres
def test_a_server_that_cannot_archive_transitions_first_and_archives_afterward(
    postgres_server: PostgresServer, mlflow_patience: None, tmp_path: Path
) -> None:
    database = postgres_server.url(postgres_server.create())
    backend = MlflowBackend(database)
    backend.add_model("churn", versions=[PRODUCTION, NONE])
    server = MlflowServer(database, tmp_path)  # with psycopg 3: mlflow#24592
    server.start()
    registry = MlflowRegistry(server.uri)
    registry.transition_stage("churn", 2, PRODUCTION, archive_existing=True)
    told = stages(registry)
    server.close()
    backend.close()
    assert told == {1: ARCHIVED, 2: PRODUCTION}
    assert [request.rsplit("/", 1)[1] for request in server.requests] == [
        "get",  # check that it's a model
        "transition-stage",  # fails
        "transition-stage",
        "search",
        "transition-stage",
        "search",
    ]


@pytest.mark.usefixtures("mlflow_patience")
def test_a_database_without_its_driver_names_the_driver_and_the_setting() -> None:
    with pytest.raises(Misconfigured) as refused:
        MlflowRegistry("mssql+pymssql://bot:secret@db/mlflow").models()
    assert str(refused.value) == (
        "Can't use MLFLOW_TRACKING_URI: it needs pymssql, which isn't installed. "
        "Install it, or set MLFLOW_TRACKING_URI to your MLflow server's address."
    )
