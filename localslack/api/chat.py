"""chat.*: posting, updating, and deleting messages."""

from __future__ import annotations

from typing import Any

from localslack.api.arguments import Arguments
from localslack.api.method import JSON, ApiMethod
from localslack.api.visibility import require_visible_channel
from localslack.backend import Backend
from localslack.core.errors import SlackError
from localslack.workspace import objects
from localslack.workspace.message_content import TEXT_MAX, parse_content, parse_unfurls, require_content, shared_links
from localslack.workspace.records import Conversation

UPDATE_MAX = 4_000


def post_message(backend: Backend, args: Arguments) -> JSON:
    """chat.postMessage: post a message in a channel or to a person."""
    channel = _channel_to_post_in(backend, args.required("channel"))
    content = require_content(parse_content(args.raw, backend.has_picture)) | _thread_fields(backend, channel, args)
    message = backend.workspace.post_message(channel, backend.workspace.app.bot_user_id, **content)
    answer = {"channel": channel.id, "ts": message.ts, "message": objects.message_object(backend.workspace, message)}
    return answer | _truncation_warning(args)


def update(backend: Backend, args: Arguments) -> JSON:
    """chat.update: change one of the app's own messages; the text can have up to 4,000 characters."""
    channel = _channel_by_id(backend, args.required("channel"))
    message = backend.workspace.message(channel, args.required("ts"))
    if message.user != backend.workspace.app.bot_user_id:
        raise SlackError("cant_update_message")
    if channel.is_archived:
        raise SlackError("is_inactive")
    if len(args.text("text")) > UPDATE_MAX:
        raise SlackError("msg_too_long")
    edited = backend.workspace.edit_message(message, **_new_content(backend, args))
    return {
        "channel": channel.id,
        "ts": edited.ts,
        "text": edited.text,
        "message": objects.message_object(backend.workspace, edited),
    }


def delete(backend: Backend, args: Arguments) -> JSON:
    """chat.delete: delete one of the app's own messages."""
    channel = _channel_by_id(backend, args.required("channel"))
    message = backend.workspace.message(channel, args.required("ts"))
    if message.user != backend.workspace.app.bot_user_id:
        raise SlackError("cant_delete_message")
    backend.workspace.delete_message(message)
    return {"channel": channel.id, "ts": message.ts}


def post_ephemeral(backend: Backend, args: Arguments) -> JSON:
    """chat.postEphemeral: post a message for one person; that person and the app must be in the channel."""
    person = args.required("user")
    channel = _channel_to_post_in(backend, args.required("channel"), allow_public=False)
    if person not in channel.members:
        raise SlackError("user_not_in_channel")
    content = require_content(parse_content(args.raw, backend.has_picture_for(person))) | _thread_fields(
        backend, channel, args
    )
    # Slack doesn't keep metadata of ephemeral messages.
    content.pop("metadata", None)
    message = backend.workspace.post_message(channel, backend.workspace.app.bot_user_id, audience=person, **content)
    return {"message_ts": message.ts}


def get_permalink(backend: Backend, args: Arguments) -> JSON:
    """chat.getPermalink: return a link that opens the message on this workspace's page."""
    channel = require_visible_channel(backend, args.required("channel"))
    message = backend.workspace.message(channel, args.required("message_ts"))
    return {"channel": channel.id, "permalink": objects.permalink(backend.workspace, message)}


def unfurl(backend: Backend, args: Arguments) -> JSON:
    """chat.unfurl: add attachments to a person's message for its links to the manifest's domains."""
    channel_id, ts = args.text("channel"), args.text("ts")
    if args.text("unfurl_id"):
        channel_id, _, ts = args.text("unfurl_id").partition("-")
    channel = backend.workspace.channels.get(channel_id)
    message = backend.workspace.find_message(channel, ts) if channel else None
    if channel is None or message is None:
        raise SlackError("cannot_find_message" if channel else "cannot_find_channel")
    unfurls = parse_unfurls(args.raw.get("unfurls"), backend.has_picture)
    if unfurls.keys() - {link["url"] for link in shared_links(backend.manifest.unfurl_domains, message.text)}:
        raise SlackError("cannot_unfurl_url")
    app = backend.workspace.app
    origin = {"is_app_unfurl": True, "app_id": app.id, "bot_id": app.bot_id}
    attachments = [
        attachment | origin | {"from_url": url, "app_unfurl_url": url} for url, attachment in unfurls.items()
    ]
    backend.workspace.attach(message, attachments)
    return {}


def _channel_to_post_in(backend: Backend, name: str, allow_public: bool = True) -> Conversation:
    channel = (
        _direct_message_channel(backend, name)
        if name in backend.workspace.people
        else require_visible_channel(backend, name)
    )
    if channel.is_archived:
        raise SlackError("is_archived")
    is_member = backend.workspace.app.bot_user_id in channel.members
    if not is_member and not (allow_public and "chat:write.public" in backend.manifest.scopes):
        raise SlackError("not_in_channel")
    if not backend.workspace.can_post(channel, backend.workspace.app.bot_user_id):
        raise SlackError("restricted_action")
    return channel


def _direct_message_channel(backend: Backend, user: str) -> Conversation:
    person = backend.workspace.person(user)
    if person.deleted:
        raise SlackError("channel_not_found")
    if person.is_bot:
        raise SlackError("cannot_dm_bot")
    return backend.workspace.open_direct_message(person)


def _channel_by_id(backend: Backend, channel_id: str) -> Conversation:
    if channel_id not in backend.workspace.channels:
        raise SlackError("channel_not_found")
    return require_visible_channel(backend, channel_id)


def _thread_fields(backend: Backend, channel: Conversation, args: Arguments) -> JSON:
    if not (ts := args.text("thread_ts")):
        return {}
    parent = backend.workspace.find_message(channel, ts)
    if parent is None:
        raise SlackError("thread_not_found")
    if parent.audience is not None or parent.subtype == "tombstone":
        raise SlackError("cannot_reply_to_message")
    # Slack puts a reply to a reply into the same thread.
    return {"thread_ts": parent.thread_ts or parent.ts, "reply_broadcast": args.flag("reply_broadcast")}


def _new_content(backend: Backend, args: Arguments) -> dict[str, Any]:
    content = parse_content(args.raw, backend.has_picture)
    if not {"text", "blocks", "attachments"} & set(content):
        raise SlackError("no_text")
    # New text replaces the old blocks and attachments: https://docs.slack.dev/reference/methods/chat.update
    return {"blocks": [], "attachments": [], **content} if "text" in content else content


def _truncation_warning(args: Arguments) -> JSON:
    if len(args.text("text")) <= TEXT_MAX:
        return {}
    return {"warning": "message_truncated", "response_metadata": {"warnings": ["message_truncated"]}}


# Scopes, JSON support and tiers: slack-ruby/slack-api-ref, methods/chat.
METHODS = {
    "chat.postMessage": ApiMethod(post_message, ("chat:write",), tier=5),
    "chat.update": ApiMethod(update, ("chat:write",), tier=3),
    "chat.delete": ApiMethod(delete, ("chat:write",), tier=3),
    "chat.postEphemeral": ApiMethod(post_ephemeral, ("chat:write",), tier=4),
    "chat.unfurl": ApiMethod(unfurl, ("links:write",), tier=3),
    "chat.getPermalink": ApiMethod(get_permalink, (), tier=4, reads_json=False),
}
