"""A server that sends head and body apart is answered without the pause in which each side waits for the other."""

from __future__ import annotations

import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from unittest.mock import patch

import pytest
import requests
from mlflow.tracking.request_header import registry as header_providers
from mlflow.tracking.request_header.databricks_request_header_provider import DatabricksRequestHeaderProvider
from urllib3 import HTTPConnectionPool

from bot.registry.mlflow import http_tuning
from bot.registry.mlflow.registry import MlflowRegistry
from tests.support.registry.mlflow_process import MlflowServer

ROUNDS = 40  # the system acknowledges the first answers of a connection at once, whatever is said
PAUSE = 0.02  # seconds: half of what an acknowledgement is put off for


@pytest.fixture
def slow_server() -> Iterator[str]:
    """Give the address of a server that answers as uvicorn's workers do: the head, then the body, nothing said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, args=[listener], daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def answer(listener: socket.socket) -> None:
    with suppress(OSError), listener.accept()[0] as connection:
        while connection.recv(65536):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            connection.send(b"{}")


def seconds(url: str) -> float:
    """Return what an answer takes on a connection that is kept."""
    taken = []
    with requests.Session() as session:
        for _ in range(ROUNDS):
            began = time.perf_counter()
            session.get(url, timeout=5)
            taken.append(time.perf_counter() - began)
    return statistics.median(taken[ROUNDS // 2 :])


def test_mlflow_is_asked_over_connections_that_acknowledge_at_once(mlflow_server: MlflowServer) -> None:
    registry = MlflowRegistry(mlflow_server.uri)
    registry.models()
    registry.close()
    assert issubclass(HTTPConnectionPool.ConnectionCls, http_tuning._QuickAckConnection)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a program say so")
def test_an_answer_comes_without_a_pause(slow_server: str) -> None:
    http_tuning.use_quick_ack_connections()
    assert seconds(slow_server) < PAUSE


@pytest.mark.skipif(sys.platform != "linux", reason="it measures what Linux does by itself")
def test_without_it_there_is_a_pause(slow_server: str) -> None:
    with patch.object(http_tuning, "enable_quick_ack"):
        assert seconds(slow_server) > PAUSE


def test_no_request_looks_for_packages_that_are_not_there(mlflow_server: MlflowServer) -> None:
    registry = MlflowRegistry(mlflow_server.uri)
    registry.models()
    looked_for, ours = list[str](), threading.get_ident()

    class Finder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            if threading.get_ident() == ours:
                looked_for.append(name)

    with patch.object(sys, "meta_path", [Finder, *sys.meta_path]):
        registry.models()
    registry.close()
    assert looked_for == []


def test_within_databricks_its_headers_are_sent_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = DatabricksRequestHeaderProvider()
    monkeypatch.setattr(header_providers._request_header_provider_registry, "_registry", [provider])
    monkeypatch.setattr(provider, "in_context", lambda: True)
    http_tuning.skip_databricks_header()
    assert list(header_providers._request_header_provider_registry) == [provider]
    monkeypatch.setattr(provider, "in_context", lambda: False)
    http_tuning.skip_databricks_header()
    assert list(header_providers._request_header_provider_registry) == []


def test_doing_it_twice_changes_nothing() -> None:
    http_tuning.use_quick_ack_connections()
    now = HTTPConnectionPool.ConnectionCls
    http_tuning.use_quick_ack_connections()
    assert HTTPConnectionPool.ConnectionCls is now
