"""Registries for tests: in memory, MLflow over a SQLite file, and MLflow over HTTP.

A test module that needs the fixtures sets `pytest_plugins = ("tests.support.registry.registries",)`, or its conftest
does.
MLflow takes seconds to create its tables, so it creates them once per session, and every test gets a copy.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from bot.domain.registry.model import Dataset, ModelPackage, SignatureColumn, Stage, VersionInfo
from bot.ports import ModelRegistry
from bot.registry.contract import RegistryContents
from bot.registry.contract.tracker import PACKAGE
from bot.registry.tag_stages import STAGE_TAG, TagStageRegistry
from tests.support.registry.memory import MemoryRegistry
from tests.support.registry.mlflow_process import MlflowServer

__all__ = [
    "KINDS",
    "PACKAGE",
    "TAGGED_KINDS",
    "MlflowBackend",
    "RegistryContents",
    "TaggedBackend",
]

KINDS = ("memory", "sqlite", "http")


TAGGED_KINDS = tuple(f"{kind} with tags" for kind in KINDS)


_PATIENCE = (
    "MLFLOW_HTTP_REQUEST_TIMEOUT",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR",
)


class MlflowBackend:
    """The contents of MLflow: its database, written with MLflow's own client.

    `artifacts` is where the files of runs are: a folder, or with `mlflow-artifacts:/`, the server's own folder
    `served`, which only the server reads.
    """

    def __init__(self, database_uri: str, artifacts: str = "", served: Path | None = None) -> None:
        from mlflow.tracking._model_registry.client import ModelRegistryClient

        self._client: Any = ModelRegistryClient(database_uri, database_uri)  # type: ignore[no-untyped-call]
        self._uri = database_uri
        self.artifacts = artifacts
        self.served = served
        self._tracking: Any = None

    def add_model(
        self,
        name: str,
        *,
        versions: int | Sequence[Stage] = 0,
        description: str = "",
        tags: Mapping[str, str] | None = None,
        is_prompt: bool = False,
    ) -> None:
        marks = {"mlflow.prompt.is_prompt": "true"} if is_prompt else {}
        self._client.create_registered_model(name, {**(tags or {}), **marks}, description)
        for stage in [Stage.NONE] * versions if isinstance(versions, int) else versions:
            self.add_version(name, stage=stage, tags=marks)

    def add_version(
        self,
        name: str,
        *,
        stage: Stage = Stage.NONE,
        run_id: str | None = None,
        description: str = "",
        tags: Mapping[str, str] | None = None,
        source: str = "",
    ) -> int:
        made = self._client.create_model_version(
            name, source or "prompt-template", run_id, tags, description=description, await_creation_for=0
        )
        if stage is not Stage.NONE:
            self._client.transition_model_version_stage(name, made.version, stage.value)
        return int(made.version)

    def delete_version(self, name: str, version: int) -> None:
        self._client.delete_model_version(name, version)

    def add_run(
        self,
        *,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        datasets: Sequence[Dataset] = (),
        status: str = "FINISHED",
        is_deleted: bool = False,
        models: Sequence[str] = (),
        name: str = "",
        experiment: str = "Default",
        user: str = "",
        started_at: datetime | None = None,
        ended_at: datetime | None = None,
    ) -> str:
        from mlflow.entities import Metric, Param, RunTag

        made = self.tracking.create_run(
            self._experiment(experiment), _milliseconds(started_at), {"mlflow.user": user} if user else None, name
        )
        run_id = str(made.info.run_id)
        self.tracking.store.log_batch(
            run_id,
            [Metric(key, value, 0, 0) for key, value in (metrics or {}).items()],
            [Param(key, value) for key, value in (params or {}).items()],
            [RunTag(key, value) for key, value in (tags or {}).items()],
        )
        if datasets:
            self.tracking.store.log_inputs(run_id, [_dataset_input(dataset) for dataset in datasets])
        for model in models:
            self._log_model(run_id, made.info.experiment_id, model)
        if status != "RUNNING":
            self.tracking.set_terminated(run_id, status, _milliseconds(ended_at))
        if is_deleted:
            self.delete_run(run_id)
        return run_id

    def log_metric(self, run_id: str, metric: str, value: float, at: datetime) -> None:
        self.tracking.log_metric(run_id, metric, value, _milliseconds(at), 0)

    def delete_run(self, run_id: str) -> None:
        self.tracking.delete_run(run_id)

    def delete_experiment(self, name: str) -> None:
        """Move an experiment with its runs to the trash."""
        self.tracking.delete_experiment(self._experiment(name))

    def add_package(self, version_or_source: VersionInfo | str, package: ModelPackage) -> None:
        folder = self._folder(version_or_source)
        (folder / "MLmodel").write_text(mlmodel(package), encoding="utf-8")
        if package.dependencies:
            (folder / "requirements.txt").write_text("\n".join(package.dependencies), encoding="utf-8")

    def add_file(self, version_or_source: VersionInfo | str, path: str, contents: bytes) -> None:
        file = self._folder(version_or_source) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(contents)

    def _folder(self, version_or_source: VersionInfo | str) -> Path:
        source = version_or_source if isinstance(version_or_source, str) else version_or_source.source
        folder = self.served / urlsplit(source).path.strip("/") if self.served else Path(source)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def tracking(self) -> Any:
        """MLflow's client for runs, created on first use because it opens the database again."""
        if self._tracking is None:
            from mlflow.tracking._tracking_service.client import TrackingServiceClient

            self._tracking = TrackingServiceClient(self._uri)  # type: ignore[no-untyped-call]
        return self._tracking

    def close(self) -> None:
        """Close the database connections."""
        self._client.store._dispose_engine()
        if self._tracking is not None:
            self._tracking.store._dispose_engine()

    def _experiment(self, name: str) -> str:
        # The experiment that MLflow creates itself stores its files in the tests' working directory.
        mine = f"{name} of the tests" if name == "Default" else name
        if found := self.tracking.get_experiment_by_name(mine):
            return str(found.experiment_id)
        self.artifacts = self.artifacts or tempfile.mkdtemp()
        return str(self.tracking.create_experiment(mine, f"{self.artifacts}/{name}"))

    def _log_model(self, run_id: str, experiment_id: str, name: str) -> None:
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus

        model = self.tracking.create_logged_model(experiment_id, name, run_id)
        self.tracking.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        self.tracking.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])


