"""Who is notified of what: no one twice of the same, and threads stay short."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from bot.domain.core.errors import BadInput
from bot.domain.monitoring.readings import PushedReading
from bot.domain.registry.model import Stage
from localslack import LocalSlack
from tests.support.app.app_fixture import (
    CHANNEL,
    AdjustableClock,
    RunningApp,
    make_policy,
    message_text,
    running_app,
)
from tests.support.faults.consistency_checks import is_quiet
from tests.support.network.http_receiver import HttpReceiver, PlannedReply, run_receiver
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import wait_until

PEOPLE = ("alice", "bob", "carol", "dave")
MONITOR: dict[str, Any] = {
    "name": "accuracy-live",
    "source": "live",
    "query": "accuracy",
    "greater_than": 0.85,
    "every": "1d",
    "fail_after": 1,
    "warmup": "0s",
    "action": "auto",
}


def rules(**changes: Any) -> dict[str, Any]:
    """Return the policy's models: two of Bob, Carol, and Dave approve; a reminder after four hours."""
    rule = {"approvers": ["lead", "U0DAVE"], "required": 2, "expires_after": "24h", "remind_after": "4h"}
    return {"*": {"production": rule | changes, "monitors": [MONITOR]}}


@pytest.fixture
def endpoint() -> Iterator[HttpReceiver]:
    """An endpoint that says which version it serves."""
    with run_receiver() as receiver:
        yield receiver


@pytest.fixture
def app(slack: LocalSlack, tmp_path: Path, endpoint: HttpReceiver) -> Iterator[RunningApp]:
    """The bot with a serving probe, and an armed monitor that reads pushed values."""
    registry = MemoryRegistry()
    registry.add_model("churn", versions=[Stage.ARCHIVED, Stage.STAGING, Stage.PRODUCTION, Stage.NONE, Stage.NONE])
    registry.set_alias("churn", "champion", 3)
    serving = {"churn*": {"url": f"{endpoint.url}/serves", "every": "1s"}}
    policy = make_policy({"models": rules(), "serving": serving, "sources": {"live": {"type": "push"}}})
    with running_app(slack, tmp_path, registry, policy=policy) as running:
        running.registrar.poll_registry()
        yield running


def promote(app: RunningApp, endpoint: HttpReceiver, version: int) -> dict[str, Any]:
    """Promote a version with two approvals, until the endpoint serves it; return the card."""
    app.alice.types(CHANNEL, f'/model promote churn {version} production --reason "better f1"')
    card = app.card(holds=f"Promote churn v{version}")
    for name in ("bob", "carol"):
        assert app.slack.person(name).clicks(card, "Approve").acked
    app.card(holds=f"churn v{version} is in Production")
    return serve(app, endpoint, version)


def serve(app: RunningApp, endpoint: HttpReceiver, version: int) -> dict[str, Any]:
    """Let the endpoint serve a version, and return the message that says so."""
    endpoint.replies = [PlannedReply(body=b'{"version": %d}' % version)]
    return app.card(holds="✓ Serving since")


def fail(app: RunningApp) -> None:
    """Let the monitor read a bad value of the version in Production."""
    with app.ledger.read() as reader:
        [monitor] = reader.monitors("churn")
    [version] = app.production()
    now = app.registrar.context.clock.now()
    reading = PushedReading(
        source="live",
        model="churn",
        version=version,
        metric="accuracy",
        at=now,
        value=0.42,
        received_at=now,
        client="serve",
    )
    with app.ledger.write() as tx:
        tx.add_readings([reading])

    def checked() -> bool:
        try:
            app.registrar.monitoring.check_now(monitor.id)
        except BadInput:  # the schedule is checking it
            return False
        return True

    wait_until(checked)


def replies(app: RunningApp, message: dict[str, Any]) -> list[str]:
    """Return the texts in a message's thread."""
    return [shown(reply) for reply in app.bob.thread(message)[1:]]


def shown(message: dict[str, Any]) -> str:
    """Return a message's text as people read it, without links to other messages."""
    text = message_text({"blocks": message["blocks"]}) if message.get("blocks") else message_text(message)
    return re.sub(r"\s*<https?:[^>]*>\.?", "", text).strip()


def notifications(app: RunningApp, name: str) -> list[str]:
    """Return what notifies a person: direct messages, mentions, and replies in threads that mention them."""
    person = app.slack.person(name)
    texts = [shown(message) for message in person.direct_messages()]
    for message in app.bob.sees(CHANNEL):
        if message.get("is_ephemeral") or message.get("thread_ts", message["ts"]) != message["ts"]:
            continue
        is_follower = False
        for text in [shown(message), *replies(app, message)]:
            is_follower = is_follower or f"<@{person.id}>" in text
            texts += [text] if is_follower and text.strip() else []
    return texts


