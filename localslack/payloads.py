"""The payloads that Slack sends to an app, as pure functions. Tests use them to forge and replay payloads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

JSON = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Installation:
    """The workspace and the app in a payload.

    enterprise: the ID and name of the workspace's Enterprise Grid, or None.
    """

    team_id: str = "T0LOCAL"
    team_domain: str = "local"
    api_app_id: str = "A0LOCALAPP"
    bot_user_id: str = "U0LOCALAPP"
    token: str = "verification-token"  # noqa: S105 - Slack's old verification token, not a real one
    enterprise: JSON | None = None


@dataclass(frozen=True, kw_only=True)
class Actor:
    """The person who acted. A stranger's team_id differs from the installation's."""

    id: str
    name: str
    team_id: str = "T0LOCAL"


@dataclass(frozen=True, kw_only=True)
class ChannelRef:
    """The conversation in which an action took place."""

    id: str
    name: str


def slash_command(
    command: str,
    text: str,
    *,
    actor: Actor,
    place: ChannelRef,
    origin: Installation = Installation(),
    response_url: str = "",
    trigger_id: str = "",
) -> JSON:
    """Return the payload of a slash command. All values are strings, because it's sent as a form."""
    return organization(origin) | {
        "token": origin.token,
        "team_id": actor.team_id,
        "team_domain": origin.team_domain,
        "channel_id": place.id,
        "channel_name": place.name,
        "user_id": actor.id,
        "user_name": actor.name,
        "command": command,
        "text": text,
        "api_app_id": origin.api_app_id,
        "is_enterprise_install": "false",
        "response_url": response_url,
        "trigger_id": trigger_id,
    }


def block_actions(  # noqa: PLR0913 - all parts of the payload, keyword-only
    action: JSON,
    *,
    actor: Actor,
    container: JSON,
    origin: Installation = Installation(),
    place: ChannelRef | None = None,
    message: JSON | None = None,
    view: JSON | None = None,
    state: JSON | None = None,
    response_url: str | None = None,
    trigger_id: str = "",
) -> JSON:
    """Return the payload of a click or choice.

    For a click in a message, pass place, message (unless it's ephemeral), state, and response_url; in a view, pass
    view.
    """
    payload = _interaction_payload("block_actions", actor, origin)
    payload |= {"container": container, "trigger_id": trigger_id}
    if view is not None:
        payload["view"] = view
    if place is not None:
        payload["channel"] = {"id": place.id, "name": place.name}
        payload["state"] = {"values": state or {}}
    if message is not None:
        payload["message"] = message
    if response_url is not None:
        payload["response_url"] = response_url
    return payload | {"actions": [action]}


def click_in_view(
    action: JSON, *, actor: Actor, view: JSON, origin: Installation = Installation(), trigger_id: str = ""
) -> JSON:
    """Return the payload of a click or choice in a modal or on the Home tab; the view contains its state."""
    container = {"type": "view", "view_id": view["id"]}
    return block_actions(action, actor=actor, container=container, origin=origin, view=view, trigger_id=trigger_id)


def block_suggestion(
    query: JSON,
    *,
    actor: Actor,
    container: JSON,
    origin: Installation = Installation(),
    place: ChannelRef | None = None,
    message: JSON | None = None,
    view: JSON | None = None,
) -> JSON:
    """Return the payload of typing into a menu with external options; query has block_id, action_id, and value."""
    payload = _interaction_payload("block_suggestion", actor, origin) | {"container": container} | query
    surface = {"view": view, "message": message, "channel": place and {"id": place.id, "name": place.name}}
    return payload | {name: value for name, value in surface.items() if value is not None}


def shortcut(
    callback_id: str, *, actor: Actor, action_ts: str, origin: Installation = Installation(), trigger_id: str = ""
) -> JSON:
    """Return the payload of a global shortcut."""
    return _shortcut_payload("shortcut", callback_id, actor, origin) | {
        "action_ts": action_ts,
        "trigger_id": trigger_id,
    }


def message_shortcut(
    callback_id: str,
    message: JSON,
    *,
    actor: Actor,
    place: ChannelRef,
    action_ts: str,
    origin: Installation = Installation(),
    response_url: str = "",
    trigger_id: str = "",
) -> JSON:
    """Return the payload of a shortcut on a message."""
    return _shortcut_payload("message_action", callback_id, actor, origin) | {
        "action_ts": action_ts,
        "trigger_id": trigger_id,
        "response_url": response_url,
        "channel": {"id": place.id, "name": place.name},
        "message_ts": message["ts"],
        "message": message,
    }


