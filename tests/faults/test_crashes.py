"""The bot is killed before and after every write: after the restart, nothing is lost, repeated, or reported wrong.

Every INSERT, UPDATE, DELETE, and COMMIT in the ledger, every call that changes MLflow, every Slack call that
changes something, and every event to an endpoint is a crash point. `make chaos` tests each three times: once
with one kill, and twice with a second kill during recovery. Otherwise, a sample is tested.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.faults.crash_harness import CrashHarness
from tests.support.faults.crash_points import READS
from tests.support.faults.crashing_bot import ACTS, BY_THE_CLOCK, CrashCase
from tests.support.faults.end_state import ENDS, violations
from tests.support.faults.suite_size import CHAOS

TIMES = 3  # per point; all but the first have a second crash during recovery
DEATHS = 6  # sampled points per operation and database
SAMPLE = {"sqlite": ("approve", "monitor"), "postgres": ("reject", "rollback")}
SEED = 7

on_both = pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])


@dataclass(frozen=True)
class CrashPlan:
    """The crash point, and the round."""

    point: int
    when: str
    round: int = 0


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("act", ACTS)
@on_both
def test_a_crash_at_any_write_loses_and_repeats_nothing(crash_harness: CrashHarness, act: str) -> None:
    assert wrong(crash_harness, act, None if CHAOS else DEATHS) == []


@on_both
def test_a_crash_at_twenty_sampled_writes_loses_and_repeats_nothing(crash_harness: CrashHarness, database: str) -> None:
    assert [what for act in SAMPLE[database] for what in wrong(crash_harness, act, 5)] == []


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite"])
def test_every_slack_call_that_changes_something_is_a_crash_point(crash_harness: CrashHarness) -> None:
    for act in ("approve", "monitor"):
        crash_harness.prepare(act)
        crash_harness.slack.forget_calls()
        points = crash_harness.act(CrashCase(act)).points
        called = Counter(
            call["method"] for call in crash_harness.slack.calls() if call["method"] not in {*READS, "upload"}
        )
        assert called == Counter(name for name in points if name.startswith(("chat.", "files.", "response_url")))


def wrong(crash_harness: CrashHarness, act: str, most: int | None) -> list[str]:
    """Crash at every point, or at `most` random ones; print how often, and return the problems."""
    crash_harness.prepare(act)
    points = crash_harness.act(CrashCase(act)).points
    fates = fates_of(points)
    dice = random.Random(f"{SEED} {act}")  # noqa: S311 - no secret
    chosen = fates if most is None else dice.sample(fates, most)
    deaths = CrashRuns(crash_harness, act, points, dice)
    found = {fate: whats for fate in chosen if (whats := list(deaths.die(fate)))}
    print(
        f"{act} on {deaths.kind}: {len(found)} of {len(chosen)} went wrong; {len(points)} writes, "
        f"{deaths.count} crashes, {deaths.second} of them during recovery"
    )
    return [
        f"killed {fate.when} {points[fate.point]} ({fate.point}, round {fate.round}): {what}"
        for fate, whats in found.items()
        for what in whats
    ]


def fates_of(points: list[str]) -> list[CrashPlan]:
    """Return every crash point with every round."""
    return [
        CrashPlan(at, when, turn) for turn in range(TIMES) for at in range(len(points)) for when in ("before", "after")
    ]


@dataclass
class CrashRuns:
    """Crashes, recovers, and checks the result."""

    crash_harness: CrashHarness
    act: str
    points: list[str]
    dice: random.Random
    count: int = 0
    second: int = 0

    @property
    def kind(self) -> str:
        """The ledger's database."""
        return self.crash_harness.kind

    def die(self, fate: CrashPlan) -> Iterator[str]:
        """Yield the problems after this crash."""
        case = CrashCase(self.act, fate.point, fate.when)
        death = self.crash_harness.act(case)
        self.count += death.died
        if not death.died:
            yield "it didn't crash"
        if fate.round:
            left = max(1, len(self.points) - fate.point)  # about as many writes as the other one had left
            again = CrashCase(self.act, self.dice.randrange(left), self.dice.choice(["before", "after"]))
            has_died = self.crash_harness.dies_again(again)
            self.count += has_died
            self.second += has_died
        is_seen = death.acked or self.act in BY_THE_CLOCK
        then, last = self.crash_harness.restart(CrashCase(self.act, again=not is_seen))
        yield from violations(self.crash_harness, ENDS[self.act], then, last, is_seen=is_seen)
