"""Write the generated pages of docs/ and the terminal's list of commands anew, from the definitions of the program.

`--check` writes nothing, and exits with 1 where a page is not what it would be.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from scripts.audit_page import audit
from scripts.interface_pages import api, metrics, policy
from scripts.markdown import DOCS, MADE, ROOT, as_sentence, comments, replace_between, table

sys.path.insert(0, str(ROOT))

from bot.domain.commands import promotions
from bot.domain.commands.base import Command, QueryCommand
from bot.domain.commands.catalog import COMMANDS
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

# Which scopes the bot needs for each Web API method that it calls, and what for. The scopes are those of
# Slack's own pages, https://docs.slack.dev/reference/methods; of several that a method takes only those are here
# whose kind of conversation we call it for.
METHODS: dict[str, tuple[tuple[str, ...], str]] = {
    "auth.test": ((), "learn which workspace the token belongs to"),
    "chat.postMessage": (("chat:write",), "post a request's card, news in its thread, and direct messages"),
    "chat.update": (("chat:write",), "keep the card current, and take its buttons away when it is decided"),
    "chat.delete": (("chat:write",), "take back a message of its own that two processes have posted"),
    "chat.getPermalink": ((), "link to the message that tells what ended an alert"),
    "chat.postEphemeral": (("chat:write",), "answer the person who asked, and nobody else"),
    "conversations.list": (("channels:read", "groups:read"), "find the id of a channel that the policy names with `#`"),
    "conversations.info": (("channels:read", "groups:read"), "let `registrar doctor` see a channel by its id"),
    "conversations.history": (
        ("channels:history", "groups:history", "im:history"),
        "after a lost answer, look whether the message stands already, before it is posted again",
    ),
    "conversations.replies": (("channels:history", "groups:history"), "look for it in a card's thread, too"),
    "files.upload.v2": (
        ("files:write",),
        "put charts, and what a comparison's table cannot hold, into a thread or direct messages",
    ),
    "conversations.open": (("im:write",), "find the conversation with a person who is told something directly"),
    "users.info": (
        ("users:read",),
        "ask at every decision whether the person is a guest, a bot, deactivated, or of another workspace",
    ),
    "usergroups.list": (("usergroups:read",), "ask who is in the user groups, and what they're called, in one call"),
    "usergroups.users.list": (("usergroups:read",), "ask who is in one group, on a server that doesn't list them all"),
    "blocks.validate": ((), "let `registrar doctor` ask whether our largest card would be taken"),
    "apps.connections.open": ((), "let `registrar doctor --live` open a Socket Mode connection, as Bolt does"),
    "views.open": ((), "open a form"),
    "views.publish": ((), "show somebody their Home: what waits for them, and what serves"),
    "views.update": ((), "fill the details when the registry has answered"),
}
# Scopes that belong to no method.
FEATURES: dict[str, str] = {
    "commands": "have the command `/model`",
    "chat:write.public": "post in a public channel that nobody has invited the bot to yet",
}


def scopes() -> dict[str, str]:
    """Return every scope that the app asks for, with its reason."""
    needed = dict(FEATURES)
    for asked, _ in METHODS.values():
        for scope in asked:
            methods = [name for name, (others, _) in METHODS.items() if scope in others]
            needed[scope] = "; ".join(f"{METHODS[name][1]} (`{name}`)" for name in methods)
    return dict(sorted(needed.items()))


def commands() -> str:
    """Return docs/commands.md."""
    verbs = "\n\n".join(_verb(verb) for verb in COMMANDS.values())
    return f"""{MADE}

# What you can type

In Slack behind `/model`; `/model` alone opens a menu, and `/model help VERB` shows what stands here. Parts in brackets
can be left out. An argument with a flag can be given in its place or by its flag, in any order:
`promote churn 4 production` and `promote churn --version 4 --to production` are the same.

