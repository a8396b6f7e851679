"""A monitor that an agent proposes: people add or dismiss it with the buttons of its card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.commands.monitoring import MonitorAdd
from bot.domain.commands.parser import parse_command
from bot.domain.core.actors import Person
from bot.domain.core.agent import Agent, introduce_agent
from bot.domain.monitoring.proposals.proposal import ProposalState
from bot.ports import QueuedCommand
from bot.slack.commands.failed_command import EDIT_AGAIN, RUN_CORRECTED
from bot.slack.monitoring import proposal_card
from bot.slack.registry import answers as registry_answers
from localslack import LocalSlack, PersonSeed, payloads
from tests.support.app.app_fixture import CHANNEL, RunningApp, make_policy, message_text, running_app
from tests.support.app.harness import audit_links, click, reply_to, signed_client
from tests.support.app.monitors import ADD, find_monitor, heard
from tests.support.monitoring.proposals import CLIENTS, ROBOT
from tests.support.registry.memory import MemoryRegistry

POLICY = make_policy({"clients": CLIENTS})
AGENT = introduce_agent("claude-code", "2.1", "U0ALICE")


@pytest.fixture
def app(slack: LocalSlack, tmp_path: Path) -> Iterator[RunningApp]:
    """The bot, after its first poll, with a policy that has clients."""
    with running_app(slack, tmp_path, MemoryRegistry(), policy=POLICY) as app:
        app.registrar.poll_registry()
        yield app


def propose(app: RunningApp, *, agent: Agent = AGENT, reason: str = "accuracy fell in May") -> QueuedCommand:
    """Propose a monitor as the agent's client, and deliver its card."""
    command = parse_command(ADD.removeprefix("/model "))
    assert isinstance(command, MonitorAdd)
    result = app.registrar.proposals.propose(ROBOT, command, reason=reason, agent=agent, key="k1", digest="d1")
    app.registrar.outbox.deliver()
    return result.proposal


def card(app: RunningApp, holds: str = "proposes a monitor") -> dict[str, Any]:
    """Wait for the card with these words."""
    return app.bob.waits_for(CHANNEL, lambda m: holds in message_text(m) and "proposes a monitor" in message_text(m))


def state(app: RunningApp, proposal: QueuedCommand) -> ProposalState:
    return app.registrar.proposals.find(proposal.id).state


def monitors(app: RunningApp) -> list[str]:
    return [row.monitor.name for row in app.registrar.monitors.list_rows()]


def test_an_approver_adds_the_proposed_monitor(app: RunningApp) -> None:
    propose(app)
    assert "Added `churn` `accuracy`" in reply_to(app.bob, lambda: app.bob.clicks(card(app), "Add monitor"))
    assert find_monitor(app).created_by == Person("T0LOCAL", "U0BOB")
    assert "<@U0BOB> added the monitor" in heard(app, "added the monitor")
    decided = card(app, "Added by <@U0BOB>")
    assert "Add monitor" not in str(decided["blocks"])
    assert len(audit_links(app.ledger, EventTag.MONITOR_PROPOSED)) == 1


def test_an_approver_dismisses_the_proposed_monitor(app: RunningApp) -> None:
    proposal = propose(app)
    assert "No monitor was added." in reply_to(app.bob, lambda: app.bob.clicks(card(app), "Dismiss"))
    assert "Add monitor" not in str(card(app, "Dismissed by <@U0BOB>")["blocks"])
    assert (state(app, proposal), monitors(app)) == (ProposalState.DISMISSED, [])


@pytest.mark.parametrize("button", ["Add monitor", "Dismiss"])
def test_the_person_that_the_agent_acts_for_needs_the_same_permission(app: RunningApp, button: str) -> None:
    proposal = propose(app)
    assert "Only people who can roll back" in reply_to(app.alice, lambda: app.alice.clicks(card(app), button))
    assert (state(app, proposal), monitors(app)) == (ProposalState.OPEN, [])
    assert "Add monitor" in str(card(app)["blocks"])


