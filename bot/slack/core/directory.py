"""Who people are: Slack's users and user groups, remembered for a minute at most."""

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
from bot.domain.core.sentence import clean
from bot.domain.promotions.approvers import Electorate
from bot.slack.core.api_errors import LOST, error_of

log = logging.getLogger(__name__)

FRESH = 60.0  # seconds
CHECKED_MOST = 40  # people whose accounts are looked up for one question
_ABSENT = {"unknown_method", "missing_scope", "plan_upgrade_required", "paid_teams_only", "no_such_subteam"}
_GROUPS = "groups"  # the key under which all groups are remembered


class SlackDirectory:
    """Answers who a person is. `team` is the home workspace; `groups` gives the groups that the policy names now."""

    def __init__(
        self,
        client: WebClient,
        team: str,
        groups: Callable[[], frozenset[str]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._team = team
        self._groups = groups
        self._fresh = _Fresh(monotonic)
        self._asking = ThreadPoolExecutor(8, thread_name_prefix="ask-slack")

    def profile(self, person: Person) -> Profile:
        """Return the person's standing now. Raises SlackUnreachable: then nobody may do anything."""
        try:
            user, groups = self._user_and_groups(person.user)
        except (SlackApiError, *LOST) as error:
            raise SlackUnreachable(
                "Slack does not answer who you are, so nothing was changed. Try again in a moment."
            ) from error
        return _profile(person, user, groups, self._team)

    def profiles_now(self, people: Iterable[Person]) -> dict[str, Profile]:
        """Return people's standing by user id: their accounts as of now, their groups at most a minute old.

        All are asked together. A person whose workspace isn't known acted at the terminal, and is looked for here.
        Raises SlackUnreachable.
        """
        now = self._fresh.now()
        wanted = {person.user: person if person.team else Person(self._team, person.user) for person in people}
        try:
            found = self._asking.map(
                lambda user: self._fresh.get(f"user:{user}", partial(self._user, user), since=now), wanted
            )
            members = self._members(self._groups())
            accounts = dict(zip(wanted, found, strict=True))
        except (SlackApiError, *LOST) as error:
            raise SlackUnreachable("Slack doesn't say who approved this can still do that.") from error
        return {
            user: _profile(person, accounts[user], _groups_of(user, members), self._team)
            for user, person in wanted.items()
        }

    def members(self, ids: Sequence[str]) -> list[str]:
        """Return the users behind user and user group ids, sorted; of what Slack does not tell now, nobody."""
        return sorted(self._behind(ids)[0])

    def electorate(self, ids: Sequence[str]) -> Electorate:
        """Return who is behind user and user group ids; Slack is asked about all of them together."""
        users, is_whole = self._behind(ids)
        people = {user: Profile(person=Person(self._team, user)) for user in users}
        if len(people) <= CHECKED_MOST:
            people = dict(zip(people, self._asking.map(self._profile_if_known, people.values()), strict=True))
        return Electorate(people, is_whole)

    def _behind(self, ids: Sequence[str]) -> tuple[set[str], bool]:
        """Return the users behind user and user group ids, and whether Slack says who is in every group."""
        groups = [one for one in ids if one.startswith("S")]
        found = {one for one in ids if not one.startswith("S")}
        try:
            members = self._members(groups).values()
        except (SlackApiError, *LOST) as error:
            log.warning("who is in user groups is not known now: %s", error)
            return found, False
        return found.union(*(one.users for one in members)), all(one.is_known for one in members)

    def _profile_if_known(self, one: Profile) -> Profile:
        """Return what Slack says of someone; themselves as they are where it says nothing now."""
        user = one.person.user
        try:
            account = self._fresh.get(f"user:{user}", partial(self._user, user))
        except (SlackApiError, *LOST) as error:
            log.warning("whether %s can decide is not known now: %s", user, error)
            return one
        return _profile(one.person, account, one.groups, self._team)

    def names(self, ids: Sequence[str]) -> dict[str, str]:
        """Return what people see in place of user and user group ids; what Slack does not tell is left out."""
        found: dict[str, str] = {}
        try:
            groups = self._held() if any(one.startswith("S") for one in ids) else _Groups()
            found = {one: groups.name(one) for one in ids if one.startswith("S")}
            users = [one for one in ids if not one.startswith("S")]
            found.update(zip(users, self._asking.map(self._name_of, users), strict=False))
        except (SlackApiError, *LOST) as error:
            log.warning("what people are called is not known now: %s", error)
        return {one: name for one, name in found.items() if name}

    def _name_of(self, user: str) -> str:
        return _name(self._fresh.get(f"user:{user}", partial(self._user, user)))

    def _user_and_groups(self, user: str) -> tuple[dict[str, Any], frozenset[str]]:
        """Return what Slack says about a user, and their groups; asked for together if neither is known.

        One after the other, a slow Slack would take longer than the three seconds that it gives us.
        """
        groups = self._groups()
        ahead = self._asking.submit(self._held) if groups and not self._fresh.knows(_GROUPS) else None
        account = self._fresh.get(f"user:{user}", partial(self._user, user))
        if ahead:
            ahead.result()
        return account, _groups_of(user, self._members(groups))

    def _user(self, user: str) -> dict[str, Any]:
        """Return what Slack says of a user; nothing where this server knows no such method."""
        try:
            return dict(self._client.users_info(user=user)["user"])
        except SlackApiError as error:
            if error_of(error) in {"user_not_found", "user_not_visible", "users_not_found"}:
                return {"deleted": True}
            if error_of(error) != "unknown_method":  # without the scope, a guest would pass for a member
                raise
            log.warning("this Slack does not tell who people are: going by listed ids")
            return {}

    def _members(self, groups: Collection[str]) -> dict[str, _Members]:
        """Return who is in each of these groups. Raises what Slack answers, and what a lost connection raises."""
        if not groups:
            return {}
        held = self._held()
        found = {one: held.members(one) for one in groups}
        alone = [one for one, members in found.items() if members is None]
        asked = self._asking.map(lambda one: self._fresh.get(f"group:{one}", partial(self._of_one, one)), alone)
        found.update(zip(alone, asked, strict=True))
        return {one: members for one, members in found.items() if members is not None}

    def _held(self) -> _Groups:
        groups: _Groups = self._fresh.get(_GROUPS, self._all_groups)
        return groups

    def _all_groups(self) -> _Groups:
        """Ask for all groups in one call: Slack allows about twenty a minute, and a policy can name more groups."""
        try:
            answer = self._client.usergroups_list(include_users=True)
        except SlackApiError as error:
            if error_of(error) in {"unknown_method", "users_not_found"}:
                return _Groups(others=None)
            if error_of(error) not in _ABSENT:
                raise
            log.warning("this Slack lists no user groups (%s): nobody is in one", error_of(error))
            return _Groups(others=_Members(is_known=False))
        is_whole = not (answer.get("response_metadata") or {}).get("next_cursor")
        return _Groups({str(group["id"]): group for group in answer["usergroups"]}, _Members() if is_whole else None)

    def _of_one(self, group: str) -> _Members:
        try:
            return _Members(frozenset(self._client.usergroups_users_list(usergroup=group)["users"]))
        except SlackApiError as error:
            if error_of(error) not in _ABSENT:
                raise
            log.warning("this Slack has no user group %s (%s): nobody is in it", group, error_of(error))
            return _Members(is_known=error_of(error) == "no_such_subteam")


def _profile(claimed: Person, user: Mapping[str, Any], groups: frozenset[str], home: str) -> Profile:
    """Return someone's standing. `claimed` is who the payload says they are; its team can be another one of theirs.

    Everyone who belongs to this workspace is one person in it, whichever workspace they act from: otherwise, a
    requester could approve their own request by a click.
    """
    is_home = is_of(home, claimed, user)
    return Profile(
        person=Person(home if is_home else str(user.get("team_id") or claimed.team), claimed.user),
        is_home=is_home,
        is_guest=bool(user.get("is_restricted") or user.get("is_ultra_restricted")),
        is_bot=bool(user.get("is_bot")) or claimed.user == "USLACKBOT",
        is_deleted=bool(user.get("deleted")),
        groups=groups,
        name=_name(user),
    )


def is_of(team: str, claimed: Person, user: Mapping[str, Any]) -> bool:
    """Tell whether someone belongs to a workspace; the payload counts only where Slack says nothing of theirs.

    Slack Connect shares channels, not members: is_stranger, or a foreign team_id. On Enterprise Grid people
    have one team_id, and belong to all of enterprise_user.teams.
    """
    told = {user.get("team_id"), *((user.get("enterprise_user") or {}).get("teams") or ())} - {None, ""}
    return not user.get("is_stranger") and team in (told or {claimed.team})


def _groups_of(user: str, members: Mapping[str, _Members]) -> frozenset[str]:
    return frozenset(group for group, found in members.items() if user in found.users)


def _name(user: Mapping[str, Any]) -> str:
    """Return what people see of a user: the name that they chose, else their real one, else their login."""
    profile = user.get("profile") or {}
    names = (profile.get("display_name"), profile.get("real_name"), user.get("real_name"), user.get("name"))
    return clean(str(next((name for name in names if name), "")))


@dataclass(frozen=True, slots=True)
class _Members:
    """Who is in a user group; nobody where `is_known` is False, since this Slack tells of no groups."""

    users: frozenset[str] = frozenset()
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class _Groups:
    """User groups as Slack lists them. `others` is for groups that aren't listed; None: ask for each one."""

    listed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    others: _Members | None = _Members()

    def members(self, group: str) -> _Members | None:
        """Return who is in a group; None where it has to be asked for alone: some servers leave members out.

        Nobody is in a disabled one, which keeps its members' names.
        """
        if group not in self.listed:
            return self.others
        users = () if self.listed[group].get("date_delete") else self.listed[group].get("users")
        return None if users is None else _Members(frozenset(users))

    def name(self, group: str) -> str:
        """Return the name that people see for a group; empty if it isn't listed."""
        shown = self.listed.get(group, {})
        return clean(str(shown.get("handle") or shown.get("name") or ""))


class _Fresh:
    """Values that are read once a minute, however many ask at the same moment."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._values: dict[str, tuple[float, Any]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._failures: dict[str, tuple[float, Exception]] = {}
        self._guard = threading.Lock()

    def now(self) -> float:
        """Return the time by the clock that ages what is remembered."""
        return self._monotonic()

    def knows(self, key: str) -> bool:
        """Tell whether the value is there and fresh."""
        return self._known(key) is not None

    def _known(self, key: str, since: float = 0.0) -> tuple[float, Any] | None:
        known = self._values.get(key)
        is_fresh = known is not None and self._monotonic() - known[0] <= FRESH and known[0] >= since
        return known if is_fresh else None

    def _raise_again(self, key: str, began: float) -> None:
        """Raise what a read raised for which this one has waited; else all who wait would time out in turn."""
        when, error = self._failures.get(key, (0.0, None))
        if error is not None and when > began:
            raise error

    def get(self, key: str, read: Callable[[], Any], *, since: float = 0.0) -> Any:
        """Return the value if it is fresh and was read since then, else read it; one thread reads, others wait."""
        began = self._monotonic()
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            known = self._known(key, since)
            if known is None:
                self._raise_again(key, began)
                try:
                    known = (self._monotonic(), read())
                except Exception as error:
                    self._failures[key] = (self._monotonic(), error)
                    raise
                self._values[key] = known
            return known[1]
