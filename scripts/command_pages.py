"""The generated pages about commands in Slack and at the terminal, and the terminal's own list of commands."""

from __future__ import annotations

from collections.abc import Sequence

from bot.domain.commands.base import Command
from bot.domain.commands.catalog import COMMANDS, GROUPS
from bot.domain.commands.help import Help
from handlers.terminal.command_line import grammar as terminal
from handlers.terminal.command_line.index import COMMAND_GROUPS, PASSPORTS, RUN, SET_UP, VERIFY_EXIT_CODES
from handlers.terminal.command_line.json_keys import document_keys
from handlers.terminal.command_line.terminal_only_commands import Replay
from registrar.verifier import REASONS
from scripts.markdown import MADE, as_sentence, table


def commands() -> str:
    """Return docs/reference/commands.md."""
    groups = {"Getting help": (Help,)} | GROUPS
    verbs = "\n\n".join(f"## {title}\n\n" + "\n\n".join(map(_verb, group)) for title, group in groups.items())
    return f"""{MADE}

# Commands

In Slack, type `/model` followed by a command. `/model` without a command opens a menu, and `/model help VERB` shows the
help on this page. Parts in brackets are optional. You can type an argument by position or with its flag, in any order:
`promote churn 4 production` and `promote churn --version 4 --to production` are equivalent.

A *version* is `7`, `v7`, `2.1.0` (its semver), `@champion` (an alias), `staging` or `production` (the version that's
there now), or `latest`. Put text with spaces in quotes; curly quotes and long dashes from phones work, too. If you
leave something out, `promote`, `reject`, `rollback`, `monitor add`, and every command that only shows something open a
form; other commands say what's missing. If you make a typo in a verb, flag, stage, model, or version, Registrar
suggests the closest one; in Slack, a button runs the corrected command.

You can also use some commands [in the terminal](terminal.md).

{verbs}
"""


def terminal_page() -> str:
    """Return docs/reference/terminal.md: the terminal's commands, and their JSON."""
    names = ", ".join(f"`{name}`" for name in terminal.TERMINAL_COMMANDS if name in COMMANDS)
    verbs = "\n\n".join(_at_the_terminal(verb) for verb in terminal.TERMINAL_COMMANDS.values())
    return f"""{MADE}

# The terminal

`registrar` without arguments and `registrar help` list all commands by group, and exit with 0. `registrar help VERB`
prints the same as `registrar VERB --help`, and `registrar --version` prints the installed version.

These commands work as in Slack, with `registrar` instead of `/model`: {names}.
[Commands](commands.md) and `--help` describe their arguments and flags. In the terminal, your shell interprets quotes
and dashes.

- `compare` and `best` need only MLflow, not Slack or the ledger. If there's a policy file, they use its `metrics`.
- `validate` needs MLflow and the policy file. If there's a ledger, it shows how long a version has been in Staging.
- `audit` needs only the ledger in the settings. It works with or without a running bot, and changes nothing. See
  [what it proves](../operations/audit-log.md#verify).
- `policy` needs only a policy file.
- `db` needs only the ledger. [Ledger](../operations/database.md) says when to use each command.
- Registrar first records `register` in the ledger, for the operating system's user; the audit log has the command and
  its result. If MLflow doesn't respond, a running bot completes it as soon as MLflow is back. The bot posts it in the
  channel.

If `MLFLOW_TRACKING_URI` isn't set, a command that needs MLflow prints a warning on standard error before it creates or
uses the SQLite registry in `REGISTRAR_HOME`. The warning says how to keep that registry.

By default, a command prints a sentence and a table as wide as the screen, and lists the metrics that don't fit. With
`--json`, standard output contains one document and nothing else: numbers have full precision, missing values are
`null`, and keys are never renamed or removed. With `--csv`, it contains everything as CSV. If something goes wrong, the
error is on standard error, and standard output is empty.

{verbs}
"""


