"""More slow connections than the process has descriptors don't keep people and health checks waiting."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx2
import pytest

from localslack import Remote
from tests.support.app.app_fixture import CHANNEL
from tests.support.app.load_generator import MODELS, write_home
from tests.support.app.replicas import Replica
from tests.support.network.ports import free_port
from tests.support.network.raw_http import RawConnection
from tests.support.registry.registries import MlflowBackend
from tests.support.waiting import wait_until

DESCRIPTORS = 1024  # what most systems give a process
SLOW = [
    b"",
    b"POST /slack/events HTTP/1.1\r\nHost: registrar\r\nX-Slack-Signature: v0=",
    b"POST /slack/events HTTP/1.1\r\nHost: registrar\r\nContent-Length: 1000\r\n\r\npayload=",
    b"POST /v1/metrics HTTP/1.1\r\nHost: registrar\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{",
]
PER_PEER = 128
LOG_SIZE = 50_000  # bytes


@pytest.fixture
def port() -> int:
    """Return a free port."""
    return free_port()


@pytest.fixture
def bot(
    apart: Remote, tmp_path: Path, sqlite_url: str, mlflow_sqlite: str, mlflow_backend: MlflowBackend, port: int
) -> Iterator[Replica]:
    """Run the real program with few descriptors; Slack calls it over HTTP."""
    environment = write_home(tmp_path, apart, sqlite_url, mlflow_sqlite, mlflow_backend)
    environment |= {"SLACK_APP_TOKEN": "", "SLACK_SIGNING_SECRET": apart.signing_secret}
    apart.deliver_to(f"http://127.0.0.1:{port}/slack/events")
    bot = Replica("run", environment, tmp_path / "run.log", port).start()
    assert bot.process
    resource.prlimit(bot.process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    yield bot.wait()
    bot.kill()


def test_clicks_and_health_checks_are_answered_despite_1500_slow_connections(
    bot: Replica, apart: Remote, port: int
) -> None:
    alice, bob = apart.person("alice"), apart.person("bob")
    alice.types(CHANNEL, f"/model promote {MODELS[0]} 2 production")
    card = bob.waits_for(CHANNEL, lambda message: "Approve" in str(message.get("blocks")))
    with ExitStack() as stack:
        slow = [stack.enter_context(closing(RawConnection(("127.0.0.1", port)))) for _ in range(1500)]
        for number, connection in enumerate(slow):
            connection.try_to_send(SLOW[number % len(SLOW)])
        assert httpx2.get(f"{bot.address}/healthz", timeout=3).json() == {"status": "alive"}
        assert bob.clicks(card, "Approve").acked
        wait_until(lambda: sum(connection.is_open() for connection in slow) <= PER_PEER)
    assert "Traceback" not in bot.said
    assert len(bot.said) < LOG_SIZE
