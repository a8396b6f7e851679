"""Commands that open and decide requests."""

from __future__ import annotations

from typing import Annotated

from bot.domain.commands.arguments import (
    RequestIdArgument,
    ResultsArgument,
    TargetArgument,
    VersionArgument,
    results_by_metric,
)
from bot.domain.commands.base import Argument, Command, ModelName, Reason
from bot.domain.commands.help_index import SUMMARIES


class Promote(Command):
    """Request a promotion to Staging or Production."""

    verb = "promote"
    summary = SUMMARIES[verb]
    example = 'promote churn 4 production --reason "better f1"'
    model: ModelName
    version: VersionArgument
    to: TargetArgument
    reason: Reason = ""
    keep_existing: Annotated[
        bool, Argument("", "let the present holder stay in the stage", positional=False, flags=("--keep-existing",))
    ] = False
    break_glass: Annotated[
        bool,
        Argument(
            "",
            "admins: move it now, past approvals, gates and freezes; the channel is alarmed",
            positional=False,
            flags=("--break-glass",),
        ),
    ] = False
    validation: ResultsArgument = ()

    def results(self) -> dict[str, float]:
        """Return the results that the requester reported, by metric."""
        return results_by_metric(self.validation)


class Approve(Command):
    """Approve a request."""

    verb = "approve"
    summary = SUMMARIES[verb]
    example = "approve r4k7q"
    request: RequestIdArgument


class Reject(Command):
    """Reject a request."""

    verb = "reject"
    summary = SUMMARIES[verb]
    example = 'reject r4k7q --reason "latency too high"'
    request: RequestIdArgument
    reason: Reason


class Withdraw(Command):
    """Withdraw one's vote."""

    verb = "withdraw"
    summary = SUMMARIES[verb]
    example = "withdraw r4k7q"
    request: RequestIdArgument


class Override(Command):
    """Override failed gates of a request."""

    verb = "override"
    summary = SUMMARIES[verb]
    example = 'override r4k7q --reason "the metric is measured anew tomorrow"'
    request: RequestIdArgument
    reason: Reason


class Cancel(Command):
    """Cancel a request."""

    verb = "cancel"
    summary = SUMMARIES[verb]
    example = "cancel r4k7q"
    request: RequestIdArgument
    reason: Reason = ""


class Review(Command):
    """Review a break-glass promotion."""

    verb = "review"
    summary = SUMMARIES[verb]
    example = 'review r4k7q --reason "v3 was down; the gates passed afterwards"'
    request: RequestIdArgument
    reason: Reason
