"""What the app is told without having asked: the events that its manifest subscribes to."""

from __future__ import annotations

import secrets

from localslack import payloads, shapes
from localslack.core import Core
from localslack.model import JSON, Channel, Message, Person

KINDS = {"im": "im", "private_channel": "groups", "public_channel": "channels"}


def announce(core: Core, channel: Channel, message: Message) -> None:
    """Tell the app of a person's message, if it subscribes to it and is there to hear."""
    app, wanted = core.space.app, core.manifest.bot_events
    if app.bot_user_id not in channel.members:
        return
    kind = KINDS[channel.kind]
    event = shapes.message(core.space, message)
    event |= {"channel": channel.id, "event_ts": message.ts, "channel_type": kind.removesuffix("s")}
    if f"message.{kind}" in wanted:
        _send(core, channel, event)
    if "app_mention" in wanted and f"<@{app.bot_user_id}" in message.text:
        _send(core, channel, event | {"type": "app_mention"})


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
