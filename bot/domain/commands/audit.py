"""Commands about the audit log."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

from bot.domain.commands.base import (
    MAX_EVENT_NUMBER,
    Argument,
    Command,
    ModelName,
    QueryCommand,
)
from bot.domain.core.relative_time import RelativeDay, parse_past


class ShowAudit(QueryCommand):
    """Show what happened to a model, from the audit log."""

    verb = "audit"
    summary = "Show who did what to a model"
    details = "Includes refused attempts."
    example = "audit churn --since 30d"
    needs_ledger = True
    model: ModelName
    since: Annotated[
        timedelta | datetime | RelativeDay,
        BeforeValidator(parse_past),
        Argument("TIME", "how far back (30d), or the start time (yesterday, 2026-11-01; UTC)", False, ("--since",)),
    ] = timedelta(days=30)
    before: Annotated[
        int | None,
        Field(ge=1, le=MAX_EVENT_NUMBER),
        Argument("N", "only events before this event number", positional=False, flags=("--before",)),
    ] = None


COMMANDS: tuple[type[Command], ...] = (ShowAudit,)
