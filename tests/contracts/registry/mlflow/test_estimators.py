"""A model's class is read from its files without loading them, whatever they contain."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bot.domain.registry.model import VersionInfo
from bot.registry.mlflow import artifacts
from bot.registry.mlflow.estimator_class import pickled_class_name, skops_class_name
from bot.registry.mlflow.registry import MlflowRegistry
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import MlflowBackend

# MLflow's server leaves a file open if a client hangs up after the beginning.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file .*/served/:ResourceWarning")

INPUTS, LABELS = np.array([[0.0, 1.0], [1.0, 0.0]] * 20), np.array([0, 1] * 20)


def trained(model: Any) -> Any:
    """Return the fitted model."""
    return model.fit(INPUTS, LABELS)


MODELS: dict[str, Callable[[], Any]] = {
    "LogisticRegression": lambda: trained(LogisticRegression()),
    "RandomForestClassifier": lambda: trained(RandomForestClassifier(20)),
    "pipeline of LogisticRegression": lambda: trained(make_pipeline(StandardScaler(), LogisticRegression())),
    "pipeline of RandomForestClassifier": lambda: trained(make_pipeline(StandardScaler(), RandomForestClassifier(20))),
    "pipeline in a pipeline of LogisticRegression": lambda: trained(
        make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), LogisticRegression()))
    ),
}


@pytest.fixture(scope="module", params=list(MODELS))
def model(request: pytest.FixtureRequest) -> tuple[str, Any]:
    """Return a real model, and its class or the class of its last step."""
    return request.param.rpartition(" ")[2], MODELS[request.param]()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_of_any_protocol_has_its_class(model: tuple[str, Any], protocol: int) -> None:
    name, it = model
    assert pickled_class_name(pickle.dumps(it, protocol)) == name


def test_the_beginning_of_a_pickle_has_its_class() -> None:
    assert pickled_class_name(pickle.dumps(MODELS["RandomForestClassifier"]())[:300]) == "RandomForestClassifier"


def test_the_beginning_of_a_pipeline_has_no_class() -> None:
    assert pickled_class_name(pickle.dumps(MODELS["pipeline of LogisticRegression"]())[:300]) is None


class Hostile:
    """An object whose pickle runs code when it's loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def test_nothing_in_a_pickle_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    data = pickle.dumps(Hostile(mark))
    pickled_class_name(data)
    assert not mark.exists()
    pickle.loads(data)  # noqa: S301 - so that the test would notice
    assert mark.exists()


def test_a_pickle_with_too_many_instructions_still_has_its_class() -> None:
    model = LogisticRegression()
    model.long = list(range(300_000))
    assert pickled_class_name(pickle.dumps(model)) == "LogisticRegression"


@given(st.binary(max_size=300))
def test_any_file_gives_a_name_or_none(data: bytes) -> None:
    for found in (
        pickled_class_name(data),
        skops_class_name(data),
        pickled_class_name(pickle.dumps([data, {1: data}])),
    ):
        assert found is None or found.isidentifier()


@given(st.integers(0, 700), st.integers(0, 255))
def test_a_damaged_pickle_gives_a_name_or_none(at: int, byte: int) -> None:
    data = bytearray(_PIPELINE)
    data[at % len(data)] = byte
    found = pickled_class_name(bytes(data))
    assert found is None or found.isidentifier()


_PIPELINE = pickle.dumps(MODELS["pipeline of LogisticRegression"]())


# -- through MLflow ----------------------------------------------------------------------------------------------------


def save(model: Any, folder: Path, serialization: str = "cloudpickle") -> None:
    """Write the same files as `mlflow.sklearn.log_model`."""
    import mlflow.sklearn

    mlflow.sklearn.save_model(model, str(folder), serialization_format=serialization, pip_requirements=["scikit-learn"])


@pytest.fixture(params=["folder", "server"])
def kept(
    request: pytest.FixtureRequest,
    mlflow_server: MlflowServer,
    mlflow_backend: MlflowBackend,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[MlflowRegistry, Callable[[str], tuple[VersionInfo, Path]]]:
    """Return a registry and a function that creates a version and returns its files' folder, local or the server's."""
    if request.param == "server":
        monkeypatch.setenv("_MLFLOW_SERVER_SERVE_ARTIFACTS", "true")
        monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", str(tmp_path / "served"))
        monkeypatch.setattr("mlflow.server.handlers._artifact_repo", None)
        mlflow_backend.artifacts, mlflow_backend.served = "mlflow-artifacts:", tmp_path / "served"
    registry = MlflowRegistry(mlflow_server.uri)

    def make(name: str) -> tuple[VersionInfo, Path]:
        version = registry.register_version(name, mlflow_backend.add_run(models=["classifier"]), tags={})
        served = mlflow_backend.served
        return version, served / urlsplit(version.source).path.strip("/") if served else Path(version.source)

    return registry, make


@pytest.mark.parametrize("serialization", ["cloudpickle", "skops"])
def test_a_model_that_mlflow_saved_has_its_class(kept: Any, serialization: str) -> None:
    registry, make = kept
    for name in ("LogisticRegression", "pipeline of LogisticRegression"):
        version, folder = make("churn")
        save(MODELS[name](), folder, serialization)
        assert registry.tracker.estimator_class(version) == "LogisticRegression"


def test_only_the_beginning_of_a_large_file_is_read(
    kept: Any, mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, make = kept
    monkeypatch.setattr(artifacts, "MAX_HEAD_BYTES", 3_000)
    forest, folder = make("churn")
    save(MODELS["RandomForestClassifier"](), folder)
    with (folder / "model.pkl").open("ab") as file:
        file.write(bytes(20_000_000))
    assert registry.tracker.estimator_class(forest) == "RandomForestClassifier"
    pipeline, folder = make("churn")
    save(MODELS["pipeline of RandomForestClassifier"](), folder)
    assert registry.tracker.estimator_class(pipeline) is None


def test_a_class_is_read_once(kept: Any, mlflow_server: MlflowServer) -> None:
    registry, make = kept
    version, folder = make("churn")
    save(MODELS["LogisticRegression"](), folder)
    registry.tracker.estimator_class(version)
    mlflow_server.requests.clear()
    assert registry.tracker.estimator_class(version) == "LogisticRegression"
    assert mlflow_server.requests == []


def test_without_files_there_is_no_class(kept: Any) -> None:
    registry, make = kept
    assert registry.tracker.estimator_class(make("churn")[0]) is None


def test_a_class_named_in_a_flavor_is_used(kept: Any) -> None:
    registry, make = kept
    version, folder = make("churn")
    folder.mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {xgboost: {model_class: xgboost.sklearn.XGBClassifier, data: m.ubj}}")
    assert registry.tracker.estimator_class(version) == "XGBClassifier"
