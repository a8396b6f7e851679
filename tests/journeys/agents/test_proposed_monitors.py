"""An agent proposes a monitor with its backtest; a person adds or dismisses it."""

from __future__ import annotations

from typing import Any

from bot.domain.audit.events import EventTag
from tests.support.app.app_fixture import RunningApp, message_text
from tests.support.mcp.agent import TestAgent

RULE: dict[str, Any] = {
    "model": "churn",
    "name": "accuracy-live",
    "source": "push",
    "query": "accuracy",
    "greater_than": 0.85,
    "every": "5m",
    "reason": "v3 drifts in spring",
}


def monitors(app: RunningApp) -> list[str]:
    with app.ledger.read() as reading:
        return [monitor.name for monitor in reading.monitors("churn")]


def test_a_person_adds_what_an_agent_proposes(app: RunningApp, agent: TestAgent) -> None:
    proposal = agent.call("propose_monitor", **RULE)
    assert (proposal["state"], proposal["channel"]) == ("open", "#ml-models")
    assert proposal["rule"]["greater_than"] == 0.85
    assert "Neither the monitor nor its source has readings" in proposal["backtest"]
    card = app.card(holds="v3 drifts in spring")
    assert {"agents", "trainer 1.2"} <= set(message_text(card).split("`"))
    assert monitors(app) == []
    app.bob.clicks(card, "Add monitor")
    app.card(holds="Added by")
    assert monitors(app) == ["accuracy-live"]
    assert EventTag.MONITOR_PROPOSED.value in app.audit()


def test_the_same_proposal_is_made_once(app: RunningApp, agent: TestAgent) -> None:
    assert agent.call("propose_monitor", **RULE) == agent.call("propose_monitor", **RULE)


def test_a_wrong_setting_names_its_argument(app: RunningApp, agent: TestAgent) -> None:
    error = agent.refused("propose_monitor", **RULE | {"action": "delete"})
    assert (error["field"], error["message"][:8]) == ("action", "action: ")
    assert agent.refused("propose_monitor", **RULE | {"every": "soon"})["field"] == "every"
    assert agent.refused("propose_monitor", **RULE | {"every": 5})["field"] == "every"
    assert agent.refused("propose_monitor", **RULE | {"source": "nowhere"})["code"] == "BadInput"
