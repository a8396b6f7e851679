"""Using the app's shortcuts: global ones, and those in the menu of a message."""

from __future__ import annotations

from localslack import payloads
from localslack.backend import Core
from localslack.core.errors import SlackError
from localslack.interactions.access import awake, message_for
from localslack.manifest import Shortcut
from localslack.workspace import objects
from localslack.workspace.records import JSON


async def uses(core: Core, who: str, name: str) -> JSON:
    """Use a global shortcut, by its callback_id or name; raises SlackError."""
    person, declared = awake(core, who), _declared(core, "global", name)
    payload = payloads.shortcut(
        declared.callback_id,
        actor=core.actor(person),
        action_ts=core.space.next_ts(),
        origin=core.origin,
        trigger_id=core.triggers.issue(person.id),
    )
    return (await core.post.interaction(payload)).told()


async def uses_on(core: Core, who: str, name: str, where: str, ts: str) -> JSON:
    """Use a shortcut on a lasting message that the person sees; the app needn't be in the conversation."""
    declared = _declared(core, "message", name)
    person, channel, message = message_for(core, who, where, ts)
    if message.audience is not None:
        raise SlackError("message_not_found")
    payload = payloads.message_shortcut(
        declared.callback_id,
        objects.message(core.space, message),
        actor=core.actor(person),
        place=core.place(channel),
        action_ts=core.space.next_ts(),
        origin=core.origin,
        response_url=core.base_url + core.hooks.issue("app", person.id, channel.id),
        trigger_id=core.triggers.issue(person.id),
    )
    return (await core.post.interaction(payload)).told()


def _declared(core: Core, kind: str, name: str) -> Shortcut:
    declared = core.manifest.shortcut(kind, name)
    if declared is None:
        raise SlackError("not_found", messages=[f"the manifest has no {kind} shortcut {name!r}"])
    return declared
