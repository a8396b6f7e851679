"""Checks for the people and user groups that the policy names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from slack_sdk.errors import SlackApiError

from bot.domain.core.actors import Person
from bot.domain.core.numbers import pluralize
from bot.domain.policy.policy import Policy
from bot.domain.promotions.approvers import unmeetable_rules
from bot.slack.core.client import error_code
from bot.slack.core.directory import SlackDirectory, belongs_to
from handlers.doctor.check import CheckSkippedError, Diagnosis, failure, join_names, ok, warning
from handlers.doctor.local import UNMEETABLE_ADVICE
from handlers.doctor.policy_notices import UNMEETABLE_RULE
from handlers.doctor.slack.workspace import WorkspaceProbe, call_slack

MAX_PEOPLE = 40  # Slack allows about 100 calls to users.info a minute, and the bot needs some, too


def check_people(workspace: WorkspaceProbe, policy: Policy) -> Iterator[Diagnosis]:
    """Check whether the people that the policy lists by ID can act."""
    ids = sorted(policy.all_slack_ids() - policy.user_groups())
    bad = [diagnosis for user_id in ids[:MAX_PEOPLE] if (diagnosis := _check_person(workspace, policy, user_id))]
    yield from bad
    if not ids:
        raise CheckSkippedError("The policy doesn't list any people by ID.")
    checked = min(len(ids), MAX_PEOPLE)
    number = "The 1 person" if checked == 1 else f"All {checked} people"
    if not bad:
        yield ok("Slack people", f"{number} in the policy can act.")
    if len(ids) > MAX_PEOPLE:
        raise CheckSkippedError(f"Not checked: {len(ids) - MAX_PEOPLE} more people, because of Slack's rate limit.")


def _check_person(workspace: WorkspaceProbe, policy: Policy, user_id: str) -> Diagnosis | None:
    places = _policy_places(policy, user_id)
    try:
        user = call_slack(workspace.client, lambda: workspace.client.users_info(user=user_id))["user"]
    except SlackApiError as error:
        if error_code(error) not in {"user_not_found", "user_not_visible", "users_not_found"}:
            raise
        return failure(
            "Slack people",
            f"Slack has no user {user_id} ({places}).",
            "Copy the ID again in Slack: profile → ⋮ → Copy member ID.",
        )
    label = f"{user_id}, {user.get('real_name') or user.get('name') or 'no name'} ({places})"
    home = workspace.identity().team
    faults = [
        (user.get("deleted"), "is deactivated"),
        (user.get("is_bot") or user_id == "USLACKBOT", "is a bot, so it can't decide"),
        (user.get("is_restricted") or user.get("is_ultra_restricted"), "is a guest, so they can't decide"),
        (not belongs_to(home, Person(home, user_id), user), "belongs to another workspace, so they can't decide"),
    ]
    fault = next((sentence for is_so, sentence in faults if is_so), None)
    return failure("Slack people", f"{label} {fault}.", "Remove the ID from the policy.") if fault else None


def _policy_places(policy: Policy, slack_id: str) -> str:
    """Return where the policy lists an ID: in its roles, operators, and people; otherwise, in a rule."""
    roles = [f"roles.{role}" for role, ids in policy.roles.items() if slack_id in ids]
    roles += [f"operators.{name}" for name, user in policy.operators.items() if user == slack_id]
    roles += ["people"] if slack_id in policy.people.user_ids else []
    return join_names(roles, 3) or "in a policy rule"


def check_groups(workspace: WorkspaceProbe, policy: Policy) -> Iterator[Diagnosis]:
    """Check, for each user group in the policy, whether it exists and has members.

    Then check for rules that the groups' members can't meet, which the file alone doesn't show.
    """
    us = workspace.identity()
    if not policy.user_groups():
        raise CheckSkippedError("The policy doesn't list any user groups.")
    try:
        groups = call_slack(workspace.client, partial(workspace.client.usergroups_list, include_users=True))[
            "usergroups"
        ]
    except SlackApiError as error:
        if error_code(error) not in {"plan_upgrade_required", "paid_teams_only"}:
            raise
        problem = (
            f"This workspace's plan has no user groups, so no one is in {join_names(sorted(policy.user_groups()), 3)}."
        )
        yield failure("Slack groups", problem, "List people by their IDs in the policy instead.")
        return
    groups_by_id = {group["id"]: group for group in groups}
    for group_id in sorted(policy.user_groups()):
        yield _check_group(workspace, policy, group_id, groups_by_id.get(group_id))
    directory = SlackDirectory(workspace.client, us.team, policy.user_groups)
    for rule in unmeetable_rules(policy, directory.electorate):
        if rule not in unmeetable_rules(policy):  # already reported for the file
            yield warning("Slack groups", UNMEETABLE_RULE.format(rule), UNMEETABLE_ADVICE)


def _check_group(
    workspace: WorkspaceProbe, policy: Policy, group_id: str, group: Mapping[str, Any] | None
) -> Diagnosis:
    places = _policy_places(policy, group_id)
    if group is None:
        return failure(
            "Slack groups",
            f"Slack has no user group {group_id} ({places}).",
            "Copy its ID again in Slack: People → User groups → the group → ⋮ → Copy group ID.",
        )
    users = group.get("users")
    if users is None:  # this server leaves them out
        answer = call_slack(workspace.client, partial(workspace.client.usergroups_users_list, usergroup=group_id))
        users = answer["users"]
    if not users:
        problem = f"The user group {group_id} ({places}) is empty."
        return failure("Slack groups", problem, "Add people to it in Slack, or list others in the policy.")
    return ok("Slack groups", f"The user group {group_id} ({places}) has {pluralize(len(users), 'member')}.")
