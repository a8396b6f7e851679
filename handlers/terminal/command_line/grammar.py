"""Parse the terminal's command line: Slack's grammar, plus more commands and flags for the output format."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bot.domain.commands import catalog
from bot.domain.commands.base import Argument, Command, MissingArguments
from bot.domain.commands.help import Help
from bot.domain.commands.parser import asks_for_help, parse_arguments
from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import Code, Name, Sentence, sanitize_text, say
from handlers.terminal import comparisons, queries
from handlers.terminal.command_line import terminal_only_commands
from handlers.terminal.command_line.index import COMMAND_GROUPS, DEFAULT_SUBCOMMANDS
from handlers.terminal.output.command_output import OutputFormat

# Slack's commands. The terminal replaces some with a version that has more flags or two words.
TERMINAL_COMMANDS: dict[str, type[Command]] = {
    name: verb for name, verb in catalog.COMMANDS.items() if verb is not Help and name not in COMMAND_GROUPS
} | {verb.verb: verb for verb in terminal_only_commands.COMMANDS}
EXIT_CODES = {
    0: "done",
    1: "refused by the policy, a person, or MLflow; a gate failed; a replay differs; or the audit log was altered",
    2: "the input or the configuration is invalid",
    3: "MLflow, Slack, the ledger, or the bot isn't responding",
    4: "the request expired, is outdated, or was canceled",
    5: "the wait timed out; the request continues",
}
OUTPUT_FORMATS: dict[type[Command], dict[OutputFormat, str]] = {
    verb: {OutputFormat.JSON: "print one JSON document to standard output, and nothing else"}
    | ({OutputFormat.WEB: queries.WEB_HELP[verb]} if verb in queries.WEB_HELP else {})
    | ({OutputFormat.CSV: comparisons.CSV_HELP[verb]} if verb in comparisons.CSV_HELP else {})
    for verb in TERMINAL_COMMANDS.values()
} | {terminal_only_commands.AuditExport: {}, terminal_only_commands.AuditEvidence: {}}  # --format selects the output


@dataclass(frozen=True, slots=True)
class Invocation:
    """A parsed command line: a command, or a request for help with one."""

    command: Command
    output_format: OutputFormat

    @property
    def group(self) -> str:
        """The first word of a two-word command, or an empty string for a one-word command."""
        return self.command.verb.rpartition(" ")[0]


def parse_invocation(words: Sequence[str], other_commands: Iterable[str]) -> Invocation:
    """Parse the words, of which the first is the command's name.

    `other_commands` are the names of commands that aren't about models. Raises BadInput with the closest command, or
    with what's wrong with the arguments.
    """
    if asks_for_help(words[1:]) and _commands_about(topic := words[0].lower()):
        return Invocation(Help(about=topic), OutputFormat.TEXT)
    verb, words = find_command(words, other_commands)
    end = words.index("--") if "--" in words else len(words)
    forms = [form for form in OUTPUT_FORMATS[verb] if form.value in words[:end]]
    if len(forms) > 1:
        raise BadInput(say("Choose one of {forms}.", forms=[Code(form.value) for form in forms]))
    flags = {form.value for form in forms}
    left = [word for word in words[:end] if word not in flags]
    try:
        command = parse_arguments(verb, [sanitize_text(word) for word in [*left, *words[end:]]])
    except MissingArguments as error:
        error.sentence = Sentence(
            error.sentence.template, dict(error.sentence.args) | {"usage": Code(usage_line(verb))}
        )
        raise
    return Invocation(command, forms[0] if forms else OutputFormat.TEXT)


def find_command(words: Sequence[str], other_commands: Iterable[str]) -> tuple[type[Command], Sequence[str]]:
    """Return the command and the words after its name. Raises BadInput, with the closest command if there is one."""
    word = words[0]
    name = catalog.COMMAND_ALIASES.get(word.lower(), word.lower())
    longer = f"{name} {words[1].lower()}" if len(words) > 1 else ""
    if name in TERMINAL_COMMANDS and longer in TERMINAL_COMMANDS:  # a model with that name needs its flag
        return TERMINAL_COMMANDS[longer], words[2:]
    if name in COMMAND_GROUPS:
        return _find_in_group(name, words[1:])
    if name in TERMINAL_COMMANDS:
        return TERMINAL_COMMANDS[name], words[1:]
    near = difflib.get_close_matches(name, [*TERMINAL_COMMANDS, *COMMAND_GROUPS, *other_commands], n=1, cutoff=0.5)
    if near:
        raise BadInput(
            say(
                "Unknown command {word}. Did you mean {near}?",
                word=Name(word[:60]),
                near=Code(f"{_command_prefix(words)} {near[0]}"),
            )
        )
    raise BadInput(
        say("Unknown command {word}. To list commands, run {help}.", word=Name(word[:60]), help=Code(HELP_COMMAND))
    )


def _find_in_group(group: str, words: Sequence[str]) -> tuple[type[Command], Sequence[str]]:
    """Return a group's subcommand, and the words after its name.

    Raises BadInput for a likely typo, which would otherwise be read as a model's name.
    """
    name = words[0].lower() if words else ""
    if f"{group} {name}" in TERMINAL_COMMANDS:
        return TERMINAL_COMMANDS[f"{group} {name}"], words[1:]
    show = f"{group} {DEFAULT_SUBCOMMANDS[group]}"
    if not name or name.startswith("-"):
        return TERMINAL_COMMANDS[show], words
    parts = [verb.removeprefix(f"{group} ") for verb in TERMINAL_COMMANDS if verb.startswith(f"{group} ")]
    typed, begins = Name(f"{group} {words[0][:60]}"), _command_prefix(words)
    takes_a_model = any(arg.positional for _, _, arg in TERMINAL_COMMANDS[show].arguments())
    if near := difflib.get_close_matches(name, parts, n=1, cutoff=0.65):
        suggestion = say(
            "Unknown command {word}. Did you mean {near}?", word=typed, near=Code(f"{begins} {group} {near[0]}")
        )
        help_hint = say(
            "{meant} For a model with that name, run {show}.",
            meant=suggestion,
            show=Code(f"registrar {show} {words[0]}"),
        )
        raise BadInput(help_hint if takes_a_model and begins != HELP_COMMAND else suggestion)
    if not takes_a_model or begins == HELP_COMMAND or (words[1:] and not words[1].startswith("-")):
        raise BadInput(
            say(
                "Unknown command {word}. Subcommands of {group}: {parts}.",
                word=typed,
                group=Code(f"registrar {group}"),
                parts=[Code(part) for part in parts],
            )
        )
    return TERMINAL_COMMANDS[show], words


HELP_COMMAND = "registrar help"


def _command_prefix(words: Sequence[str]) -> str:
    """Return the prefix for a suggested command, so that a typo in a help command gets a help command."""
    return HELP_COMMAND if {"--help", "-h"} & set(words) else "registrar"


def usage_line(command: type[Command]) -> str:
    """Return a command's usage at the terminal."""
    return " ".join(["registrar", command.usage(), *(f"[{form.value}]" for form in OUTPUT_FORMATS[command])])


