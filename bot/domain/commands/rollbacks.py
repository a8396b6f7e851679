"""Commands about what serves in Production: its history, rollbacks, and blocked versions."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

from bot.domain.commands.base import (
    Argument,
    Change,
    Command,
    ModelName,
    OptionalVersionArgument,
    QueryCommand,
    Reason,
    RegistryChange,
    VersionArgument,
)
from bot.domain.core.relative_time import RelativeDay, parse_day_or_moment, resolve_start
from bot.domain.policy.authorization import Permission


class ShowHistory(QueryCommand):
    """Show what was in Production, when, and why."""

    verb = "history"
    summary = "Show what was in Production, when, by whom, and why"
    example = "history churn --at 2026-03-03"
    needs_ledger = True
    model: ModelName
    last: Annotated[int, Field(ge=1, le=50), Argument("N", "how many", positional=False, flags=("--last",))] = 10
    at: Annotated[
        timedelta | datetime | date | RelativeDay | None,
        BeforeValidator(parse_day_or_moment),
        Argument(
            "TIME",
            "who served on a day (2026-03-03, yesterday) or at a moment (2026-03-03T14:00), in UTC; or 2h ago",
            False,
            ("--at",),
        ),
    ] = None

    def with_absolute_time(self, now: datetime) -> ShowHistory:
        """Return the command with an absolute time, so that it means the same later."""
        if isinstance(self.at, RelativeDay):
            return self.model_copy(update={"at": self.at.date_at(now)})
        return self.model_copy(update={"at": resolve_start(self.at, now)}) if isinstance(self.at, timedelta) else self


class Rollback(RegistryChange):
    """Put a version that served before back into Production, without approvals."""

    verb = "rollback"
    summary = "Roll back Production to the previous version, or to another"
    example = 'rollback churn --reason "accuracy fell since v7"'
    permission = Permission.ROLL_BACK
    model: ModelName
    version: OptionalVersionArgument = None
    force: Annotated[
        bool,
        Argument("", "also a version that may not load; the reason says why", positional=False, flags=("--force",)),
    ] = False
    reason: Reason


class Unblock(Change):
    """Allow promotions and rollbacks again to a version that was rolled back as bad."""

    verb = "unblock"
    summary = "Unblock a version that was rolled back as bad"
    example = 'unblock churn 7 --reason "it was the feature store"'
    permission = Permission.UNBLOCK
    is_slow = True
    model: ModelName
    version: VersionArgument
    reason: Reason


COMMANDS: tuple[type[Command], ...] = (ShowHistory, Rollback, Unblock)
