"""reactions.*: the app's own reactions to messages."""

from __future__ import annotations

from localslack.api.arguments import Arguments
from localslack.api.method import JSON, ApiMethod
from localslack.api.visibility import require_visible_channel
from localslack.backend import Backend
from localslack.core.errors import SlackError
from localslack.interactions import reactions


def add(backend: Backend, args: Arguments) -> JSON:
    """reactions.add: add the app's reaction to a message."""
    return _change(backend, args, remove=False)


def remove(backend: Backend, args: Arguments) -> JSON:
    """reactions.remove: remove the app's reaction from a message."""
    return _change(backend, args, remove=True)


def _change(backend: Backend, args: Arguments, *, remove: bool) -> JSON:
    channel_id, ts = args.text("channel"), args.text("timestamp")
    if not channel_id or not ts:
        raise SlackError("no_item_specified")
    channel, bot_user_id = require_visible_channel(backend, channel_id), backend.workspace.app.bot_user_id
    if bot_user_id not in channel.members:
        raise SlackError("not_in_channel")
    if channel.is_archived:
        raise SlackError("is_archived")
    reactions.change_reaction(
        backend, bot_user_id, channel, backend.workspace.message(channel, ts), args.text("name"), remove=remove
    )
    return {}


# Scopes, JSON support and tiers: slack-ruby/slack-api-ref, methods/reactions.
METHODS = {
    "reactions.add": ApiMethod(add, ("reactions:write",), tier=3),
    "reactions.remove": ApiMethod(remove, ("reactions:write",), tier=2),
}
