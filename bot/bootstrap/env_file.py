"""A file with environment variables, which keeps secrets out of /proc/PID/environ."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, say


def load_env_file(path: Path) -> None:
    """Add the file's variables to the environment, except those that it already has. Child processes get them, too.

    Raises Misconfigured, which never contains text from the file.
    """
    try:
        with path.open(encoding="utf-8") as file:
            bindings = list(parse_stream(file))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it isn't UTF-8 text"
        message = say(
            "Can't read {file}, the file in {name}: {why}.", file=Code(path), name=Code("REGISTRAR_ENV_FILE"), why=why
        )
        raise Misconfigured(message) from None  # a UnicodeDecodeError contains the file's text
    given = frozenset(os.environ)
    for binding in bindings:
        if binding.key is not None or binding.error:  # otherwise, it's a comment
            _add_variable(binding, given)


def _add_variable(binding: Binding, given: Collection[str]) -> None:
    text = binding.original.string
    line = binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")  # it includes the lines before
    try:
        if binding.key is None or binding.value is None:
            raise ValueError
        if binding.key not in given:  # of two values in the file, the last one counts, as with EnvironmentFile=
            os.environ[binding.key] = binding.value  # a ValueError if it contains a NUL
    except ValueError:
        message = say(
            "Line {number} of the file in {name} isn't {form}.",
            number=line,
            name=Code("REGISTRAR_ENV_FILE"),
            form=Code("NAME=value"),
        )
        raise Misconfigured(message) from None
