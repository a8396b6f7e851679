"""Look up users, user groups, and channels in Slack."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.domain.core.actors import Person, Profile
from bot.domain.core.errors import SlackUnreachable
from bot.domain.core.sentence import sanitize_text
from bot.domain.promotions.approvers import EligibleApprovers
from bot.slack.core.client import CONNECTION_ERRORS, error_code

log = logging.getLogger(__name__)

MAX_AGE_SECONDS = 60.0  # seconds
MAX_CHECKED_PEOPLE = 40  # people whose accounts are looked up for one request
LOOKUP_PAUSE = 60.0  # seconds before the list is read again for a missing channel; Slack allows 20 pages a minute
_NO_GROUP_ERRORS = {"unknown_method", "missing_scope", "plan_upgrade_required", "paid_teams_only", "no_such_subteam"}
_GROUPS_KEY = "groups"  # the cache key for all groups


class SlackDirectory:
    """Looks up people in Slack.

    `home_team` is the ID of the home workspace. `policy_groups` returns the user groups in the current policy.
    """

    def __init__(
        self,
        client: WebClient,
        home_team: str,
        policy_groups: Callable[[], frozenset[str]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._home_team = home_team
        self._policy_groups = policy_groups
        self._monotonic = monotonic
        self._cache = _TimedCache(monotonic)
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="ask-slack")

    def profile(self, person: Person) -> Profile:
        """Return a person's current profile. Raises SlackUnreachable; without a profile, no one can change anything.

        The account and the groups are fetched concurrently if neither is cached. Fetching one after the other could
        take longer than the three seconds that Slack waits for a response.
        """
        try:
            groups = self._policy_groups()
            ahead = self._pool.submit(self._cached_groups) if groups and not self._cache.has(_GROUPS_KEY) else None
            account = self._account(person.user)
            if ahead:
                ahead.result()
            members = self._members_of(groups)
        except (SlackApiError, *CONNECTION_ERRORS) as error:
            raise SlackUnreachable(
                "Slack isn't responding, so I can't check who you are. Nothing changed; try again in a moment."
            ) from error
        return _profile_from(person, account, members, self._home_team)

    def current_profiles(self, people: Iterable[Person]) -> dict[str, Profile]:
        """Return people's profiles by user ID, with accounts read now and groups that are at most a minute old.

        All are fetched concurrently. A person without a known workspace acted in the terminal, and is looked up in the
        home workspace. Raises SlackUnreachable.
        """
        now = self._monotonic()
        by_user = {person.user: person if person.team else Person(self._home_team, person.user) for person in people}
        try:
            found = self._pool.map(partial(self._account, since=now), by_user)
            members = self._members_of(self._policy_groups())
            accounts = dict(zip(by_user, found, strict=True))
        except (SlackApiError, *CONNECTION_ERRORS) as error:
            raise SlackUnreachable("Slack isn't responding, so I can't check the approvers.") from error
        return {
            user: _profile_from(person, accounts[user], members, self._home_team) for user, person in by_user.items()
        }

    def member_ids(self, ids: Sequence[str]) -> list[str]:
        """Return the IDs of the given users and of the groups' members, sorted; omit members that Slack can't list."""
        return sorted(self._users_behind(ids)[0])

    def electorate(self, ids: Sequence[str]) -> EligibleApprovers:
        """Return the approvers that user and user group IDs stand for; all are fetched concurrently."""
        users, is_whole = self._users_behind(ids)
        people = {user: Profile(person=Person(self._home_team, user)) for user in users}
        if len(people) <= MAX_CHECKED_PEOPLE:
            people = dict(zip(people, self._pool.map(self._profile_if_known, people.values()), strict=True))
        return EligibleApprovers(people, is_whole)

    def _users_behind(self, ids: Sequence[str]) -> tuple[set[str], bool]:
        """Return the IDs of the given users and of groups' members, and whether every group's members are known."""
        groups = [id_ for id_ in ids if id_.startswith("S")]
        users = {id_ for id_ in ids if not id_.startswith("S")}
        try:
            members = self._members_of(groups).values()
        except (SlackApiError, *CONNECTION_ERRORS) as error:
            log.warning("can't look up the members of user groups: %s", error)
            return users, False
        return users.union(*(group.users for group in members)), all(group.is_known for group in members)

    def _profile_if_known(self, profile: Profile) -> Profile:
        """Return a person's current profile, or the given one if Slack doesn't respond."""
        user = profile.person.user
        try:
            account = self._account(user)
        except (SlackApiError, *CONNECTION_ERRORS) as error:
            log.warning("can't look up the account of %s: %s", user, error)
            return profile
        return _profile_from(profile.person, account, {}, self._home_team)

    def display_names(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the names of users and user groups by ID, without those that can't be looked up."""
        names: dict[str, str] = {}
        try:
            groups = self._cached_groups() if any(id_.startswith("S") for id_ in ids) else _UserGroups()
            names = {id_: groups.name(id_) for id_ in ids if id_.startswith("S")}
            users = [id_ for id_ in ids if not id_.startswith("S")]
            names.update(zip(users, map(_display_name, self._pool.map(self._account, users)), strict=False))
        except (SlackApiError, *CONNECTION_ERRORS) as error:
            log.warning("can't look up the names of users and user groups: %s", error)
        return {id_: name for id_, name in names.items() if name}

    def _account(self, user: str, since: float = 0.0) -> dict[str, Any]:
        """Return a user's account, read after `since`; empty if this server can't look up users."""
        account: dict[str, Any] = self._cache.get(f"user:{user}", partial(self._fetch_user, user), since=since)
        return account

    def _fetch_user(self, user: str) -> dict[str, Any]:
        try:
            return dict(self._client.users_info(user=user)["user"])
        except SlackApiError as error:
            if error_code(error) in {"user_not_found", "user_not_visible", "users_not_found"}:
                return {"deleted": True}
            if error_code(error) != "unknown_method":  # a missing scope must not let a guest pass for a member
                raise
            log.warning("this Slack server can't look up users: trusting the listed IDs")
            return {}

    def _members_of(self, groups: Collection[str]) -> dict[str, _GroupMembers]:
        """Return the members of each group. Raises SlackApiError and CONNECTION_ERRORS."""
        if not groups:
            return {}
        listed = self._cached_groups()
        members_by_group = {group: listed.members(group) for group in groups}
        unlisted = [group for group, members in members_by_group.items() if members is None]
        fetched = self._pool.map(
            lambda group: self._cache.get(f"group:{group}", lambda: self._fetch_members(group)), unlisted
        )
        members_by_group.update(zip(unlisted, fetched, strict=True))
        return {group: members for group, members in members_by_group.items() if members is not None}

    def _cached_groups(self) -> _UserGroups:
        groups: _UserGroups = self._cache.get(_GROUPS_KEY, self._fetch_groups)
        return groups

    def _fetch_groups(self) -> _UserGroups:
        """Fetch all groups in one call, since Slack allows only about 20 a minute, and a policy can name more."""
        try:
            answer = self._client.usergroups_list(include_users=True)
        except SlackApiError as error:
            if error_code(error) in {"unknown_method", "users_not_found"}:
                return _UserGroups(unlisted=None)
            if error_code(error) not in _NO_GROUP_ERRORS:
                raise
            log.warning("this Slack server doesn't list user groups (%s): treating them as empty", error_code(error))
            return _UserGroups(unlisted=_GroupMembers(is_known=False))
        is_whole = not (answer.get("response_metadata") or {}).get("next_cursor")
        return _UserGroups(
            {str(group["id"]): group for group in answer["usergroups"]}, _GroupMembers() if is_whole else None
        )

    def _fetch_members(self, group: str) -> _GroupMembers:
        try:
            return _GroupMembers(frozenset(self._client.usergroups_users_list(usergroup=group)["users"]))
        except SlackApiError as error:
            if error_code(error) not in _NO_GROUP_ERRORS:
                raise
            log.warning("Slack can't list the user group %s (%s): treating it as empty", group, error_code(error))
            return _GroupMembers(is_known=error_code(error) == "no_such_subteam")


