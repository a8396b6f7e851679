"""The results of terminal commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from handlers.terminal.main import main


@dataclass(frozen=True)
class CommandOutput:
    """A command's exit code and output."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The printed JSON, without NaN and infinity."""
        found: dict[str, Any] = json.loads(self.out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
        return found


CliRunner = Callable[..., CommandOutput]


def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CliRunner:
    """Return the terminal's command in this process. It takes words, and settings as keyword arguments."""

    def run(*words: str, **settings: str) -> CommandOutput:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        code = main(words)
        printed = capsys.readouterr()
        return CommandOutput(code, printed.out, printed.err)

    return run
