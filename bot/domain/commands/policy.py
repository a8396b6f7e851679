"""Commands about the policy's rules and Production freezes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator

from bot.domain.commands.base import (
    AllModels,
    Argument,
    Change,
    Command,
    ModelName,
    OptionalModelName,
    QueryCommand,
    Reason,
)
from bot.domain.core.relative_time import parse_moment
from bot.domain.policy.authorization import Permission


class ShowPolicy(QueryCommand):
    """Show the policy's rules for a model."""

    verb = "policy"
    summary = "Show a model's rules"
    details = "Shows who can approve, how many approvals are needed, and which gates apply."
    example = "policy churn"
    model: ModelName


class FreezeModel(Change):
    """Freeze Production for a model or all models."""

    verb = "freeze"
    summary = "Freeze Production"
    example = 'freeze churn --until 48h --reason "end of the quarter"'
    permission = Permission.FREEZE
    model: OptionalModelName = None
    everywhere: AllModels = False
    until: Annotated[
        timedelta | datetime | None,
        BeforeValidator(parse_moment),
        Argument("TIME", "how long (48h), or the end time (2026-12-01T18:00, UTC)", False, ("--until",)),
    ] = None
    reason: Reason


class UnfreezeModel(Change):
    """Unfreeze Production for a model or all models."""

    verb = "unfreeze"
    summary = "Unfreeze Production"
    example = "unfreeze churn"
    permission = Permission.UNFREEZE
    model: OptionalModelName = None
    everywhere: AllModels = False
    reason: Reason = ""


COMMANDS: tuple[type[Command], ...] = (ShowPolicy, FreezeModel, UnfreezeModel)
