"""All commands by verb. Slack's text, its modals, the terminal, the API, and the help are generated from these."""

from __future__ import annotations

from bot.domain.commands import audit, monitoring, policy, promotions, registry, rollbacks
from bot.domain.commands.base import Command
from bot.domain.commands.help import Help

_IN_ORDER: tuple[type[Command], ...] = (
    Help,
    *registry.COMMANDS,
    *promotions.COMMANDS,
    *rollbacks.COMMANDS,
    *policy.COMMANDS,
    *audit.COMMANDS,
    *monitoring.COMMANDS,
)
COMMANDS = {command.verb: command for command in _IN_ORDER}
COMMAND_ALIASES = {"clear": rollbacks.Unblock.verb}  # old names that people, scripts, and stored commands still use
