"""Using the app's shortcuts."""

from __future__ import annotations

from localslack import payloads
from localslack.backend import Backend
from localslack.core.errors import SlackError
from localslack.interactions.access import require_active_user, require_visible_message
from localslack.manifest import Shortcut
from localslack.workspace import objects
from localslack.workspace.records import JSON


async def use_global_shortcut(backend: Backend, user: str, name: str) -> JSON:
    """Use a global shortcut by its callback_id or name. Raises SlackError."""
    person, shortcut = require_active_user(backend, user), _find_shortcut(backend, "global", name)
    payload = payloads.shortcut(
        shortcut.callback_id,
        actor=backend.actor(person),
        action_ts=backend.workspace.next_ts(),
        origin=backend.installation,
        trigger_id=backend.triggers.issue(person.id),
    )
    return (await backend.router.send_interaction(payload)).acknowledgement()


async def use_message_shortcut(backend: Backend, user: str, name: str, channel_name: str, ts: str) -> JSON:
    """Use a shortcut on a message that isn't ephemeral; the app doesn't have to be in the conversation."""
    shortcut = _find_shortcut(backend, "message", name)
    person, channel, message = require_visible_message(backend, user, channel_name, ts)
    if message.audience is not None:
        raise SlackError("message_not_found")
    payload = payloads.message_shortcut(
        shortcut.callback_id,
        objects.message_object(backend.workspace, message),
        actor=backend.actor(person),
        place=backend.channel_ref(channel),
        action_ts=backend.workspace.next_ts(),
        origin=backend.installation,
        response_url=backend.base_url + backend.response_urls.issue("app", person.id, channel.id),
        trigger_id=backend.triggers.issue(person.id),
    )
    return (await backend.router.send_interaction(payload)).acknowledgement()


def _find_shortcut(backend: Backend, kind: str, name: str) -> Shortcut:
    shortcut = backend.manifest.shortcut(kind, name)
    if shortcut is None:
        raise SlackError("not_found", messages=[f"the manifest has no {kind} shortcut {name!r}"])
    return shortcut