def _profile_from(
    claimed: Person, account: Mapping[str, Any], members: Mapping[str, _GroupMembers], home_team: str
) -> Profile:
    """Return someone's profile, from their account and the members of user groups.

    `claimed` is the person in the payload, which can name another workspace of theirs. Someone from the home workspace
    is the same person everywhere; otherwise, they could approve their own request from another workspace.
    """
    is_home = belongs_to(home_team, claimed, account)
    return Profile(
        person=Person(home_team if is_home else str(account.get("team_id") or claimed.team), claimed.user),
        is_home=is_home,
        is_guest=bool(account.get("is_restricted") or account.get("is_ultra_restricted")),
        is_bot=bool(account.get("is_bot")) or claimed.user == "USLACKBOT",
        is_deleted=bool(account.get("deleted")),
        groups=frozenset(group for group, known in members.items() if claimed.user in known.users),
        name=_display_name(account),
    )


def belongs_to(team: str, claimed: Person, account: Mapping[str, Any]) -> bool:
    """Return whether someone belongs to a workspace; the payload's team counts only if Slack reports no team.

    Slack Connect shares channels, not members: external people have is_stranger or a foreign team_id. On Enterprise
    Grid, people have one team_id, and belong to all of enterprise_user.teams.
    """
    team_ids = {account.get("team_id"), *((account.get("enterprise_user") or {}).get("teams") or ())} - {None, ""}
    return not account.get("is_stranger") and team in (team_ids or {claimed.team})


def _display_name(account: Mapping[str, Any]) -> str:
    """Return a user's visible name: their display name, else their real name, else their login."""
    profile = account.get("profile") or {}
    names = (profile.get("display_name"), profile.get("real_name"), account.get("real_name"), account.get("name"))
    return sanitize_text(str(next((name for name in names if name), "")))


