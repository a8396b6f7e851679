"""Fake dependencies of the services: a clock, a directory, sources, and a registry that fails on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.domain.core.actors import Person, Profile
from bot.domain.core.errors import FilesUnreachable, SlackUnreachable
from bot.domain.monitoring.readings import Answer, CountPoint, Point
from bot.domain.promotions.approvers import EligibleApprovers
from bot.domain.registry.model import Stage, VersionInfo
from bot.ports import Query
from tests.support.registry.memory import MemoryFiles, MemoryRegistry


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.time = datetime(2026, 5, 4, 12, tzinfo=UTC)
        self.ticks = 0.0

    def now(self) -> datetime:
        """Return the time in UTC."""
        return self.time

    def monotonic(self) -> float:
        """Return seconds that don't change when the clock is set back."""
        return self.ticks

    def set_back(self, **span: float) -> None:
        """Set the clock back without time passing."""
        self.time -= timedelta(**span)

    def advance(self, **span: float) -> None:
        """Advance the clock."""
        self.time += timedelta(**span)
        self.ticks += timedelta(**span).total_seconds()


class FakeDirectory:
    """People in Slack: members of this workspace, until `become` changes one."""

    def __init__(self) -> None:
        self.people: dict[str, Profile] = {}
        self.groups: dict[str, list[str]] = {}  # members by user group; Slack can't list other groups
        self.is_down = False
        self.asked: list[list[str]] = []
        self.meanwhile: Callable[[], None] | None = None  # runs once, during a lookup

    def become(self, who: Profile, **changes: Any) -> None:
        """Change someone's account, such as `is_deleted=True` or `groups=frozenset()`."""
        self.people[who.person.user] = replace(self.people.get(who.person.user, who), **changes)

    def profile(self, person: Person) -> Profile:
        """Return the person's profile."""
        return self.current_profiles([person])[person.user]

    def current_profiles(self, people: Iterable[Person]) -> dict[str, Profile]:
        """Return the people's profiles."""
        asked = list(people)
        self.asked.append([person.user for person in asked])
        during, self.meanwhile = self.meanwhile, None
        if during:
            during()
        if self.is_down:
            raise SlackUnreachable("Slack doesn't answer.")
        return {person.user: self.people.get(person.user, Profile(person=person)) for person in asked}

    def electorate(self, ids: Sequence[str]) -> EligibleApprovers:
        """Return the users among the ids, and the members of the groups that a test has filled."""
        if self.is_down:
            raise SlackUnreachable("Slack doesn't answer.")
        groups = [one for one in ids if one.startswith("S")]
        found = [one for one in ids if one not in groups] + [
            user for one in groups for user in self.groups.get(one, [])
        ]
        people = {user: self.people.get(user, Profile(person=Person("T1", user))) for user in found}
        return EligibleApprovers(people, is_complete=all(one in self.groups for one in groups))

    def member_ids(self, ids: Sequence[str]) -> list[str]:
        """Return the users among the ids."""
        return list(ids)

    def display_names(self, ids: Sequence[str]) -> dict[str, str]:
        """Return no names."""
        return {}


class FakeSources:
    """Sources with a test's answers: by query, points, an answer, or an error to raise."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | Exception] = {}
        self.asked: list[list[Query]] = []

    def say(self, query: str, *points: Point | CountPoint) -> None:
        """Set the points of a query."""
        self.answers[query] = Answer(points=points)

    def read(self, name: str, queries: Sequence[Query]) -> list[Answer]:
        """Return the set answers; other queries have no points."""
        self.asked.append(list(queries))
        found = [self.answers.get(query.query, Answer()) for query in queries]
        for one in found:
            if isinstance(one, Exception):
                raise one
        return [one for one in found if isinstance(one, Answer)]

    def history(self, name: str, query: Query, step: timedelta) -> Answer:
        """Return the same answer for any period."""
        return self.read(name, [query])[0]


class FaultyRegistry(MemoryRegistry):
    """A registry that runs a test's actions right before or after the next transition, and counts transitions."""

    def __init__(self) -> None:
        super().__init__()
        self.transitions = 0
        self.before: Callable[[], None] | None = None
        self.after: Callable[[], None] | None = None
        self.is_deaf = False  # accepts transitions without making them
        self.are_files_down = False

    def transition_stage(self, name: str, version: int, stage: Stage, *, archive_existing: bool) -> None:
        """Move the version, with the actions before and after it."""
        before, self.before = self.before, None
        if before:
            before()
        self.transitions += 1
        if self.is_deaf:
            return
        super().transition_stage(name, version, stage, archive_existing=archive_existing)
        after, self.after = self.after, None
        if after:
            after()

    def version_files(self, version: VersionInfo) -> MemoryFiles:
        """Return the version's files, unless they can't be read."""
        if self.are_files_down:
            raise FilesUnreachable("The files can't be read right now.")
        return super().version_files(version)

    def remove_file(self, version: VersionInfo, path: str) -> None:
        """Remove a file that a test has added to a version."""
        del self._files[version.source][path]

    def by_hand(self, model: str, version: int, stage: Stage, *, archive_existing: bool = True) -> None:
        """Move a version as someone does in MLflow."""
        super().transition_stage(model, version, stage, archive_existing=archive_existing)

    def holders(self, model: str = "churn", stage: Stage = Stage.PRODUCTION) -> list[int]:
        """Return the versions in the stage."""
        return [one.version for one in self.versions(model) if one.stage is stage]
