"""A server that sends header and body separately doesn't cause a pause in which each side waits for the other."""

from __future__ import annotations

import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
import requests
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from bot.registry.mlflow import acknowledgement
from bot.registry.mlflow.registry import MlflowRegistry
from tests.support.registry.mlflow_process import MlflowServer

ROUNDS = 40  # the system always acknowledges the first responses on a connection immediately
PAUSE = 0.02  # seconds: half of an acknowledgment's delay


@pytest.fixture
def slow_server() -> Iterator[str]:
    """Yield the address of a server that responds like uvicorn's workers: first the header, then the body."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, args=[listener], daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def answer(listener: socket.socket) -> None:
    with suppress(OSError), listener.accept()[0] as connection:
        while connection.recv(65536):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            connection.send(b"{}")


def seconds(session: requests.Session, url: str) -> float:
    """Return how long a response takes on a kept-alive connection."""
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        session.get(url, timeout=5)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[ROUNDS // 2 :])


def connection_class(session: requests.Session, url: str) -> type:
    """Return the class of the connections that a session uses for an address."""
    adapter: Any = session.get_adapter(f"{url}/api")
    return type(adapter.poolmanager.connection_from_url(url)._get_conn(timeout=None))


@pytest.fixture
def mlflow_session(mlflow_server: MlflowServer, mlflow_patience: None) -> requests.Session:
    """Return the session of MLflow's client after a registry has called the server."""
    registry = MlflowRegistry(mlflow_server.uri)
    registry.models()
    registry.close()
    session: requests.Session = acknowledgement._mlflow_session()
    return session


def test_mlflow_s_connections_acknowledge_immediately(
    mlflow_session: requests.Session, mlflow_server: MlflowServer
) -> None:
    assert connection_class(mlflow_session, mlflow_server.uri) is acknowledgement._QuickAckConnection


def test_connections_to_a_separate_registry_and_tracker_acknowledge_immediately(mlflow_patience: None) -> None:
    acknowledgement.acknowledge_at_once("http://one:5000", "https://two/mlflow", "sqlite:///x", "databricks-uc")
    session = acknowledgement._mlflow_session()
    assert connection_class(session, "http://one:5000") is acknowledgement._QuickAckConnection
    assert connection_class(session, "https://two/mlflow") is acknowledgement._QuickAckTlsConnection
    assert connection_class(session, "http://one:50001") is HTTPConnection


def test_other_connections_in_the_process_are_unchanged(
    mlflow_session: requests.Session, mlflow_server: MlflowServer
) -> None:
    pools = (urllib3.HTTPConnectionPool.ConnectionCls, urllib3.HTTPSConnectionPool.ConnectionCls)
    assert pools == (HTTPConnection, HTTPSConnection)
    assert urllib3.PoolManager().pool_classes_by_scheme["http"] is urllib3.HTTPConnectionPool
    assert connection_class(mlflow_session, "http://elsewhere:1") is HTTPConnection
    with requests.Session() as other:
        assert connection_class(other, mlflow_server.uri) is HTTPConnection


def test_a_second_registry_shares_the_connections_of_the_first(
    mlflow_session: requests.Session, mlflow_server: MlflowServer
) -> None:
    adapter = mlflow_session.get_adapter(mlflow_server.uri + "/")
    with closing(MlflowRegistry(mlflow_server.uri)) as registry:
        registry.models()
    assert mlflow_session.get_adapter(mlflow_server.uri + "/") is adapter


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a program say so")
def test_a_response_arrives_without_a_pause(slow_server: str, mlflow_patience: None) -> None:
    acknowledgement.acknowledge_at_once(slow_server)
    assert seconds(acknowledgement._mlflow_session(), slow_server) < PAUSE


@pytest.mark.skipif(sys.platform != "linux", reason="it measures what Linux does by itself")
def test_without_immediate_acknowledgement_there_is_a_pause(slow_server: str) -> None:
    with requests.Session() as session:
        assert seconds(session, slow_server) > PAUSE
