"""Edits of the policy file while people request and decide in Slack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bot.domain.promotions.request import RequestState
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, POLICY, AdjustableClock, RunningApp, message_text, running_app
from tests.support.app.harness import only_request, reply_to
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import wait_until

ASK = "/model promote churn 4 production"


def write(file: Path, approvers: list[str]) -> None:
    file.write_text(json.dumps(POLICY | {"roles": {"lead": approvers, "admin": []}}), encoding="utf-8")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A policy file with Bob as the approver."""
    file = tmp_path / "registrar.yml"
    write(file, ["U0BOB"])
    return file


@contextmanager
def bot(
    slack: LocalSlack, file: Path, clock: AdjustableClock, registry: MemoryRegistry | None = None
) -> Iterator[RunningApp]:
    with running_app(slack, file.parent, registry or MemoryRegistry(), clock=clock, policy_file=file) as app:
        yield app


def hears_in_channel(app: RunningApp, text: str) -> dict[str, Any]:
    return app.bob.waits_for(CHANNEL, lambda message: text in message_text(message), 30)


def warnings(app: RunningApp) -> list[str]:
    answer = httpx2.get(f"{app.service.address}/readyz", timeout=30, trust_env=False)
    assert answer.status_code == 200
    found: list[str] = answer.json()["warnings"]
    return found


def test_a_new_approver_decides_nothing_until_the_edit_has_settled(slack: LocalSlack, file: Path) -> None:
    clock = AdjustableClock()
    carol = slack.person("carol")
    with bot(slack, file, clock) as app:
        app.alice.types(CHANNEL, ASK)
        card = app.card()
        write(file, ["U0BOB", "U0CAROL"])
        wait_until(lambda: bool(warnings(app)))
        clock.advance(timedelta(seconds=5))
        hears_in_channel(app, "The policy file changed, and the edit loosens a rule.")
        assert "Only approvers can decide" in reply_to(carol, lambda: carol.clicks(card, "Approve"))
        app.bob.opens_home()
        app.bob.waits_for_home(lambda view: "The policy file changed" in message_text(view))
        clock.advance(timedelta(seconds=30))
        assert "approvers: added" in message_text(hears_in_channel(app, "Policy updated"))
        assert warnings(app) == []
        app.bob.opens_home()
        app.bob.waits_for_home(lambda view: "The policy file changed" not in message_text(view))


def test_a_restart_does_not_apply_a_loosened_file(slack: LocalSlack, file: Path) -> None:
    clock, registry = AdjustableClock(), MemoryRegistry()
    carol = slack.person("carol")
    with bot(slack, file, clock, registry) as app:
        app.alice.types(CHANNEL, ASK)
        card = app.card()
    write(file, ["U0BOB", "U0CAROL"])
    with bot(slack, file, clock, registry) as app:
        assert "Only approvers can decide" in reply_to(carol, lambda: carol.clicks(card, "Approve"))
        assert only_request(app.ledger).state is RequestState.PENDING
        assert "The edit takes effect at" in warnings(app)[0]


def test_an_approver_who_was_removed_decides_nothing_a_few_seconds_later(slack: LocalSlack, file: Path) -> None:
    write(file, ["U0BOB", "U0CAROL"])
    clock = AdjustableClock()
    with bot(slack, file, clock) as app:
        write(file, ["U0CAROL"])
        wait_until(lambda: bool(warnings(app)))
        clock.advance(timedelta(seconds=2))
        hears_in_channel(app, "Policy updated")
        app.alice.types(CHANNEL, ASK)
        answer = reply_to(app.bob, lambda: app.bob.clicks(app.card(), "Approve"))
        assert "Only approvers can decide" in answer
