"""conversations.*: channels, their members, and their messages."""

from __future__ import annotations

from localslack.api.arguments import Arguments
from localslack.api.method import JSON, ApiMethod
from localslack.api.visibility import require_visible_channel
from localslack.backend import Backend
from localslack.core.errors import SlackError
from localslack.workspace import objects
from localslack.workspace.message_index import ts_to_microseconds
from localslack.workspace.records import Conversation, PostedMessage

TYPES = {"public_channel": "channels", "private_channel": "groups", "im": "im", "mpim": "mpim"}
LIMIT_MAX = 1000


def list_(backend: Backend, args: Arguments) -> JSON:
    """conversations.list: return public channels and the other conversations that the app is in.

    Returns only those of the requested types, by default public channels. Like Slack, it filters after paging, so a
    page can be short or empty without being the last (python-slack-sdk#1494).
    """
    types = args.listed("types") or ["public_channel"]
    for kind in types:
        if kind not in TYPES:
            raise SlackError("invalid_types")
        backend.require_scope(f"{TYPES[kind]}:read")
    limit = args.limit(default=100, at_most=LIMIT_MAX + 1)
    if limit > LIMIT_MAX:
        raise SlackError("invalid_limit")
    page, cursor = args.page(list(backend.workspace.channels.values()), limit)
    without_archived = args.flag("exclude_archived")
    listed = [
        channel
        for channel in page
        if _is_listed(backend, channel, types) and not (without_archived and channel.is_archived)
    ]
    channels = [objects.conversation_object(backend.workspace, channel) for channel in listed]
    return {"channels": channels, "response_metadata": {"next_cursor": cursor}}


def info(backend: Backend, args: Arguments) -> JSON:
    """conversations.info: describe one conversation."""
    channel = _require_readable(backend, args, "read")
    conversation_object = objects.conversation_object(backend.workspace, channel)
    if not args.flag("include_num_members"):
        conversation_object.pop("num_members", None)
    return {"channel": conversation_object}


def members(backend: Backend, args: Arguments) -> JSON:
    """conversations.members: return the IDs of a conversation's members."""
    channel = _require_readable(backend, args, "read")
    page, cursor = args.page(channel.members, args.limit(default=100))
    return {"members": page, "response_metadata": {"next_cursor": cursor}}


def history(backend: Backend, args: Arguments) -> JSON:
    """conversations.history: return the messages in a conversation that the app is in, newest first."""
    channel = _require_membership(backend, args)
    persistent = [message for message in backend.workspace.messages(channel) if message.audience is None]
    channel_messages = [message for message in persistent if not message.is_reply or message.reply_broadcast]
    newest_first = list(reversed(_within_bounds(channel_messages, args)))
    page, cursor = args.page(newest_first, args.limit(default=100, at_most=999))
    return _messages_page(backend, args, page, cursor) | {"pin_count": 0, "channel_actions_ts": None}


def replies(backend: Backend, args: Arguments) -> JSON:
    """conversations.replies: return a thread's parent message and its replies, oldest first.

    Each page starts with the parent message, regardless of `oldest`.
    """
    channel = _require_membership(backend, args)
    try:
        message = backend.workspace.message(channel, args.required("ts"))
        parent = backend.workspace.message(channel, message.thread_ts or message.ts)
    except SlackError as refusal:
        code = "thread_not_found" if refusal.code == "message_not_found" else refusal.code
        raise SlackError(code, messages=refusal.messages) from None
    replies_per_page = max(1, args.limit(default=1000) - 1)
    page, cursor = args.page(_within_bounds(backend.workspace.replies(parent), args), replies_per_page)
    return _messages_page(backend, args, [parent, *page], cursor)


def open_(backend: Backend, args: Arguments) -> JSON:
    """conversations.open: open the app's direct conversation with one person."""
    if channel_id := args.text("channel"):
        channel = require_visible_channel(backend, channel_id)
        if not channel.is_im:
            raise SlackError("method_not_supported_for_channel_type")
        return _open_result(backend, channel, args, was_open=True)
    users = args.listed("users")
    if not users:
        raise SlackError("users_list_not_supplied")
    if len(users) > 1:
        backend.require_scope("mpim:write")
        # This workspace has no group direct messages.
        raise SlackError("invalid_user_combination")
    return _open_direct_message(backend, users[0], args)


