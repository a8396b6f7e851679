"""The bot is killed before and after every write: after the restart nothing is lost, doubled or told wrongly.

Every INSERT, UPDATE, DELETE and COMMIT of the ledger, every request that changes MLflow, every call of Slack that
changes something, and every event to an endpoint is a point. `make chaos` dies at all of them, three times: once
plainly, and twice so that the one who takes over dies as well, somewhere. Otherwise it is a sample.
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

TIMES = 3  # at each point, of which all but the first have a second death while it is taken over
DEATHS = 6  # of an act on one database, where it is a sample
SAMPLE = {"sqlite": ("approve", "monitor"), "postgres": ("reject", "rollback")}
SEED = 7

on_both = pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])


@dataclass(frozen=True)
class CrashPlan:
    """Where to die, and in which of the rounds."""

    point: int
    when: str
    round: int = 0


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("act", ACTS)
@on_both
def test_whoever_dies_at_any_write_leaves_nothing_lost_doubled_or_told_wrongly(
    crash_harness: CrashHarness, act: str
) -> None:
    assert wrong(crash_harness, act, None if CHAOS else DEATHS) == []


@on_both
def test_also_in_a_sample_of_twenty(crash_harness: CrashHarness, database: str) -> None:
    assert [what for act in SAMPLE[database] for what in wrong(crash_harness, act, 5)] == []


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite"])
def test_every_call_of_slack_that_changes_something_is_a_point(crash_harness: CrashHarness) -> None:
    for act in ("approve", "monitor"):
        crash_harness.prepare(act)
        crash_harness.slack.forget_calls()
        points = crash_harness.act(CrashCase(act)).points
        called = Counter(
            call["method"] for call in crash_harness.slack.calls() if call["method"] not in {*READS, "upload"}
        )
        assert called == Counter(name for name in points if name.startswith(("chat.", "files.", "response_url")))


def wrong(crash_harness: CrashHarness, act: str, most: int | None) -> list[str]:
    """Die at every point, or `most` times at points that dice choose; print how often, and return what was wrong."""
    crash_harness.prepare(act)
    points = crash_harness.act(CrashCase(act)).points
    fates = fates_of(points)
    dice = random.Random(f"{SEED} {act}")  # noqa: S311 - no secret
    chosen = fates if most is None else dice.sample(fates, most)
    deaths = CrashRuns(crash_harness, act, points, dice)
    found = {fate: whats for fate in chosen if (whats := list(deaths.die(fate)))}
    print(
        f"{act} on {deaths.kind}: {len(found)} of {len(chosen)} went wrong; {len(points)} writes, "
        f"{deaths.count} deaths, {deaths.second} of them while it was taken over"
    )
    return [
        f"killed {fate.when} {points[fate.point]} ({fate.point}, round {fate.round}): {what}"
        for fate, whats in found.items()
        for what in whats
    ]


def fates_of(points: list[str]) -> list[CrashPlan]:
    """Return every place to die, and every round."""
    return [
        CrashPlan(at, when, turn) for turn in range(TIMES) for at in range(len(points)) for when in ("before", "after")
    ]


@dataclass
class CrashRuns:
    """Dies, takes over, and looks at what is left."""

    crash_harness: CrashHarness
    act: str
    points: list[str]
    dice: random.Random
    count: int = 0
    second: int = 0

    @property
    def kind(self) -> str:
        """What the ledger is on."""
        return self.crash_harness.kind

    def die(self, fate: CrashPlan) -> Iterator[str]:
        """Yield what is wrong after this death."""
        case = CrashCase(self.act, fate.point, fate.when)
        death = self.crash_harness.act(case)
        self.count += death.died
        if not death.died:
            yield "it did not die"
        if fate.round:
            left = max(1, len(self.points) - fate.point)  # about as many writes as the other one still had to make
            again = CrashCase(self.act, self.dice.randrange(left), self.dice.choice(["before", "after"]))
            has_died = self.crash_harness.dies_again(again)
            self.count += has_died
            self.second += has_died
        is_seen = death.acked or self.act in BY_THE_CLOCK
        then, last = self.crash_harness.restart(CrashCase(self.act, again=not is_seen))
        yield from violations(self.crash_harness, ENDS[self.act], then, last, is_seen=is_seen)
