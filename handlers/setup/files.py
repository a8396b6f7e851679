"""The environment file that setup writes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream

from bot.bootstrap.env_file import open_private
from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, join_sentences, say
from handlers.terminal.output.files import replace_private_file

_PLAIN_VALUE = re.compile(r"[\w.:/@%+?&=,~-]+", re.ASCII)  # the same with and without quotes


def read_env_file(path: Path) -> str:
    """Return the file's text; empty if it doesn't exist. Raises Misconfigured if other users can access it."""
    try:
        with open_private(path) as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except OSError as error:
        advice = say("Make yourself its owner, and run {command}.", command=Code(f"chmod 600 {path}"))
        problem = say("Can't store tokens in {file}: {why}.", file=Code(path), why=error.strerror)
        raise Misconfigured(join_sentences([problem, advice], " ")) from None
    except UnicodeDecodeError:
        raise Misconfigured(say("{file} isn't UTF-8 text.", file=Code(path))) from None


def saved_values(path: Path) -> dict[str, str | None]:
    """Return the variables in the file. Raises Misconfigured."""
    return dict(dotenv_values(stream=StringIO(read_env_file(path)), interpolate=False))


def save_values(path: Path, values: Mapping[str, str]) -> None:
    """Set variables in the file, and keep its other lines. Raises Misconfigured."""
    replace_private_file(path.resolve(), with_values(read_env_file(path), values))


def with_values(text: str, values: Mapping[str, str]) -> str:
    """Return an environment file's text with these variables set; lines that don't set them stay as they are."""
    bindings = list(parse_stream(StringIO(text)))
    kept = "".join(_line(binding, values) for binding in bindings)
    if kept and not kept.endswith("\n"):
        kept += "\n"
    present = {binding.key for binding in bindings}
    return kept + "".join(f"{name}={_quote(value)}\n" for name, value in values.items() if name not in present)


def _line(binding: Binding, values: Mapping[str, str]) -> str:
    line = binding.original.string
    if binding.key is None or binding.key not in values:
        return line
    indent = line[: len(line) - len(line.lstrip())]
    export = "export " if line.lstrip().startswith("export ") else ""
    return f"{indent}{export}{binding.key}={_quote(values[binding.key])}\n"


def _quote(value: str) -> str:
    if _PLAIN_VALUE.fullmatch(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