def join(backend: Backend, args: Arguments) -> JSON:
    """conversations.join: add the app to a public channel."""
    channel = require_visible_channel(backend, args.required("channel"))
    if channel.kind != "public_channel":
        raise SlackError("method_not_supported_for_channel_type")
    if channel.is_archived:
        raise SlackError("is_archived")
    was_member = backend.workspace.app.bot_user_id in channel.members
    backend.workspace.join(channel, backend.workspace.app.bot_user_id)
    answer: JSON = {"channel": objects.conversation_object(backend.workspace, channel)}
    if was_member:
        answer |= {"warning": "already_in_channel", "response_metadata": {"warnings": ["already_in_channel"]}}
    return answer


def _open_direct_message(backend: Backend, user: str, args: Arguments) -> JSON:
    backend.require_scope("im:write")
    if user not in backend.workspace.people:
        raise SlackError("user_not_found")
    person = backend.workspace.people[user]
    if person.deleted:
        raise SlackError("user_disabled")
    was_open = "D" + person.id[1:] in backend.workspace.channels
    return _open_result(backend, backend.workspace.open_direct_message(person), args, was_open)


def _open_result(backend: Backend, channel: Conversation, args: Arguments, was_open: bool) -> JSON:
    channel_object = (
        objects.conversation_object(backend.workspace, channel) if args.flag("return_im") else {"id": channel.id}
    )
    extra = {"no_op": True, "already_open": True} if was_open else {}
    return {"channel": channel_object, **extra}


def _is_listed(backend: Backend, channel: Conversation, types: list[str]) -> bool:
    is_member = backend.workspace.app.bot_user_id in channel.members
    return channel.kind in types and (is_member or channel.kind == "public_channel")


def _require_readable(backend: Backend, args: Arguments, access: str) -> Conversation:
    channel_id = args.required("channel")
    if channel_id not in backend.workspace.channels:
        raise SlackError("channel_not_found")
    channel = require_visible_channel(backend, channel_id)
    backend.require_scope(f"{channel.scope_prefix}:{access}")
    return channel


def _require_membership(backend: Backend, args: Arguments) -> Conversation:
    channel = _require_readable(backend, args, "history")
    if backend.workspace.app.bot_user_id not in channel.members:
        raise SlackError("not_in_channel")
    return channel


def _within_bounds(messages: list[PostedMessage], args: Arguments) -> list[PostedMessage]:
    oldest, latest = _bound(args, "oldest", 0), _bound(args, "latest", 10**18)
    margin = 0 if args.flag("inclusive") else 1
    return [message for message in messages if oldest + margin <= ts_to_microseconds(message.ts) <= latest - margin]


def _bound(args: Arguments, name: str, default: int) -> int:
    value = args.text(name)
    if not value or value in ("0", "now"):
        return default
    try:
        return ts_to_microseconds(value)
    except ValueError:
        raise SlackError(f"invalid_ts_{name}") from None


def _messages_page(backend: Backend, args: Arguments, page: list[PostedMessage], cursor: str) -> JSON:
    with_metadata = args.flag("include_all_metadata")
    message_objects = [
        objects.message_object(backend.workspace, message, with_metadata=with_metadata) for message in page
    ]
    answer: JSON = {"messages": message_objects, "has_more": bool(cursor)}
    if cursor:
        answer["response_metadata"] = {"next_cursor": cursor}
    return answer


# Scopes, JSON support and tiers: slack-ruby/slack-api-ref, methods/conversations. Which of the scopes is
# needed depends on the conversation, so the handler checks again.
_READ = ("channels:read", "groups:read", "im:read", "mpim:read")
_HISTORY = ("channels:history", "groups:history", "im:history", "mpim:history")
METHODS = {
    "conversations.list": ApiMethod(list_, _READ, tier=2, reads_json=False),
    "conversations.info": ApiMethod(info, _READ, tier=3, reads_json=False),
    "conversations.members": ApiMethod(members, _READ, tier=4, reads_json=False),
    "conversations.history": ApiMethod(history, _HISTORY, tier=3),
    "conversations.replies": ApiMethod(replies, _HISTORY, tier=3),
    "conversations.open": ApiMethod(open_, ("im:write", "mpim:write"), tier=3),
    "conversations.join": ApiMethod(join, ("channels:join",), tier=3),
}
