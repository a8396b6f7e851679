"""The events that the app's manifest subscribes to."""

from __future__ import annotations

import re
import secrets

from localslack import payloads
from localslack.backend import Backend
from localslack.workspace import objects
from localslack.workspace.message_content import shared_links
from localslack.workspace.records import JSON, Conversation, PostedMessage, User

EVENT_SUFFIXES = {"im": "im", "private_channel": "groups", "public_channel": "channels"}


def announce_message(backend: Backend, channel: Conversation, message: PostedMessage) -> None:
    """Send the events for a person's message, if the app subscribes to them.

    Except for link_shared, the app must also be in the conversation.
    """
    event = objects.message_object(backend.workspace, message) | {"event_ts": message.ts}
    _send_message_event(backend, channel, event)
    mention = re.search(rf"<@{backend.workspace.app.bot_user_id}[|>]", message.text)
    # In a direct conversation, a mention sends no event: https://docs.slack.dev/reference/events/app_mention
    if mention and not channel.is_im and _is_subscribed(backend, channel, "app_mention"):
        _send_event(backend, channel, event | {"type": "app_mention", "channel": channel.id})
    _announce_links(backend, channel, message)


def _announce_links(backend: Backend, channel: Conversation, message: PostedMessage) -> None:
    """Send link_shared for links to the manifest's domains; the app doesn't have to be in the conversation."""
    links = shared_links(backend.manifest.unfurl_domains, message.text)
    if not links or "link_shared" not in backend.manifest.bot_events or "links:read" not in backend.manifest.scopes:
        return
    event = {
        "type": "link_shared",
        "user": message.user,
        "channel": channel.id,
        "message_ts": message.ts,
        "unfurl_id": f"{channel.id}-{message.ts}",
        "source": "conversations_history",
        "is_bot_user_member": backend.workspace.app.bot_user_id in channel.members,
        "links": links,
        "event_ts": backend.workspace.next_ts(),
    }
    thread = {"thread_ts": message.thread_ts} if message.thread_ts else {}
    _send_event(backend, channel, event | thread)


def announce_change(backend: Backend, channel: Conversation, previous_message: JSON, edited: PostedMessage) -> None:
    """Send message_changed, because a person edited a message or a tombstone replaced it.

    previous_message: the message object before the change.
    """
    _send_message_event(
        backend,
        channel,
        _hidden_event(backend, "message_changed", previous_message)
        | {"message": objects.message_object(backend.workspace, edited)},
    )


def announce_deletion(backend: Backend, channel: Conversation, previous_message: JSON) -> None:
    """Send message_deleted; previous_message is the message object before the deletion."""
    _send_message_event(
        backend,
        channel,
        _hidden_event(backend, "message_deleted", previous_message) | {"deleted_ts": previous_message["ts"]},
    )


def announce_reaction(
    backend: Backend, channel: Conversation, message: PostedMessage, reaction: JSON, *, added: bool
) -> None:
    """Send reaction_added or reaction_removed; reaction contains the user and the reaction's name."""
    kind = "reaction_added" if added else "reaction_removed"
    if _is_subscribed(backend, channel, kind):
        item = {"type": "message", "channel": channel.id, "ts": message.ts}
        details = {"item": item, "item_user": message.user, "event_ts": backend.workspace.next_ts()}
        _send_event(backend, channel, {"type": kind, **reaction, **details})


def announce_home_opened(backend: Backend, person: User) -> None:
    """Send app_home_opened."""
    if "app_home_opened" not in backend.manifest.bot_events:
        return
    view = backend.views.home(person.id)
    backend.router.send_event(
        payloads.app_home_opened(
            actor=backend.actor(person),
            place=backend.channel_ref(backend.workspace.open_direct_message(person)),
            origin=backend.installation,
            event_id=_event_id(),
            event_ts=backend.workspace.next_ts(),
            # A copy, because a redelivery has to repeat the original content.
            view=dict(view) if view else None,
        )
    )


def _hidden_event(backend: Backend, subtype: str, previous_message: JSON) -> JSON:
    ts = backend.workspace.next_ts()
    return {
        "type": "message",
        "subtype": subtype,
        "hidden": True,
        "ts": ts,
        "event_ts": ts,
        "previous_message": previous_message,
    }


def _send_message_event(backend: Backend, channel: Conversation, event: JSON) -> None:
    kind = EVENT_SUFFIXES[channel.kind]
    if _is_subscribed(backend, channel, f"message.{kind}"):
        _send_event(backend, channel, event | {"channel": channel.id, "channel_type": kind.removesuffix("s")})


def _is_subscribed(backend: Backend, channel: Conversation, event: str) -> bool:
    return event in backend.manifest.bot_events and backend.workspace.app.bot_user_id in channel.members


def _send_event(backend: Backend, channel: Conversation, event: JSON) -> None:
    backend.router.send_event(
        payloads.event_callback(
            event,
            event_id=_event_id(),
            event_time=int(backend.clock.now()),
            origin=backend.installation,
            is_shared=backend.workspace.is_shared(channel),
        )
    )


def _event_id() -> str:
    return f"Ev{secrets.token_hex(5).upper()}"
