"""What the app is told without having asked: the events that its manifest subscribes to."""

from __future__ import annotations

import re
import secrets

from localslack import payloads
from localslack.backend import Core
from localslack.workspace import objects
from localslack.workspace.records import JSON, Channel, Message, Person

KINDS = {"im": "im", "private_channel": "groups", "public_channel": "channels"}


def announce(core: Core, channel: Channel, message: Message) -> None:
    """Tell the app of a person's message, if it subscribes to it and is there to hear."""
    event = objects.message(core.space, message) | {"event_ts": message.ts}
    _tell(core, channel, event)
    mention = re.search(rf"<@{core.space.app.bot_user_id}[|>]", message.text)
    # In a direct conversation, a mention isn't an event: https://docs.slack.dev/reference/events/app_mention
    if mention and not channel.is_im and _hears(core, channel, "app_mention"):
        _send(core, channel, event | {"type": "app_mention", "channel": channel.id})


def announce_change(core: Core, channel: Channel, before: JSON, now: Message) -> None:
    """Tell the app that a person edited a message, or that a tombstone replaced a thread's first one."""
    _tell(core, channel, _hidden(core, "message_changed", before) | {"message": objects.message(core.space, now)})


def announce_deletion(core: Core, channel: Channel, before: JSON) -> None:
    """Tell the app that a person deleted a message."""
    _tell(core, channel, _hidden(core, "message_deleted", before) | {"deleted_ts": before["ts"]})


def announce_reaction(core: Core, channel: Channel, message: Message, about: JSON, *, added: bool) -> None:
    """Tell the app about a reaction that someone added or removed; about has the user and the reaction."""
    kind = "reaction_added" if added else "reaction_removed"
    if _hears(core, channel, kind):
        item = {"type": "message", "channel": channel.id, "ts": message.ts}
        more = {"item": item, "item_user": message.user, "event_ts": core.space.next_ts()}
        _send(core, channel, {"type": kind, **about, **more})


def announce_visit(core: Core, person: Person) -> None:
    """Tell the app that a person opened its Home tab, if it subscribes to that."""
    if "app_home_opened" not in core.manifest.bot_events:
        return
    view = core.views.home(person.id)
    core.post.event(
        payloads.app_home_opened(
            actor=core.actor(person),
            place=core.place(core.space.direct_channel(person)),
            origin=core.origin,
            event_id=_event_id(),
            event_ts=core.space.next_ts(),
            # A copy, because what is delivered again is what was there at first.
            view=dict(view) if view else None,
        )
    )


def _hidden(core: Core, subtype: str, before: JSON) -> JSON:
    ts = core.space.next_ts()
    return {
        "type": "message",
        "subtype": subtype,
        "hidden": True,
        "ts": ts,
        "event_ts": ts,
        "previous_message": before,
    }


def _tell(core: Core, channel: Channel, event: JSON) -> None:
    kind = KINDS[channel.kind]
    if _hears(core, channel, f"message.{kind}"):
        _send(core, channel, event | {"channel": channel.id, "channel_type": kind.removesuffix("s")})


def _hears(core: Core, channel: Channel, event: str) -> bool:
    return event in core.manifest.bot_events and core.space.app.bot_user_id in channel.members


def _send(core: Core, channel: Channel, event: JSON) -> None:
    core.post.event(
        payloads.event_callback(
            event,
            event_id=_event_id(),
            event_time=int(core.clock.now()),
            origin=core.origin,
            is_shared=core.space.is_shared(channel),
        )
    )


def _event_id() -> str:
    return f"Ev{secrets.token_hex(5).upper()}"
