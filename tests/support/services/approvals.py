"""Requests approved by people whose rights change."""

from __future__ import annotations

from bot.domain.commands.parser import build_command
from bot.domain.commands.policy import FreezeModel
from bot.domain.promotions.request import Request
from bot.domain.transitions.transition import Transition
from tests.support.services.bench import BOB, DAVE, Bench


def freeze(bench: Bench, model: str = "churn") -> None:
    bench.execute(BOB, build_command(FreezeModel, {"model": model, "reason": "audit"}))


def move_of(bench: Bench, request: Request) -> Transition:
    [move] = [move for move in bench.moves_of(request.model) if move.request == request.id]
    return move


def glass(bench: Bench) -> Request:
    """Let an admin break glass for churn v4; the transition is recorded, but not made yet."""
    return bench.open('promote churn 4 production --break-glass --reason "fraud"', DAVE)
