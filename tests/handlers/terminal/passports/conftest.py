"""Fixtures for the tests in this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.passports.harness import office
from tests.support.services.bench import bench
from tests.support.terminal.db_command import registrar

__all__ = ["bench", "office", "registrar"]


@pytest.fixture(autouse=True)
def policy(tmp_path: Path) -> Path:
    """Return a policy file at the default path."""
    path = tmp_path / "registrar.yml"
    path.write_text('models: {"*": {production: {approvers: [U0BOB]}}}')
    return path
