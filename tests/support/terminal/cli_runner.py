"""What a command of the terminal said."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from handlers.terminal.main import main


@dataclass(frozen=True)
class CommandOutput:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """What was printed, as JSON without NaN and infinity."""
        found: dict[str, Any] = json.loads(self.out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
        return found


CliRunner = Callable[..., CommandOutput]


def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CliRunner:
    """Return the terminal's command, in this process: words, and settings by their names."""

    def run(*words: str, **settings: str) -> CommandOutput:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        code = main(words)
        printed = capsys.readouterr()
        return CommandOutput(code, printed.out, printed.err)

    return run
