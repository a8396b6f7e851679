"""The bot notifies admins once about problems that only they can fix; no one else is blocked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.domain.policy.policy import Policy
from bot.domain.promotions.request import RequestState
from bot.ports import MessageKind, OutboxMessage
from localslack import LocalSlack
from tests.support.app.app_fixture import MANIFEST, AdjustableClock, RunningApp, make_policy, message_text, running_app
from tests.support.app.harness import only_request, type_and_read_reply
from tests.support.app.workspaces import local_slack
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import wait_until

ASK = "/model promote churn 4 production"
ELSEWHERE = "#churn"


def told(app: RunningApp | LocalSlack, who: str = "dave") -> list[str]:
    """Return what the bot told someone directly."""
    slack = app.slack if isinstance(app, RunningApp) else app
    return [message_text(message) for message in slack.person(who).direct_messages()]


def unrecorded_notices(app: RunningApp, clock: AdjustableClock) -> list[OutboxMessage]:
    """Return the messages to admins whose delivery isn't recorded yet."""
    with app.ledger.read() as reader:
        messages = reader.due_messages(clock.now() + timedelta(days=1), kinds={MessageKind.DIRECT})
    return [message for message in messages if message.key.startswith("admins:")]


# -- a channel where nothing can be posted -----------------------------------------------------------------------------


def policy(channel: str, **rule: Any) -> Policy:
    """Return a policy whose cards go to this channel."""
    models = {"*": {"production": {"approvers": ["lead"], **rule}}}
    return make_policy({"channel": channel, "models": models})


@pytest.fixture
def clock() -> AdjustableClock:
    """The clock of the bot."""
    return AdjustableClock()


@pytest.fixture
def lost(slack: LocalSlack, tmp_path: Path, clock: AdjustableClock) -> Iterator[RunningApp]:
    """A bot whose policy names a missing channel, and invites approvers by direct message."""
    rules = policy("#nowhere", tell_approvers="direct")
    with running_app(slack, tmp_path, MemoryRegistry(), policy=rules, clock=clock) as app:
        yield app


def test_an_admin_is_told_once_about_a_missing_channel(lost: RunningApp, clock: AdjustableClock) -> None:
    lost.alice.types(ELSEWHERE, ASK)
    lost.slack.person("dave").waits_for_direct_message(lambda m: "Can't post in `#nowhere`" in message_text(m))
    wait_until(lambda: not unrecorded_notices(lost, clock))  # otherwise, the next line would make its lease expire
    clock.advance(timedelta(minutes=2))
    before = len(lost.slack.calls("chat.postMessage"))
    lost.registrar.outbox.deliver(patience=10)
    assert len(lost.slack.calls("chat.postMessage")) > before  # it is tried again
    assert len(told(lost)) == 1
    assert "(channel_not_found)" in told(lost)[0]
    assert "change the channel in `registrar.yml`" in told(lost)[0]


def test_a_request_without_a_card_can_still_be_decided(lost: RunningApp) -> None:
    assert "Its card isn't in `#nowhere` yet" in type_and_read_reply(lost.alice, ASK, ELSEWHERE)
    lost.bob.types(ELSEWHERE, f"/model approve {only_request(lost.ledger).id}")
    wait_until(lambda: only_request(lost.ledger).state is RequestState.DONE)


def test_approvers_are_invited_even_if_the_card_cannot_be_posted(lost: RunningApp, clock: AdjustableClock) -> None:
    lost.alice.types(ELSEWHERE, ASK)
    lost.slack.person("dave").waits_for_direct_message()
    assert told(lost, "bob") == []
    clock.advance(timedelta(minutes=2))
    lost.registrar.outbox.deliver(patience=10)
    assert "You can approve or reject it" in told(lost, "bob")[0]


# -- an app with fewer scopes ------------------------------------------------------------------------------------------


def manifest_without(*scopes: str) -> dict[str, Any]:
    """Return the app's manifest without these scopes."""
    manifest: dict[str, Any] = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    bot = manifest["oauth_config"]["scopes"]
    bot["bot"] = [scope for scope in bot["bot"] if scope not in scopes]
    return manifest


@pytest.fixture
def older() -> Iterator[LocalSlack]:
    """A workspace whose app lacks a scope that this version needs."""
    with local_slack(manifest_without("files:write")) as slack:
        yield slack


def test_an_admin_is_told_once_which_scopes_are_missing(older: LocalSlack, tmp_path: Path) -> None:
    for _ in range(2):
        with running_app(older, tmp_path, MemoryRegistry(), policy=make_policy()):
            older.person("dave").waits_for_direct_message()
    assert len(told(older)) == 1
    assert "is missing scopes that I need: `files:write`. Reinstall the app" in told(older)[0]


def test_the_notice_says_which_features_the_missing_scopes_are_for(tmp_path: Path) -> None:
    with (
        local_slack(manifest_without("app_mentions:read", "links:read", "links:write")) as slack,
        running_app(slack, tmp_path, MemoryRegistry()),
    ):
        slack.person("dave").waits_for_direct_message()
        assert "Without them, I can't answer mentions or preview links to versions. Reinstall" in told(slack)[0]


def test_no_one_gets_a_notice_about_an_app_with_all_scopes(slack: LocalSlack, tmp_path: Path) -> None:
    with running_app(slack, tmp_path, MemoryRegistry()) as app:
        app.registrar.worker_pool.shutdown(wait=True)
        app.registrar.outbox.deliver(patience=10)
        assert told(app) == []
