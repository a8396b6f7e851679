"""What commands have in common: their permissions, results, and handlers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from bot.domain.commands.base import Command
from bot.domain.commands.changes import Archive, Describe, Register, Rollback, SetTags
from bot.domain.commands.requests import Promote
from bot.domain.core.ci_run import CiRun
from bot.domain.core.errors import (
    Refused,
)
from bot.domain.core.sentence import Sentence
from bot.domain.policy.authorization import Permission
from bot.domain.promotions.request import Request
from bot.ports import QueuedCommand

CANCELLED_ERROR = "CalledOff"  # stored in place of an error if the caller cancelled the command
PERMISSIONS: dict[type[Command], Permission] = {
    Promote: Permission.REQUEST,
    Register: Permission.REGISTER,
    Describe: Permission.DESCRIBE,
    SetTags: Permission.TAG,
    Archive: Permission.ARCHIVE,
    Rollback: Permission.ROLL_BACK,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientContext:
    """How a command arrived from outside Slack.

    `ci` is the CI run that sent it. `idempotency_key` makes a repeated submission return the first command; `digest`
    identifies the content that was sent with the key.
    """

    ci: CiRun | None = None
    idempotency_key: str | None = None
    digest: str | None = None


class IdempotencyKeyReused(Refused):
    """The idempotency key was used before with different content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """The result of a command: an answer, the request that it opened, or a transition to execute now."""

    answer: Sentence | None = None
    request: Request | None = None
    transition_id: str | None = None
    model: str = ""  # the model of the transition


def permission_for(command: Command) -> Permission:
    """Return the permission that a command needs."""
    return (
        Permission.BREAK_GLASS if isinstance(command, Promote) and command.break_glass else PERMISSIONS[type(command)]
    )


class CommandHandler(Protocol):
    """Executes one kind of command."""

    def __call__(self, queued: QueuedCommand, command: Any) -> CommandResult:
        """Execute `command`, and mark `queued` as done in the transaction that records the effect.

        It has to be idempotent: a second attempt finds what the first one did. Raises RegistrarError.
        """
        ...
