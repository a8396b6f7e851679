"""How a line of the terminal is read: Slack's grammar, some verbs more, and flags that say in what form to answer."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from bot.domain.commands import catalog
from bot.domain.commands.base import Arg, Command, MissingArguments
from bot.domain.commands.parser import parse_behind
from bot.domain.commands.queries import Best, Compare, Help, ShowAudit, ShowPolicy
from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import Code, Name, Say, clean, say
from handlers.terminal.command_line.commands import (
    AuditExport,
    AuditShow,
    AuditVerify,
    DbAccept,
    DbBackup,
    DbCopy,
    DbDropPending,
    DbStatus,
    DbUpgrade,
    HistoryImport,
    PolicyCheck,
    PolicyShow,
    PromoteHere,
)
from handlers.terminal.command_line.document_keys import keys_of
from handlers.terminal.command_line.index import GROUPS, MEANT

# Slack's verbs; of some the terminal has its own kin, with more to say.
VERBS: dict[str, type[Command]] = {
    name: verb for name, verb in catalog.VERBS.items() if verb not in {Help, ShowAudit, ShowPolicy}
} | {
    verb.verb: verb
    for verb in (
        PromoteHere,
        AuditShow,
        AuditVerify,
        AuditExport,
        PolicyShow,
        PolicyCheck,
        DbStatus,
        DbUpgrade,
        DbBackup,
        DbCopy,
        DbAccept,
        DbDropPending,
        HistoryImport,
    )
}
EXIT_CODES = {
    0: "done",
    1: "refused by the rules, by people or by MLflow, a gate fails, or the audit is not whole",
    2: "what was typed or configured is wrong",
    3: "MLflow, the ledger or the bot does not answer",
    4: "the request expired, is out of date, or was cancelled",
    5: "the wait ended first; the request goes on",
}


class Form(Enum):
    """In what form to answer; the value is the flag that asks for it."""

    PEOPLE = ""  # a sentence and a table
    JSON = "--json"  # one JSON document and nothing else; what is missing is null
    CSV = "--csv"  # everything as CSV, numbers in full precision; what is missing is empty


_CSV: dict[type[Command], str] = {Compare: "the whole table as CSV", Best: "the winner as CSV, one row"}
FORMS: dict[type[Command], dict[Form, str]] = {
    verb: {Form.JSON: "one JSON document on standard output, and nothing else there"}
    | ({Form.CSV: _CSV[verb]} if verb in _CSV else {})
    for verb in VERBS.values()
} | {AuditExport: {}}  # whose form is its format


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed: a command, or Help about a verb of the terminal."""

    command: Command
    form: Form

    @property
    def group(self) -> str:
        """The first of a verb's two words, or nothing for a verb of one."""
        return self.command.verb.rpartition(" ")[0]


def read(words: Sequence[str], beside: Iterable[str]) -> Asked:
    """Return what the words mean, a verb first. `beside` names the commands that are no verbs.

    Raises BadInput with the nearest verb, or with what is wrong behind it.
    """
    if words[0].lower() in GROUPS and {*words[1:]} in ({"--help"}, {"-h"}):
        return Asked(Help(about=words[0].lower()), Form.PEOPLE)
    verb, words = find_verb(words, beside)
    end = words.index("--") if "--" in words else len(words)
    forms = [form for form in FORMS[verb] if form.value in words[:end]]
    if len(forms) > 1:
        raise BadInput(say("Choose one of {forms}.", forms=[Code(form.value) for form in forms]))
    flags = {form.value for form in forms}
    left = [word for word in words[:end] if word not in flags]
    try:
        command = parse_behind(verb, [clean(word) for word in [*left, *words[end:]]])
    except MissingArguments as error:
        error.sentence = Say(error.sentence.template, dict(error.sentence.args) | {"usage": Code(usage(verb))})
        raise
    return Asked(command, forms[0] if forms else Form.PEOPLE)


def find_verb(words: Sequence[str], beside: Iterable[str]) -> tuple[type[Command], Sequence[str]]:
    """Return the verb, and the words behind it.

    Raises BadInput with the nearest one, or with where there is such a verb.
    """
    word = words[0]
    wanted = catalog.ALIASES.get(word.lower(), word.lower())
    longer = f"{wanted} {words[1].lower()}" if len(words) > 1 else ""
    if wanted in VERBS and longer in VERBS:  # a model of that name is given with its flag
        return VERBS[longer], words[2:]
    if wanted in GROUPS:
        return _within(wanted, words[1:])
    if wanted in VERBS:
        return VERBS[wanted], words[1:]
    near = difflib.get_close_matches(wanted, [*VERBS, *GROUPS, *beside], n=1, cutoff=0.5)
    if near:
        raise BadInput(
            say(
                "Unknown command {word}. Did you mean {near}?",
                word=Name(word[:60]),
                near=Code(f"{_begins(words)} {near[0]}"),
            )
        )
    raise BadInput(say("Unknown command {word}. {help} lists them all.", word=Name(word[:60]), help=Code(HELP)))


