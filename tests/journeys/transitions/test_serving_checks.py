"""Serving checks over the wire: the webhook gets the event, the probe is called, and the card says both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, RunningApp, make_policy, running_app
from tests.support.network.http_receiver import HttpReceiver, PlannedReply, run_receiver
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import wait_until


@pytest.fixture
def deployment() -> Iterator[HttpReceiver]:
    """A deployment that receives events and reports its served version."""
    with run_receiver() as there:
        there.replies = [PlannedReply(body=b'{"version": 3}')]
        yield there


@pytest.fixture
def deployed(
    slack: LocalSlack, tmp_path: Path, deployment: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningApp]:
    """The bot with an endpoint and a probe for `churn`."""
    monkeypatch.setenv("DEPLOY_HOOK_SECRET", "s3cret")
    policy = make_policy(
        {
            "notify": [{"url": f"{deployment.url}/hook", "secret_env": "DEPLOY_HOOK_SECRET", "models": ["churn*"]}],
            "serving": {"churn*": {"url": f"{deployment.url}/serves", "every": "1s"}},
        }
    )
    with running_app(slack, tmp_path, MemoryRegistry(), policy=policy) as app:
        yield app


def test_the_card_shows_the_progress_until_the_endpoint_serves(deployed: RunningApp, deployment: HttpReceiver) -> None:
    deployed.alice.types(CHANNEL, '/model promote churn 4 production --reason "better f1"')
    card = deployed.card()
    deployed.bob.clicks(card, "Approve")
    moved = "✓ Approved  ·  ✓ Moved  ·  ✓ Verified in MLflow  ·  "
    deployed.card(holds=f"{moved}⏳ Waiting for the endpoint to report `v4`")
    [hook] = wait_until(lambda: [got for got in deployment.got if got.path == "/hook"])
    assert json.loads(hook.body)["version"] == 4
    assert hook.headers["x-registrar-signature"].startswith("v1=")
    deployment.replies = [PlannedReply(body=b'{"version": 4}')]
    card = deployed.card(holds=f"{moved}✓ Serving since")
    assert deployed.audit()[-1] == "registrar:serving:confirmed"
    assert deployed.bob.thread(card)[1:] == []
