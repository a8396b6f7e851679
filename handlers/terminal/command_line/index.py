"""What bare `registrar` prints: every command in one line, in groups. Light: it loads no definitions."""

from __future__ import annotations

from pathlib import Path

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


def command_index() -> str:
    """Return every command in its group, and how to learn more; scripts/docs.py writes it from the definitions."""
    return Path(__file__).with_name("index.txt").read_text(encoding="utf-8")
