"""Generate the pages of docs/ and the terminal's list of commands from the program's definitions.

With `--check`, write nothing, and exit with 1 if a page is out of date.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from scripts.audit_page import audit
from scripts.interface_pages import api, metrics, policy
from scripts.markdown import DOCS, MADE, ROOT, as_sentence, comments, replace_between, table

sys.path.insert(0, str(ROOT))

from bot.domain.commands.base import Command
from bot.domain.commands.catalog import COMMANDS, GROUPS
from bot.domain.commands.help import Help
from bot.domain.core.durations import format_duration
from bot.domain.policy.authorization import PERMISSION_RULES, Grantee, Permission, PermissionRule
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.registry.model_card import ModelCard, ValueOrigin
from bot.settings import Settings
from handlers.terminal.command_line import grammar as terminal
from handlers.terminal.command_line.document_keys import document_keys
from handlers.terminal.command_line.index import COMMAND_GROUPS, RUN, SET_UP
from scripts.architecture import layer_table, picture
from scripts.code_tour import code_tour
from scripts.messages_page import messages
from scripts.vocabulary import vocabulary

# The scopes that the bot needs for each Web API method that it calls, and why. They're from Slack's pages,
# https://docs.slack.dev/reference/methods. If a method accepts several scopes, only those for the kinds of
# conversations that Registrar uses are listed.
METHODS: dict[str, tuple[tuple[str, ...], str]] = {
    "auth.test": ((), "learn which workspace the token belongs to"),
    "chat.postMessage": (("chat:write",), "post a request's card, updates in its thread, and direct messages"),
    "chat.update": (("chat:write",), "keep the card current, and remove its buttons once the request is decided"),
    "chat.delete": (("chat:write",), "delete its own message if two processes posted it"),
    "chat.getPermalink": ((), "link to the message about what ended an alert"),
    "chat.postEphemeral": (("chat:write",), "answer a person so that only they see it"),
    "chat.unfurl": (("links:write",), "show a version's state below a link to its page in MLflow"),
    "conversations.list": (("channels:read", "groups:read"), "find the ID of a channel that the policy names with `#`"),
    "conversations.info": (("channels:read", "groups:read"), "let `registrar doctor` look up a channel by its ID"),
    "conversations.history": (
        ("channels:history", "groups:history", "im:history"),
        "after a lost response, check whether the message was already posted before posting it again",
    ),
    "conversations.replies": (("channels:history", "groups:history"), "do the same check in a card's thread"),
    "files.upload.v2": (
        ("files:write",),
        "upload charts, and comparisons too large for a message, to a thread or direct messages",
    ),
    "conversations.open": (("im:write",), "open the conversation for a direct message"),
    "users.info": (
        ("users:read",),
        "check at every decision whether the person is a guest, a bot, deactivated, or from another workspace",
    ),
    "users.list": (("users:read",), "let `registrar setup` offer people as approvers"),
    "bots.info": (("users:read",), "let `registrar setup` check that both tokens belong to one app"),
    "usergroups.list": (("usergroups:read",), "get the names and members of all user groups in one call"),
    "usergroups.users.list": (("usergroups:read",), "get one group's members, on a server that doesn't list them all"),
    "blocks.validate": ((), "let `registrar doctor` check whether Slack accepts Registrar's largest card"),
    "apps.connections.open": ((), "open a Socket Mode connection, also from `registrar setup` and `doctor --live`"),
    "views.open": ((), "open a form"),
    "views.publish": ((), "show a person's Home tab"),
    "views.update": ((), "fill in the details once the registry has responded"),
}
# Scopes without a method.
FEATURES: dict[str, str] = {
    "commands": "provide the command `/model`",
    "app_mentions:read": "answer people who mention the bot (the event `app_mention`)",
    "links:read": "get notified of links to MLflow (the event `link_shared`)",
    "chat:write.public": "post in a public channel that the bot hasn't been invited to",
}


def scopes() -> dict[str, str]:
    """Return every scope that the app requests, with its reason."""
    needed = dict(FEATURES)
    for asked, _ in METHODS.values():
        for scope in asked:
            methods = [name for name, (others, _) in METHODS.items() if scope in others]
            needed[scope] = "; ".join(f"{METHODS[name][1]} (`{name}`)" for name in methods)
    return dict(sorted(needed.items()))


def commands() -> str:
    """Return docs/commands.md."""
    groups = {"Getting help": (Help,)} | GROUPS
    verbs = "\n\n".join(f"## {title}\n\n" + "\n\n".join(map(_verb, group)) for title, group in groups.items())
    return f"""{MADE}

# Commands

In Slack, type `/model` followed by a command. `/model` without a command opens a menu, and `/model help VERB` shows the
help on this page. Parts in brackets are optional. You can type an argument in its place or with its flag, in any order:
`promote churn 4 production` and `promote churn --version 4 --to production` are equivalent.

