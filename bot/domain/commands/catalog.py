"""The verbs, one pydantic model each. Slack's text, its modals, the terminal and the help all come from here."""

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
    Best,
    Compare,
    Help,
    History,
    List,
    Requests,
    Show,
    ShowAudit,
    ShowPolicy,
    Validate,
)
from bot.domain.commands.requests import Approve, Cancel, Override, Promote, Reject, Review, Withdraw

VERBS: dict[str, type[Command]] = {
    verb.verb: verb
    for verb in (
        Help,
        List,
        Show,
        Register,
        Describe,
        SetTags,
        Archive,
        Compare,
        Best,
        Promote,
        Validate,
        Approve,
        Reject,
        Withdraw,
        Override,
        Cancel,
        Review,
        Requests,
        History,
        Rollback,
        Unblock,
        ShowPolicy,
        FreezeModel,
        UnfreezeModel,
        ShowAudit,
    )
} | {verb.verb: verb for verb in monitoring.VERBS}
ALIASES = {"clear": Unblock.verb}  # earlier names, which people, scripts, and stored commands still use
