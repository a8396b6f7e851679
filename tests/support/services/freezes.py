"""Freezing and unfreezing Production."""

from __future__ import annotations

from bot.domain.commands.parser import build_command
from bot.domain.commands.policy import FreezeModel, UnfreezeModel
from bot.domain.core.actors import Caller
from tests.support.services.bench import BOB, Bench


def freeze(
    bench: Bench, who: Caller = BOB, *, model: str | None = "churn", reason: str = "audit", **more: object
) -> str:
    command = build_command(FreezeModel, {"model": model, "everywhere": model is None, "reason": reason, **more})
    return str(bench.execute(who, command).answer)


def unfreeze(bench: Bench, who: Caller = BOB, *, model: str | None = "churn") -> str:
    command = build_command(UnfreezeModel, {"model": model, "everywhere": model is None})
    return str(bench.execute(who, command).answer)
