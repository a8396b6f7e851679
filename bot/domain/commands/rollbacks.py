"""Commands about the version in Production: its history, rollbacks, and blocked versions."""

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
    """Show which versions were in Production, when, and why."""

    verb = "history"
    summary = "Show Production's history"
    details = "Shows which version was in Production when, and who changed it."
    example = "history churn --at 2026-03-03"
    needs_ledger = True
    model: ModelName
    last: Annotated[
        int, Field(ge=1, le=50), Argument("N", "how many entries to show", positional=False, flags=("--last",))
    ] = 10
    at: Annotated[
        timedelta | datetime | date | RelativeDay | None,
        BeforeValidator(parse_day_or_moment),
        Argument(
            "TIME",
            "show what was in Production on a day (2026-03-03, yesterday), at a time (2026-03-03T14:00), "
            "or some time ago (2h); UTC",
            False,
            ("--at",),
        ),
    ] = None

    def with_absolute_time(self, now: datetime) -> ShowHistory:
        """Return the command with an absolute time, so that its meaning doesn't change later."""
        if isinstance(self.at, RelativeDay):
            return self.model_copy(update={"at": self.at.date_at(now)})
        return self.model_copy(update={"at": resolve_start(self.at, now)}) if isinstance(self.at, timedelta) else self


class Rollback(RegistryChange):
    """Roll back Production to a version that was there before, without approvals."""

    verb = "rollback"
    summary = "Roll back Production"
    details = "Without VERSION, it goes back to the previous good version. No approvals are needed."
    example = 'rollback churn --reason "accuracy fell since v7"'
    permission = Permission.ROLL_BACK
    model: ModelName
    version: OptionalVersionArgument = None
    force: Annotated[
        bool,
        Argument(
            "", "allow a version that might not load; say why in the reason", positional=False, flags=("--force",)
        ),
    ] = False
    reason: Reason

    @property
    def has_form(self) -> bool:
        """Whether a form can show the command."""
        return True


class Unblock(Change):
    """Unblock a version that a rollback blocked, so that it can be promoted and rolled back to."""

    verb = "unblock"
    summary = "Unblock a rolled-back version"
    details = "It can then be promoted again, and rollbacks can go back to it."
    example = 'unblock churn 7 --reason "the feature store was at fault"'
    permission = Permission.UNBLOCK
    is_slow = True
    model: ModelName
    version: VersionArgument
    reason: Reason


COMMANDS: tuple[type[Command], ...] = (ShowHistory, Rollback, Unblock)
