"""A local workspace in its own process, and a process that forks bots that crash."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.registry.mlflow.registry import MlflowRegistry
from localslack import Remote
from tests.support.app.app_fixture import MANIFEST
from tests.support.app.harness import MODEL_LAYOUT
from tests.support.app.workspaces import INSTANT
from tests.support.faults.crash_harness import CrashHarness, PostgresFiles, SqliteFiles, start_crash_harness
from tests.support.faults.crashing_bot import MODEL
from tests.support.faults.subprocesses import program
from tests.support.ledger.ledgers import PostgresServer
from tests.support.registry.registries import MlflowBackend
from tests.support.services.bench import bench

__all__ = ["bench"]


MEMORY = "/dev/shm"  # noqa: S108 - a folder with a unique name is created in it


@pytest.fixture(scope="session")
def workspace_apart() -> Iterator[str]:
    """Yield the address of a local workspace that runs in its own process."""
    with program("localslack", "--manifest", str(MANIFEST), "--port", "0", "--speed", str(INSTANT)) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]


@pytest.fixture
def apart(workspace_apart: str) -> Iterator[Remote]:
    """That workspace, reset to its initial state."""
    with Remote(workspace_apart) as remote:
        remote.heal()
        remote.deliver_to(None)
        remote.reset()
        remote.forget_calls()
        yield remote


@pytest.fixture(scope="session")
def templates(mlflow_template: Path, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a ledger and a registry: v3 of the model is in Production."""
    folder = tmp_path_factory.mktemp("mortals") / "templates"
    folder.mkdir()
    shutil.copy(sqlite_template, folder / "ledger.db")
    shutil.copy(mlflow_template, folder / "mlflow.db")
    backend = MlflowBackend(f"sqlite:///{folder / 'mlflow.db'}")
    backend.add_model(MODEL, versions=MODEL_LAYOUT)
    MlflowRegistry(f"sqlite:///{folder / 'mlflow.db'}").set_alias(MODEL, "champion", 3)
    backend.close()
    return folder


@pytest.fixture(scope="session")
def memory_folder() -> Iterator[Path]:
    """A folder in memory if the system supports it, since each crash copies many files."""
    folder = Path(tempfile.mkdtemp(prefix="registrar-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _mortals_on_sqlite(workspace_apart: str, templates: Path, memory_folder: Path) -> Iterator[CrashHarness]:
    with start_crash_harness(SqliteFiles(memory_folder / "sqlite"), workspace_apart, templates) as crash_harness:
        yield crash_harness


@pytest.fixture(scope="session")
def _mortals_on_postgres(
    workspace_apart: str, templates: Path, memory_folder: Path, postgres_server: PostgresServer
) -> Iterator[CrashHarness]:
    with start_crash_harness(
        PostgresFiles(memory_folder / "postgres", postgres_server), workspace_apart, templates
    ) as crash_harness:
        yield crash_harness


@pytest.fixture
def crash_harness(request: pytest.FixtureRequest, database: str) -> CrashHarness:
    """Bots that crash and restart, with their ledger on this database."""
    found: CrashHarness = request.getfixturevalue(f"_mortals_on_{database}")
    return found
