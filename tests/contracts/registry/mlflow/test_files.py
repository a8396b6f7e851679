"""A model's files in MLflow, its MLmodel file, and the client's settings."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

from bot.domain.core.errors import BadInput, RegistryRefused, RegistryUnreachable
from bot.domain.registry.model import SignatureColumn, VersionInfo
from bot.registry.mlflow.artifacts import parse_package, read_package
from bot.registry.mlflow.registry import MlflowRegistry
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import PACKAGE, MlflowBackend, mlmodel

OPEN_STORE = "mlflow.store.artifact.artifact_repository_registry.get_artifact_repository"


class TestFiles:
    """Behavior that only real files can show."""

    @pytest.fixture
    def version(self, remote: MlflowRegistry, mlflow_backend: MlflowBackend) -> VersionInfo:
        """Return a version without files."""
        return remote.register_version("churn", mlflow_backend.add_run(), tags={})

    def test_files_that_only_the_server_can_read_come_through_it(
        self,
        mlflow_server: MlflowServer,
        mlflow_backend: MlflowBackend,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("_MLFLOW_SERVER_SERVE_ARTIFACTS", "true")
        monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", str(tmp_path / "served"))
        monkeypatch.setattr("mlflow.server.handlers._artifact_repo", None)
        mlflow_backend.artifacts, mlflow_backend.served = "mlflow-artifacts:", tmp_path / "served"
        registry = MlflowRegistry(mlflow_server.uri)
        version = registry.register_version("churn", mlflow_backend.add_run(models=["classifier"]), tags={})
        assert version.source.startswith("mlflow-artifacts:/")
        assert registry.tracker.package(version) is None
        mlflow_backend.add_package(version, PACKAGE)
        mlflow_server.requests.clear()
        assert registry.tracker.package(version) == PACKAGE
        assert len(mlflow_server.requests) == 4

    @pytest.mark.parametrize("models", [[], ["model"]])
    def test_a_version_that_names_a_run_is_followed_to_its_files(
        self, remote: MlflowRegistry, mlflow_backend: MlflowBackend, models: list[str]
    ) -> None:
        run_id = mlflow_backend.add_run(models=models)
        mlflow_backend.add_package(remote.register_version("churn", run_id, tags={}), PACKAGE)
        number = mlflow_backend.add_version("churn", run_id=run_id, source=f"runs:/{run_id}/model")
        assert remote.tracker.package(remote.version("churn", number)) == PACKAGE

    def test_a_model_that_mlflow_2_logged_is_found(self, remote: MlflowRegistry, mlflow_backend: MlflowBackend) -> None:
        history = json.dumps([{"artifact_path": "sklearn-model"}, {"artifact_path": "sklearn-model"}])
        run_id = mlflow_backend.add_run(tags={"mlflow.log-model.history": history})
        assert remote.register_version("churn", run_id, tags={}).source.endswith(f"{run_id}/artifacts/sklearn-model")

    def test_several_models_with_the_same_name_are_listed_by_id(
        self, remote: MlflowRegistry, mlflow_backend: MlflowBackend
    ) -> None:
        run_id = mlflow_backend.add_run(models=["model", "model"])
        with pytest.raises(BadInput, match=r"m-[0-9a-f]{32}, m-[0-9a-f]{32}") as unclear:
            remote.register_version("churn", run_id, artifact="model", tags={})
        [model_id, _] = re.findall("m-[0-9a-f]{32}", str(unclear.value))
        assert model_id in remote.register_version("churn", run_id, artifact=model_id, tags={}).source

    def test_a_large_mlmodel_is_not_read(
        self, remote: MlflowRegistry, mlflow_backend: MlflowBackend, version: VersionInfo
    ) -> None:
        mlflow_backend.add_package(version, PACKAGE)
        (Path(version.source) / "MLmodel").write_bytes(b"#" * 1_000_001)
        with pytest.raises(RegistryRefused, match=r"Can't read the model's files: MLmodel is larger than 1 MB\."):
            remote.tracker.package(version)

    def test_an_invalid_mlmodel_file_is_reported(
        self, remote: MlflowRegistry, mlflow_backend: MlflowBackend, version: VersionInfo
    ) -> None:
        mlflow_backend.add_package(version, PACKAGE)
        (Path(version.source) / "MLmodel").write_text("!!python/object:os.system []")
        with pytest.raises(RegistryRefused, match=r"Can't read the model's files: the MLmodel file is invalid\."):
            remote.tracker.package(version)

    @pytest.mark.parametrize(
        "place",
        ["http://evil.example/x", "mlflow-artifacts://evil.example/x", "https://127.0.0.1@evil.example/api/2.0/x"],
    )
    def test_our_password_is_not_sent_to_another_server(self, place: str) -> None:
        with pytest.raises(RegistryRefused, match=r"Can't read the model's files: they're on a different server"):
            read_package(place, "http://127.0.0.1:5000", 1)

    def test_a_store_without_its_library_is_named(self, mlflow_patience: None) -> None:
        with pytest.raises(RegistryRefused, match="Can't read the model's files: "):
            read_package("gs://bucket/model", "http://127.0.0.1:5000", 5)

    def test_an_unknown_kind_of_store_is_refused(self) -> None:
        with pytest.raises(RegistryRefused, match="Can't read the model's files: "):
            read_package("gopher://bucket/model", "http://127.0.0.1:5000", 5)

    def test_a_store_that_does_not_respond_times_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        never = Event()
        monkeypatch.setattr(OPEN_STORE, lambda *_, **__: never.wait(30))
        with pytest.raises(RegistryUnreachable, match="the download timed out"):
            read_package("s3://bucket/model", "http://127.0.0.1:5000", 0.05)
        never.set()

    @pytest.mark.parametrize("error", [ConnectionError("secret"), TimeoutError("secret"), ValueError("secret")])
    def test_a_store_s_errors_are_translated(self, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(OPEN_STORE, fail)
        kind = RegistryRefused if isinstance(error, ValueError) else RegistryUnreachable
        with pytest.raises(kind, match="Can't read the model's files") as told:
            read_package("s3://bucket/model", "http://127.0.0.1:5000", 5)
        assert "secret" not in str(told.value)


class TestMlmodel:
    def test_an_mlmodel_file_of_mlflow_is_parsed(self) -> None:
        assert parse_package(mlmodel(PACKAGE).encode(), "\n# made\n".join(PACKAGE.dependencies).encode()) == PACKAGE

    @pytest.mark.parametrize(
        "text", ["", "[1, 2]", "flavors: [1]", "signature: {inputs: 'x'}", "{" * 5000, "!!python/object:os.system []"]
    )
    def test_any_other_file_is_rejected(self, text: str) -> None:
        with pytest.raises(ValueError, match="not an MLmodel file"):
            parse_package(text.encode())

    def test_columns_keep_their_order_and_nested_types_are_compact(self) -> None:
        inputs = [
            {"name": "b", "type": "long", "required": True},
            {"name": "a", "type": "array", "items": {"type": "string"}, "required": False},
            {"name": "o", "type": "object", "properties": {"x": {"type": "double", "required": True}}},
        ]
        params = [{"name": "k", "type": "integer", "default": [1], "shape": [-1]}]
        told = parse_package(
            json.dumps(
                {"flavors": {}, "signature": {"inputs": json.dumps(inputs), "params": json.dumps(params)}}
            ).encode()
        ).signature
        assert told
        assert told.inputs == (
            SignatureColumn(name="b", type="long"),
            SignatureColumn(name="a", type='{"items":{"type":"string"},"type":"array"}', required=False),
            SignatureColumn(name="o", type='{"properties":{"x":{"required":true,"type":"double"}},"type":"object"}'),
        )
        assert (told.outputs, told.params) == ((), (SignatureColumn(name="k", type="integer[-1]", required=False),))


class TestSettings:
    def test_importing_the_registry_neither_imports_mlflow_nor_sets_variables(self) -> None:
        check = (
            "import os, sys; before = dict(os.environ); import bot.registry.mlflow.registry;"
            "assert before == dict(os.environ) and 'mlflow' not in sys.modules"
        )
        assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0

    def test_a_registry_sets_short_timeouts_by_default(self, mlflow_patience: None) -> None:
        MlflowRegistry("http://127.0.0.1:1", timeout=3)
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "3"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"

    def test_timeouts_in_the_environment_are_kept(self, mlflow_patience: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
        MlflowRegistry("http://127.0.0.1:1", timeout=3)
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "60"
