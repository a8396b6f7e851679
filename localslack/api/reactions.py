"""reactions.*: the app's own reactions to messages."""

from __future__ import annotations

from localslack.api.arguments import Args
from localslack.api.method import JSON, Method
from localslack.api.visibility import visible
from localslack.backend import Core
from localslack.core.errors import SlackError
from localslack.interactions import reactions


def add(core: Core, args: Args) -> JSON:
    """reactions.add."""
    return _change(core, args, remove=False)


def remove(core: Core, args: Args) -> JSON:
    """reactions.remove."""
    return _change(core, args, remove=True)


def _change(core: Core, args: Args, *, remove: bool) -> JSON:
    channel, ts = args.text("channel"), args.text("timestamp")
    if not channel or not ts:
        raise SlackError("no_item_specified")
    room, me = visible(core, channel), core.space.app.bot_user_id
    if me not in room.members:
        raise SlackError("not_in_channel")
    if room.is_archived:
        raise SlackError("is_archived")
    reactions.change(core, me, room, core.space.message(room, ts), args.text("name"), remove=remove)
    return {}


# Scopes, JSON support and tiers: slack-ruby/slack-api-ref, methods/reactions.
METHODS = {
    "reactions.add": Method(add, ("reactions:write",), tier=3),
    "reactions.remove": Method(remove, ("reactions:write",), tier=2),
}
