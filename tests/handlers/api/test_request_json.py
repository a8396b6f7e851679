"""The agent in a request's JSON document."""

from __future__ import annotations

import pytest

from bot.domain.core.actors import Client
from bot.domain.core.agent import Agent, introduce_agent
from bot.domain.policy.policy import Policy
from handlers.api.request_json import request_document
from tests.support.slack.card_examples import a_churn_request


@pytest.mark.parametrize(
    ("agent", "acts_for", "document"),
    [
        (None, "U0BOB", {}),
        (introduce_agent("claude-code"), None, {"name": "claude-code"}),
        (
            introduce_agent("claude-code", "2.1"),
            "U0BOB",
            {"name": "claude-code", "version": "2.1", "acts_for": "U0BOB"},
        ),
        (introduce_agent("claude-code", "", "U0ANN"), "U0BOB", {"name": "claude-code", "acts_for": "U0ANN"}),
    ],
    ids=["no agent", "no one named", "named by the policy now", "recorded"],
)
def test_a_request_names_its_agent_and_the_person(
    agent: Agent | None, acts_for: str | None, document: dict[str, str]
) -> None:
    policy = Policy.model_validate({"models": {}, "clients": {"claude": {"acts_for": acts_for}}})
    request = a_churn_request(None, requester=Client("claude"), agent=agent)
    assert request_document(request, [], policy)["agent"] == document
