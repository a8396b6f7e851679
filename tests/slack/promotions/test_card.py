"""What a pending request's card shows, and what it leaves to the details."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bot.domain.core.actors import Client
from bot.domain.core.agent import introduce_agent
from bot.domain.core.ci_run import CiRun
from bot.domain.policy.callers.api_clients import ApiClient
from bot.domain.policy.policy import Policy
from bot.domain.promotions.request import Request, RequestSnapshot
from bot.domain.promotions.verdict import verdict
from bot.slack.core.blocks import Message, to_mrkdwn
from bot.slack.promotions.details import request_details
from bot.slack.promotions.request_card import request_card
from localslack.blocks import message_problems
from tests.support.app.app_fixture import message_text
from tests.support.slack.card_examples import (
    BETTER,
    INCUMBENT,
    INPUTS,
    CardExample,
    a_churn_request,
    a_policy,
    a_snapshot,
    faulty_examples,
    good_examples,
)

EXAMPLES = faulty_examples() + good_examples()
METRICS = a_policy().metrics_for("churn")


def card_text(seen: RequestSnapshot | None, **changes: Any) -> str:
    return text_of(request_card(a_churn_request(seen, **changes), [], metrics=METRICS))


def text_of(card: Message) -> str:
    return message_text({"blocks": card.blocks})


def details_text(request: Request) -> str:
    return message_text({"blocks": [block.to_dict() for block in request_details(request, [], METRICS)]})


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_verdict_follows_the_headline(example: CardExample) -> None:
    card = example.card()
    assert message_problems(card.blocks) == []
    assert card.blocks[1]["text"]["text"] == to_mrkdwn(verdict(example.request, example.metrics))


@pytest.mark.parametrize(
    ("metrics", "row"),
    [
        (BETTER, "• latency_ms  48 → *38 ms*  (−21%, better)"),
        (BETTER | {"latency_ms": 98.0}, "⚠️ latency_ms  48 → *98 ms*  (+104%, worse)"),
        (BETTER | {"latency_ms": 131.0}, "❌ latency_ms  48 → *131 ms*  (+173%, worse)"),
        (BETTER | {"latency_ms": 47.0}, "• latency_ms  48 → *47 ms*  (−2.1%, within noise)"),
        (BETTER | {"latency_ms": 48.0}, "• latency_ms  *48 ms*  (unchanged)"),
    ],
)
def test_a_metric_is_compared_with_the_incumbent_s(metrics: dict[str, float], row: str) -> None:
    assert row in card_text(a_snapshot(metrics)).splitlines()


def test_other_metrics_are_counted_and_listed_in_the_details() -> None:
    many = {f"recall_{n}": 0.8 for n in range(9)}
    request = a_churn_request(a_snapshot(BETTER | many, against=INCUMBENT | many | {"recall_3": 0.9}))
    assert "and 10 more metrics, 1 worse" in text_of(request_card(request, [], metrics=METRICS))
    assert "⚠️ recall_3  0.900 → *0.800*  (−11%, worse)" in details_text(request)


def test_a_reported_result_is_shown_with_the_measured_one() -> None:
    shown = card_text(a_snapshot(BETTER, validation={"f1": 0.95, "recall": 0.7}))
    assert "Reported by requester: ⚠️ f1 *0.950* (measured 0.912)  ·  recall *0.700* (not measured)" in shown


def test_two_changes_for_callers_are_named_and_all_are_in_the_details() -> None:
    inputs = ("plan:long", *INPUTS[2:], *(f"new_{n}:double?" for n in range(9)))
    request = a_churn_request(a_snapshot(BETTER, inputs=inputs))
    shown = text_of(request_card(request, [], metrics=METRICS))
    assert "⚠️ *Breaking for callers:* input `age` was removed; input `plan` changed from string to long" in shown
    assert "new_8" not in shown
    assert "inputs `new_0`" not in shown.partition("⚠️ No automatic rollback")[0]
    assert "inputs `new_0`" in details_text(request)


def test_nothing_is_said_about_callers_if_nothing_changes_for_them() -> None:
    assert "allers:" not in card_text(a_snapshot(BETTER))


def test_a_long_reason_is_cut_on_the_card_and_whole_in_the_details() -> None:
    request = a_churn_request(a_snapshot(BETTER), reason="word " * 100 + "end")
    assert "end" not in text_of(request_card(request, [], metrics=METRICS)).partition("Waiting")[0].split()
    assert "end" in details_text(request).split()


def test_details_name_the_commands_that_decide_a_pending_request() -> None:
    shown = details_text(a_churn_request(a_snapshot(BETTER)))
    for part in ("`/model approve r4k7q`", '`/model reject r4k7q --reason "…"`', "Policy `3f9ab2c41d07`"):
        assert part in shown


# -- agents ------------------------------------------------------------------------------------------------------------

RUN = CiRun(repository="acme/churn", run="4711", url="https://ci.example/4711", actor="octocat", service="github")


def agent_card(policy: Policy | None = None, **changes: Any) -> Message:
    request = a_churn_request(a_snapshot(BETTER), requester=Client("claude"), reason="", **changes)
    return CardExample(name="", request=request, decision="", reason="", policy=policy or a_policy()).card()


def test_the_card_says_which_agent_requested_it_for_whom() -> None:
    card = agent_card(agent=introduce_agent("claude-code", "2.1", "U0ALICE"))
    assert "Requested by `claude` with `claude-code 2.1`, acting for <@U0ALICE>" in text_of(card)
    assert card.text.startswith("`claude` with `claude-code 2.1` for <@U0ALICE> requested `churn`")


def test_the_card_says_that_the_policy_does_not_name_the_person() -> None:
    shown = text_of(agent_card(agent=introduce_agent("claude-code")))
    assert "Requested by `claude` with `claude-code`, acting for someone the policy doesn't name" in shown
    assert "The policy doesn't say who this agent acts for, so the request needs 2 approvals." in shown


def test_the_card_links_to_the_agent_s_ci_run() -> None:
    shown = text_of(agent_card(agent=introduce_agent("claude-code", "", "U0ALICE"), ci=RUN))
    run = "<https://ci.example/4711|acme/churn  ·  run 4711>"
    assert f"Requested by `claude` with `claude-code` from {run}, started by `octocat`, acting for <@U0ALICE>" in shown


def test_the_card_names_the_person_that_a_client_acts_for() -> None:
    policy = a_policy().model_copy(update={"clients": {"claude": ApiClient(acts_for="U0ALICE")}})
    assert "Requested by `claude`, acting for <@U0ALICE>" in text_of(agent_card(policy))


@pytest.mark.parametrize(
    "name", ["` approved by <@U0BOB> `", "x\n*Approved*", "<!channel>", "\u202eevil\u2066", "a" * 999]
)
def test_an_agent_s_name_cannot_pretend_to_be_the_app_s_words(name: str) -> None:
    card = agent_card(agent=introduce_agent(name, name, "U0ALICE"))
    [shown] = re.findall(r"Requested by `claude` with `([^`\n]*)`, acting for <@U0ALICE>", text_of(card))
    assert not {"<", ">", "\u202e"} & set(shown)
    assert message_problems(card.blocks) == []


def test_the_details_say_which_agent_requested_it_for_whom() -> None:
    agent = introduce_agent("claude-code", "2.1", "U0ALICE")
    request = a_churn_request(a_snapshot(BETTER), requester=Client("claude"), agent=agent)
    assert "Requested by `claude` with `claude-code 2.1` for <@U0ALICE>, " in details_text(request)
