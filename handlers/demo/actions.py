"""The actions that people take in the story, for its narration and for the checklist's buttons."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from handlers.demo.models import MODEL
from handlers.demo.welcome import CHANNEL
from localslack import ActionResult, WorkspaceMember

HISTORY_COMMAND = f"/model history {MODEL}"
ROLLBACK_COMMAND = f'/model rollback {MODEL} --reason "accuracy fell"'
VERIFY_COMMAND = f"registrar verify models:/{MODEL}@champion"
NOT_ISSUED = 7  # what VERIFY_COMMAND exits with if there's no passport, or not yet


class NotAcknowledgedError(Exception):
    """The app didn't acknowledge an action."""


def promote_command(version: int, reason: str) -> str:
    """Return the command that requests a version for Production."""
    return f'/model promote {MODEL} {version} production --reason "{reason}"'


def type_command(person: WorkspaceMember, text: str) -> None:
    """Type a command in the channel. Raises NotAcknowledgedError and RefusedError."""
    _require_acknowledged(person.types(CHANNEL, text))


def click_approve(person: WorkspaceMember, card: dict[str, Any]) -> None:
    """Click Approve on a card, and confirm. Raises NotAcknowledgedError and RefusedError."""
    _require_acknowledged(person.clicks(card, "Approve"))


def verify_champion(env_file: Path) -> subprocess.CompletedProcess[str]:
    """Run VERIFY_COMMAND in its own process, as if in another terminal, and return the finished process."""
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", *VERIFY_COMMAND.split()],
        env=os.environ | {"REGISTRAR_ENV_FILE": str(env_file)},
        capture_output=True,
        text=True,
        check=False,
    )


def _require_acknowledged(outcome: ActionResult) -> None:
    if not outcome.acked:
        raise NotAcknowledgedError(f"Registrar didn't answer ({outcome.error})")