@dataclass(frozen=True, slots=True)
class _GroupMembers:
    """The members of a user group; empty with `is_known=False` if this server doesn't report them."""

    users: frozenset[str] = frozenset()
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class _UserGroups:
    """User groups as Slack lists them.

    `unlisted` holds the members of a group that isn't listed; None means that each must be fetched separately.
    """

    listed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unlisted: _GroupMembers | None = _GroupMembers()

    def members(self, group: str) -> _GroupMembers | None:
        """Return a group's members; None if they must be fetched separately, because some servers don't list them.

        A disabled group has no members, although Slack still lists its former ones.
        """
        if group not in self.listed:
            return self.unlisted
        users = () if self.listed[group].get("date_delete") else self.listed[group].get("users")
        return None if users is None else _GroupMembers(frozenset(users))

    def name(self, group: str) -> str:
        """Return a group's display name, or an empty string if the group isn't listed."""
        group_info = self.listed.get(group, {})
        return sanitize_text(str(group_info.get("handle") or group_info.get("name") or ""))


class _TimedCache:
    """A cache that reads each value at most once a minute, even if several threads need it at the same time."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._values: dict[str, tuple[float, Any]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._failures: dict[str, tuple[float, Exception]] = {}

    def has(self, key: str) -> bool:
        """Return whether the value is cached and fresh."""
        return self._fresh_entry(key) is not None

    def _fresh_entry(self, key: str, since: float = 0.0) -> tuple[float, Any] | None:
        entry = self._values.get(key)
        is_fresh = entry is not None and self._monotonic() - entry[0] <= MAX_AGE_SECONDS and entry[0] >= since
        return entry if is_fresh else None

    def get(self, key: str, read: Callable[[], Any], *, since: float = 0.0) -> Any:
        """Return the value if it's fresh and was read after `since`; otherwise, one thread reads it and others wait."""
        began = self._monotonic()
        with self._locks.setdefault(key, threading.Lock()):
            entry = self._fresh_entry(key, since)
            if entry is None:
                failed_at, failure = self._failures.get(key, (0.0, None))
                if failure is not None and failed_at > began:  # this thread waited for that read: don't retry
                    raise failure
                try:
                    entry = (self._monotonic(), read())
                except Exception as error:
                    self._failures[key] = (self._monotonic(), error)
                    raise
                self._values[key] = entry
            return entry[1]


class ChannelDirectory:
    """Finds channel IDs by name, and remembers them.

    A workspace can have tens of thousands of channels. Its list is read once, page by page, up to the requested
    channel. If Slack stops responding, a later search continues on the same page. A former name resolves to the channel
    that had it, if only one did and no channel has that name now.
    """

    def __init__(self, client: WebClient, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._monotonic = monotonic
        self._ids: dict[str, str] = {}  # by name, `#` included
        self._ids_by_former_name: dict[str, set[str]] = {}  # by an earlier name
        self._cursor: str | None = None
        self._next_lookup = float("-inf")
        self._read_lock = threading.Lock()

    def id_of(self, channel: str) -> str:
        """Return the ID of `#name`, or of a known conversation with a person.

        Returns anything else, and any name that Slack doesn't list now, unchanged.
        """
        if not channel.startswith("#"):
            return self._ids.get(channel, channel)
        with self._read_lock:
            if channel not in self._ids and self._monotonic() >= self._next_lookup:
                self._look_up(channel)
            return self._ids.get(channel, channel)

    def learn(self, channel: str, channel_id: str) -> None:
        """Remember the ID that Slack returned for a channel name, or for the conversation with a person."""
        self._ids[channel] = channel_id

    def forget(self, channel: str) -> None:
        """Forget a name's ID because its channel is gone or not visible, so that the next call looks it up again."""
        with self._read_lock:
            if self._ids.pop(channel, None):
                self._ids_by_former_name.pop(channel, None)
                self._cursor = None

    def _look_up(self, channel: str) -> None:
        try:
            while channel not in self._ids and self._read_page():
                pass
        except (SlackApiError, *CONNECTION_ERRORS) as error:
            log.warning("can't look up the ID of %s now: %s", channel, error)
        else:
            former = self._ids_by_former_name.get(channel, ())
            if len(former) == 1:  # else it's ambiguous: several channels had this name
                self._ids.setdefault(channel, *former)
        if channel not in self._ids:
            self._next_lookup = self._monotonic() + LOOKUP_PAUSE

    def _read_page(self) -> bool:
        """Read the next page of the list; return whether there's another one."""
        before = self._cursor
        page = self._client.conversations_list(types="public_channel,private_channel", limit=1000, cursor=self._cursor)
        for room in page["channels"]:
            name, former = room.get("name"), room.get("previous_names") or []
            # an archived channel accepts no messages, and another channel can have its name
            if room.get("is_archived"):
                former = [name, *former]
            else:
                self._ids[f"#{name}"] = str(room["id"])
            for listed_name in former:
                self._ids_by_former_name.setdefault(f"#{listed_name}", set()).add(str(room["id"]))
        self._cursor = (page.get("response_metadata") or {}).get("next_cursor") or None
        return self._cursor not in {None, before}
