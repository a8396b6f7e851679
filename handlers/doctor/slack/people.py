"""TODO handlers.doctor.slack.people"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from slack_sdk.errors import SlackApiError

from bot.domain.core.actors import Person
from bot.domain.core.numbers import counted
from bot.domain.policy.policy import Policy
from bot.domain.promotions.approvers import unmeetable_rules
from bot.slack.core.api_errors import error_of
from bot.slack.core.directory import SlackDirectory, is_of
from handlers.doctor.check import NotLookedAtError, listed
from handlers.doctor.diagnosis import Finding, mind, ok, wrong
from handlers.doctor.local import LACKING
from handlers.doctor.policy_notices import UNMEETABLE
from handlers.doctor.slack.workspace import Workspace, asked

PEOPLE_MOST = 40  # Slack lets users.info be called about a hundred times a minute, and others call it too


def people(space: Workspace, policy: Policy) -> Iterator[Finding]:
    """Yield who of those that the policy names can do nothing, or that all can."""
    space.must_know_us()
    ids = sorted(policy.everybody() - policy.groups())
    bad = [found for one in ids[:PEOPLE_MOST] if (found := _person(space, policy, one))]
    yield from bad
    if not ids:
        raise NotLookedAtError("The policy names nobody by id.")
    seen = min(len(ids), PEOPLE_MOST)
    number = "The 1 person" if seen == 1 else f"All {seen} people"
    if not bad:
        yield ok("Slack people", f"{number} whom the policy names can act.")
    if len(ids) > PEOPLE_MOST:
        raise NotLookedAtError(f"Not looked at: {len(ids) - PEOPLE_MOST} more people, for Slack bounds how many.")


def _person(space: Workspace, policy: Policy, one: str) -> Finding | None:
    where = _roles(policy, one)
    try:
        user = asked(space.client, lambda: space.client.users_info(user=one))["user"]
    except SlackApiError as error:
        if error_of(error) not in {"user_not_found", "user_not_visible", "users_not_found"}:
            raise
        return wrong(
            "Slack people",
            f"Slack knows nobody with the id {one} ({where}).",
            "Copy it again in Slack: their profile → ⋮ → Copy member ID.",
        )
    who = f"{one}, {user.get('real_name') or user.get('name') or 'without a name'} ({where})"
    home = space.must_know_us().team
    faults = [
        (user.get("deleted"), "is deactivated"),
        (user.get("is_bot") or one == "USLACKBOT", "is a bot, and bots never decide"),
        (user.get("is_restricted") or user.get("is_ultra_restricted"), "is a guest, and guests never decide"),
        (not is_of(home, Person(home, one), user), "belongs to another workspace, so can't decide"),
    ]
    fault = next((said for is_so, said in faults if is_so), None)
    return wrong("Slack people", f"{who} {fault}.", "Take the id out of the policy.") if fault else None


def _roles(policy: Policy, one: str) -> str:
    """Return where the policy names an id: its roles, else its operators, else a rule."""
    roles = [f"roles.{role}" for role, ids in policy.roles.items() if one in ids]
    roles += [f"operators.{name}" for name, user in policy.operators.items() if user == one]
    return listed(roles, 3) or "named in a rule of the policy"


def groups(space: Workspace, policy: Policy) -> Iterator[Finding]:
    """Yield for each user group that the policy names whether it is there and has somebody in it.

    Then the rules that can't be met by those who are in them, which nobody sees in the file.
    """
    us = space.must_know_us()
    if not policy.groups():
        raise NotLookedAtError("The policy names no user group.")
    try:
        groups = asked(space.client, partial(space.client.usergroups_list, include_users=True))["usergroups"]
    except SlackApiError as error:
        if error_of(error) not in {"plan_upgrade_required", "paid_teams_only"}:
            raise
        what = f"This workspace's plan has no user groups, so nobody is in {listed(sorted(policy.groups()), 3)}."
        yield wrong("Slack groups", what, "List people by their ids in the policy.")
        return
    held = {group["id"]: group for group in groups}
    for one in sorted(policy.groups()):
        yield _group(space, policy, one, held.get(one))
    directory = SlackDirectory(space.client, us.team, policy.groups)
    for rule in unmeetable_rules(policy, directory.electorate):
        if rule not in unmeetable_rules(policy):  # said of the file
            yield mind("Slack groups", UNMEETABLE.format(rule), LACKING)


def _group(space: Workspace, policy: Policy, one: str, group: Mapping[str, Any] | None) -> Finding:
    where = _roles(policy, one)
    if group is None:
        return wrong(
            "Slack groups",
            f"Slack knows no user group {one} ({where}).",
            "Copy its id again in Slack: People → User groups → the group → ⋮ → Copy group ID.",
        )
    users = group.get("users")
    if users is None:  # this server leaves them out
        users = asked(space.client, partial(space.client.usergroups_users_list, usergroup=one))["users"]
    if not users:
        return wrong(
            "Slack groups",
            f"Nobody is in the user group {one} ({where}).",
            "Put people into it in Slack, or name others in the policy.",
        )
    return ok("Slack groups", f"The user group {one} ({where}) has {counted(len(users), 'member')}.")
