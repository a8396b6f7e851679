"""Fixtures: the terminal in its own folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.terminal.cli_runner import CliRunner, command


@pytest.fixture
def registrar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CliRunner:
    """Return the terminal's command in an empty folder; settings are keyword arguments."""
    monkeypatch.chdir(tmp_path)
    return command(monkeypatch, capsys)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """Return a policy file at the default path."""
    path = tmp_path / "registrar.yml"
    path.write_text('models: {"*": {production: {approvers: [U0BOB]}}}')
    return path
