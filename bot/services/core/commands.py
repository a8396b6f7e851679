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
from bot.domain.core.sentence import Say
from bot.domain.policy.authorization import Act
from bot.domain.promotions.request import Request
from bot.ports import Ask

CALLED_OFF = "CalledOff"  # in the place of an error: who asked took it back


ACTS: dict[type[Command], Act] = {
    Promote: Act.ASK,
    Register: Act.REGISTER,
    Describe: Act.DESCRIBE,
    SetTags: Act.TAG,
    Archive: Act.ARCHIVE,
    Rollback: Act.ROLL_BACK,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """How something was asked for from outside Slack.

    `key` is the caller's own word for it, with which a second ask is none; `digest` tells what was sent with it. `ci`
    is the run in which a program asks.
    """

    ci: CiRun | None = None
    key: str | None = None
    digest: str | None = None


class AnotherAsk(Refused):
    """The key came with something else before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of an ask: the answer, the request that was opened, or a move that has to be made now."""

    answer: Say | None = None
    request: Request | None = None
    move: str | None = None  # its id
    model: str = ""  # whose move it is


def act_of(command: Command) -> Act:
    """Return what somebody does who asks for this."""
    return Act.BREAK_GLASS if isinstance(command, Promote) and command.break_glass else ACTS[type(command)]


class Hand(Protocol):
    """Whoever carries out one kind of command."""

    def __call__(self, ask: Ask, command: Any) -> Done:
        """Do it, and end the ask in the transaction that writes down what was done.

        Doing it a second time finds what the first try did.
        """
        ...
