"""Parse text typed on a phone or a keyboard into a command."""

from __future__ import annotations

import argparse
import difflib
import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError

from bot.domain.commands import monitoring
from bot.domain.commands.base import Command, MissingArguments, is_version_ref, validation_message
from bot.domain.commands.catalog import COMMAND_ALIASES, COMMANDS
from bot.domain.commands.help import Help
from bot.domain.commands.promotions import Promote
from bot.domain.core.errors import BadInput, RegistrarError
from bot.domain.core.sentence import Code, Name, sanitize_text, say

CommandT = TypeVar("CommandT", bound=Command)

MAX_TYPOS = 3  # in one text that are corrected
MAX_CORRECTED_LENGTH = 500  # characters


def parse_command(text: str) -> Command | None:
    """Parse a typed command, or return None for empty text.

    Accepts smart quotes and dashes. Raises BadInput with the closest verb or the usage, and MissingArguments with
    the fields that were parsed.
    """
    words = split_words(text)
    if not words:
        return None
    if words[0].lower().lstrip("/") == monitoring.GROUP:
        if asks_for_help(words[1:]):
            return Help(about=monitoring.GROUP)
        return parse_arguments(*monitoring.find_command(words[1:]))
    return parse_arguments(find_command(words[0]), words[1:])


def parse_arguments(command_class: type[Command], words: Sequence[str]) -> Command:
    """Parse the words after a verb. Raises the same errors as `parse_command`, except for an unknown verb."""
    if {"--help", "-h"} & set(words) or asks_for_help(words):
        return Help(about=command_class.verb)
    given = _match_arguments(command_class, words) if words else {}
    missing = [
        arg.placeholder for name, field, arg in command_class.arguments() if field.is_required() and name not in given
    ]
    if missing:
        raise MissingArguments(command_class, given, missing)
    return build_command(command_class, given)


def correct_typo(text: str, error: RegistrarError) -> str | None:
    """Return the typed text with the typo replaced by the error's suggestion; None if that can't be a command.

    Everything else stays as typed. If the result has another typo with a suggestion, that's corrected, too. Text that's
    long or has more than a few typos isn't corrected.
    """
    if len(text) > MAX_CORRECTED_LENGTH:
        return None
    for _ in range(MAX_TYPOS):
        if not error.suggestion:
            return None
        suggestion = f'"{error.suggestion}"' if re.search(r"\s", error.suggestion) else error.suggestion
        typo = rf"(?<!\S)[\"']?[vV]?{re.escape(error.typo)}[\"']?(?=[\s=]|$)"  # v9 is version 9
        text, count = re.subn(typo, lambda _, word=suggestion: word, text, count=1)  # type: ignore[misc]
        if not count:
            return None
        try:
            parse_command(text)
        except MissingArguments:
            return text
        except BadInput as another:
            error = another
        else:
            return text
    return None


def asks_for_help(words: Sequence[str]) -> bool:
    """Return whether the words after a verb or a group only ask for its help."""
    return [word.lower() for word in words] in (["help"], ["--help"], ["-h"])


def build_command(command_class: type[CommandT], values: dict[str, Any]) -> CommandT:
    """Build a command from its fields. Raises BadInput for an invalid value."""
    try:
        return command_class(**values)
    except ValidationError as error:
        fault = error.errors()[0]
        field = str(fault["loc"][0]) if fault["loc"] else ""
        flag = Code(f"--{field.replace('_', '-') or command_class.verb}")
        raise BadInput(say("{field}: {what}.", field=flag, what=validation_message(fault)), field) from error


def load_command(data: Mapping[str, Any]) -> Command:
    """Load a command that `dump` wrote. Raises BadInput for anything else."""
    given = {name: value for name, value in data.items() if name != "verb" and value is not None}
    return build_command(find_command(str(data.get("verb", Promote.verb))), given)


def find_command(word: str) -> type[Command]:
    """Return the command for a verb. Raises BadInput with the closest one."""
    wanted = word.lower().lstrip("/")
    wanted = COMMAND_ALIASES.get(wanted, wanted)
    if wanted in COMMANDS:
        return COMMANDS[wanted]
    close_matches = difflib.get_close_matches(wanted, [*COMMANDS, monitoring.GROUP], n=1, cutoff=0.6)
    if close_matches:
        raise BadInput(
            say(
                "Unknown command {word}. Did you mean {near}?",
                word=Name(word[:60]),
                near=Code(f"/model {close_matches[0]}"),
            ),
            typo=word,
            suggestion=close_matches[0],
        )
    raise BadInput(say("Unknown command {word}. Try {help}.", word=Name(word[:60]), help=Code("/model help")))


def split_words(text: str) -> list[str]:
    """Split typed text into words, honoring quotes. Raises BadInput for an unclosed quote."""
    plain = re.sub(r"[“”„‟«»]", '"', text)
    plain = re.sub(r"(?<=\w)['’](?=\w)", _APOSTROPHE, plain)
    plain = re.sub(r"[‘’‚‛]", "'", plain)
    pieces = re.split(r"(\"[^\"]*\"|'[^']*')", plain)
    plain = "".join(
        piece if at % 2 else re.sub(r"(^|\s)[—–―−](?=[A-Za-z])", r"\1--", piece) for at, piece in enumerate(pieces)
    )
    lexer = shlex.shlex(plain, posix=True)
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""
    try:
        return [sanitize_text(word.replace(_APOSTROPHE, "'")) for word in lexer]
    except ValueError:
        raise BadInput("Missing a closing quotation mark.") from None


_APOSTROPHE = "\ue000"  # an apostrophe inside a word isn't a quote; `sanitize_text` removes a typed one