def _at_the_terminal(verb: type[Command]) -> str:
    forms = [[f"`{form.value}`", as_sentence(what)] for form, what in terminal.OUTPUT_FORMATS[verb].items()]
    keys = [[f"`{key}`", as_sentence(what)] for key, what in document_keys(verb).items()]
    own = [] if verb.verb in COMMANDS else [f"{verb.summary}."]
    flags = [] if verb.verb in COMMANDS else [_arguments(verb)]
    parts = [
        f"## registrar {verb.verb}",
        *own,
        f"    {terminal.usage_line(verb)}",
        *flags,
        *([table(["flags in addition to Slack's" if not own else "flag", "output"], forms)] if forms else []),
        table(["key of the JSON document" if forms else "key of each line", "value"], keys),
        f"For example: `registrar {verb.example}`",
    ]
    return "\n\n".join(parts)


def _verb(verb: type[Command]) -> str:
    listed = f"\n\n{_arguments(verb)}" if list(verb.arguments()) else ""
    return (
        f"### {verb.verb}\n\n{verb.explanation()}\n\n    {verb.usage()}{listed}\n\nFor example: `/model {verb.example}`"
    )


def _arguments(verb: type[Command]) -> str:
    rows = [
        [
            f"`{arg.placeholder}`" if arg.positional else "",
            ", ".join(f"`{flag}`" for flag in arg.flags),
            arg.help,
            "" if field.is_required() else _default(field.default),
        ]
        for _, field, arg in verb.arguments()
    ]
    return table(["argument", "flag", "meaning", "default"], rows)


def _default(value: object) -> str:
    return "none" if value in (None, "") else "no" if value is False else f"`{value}`"


def exit_codes() -> str:
    """Return docs/reference/exit-codes.md."""
    rows = [[str(code), as_sentence(what)] for code, what in terminal.EXIT_CODES.items()]
    own = [[str(code), as_sentence(what)] for code, what in VERIFY_EXIT_CODES.items()]
    reasons = [[f"`{name}`", str(code), sentence.replace("{more}", "")] for name, (code, sentence) in REASONS.items()]
    return f"""{MADE}

# Exit codes

Every `registrar` command exits with one of these codes (its exit status). [The terminal](terminal.md) describes the
commands.

{table(["code", "meaning"], rows)}

## registrar verify

It exits with 0 only if the files are those that were approved.

{table(["code", "meaning"], own)}

With `--json`, `code` is `verified` or one of these. `NotVerified.code` in
[verifier.py](https://github.com/OWNER/registrar/blob/main/registrar/verifier.py) is the same.

{table(["reason", "exit code", "message"], reasons)}
"""


def index() -> str:
    """Return the output of `registrar` without arguments.

    It's stored in a file, because reading a file is faster than loading the command definitions.
    """
    sections = {
        "Set up": SET_UP,
        "Run": RUN,
        **{
            title: _index_rows(verbs)
            for title, verbs in (GROUPS | {"Governance": (*GROUPS["Governance"], Replay)}).items()
        },
        "Ledger": {"db": COMMAND_GROUPS["db"]},
        "Passports": {"keys": COMMAND_GROUPS["keys"]} | PASSPORTS,
    }
    groups = [
        "\n".join([f"{title}:", *(f"  {name:<14}  {line}" for name, line in rows.items())])
        for title, rows in sections.items()
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


def _index_rows(commands: Sequence[type[Command]]) -> dict[str, str]:
    """Return a group's terminal commands with their summaries.

    The subcommands of a command in `COMMAND_GROUPS` share one row.
    """
    rows: dict[str, str] = {}
    for word in dict.fromkeys(verb.verb.partition(" ")[0] for verb in commands):
        named = {name: verb.summary for name, verb in terminal.TERMINAL_COMMANDS.items() if name.split()[0] == word}
        rows |= {word: COMMAND_GROUPS[word]} if word in COMMAND_GROUPS else named
    return rows