class TaggedBackend:
    """The contents behind a registry that stores its stages as tags."""

    def __init__(self, backend: RegistryContents) -> None:
        self._shelf = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shelf, name)

    def add_model(
        self, name: str, *, versions: int | Sequence[Stage] = 0, is_prompt: bool = False, **more: Any
    ) -> None:
        """Add a model, with its versions' stages as tags."""
        stages = [Stage.NONE] * versions if isinstance(versions, int) else versions
        self._shelf.add_model(name, versions=len(stages) if is_prompt else 0, is_prompt=is_prompt, **more)
        for stage in [] if is_prompt else stages:
            self.add_version(name, stage=stage)

    def add_version(
        self, name: str, *, stage: Stage = Stage.NONE, tags: Mapping[str, str] | None = None, **more: Any
    ) -> int:
        """Add a version with its stage as a tag."""
        mark = {} if stage is Stage.NONE else {STAGE_TAG: stage.value}
        return self._shelf.add_version(name, tags={**(tags or {}), **mark}, **more)


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory, _mlflow_reads_its_migrations_once: None) -> Path:
    """Return a SQLite file with MLflow's empty tables, to copy. A test run's first process creates it for all."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "mlflow"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "template.db").exists():
            MlflowBackend(f"sqlite:///{folder / 'begun.db'}").close()
            (folder / "begun.db").rename(folder / "template.db")
    return folder / "template.db"


@pytest.fixture(scope="session")
def _mlflow_reads_its_migrations_once() -> Iterator[None]:
    """Keep each new store from running all of MLflow's migration files to find the newest one."""
    from mlflow.store.db import utils

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "_get_latest_schema_revision", cache(utils._get_latest_schema_revision))
        yield