def help_text(command: Help) -> str:
    """Return a command's help: its usage, arguments, an example, the keys of its JSON, and the exit codes."""
    from handlers.terminal.command_line.json_keys import document_keys

    if verbs := _commands_about(command.about):
        return _group_help_text(command.about, verbs)
    verb = TERMINAL_COMMANDS[command.about]
    arguments = [(_argument_label(arg), arg.help) for _, _, arg in verb.arguments()]
    forms = [(form.value, description) for form, description in OUTPUT_FORMATS[verb].items()]
    paragraphs = [
        _wrap(f"usage: {usage_line(verb)}", "    "),
        _wrap(verb.explanation(), ""),
        _two_columns([*arguments, *forms]),
        f"Example: registrar {verb.example}",
        f"JSON keys:\n{_two_columns(document_keys(verb).items())}",
        f"Exit codes:\n{_two_columns((str(code), meaning) for code, meaning in EXIT_CODES.items())}",
    ]
    return "\n\n".join(paragraphs) + "\n"


def _commands_about(topic: str) -> list[type[Command]]:
    """Return the commands of a group, such as `monitor` or `promotion`; empty if there's no such group."""
    words = {topic} & {*COMMAND_GROUPS}
    if not words and (title := catalog.find_group(topic)):
        words = {verb.verb.partition(" ")[0] for verb in catalog.GROUPS[title]}
    return [verb for name, verb in TERMINAL_COMMANDS.items() if name.partition(" ")[0] in words]


def _group_help_text(group: str, verbs: Sequence[type[Command]]) -> str:
    return (
        "\n\n".join(
            [
                *([f"usage: registrar {group} SUBCOMMAND …"] if group in COMMAND_GROUPS else []),
                "\n".join(_wrap(f"  {usage_line(verb)}", "      ") + f"\n      {verb.summary}" for verb in verbs),
                f"For details: registrar help {verbs[0].verb}",
            ]
        )
        + "\n"
    )


def _argument_label(arg: Argument) -> str:
    label = f"{arg.placeholder}…" if arg.takes_many and arg.positional else arg.placeholder
    flags = ", ".join(arg.flags)
    return f"{label}, {flags}" if arg.positional else f"{flags} {label}".strip()


def _two_columns(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the pairs in two columns. If a name is too long, its description starts on the next line."""
    lines = []
    for name, description in pairs:
        head = f"  {name:<22}  " if len(name) <= 22 else f"  {name}\n{' ' * 26}"
        lines.append(head + _wrap(description, " " * 26, 52))
    return "\n".join(lines)


def _wrap(text: str, indent: str, width: int = 76) -> str:
    return f"\n{indent}".join(textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False))
