"""Load environment variables from a file, which keeps secrets out of /proc/PID/environ."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from dotenv.parser import Binding, parse_stream

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, say

LOCAL_ENV_FILE = Path(".env")  # in the current folder


def load_env_file(path: Path) -> None:
    """Add the file's variables to the environment, except any that are already set. Child processes inherit them.

    Raises Misconfigured, which never contains text from the file.
    """
    try:
        with path.open(encoding="utf-8") as file:
            _add_variables(file, say("the file in {name}", name=Code("REGISTRAR_ENV_FILE")))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it isn't UTF-8 text"
        message = say(
            "Can't read {file}, the file in {name}: {why}.", file=Code(path), name=Code("REGISTRAR_ENV_FILE"), why=why
        )
        raise Misconfigured(message) from None  # a UnicodeDecodeError contains the file's text


def load_local_env_file() -> None:
    """Load the current folder's `.env` as `load_env_file` does, if it exists and only the current user has access.

    Raises Misconfigured, which never contains text from the file.
    """
    with suppress(OSError), open_private(LOCAL_ENV_FILE) as file:
        try:
            _add_variables(file, Code(LOCAL_ENV_FILE))
        except UnicodeDecodeError:
            raise Misconfigured(say("{file} isn't UTF-8 text.", file=Code(LOCAL_ENV_FILE))) from None


def open_private(path: Path) -> TextIO:
    """Open a file for reading, provided that only the current user can access it.

    Raises FileNotFoundError if there's no such file, and PermissionError, with the reason in `strerror`, if another
    user could read the file or could have written it.
    """
    if not path.is_file():  # a folder named .env is often a virtual environment
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    file = path.open(encoding="utf-8")
    status = os.fstat(file.fileno())
    owners = {status.st_uid, path.lstat().st_uid}  # another user's link could name any of this user's files
    why = "other users can read it" if status.st_mode & 0o077 else ""
    if not hasattr(os, "getuid") or owners != {os.getuid()}:  # Windows has no getuid
        why = "it belongs to another user"
    if why:
        file.close()
        raise PermissionError(errno.EPERM, why)
    return file


def _add_variables(file: TextIO, name: object) -> None:
    given = frozenset(os.environ)
    for binding in parse_stream(file):
        if binding.key is not None or binding.error:  # otherwise, it's a comment
            _add_variable(binding, given, name)


def _add_variable(binding: Binding, given: Collection[str], name: object) -> None:
    text = binding.original.string
    line = binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")  # it includes the lines before
    try:
        if binding.key is None or binding.value is None:
            raise ValueError
        if binding.key not in given:  # of two values in the file, the last one counts, as with EnvironmentFile=
            os.environ[binding.key] = binding.value  # a ValueError if it contains a NUL
    except ValueError:
        message = say(
            "Line {number} of {name} isn't {form}.",
            number=line,
            name=name,
            form=Code("NAME=value"),
        )
        raise Misconfigured(message) from None
