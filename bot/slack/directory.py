"""Who people are: Slack's users and user groups, remembered for a minute at most."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.domain.errors import SlackUnreachable
from bot.domain.people import Person, Profile
from bot.domain.text import clean
from bot.slack.calls import LOST, error_of

log = logging.getLogger(__name__)

FRESH = 60.0  # seconds
_ABSENT = {"unknown_method", "missing_scope", "plan_upgrade_required", "paid_teams_only", "no_such_subteam"}


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
        if person.team != self._team:
            return Profile(person=person, is_home=False)
        try:
            user, groups = self._user_and_groups(person.user)
        except (SlackApiError, *LOST) as error:
            raise SlackUnreachable(
                "Slack does not answer who you are, so nothing was changed. Try again in a moment."
            ) from error
        return _profile(person, user, groups, self._team)

    def members(self, ids: Sequence[str]) -> list[str]:
        """Return the users behind user and user group ids, sorted; of what Slack does not tell now, nobody."""
        found: set[str] = set()
        for one in ids:
            if not one.startswith("S"):
                found.add(one)
                continue
            try:
                found |= set(self._fresh.get(f"group:{one}", partial(self._members, one)))
            except (SlackApiError, *LOST) as error:
                log.warning("who is in %s is not known now: %s", one, error)
        return sorted(found)

    def names(self, ids: Sequence[str]) -> dict[str, str]:
        """Return what people see in place of user and user group ids; what Slack does not tell is left out."""
        found: dict[str, str] = {}
        try:
            groups = self._fresh.get("groups", self._handles) if any(one.startswith("S") for one in ids) else {}
            for one in ids:
                named = one.startswith("S")
                found[one] = groups.get(one, "") if named else self._name_of(one)
        except (SlackApiError, *LOST) as error:
            log.warning("what people are called is not known now: %s", error)
        return {one: name for one, name in found.items() if name}

    def _name_of(self, user: str) -> str:
        return _name(self._fresh.get(f"user:{user}", partial(self._user, user)))

    def _handles(self) -> dict[str, str]:
        try:
            groups = self._client.usergroups_list()["usergroups"]
        except SlackApiError as error:
            if error_of(error) not in _ABSENT:
                raise
            return {}
        return {str(group["id"]): clean(str(group.get("handle") or group.get("name") or "")) for group in groups}

    def _user_and_groups(self, user: str) -> tuple[dict[str, Any], frozenset[str]]:
        """Return what Slack says of a user, and their groups; asked together where several things are not known.

        One after the other, a slow Slack would take longer than the three seconds that it gives us.
        """
        groups = sorted(self._groups())
        reads: dict[str, Callable[[], Any]] = {f"user:{user}": partial(self._user, user)}
        reads |= {f"group:{group}": partial(self._members, group) for group in groups}
        unknown = [key for key in reads if not self._fresh.knows(key)]
        if len(unknown) > 1:
            list(self._asking.map(lambda key: self._fresh.get(key, reads[key]), unknown))
        found = {key: self._fresh.get(key, read) for key, read in reads.items()}
        return found[f"user:{user}"], frozenset(g for g in groups if user in found[f"group:{g}"])

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

    def _members(self, group: str) -> list[str]:
        try:
            return list(self._client.usergroups_users_list(usergroup=group)["users"])
        except SlackApiError as error:
            if error_of(error) not in _ABSENT:
                raise
            log.warning("this Slack has no user group %s (%s): nobody is in it", group, error_of(error))
            return []


def _profile(person: Person, user: dict[str, Any], groups: frozenset[str], home: str) -> Profile:
    return Profile(
        person=person,
        is_home=user.get("team_id", home) == home and not user.get("is_stranger", False),
        is_guest=bool(user.get("is_restricted") or user.get("is_ultra_restricted")),
        is_bot=bool(user.get("is_bot")) or person.user == "USLACKBOT",
        is_deleted=bool(user.get("deleted")),
        groups=groups,
        name=_name(user),
    )


def _name(user: dict[str, Any]) -> str:
    """Return what people see of a user: the name that they chose, else their real one, else their login."""
    profile = user.get("profile") or {}
    names = (profile.get("display_name"), profile.get("real_name"), user.get("real_name"), user.get("name"))
    return clean(str(next((name for name in names if name), "")))


class _Fresh:
    """Values that are read once a minute, however many ask at the same moment."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._values: dict[str, tuple[float, Any]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._failures: dict[str, tuple[float, Exception]] = {}
        self._guard = threading.Lock()

    def knows(self, key: str) -> bool:
        """Tell whether the value is there and fresh."""
        known = self._values.get(key)
        return known is not None and self._monotonic() - known[0] <= FRESH

    def _raise_again(self, key: str, began: float) -> None:
        """Raise what a read raised for which this one has waited; else all who wait would time out in turn."""
        when, error = self._failures.get(key, (0.0, None))
        if error is not None and when > began:
            raise error

    def get(self, key: str, read: Callable[[], Any]) -> Any:
        """Return the value if it is fresh, else read it; one thread reads, the others wait for it."""
        began = self._monotonic()
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            known = self._values.get(key)
            if known is None or self._monotonic() - known[0] > FRESH:
                self._raise_again(key, began)
                try:
                    known = (self._monotonic(), read())
                except Exception as error:
                    self._failures[key] = (self._monotonic(), error)
                    raise
                self._values[key] = known
            return known[1]