@pytest.fixture
def mlflow_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore MLflow's timeouts after a registry has changed them in the environment."""
    for name in _PATIENCE:
        monkeypatch.setenv(name, "0")  # so that monkeypatch restores it
        monkeypatch.delenv(name)


@pytest.fixture
def mlflow_sqlite(mlflow_template: Path, mlflow_patience: None, tmp_path: Path) -> str:
    """Return the URI of a fresh MLflow database, which is both tracking URI and registry URI."""
    shutil.copy(mlflow_template, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def mlflow_backend(mlflow_sqlite: str) -> Iterator[MlflowBackend]:
    """Return the contents behind `mlflow_sqlite` and `mlflow_server`."""
    backend = MlflowBackend(mlflow_sqlite, str(Path(mlflow_sqlite.removeprefix("sqlite:///")).with_name("artifacts")))
    yield backend
    backend.close()


@pytest.fixture
def mlflow_server(mlflow_sqlite: str, tmp_path: Path) -> Iterator[MlflowServer]:
    """Return a running MLflow server over `mlflow_sqlite`."""
    server = MlflowServer(mlflow_sqlite, tmp_path / "artifacts")
    server.start()
    yield server
    server.close()


@pytest.fixture
def registries(request: pytest.FixtureRequest) -> Callable[[str], tuple[ModelRegistry, RegistryContents]]:
    """Return a function that creates an empty registry of one of the KINDS or TAGGED_KINDS, and its contents."""

    def make(kind: str) -> tuple[ModelRegistry, RegistryContents]:
        if kind in TAGGED_KINDS:
            registry, backend = make(kind.removesuffix(" with tags"))
            return TagStageRegistry(registry, champion="champion", challenger="challenger"), TaggedBackend(backend)
        if kind == "memory":
            memory = MemoryRegistry()
            return memory, memory
        from bot.registry.mlflow.registry import MlflowRegistry

        backend = request.getfixturevalue("mlflow_backend")
        fixture = request.getfixturevalue(f"mlflow_{'server' if kind == 'http' else kind}")
        registry = MlflowRegistry(fixture.uri if kind == "http" else fixture)
        request.addfinalizer(registry.close)
        return registry, backend

    return make


def mlmodel(package: ModelPackage) -> str:
    """Return the MLmodel file that MLflow writes for such a model."""
    told: dict[str, Any] = {"flavors": {name: {"code": None} for name in [*package.flavors, "python_function"]}}
    told["model_size_bytes"] = package.size
    if package.signature:
        sides = {side: getattr(package.signature, side) for side in ("inputs", "outputs", "params")}
        told["signature"] = {
            side: json.dumps([_spec(column, side) for column in columns]) for side, columns in sides.items()
        }
    return yaml.safe_dump(told)


def _spec(column: SignatureColumn, side: str) -> dict[str, Any]:
    if tensor := re.fullmatch(r"tensor\((\w+),(.*)\)", column.type):
        return {"type": "tensor", "tensor-spec": {"dtype": tensor[1], "shape": json.loads(tensor[2])}}
    more = {"default": 0.5, "shape": None} if side == "params" else {"required": column.required}
    return {"name": column.name, "type": column.type, **more}


def _dataset_input(dataset: Dataset) -> Any:
    from mlflow.entities import Dataset as MlflowDataset
    from mlflow.entities import DatasetInput, InputTag

    profile = None if dataset.rows is None else json.dumps({"num_rows": dataset.rows, "num_elements": 7})
    tags = [InputTag("mlflow.data.context", dataset.context)] if dataset.context else []
    return DatasetInput(MlflowDataset(dataset.name, dataset.digest, "local", "{}", None, profile), tags)


def _milliseconds(moment: datetime | None) -> int | None:
    return int(moment.timestamp() * 1000) if moment else None
