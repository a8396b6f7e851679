"""A bot to which programs push metrics over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from bot.domain.core.signing import sign_body
from bot.domain.monitoring.readings import PushedReading
from bot.domain.policy.parser import validate_policy
from bot.domain.policy.policy import Policy
from bot.ledger import SqlLedger
from bot.ports import Ledger
from bot.sources import SourceDependencies
from bot.sources.plugins import MetricSources
from handlers.api.calls import ApiServices
from handlers.web.app import create_app
from tests.support.registry.memory import MemoryRegistry

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


ENVIRON = {"CI": "t0ken-of-ci", "SCORER": "t0ken-of-scorer", "READER": "t0ken-of-reader", "EMPTY": "", "TWIN": "twin"}


CLIENTS: dict[str, Any] = {
    "ci": {"token_env": "CI", "may": ["push"], "models": ["churn*"]},
    "scorer": {"token_env": "SCORER", "may": ["push", "request"]},
    "reader": {"token_env": "READER", "may": ["read", "request"]},
    "empty": {"token_env": "EMPTY", "may": ["push"]},
    "unset": {"token_env": "NOWHERE", "may": ["push"]},
    "bare": {"may": ["push"]},
    "filed": {"token_file": "/nowhere/token", "may": ["push"]},
}


SOURCES: dict[str, Any] = {
    "live": {"type": "push"},
    "strict": {"type": "push", "require_signature": True},
    "odd": {"type": "push", "require_signature": "maybe"},
    "prom": {"type": "prometheus", "url": "http://prom"},
}


def policy(clients: dict[str, Any] | None = None) -> Policy:
    return validate_policy({"models": {}, "sources": SOURCES, "clients": CLIENTS if clients is None else clients})


class MetricsApi:
    """The web application with a ledger; the test controls its clock and policy."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.now = NOW
        self.seconds = 0.0
        self.policy = policy()
        self.environ = dict(ENVIRON)
        sources = MetricSources(
            lambda: self.policy,
            SourceDependencies(ledger=ledger, registry=MemoryRegistry(), tracker=MemoryRegistry(), environ=ENVIRON),
        )
        programs = ApiServices(
            ledger=self,
            policy=lambda: self.policy,
            requires_signature=sources.requires_signature,
            clock=self._clock(),
            environ=self.environ,
            monotonic=lambda: self.seconds,
        )
        self.web = create_app(None, None, on_model_changed=lambda name: None, api_services=programs)

    def _clock(self) -> Any:
        api = self

        class Clock:
            def now(self) -> datetime:
                return api.now

        return Clock()

    # A stand-in for the ledger, so that a test can replace it.
    def write(self) -> Any:
        return self.ledger.write()

    def read(self) -> Any:
        return self.ledger.read()

    def require_same_tables(self) -> None:
        self.ledger.require_same_tables()

    def set_operator_ids(self, operators: Any) -> None:
        self.ledger.set_operator_ids(operators)

    def close(self) -> None:
        self.ledger.close()

    def send(
        self,
        body: bytes,
        headers: dict[str, str] | list[tuple[str, str]],
        *,
        address: str = "10.0.0.1",
        path: str = "/v1/metrics",
    ) -> httpx2.Response:
        """Post these bytes."""
        pairs = headers.items() if isinstance(headers, dict) else headers
        encoded = [(name.encode(), value.encode()) for name, value in pairs]

        async def post() -> httpx2.Response:
            transport = httpx2.ASGITransport(self.web, raise_app_exceptions=False, client=(address, 1))
            async with httpx2.AsyncClient(transport=transport, base_url="http://registrar") as client:
                return await client.post(path, content=body, headers=encoded)

        return asyncio.run(post())

    def push(
        self,
        *readings: dict[str, Any],
        source: str = "live",
        token: str | None = "t0ken-of-ci",
        signed: str | None = None,
        at: float | None = None,
        **headers: str,
    ) -> httpx2.Response:
        """Push readings, by default as the client ci."""
        body = json.dumps({"source": source, "readings": list(readings) or [reading()]}).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        if signed is not None:
            stamp = int(NOW.timestamp() if at is None else at)
            sent |= {"X-Registrar-Timestamp": str(stamp), "X-Registrar-Signature": sign_body(signed, str(stamp), body)}
        return self.send(body, sent)

    def kept(self, metric: str = "accuracy", *, source: str = "live", model: str = "churn") -> list[PushedReading]:
        """Return the readings in the ledger."""
        with self.ledger.read() as found:
            return found.readings(
                source, [(model, metric)], since=NOW - timedelta(days=99), until=NOW + timedelta(days=9)
            )


def reading(**changes: Any) -> dict[str, Any]:
    """Return a reading with these changes; `...` removes a key."""
    plain = {"model": "churn", "version": 7, "metric": "accuracy", "value": 0.91, "at": "2026-05-04T11:59:00Z"}
    return {key: value for key, value in (plain | changes).items() if value is not ...}


@pytest.fixture
def api(sqlite_url: str) -> Iterator[MetricsApi]:
    ledger = SqlLedger(sqlite_url, timeout=20)
    yield MetricsApi(ledger)
    ledger.close()


@pytest.fixture
def either(ledger: SqlLedger) -> MetricsApi:
    """The same on either database."""
    return MetricsApi(ledger)


def refused(answer: httpx2.Response) -> tuple[int, str]:
    """Return a refusal's status code and message."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error"}
    return answer.status_code, answer.json()["error"]
