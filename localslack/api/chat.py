"""chat.*: posting, changing and finding messages."""

from __future__ import annotations

from typing import Any

from localslack.api.arguments import Args
from localslack.api.method import JSON, Method
from localslack.api.visibility import visible
from localslack.backend import Core
from localslack.core.errors import SlackError
from localslack.workspace import objects
from localslack.workspace.message_content import CUT_AT, content_of, require_something
from localslack.workspace.records import Channel

UPDATE_MAX = 4_000


def post_message(core: Core, args: Args) -> JSON:
    """chat.postMessage."""
    room = _room_to_post_in(core, args.required("channel"))
    content = require_something(content_of(args.raw, core.has_picture)) | _thread(core, room, args)
    sent = core.space.post(room, core.space.app.bot_user_id, **content)
    answer = {"channel": room.id, "ts": sent.ts, "message": objects.message(core.space, sent)}
    return answer | _truncated(args)


def update(core: Core, args: Args) -> JSON:
    """chat.update: only own messages, at most 4,000 characters."""
    room = _room_by_id(core, args.required("channel"))
    message = core.space.message(room, args.required("ts"))
    if message.user != core.space.app.bot_user_id:
        raise SlackError("cant_update_message")
    if room.is_archived:
        raise SlackError("is_inactive")
    if len(args.text("text")) > UPDATE_MAX:
        raise SlackError("msg_too_long")
    changed = core.space.rewrite(message, **_replacement(core, args))
    return {
        "channel": room.id,
        "ts": changed.ts,
        "text": changed.text,
        "message": objects.message(core.space, changed),
    }


def delete(core: Core, args: Args) -> JSON:
    """chat.delete: only own messages."""
    room = _room_by_id(core, args.required("channel"))
    message = core.space.message(room, args.required("ts"))
    if message.user != core.space.app.bot_user_id:
        raise SlackError("cant_delete_message")
    core.space.remove(message)
    return {"channel": room.id, "ts": message.ts}


def post_ephemeral(core: Core, args: Args) -> JSON:
    """chat.postEphemeral: both the app and the person must be in the channel."""
    person = args.required("user")
    room = _room_to_post_in(core, args.required("channel"), in_public=False)
    if person not in room.members:
        raise SlackError("user_not_in_channel")
    content = require_something(content_of(args.raw, core.has_picture_for(person))) | _thread(core, room, args)
    # Slack keeps no metadata of what it does not keep.
    content.pop("metadata", None)
    sent = core.space.post(room, core.space.app.bot_user_id, audience=person, **content)
    return {"message_ts": sent.ts}


def get_permalink(core: Core, args: Args) -> JSON:
    """chat.getPermalink: a link that this workspace's own page opens."""
    room = visible(core, args.required("channel"))
    message = core.space.message(room, args.required("message_ts"))
    return {"channel": room.id, "permalink": objects.link(core.space, message)}


def _room_to_post_in(core: Core, name: str, in_public: bool = True) -> Channel:
    room = _direct(core, name) if name in core.space.people else visible(core, name)
    if room.is_archived:
        raise SlackError("is_archived")
    is_member = core.space.app.bot_user_id in room.members
    if not is_member and not (in_public and "chat:write.public" in core.manifest.scopes):
        raise SlackError("not_in_channel")
    if not core.space.may_post(room, core.space.app.bot_user_id):
        raise SlackError("restricted_action")
    return room


def _direct(core: Core, user: str) -> Channel:
    person = core.space.person(user)
    if person.deleted:
        raise SlackError("channel_not_found")
    if person.is_bot:
        raise SlackError("cannot_dm_bot")
    return core.space.direct_channel(person)


def _room_by_id(core: Core, channel_id: str) -> Channel:
    if channel_id not in core.space.channels:
        raise SlackError("channel_not_found")
    return visible(core, channel_id)


def _thread(core: Core, room: Channel, args: Args) -> JSON:
    if not (ts := args.text("thread_ts")):
        return {}
    parent = core.space.anything_at(room, ts)
    if parent is None:
        raise SlackError("thread_not_found")
    if parent.audience is not None or parent.subtype == "tombstone":
        raise SlackError("cannot_reply_to_message")
    # Slack hangs an answer to an answer under the same first message.
    return {"thread_ts": parent.thread_ts or parent.ts, "reply_broadcast": args.flag("reply_broadcast")}


def _replacement(core: Core, args: Args) -> dict[str, Any]:
    content = content_of(args.raw, core.has_picture)
    if not {"text", "blocks", "attachments"} & set(content):
        raise SlackError("no_text")
    # A new text replaces the old blocks and attachments: https://docs.slack.dev/reference/methods/chat.update
    return {"blocks": [], "attachments": [], **content} if "text" in content else content


def _truncated(args: Args) -> JSON:
    if len(args.text("text")) <= CUT_AT:
        return {}
    return {"warning": "message_truncated", "response_metadata": {"warnings": ["message_truncated"]}}


# Scopes, JSON support and tiers: slack-ruby/slack-api-ref, methods/chat.
METHODS = {
    "chat.postMessage": Method(post_message, ("chat:write",), tier=5),
    "chat.update": Method(update, ("chat:write",), tier=3),
    "chat.delete": Method(delete, ("chat:write",), tier=3),
    "chat.postEphemeral": Method(post_ephemeral, ("chat:write",), tier=4),
    "chat.getPermalink": Method(get_permalink, (), tier=4, reads_json=False),
}
