"""How a line of the terminal is read: Slack's grammar, and the two flags that say in what form to answer."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from bot.domain import commands
from bot.domain.commands import Arg, Best, Command, Compare, Help, Register, parse_words
from bot.domain.errors import BadInput
from bot.domain.text import Code, Name, clean, say
from handlers.terminal.documents import KEYS

VERBS: dict[str, type[Command]] = {verb.verb: verb for verb in (Register, Compare, Best)}
EXIT_CODES = {
    0: "done",
    1: "refused, by the rules or by MLflow",
    2: "what was typed or configured is wrong",
    3: "MLflow or the ledger does not answer",
}


class Form(Enum):
    """In what form to answer; the value is the flag that asks for it."""

    PEOPLE = ""  # a sentence and a table
    JSON = "--json"  # one JSON document and nothing else; what is missing is null
    CSV = "--csv"  # everything as CSV, numbers in full precision; what is missing is empty


FORMS: dict[type[Command], dict[Form, str]] = {
    verb: {Form.JSON: "one JSON document on standard output, and nothing else there"}
    | ({} if verb is Register else {Form.CSV: what})
    for verb, what in ((Register, ""), (Compare, "the whole table as CSV"), (Best, "the winner as CSV, one row"))
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed: a command, or Help about a verb of the terminal."""

    command: Command
    form: Form


def read(words: Sequence[str], beside: Iterable[str]) -> Asked:
    """Return what the words mean, a verb first. `beside` names the commands that are no verbs.

    Raises BadInput with the nearest verb, or with what is wrong behind it.
    """
    verb = find_verb(words[0], beside)
    end = words.index("--") if "--" in words else len(words)
    forms = [form for form in FORMS[verb] if form.value in words[1:end]]
    if len(forms) > 1:
        raise BadInput(say("Choose one of {forms}.", forms=[Code(form.value) for form in forms]))
    flags = {form.value for form in forms}
    left = [word for word in words[1:end] if word not in flags]
    command = parse_words([verb.verb, *(clean(word) for word in [*left, *words[end:]])])
    return Asked(command, forms[0] if forms else Form.PEOPLE)


def find_verb(word: str, beside: Iterable[str]) -> type[Command]:
    """Return the verb. Raises BadInput with the nearest one, or with where there is such a verb."""
    wanted = word.lower()
    if wanted in VERBS:
        return VERBS[wanted]
    if wanted in commands.VERBS:
        typed = Code(f"/model {commands.VERBS[wanted].usage()}")
        raise BadInput(say("The terminal has no {verb}; in Slack it is {typed}.", verb=Code(wanted), typed=typed))
    near = difflib.get_close_matches(wanted, [*VERBS, *beside], n=1, cutoff=0.5)
    template = "I know no {word}. Did you mean {near}?" if near else "I know no {word}. Try {near}."
    raise BadInput(say(template, word=Name(word[:60]), near=Code(near[0] if near else "registrar --help")))


def usage(verb: type[Command]) -> str:
    """Return how the verb is typed at the terminal."""
    return " ".join(["registrar", verb.usage(), *(f"[{form.value}]" for form in FORMS[verb])])


def help_about(command: Help) -> str:
    """Return a verb's help: its usage, arguments, an example, the keys of its JSON, and the exit codes."""
    verb = VERBS[command.about]
    arguments = [(_typed(arg), arg.means) for _, _, arg in verb.args()]
    forms = [(form.value, what) for form, what in FORMS[verb].items()]
    return "\n\n".join([
        _wrapped(f"usage: {usage(verb)}", "    "),
        f"{verb.summary}.",
        _listed([*arguments, *forms]),
        f"For example: registrar {verb.example}",
        f"The JSON document's keys:\n{_listed(KEYS[verb].items())}",
        f"Exit codes:\n{_listed((str(code), what) for code, what in EXIT_CODES.items())}",
    ]) + "\n"  # fmt: skip


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
