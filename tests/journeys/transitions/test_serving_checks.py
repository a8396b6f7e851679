"""Moved is not yet serving, over the wire: the deployment hook is told, the probe is asked, the thread tells both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.registry.memory import MemoryRegistry
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, World, policy_of, running, said
from tests.support.network.http_receiver import Receiver, Reply, receiving
from tests.support.waiting import wait_until


@pytest.fixture
def deployment() -> Iterator[Receiver]:
    """Whoever is told of moves, and says what it serves."""
    with receiving() as there:
        there.replies = [Reply(body=b'{"version": 3}')]
        yield there


@pytest.fixture
def deployed(
    slack: LocalSlack, tmp_path: Path, deployment: Receiver, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """The bot with an endpoint and a probe for `churn`."""
    monkeypatch.setenv("DEPLOY_HOOK_SECRET", "s3cret")
    policy = policy_of(
        {
            "notify": [{"url": f"{deployment.url}/hook", "secret_env": "DEPLOY_HOOK_SECRET", "models": ["churn*"]}],
            "serving": {"churn*": {"url": f"{deployment.url}/serves", "every": "1s"}},
        }
    )
    with running(slack, tmp_path, MemoryRegistry(), policy=policy) as world:
        yield world


def test_a_promotion_is_told_and_confirmed_in_the_thread(deployed: World, deployment: Receiver) -> None:
    deployed.alice.types(CHANNEL, '/model promote churn 4 production --reason "better f1"')
    card = deployed.card()
    deployed.bob.clicks(card, "Approve")
    deployed.slack.wait_for(lambda: "Registry moved to `v4`, serving not confirmed yet." in thread(deployed, card))
    [hook] = wait_until(lambda: [got for got in deployment.got if got.path == "/hook"])
    assert json.loads(hook.body)["version"] == 4
    assert hook.headers["x-registrar-signature"].startswith("v1=")
    deployment.replies = [Reply(body=b'{"version": 4}')]
    deployed.slack.wait_for(lambda: "Serving `v4` since" in thread(deployed, card))
    assert deployed.audit()[-1] == "registrar:serving:confirmed"


def thread(world: World, card: dict[str, object]) -> str:
    """Return everything in the thread of a card."""
    return " ".join(said(reply) for reply in world.bob.thread(card))