def home_view(
    blocks: list[JSON] | None = None, *, view_id: str = "V0HOME", origin: Installation = Installation(), **fields: Any
) -> JSON:
    """Return a published Home tab as it appears in payloads.

    fields: more fields, with Slack's names, such as private_metadata or hash.
    """
    view: JSON = {
        "id": view_id,
        "team_id": origin.team_id,
        "type": "home",
        "blocks": blocks or [],
        "private_metadata": "",
        "callback_id": "",
        "state": {"values": {}},
        "hash": "1.000000.home",
        "root_view_id": view_id,
        "previous_view_id": None,
        "app_id": origin.api_app_id,
        "external_id": "",
    }
    return view | fields


def view_submission(
    view: JSON,
    *,
    actor: Actor,
    origin: Installation = Installation(),
    trigger_id: str = "",
    response_urls: list[JSON] | None = None,
) -> JSON:
    """Return the payload of a submitted modal; the view contains its state."""
    extra = {"trigger_id": trigger_id, "view": view, "response_urls": response_urls or []}
    return _interaction_payload("view_submission", actor, origin) | extra


def view_closed(view: JSON, *, actor: Actor, origin: Installation = Installation(), is_cleared: bool = False) -> JSON:
    """Return the payload of a modal that was closed without being submitted."""
    return _interaction_payload("view_closed", actor, origin) | {"view": view, "is_cleared": is_cleared}


def event_callback(
    event: JSON, *, event_id: str, event_time: int, origin: Installation = Installation(), is_shared: bool = False
) -> JSON:
    """Return an event in the Events API's outer envelope. is_shared: whether strangers are in the conversation."""
    enterprise_id = origin.enterprise["id"] if origin.enterprise else None
    return {
        "token": origin.token,
        "team_id": origin.team_id,
        "enterprise_id": enterprise_id,
        "api_app_id": origin.api_app_id,
        "event": event,
        "type": "event_callback",
        "event_id": event_id,
        "event_time": event_time,
        "is_ext_shared_channel": is_shared,
        "authorizations": [
            {
                "enterprise_id": enterprise_id,
                "team_id": origin.team_id,
                "user_id": origin.bot_user_id,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
    }


def app_home_opened(
    *,
    actor: Actor,
    place: ChannelRef,
    origin: Installation = Installation(),
    event_id: str = "Ev0HOME",
    event_ts: str = "1.000000",
    tab: str = "home",
    view: JSON | None = None,
) -> JSON:
    """Return the event for opening the app's Home tab.

    place: the person's conversation with the app. view: the published view, or None.
    """
    event: JSON = {"type": "app_home_opened", "user": actor.id, "channel": place.id, "tab": tab, "event_ts": event_ts}
    if view is not None:
        event["view"] = view
    return event_callback(event, event_id=event_id, event_time=int(float(event_ts)), origin=origin)


def container_of(message: JSON, channel_id: str, *, is_ephemeral: bool = False) -> JSON:
    """Return the container for block_actions in a message."""
    container = {
        "type": "message",
        "message_ts": message["ts"],
        "channel_id": channel_id,
        "is_ephemeral": is_ephemeral,
    }
    if thread_ts := message.get("thread_ts"):
        container["thread_ts"] = thread_ts
    return container


def button_action(button: JSON, block_id: str, action_ts: str) -> JSON:
    """Return the entry in `actions` for a button."""
    kept_fields = ("action_id", "text", "value", "style", "type", "confirm", "url")
    fields = {name: button[name] for name in kept_fields if name in button}
    return {**fields, "block_id": block_id, "action_ts": action_ts}


def as_http_body(payload: JSON) -> tuple[bytes, str]:
    """Return a payload's HTTP body and content type."""
    if payload.get("type") == "event_callback":
        return json.dumps(payload).encode(), "application/json"
    form = payload if "command" in payload else {"payload": json.dumps(payload)}
    return urlencode(form).encode(), "application/x-www-form-urlencoded"


def _shortcut_payload(kind: str, callback_id: str, actor: Actor, origin: Installation) -> JSON:
    payload = _interaction_payload(kind, actor, origin) | {"callback_id": callback_id}
    # The only interaction without the app's ID.
    del payload["api_app_id"]
    return payload


def _interaction_payload(kind: str, actor: Actor, origin: Installation) -> JSON:
    return {
        "type": kind,
        "team": {"id": origin.team_id, "domain": origin.team_domain} | organization(origin),
        "user": {
            "id": actor.id,
            "username": actor.name,
            "name": actor.name,
            "team_id": actor.team_id,
        },
        "api_app_id": origin.api_app_id,
        "token": origin.token,
        "enterprise": origin.enterprise,
        "is_enterprise_install": False,
    }


def organization(origin: Installation) -> JSON:
    """Return a workspace's Enterprise Grid fields, or {} if it isn't in a Grid."""
    grid = origin.enterprise
    return {"enterprise_id": grid["id"], "enterprise_name": grid["name"]} if grid else {}