def assert_no_one_is_told_twice(app: RunningApp) -> None:
    """Assert that no person gets a text twice, on its own or as a part of another one."""
    for name in PEOPLE:
        texts = notifications(app, name)
        assert [(one, other) for one, other in permutations(texts, 2) if one in other] == []


# -- threads -----------------------------------------------------------------------------------------------------------


def test_a_promotion_with_two_approvals_and_a_probe_adds_nothing_to_its_thread(
    app: RunningApp, endpoint: HttpReceiver
) -> None:
    card = promote(app, endpoint, 4)
    assert "✓ Approved  ·  ✓ Moved  ·  ✓ Verified in MLflow  ·  ✓ Serving since" in message_text(card)
    assert replies(app, card) == []
    told = message_text(app.alice.waits_for_direct_message())
    assert "Done: `churn` `v3` → `v4` in Production, verified in MLflow." in told
    assert f"p{card['ts'].replace('.', '')}|See the card>" in told
    assert_no_one_is_told_twice(app)


def test_a_rollback_by_a_person_adds_nothing_to_its_thread(app: RunningApp, endpoint: HttpReceiver) -> None:
    promote(app, endpoint, 4)
    app.bob.types(CHANNEL, '/model rollback churn --reason "accuracy fell"')
    app.card(holds="rolled back from v4 to v3")
    message = serve(app, endpoint, 3)
    assert "✓ Moved  ·  ✓ Verified in MLflow  ·  ✓ Serving since" in message_text(message)
    assert replies(app, message) == []
    assert_no_one_is_told_twice(app)


def test_an_automatic_rollback_adds_its_chart_and_its_review_to_its_incident_s_thread(
    app: RunningApp, endpoint: HttpReceiver
) -> None:
    promote(app, endpoint, 4)
    fail(app)
    app.card(holds="incident_undo")
    endpoint.replies = [PlannedReply(body=b'{"version": 3}')]

    def restored() -> list[str]:
        app.registrar.end_and_remind_incidents()
        return [text for text in replies(app, app.card(holds="incident_undo")) if "Restored" in text]

    wait_until(restored)
    _, review = replies(app, app.card(holds="incident_undo"))
    assert "Restored: `v3` has been in Production since" in review
    assert_no_one_is_told_twice(app)


def test_a_rejection_reaches_the_requester_once(app: RunningApp) -> None:
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    card = app.card()
    with app.ledger.read() as reader:
        [request] = reader.requests(model="churn")
    app.bob.types(CHANNEL, f'/model reject {request.id} --reason "latency doubled"')
    told = message_text(app.alice.waits_for_direct_message())
    assert "<@U0BOB> rejected `churn` `v3` → `v4` in Production: latency doubled" in told
    assert "latency doubled" in message_text(app.card(holds="rejected"))
    assert replies(app, card) == []
    assert_no_one_is_told_twice(app)


# -- reminders ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "in_thread", "direct"),
    [("mention", ["<@U0BOB>, <@U0CAROL>"], []), ("direct", [], ["U0BOB", "U0CAROL"]), ("none", ["approval"], [])],
)
def test_a_reminder_takes_one_way_and_the_expiry_reaches_only_the_requester(
    slack: LocalSlack, tmp_path: Path, way: str, in_thread: list[str], direct: list[str]
) -> None:
    clock = AdjustableClock()
    policy = make_policy(
        {"models": rules(tell_approvers=way, approvers=["lead"]), "sources": {"live": {"type": "push"}}}
    )
    with running_app(slack, tmp_path, MemoryRegistry(), policy=policy, clock=clock) as app:
        app.alice.types(CHANNEL, "/model promote churn 4 production")
        card = app.card()
        clock.advance(timedelta(hours=4, minutes=1))
        app.registrar.send_reminders()
        wait_until(lambda: is_quiet(app.ledger))
        clock.advance(timedelta(hours=20))
        app.registrar.expire_requests()
        told = app.alice.waits_for_direct_message(lambda message: "expired" in message_text(message))
        assert "See the card" in message_text(told)
        wait_until(lambda: is_quiet(app.ledger))
        said = [text.partition(" after")[0].removeprefix("Still waiting for ") for text in replies(app, card)]
        assert said == in_thread
        link = f"p{card['ts'].replace('.', '')}|Approve or reject it on the card>"
        people = [app.slack.person(name) for name in PEOPLE]
        messages = [(person.id, message) for person in people for message in person.direct_messages()]
        assert [user for user, message in messages if link in message_text(message)] == direct
        assert_no_one_is_told_twice(app)