A *version* is `7`, `v7`, `2.1.0` (its semver), `@champion` (an alias), `staging` or `production` (the version that's
there now), or `latest`. Put text with spaces in quotes; curly quotes and long dashes from phones work, too. If you
leave something out, `promote`, `reject`, `rollback`, `monitor add`, and every command that only shows something open a
form, and other commands say what's missing. If you make a typo in a verb, flag, stage, model, or version, Registrar
suggests the closest one; in Slack, a button runs the corrected command.

You can also use some commands [in the terminal](#at-the-terminal).

{verbs}

{_terminal()}
"""


def index() -> str:
    """Return the output of `registrar` without arguments. A stored file is faster than loading the definitions."""
    sections = {
        "Set up": SET_UP,
        "Run": RUN,
        **{title: _index_rows(verbs) for title, verbs in GROUPS.items()},
        "Ledger": {"db": COMMAND_GROUPS["db"]},
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
    """Return a group's commands at the terminal, where some are groups of subcommands, with their summaries."""
    rows: dict[str, str] = {}
    for word in dict.fromkeys(verb.verb.partition(" ")[0] for verb in commands):
        named = {name: verb.summary for name, verb in terminal.TERMINAL_COMMANDS.items() if name.split()[0] == word}
        rows |= {word: COMMAND_GROUPS[word]} if word in COMMAND_GROUPS else named
    return rows


def _terminal() -> str:
    """Return the section about the terminal: its verbs, their JSON, and its exit codes."""
    names = ", ".join(f"`{name}`" for name in terminal.TERMINAL_COMMANDS if name in COMMANDS)
    verbs = "\n\n".join(_at_the_terminal(verb) for verb in terminal.TERMINAL_COMMANDS.values())
    codes = table(["code", "meaning"], [[str(code), as_sentence(what)] for code, what in terminal.EXIT_CODES.items()])
    return f"""## At the terminal

`registrar` without arguments and `registrar help` list every command in groups, and exit with 0. `registrar help VERB`
prints the same as `registrar VERB --help`, and `registrar --version` prints the installed version.

These commands work as in Slack, with `registrar` instead of `/model`: {names}.
Their arguments and flags are described above and by `--help`. In the terminal, your shell interprets quotes and dashes.

- `compare` and `best` need only MLflow, not Slack or the ledger. If there's a policy file, they use its `metrics`.
- `validate` needs MLflow and the policy file. If there's a ledger, it shows how long a version has been in Staging.
- `audit` needs only the ledger in the settings. It works with or without a running bot, and changes nothing. See
  [what it proves](audit.md#verify).
- `policy` needs only a policy file.
- `db` needs only the ledger. [databases.md](databases.md) says when to use each command.
- `register` is recorded in the ledger first, for the operating system's user; the audit log has the command and its
  result. If MLflow doesn't respond, a running bot completes it as soon as MLflow is back. The bot posts it in the
  channel.

If `MLFLOW_TRACKING_URI` isn't set, a command that needs MLflow prints a warning on standard error before it creates or
uses the SQLite registry in `REGISTRAR_HOME`. The warning says how to keep that registry.

By default, a command prints a sentence and a table as wide as the screen, and lists the metrics that don't fit. With
`--json`, standard output contains one document and nothing else: numbers have full precision, missing values are
`null`, and keys are never renamed or removed. With `--csv`, it contains everything as CSV. If something goes wrong, the
error is on standard error, and standard output is empty.

{verbs}

### Exit codes

{codes}"""


def _at_the_terminal(verb: type[Command]) -> str:
    forms = [[f"`{form.value}`", as_sentence(what)] for form, what in terminal.OUTPUT_FORMATS[verb].items()]
    keys = [[f"`{key}`", as_sentence(what)] for key, what in document_keys(verb).items()]
    own = [] if verb.verb in COMMANDS else [f"{verb.summary}."]
    flags = [] if verb.verb in COMMANDS else [_arguments(verb)]
    parts = [
        f"### registrar {verb.verb}",
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


def settings() -> str:
    """Return docs/settings.md."""
    rows = [
        [f"`{field.alias}`", _setting_default(field.default), as_sentence(str(field.description))]
        for field in Settings.model_fields.values()
    ]
    return f"""{MADE}

# Settings

Registrar reads these environment variables once, at startup. If one is invalid, `registrar run` names it and exits.
MLflow reads its own credentials, such as `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_TOKEN`.
Permissions are in the [policy file](policy.md), not here.

{table(["variable", "default", "description"], rows)}
"""


def _setting_default(value: object) -> str:
    return "not set" if value in (None, ()) else f"`{value}`"


def authority() -> str:
    """Return docs/authority.md."""
    acts, asked_for = comments(Permission), _asked_for()
    rows = [
        [
            f"`{act.value}`",
            acts[act.name],
            _whom(row),
            _yes(row.guests),
            _yes(row.programs),
            _yes(row.automations),
            _yes(row.terminal),
            _yes(act.name in asked_for),
        ]
        for act, row in PERMISSION_RULES.items()
    ]
    whom = [[f"*{who.name.lower().replace('_', ' ')}*", comments(Grantee)[who.name]] for who in Grantee]
    head = ["permission", "meaning", "who", "guests", "programs", "automations", "any terminal", "in use"]
    return f"""{MADE}

# Who can do what

This table lists every permission. Slack's commands, buttons, and forms check it, and so do the terminal, the API, and
jobs. A click is checked again, using what Slack says about the person at that time. Every refusal says why, and is
recorded in the [audit log](audit.md).

{table(head, rows)}

*Guests* are single- and multi-channel guests. *Programs* are the policy's `clients`. *Automations* are Registrar's own
jobs. Bots, deactivated accounts, and people from other workspaces can't do anything, no matter what the policy says.

{table(["who", "meaning"], whom)}
"""


def _whom(row: PermissionRule) -> str:
    return f"*{row.grantee.name.lower().replace('_', ' ')}*"


def _yes(true: bool) -> str:
    return "yes" if true else ""


def _asked_for() -> set[str]:
    """Return the names of the permissions that the program uses."""
    folders = ("bot/domain/commands", "bot/services", "handlers")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return {
        node.attr
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Permission"
    }


def slack(page: str) -> str:
    """Return docs/slack.md: the text in `page`, with the generated scopes between its marks."""
    made = table(["scope", "purpose"], [[f"`{scope}`", as_sentence(why)] for scope, why in scopes().items()])
    return replace_between(page, "scopes", made)


def monitoring(page: str) -> str:
    """Return docs/monitoring.md: the text in `page`, with the generated fields of a monitor between its marks."""
    rows = [
        [f"`{name}`", _field_default(field), as_sentence(str(field.description))]
        for name, field in MonitorConfig.model_fields.items()
    ]
    return replace_between(page, "fields", table(["field", "default", "meaning"], rows))


def _field_default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None or value == "":
        return "not set"
    return f"`{format_duration(value) if isinstance(value, timedelta) else value}`"


def architecture(page: str) -> str:
    """Return docs/architecture.md: the text in `page`, with the generated layers and code tour between its marks."""
    return replace_between(replace_between(page, "layers", layer_table()), "tour", code_tour())


def metadata() -> str:
    """Return docs/metadata.md."""
    rows = [
        [f"`{name}`", next(one.description for one in field.metadata if isinstance(one, ValueOrigin))]
        for name, field in ModelCard.model_fields.items()
    ]
    return f"""{MADE}

# Model cards

To see a version's model card, type `/model show MODEL VERSION` or click *Details*. The card shows every field with its
value, or *missing*, and how complete it is. If a field has several sources, the first one with a value is used.

{table(["field", "source"], rows)}
"""


# By path, relative to the repository.
PAGES: dict[str, Callable[[], str]] = {
    "handlers/terminal/command_line/index.txt": index,
    "docs/commands.md": commands,
    "docs/settings.md": settings,
    "docs/authority.md": authority,
    "docs/audit.md": audit,
    "docs/metadata.md": metadata,
    "docs/reference/messages.md": messages,
    "docs/reference/vocabulary.md": vocabulary,
    "docs/pictures/architecture.svg": picture,
    "docs/architecture.md": lambda: architecture((DOCS / "architecture.md").read_text(encoding="utf-8")),
    "docs/slack.md": lambda: slack((DOCS / "slack.md").read_text(encoding="utf-8")),
    "docs/monitoring.md": lambda: monitoring((DOCS / "monitoring.md").read_text(encoding="utf-8")),
    "docs/policy.md": lambda: policy((DOCS / "policy.md").read_text(encoding="utf-8")),
    "docs/metrics.md": lambda: metrics((DOCS / "metrics.md").read_text(encoding="utf-8")),
    "docs/api.md": lambda: api((DOCS / "api.md").read_text(encoding="utf-8")),
}


def stale() -> Iterator[tuple[Path, str]]:
    """Yield the pages that are out of date, each with its new text."""
    for name, make in PAGES.items():
        path, text = ROOT / name, make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield path, text


def main(argv: list[str] | None = None) -> int:
    """Write the pages, or list those that are out of date; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is out of date")
    only_checks: Any = parser.parse_args(argv).check
    found = list(stale())
    for path, text in found:
        print(f"{path.relative_to(ROOT)}: {'out of date' if only_checks else 'written'}")
        if not only_checks:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if only_checks and found else 0


if __name__ == "__main__":
    sys.exit(main())
