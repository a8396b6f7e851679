"""What bare `registrar` prints: every command in one line, in groups. Light: it loads no definitions."""

from __future__ import annotations

from bot.domain.commands.help_index import CHANGE_SUMMARIES, QUERY_SUMMARIES, REQUEST_SUMMARIES

SET_UP = {
    "init": "Write a policy file with comments",
    "doctor": "Check the setup, and say what to fix and how",
    "demo": "Play through the whole story on this machine, without Slack",
    "completion": "Print the script that lets your shell complete commands",
}
RUN = {
    "run": "Serve your workspace, until Ctrl-C",
    "worker": "Do background work beside `run`, on the same PostgreSQL",
}
HISTORY_IMPORT = "Import earlier history from a CSV or JSON file; admins only"
OWN_COMMANDS = SET_UP | RUN  # commands that Slack doesn't have, and that aren't about models
COMMAND_GROUPS = {  # two-word commands
    "monitor": "Watch the version in Production",
    "policy": "Check a policy file, or show a model's rules",
    "audit": "Show, verify, or export the audit",
    "db": "Check, upgrade, back up, or move the ledger",
}
DEFAULT_SUBCOMMANDS = {
    "audit": "show",
    "policy": "show",
    "monitor": "list",
    "db": "status",
}  # if the second word is left out
_SECTIONS = {
    "Set up": SET_UP,
    "Run": RUN,
    "Look up": QUERY_SUMMARIES,
    "Request and decide": REQUEST_SUMMARIES,
    "Change": CHANGE_SUMMARIES | {"history import": HISTORY_IMPORT},
    "Monitors, policy, audit, and ledger": COMMAND_GROUPS,
}


def command_index() -> str:
    """Return every command in its group, and how to learn more."""
    groups = [
        "\n".join([f"{title}:", *(f"  {name:<14}  {line}" for name, line in rows.items())])
        for title, rows in _SECTIONS.items()
    ]
    return (
        "\n\n".join(
            [
                "Your team's model registry, run from Slack.",
                "usage: registrar COMMAND ...",
                *groups,
                "More about a command: registrar help COMMAND\nVersion: registrar --version",
            ]
        )
        + "\n"
    )
