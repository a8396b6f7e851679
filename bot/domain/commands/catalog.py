"""All commands by verb. Slack's text, its modals, the terminal, the API, and the help are generated from these."""

from __future__ import annotations

from itertools import chain

from bot.domain.commands import audit, monitoring, policy, promotions, registry, rollbacks
from bot.domain.commands.base import Command
from bot.domain.commands.help import Help

GROUPS: dict[str, tuple[type[Command], ...]] = {  # the help's groups, by title
    "Registry": registry.COMMANDS,
    "Promotion": promotions.COMMANDS,
    "Rollback": rollbacks.COMMANDS,
    "Monitoring": monitoring.COMMANDS,
    "Governance": (*policy.COMMANDS, *audit.COMMANDS),
}
_IN_ORDER: tuple[type[Command], ...] = (Help, *chain.from_iterable(GROUPS.values()))
COMMANDS = {command.verb: command for command in _IN_ORDER}
COMMAND_ALIASES = {"clear": rollbacks.Unblock.verb}  # old names that people, scripts, and stored commands still use


def find_group(topic: str) -> str | None:
    """Return the title of the group that a help topic names, such as `promotions` or `monitor`.

    Return None if it isn't a group. A command takes precedence over a group with the same name.
    """
    if topic in COMMANDS:
        return None
    return {monitoring.GROUP: "Monitoring"}.get(topic) or next(
        (title for title in GROUPS if topic.removesuffix("s") == title.lower()), None
    )
