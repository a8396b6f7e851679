"""users.*, usergroups.*, bots.info, and team.info."""

from __future__ import annotations

from localslack import payloads
from localslack.api.arguments import Arguments
from localslack.api.method import JSON, ApiMethod
from localslack.backend import Backend
from localslack.core.errors import SlackError
from localslack.workspace import objects


def user_info(backend: Backend, args: Arguments) -> JSON:
    """users.info: describe a person, or the app's bot user."""
    user = args.required("user")
    if user == backend.workspace.app.bot_user_id:
        return {"user": objects.bot_user_object(backend.workspace)}
    if user not in backend.workspace.people:
        raise SlackError("user_not_found")
    return {"user": objects.user_object(backend.workspace, backend.workspace.people[user])}


def user_list(backend: Backend, args: Arguments) -> JSON:
    """users.list: return everyone in this workspace, including deleted accounts and the app's bot user."""
    users = [objects.user_object(backend.workspace, person) for person in backend.workspace.people.values()]
    page, cursor = args.page([*users, objects.bot_user_object(backend.workspace)], args.limit(default=1000))
    return {
        "members": [user for user in page if not user.get("is_stranger")],
        "cache_ts": int(backend.clock.now()),
        "response_metadata": {"next_cursor": cursor},
    }


def usergroup_list(backend: Backend, args: Arguments) -> JSON:
    """usergroups.list: return this workspace's user groups."""
    users, count = args.flag("include_users"), args.flag("include_count")
    groups = backend.workspace.groups.values()
    return {
        "usergroups": [
            objects.user_group_object(backend.workspace, group, with_users=users, with_count=count) for group in groups
        ]
    }


def usergroup_users(backend: Backend, args: Arguments) -> JSON:
    """usergroups.users.list: return the IDs of a group's members."""
    group = backend.workspace.groups.get(args.required("usergroup"))
    if group is None:
        raise SlackError("no_such_subteam")
    return {"users": list(group.members)}


def bot_info(backend: Backend, args: Arguments) -> JSON:
    """bots.info: describe the app's bot."""
    if args.required("bot") != backend.workspace.app.bot_id:
        raise SlackError("bot_not_found")
    app = backend.workspace.app
    return {
        "bot": {
            "id": app.bot_id,
            "deleted": False,
            "name": app.bot_name,
            "updated": 1_700_000_000,
            "app_id": app.id,
            "user_id": app.bot_user_id,
            "icons": {},
        }
    }


def team_info(backend: Backend, args: Arguments) -> JSON:
    """team.info: describe this workspace."""
    team = backend.workspace.team
    if args.text("team", team.id) != team.id:
        raise SlackError("team_not_found")
    team_object: JSON = {"id": team.id, "name": team.name, "domain": team.domain, "email_domain": ""}
    team_object["icon"] = {"image_default": True}
    return {"team": team_object | payloads.organization(backend.installation)}


# Scopes, JSON support and tiers: slack-ruby/slack-api-ref, methods/users, usergroups, bots and team.
METHODS = {
    "users.info": ApiMethod(user_info, ("users:read",), tier=4, reads_json=False),
    "users.list": ApiMethod(user_list, ("users:read",), tier=2, reads_json=False),
    "usergroups.list": ApiMethod(usergroup_list, ("usergroups:read",), tier=2, reads_json=False),
    "usergroups.users.list": ApiMethod(usergroup_users, ("usergroups:read",), tier=2, reads_json=False),
    "bots.info": ApiMethod(bot_info, ("users:read",), tier=3, reads_json=False),
    "team.info": ApiMethod(team_info, ("team:read",), tier=3),
}
