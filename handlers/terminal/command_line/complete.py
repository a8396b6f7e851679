"""The hidden command `complete`, which completion scripts call: the values that can follow what's typed.

It prints no errors and answers quickly. Importing the definitions and MLflow's client takes seconds, so a child process
reads the values. If that takes too long, the child continues in the background, and its answer is ready for the next
TAB.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import select
import shlex
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from bot.bootstrap.env_file import open_private
from bot.domain.core.errors import Misconfigured
from handlers.terminal.output.files import replace_private_file

COMPLETE = "complete"  # the command's name; no help lists it
MAX_WAIT: float | None = 3.0  # seconds to wait for an answer; after that, an older one is printed, or nothing
READ_TIMEOUT = 20  # seconds until the child process ends
KEPT_FOR = 86400.0  # seconds that an answer is kept
_CURSOR = "\ue000"  # marks the cursor; a name that has one isn't offered
_UNSAFE = re.compile(r"[^\w@%+=:,./-]", re.ASCII)  # needs a backslash in bash; other letters and emojis don't


Candidate: TypeAlias = tuple[str, str]  # a value that can be typed, and what it means


def complete(arguments: Sequence[str]) -> int:
    """Print what can be typed at the cursor. `arguments`: the shell's name, and the line as the shell describes it.

    For bash, that's the line up to the cursor and the part that readline replaces; for zsh and fish, the words.
    """
    with suppress(Exception):
        shell, *typed = arguments
        lines = _bash_lines(*typed) if shell == "bash" else _described_lines(shell, typed)
        print("\n".join(lines), flush=True)
    return 0


def _described_lines(shell: str, words: Sequence[str]) -> list[str]:
    """Return the candidates for a shell that quotes and filters them, each followed by a tab and its description."""
    is_fish = shell == "fish"
    separate = _typed_flag(words[-1]) if is_fish else ""  # fish completes only what's after the `=`
    found = [(value.removeprefix(separate), about) for value, about in find_candidates(words)]
    return [f"{value}\t{about}" for value, about in found if not (is_fish and value.startswith("~"))]  # it's a folder


def _bash_lines(line: str, replaced: str) -> list[str]:
    """Return the candidates that begin with the word at the cursor, as quoted replacements for `replaced`."""
    words, quote = _split_line(line)
    typed = words[-1]
    kept = len(typed) - len(shlex.split(f"{quote}{replaced}{_CURSOR}{quote}")[-1]) + 1  # characters before `replaced`
    found = [value for value, _ in find_candidates(words[1:]) if value.startswith(typed)]
    return [_quote(value[kept:], quote) for value in found if not (quote == '"' and "!" in value)]


def _split_line(line: str) -> tuple[list[str], str]:
    """Return the line's words without quotes, and the quote that's still open at its end, if any."""
    for quote in ("", '"', "'"):
        with suppress(ValueError):
            *words, last = shlex.split(f"{line}{_CURSOR}{quote}")
            return [*words, last.removesuffix(_CURSOR)], quote
    return [""], ""


def _quote(text: str, quote: str) -> str:
    """Return text as it's typed in bash: inside the open quote, or else with backslashes."""
    # Readline closes no quote after a quote, and bash expects a command after a separator, even after a quoted one.
    end = (quote * 3 or "''") if text.endswith(tuple(";&|({`'\"")) else ""
    if quote == "'":
        return text.replace("'", "'\\''") + end
    if quote:
        return re.sub(r'[$`"\\]', r"\\\g<0>", text) + end
    return "".join(f"\\{char}" if char.isascii() and _UNSAFE.match(char) else char for char in text) + end


def find_candidates(words: Sequence[str]) -> list[Candidate]:
    """Return what can replace the last word; the other words are what precedes it on the line."""
    if len(words) < 2:  # the script knows the commands
        return []
    path = _cache_path(words)
    older: list[Candidate] = []
    with suppress(OSError, ValueError), open_private(path) as file:
        expires, older = _parse_answer(file.read())
        if expires > time.time():
            return older
    with suppress(ValueError):
        return _parse_answer(_ask_child(words, path))[1]
    return older


def _cache_path(words: Sequence[str]) -> Path:
    """Return the path of the file that caches an answer.

    Its name is a hash of what the answer depends on, including the settings, which can't be recovered from it.
    """
    settings = sorted(item for item in os.environ.items() if re.match("REGISTRAR_|MLFLOW_|DATABRICKS_", item[0]))
    key = json.dumps([*words[:-1], _typed_flag(words[-1]), str(Path.cwd()), settings])
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return folder / "registrar" / f"{hashlib.sha256(key.encode()).hexdigest()}.json"


def _typed_flag(word: str) -> str:
    """Return the part before the value in a word such as `--version=7`: `--version=`."""
    return word[: word.find("=") + 1] if word.startswith("--") else ""


def _parse_answer(text: str) -> tuple[float, list[Candidate]]:
    expires, found = json.loads(text)
    return float(expires), [(str(value), str(about)) for value, about in found]


def _ask_child(words: Sequence[str], path: Path) -> str:
    """Have a child process read the values, and return its answer, or an empty string if it takes too long."""
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        with os.fdopen(reading) as answer:
            return answer.read() if select.select([answer], [], [], MAX_WAIT)[0] else ""
    try:
        _detach()
        from handlers.terminal.command_line.candidates import read_candidates  # noqa: PLC0415 - only here

        seconds, found = read_candidates(words)
        flag = _typed_flag(words[-1])
        text = json.dumps([time.time() + seconds, [(flag + value, about) for value, about in found]])
        _save_answer(path, text)  # before the parent ends, which can close this process's terminal
        with os.fdopen(writing, "w") as pipe:
            pipe.write(text)
    finally:
        os._exit(0)


def _detach() -> None:
    """Detach this process, which prints nothing, so that the shell doesn't wait for it.

    It ends after READ_TIMEOUT seconds.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    os.setsid()
    signal.alarm(READ_TIMEOUT)


def _save_answer(path: Path, text: str) -> None:
    """Write the answer to a file that only this user can read, and delete old answers."""
    with suppress(OSError, Misconfigured):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o700)  # a file's name is a hash of secrets, too
        for old in path.parent.glob("*.json"):
            if old.stat().st_mtime < time.time() - KEPT_FOR:
                old.unlink()
        replace_private_file(path, text)
