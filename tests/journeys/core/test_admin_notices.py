"""Admins are told once about what only they can fix; nobody else has to wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.domain.approvals import RequestState
from bot.domain.policy import Policy
from bot.registry.memory import MemoryRegistry
from localslack import LocalSlack
from tests.support.app.app_fixture import MANIFEST, TurnedClock, World, policy_of, running, said
from tests.support.app.harness import the_request, types_and_hears
from tests.support.app.workspaces import local_slack
from tests.support.waiting import wait_until

ASK = "/model promote churn 4 production"
ELSEWHERE = "#churn"


def told(world: World | LocalSlack, who: str = "dave") -> list[str]:
    """Return what the bot told someone directly."""
    slack = world.slack if isinstance(world, World) else world
    return [said(message) for message in slack.person(who).direct_messages()]


# -- a channel where nothing can be posted -----------------------------------------------------------------------------


def policy(channel: str, **rule: Any) -> Policy:
    """Return a policy whose cards go to this channel."""
    models = {"*": {"production": {"approvers": ["lead"], **rule}}}
    return policy_of({"channel": channel, "models": models})


@pytest.fixture
def clock() -> TurnedClock:
    """The clock of the bot."""
    return TurnedClock()


@pytest.fixture
def lost(slack: LocalSlack, tmp_path: Path, clock: TurnedClock) -> Iterator[World]:
    """A bot whose policy names a channel that isn't there, and tells approvers directly."""
    rules = policy("#nowhere", tell_approvers="direct")
    with running(slack, tmp_path, MemoryRegistry(), policy=rules, clock=clock) as world:
        yield world


def test_an_admin_is_told_once_about_a_missing_channel(lost: World, clock: TurnedClock) -> None:
    lost.alice.types(ELSEWHERE, ASK)
    lost.slack.person("dave").waits_for_direct_message(lambda m: "Can't post in `#nowhere`" in said(m))
    clock.turn(timedelta(minutes=2))
    before = len(lost.slack.calls("chat.postMessage"))
    lost.registrar.outbox.deliver(wait=10)
    assert len(lost.slack.calls("chat.postMessage")) > before  # it is tried again
    assert len(told(lost)) == 1
    assert "(channel_not_found)" in told(lost)[0]
    assert "change the channel in `registrar.yml`" in told(lost)[0]


def test_a_request_whose_card_cannot_be_posted_is_decided_anyway(lost: World) -> None:
    assert "Its card isn't in `#nowhere` yet" in types_and_hears(lost.alice, ASK, ELSEWHERE)
    lost.bob.types(ELSEWHERE, f"/model approve {the_request(lost.ledger).id}")
    wait_until(lambda: the_request(lost.ledger).state is RequestState.DONE)


def test_approvers_are_invited_although_the_card_cannot_be_posted(lost: World, clock: TurnedClock) -> None:
    lost.alice.types(ELSEWHERE, ASK)
    lost.slack.person("dave").waits_for_direct_message()
    assert told(lost, "bob") == []
    clock.turn(timedelta(minutes=2))
    lost.registrar.outbox.deliver(wait=10)
    assert "requests" in told(lost, "bob")[0]


# -- an app with fewer scopes ------------------------------------------------------------------------------------------


@pytest.fixture
def older() -> Iterator[LocalSlack]:
    """A workspace whose app lacks a scope that this version asks for."""
    manifest = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    manifest["oauth_config"]["scopes"]["bot"].remove("files:write")
    with local_slack(manifest) as slack:
        yield slack


def test_an_admin_is_told_once_which_scopes_are_missing(older: LocalSlack, tmp_path: Path) -> None:
    for _ in range(2):
        with running(older, tmp_path, MemoryRegistry(), policy=policy_of()):
            older.person("dave").waits_for_direct_message()
    assert len(told(older)) == 1
    assert "is missing scopes that Registrar needs: `files:write`. Reinstall the app" in told(older)[0]


def test_nobody_is_told_anything_about_an_app_with_all_scopes(slack: LocalSlack, tmp_path: Path) -> None:
    with running(slack, tmp_path, MemoryRegistry()) as world:
        world.registrar.work.shutdown(wait=True)
        world.registrar.outbox.deliver(wait=10)
        assert told(world) == []
