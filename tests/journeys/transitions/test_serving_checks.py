"""Serving checks over the wire: the webhook gets the event, the probe is called, and the thread reports both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.registry.memory import MemoryRegistry
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, RunningApp, make_policy, message_text, running_app
from tests.support.network.http_receiver import HttpReceiver, PlannedReply, run_receiver
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


def test_a_promotion_is_announced_and_confirmed_in_the_thread(deployed: RunningApp, deployment: HttpReceiver) -> None:
    deployed.alice.types(CHANNEL, '/model promote churn 4 production --reason "better f1"')
    card = deployed.card()
    deployed.bob.clicks(card, "Approve")
    deployed.slack.wait_for(
        lambda: "Registry updated to `v4`. Waiting for the endpoint to report it." in thread(deployed, card)
    )
    [hook] = wait_until(lambda: [got for got in deployment.got if got.path == "/hook"])
    assert json.loads(hook.body)["version"] == 4
    assert hook.headers["x-registrar-signature"].startswith("v1=")
    deployment.replies = [PlannedReply(body=b'{"version": 4}')]
    deployed.slack.wait_for(lambda: "Serving `v4` since" in thread(deployed, card))
    assert deployed.audit()[-1] == "registrar:serving:confirmed"


def thread(app: RunningApp, card: dict[str, object]) -> str:
    """Return everything in the thread of a card."""
    return " ".join(message_text(reply) for reply in app.bob.thread(card))
