"""A bot whose policy has clients for agents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.domain.registry.model import Stage
from localslack import LocalSlack
from tests.support.app.app_fixture import POLICY, RunningApp, make_policy, running_app
from tests.support.app.gates import GATES, registry_with_metrics
from tests.support.mcp.agent import TestAgent
from tests.support.terminal.cli_settings import registrar

__all__ = ["agent", "app", "registrar"]

CLIENTS = {
    "agents": {"token_env": "AGENTS_TOKEN", "may": ["read", "request"], "acts_for": "U0ALICE"},
    "reader": {"token_env": "READER_TOKEN", "may": ["read"], "models": ["churn"]},
    "pusher": {"token_env": "PUSHER_TOKEN", "may": ["push"]},
    "other": {"token_env": "OTHER_TOKEN", "may": ["request"]},
}


@pytest.fixture
def app(slack: LocalSlack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningApp]:
    """A running bot: `churn` has v3 in Production, a better v4, and a v5 that fails the gates."""
    for name in CLIENTS:
        monkeypatch.setenv(f"{name.upper()}_TOKEN", f"{name}-secret")
    rule = {"approvers": ["lead"], "override": ["admin"], "gates": GATES}
    policy = make_policy({"clients": CLIENTS, "models": POLICY["models"] | {"churn": {"production": rule}}})
    registry = registry_with_metrics()
    registry.add_model("secret", versions=[Stage.PRODUCTION, Stage.NONE])
    with running_app(slack, tmp_path, registry, policy=policy) as app:
        yield app


@pytest.fixture
def agent(app: RunningApp) -> TestAgent:
    """An agent with a token that lets it read and request."""
    return TestAgent(url=app.service.address, token="agents-secret")