def test_a_guest_decides_nothing(app: RunningApp) -> None:
    app.slack.add_person(PersonSeed(id="U0GUEST", name="guest", is_restricted=True))
    app.slack.set_members(CHANNEL, [*app.slack.members(CHANNEL), "U0GUEST"])
    guest, proposal = app.slack.person("guest"), propose(app)
    assert "Guests can view" in reply_to(guest, lambda: guest.clicks(card(app), "Add monitor"))
    assert (state(app, proposal), monitors(app)) == (ProposalState.OPEN, [])


def test_a_proposal_survives_a_restart(slack: LocalSlack, tmp_path: Path) -> None:
    with running_app(slack, tmp_path, MemoryRegistry(), policy=POLICY) as app:
        proposal = propose(app)
    with running_app(slack, tmp_path, MemoryRegistry(), policy=POLICY) as app:
        assert "Added" in reply_to(app.bob, lambda: app.bob.clicks(card(app), "Add monitor"))
        assert (state(app, proposal), monitors(app)) == (ProposalState.ADDED, ["accuracy"])


def test_an_agent_s_texts_ping_no_one_and_link_nowhere(app: RunningApp) -> None:
    hostile = "<!channel> <https://evil.example|here> <@U0CAROL> \u202eesrever"
    propose(app, agent=introduce_agent(hostile, hostile, "U0ALICE"), reason=hostile)
    shown = card(app)
    marked_up = str([block for block in shown["blocks"] if "plain_text" not in str(block)]) + shown["text"]
    assert not [mark for mark in ("<!channel", "<https", "<@U0CAROL", "\u202e") if mark in marked_up]


# -- forged clicks -----------------------------------------------------------------------------------------------------

BOB, CAROL = (payloads.Actor(id=f"U0{name.upper()}", name=name, team_id="T0LOCAL") for name in ("bob", "carol"))


@pytest.fixture
def bot(slack: LocalSlack, tmp_path: Path) -> Iterator[RunningApp]:
    """The bot behind HTTP, so that a test can send it signed clicks on buttons that it never posted."""
    with running_app(slack, tmp_path, MemoryRegistry(), policy=POLICY, http=True) as app:
        app.registrar.poll_registry()
        yield app


def test_a_click_on_an_outdated_card_says_who_was_faster(bot: RunningApp) -> None:
    proposal, carol = propose(bot), bot.slack.person("carol")
    reply_to(bot.bob, lambda: signed_client(bot).send(click(BOB, proposal.id, proposal_card.ADD)))
    answer = reply_to(carol, lambda: signed_client(bot).send(click(CAROL, proposal.id, proposal_card.DISMISS)))
    assert "Added by <@U0BOB>" in answer
    assert monitors(bot) == ["accuracy"]


@pytest.mark.parametrize("button", [registry_answers.CONFIRM_ARCHIVE, RUN_CORRECTED, EDIT_AGAIN])
def test_no_other_button_uses_a_proposal(bot: RunningApp, button: str) -> None:
    proposal = propose(bot)
    answer = reply_to(bot.bob, lambda: signed_client(bot).send(click(BOB, proposal.id, button)))
    assert "This form has expired" in answer
    assert (state(bot, proposal), monitors(bot)) == (ProposalState.OPEN, [])


@pytest.mark.parametrize("button", [proposal_card.ADD, proposal_card.DISMISS])
def test_a_person_s_draft_is_not_a_proposal(bot: RunningApp, button: str) -> None:
    profile = bot.registrar.directory.profile(Person("T0LOCAL", "U0BOB"))
    draft = bot.registrar.command_queue.create_draft(profile, propose(bot).command, channel="C1")
    answer = reply_to(bot.bob, lambda: signed_client(bot).send(click(BOB, draft, button)))
    assert "There's no proposed monitor" in answer
    assert monitors(bot) == []


@pytest.mark.parametrize("value", ["", "p00000", "{}", "' OR 1=1 --", "<!channel>", None, 7, "r" * 2000])
def test_a_forged_id_adds_nothing(bot: RunningApp, value: Any) -> None:
    propose(bot)
    answer = reply_to(bot.bob, lambda: signed_client(bot).send(click(BOB, value, proposal_card.ADD)))
    assert "I don't recognize this button." in answer or "There's no proposed monitor" in answer
    assert monitors(bot) == []
