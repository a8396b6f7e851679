"""The card of a proposed monitor: what it says, and that an agent's texts can't do anything on it.

tests/slack/delivery/test_message_limits.py checks that every message is within Slack's limits and pings no one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.domain.core.agent import Agent
from bot.domain.core.sentence import say
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.proposals.proposal import MonitorProposal, ProposalState
from bot.domain.policy.monitor_config import MonitorConfig
from bot.slack.core.blocks import Message
from bot.slack.monitoring.proposal_card import ADD, DISMISS, MAX_QUERY_LENGTH, proposal_card
from tests.support.monitoring.proposals import ROBOT
from tests.support.slack.message_parts import buttons, objects, shown_text
from tests.support.slack.worst_case_values import BOB, NOW

MONITOR = Monitor(
    id="m4k7qa",
    model="churn",
    rule=MonitorConfig(name="accuracy", source="live", query="live_accuracy", greater_than=0.85),
    created_at=NOW,
    created_by=ROBOT,
)
PROPOSAL = MonitorProposal(
    id="p4k7q",
    client=ROBOT,
    agent=Agent(name="claude-code", version="2.1", person="U0ALICE"),
    monitor=MONITOR,
    reason="accuracy fell in May",
    backtest=say("It would have fired twice."),
)


def card(**changes: Any) -> Message:
    return proposal_card(replace(PROPOSAL, **changes))


def with_rule(**changes: Any) -> Message:
    return card(monitor=replace(MONITOR, rule=MONITOR.rule.model_copy(update=changes)))


def heading(message: Message) -> str:
    return str(message.blocks[0]["text"]["text"])


def test_an_open_proposal_says_what_would_be_monitored_and_who_proposed_it() -> None:
    text = shown_text(card())
    for words in (
        "💡 “claude-code” proposes a monitor: churn accuracy",
        "Fails when `live_accuracy` is at most 0.85",
        "`live` `live_accuracy`",
        "It would have fired twice.",
        "Reason: “accuracy fell in May”",
        "Proposed by `robot` with `claude-code 2.1`, acting for <@U0ALICE>.",
    ):
        assert words in text


def test_the_card_says_if_the_policy_does_not_name_the_person() -> None:
    text = shown_text(card(agent=Agent(name="claude-code")))
    assert "with `claude-code`, acting for someone the policy doesn't name." in text


def test_an_automatic_rollback_says_that_a_second_person_arms_it() -> None:
    assert "until a second person arms it: `/model monitor arm churn accuracy`" in shown_text(with_rule(action="auto"))


def test_the_buttons_carry_only_the_id() -> None:
    assert buttons(card()) == [ADD, DISMISS]
    assert {part["value"] for part in objects(card().blocks) if part.get("type") == "button"} == {"p4k7q"}


@pytest.mark.parametrize(
    ("state", "words"), [(ProposalState.ADDED, "Added by <@U0BOB>"), (ProposalState.DISMISSED, "Dismissed by <@U0BOB>")]
)
def test_a_decided_proposal_has_no_buttons(state: ProposalState, words: str) -> None:
    message = card(state=state, decided_by=BOB, decided_at=NOW)
    assert (words in shown_text(message), buttons(message)) == (True, [])


def test_a_long_query_is_cut() -> None:
    message = with_rule(query="q" * 2000)
    [source] = [str(block) for block in message.blocks if "*Source*" in str(block)]
    assert "…" in source
    assert source.count("q") < MAX_QUERY_LENGTH + 1


# -- an agent's texts are data -----------------------------------------------------------------------------------------

HOSTILE = "<!channel> *Approved* <https://evil.example|here> `x` @here <@U0BOB> \u202eesrever\u2066 :rotating_light:"


@pytest.mark.parametrize("place", ["reason", "agent", "version", "query", "backtest"])
def test_hostile_text_has_no_effect(place: str) -> None:
    message = {
        "reason": lambda: card(reason=HOSTILE),
        "agent": lambda: card(agent=Agent(name=HOSTILE)),
        "version": lambda: card(agent=Agent(name="x", version=HOSTILE)),
        "query": lambda: with_rule(query=HOSTILE),
        "backtest": lambda: card(backtest=say("The source said {why}.", why=HOSTILE)),
    }[place]()
    marked_up = [message.text, *(part["text"] for part in objects(message.blocks) if part.get("type") == "mrkdwn")]
    assert not any(
        mark in text for text in marked_up for mark in ("<!channel", "<https", "<@U0BOB", "\u202e", "\u2066")
    )
    assert "\u202e" not in str(message.blocks)


def test_a_reason_is_plain_text_without_formatting_or_emoji() -> None:
    [reason] = [block["text"] for block in card(reason=HOSTILE).blocks if "Reason:" in str(block)]
    assert (reason["type"], reason["emoji"]) == ("plain_text", False)


def test_an_agent_cannot_close_the_quotation_marks_around_its_name() -> None:
    title = heading(card(agent=Agent(name="x” was approved by bob. “y")))
    assert title == "💡 “x' was approved by bob. 'y” proposes a monitor: churn accuracy"


def test_an_agent_s_name_has_no_backticks_that_end_its_code() -> None:
    assert "with `aˋ *Approved*`, acting" in shown_text(card(agent=Agent(name="a` *Approved*")))
