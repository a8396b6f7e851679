"""Which conversations the app can see."""

from __future__ import annotations

from localslack.backend import Backend
from localslack.core.errors import SlackError
from localslack.workspace.records import Conversation


def require_visible_channel(backend: Backend, name: str) -> Conversation:
    """Return the conversation with this ID or name. Raises channel_not_found if the app can't see it.

    Unless it's a public channel, the app can see it only as a member.
    """
    channel = backend.workspace.channel(name)
    if channel.kind != "public_channel" and backend.workspace.app.bot_user_id not in channel.members:
        raise SlackError("channel_not_found")
    return channel
