"""Reacting to messages with emoji."""

from __future__ import annotations

import re

from localslack.backend import Core
from localslack.core.errors import SlackError
from localslack.interactions.access import enter
from localslack.interactions.events import announce_reaction
from localslack.workspace import objects
from localslack.workspace.records import JSON, Channel, Message

# The workspace doesn't know which emoji exist, only what their names look like.
NAME = re.compile(r"[a-z0-9_+'-]+(::skin-tone-[2-6])?")


def reacts(core: Core, who: str, where: str, ts: str, name: str, *, remove: bool) -> JSON:
    """Add or remove a person's reaction; raises SlackError."""
    person, channel = enter(core, who, where, to_write=True)
    change(core, person.id, channel, core.space.message(channel, ts), name, remove=remove)
    return {"message": objects.seen(core.space, core.space.message(channel, ts))}


def change(core: Core, user: str, channel: Channel, message: Message, name: str, *, remove: bool) -> None:
    """Add or remove an account's reaction, and tell the app; raises invalid_name, already_reacted, no_reaction."""
    if not NAME.fullmatch(name):
        raise SlackError("invalid_name")
    (core.space.take_back if remove else core.space.react)(message, user, name)
    announce_reaction(core, channel, message, {"user": user, "reaction": name}, added=not remove)
