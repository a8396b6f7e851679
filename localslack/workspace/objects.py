"""Slack's object types as JSON: users, conversations, messages, and user groups."""

from __future__ import annotations

from typing import Any

from localslack.workspace import file_objects
from localslack.workspace.records import JSON, Conversation, PostedMessage, User, UserGroup
from localslack.workspace.state import WorkspaceState


def user_object(workspace: WorkspaceState, person: User) -> JSON:
    """Return a user object, as in users.info."""
    fields: JSON = {
        "id": person.id,
        "team_id": person.team_id,
        "name": person.name,
        "deleted": person.deleted,
        "real_name": person.real_name,
        "tz": person.tz,
        "tz_label": person.tz,
        "tz_offset": 0,
        "profile": _user_profile(person),
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
        fields |= {"is_stranger": False, "enterprise_user": person.enterprise_user}
    if workspace.is_stranger(person):
        fields["is_stranger"] = True
    return fields


def bot_user_object(workspace: WorkspaceState) -> JSON:
    """Return the user object of the app's bot user."""
    app = workspace.app
    person = User(
        id=app.bot_user_id, name=app.bot_handle, team_id=workspace.team.id, real_name=app.bot_name, is_bot=True
    )
    fields = user_object(workspace, person)
    fields["profile"] |= {"bot_id": app.bot_id, "api_app_id": app.id, "always_active": True}
    return fields


def conversation_object(workspace: WorkspaceState, channel: Conversation) -> JSON:
    """Return a conversation object, as in conversations.info."""
    if channel.is_im:
        return {
            "id": channel.id,
            "created": channel.created,
            "is_im": True,
            "is_archived": False,
            "is_org_shared": False,
            "is_open": True,
            "user": workspace.direct_message_partner(channel),
            "is_user_deleted": workspace.person(workspace.direct_message_partner(channel)).deleted,
            "priority": 0,
        }
    return _channel_object(workspace, channel)


def message_object(workspace: WorkspaceState, message: PostedMessage, *, with_metadata: bool = True) -> JSON:
    """Return a message object, as in the Web API and in payloads."""
    fields: JSON = {"type": "message"}
    if subtype := message.subtype or ("file_share" if message.files else None):
        fields["subtype"] = subtype
    fields |= {"user": message.user, "ts": message.ts, "text": message.text, "team": workspace.team.id}
    if message.user == workspace.app.bot_user_id:
        fields |= {"bot_id": workspace.app.bot_id, "app_id": workspace.app.id, "bot_profile": bot_profile(workspace)}
    fields |= {name: value for name in ("blocks", "attachments", "edited") if (value := getattr(message, name))}
    if message.files:
        fields["files"] = [file_objects.file_object(workspace, workspace.files[file_id]) for file_id in message.files]
        fields |= {"upload": True, "display_as_bot": False}
    if message.reactions:
        fields["reactions"] = [reaction | {"count": len(reaction["users"])} for reaction in message.reactions]
    if with_metadata and message.metadata:
        fields["metadata"] = message.metadata
    return fields | _thread_fields(workspace, message)


def message_for_person(workspace: WorkspaceState, message: PostedMessage) -> JSON:
    """Return a message as a person sees it: with its conversation, and whether it's ephemeral."""
    return message_object(workspace, message) | {
        "channel": message.channel,
        "is_ephemeral": message.audience is not None,
    }


def permalink(workspace: WorkspaceState, message: PostedMessage) -> str:
    """Return a message's permalink, which opens on this workspace's page."""
    url = f"{workspace.team.url}archives/{message.channel}/p{message.ts.replace('.', '')}"
    return f"{url}?thread_ts={message.thread_ts}&cid={message.channel}" if message.is_reply else url


def bot_profile(workspace: WorkspaceState) -> JSON:
    """Return the bot_profile in the app's messages."""
    app = workspace.app
    return {
        "id": app.bot_id,
        "app_id": app.id,
        "user_id": app.bot_user_id,
        "name": app.bot_name,
        "icons": {},
        "deleted": False,
        "updated": 1_700_000_000,
        "team_id": workspace.team.id,
    }


def user_group_object(
    workspace: WorkspaceState, group: UserGroup, *, with_users: bool = False, with_count: bool = False
) -> JSON:
    """Return a user group object, as in usergroups.list."""
    fields: JSON = {
        "id": group.id,
        "team_id": workspace.team.id,
        "is_usergroup": True,
        "name": group.name,
        "description": "",
        "handle": group.handle,
        "is_external": False,
        "date_create": 1_700_000_000,
        "date_update": 1_700_000_000,
        "date_delete": 0,
        "auto_type": None,
        "prefs": {"channels": [], "groups": []},
    }
    if with_users:
        fields["users"] = list(group.members)
    if with_count:
        fields["user_count"] = len(group.members)
    return fields


def _user_profile(person: User) -> dict[str, Any]:
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


def _channel_object(workspace: WorkspaceState, channel: Conversation) -> JSON:
    return {
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": not channel.is_private,
        "is_group": channel.is_private,
        "is_im": False,
        "is_mpim": False,
        "is_private": channel.is_private,
        "is_archived": channel.is_archived,
        "is_general": channel.name == "general",
        "is_member": workspace.app.bot_user_id in channel.members,
        "is_shared": workspace.is_shared(channel),
        "is_ext_shared": workspace.is_shared(channel),
        "is_org_shared": False,
        "created": channel.created,
        "creator": "USLACKBOT",
        "topic": {"value": "", "creator": "", "last_set": 0},
        "purpose": {"value": channel.purpose, "creator": "", "last_set": 0},
        "previous_names": list(channel.previous_names),
        "num_members": len(channel.members),
    }


def _thread_fields(workspace: WorkspaceState, message: PostedMessage) -> JSON:
    if message.is_reply:
        parent = workspace.find_message(workspace.channels[message.channel], str(message.thread_ts))
        return {"thread_ts": message.thread_ts, "parent_user_id": parent.user if parent else None}
    replies = workspace.replies(message) if message.audience is None else []
    if not replies:
        return {}
    repliers = list(dict.fromkeys(reply.user for reply in replies))
    return {
        "thread_ts": message.ts,
        "reply_count": len(replies),
        "reply_users_count": len(repliers),
        "reply_users": repliers[:5],
        "latest_reply": replies[-1].ts,
        "is_locked": False,
        "subscribed": False,
    }
