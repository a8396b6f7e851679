"""Requests approved by people whose rights change, and requests of agents."""

from __future__ import annotations

from dataclasses import replace

from bot.domain.commands.parser import build_command, parse_command
from bot.domain.commands.policy import FreezeModel
from bot.domain.core.actors import Client
from bot.domain.core.agent import Agent
from bot.domain.core.ci_run import CiRun
from bot.domain.promotions.request import Request
from bot.domain.transitions.transition import Transition
from bot.services.core.commands import Origin
from tests.support.services.bench import BOB, DAVE, Bench


def freeze(bench: Bench, model: str = "churn") -> None:
    bench.execute(BOB, build_command(FreezeModel, {"model": model, "reason": "audit"}))


def move_of(bench: Bench, request: Request) -> Transition:
    [move] = [move for move in bench.moves_of(request.model) if move.request == request.id]
    return move


def glass(bench: Bench) -> Request:
    """Let an admin break glass for churn v4; the transition is recorded, but not made yet."""
    return bench.open('promote churn 4 production --break-glass --reason "fraud"', DAVE)


# -- agents ------------------------------------------------------------------------------------------------------------

CLIENT = Client("claude")
AGENT_OF_NO_ONE = Agent(name="claude-code", version="2.1")
AGENT_OF_ALICE, AGENT_OF_BOB = replace(AGENT_OF_NO_ONE, person="UALICE"), replace(AGENT_OF_NO_ONE, person="UBOB")


def open_by_agent(
    bench: Bench, agent: Agent | None, text: str = "promote churn 4 production", ci: CiRun | None = None
) -> Request:
    """Open a request of an agent, or of the client without one."""
    command = parse_command(text)
    assert command is not None
    origin = Origin(entry_point="mcp" if agent else "api", agent=agent, ci=ci)
    queued = bench.commands.execute(CLIENT, command, origin).queued
    assert queued is not None
    return bench.open_ask(queued.id)
