"""users.*, usergroups.*, bots.info and team.info: who is who."""

from __future__ import annotations

from localslack import payloads
from localslack.api.arguments import Args
from localslack.api.method import JSON, Method
from localslack.backend import Core
from localslack.core.errors import SlackError
from localslack.workspace import objects


def user_info(core: Core, args: Args) -> JSON:
    """users.info."""
    user = args.required("user")
    if user == core.space.app.bot_user_id:
        return {"user": objects.bot_user(core.space)}
    if user not in core.space.people:
        raise SlackError("user_not_found")
    return {"user": objects.user(core.space, core.space.people[user])}


def user_list(core: Core, args: Args) -> JSON:
    """users.list: the accounts of this workspace, deleted ones and the app's bot user included."""
    everybody = [objects.user(core.space, person) for person in core.space.people.values()]
    page, cursor = args.page([*everybody, objects.bot_user(core.space)], args.limit(default=1000))
    return {
        "members": [user for user in page if not user.get("is_stranger")],
        "cache_ts": int(core.clock.now()),
        "response_metadata": {"next_cursor": cursor},
    }


def group_list(core: Core, args: Args) -> JSON:
    """usergroups.list."""
    users, count = args.flag("include_users"), args.flag("include_count")
    held = core.space.groups.values()
    return {"usergroups": [objects.group(core.space, one, with_users=users, with_count=count) for one in held]}


def group_users(core: Core, args: Args) -> JSON:
    """usergroups.users.list."""
    group = core.space.groups.get(args.required("usergroup"))
    if group is None:
        raise SlackError("no_such_subteam")
    return {"users": list(group.members)}


def bot_info(core: Core, args: Args) -> JSON:
    """bots.info."""
    if args.required("bot") != core.space.app.bot_id:
        raise SlackError("bot_not_found")
    app = core.space.app
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


def team_info(core: Core, args: Args) -> JSON:
    """team.info."""
    team = core.space.team
    if args.text("team", team.id) != team.id:
        raise SlackError("team_not_found")
    shape: JSON = {"id": team.id, "name": team.name, "domain": team.domain, "email_domain": ""}
    shape["icon"] = {"image_default": True}
    return {"team": shape | payloads.organization(core.origin)}


# Scopes, JSON support and tiers: slack-ruby/slack-api-ref, methods/users, usergroups, bots and team.
METHODS = {
    "users.info": Method(user_info, ("users:read",), tier=4, reads_json=False),
    "users.list": Method(user_list, ("users:read",), tier=2, reads_json=False),
    "usergroups.list": Method(group_list, ("usergroups:read",), tier=2, reads_json=False),
    "usergroups.users.list": Method(group_users, ("usergroups:read",), tier=2, reads_json=False),
    "bots.info": Method(bot_info, ("users:read",), tier=3, reads_json=False),
    "team.info": Method(team_info, ("team:read",), tier=3),
}
