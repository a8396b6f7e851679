"""Reacting to messages with emoji."""

from __future__ import annotations

import re

from localslack.backend import Backend
from localslack.core.errors import SlackError
from localslack.interactions.access import require_access
from localslack.interactions.events import announce_reaction
from localslack.workspace import objects
from localslack.workspace.records import JSON, Conversation, PostedMessage

# The workspace checks only the format of emoji names, not whether an emoji exists.
EMOJI_NAME = re.compile(r"[a-z0-9_+'-]+(::skin-tone-[2-6])?")


def react(backend: Backend, user: str, channel_name: str, ts: str, name: str, *, remove: bool) -> JSON:
    """Add or remove a person's reaction, and return the message. Raises SlackError."""
    person, channel = require_access(backend, user, channel_name, to_write=True)
    change_reaction(backend, person.id, channel, backend.workspace.message(channel, ts), name, remove=remove)
    return {"message": objects.message_for_person(backend.workspace, backend.workspace.message(channel, ts))}


def change_reaction(
    backend: Backend, user: str, channel: Conversation, message: PostedMessage, name: str, *, remove: bool
) -> None:
    """Add or remove a person's or the app's reaction, and send the event.

    Raises invalid_name, already_reacted, or no_reaction.
    """
    if not EMOJI_NAME.fullmatch(name):
        raise SlackError("invalid_name")
    (backend.workspace.remove_reaction if remove else backend.workspace.add_reaction)(message, user, name)
    announce_reaction(backend, channel, message, {"user": user, "reaction": name}, added=not remove)
