"""The output of `registrar` without arguments: one line per command, by group. Imports no definitions."""

from __future__ import annotations

from pathlib import Path

SET_UP = {
    "init": "Write a policy file with comments",
    "assess": "Show what an MLflow registry contains and what's wrong in it",
    "setup": "Connect a Slack workspace, step by step",
    "doctor": "Check the setup and explain how to fix problems",
    "demo": "Try Registrar on this machine, without Slack",
    "completion": "Print a completion script for your shell",
}
RUN = {
    "run": "Serve your Slack workspace until you press Ctrl-C",
    "worker": "Do background work alongside `run`, on one PostgreSQL",
    "mcp": "Let an agent ask, over MCP; people decide in Slack",
}
PASSPORTS = {"verify": "Check that files are what was approved, before you load them"}
OWN_COMMANDS = SET_UP | RUN | PASSPORTS  # commands that Slack doesn't have and that aren't about models
VERIFY_EXIT_CODES = {
    1: "MLflow refused the call",
    2: "the command line, a key, the bundle's file, or the token is wrong",
    3: "Registrar or MLflow isn't responding",
    4: "the passport or the status list isn't valid anymore",
    6: "the files aren't those that were approved",
    7: "there's no passport, or not yet",
    8: "a signature or a document isn't authentic",
    9: "the passport is for something else",
}
COMMAND_GROUPS = {  # two-word commands
    "monitor": "Manage the monitors of Production versions",
    "policy": "Check a policy file, or show a model's rules",
    "audit": "Show, verify, or export the audit log",
    "db": "Check, upgrade, back up, or move the ledger",
    "keys": "Create, replace, or list the keys that sign passports",
}
DEFAULT_SUBCOMMANDS = {
    "audit": "show",
    "policy": "show",
    "monitor": "list",
    "db": "status",
    "keys": "list",
}  # if the second word is left out


def command_index() -> str:
    """Return the list of commands, by group. scripts/docs.py generates it from the definitions."""
    return Path(__file__).with_name("index.txt").read_text(encoding="utf-8")
