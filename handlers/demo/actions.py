"""What people do in the story, for its narration and for the checklist's buttons."""

from __future__ import annotations

from typing import Any

from handlers.demo.models import MODEL
from handlers.demo.welcome import CHANNEL
from localslack import ActionResult, WorkspaceMember

HISTORY_COMMAND = f"/model history {MODEL}"
ROLLBACK_COMMAND = f'/model rollback {MODEL} --reason "accuracy fell"'


class NotAcknowledgedError(Exception):
    """The app didn't acknowledge."""


def promote_command(version: int, reason: str) -> str:
    """Return the command that requests a version for Production."""
    return f'/model promote {MODEL} {version} production --reason "{reason}"'


def type_command(person: WorkspaceMember, text: str) -> None:
    """Type a command in the channel. Raises NotAcknowledgedError and RefusedError."""
    _require_acknowledged(person.types(CHANNEL, text))


def click_approve(person: WorkspaceMember, card: dict[str, Any]) -> None:
    """Click Approve on a card, and confirm. Raises NotAcknowledgedError and RefusedError."""
    _require_acknowledged(person.clicks(card, "Approve"))


def _require_acknowledged(outcome: ActionResult) -> None:
    if not outcome.acked:
        raise NotAcknowledgedError(f"Registrar didn't answer ({outcome.error})")