def _within(group: str, words: Sequence[str]) -> tuple[type[Command], Sequence[str]]:
    """Return the verb of a group. Raises BadInput for a word that is nearly one: it would be taken for a model's."""
    wanted = words[0].lower() if words else ""
    if f"{group} {wanted}" in VERBS:
        return VERBS[f"{group} {wanted}"], words[1:]
    show = f"{group} {MEANT[group]}"
    if not wanted or wanted.startswith("-"):
        return VERBS[show], words
    parts = [verb.removeprefix(f"{group} ") for verb in VERBS if verb.startswith(f"{group} ")]
    typed, begins = Name(f"{group} {words[0][:60]}"), _begins(words)
    takes_a_model = any(arg.positional for _, _, arg in VERBS[show].args())
    if near := difflib.get_close_matches(wanted, parts, n=1, cutoff=0.65):
        meant = say(
            "Unknown command {word}. Did you mean {near}?", word=typed, near=Code(f"{begins} {group} {near[0]}")
        )
        more = say(
            "{meant} For a model of that name, type {show}.", meant=meant, show=Code(f"registrar {show} {words[0]}")
        )
        raise BadInput(more if takes_a_model and begins != HELP else meant)
    if not takes_a_model or begins == HELP or (words[1:] and not words[1].startswith("-")):
        raise BadInput(
            say(
                "Unknown command {word}. {group} has {parts}.",
                word=typed,
                group=Code(f"registrar {group}"),
                parts=[Code(part) for part in parts],
            )
        )
    return VERBS[show], words


HELP = "registrar help"


def _begins(words: Sequence[str]) -> str:
    """Return how the command begins that was meant: whoever asked for help with a typo still wants help."""
    return HELP if {"--help", "-h"} & set(words) else "registrar"


def usage(verb: type[Command]) -> str:
    """Return how the verb is typed at the terminal."""
    return " ".join(["registrar", verb.usage(), *(f"[{form.value}]" for form in FORMS[verb])])


def help_about(command: Help) -> str:
    """Return a verb's help: its usage, arguments, an example, the keys of its JSON, and the exit codes."""
    if command.about in GROUPS:
        return _help_about_group(command.about)
    verb = VERBS[command.about]
    arguments = [(_typed(arg), arg.means) for _, _, arg in verb.args()]
    forms = [(form.value, what) for form, what in FORMS[verb].items()]
    return (
        "\n\n".join(
            [
                _wrapped(f"usage: {usage(verb)}", "    "),
                f"{verb.summary}.",
                _listed([*arguments, *forms]),
                f"For example: registrar {verb.example}",
                f"The JSON document's keys:\n{_listed(keys_of(verb).items())}",
                f"Exit codes:\n{_listed((str(code), what) for code, what in EXIT_CODES.items())}",
            ]
        )
        + "\n"
    )


def _help_about_group(group: str) -> str:
    verbs = [verb for verb in VERBS.values() if verb.verb.startswith(f"{group} ")]
    words = "|".join(verb.verb.removeprefix(f"{group} ") for verb in verbs)
    return (
        "\n\n".join(
            [
                f"usage: registrar {group} {words} …",
                "\n".join(_wrapped(f"  {usage(verb)}", "      ") + f"\n      {verb.summary}" for verb in verbs),
                f"More about one: registrar help {verbs[0].verb}",
            ]
        )
        + "\n"
    )


def _typed(arg: Arg) -> str:
    shown = f"{arg.shown}…" if arg.many and arg.positional else arg.shown
    flags = ", ".join(arg.flags)
    return f"{shown}, {flags}" if arg.positional else f"{flags} {shown}".strip()


def _listed(pairs: Iterable[tuple[str, str]]) -> str:
    """Return two columns; what is too long for the first one stands on its own line."""
    lines = []
    for name, what in pairs:
        head = f"  {name:<22}  " if len(name) <= 22 else f"  {name}\n{' ' * 26}"
        lines.append(head + _wrapped(what, " " * 26, 52))
    return "\n".join(lines)


def _wrapped(text: str, indent: str, width: int = 76) -> str:
    return f"\n{indent}".join(textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False))
