"""The one way to execute a command, for Slack, the terminal, and the HTTP API."""

from __future__ import annotations

from bot.domain.commands.base import Change, Command, QueryCommand, RegistryChange
from bot.domain.core.actors import Caller
from bot.services.core.access import AccessControl
from bot.services.core.command_queue import CommandQueue
from bot.services.core.commands import ChangeHandlers, CommandResult, Origin, QueryHandlers


class CommandDispatcher:
    """Checks the caller's permission, and executes each command with its handler."""

    def __init__(
        self, access: AccessControl, queue: CommandQueue, queries: QueryHandlers, changes: ChangeHandlers
    ) -> None:
        self._access = access
        self._queue = queue
        self._queries = queries
        self._changes = changes

    def execute(self, caller: Caller, command: Command, origin: Origin) -> CommandResult:
        """Execute a command and return its result.

        A registry change is stored: `CommandQueue.execute` does the rest, since the registry can be unavailable. Raises
        Refused without permission (recorded in the audit log), and what the handler raises.
        """
        if isinstance(command, RegistryChange):
            return CommandResult(queued=self._queue.submit(caller, command, origin))
        model = getattr(command, "model", None) if isinstance(command, Change) else None
        if (permission := command.required_permission) is not None:
            self._access.require_permission(caller, permission, model=model, origin=origin.entry_point)
        if isinstance(command, QueryCommand):
            return CommandResult(view=self._queries[type(command)](command))
        assert isinstance(command, Change), f"{type(command).__name__} has no handler"
        result = self._changes[type(command)](caller, command, origin=origin.entry_point)
        return result if isinstance(result, CommandResult) else CommandResult(answer=result)
