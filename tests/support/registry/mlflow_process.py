"""MLflow servers: one in a thread, whose responses can be replaced, and one in its own process."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Response

from tests.support.network.ports import free_port


class MlflowServer:
    """A real MLflow server in a thread, always at the same address. Its next responses can be replaced.

    `requests` lists the received requests. A process can run only one server: MLflow keeps its stores in globals.
    """

    def __init__(self, database_uri: str, artifacts: Path) -> None:
        self._database_uri = database_uri
        self._artifacts = artifacts
        self.requests: list[str] = []
        self._port = free_port()
        self._seconds = 0.0
        self._bent: list[Response | None] = []  # None: the response is lost
        self._lost = ""
        self._sockets: list[socket.socket] = []
        self._stopping = Event()
        self._running: tuple[BaseWSGIServer, Thread] | None = None

    @property
    def uri(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start the server at the same address as before."""
        from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

        if _mlflow()._model_registry_store is None:
            _mlflow()._model_registry_store = SqlAlchemyStore(self._database_uri)  # type: ignore[no-untyped-call]
        self._stopping.clear()
        server = make_server("127.0.0.1", self._port, self._answer, threaded=True, request_handler=_Handler)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        self._running = (server, thread)

    def stop(self) -> None:
        """Stop responding, even on connections that are kept open."""
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
        """Delay every response by this many seconds."""
        self._seconds = seconds

    def answer(self, status: int, body: str | Mapping[str, str]) -> None:
        """Send this response to the next request instead of MLflow's."""
        kind = "text/html" if isinstance(body, str) else "application/json"
        text = body if isinstance(body, str) else json.dumps(dict(body))
        self._bent.append(Response(text, status, content_type=kind))

    def lose_the_next_answer(self) -> None:
        """Process the next request, and close the connection without a response."""
        self._bent.append(None)

    def lose_the_answer_to(self, path: str) -> None:
        """Process the next request to such a path, and close the connection without a response."""
        self._lost = path

    def close(self) -> None:
        """Stop the server permanently."""
        self.stop()
        for name in ("_model_registry_store", "_tracking_store"):
            if store := getattr(_mlflow(), name):
                store._dispose_engine()
                setattr(_mlflow(), name, None)

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        connection = environ["werkzeug.socket"]
        self._sockets.append(connection)
        self.requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        if self._lost and environ["PATH_INFO"].endswith(self._lost):
            self._lost = ""
            self._bent.insert(0, None)
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
    protocol_version = "HTTP/1.1"  # connections are kept open, as with a real server
    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""


@contextmanager
def mlflow_subprocess(
    database_uri: str,
    artifacts: Path,
    workers: int = 2,
    *,
    more: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Run `mlflow server`; yield its address once all its workers respond. `more` are additional arguments."""
    uri = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", str(workers)]
    command += ["--backend-store-uri", database_uri, "--artifacts-destination", str(artifacts), *more]
    process = subprocess.Popen(
        command,
        env=_SERVER_ENVIRONMENT | os.environ | dict(env or {}),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        # A single worker logs that it's ready before it listens. Several workers do so after the server listens.
        _read_until(process.stderr, {"Application startup complete": workers, "Uvicorn running on": 1})
        Thread(target=process.stderr.read, daemon=True).start()  # so the process never waits for a reader
        yield uri
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)
        if process.stderr is not None:
            process.stderr.close()


def _mlflow() -> Any:
    """Return the module where MLflow's server keeps its stores."""
    from mlflow.server import handlers

    return handlers


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _read_until(lines: Iterable[str], times: Mapping[str, int]) -> None:
    """Read output until each word has occurred the given number of times."""
    seen = []
    for line in lines:
        seen.append(line)
        if all(sum(words in each for each in seen) >= number for words, number in times.items()):
            return
    pytest.fail("The server ended before it answered:\n" + "".join(seen))


# Runs are opened on first use, which takes 0.1 s; most tests don't need them.
_ABOUT_MODELS = re.compile("/registered-models/|/model-versions/(?!create)")


_SERVER_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # it would start a dozen processes
}
