"""Which conversations the app can see."""

from __future__ import annotations

from localslack.backend import Backend
from localslack.core.errors import SlackError
from localslack.workspace.records import Conversation


def require_visible_channel(backend: Backend, name: str) -> Conversation:
    """The conversation, if the app can see it: private ones only from inside; raises channel_not_found."""
    channel = backend.workspace.channel(name)
    if channel.kind != "public_channel" and backend.workspace.app.bot_user_id not in channel.members:
        raise SlackError("channel_not_found")
    return channel
