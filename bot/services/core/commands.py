"""TODO bot.services.core.commands"""

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

CANCELLED_ERROR = "CalledOff"  # in the place of an error: who asked took it back


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
    """How something was asked for from outside Slack.

    `key` is the caller's own word for it, with which a second ask is none; `digest` tells what was sent with it. `ci`
    is the run in which a program asks.
    """

    ci: CiRun | None = None
    idempotency_key: str | None = None
    digest: str | None = None


class IdempotencyKeyReused(Refused):
    """The key came with something else before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """What came of an ask: the answer, the request that was opened, or a move that has to be made now."""

    answer: Sentence | None = None
    request: Request | None = None
    transition_id: str | None = None  # its id
    model: str = ""  # whose move it is


def permission_for(command: Command) -> Permission:
    """Return what somebody does who asks for this."""
    return (
        Permission.BREAK_GLASS if isinstance(command, Promote) and command.break_glass else PERMISSIONS[type(command)]
    )


class CommandHandler(Protocol):
    """Whoever carries out one kind of command."""

    def __call__(self, queued: QueuedCommand, command: Any) -> CommandResult:
        """Do it, and end the ask in the transaction that writes down what was done.

        Doing it a second time finds what the first try did.
        """
        ...
