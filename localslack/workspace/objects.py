"""How Slack's Web API words the workspace's records as JSON."""

from __future__ import annotations

from typing import Any

from localslack.workspace import file_objects
from localslack.workspace.records import JSON, Channel, Group, Message, Person
from localslack.workspace.state import Workspace


def user(space: Workspace, person: Person) -> JSON:
    """A user object, as users.info returns it."""
    shape: JSON = {
        "id": person.id,
        "team_id": person.team_id,
        "name": person.name,
        "deleted": person.deleted,
        "real_name": person.real_name,
        "tz": person.tz,
        "tz_label": person.tz,
        "tz_offset": 0,
        "profile": _profile(person),
        "is_admin": person.is_admin,
        "is_owner": False,
        "is_primary_owner": False,
        "is_restricted": person.is_restricted,
        "is_ultra_restricted": person.is_ultra_restricted,
        "is_bot": person.is_bot,
        "is_app_user": False,
        "updated": 1_700_000_000,
    }
    if person.enterprise_user:
        shape |= {"is_stranger": False, "enterprise_user": person.enterprise_user}
    if space.is_stranger(person):
        shape["is_stranger"] = True
    return shape


def bot_user(space: Workspace) -> JSON:
    """The user object of the app's own bot user."""
    app = space.app
    person = Person(id=app.bot_user_id, name=app.bot_handle, team_id=space.team.id, real_name=app.bot_name, is_bot=True)
    shape = user(space, person)
    shape["profile"] |= {"bot_id": app.bot_id, "api_app_id": app.id, "always_active": True}
    return shape


def channel(space: Workspace, room: Channel) -> JSON:
    """A conversation object, as conversations.info returns it."""
    if room.is_im:
        return {
            "id": room.id,
            "created": room.created,
            "is_im": True,
            "is_archived": False,
            "is_org_shared": False,
            "is_open": True,
            "user": space.partner(room),
            "is_user_deleted": space.person(space.partner(room)).deleted,
            "priority": 0,
        }
    return _room(space, room)


def message(space: Workspace, sent: Message, *, with_metadata: bool = True) -> JSON:
    """A message object, as the Web API and interaction payloads carry it."""
    shape: JSON = {"type": "message"}
    if subtype := sent.subtype or ("file_share" if sent.files else None):
        shape["subtype"] = subtype
    shape |= {"user": sent.user, "ts": sent.ts, "text": sent.text, "team": space.team.id}
    if sent.user == space.app.bot_user_id:
        shape |= {"bot_id": space.app.bot_id, "app_id": space.app.id, "bot_profile": bot_profile(space)}
    for name in ("blocks", "attachments", "edited"):
        if value := getattr(sent, name):
            shape[name] = value
    if sent.files:
        shape["files"] = [file_objects.shape(space, space.files[one]) for one in sent.files]
        shape |= {"upload": True, "display_as_bot": False}
    if sent.reactions:
        shape["reactions"] = [one | {"count": len(one["users"])} for one in sent.reactions]
    if with_metadata and sent.metadata:
        shape["metadata"] = sent.metadata
    return shape | _thread(space, sent)


def seen(space: Workspace, sent: Message) -> JSON:
    """A message as a person sees it: with its conversation, and whether nobody else sees it."""
    return message(space, sent) | {"channel": sent.channel, "is_ephemeral": sent.audience is not None}


def link(space: Workspace, sent: Message) -> str:
    """The permalink of a message, which this workspace's own page opens."""
    url = f"{space.team.url}archives/{sent.channel}/p{sent.ts.replace('.', '')}"
    return f"{url}?thread_ts={sent.thread_ts}&cid={sent.channel}" if sent.is_reply else url


def bot_profile(space: Workspace) -> JSON:
    """The bot_profile part of the app's messages."""
    app = space.app
    return {
        "id": app.bot_id,
        "app_id": app.id,
        "user_id": app.bot_user_id,
        "name": app.bot_name,
        "icons": {},
        "deleted": False,
        "updated": 1_700_000_000,
        "team_id": space.team.id,
    }


def group(space: Workspace, held: Group, *, with_users: bool = False, with_count: bool = False) -> JSON:
    """A user group object, as usergroups.list returns it."""
    shape: JSON = {
        "id": held.id,
        "team_id": space.team.id,
        "is_usergroup": True,
        "name": held.name,
        "description": "",
        "handle": held.handle,
        "is_external": False,
        "date_create": 1_700_000_000,
        "date_update": 1_700_000_000,
        "date_delete": 0,
        "auto_type": None,
        "prefs": {"channels": [], "groups": []},
    }
    if with_users:
        shape["users"] = list(held.members)
    if with_count:
        shape["user_count"] = len(held.members)
    return shape


def _profile(person: Person) -> dict[str, Any]:
    return {
        "real_name": person.real_name,
        "real_name_normalized": person.real_name,
        "display_name": person.name,
        "display_name_normalized": person.name,
        "title": person.title,
        "status_text": "",
        "status_emoji": "",
        "team": person.team_id,
    }


def _room(space: Workspace, room: Channel) -> JSON:
    return {
        "id": room.id,
        "name": room.name,
        "name_normalized": room.name,
        "is_channel": not room.is_private,
        "is_group": room.is_private,
        "is_im": False,
        "is_mpim": False,
        "is_private": room.is_private,
        "is_archived": room.is_archived,
        "is_general": room.name == "general",
        "is_member": space.app.bot_user_id in room.members,
        "is_shared": space.is_shared(room),
        "is_ext_shared": space.is_shared(room),
        "is_org_shared": False,
        "created": room.created,
        "creator": "USLACKBOT",
        "topic": {"value": "", "creator": "", "last_set": 0},
        "purpose": {"value": room.purpose, "creator": "", "last_set": 0},
        "previous_names": list(room.previous_names),
        "num_members": len(room.members),
    }


def _thread(space: Workspace, sent: Message) -> JSON:
    if sent.is_reply:
        parent = space.anything_at(space.channels[sent.channel], str(sent.thread_ts))
        return {"thread_ts": sent.thread_ts, "parent_user_id": parent.user if parent else None}
    replies = space.replies(sent) if sent.audience is None else []
    if not replies:
        return {}
    writers = list(dict.fromkeys(reply.user for reply in replies))
    return {
        "thread_ts": sent.ts,
        "reply_count": len(replies),
        "reply_users_count": len(writers),
        "reply_users": writers[:5],
        "latest_reply": replies[-1].ts,
        "is_locked": False,
        "subscribed": False,
    }
