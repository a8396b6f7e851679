"""Agents that run in CI jobs use the ID tokens of their jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localslack import LocalSlack
from tests.support.app.app_fixture import RunningApp, make_policy, running_app
from tests.support.mcp.agent import TestAgent
from tests.support.network.http_receiver import run_receiver
from tests.support.network.oidc_issuer import OidcIssuer
from tests.support.registry.memory import MemoryRegistry

CLAIMS = {"repository": "acme/churn", "environment": "production"}


@pytest.fixture
def issuer() -> Iterator[OidcIssuer]:
    with run_receiver(OidcIssuer()) as issuer:
        assert isinstance(issuer, OidcIssuer)
        yield issuer


@pytest.fixture
def app(slack: LocalSlack, tmp_path: Path, issuer: OidcIssuer) -> Iterator[RunningApp]:
    """A bot with a client for jobs of one environment, which Alice starts."""
    client = {"oidc": {"issuer": issuer.url, "audience": "registrar", "claims": CLAIMS}, "may": ["read", "request"]}
    policy = make_policy({"clients": {"jobs": client}, "people": {"github": {"octocat": "U0ALICE"}}})
    with running_app(slack, tmp_path, MemoryRegistry(), policy=policy) as app:
        yield app


def test_the_person_is_who_started_the_job(app: RunningApp, issuer: OidcIssuer) -> None:
    agent = TestAgent(url=app.service.address, token=issuer.sign(CLAIMS))
    request = agent.call("request_promotion", model="churn", version=4, to="production")
    with app.ledger.read() as reading:
        stored = reading.request(request["id"])
    assert stored.agent
    assert (stored.agent.name, stored.agent.version, stored.agent.person) == ("trainer", "1.2", "U0ALICE")
    assert stored.ci
    assert stored.ci.is_verified


def test_a_token_asks_for_one_thing_and_reads_until_it_expires(app: RunningApp, issuer: OidcIssuer) -> None:
    agent = TestAgent(url=app.service.address, token=issuer.sign(CLAIMS))
    request = agent.call("request_promotion", model="churn", version=4, to="production")
    assert agent.call("request_promotion", model="churn", version=4, to="production")["id"] == request["id"]
    error = agent.refused("request_promotion", model="churn", version=4, to="staging")
    assert error["code"] == "Unauthorized"
    assert "has already been used for a change" in error["message"]
    assert agent.call("wait", request=request["id"], timeout=0)["state"] == "pending"
