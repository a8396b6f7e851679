"""The only way to execute a command: origins, handlers, and results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from bot.domain.commands.base import Change, Command, QueryCommand, RegistryChange
from bot.domain.core.actors import Caller
from bot.domain.core.agent import Agent
from bot.domain.core.ci_run import CiRun
from bot.domain.core.sentence import Sentence
from bot.domain.promotions.request import Request
from bot.ports import QueuedCommand
from bot.services.core.access import AccessControl


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a command comes from.

    `entry_point` goes into the audit log: "slack", "terminal", "api", or "mcp". `channel` is the Slack channel, `ci`
    the CI run, `agent` the agent. `idempotency_key` makes a repeated submission return the first command; `digest`
    identifies the content that was sent with the key.
    """

    entry_point: str
    channel: str = ""
    ci: CiRun | None = None
    agent: Agent | None = None
    idempotency_key: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """The result of a command.

    A query has a `view`, which the entry point renders. A change has an `answer`, and `fields` that programs get with
    it; if it decided a request or added a transition, `due_model` is the model with transitions to execute now.
    `queued` is set if the command is stored but not executed yet.
    """

    answer: Sentence | None = None
    view: Any = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    request: Request | None = None
    transition_id: str | None = None
    due_model: str = ""
    queued: QueuedCommand | None = None


QueryHandlers = Mapping[type[QueryCommand], Callable[[Any], Any]]  # command to view


class ChangeHandler(Protocol):
    """Executes one kind of change."""

    def __call__(self, caller: Any, command: Any, *, origin: str) -> Sentence | CommandResult:
        """Execute `command`; `origin` is the entry point, for the audit log. Raises RegistrarError."""
        ...


ChangeHandlers = Mapping[type[Change], ChangeHandler]


class RegistryChangeHandler(Protocol):
    """Executes one kind of registry change."""

    def __call__(self, queued: QueuedCommand, command: Any) -> CommandResult:
        """Execute `command`, and mark `queued` as done in the transaction that records the effect.

        It has to be idempotent: a second attempt finds what the first one did. Raises RegistrarError.
        """
        ...


RegistryChangeHandlers = Mapping[type[RegistryChange], RegistryChangeHandler]


class CommandDispatcher:
    """Checks the caller's permission, and executes each command with its handler; `submit` stores registry changes."""

    def __init__(
        self,
        access: AccessControl,
        submit: Callable[[Caller, RegistryChange, Origin], QueuedCommand],
        queries: QueryHandlers,
        changes: ChangeHandlers,
    ) -> None:
        self._access = access
        self._submit = submit
        self._queries = queries
        self._changes = changes

    def execute(self, caller: Caller, command: Command, origin: Origin) -> CommandResult:
        """Execute a command and return its result.

        A registry change is only stored, because the registry can be unavailable; `CommandQueue.execute` does the rest.
        Raises Refused without permission (recorded in the audit log), QuotaExceeded, and what the handler raises.
        """
        if isinstance(command, RegistryChange):
            return CommandResult(queued=self._submit(caller, command, origin))
        model = getattr(command, "model", None) if isinstance(command, Change) else None
        if (permission := command.required_permission) is not None:
            self._access.require_permission(caller, permission, model=model, origin=origin.entry_point)
        if command.quota is not None:
            self._access.spend_quota(caller, command.quota, origin=origin.entry_point)
        if isinstance(command, QueryCommand):
            return CommandResult(view=self._queries[type(command)](command))
        assert isinstance(command, Change), f"{type(command).__name__} has no handler"
        result = self._changes[type(command)](caller, command, origin=origin.entry_point)
        return result if isinstance(result, CommandResult) else CommandResult(answer=result)
