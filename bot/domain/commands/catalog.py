"""All commands by verb. Slack's text, its modals, the terminal, and the help are generated from these."""

from __future__ import annotations

from bot.domain.commands import monitoring
from bot.domain.commands.base import Command
from bot.domain.commands.changes import (
    Archive,
    Describe,
    FreezeModel,
    Register,
    Rollback,
    SetTags,
    Unblock,
    UnfreezeModel,
)
from bot.domain.commands.queries import (
    Compare,
    FindBest,
    Help,
    ListModels,
    ListRequests,
    ShowAudit,
    ShowHistory,
    ShowModel,
    ShowPolicy,
    Validate,
)
from bot.domain.commands.requests import Approve, Cancel, Override, Promote, Reject, Review, Withdraw

COMMANDS: dict[str, type[Command]] = {
    verb.verb: verb
    for verb in (
        Help,
        ListModels,
        ShowModel,
        Register,
        Describe,
        SetTags,
        Archive,
        Compare,
        FindBest,
        Promote,
        Validate,
        Approve,
        Reject,
        Withdraw,
        Override,
        Cancel,
        Review,
        ListRequests,
        ShowHistory,
        Rollback,
        Unblock,
        ShowPolicy,
        FreezeModel,
        UnfreezeModel,
        ShowAudit,
    )
} | {verb.verb: verb for verb in monitoring.MONITOR_COMMANDS}
COMMAND_ALIASES = {"clear": Unblock.verb}  # earlier names, still used by people, scripts, and stored commands