A *version* is `7`, `v7`, `2.1.0` (its semver), `@champion` (an alias), `staging` or `production` (who is there now), or
`latest`. Texts with spaces stand in quotes; the curly quotes and long dashes of phones are understood. What is missing
of `promote` and `reject` is asked for in a form, of other verbs in a sentence; a typo is answered with the nearest
verb, flag, stage or model.

Some verbs are typed [at the terminal](#at-the-terminal), too.

{verbs}

{_terminal()}
"""


def index() -> str:
    """Return what bare `registrar` prints: reading it is quicker than loading the definitions."""
    listed = [verb for name, verb in terminal.TERMINAL_COMMANDS.items() if name.partition(" ")[0] not in COMMAND_GROUPS]
    queries = {verb.verb: verb.summary for verb in listed if issubclass(verb, QueryCommand)}
    about_requests = {verb.verb for verb in promotions.COMMANDS} - queries.keys()
    changes = {verb.verb: verb.summary for verb in listed if verb.verb not in queries.keys() | about_requests}
    sections = {
        "Set up": SET_UP,
        "Run": RUN,
        "Look up": queries,
        "Request and decide": {verb.verb: verb.summary for verb in listed if verb.verb in about_requests},
        "Change": changes,
        "Monitors, policy, audit, and ledger": COMMAND_GROUPS,
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


def _terminal() -> str:
    """Return the chapter about the terminal: its verbs, their JSON, its exit codes."""
    names = ", ".join(f"`{name}`" for name in terminal.TERMINAL_COMMANDS if name in COMMANDS)
    verbs = "\n\n".join(_at_the_terminal(verb) for verb in terminal.TERMINAL_COMMANDS.values())
    codes = table(["code", "means"], [[str(code), as_sentence(what)] for code, what in terminal.EXIT_CODES.items()])
    return f"""## At the terminal

`registrar` alone and `registrar help` list every command in groups, and exit with 0. `registrar help VERB` prints what
`registrar VERB --help` does, and `registrar --version` the installed version.

{names} are typed as in Slack, with `registrar` in place of `/model`; what the words
and flags mean stands above, and is shown by `--help`. Quotes and dashes are read by your shell there.

`compare` and `best` need MLflow only: no Slack, no ledger, and of a policy file, where there is one, its `directions`.
`validate` needs MLflow and the policy file; where there is a ledger, it says how long a version has been in Staging.
`audit` needs the ledger only, as the settings name it: it works beside a running bot and without one, and makes or
changes nothing. [What it proves](audit.md#verify) stands there. `policy` needs a policy file and nothing else.
`db` needs the ledger only, too; [databases.md](databases.md) says when which of its verbs is right.
Where `MLFLOW_TRACKING_URI` isn't set, a verb that asks MLflow warns on standard error, before it creates or uses the
SQLite registry in `REGISTRAR_HOME`; the warning says how to keep that registry without it.
`register` is written down in the ledger first, as what the operating system's user asks for; the audit keeps it and
what came of it. Where MLflow does not answer, a running bot does it as soon as it does. The bot tells the channel.

For people there is a sentence and a table as wide as the screen; the metrics that do not fit are named. With `--json`
standard output holds one document and nothing else: numbers in full precision, what is missing is `null`, and no key
is renamed or taken away. With `--csv` it holds everything as CSV. Whatever went wrong is said on standard error, and
standard output stays empty.

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
        *([table(["beside its flags in Slack" if not own else "flag", "gives"], forms)] if forms else []),
        table(["key of the JSON document" if forms else "key of each line", "holds"], keys),
        f"For example: `registrar {verb.example}`",
    ]
    return "\n\n".join(parts)


def _verb(verb: type[Command]) -> str:
    listed = f"\n\n{_arguments(verb)}" if list(verb.arguments()) else ""
    return f"## {verb.verb}\n\n{verb.summary}.\n\n    {verb.usage()}{listed}\n\nFor example: `/model {verb.example}`"


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
    return table(["in its place", "by flag", "means", "if left out"], rows)


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

Read from the environment once, when `registrar run` starts; a wrong one is told by its name, and nothing is served.
MLflow's own credentials (`MLFLOW_TRACKING_USERNAME`, `MLFLOW_TRACKING_TOKEN` and the like) are read by MLflow itself.
What is allowed to whom is not here but in the [policy file](policy.md).

{table(["variable", "default", "what it is"], rows)}
"""


def _setting_default(value: object) -> str:
    return "not set" if value is None else f"`{value}`"


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
    head = ["act", "means", "who", "guests", "programs", "automations", "any terminal", "asked for today"]
    return f"""{MADE}

# Who may do what

One table for every act there is. Slack's commands, buttons and forms ask it, and so do the jobs; at a click it is asked
again, with what Slack says of the person at that moment. Every refusal says why, and is kept in the
[audit](audit.md). An act that nothing asks for today stands here already, so that it is decided once.

{table(head, rows)}

*Guests* are single- and multi-channel guests. *Programs* are the policy's `clients`. *Automations* are Registrar's own
jobs. Bots, deactivated accounts and people of other workspaces never act, whatever the policy says.

{table(["who", "means"], whom)}
"""


def _whom(row: PermissionRule) -> str:
    return f"*{row.grantee.name.lower().replace('_', ' ')}*"


def _yes(true: bool) -> str:
    return "yes" if true else ""


def _asked_for() -> set[str]:
    """Return the names of the acts that the program asks about somewhere."""
    folders = ("bot/domain/commands", "bot/services", "handlers")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return {
        node.attr
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Permission"
    }


def slack(page: str) -> str:
    """Return docs/slack.md: what people wrote in `page`, with the scopes between its marks made anew."""
    made = table(["scope", "what it is for"], [[f"`{scope}`", as_sentence(why)] for scope, why in scopes().items()])
    return replace_between(page, "scopes", made)


def monitoring(page: str) -> str:
    """Return docs/monitoring.md: what people wrote in `page`, with the fields of a monitor between its marks."""
    rows = [
        [f"`{name}`", _field_default(field), as_sentence(str(field.description))]
        for name, field in MonitorConfig.model_fields.items()
    ]
    return replace_between(page, "fields", table(["field", "default", "what it is"], rows))


def _field_default(field: Any) -> str:
    if field.is_required():
        return "must be said"
    value = field.default
    if value is None or value == "":
        return "left out"
    return f"`{format_duration(value) if isinstance(value, timedelta) else value}`"


def architecture(page: str) -> str:
    """Return docs/architecture.md: what people wrote in `page`, with the layers and the code tour between its marks."""
    return replace_between(replace_between(page, "layers", layer_table()), "tour", code_tour())


def metadata() -> str:
    """Return docs/metadata.md."""
    rows = [
        [f"`{name}`", next(one.description for one in field.metadata if isinstance(one, ValueOrigin))]
        for name, field in ModelCard.model_fields.items()
    ]
    return f"""{MADE}

# The metadata card

`/model show MODEL VERSION` and the button *Details* show it: every field with its value, or *missing*, and how much
of it is filled. Of several sources the first that has a value counts.

{table(["field", "where it comes from"], rows)}
"""


# By path from the top of the repository.
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
    """Yield the pages that are not what they would be, each with what it would be."""
    for name, make in PAGES.items():
        path, text = ROOT / name, make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield path, text


def main(argv: list[str] | None = None) -> int:
    """Write the pages, or tell which are stale; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a page is stale")
    only_checks: Any = parser.parse_args(argv).check
    found = list(stale())
    for path, text in found:
        print(f"{path.relative_to(ROOT)}: {'stale' if only_checks else 'written'}")
        if not only_checks:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if only_checks and found else 0


if __name__ == "__main__":
    sys.exit(main())
