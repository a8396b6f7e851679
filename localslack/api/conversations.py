"""conversations.*: channels, their members and what was said in them."""

from __future__ import annotations

from localslack.api.arguments import Args
from localslack.api.method import JSON, Method
from localslack.api.visibility import visible
from localslack.backend import Core
from localslack.core.errors import SlackError
from localslack.workspace import objects
from localslack.workspace.records import Channel, Message
from localslack.workspace.state import stamp

TYPES = {"public_channel": "channels", "private_channel": "groups", "im": "im", "mpim": "mpim"}
LISTED_MAX = 1000


def list_(core: Core, args: Args) -> JSON:
    """conversations.list: public channels, and the private ones that the app is in.

    Like Slack it takes a page before it looks at what is on it, so that a page can be short, or empty, and not be the
    last one (python-slack-sdk#1494).
    """
    types = args.names("types") or ["public_channel"]
    for kind in types:
        if kind not in TYPES:
            raise SlackError("invalid_types")
        core.require_scope(f"{TYPES[kind]}:read")
    limit = args.limit(default=100, at_most=LISTED_MAX + 1)
    if limit > LISTED_MAX:
        raise SlackError("invalid_limit")
    page, cursor = args.page(list(core.space.channels.values()), limit)
    without_archived = args.flag("exclude_archived")
    shown = [room for room in page if _is_listed(core, room, types) and not (without_archived and room.is_archived)]
    channels = [objects.channel(core.space, room) for room in shown]
    return {"channels": channels, "response_metadata": {"next_cursor": cursor}}


def info(core: Core, args: Args) -> JSON:
    """conversations.info."""
    room = _readable(core, args, "read")
    shape = objects.channel(core.space, room)
    if not args.flag("include_num_members"):
        shape.pop("num_members", None)
    return {"channel": shape}


def members(core: Core, args: Args) -> JSON:
    """conversations.members."""
    room = _readable(core, args, "read")
    shown, cursor = args.page(room.members, args.limit(default=100))
    return {"members": shown, "response_metadata": {"next_cursor": cursor}}


def history(core: Core, args: Args) -> JSON:
    """conversations.history: newest first, from inside the conversation only."""
    room = _inside(core, args)
    lasting = [message for message in core.space.messages(room) if message.audience is None]
    shown = [message for message in lasting if not message.is_reply or message.reply_broadcast]
    within = list(reversed(_between(shown, args)))
    page, cursor = args.page(within, args.limit(default=100, at_most=999))
    return _messages(core, args, page, cursor) | {"pin_count": 0, "channel_actions_ts": None}


def replies(core: Core, args: Args) -> JSON:
    """conversations.replies: the first message and its answers, oldest first.

    The first message comes again on each page, and before any `oldest`.
    """
    room = _inside(core, args)
    try:
        found = core.space.message(room, args.required("ts"))
        parent = core.space.message(room, found.thread_ts or found.ts)
    except SlackError as refusal:
        code = "thread_not_found" if refusal.code == "message_not_found" else refusal.code
        raise SlackError(code, messages=refusal.messages) from None
    beside_it = max(1, args.limit(default=1000) - 1)
    page, cursor = args.page(_between(core.space.replies(parent), args), beside_it)
    return _messages(core, args, [parent, *page], cursor)


def open_(core: Core, args: Args) -> JSON:
    """conversations.open: the direct conversation with one person."""
    if channel := args.text("channel"):
        room = visible(core, channel)
        if not room.is_im:
            raise SlackError("method_not_supported_for_channel_type")
        return _opened(core, room, args, already=True)
    users = args.names("users")
    if not users:
        raise SlackError("users_list_not_supplied")
    if len(users) > 1:
        core.require_scope("mpim:write")
        # Conversations of several people are not part of this workspace.
        raise SlackError("invalid_user_combination")
    return _open_with(core, users[0], args)


def join(core: Core, args: Args) -> JSON:
    """conversations.join: the app joins a public channel."""
    room = visible(core, args.required("channel"))
    if room.kind != "public_channel":
        raise SlackError("method_not_supported_for_channel_type")
    if room.is_archived:
        raise SlackError("is_archived")
    already = core.space.app.bot_user_id in room.members
    core.space.join(room, core.space.app.bot_user_id)
    answer: JSON = {"channel": objects.channel(core.space, room)}
    if already:
        answer |= {"warning": "already_in_channel", "response_metadata": {"warnings": ["already_in_channel"]}}
    return answer


def _open_with(core: Core, user: str, args: Args) -> JSON:
    core.require_scope("im:write")
    if user not in core.space.people:
        raise SlackError("user_not_found")
    person = core.space.people[user]
    if person.deleted:
        raise SlackError("user_disabled")
    already = "D" + person.id[1:] in core.space.channels
    return _opened(core, core.space.direct_channel(person), args, already)


def _opened(core: Core, room: Channel, args: Args, already: bool) -> JSON:
    shape = objects.channel(core.space, room) if args.flag("return_im") else {"id": room.id}
    extra = {"no_op": True, "already_open": True} if already else {}
    return {"channel": shape, **extra}


def _is_listed(core: Core, room: Channel, types: list[str]) -> bool:
    mine = core.space.app.bot_user_id in room.members
    return room.kind in types and (mine or room.kind == "public_channel")


def _readable(core: Core, args: Args, right: str) -> Channel:
    channel_id = args.required("channel")
    if channel_id not in core.space.channels:
        raise SlackError("channel_not_found")
    room = visible(core, channel_id)
    core.require_scope(f"{room.scope_prefix}:{right}")
    return room


def _inside(core: Core, args: Args) -> Channel:
    room = _readable(core, args, "history")
    if core.space.app.bot_user_id not in room.members:
        raise SlackError("not_in_channel")
    return room


def _between(messages: list[Message], args: Args) -> list[Message]:
    oldest, latest = _bound(args, "oldest", 0), _bound(args, "latest", 10**18)
    edge = 0 if args.flag("inclusive") else 1
    return [message for message in messages if oldest + edge <= stamp(message.ts) <= latest - edge]


def _bound(args: Args, name: str, default: int) -> int:
    value = args.text(name)
    if not value or value in ("0", "now"):
        return default
    try:
        return stamp(value)
    except ValueError:
        raise SlackError(f"invalid_ts_{name}") from None


def _messages(core: Core, args: Args, page: list[Message], cursor: str) -> JSON:
    with_metadata = args.flag("include_all_metadata")
    shown = [objects.message(core.space, message, with_metadata=with_metadata) for message in page]
    answer: JSON = {"messages": shown, "has_more": bool(cursor)}
    if cursor:
        answer["response_metadata"] = {"next_cursor": cursor}
    return answer


# Scopes, JSON support and tiers: slack-ruby/slack-api-ref, methods/conversations. Which of the scopes is
# needed depends on the conversation and is asked again in the handler.
_READ = ("channels:read", "groups:read", "im:read", "mpim:read")
_HISTORY = ("channels:history", "groups:history", "im:history", "mpim:history")
METHODS = {
    "conversations.list": Method(list_, _READ, tier=2, reads_json=False),
    "conversations.info": Method(info, _READ, tier=3, reads_json=False),
    "conversations.members": Method(members, _READ, tier=4, reads_json=False),
    "conversations.history": Method(history, _HISTORY, tier=3),
    "conversations.replies": Method(replies, _HISTORY, tier=3),
    "conversations.open": Method(open_, ("im:write", "mpim:write"), tier=3),
    "conversations.join": Method(join, ("channels:join",), tier=3),
}
