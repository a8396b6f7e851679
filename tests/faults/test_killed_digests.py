"""Hashing a version's files with a real MLflow server: killed halfway, in two processes, and in little memory."""

from __future__ import annotations

import hashlib
import signal
import threading
import tracemalloc
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.domain.integrity.digest import VersionDigest, digest_id
from bot.domain.registry.model import VersionInfo
from bot.ports import Ledger
from bot.registry.mlflow.registry import MlflowRegistry
from bot.services.integrity.digests import request_digest
from tests.support.faults.hashing_process import hashing
from tests.support.faults.subprocesses import program
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import MlflowBackend
from tests.support.waiting import wait_until

SIZE = 1_100_000  # bytes of each file: two pieces, and about a second at the lowest rate
NAMES = ["MLmodel", "data/first.bin", "data/second.bin", "model.pkl"]

both = pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])


@pytest.fixture
def ledger_url(database: str, request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{database}_url"))


@pytest.fixture
def version(
    mlflow_server: MlflowServer, mlflow_backend: MlflowBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> VersionInfo:
    """Return a version with files that only the server can read."""
    monkeypatch.setenv("_MLFLOW_SERVER_SERVE_ARTIFACTS", "true")
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", str(tmp_path / "served"))
    monkeypatch.setattr("mlflow.server.handlers._artifact_repo", None)
    mlflow_backend.artifacts, mlflow_backend.served = "mlflow-artifacts:", tmp_path / "served"
    with closing(MlflowRegistry(mlflow_server.uri)) as registry:
        version = registry.register_version("churn", mlflow_backend.add_run(models=["classifier"]), tags={})
    for name in NAMES:
        mlflow_backend.add_file(version, name, name[:1].encode() * SIZE)
    return version


def read_digest(ledger: Ledger, version: VersionInfo) -> VersionDigest:
    with ledger.read() as reader:
        digest = reader.digest(digest_id(version))
    assert digest is not None
    return digest


def downloads(server: MlflowServer) -> list[str]:
    """Return the names of the files that were requested, in order."""
    return [name for request in server.requests for name in NAMES if request.endswith(f"/{name}")]


@both
def test_after_a_kill_hashing_goes_on_with_the_next_file(
    ledger_url: str, mlflow_server: MlflowServer, version: VersionInfo
) -> None:
    with hashing(ledger_url, mlflow_server.uri) as (context, digests):
        with context.ledger.write() as tx:
            request_digest(tx, version.model, version.version, version.identity(), now=context.clock.now())
        with program("tests.support.faults.hashing_process", ledger_url, mlflow_server.uri, "1000000") as process:
            wait_until(lambda: read_digest(context.ledger, version).partial.files)
            process.send_signal(signal.SIGKILL)
            process.wait()
        killed = read_digest(context.ledger, version)
        assert not killed.is_recorded
        assert digests.run_due() == 0  # the claim of the killed process hasn't expired
        with context.ledger.write() as tx:
            tx.save_digest(replace(killed, due_at=datetime.now(UTC)))
        mlflow_server.requests.clear()
        assert digests.run_due() == 1
        hashed = {entry.path for entry in killed.partial.files}
        assert set(downloads(mlflow_server)) == set(NAMES) - hashed
        assert {entry.path: entry.sha256 for entry in read_digest(context.ledger, version).manifest.files} == {
            name: hashlib.sha256(name[:1].encode() * SIZE).hexdigest() for name in NAMES
        }


@both
def test_two_processes_hash_each_file_once(ledger_url: str, mlflow_server: MlflowServer, version: VersionInfo) -> None:
    recorded: list[VersionDigest] = []
    with (
        hashing(ledger_url, mlflow_server.uri, on_recorded=lambda _, digest: recorded.append(digest)) as (context, one),
        hashing(ledger_url, mlflow_server.uri, on_recorded=lambda _, digest: recorded.append(digest)) as (_, other),
    ):
        with context.ledger.write() as tx:
            request_digest(tx, version.model, version.version, version.identity(), now=context.clock.now())
        mlflow_server.requests.clear()
        threads = [threading.Thread(target=digests.run_due) for digests in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(downloads(mlflow_server)) == sorted(NAMES)
        assert recorded == [read_digest(context.ledger, version)]


@pytest.mark.parametrize("database", ["sqlite"])
def test_a_large_file_takes_little_memory(
    ledger_url: str, mlflow_server: MlflowServer, version: VersionInfo, tmp_path: Path
) -> None:
    with (tmp_path / "served" / version.source.removeprefix("mlflow-artifacts:/") / "model.pkl").open("wb") as file:
        file.truncate(200_000_000)
    with hashing(ledger_url, mlflow_server.uri) as (context, digests):
        with context.ledger.write() as tx:
            request_digest(tx, version.model, version.version, version.identity(), now=context.clock.now())
        tracemalloc.start()
        try:
            assert digests.run_due() == 1
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert read_digest(context.ledger, version).manifest.size == 200_000_000 + 3 * SIZE
    assert peak < 50_000_000
