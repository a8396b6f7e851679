"""Commands that open, decide, and list requests."""

from __future__ import annotations

from typing import Annotated, get_args

from bot.domain.commands.base import (
    Argument,
    Change,
    Command,
    ModelName,
    OptionalModelName,
    QueryCommand,
    Reason,
    RegistryChange,
    RequestIdArgument,
    ResultsArgument,
    TargetArgument,
    VersionArgument,
)
from bot.domain.policy.authorization import Permission
from bot.domain.registry.model import Stage


class Promote(RegistryChange):
    """Request a promotion to Staging or Production."""

    verb = "promote"
    summary = "Request a promotion"
    example = 'promote churn 4 production --reason "better f1"'
    model: ModelName
    version: VersionArgument
    to: TargetArgument
    reason: Reason = ""
    keep_existing: Annotated[
        bool, Argument("", "leave the stage's current version in place", positional=False, flags=("--keep-existing",))
    ] = False
    break_glass: Annotated[
        bool,
        Argument(
            "",
            "admins only: promote now, bypassing approvals, gates, and freezes; alerts the channel",
            positional=False,
            flags=("--break-glass",),
        ),
    ] = False
    validation: ResultsArgument = ()

    @property
    def required_permission(self) -> Permission:
        """The permission that the caller needs; breaking glass needs a different one."""
        return Permission.BREAK_GLASS if self.break_glass else Permission.REQUEST

    @property
    def has_form(self) -> bool:
        """Whether a form can show the command; the usual form would hide that it breaks glass."""
        return not self.break_glass


class Approve(Change):
    """Approve a request."""

    verb = "approve"
    summary = "Approve a request"
    example = "approve r4k7q"
    request: RequestIdArgument


class Reject(Change):
    """Reject a request."""

    verb = "reject"
    summary = "Reject a request"
    example = 'reject r4k7q --reason "latency too high"'
    request: RequestIdArgument
    reason: Reason


class Withdraw(Change):
    """Withdraw the caller's approval."""

    verb = "withdraw"
    summary = "Withdraw your approval"
    example = "withdraw r4k7q"
    request: RequestIdArgument


class Override(Change):
    """Override a request's failed gates."""

    verb = "override"
    summary = "Override failed gates"
    example = 'override r4k7q --reason "the metric will be remeasured tomorrow"'
    request: RequestIdArgument
    reason: Reason


class Cancel(Change):
    """Cancel a request."""

    verb = "cancel"
    summary = "Cancel a pending request"
    example = "cancel r4k7q"
    request: RequestIdArgument
    reason: Reason = ""


class Review(Change):
    """Review a break-glass promotion."""

    verb = "review"
    summary = "Review a break-glass promotion"
    example = 'review r4k7q --reason "v3 was down; the gates passed afterward"'
    request: RequestIdArgument
    reason: Reason


class Validate(QueryCommand):
    """Check a version against a stage's gates, without opening a request."""

    verb = "validate"
    summary = "Check gates without a request"
    example = "validate churn 4"
    quota = "comparisons"
    needs_policy = True
    model: ModelName
    version: VersionArgument
    to: Annotated[
        Stage,
        get_args(TargetArgument)[1],
        Argument("STAGE", "which stage's gates to check: staging or production", flags=("--to",)),
    ] = Stage.PRODUCTION
    validation: ResultsArgument = ()


class ListRequests(QueryCommand):
    """List the pending requests."""

    verb = "requests"
    summary = "List pending requests"
    example = "requests churn"
    needs_ledger = True
    model: OptionalModelName = None


COMMANDS: tuple[type[Command], ...] = (
    Promote,
    Validate,
    Approve,
    Reject,
    Withdraw,
    Override,
    Cancel,
    Review,
    ListRequests,
)
