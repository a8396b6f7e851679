"""Whatever agents call, in whatever order: nothing that only people may change changes, now or when jobs run later."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.domain.commands.monitoring import MonitorAdd
from bot.domain.commands.promotions import Promote
from bot.domain.core.actors import Client, Operator, Person
from bot.domain.promotions.request import RequestState
from bot.ports import QueuedCommandState
from handlers.mcp.catalog import TOOLS
from tests.support.app.harness import is_chain_intact
from tests.support.mcp.guarded_world import GuardedWorld, added, changes_between, guarded_world
from tests.support.mcp.random_calls import RandomAgents

SEED = int(os.environ.get("AGENT_SEED") or 1)


@pytest.fixture
def world(sqlite_url: str, tmp_path: Path) -> Iterator[GuardedWorld]:
    """A ledger and a registry that people have worked on, with the bot's services."""
    with guarded_world(sqlite_url, tmp_path) as made:
        yield made


def is_undecided(request: Any) -> bool:
    """Tell whether a request of an agent is as people left it: undecided, and never in a hurry."""
    deciders = ("decided_by", "overridden_by", "reviewed_by", "review_due")
    return (
        isinstance(request["requester"], Client)
        and request["agent"] is not None
        and request["state"] in {RequestState.PENDING, RequestState.EXPIRED, RequestState.STALE}
        and not request["breaks_glass"]
        and not any(request[name] for name in deciders)
    )


def is_only_asked(ask: Any) -> bool:
    """Tell whether a command of an agent only asks people."""
    command = ask["command"]
    if ask["state"] is QueuedCommandState.DRAFT:
        is_allowed = command["verb"] == MonitorAdd.verb
    else:
        is_allowed = command["verb"] == Promote.verb and not command.get("break_glass")
    return is_allowed and isinstance(ask["caller"], Client) and ask["agent"] is not None


@pytest.mark.parametrize("number", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_no_calls_change_what_people_decide(world: GuardedWorld, number: int) -> None:
    agents, before = RandomAgents(world, random.Random(SEED)), world.snapshot()  # noqa: S311 - it's no secret
    asyncio.run(agents.play(number))
    after = world.snapshot()

    story = "\n".join([f"AGENT_SEED={SEED}", *agents.log])
    assert changes_between(before, after) == [], story
    assert [request for request in added(before, after, "requests") if not is_undecided(request)] == [], story
    assert [ask for ask in added(before, after, "asks") if not is_only_asked(ask)] == [], story
    acknowledged = [row for row in added(before, after, "incidents") if row["acknowledged_by"] or row["ended_by"]]
    assert acknowledged == [], story
    by_people = [e for e in added(before, after, "audit_events") if isinstance(e["actor"], Person | Operator)]
    assert by_people == [], story
    assert is_chain_intact(world.registrar.context.ledger)  # type: ignore[arg-type]  # it's a SqlLedger
    assert {tool for tool, outcome in agents.outcomes if outcome == "InternalError"} == set(), story
    assert {tool for tool, outcome in agents.outcomes if outcome == "ok"} >= TOOLS.keys()
    assert added(before, after, "requests")
    assert agents.leaks == []
