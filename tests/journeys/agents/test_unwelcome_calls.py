"""Calls over HTTP that aim at the bot itself: its log, its threads, and its other callers."""

from __future__ import annotations

import socket
import threading
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.support.app.app_fixture import RunningApp
from tests.support.mcp.agent import TestAgent

MANY = 45  # more than the threads that the HTTP server shares among all its callers


@pytest.mark.parametrize("origin", ["http://[", "null", "https://evil.example", "http://127.0.0.1:1"])
def test_pages_of_other_sites_are_refused(app: RunningApp, origin: str, caplog: pytest.LogCaptureFixture) -> None:
    response = httpx2.post(f"{app.service.address}/mcp", headers={"Origin": origin}, content=b"{}")
    assert response.status_code == 403
    assert "unexpected error" not in caplog.text


def test_whoever_hangs_up_writes_no_traceback_to_the_log(app: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
    address = urlsplit(app.service.address)
    with socket.create_connection((address.hostname, address.port)) as hasty:
        hasty.sendall(b"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert httpx2.post(f"{app.service.address}/mcp", content=b"{}").status_code == 401  # served after the first one
    assert "unexpected error" not in caplog.text


def test_agents_that_wait_for_mlflow_delay_no_one_else(
    app: RunningApp, agent: TestAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, asked = threading.Event(), threading.Semaphore(0)
    real = app.registry.model

    def slow(name: str) -> Any:
        asked.release()
        answers.wait()
        return real(name)

    monkeypatch.setattr(app.registry, "model", slow)
    threads = [
        threading.Thread(
            target=agent.result,
            args=["request_promotion"],
            kwargs={"model": "churn", "version": 4, "to": "production", "idempotency_key": f"k{number}"},
        )
        for number in range(MANY)
    ]
    for thread in threads:
        thread.start()
    try:
        asked.acquire()
        other = {"Authorization": "Bearer other-secret"}
        for _ in range(10):
            response = httpx2.get(f"{app.service.address}/v1/requests/none", headers=other, timeout=4)
            assert response.status_code == 404
    finally:
        answers.set()
        for thread in threads:
            thread.join()


def test_while_mlflow_is_down_agents_are_told_and_a_request_is_kept(app: RunningApp, agent: TestAgent) -> None:
    app.registry.is_down = True  # type: ignore[attr-defined]  # it's in memory
    assert agent.refused("find")["code"] == "RegistryUnreachable"
    request = agent.call("request_promotion", model="churn", version=4, to="production", reason="better")
    assert (request["state"], request["is_final"]) == ("asked", False)
    app.registry.is_down = False  # type: ignore[attr-defined]
    app.registrar.command_queue.execute(request["id"])
    app.registrar.schedule_delivery()
    app.card(holds="better")
    assert agent.call("wait", request=request["id"], timeout=0)["state"] == "pending"
