"""Which conversations the app can see."""

from __future__ import annotations

from localslack.backend import Core
from localslack.core.errors import SlackError
from localslack.workspace.records import Channel


def visible(core: Core, name: str) -> Channel:
    """The conversation, if the app can see it: private ones only from inside; raises channel_not_found."""
    room = core.space.channel(name)
    if room.kind != "public_channel" and core.space.app.bot_user_id not in room.members:
        raise SlackError("channel_not_found")
    return room
