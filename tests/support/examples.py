"""The example's script, run once and as a module."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.paths import ROOT

if TYPE_CHECKING:
    import mlflow  # takes a second, in each process of a test run


SCRIPT = ROOT / "examples" / "churn" / "train.py"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the registry's folder and the working folder, which are not the same, and have spaces."""
    root = tmp_path_factory.mktemp("churn example")
    (root / "registry").mkdir()
    (root / "working folder").mkdir()
    return root / "registry", root / "working folder"


@pytest.fixture(scope="module")
def run(folders: tuple[Path, Path]) -> subprocess.CompletedProcess[str]:
    registry, working = folders
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{registry / 'mlflow.db'}"}
    environment.pop("MLFLOW_REGISTRY_URI", None)
    return subprocess.run(
        [sys.executable, SCRIPT, "--json"],
        cwd=working,
        env=environment,
        text=True,
        capture_output=True,
        check=True,
        timeout=390,
    )


@pytest.fixture(scope="module")
def trained(run: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = json.loads(run.stdout)
    return answer


@pytest.fixture
def client(folders: tuple[Path, Path]) -> mlflow.MlflowClient:
    import mlflow

    return mlflow.MlflowClient(f"sqlite:///{folders[0] / 'mlflow.db'}")


@pytest.fixture(scope="module")
def example() -> ModuleType:
    specification = importlib.util.spec_from_file_location("churn_train", SCRIPT)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # dataclasses look their module up
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPT.parent))
        specification.loader.exec_module(module)
    return module


@pytest.fixture
def own_registry(tmp_path: Path) -> Iterator[str]:
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    yield mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(before)


@contextmanager
def imported_serve() -> Iterator[ModuleType]:
    """Import serve.py with common.py next to it, as when it's started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPT.parent))
        import serve  # type: ignore[import-not-found]  # it's in its own folder

        yield serve
    for name in ("serve", "common"):
        sys.modules.pop(name, None)