class _RaisingParser(argparse.ArgumentParser):
    """An argparse parser that raises instead of printing and exiting."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(_argparse_message(message, self.usage or ""))


@cache
def _flag_parser(command_class: type[Command]) -> _RaisingParser:
    parser = _RaisingParser(prog=command_class.verb, usage=command_class.usage(), add_help=False, allow_abbrev=False)
    for name, field, arg in command_class.arguments():
        if field.annotation is bool:
            parser.add_argument(*arg.flags, dest=name, action="store_true", default=None)
        elif arg.flags and arg.takes_many:
            parser.add_argument(*arg.flags, dest=name, metavar=arg.placeholder, action="append")
        elif arg.flags:
            parser.add_argument(*arg.flags, dest=name, metavar=arg.placeholder)
    return parser


def _match_arguments(command_class: type[Command], words: Sequence[str]) -> dict[str, Any]:
    """Return the typed fields, by position or flag. Raises BadInput if a field was typed both ways.

    A positional argument whose field was given as a flag is skipped, so `promote churn --version 7 production` works.
    """
    # The parser has only the flags: argparse doesn't accept a positional argument after a flag.
    words = _join_effect_words(_without_spoken_to(command_class, words))
    end = words.index("--") if "--" in words else len(words)
    spaces, placed = _flag_parser(command_class).parse_known_args(list(words[:end]))
    flags = [word for word in placed if word.startswith("-")]
    if flags:
        raise _unknown_flag_error(command_class, flags[0])
    placed += words[end + 1 :]
    typed = vars(spaces)
    fields = {name: value for name, _, _ in command_class.arguments() if (value := typed.get(name)) is not None}
    if placed := _fill_positionals(command_class, fields, placed):
        raise BadInput(_superfluous_word_message(command_class, placed[0]))
    return fields


def _without_spoken_to(command_class: type[Command], words: Sequence[str]) -> list[str]:
    """Return the words without `to` before a stage or a version, as in `promote churn 4 to production`.

    If the command has a `to` field, `to` becomes its flag. The first word is always the model. Words after `--reason`
    stay, since they can be unquoted text.
    """
    args = list(command_class.arguments())
    names = {name for name, _, _ in args}
    if "version" not in names or any(arg.takes_many and arg.positional for _, _, arg in args):
        return list(words)
    why = next((at for at, word in enumerate(words) if word.partition("=")[0] == "--reason"), len(words))
    spoken, instead = list(words[:1]), ["--to"] if "to" in names else []
    for at, (before, word) in enumerate(pairwise(words), start=1):
        following = words[at + 1] if at + 1 < len(words) else ""
        is_spoken = at < why and word.lower() == "to" and is_version_ref(following) and not before.startswith("-")
        spoken += instead if is_spoken else [word]
    return spoken


def _join_effect_words(words: Sequence[str]) -> list[str]:
    """Return the words with multi-word effects joined: `--min-effect 10% of error`, `--min-effect 0.01 abs`."""
    whole: list[str] = []
    for word in words:
        last = whole[-1].lower() if whole[-2:-1] == ["--min-effect"] else "--"
        is_part = not last.startswith("--") and (
            word.lower() in {"%", "abs", "absolute", "of"}
            or (word.lower() in {"the", "error"} and last.endswith((" of", " the")))
        )
        whole = [*whole[:-1], f"{whole[-1]} {word}"] if is_part else [*whole, word]
    return whole


def _fill_positionals(command_class: type[Command], values: dict[str, Any], words: list[str]) -> list[str]:
    """Assign words to the positional fields that no flag has set; return the remaining words.

    An optional field is skipped if all remaining words are needed for required fields that follow, or if such fields
    follow and it doesn't accept the next word.
    """
    open_ones = [
        (name, field, arg) for name, field, arg in command_class.arguments() if arg.positional and name not in values
    ]
    needed = sum(field.is_required() for _, field, _ in open_ones)
    for name, field, arg in open_ones:
        needed -= field.is_required()
        if not words or (not field.is_required() and needed and (len(words) <= needed or not arg.accepts(words[0]))):
            continue
        values[name], words = (words, []) if arg.takes_many else (words[0], words[1:])
    return words


def _unknown_flag_error(command_class: type[Command], flag: str) -> BadInput:
    known_flags = [flag_name for _, _, arg in command_class.arguments() for flag_name in arg.flags]
    name, verb = flag.split("=", maxsplit=1)[0], Code(command_class.verb)
    if close_matches := difflib.get_close_matches(name, known_flags, n=1):
        near = close_matches[0]
        sentence = say("{verb} has no flag {flag}. Did you mean {near}?", verb=verb, flag=Name(flag), near=Code(near))
        return BadInput(sentence, typo=name, suggestion=near)
    usage = Code(command_class.usage())
    return BadInput(say("{verb} has no flag {flag}. Usage: {usage}", verb=verb, flag=Name(flag), usage=usage))


def _superfluous_word_message(command_class: type[Command], word: str) -> Any:
    hint = " Put a reason in quotes after --reason." if "reason" in command_class.model_fields else ""
    return say(
        "Unexpected word {word}." + hint + " Usage: {usage}",
        word=Name(word[:80]),
        usage=Code(command_class.usage()),
    )


def _argparse_message(message: str, usage: str) -> Any:
    wants_value = re.match(r"argument (\S+?)(?:/\S+)?: expected one argument", message)
    if wants_value:
        return say("{flag} needs a value. Usage: {usage}", flag=Code(wants_value[1]), usage=Code(usage))
    return say("Can't read that ({what}). Usage: {usage}", what=message, usage=Code(usage))
