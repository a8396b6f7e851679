"""The history end to end: what was in Production at any time, as a list and a chart."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.domain.registry.model import Stage
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, AdjustableClock, RunningApp, message_text, running_app
from tests.support.app.harness import BOB, click, reply_to, signed_client, type_and_read_reply
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import wait_until


@pytest.fixture
def lived(slack: LocalSlack, tmp_path: Path) -> Iterator[RunningApp]:
    """Run the bot after four days: v3 was in Production, v4 was promoted, then someone changed to v2 in MLflow."""
    registry, clock = MemoryRegistry(), AdjustableClock()
    with running_app(slack, tmp_path, registry, clock=clock) as app:
        app.registrar.poll_registry()
        clock.advance(timedelta(days=2))
        app.alice.types(CHANNEL, '/model promote churn 4 production --reason "better f1"')
        app.bob.clicks(app.card(), "Approve")
        app.card(holds="is in Production")
        clock.advance(timedelta(days=1))
        registry.transition_stage("churn", 2, Stage.PRODUCTION, archive_existing=True)
        wait_until(lambda: sees(app, 2))
        clock.advance(timedelta(days=1))
        yield app


def sees(app: RunningApp, version: int) -> bool:
    """Poll, and return whether the change was found. A model that's polled elsewhere waits for the next poll."""
    app.registrar.poll_registry()
    with app.ledger.read() as reading:
        return reading.transitions("churn")[0].version == version


def test_only_the_requester_sees_the_history(lived: RunningApp) -> None:
    told = type_and_read_reply(lived.alice, "/model history churn")
    assert "`v2`  *serving now*" in told
    assert "changed in MLflow, outside Registrar" in told
    assert "promoted: requested by <@U0ALICE>, approved by <@U0BOB>" in told
    assert "better f1" in told
    assert "already in Production when Registrar first looked" in told


def test_the_chart_of_a_private_answer_comes_as_a_direct_message(lived: RunningApp) -> None:
    lived.alice.types(CHANNEL, "/model history churn")
    lived.answer(lived.alice, "I also sent you this in")
    message = lived.alice.waits_for_direct_message(lambda m: m.get("files"))
    assert message["files"][0]["alt_txt"].startswith("Timeline of churn in Production. v2 serving now")
    assert "Production of `churn`" in message_text(lived.alice.direct_messages()[-2])


def test_what_was_in_production_on_a_day_has_an_answer(lived: RunningApp) -> None:
    day = datetime.now(UTC).date() + timedelta(days=1)
    assert f"`v3` of `churn` was in Production all day on {day.day} {day:%B %Y} (UTC)." in type_and_read_reply(
        lived.alice, f"/model history churn --at {day}"
    )
    before = type_and_read_reply(lived.alice, "/model history churn --at 2020-03-03")
    assert "No record: Registrar has been watching `churn` only since" in before
    assert "`v4` of `churn` was in Production at" in type_and_read_reply(lived.alice, "/model history churn --at 30h")


def test_a_history_of_yesterday_has_an_answer(lived: RunningApp) -> None:
    assert "(UTC)" in type_and_read_reply(lived.alice, "/model history churn --at yesterday")


def test_a_history_of_the_future_is_refused(lived: RunningApp) -> None:
    assert "is in the future" in type_and_read_reply(lived.alice, "/model history churn --at 2199-01-01")


def test_the_button_posts_the_timeline_with_its_chart(lived: RunningApp) -> None:
    lived.alice.types(CHANNEL, "/model history churn")
    mine = lived.alice.waits_for(CHANNEL, lambda m: m.get("is_ephemeral") and "serving now" in message_text(m))
    lived.alice.clicks(mine, "Share to channel")
    shown = lived.bob.waits_for(CHANNEL, lambda m: not m.get("is_ephemeral") and "serving now" in message_text(m))
    [picture] = lived.slack.wait_for(lambda: pictures(lived, shown))
    assert picture["mimetype"] == "image/png"
    assert picture["alt_txt"].startswith("Timeline of churn in Production. v2 serving now")
    assert lived.bob.downloads(picture).startswith(b"\x89PNG")


def pictures(app: RunningApp, message: dict[str, Any]) -> list[dict[str, Any]]:
    return [file for reply in app.bob.thread(message) for file in app.bob.files(reply)]


def test_the_button_of_an_answer_posted_before_the_upgrade_posts_the_timeline(lived: RunningApp) -> None:
    signed_client(lived).send(click(BOB, "history churn --last 10", "timeline_here"))
    lived.bob.waits_for(CHANNEL, lambda m: not m.get("is_ephemeral") and "serving now" in message_text(m))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "I can't share this answer."),
        ("history", "Missing MODEL."),
        ("list", "I can't share this answer."),
        ("promote churn 4 production", "I can't share this answer."),
        ("history 'churn", "Missing a closing quotation mark."),
    ],
)
def test_a_forged_button_posts_nothing(lived: RunningApp, value: str, why: str) -> None:
    wire = signed_client(lived)
    assert why in reply_to(lived.bob, lambda: wire.send(click(BOB, value, "timeline_here")))
    assert not [m for m in lived.bob.sees(CHANNEL) if not m.get("is_ephemeral") and "serving now" in message_text(m)]
