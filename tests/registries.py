"""Registries to test with: in memory, MLflow over a SQLite file, MLflow over HTTP.

A test module that wants the fixtures says `pytest_plugins = ("tests.registries",)`, or the top conftest does.
MLflow takes seconds to make its tables, so it makes them once in a session and every test gets a copy.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any, Protocol
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Response

from bot.domain.registry import Stage
from bot.ports import Registry
from bot.registry.memory import MemoryRegistry

KINDS = ("memory", "sqlite", "http")

_PATIENCE = (
    "MLFLOW_HTTP_REQUEST_TIMEOUT",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR",
)


class Shelf(Protocol):
    """What stands behind a registry: where a test puts models. `MemoryRegistry` is its own shelf."""

    def add(
        self,
        name: str,
        *,
        versions: int | Sequence[Stage] = 0,
        description: str = "",
        tags: Mapping[str, str] | None = None,
        prompt: bool = False,
    ) -> None:
        """Add a model with so many versions, or with one version in each of these stages, v1 first."""

    def add_version(
        self,
        name: str,
        *,
        stage: Stage = Stage.NONE,
        run_id: str | None = None,
        description: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> int:
        """Add a version, and return its number."""

    def delete_version(self, name: str, version: int) -> None:
        """Take a version away."""


class MlflowShelf:
    """The shelf of MLflow: its database, written with its own client."""

    def __init__(self, database_uri: str) -> None:
        from mlflow.tracking._model_registry.client import ModelRegistryClient

        self._client: Any = ModelRegistryClient(database_uri, database_uri)  # type: ignore[no-untyped-call]

    def add(
        self,
        name: str,
        *,
        versions: int | Sequence[Stage] = 0,
        description: str = "",
        tags: Mapping[str, str] | None = None,
        prompt: bool = False,
    ) -> None:
        marks = {"mlflow.prompt.is_prompt": "true"} if prompt else {}
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
    ) -> int:
        made = self._client.create_model_version(
            name, "prompt-template", run_id, tags, description=description, await_creation_for=0
        )
        if stage is not Stage.NONE:
            self._client.transition_model_version_stage(name, made.version, stage.value)
        return int(made.version)

    def delete_version(self, name: str, version: int) -> None:
        self._client.delete_model_version(name, version)

    def close(self) -> None:
        """Let go of the database's connections."""
        self._client.store._dispose_engine()


