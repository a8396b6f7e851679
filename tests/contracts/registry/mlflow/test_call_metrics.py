"""Each MLflow call is counted with its name, its duration, and whether it failed."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from bot.domain.core.errors import RegistryUnreachable, UnknownModel
from bot.ports import NullObserver
from bot.registry.mlflow.registry import MlflowRegistry
from tests.support.network.ports import free_port


class Listener(NullObserver):
    """Records the calls that it observes."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.seconds: list[float] = []

    def registry_called(self, operation: str, seconds: float, error: str = "") -> None:
        self.asked.append((operation, error))
        self.seconds.append(seconds)


def test_a_call_is_counted_by_mlflow_s_method_name_and_an_unknown_model_is_not_a_failure(
    mlflow_template: Path, tmp_path: Path
) -> None:
    listener = Listener()
    file = shutil.copy(mlflow_template, tmp_path / "mlflow.db")
    with closing(MlflowRegistry(f"sqlite:///{file}", observer=listener)) as registry:
        registry.models()
        with pytest.raises(UnknownModel):
            registry.model("churn")
        registry.tracker.runs(["0" * 32])
    assert listener.asked == [("search_registered_models", ""), ("get_registered_model", ""), ("get_run", "")]
    assert min(listener.seconds) > 0


def test_a_call_without_a_response_is_counted_as_failed() -> None:
    listener = Listener()
    registry = MlflowRegistry(f"http://127.0.0.1:{free_port()}", observer=listener)
    with pytest.raises(RegistryUnreachable):
        registry.model("churn")
    assert set(listener.asked) == {("get_registered_model", "RegistryUnreachable")}