class MlflowServer:
    """A real MLflow server in a thread, always at the same address. Its next answers can be bent.

    `requests` lists what was asked. There is one at a time in a process: MLflow keeps its stores in globals.
    """

    def __init__(self, database_uri: str, artifacts: Path) -> None:
        self._database_uri = database_uri
        self._artifacts = artifacts
        self.requests: list[str] = []
        self._port = free_port()
        self._seconds = 0.0
        self._bent: list[Response | None] = []  # None: the answer is lost
        self._sockets: list[socket.socket] = []
        self._stopping = Event()
        self._running: tuple[BaseWSGIServer, Thread] | None = None

    @property
    def uri(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Answer, at the same address as before."""
        from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

        if _mlflow()._model_registry_store is None:
            _mlflow()._model_registry_store = SqlAlchemyStore(self._database_uri)  # type: ignore[no-untyped-call]
        self._stopping.clear()
        server = make_server("127.0.0.1", self._port, self._answer, threaded=True, request_handler=_Handler)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        self._running = (server, thread)

    def stop(self) -> None:
        """Answer no more, not even on connections that are kept open."""
        if self._running is None:
            return
        server, thread = self._running
        self._running = None
        self._stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()
        while self._sockets:
            _hang_up(self._sockets.pop())

    def delay(self, seconds: float) -> None:
        """Let every answer take so much longer."""
        self._seconds = seconds

    def answer(self, status: int, body: str | Mapping[str, str]) -> None:
        """Give this answer to the next request, in place of MLflow's."""
        kind = "text/html" if isinstance(body, str) else "application/json"
        text = body if isinstance(body, str) else json.dumps(dict(body))
        self._bent.append(Response(text, status, content_type=kind))

    def lose_the_next_answer(self) -> None:
        """Do what the next request asks, and hang up without a word."""
        self._bent.append(None)

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        for name in ("_model_registry_store", "_tracking_store"):
            if store := getattr(_mlflow(), name):
                store._dispose_engine()
                setattr(_mlflow(), name, None)

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        connection = environ["werkzeug.socket"]
        self._sockets.append(connection)
        self.requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        bent = self._bent.pop(0) if self._bent else self._ask_mlflow
        if self._stopping.wait(self._seconds):
            return []
        if bent is not None:
            return bent(environ, start_response)
        self._ask_mlflow(environ, start_response)
        _hang_up(connection)
        return []

    def _ask_mlflow(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        from mlflow.server import app

        if _mlflow()._tracking_store is None and not _ABOUT_MODELS.search(environ["PATH_INFO"]):
            _mlflow()._tracking_store = self._new_tracking_store()
        return app(environ, start_response)

    def _new_tracking_store(self) -> Any:
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        return SqlAlchemyStore(self._database_uri, str(self._artifacts))  # type: ignore[no-untyped-call]


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept, as with a real server
    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


@contextmanager
def mlflow_subprocess(database_uri: str, artifacts: Path, workers: int = 2) -> Iterator[str]:
    """Run `mlflow server` as people do, and give its address once all its workers answer."""
    uri = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", str(workers)]
    command += ["--backend-store-uri", database_uri, "--artifacts-destination", str(artifacts)]
    process = subprocess.Popen(
        command, env=_SERVER_ENVIRONMENT | os.environ, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        _read_until(process.stderr, "Application startup complete", workers)
        Thread(target=process.stderr.read, daemon=True).start()  # so that it never waits for a reader
        yield uri
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)
        if process.stderr is not None:
            process.stderr.close()


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a SQLite file with MLflow's empty tables, to be copied."""
    path = tmp_path_factory.mktemp("mlflow") / "template.db"
    MlflowShelf(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def mlflow_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give MLflow's time limits back, whatever a registry has written into the environment."""
    for name in _PATIENCE:
        monkeypatch.setenv(name, "0")  # so that it is remembered
        monkeypatch.delenv(name)


@pytest.fixture
def mlflow_sqlite(mlflow_template: Path, mlflow_patience: None, tmp_path: Path) -> str:
    """Return the URI of a fresh MLflow database: a tracking URI and a registry URI."""
    shutil.copy(mlflow_template, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def mlflow_shelf(mlflow_sqlite: str) -> Iterator[MlflowShelf]:
    """Return the shelf behind `mlflow_sqlite` and `mlflow_server`."""
    shelf = MlflowShelf(mlflow_sqlite)
    yield shelf
    shelf.close()


@pytest.fixture
def mlflow_server(mlflow_sqlite: str, tmp_path: Path) -> Iterator[MlflowServer]:
    """Return a running MLflow server over `mlflow_sqlite`."""
    server = MlflowServer(mlflow_sqlite, tmp_path / "artifacts")
    server.start()
    yield server
    server.close()


@pytest.fixture
def registries(request: pytest.FixtureRequest) -> Callable[[str], tuple[Registry, Shelf]]:
    """Return a function that makes an empty registry of one of the KINDS, with its shelf."""

    def make(kind: str) -> tuple[Registry, Shelf]:
        if kind == "memory":
            memory = MemoryRegistry()
            return memory, memory
        from bot.registry.mlflow import MlflowRegistry

        shelf = request.getfixturevalue("mlflow_shelf")
        fixture = request.getfixturevalue(f"mlflow_{'server' if kind == 'http' else kind}")
        return MlflowRegistry(fixture.uri if kind == "http" else fixture), shelf

    return make


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _mlflow() -> Any:
    """Return the module where MLflow's server keeps its stores."""
    from mlflow.server import handlers

    return handlers


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _read_until(lines: Iterable[str], words: str, times: int) -> None:
    seen = []
    for line in lines:
        seen.append(line)
        if sum(words in each for each in seen) == times:
            return
    pytest.fail("The server ended before it answered:\n" + "".join(seen))


# Runs are opened when somebody asks for them: it takes 0.1 s, and most tests do not.
_ABOUT_MODELS = re.compile("/registered-models/|/model-versions/(?!create)")

_SERVER_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # it would start a dozen processes
}
