"""Several processes on one PostgreSQL: each does its part, none does a thing twice, and one that dies leaves no gap."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bot.domain.approvals import Request, RequestState
from bot.domain.events import Tag
from bot.domain.moves import MoveKind, MoveState
from bot.domain.registry import Stage
from bot.ledger import SqlLedger
from bot.registry.memory import MemoryRegistry
from bot.registry.mlflow import MlflowRegistry
from localslack import Remote
from tests.harness import chain_is_whole
from tests.registries import MlflowShelf
from tests.replicas import Replica
from tests.team import EVERY, MODELS, Load, workplace
from tests.waiting import wait_until
from tests.world import CHANNEL, running

pytestmark = pytest.mark.postgres

SECONDS = float(os.environ.get("REPLICAS_SECONDS", "20"))  # of load and harm
SEED = int(os.environ.get("REPLICAS_SEED", "7"))


def test_what_is_asked_at_one_is_approved_at_another_and_told_once(
    slack: Remote, tmp_path: Path, postgres_url: str
) -> None:
    registry = MemoryRegistry()
    with (
        running(slack, tmp_path / "one", registry, database_url=postgres_url) as one,
        running(slack, tmp_path / "two", registry, database_url=postgres_url) as two,
    ):
        slack.wait_until_connected(2)
        for version in (4, 2, 1):  # Slack gives each payload to either of them
            one.alice.types(CHANNEL, f"/model promote churn {version} production")
            assert one.bob.clicks(one.card(holds=f"Promote churn v{version}"), "Approve").acked
            wait_until(lambda version=version: two.production() == [version])  # type: ignore[misc]
            two.card(holds=f"v{version} is in Production")
        wait_until(lambda: not _waiting(two.ledger))
        assert sorted(len(times) for times in said_keys(slack).values()) == [1] * 9
        assert two.audit().count("registrar:version:moved") == 3


def test_a_finding_of_several_is_told_once(slack: Remote, tmp_path: Path, postgres_url: str) -> None:
    registry = MemoryRegistry()
    with ExitStack() as worlds:
        bots = [
            worlds.enter_context(running(slack, tmp_path / name, registry, database_url=postgres_url))
            for name in ("one", "two", "three")
        ]
        bots[0].registrar.poll()
        registry.transition("churn", 1, Stage.PRODUCTION, archive_existing=True)
        polls = [threading.Thread(target=bot.registrar.poll) for bot in bots]
        for poll in polls:
            poll.start()
        for poll in polls:
            poll.join()
        assert bots[0].audit().count(Tag.FOUND.value) == 1


# -- real processes that are hurt ------------------------------------------------------------------------------------


@pytest.fixture
def environment(
    tmp_path: Path, postgres_url: str, apart: Remote, mlflow_sqlite: str, mlflow_shelf: MlflowShelf
) -> Iterator[dict[str, str]]:
    """Give the settings of a process of the team."""
    with workplace(tmp_path, apart, postgres_url, mlflow_sqlite, mlflow_shelf) as settings:
        yield settings


@pytest.mark.slow
def test_processes_that_are_killed_and_stopped_at_random_lose_nothing_and_double_nothing(
    environment: dict[str, str], apart: Remote, tmp_path: Path, postgres_url: str
) -> None:
    dice = random.Random(SEED)  # noqa: S311 - no secret
    verbs = ["run", "run", "run", "worker", "worker"]
    team = [Replica(verb, environment, tmp_path / f"{number}.log") for number, verb in enumerate(verbs)]
    with closing(SqlLedger(postgres_url, patience=20)) as ledger:
        try:
            for one in team:
                one.start()
            for one in team:
                one.wait()
            load = Load(apart, ledger, random.Random(SEED + 1))  # noqa: S311
            began = datetime.now(UTC)
            with load.goes_on():
                harms = harm(team, dice, SECONDS)
            for one in team:
                one.go_on()
            for one in team:
                if not one.is_ready:
                    one.wait()
            wait_until(lambda: _is_quiet(ledger), 120)
            found = [
                *lost(ledger, load),
                *doubled(ledger, apart, postgres_url),
                *missed(ledger, began),
                *apart_from(ledger, environment),
            ]
            asks = f"{len(load.asked)} asks and {len(load.clicked)} approvals acknowledged"
            print(f"{harms}, {asks}, {done(ledger, apart)}: {len(found)} violations")
            assert found == []
            assert [one.end() for one in team] == [0] * len(team)
        finally:
            for one in team:
                one.kill()


def done(ledger: SqlLedger, slack: Remote) -> str:
    """Say how much was done meanwhile; a test in which nothing happens finds nothing."""
    tags = Counter(link.event.tag for link in _links(ledger))
    with ledger.read() as reading:
        checks = sum(reading.standing(monitor.id).slot for monitor in reading.monitors())
    messages = len(said_keys(slack))
    assert min(tags[Tag.MOVED], checks, messages) > 0
    return f"{tags[Tag.MOVED]} promotions, {tags[Tag.ROLLED_BACK]} rollbacks, {checks} checks, {messages} messages"


def harm(team: list[Replica], dice: random.Random, seconds: float) -> str:
    """Kill, or stop for a while, one after the other; whoever was killed is started again."""
    until, kills, stops = time.monotonic() + seconds, 0, 0
    while time.monotonic() < until:
        time.sleep(dice.uniform(0.5, 3.0))  # so long they are left alone: this is no waiting for anything
        one = dice.choice(team)
        if dice.random() < 0.6:
            one.kill()
            kills += 1
            one.start()
        else:
            one.stop()
            stops += 1
            time.sleep(dice.choice([0.2, 2.0, 8.0]))
            one.go_on()
    return f"{kills} kills, {stops} stops"


def _is_quiet(ledger: SqlLedger) -> bool:
    later = datetime.now(UTC) + timedelta(days=1)
    with ledger.read() as reading:
        return not (reading.waiting_asks(later) or _waiting(ledger) or _under_way(ledger))


def _waiting(ledger: Any) -> list[str]:
    later = datetime.now(UTC) + timedelta(days=1)
    with ledger.read() as reading:
        return [note.key for note in reading.due_notes(later)]


def _under_way(ledger: SqlLedger) -> bool:
    with ledger.read() as reading:
        return bool(reading.models_with_moves([MoveState.INTENDED, MoveState.EXECUTING]))


def lost(ledger: SqlLedger, load: Load) -> Iterator[str]:
    """Yield what was acknowledged and is not there, or has no end."""
    with ledger.read() as reading:
        events = [link.event for link in _links(ledger)]
        asked = {event.evidence.get("reason") for event in events if event.tag is Tag.ASKED}
        yield from (f"the command {reason} is lost" for reason in load.asked - asked)
        for number in load.clicked:
            request = reading.request(number)
            if not any(vote.voter.user == "U0BOB" for vote in reading.votes(number)) and _was_open(request):
                yield f"the click on {number} is lost: {request.state}"
            if request.state in {RequestState.PENDING, RequestState.APPROVED, RequestState.EXECUTING}:
                yield f"{number} was approved and is {request.state}"
    if not chain_is_whole(ledger):
        yield "the audit chain is broken"


def _was_open(request: Request) -> bool:
    return request.state in {RequestState.PENDING, RequestState.APPROVED, RequestState.EXECUTING, RequestState.DONE}


def doubled(ledger: SqlLedger, slack: Remote, url: str) -> Iterator[str]:
    """Yield what happened or was said twice, and what stands in Slack and not in the ledger or the other way round."""
    events = [link.event for link in _links(ledger)]
    moved = Counter(event.subject for event in events if event.tag in {Tag.MOVED, Tag.ROLLED_BACK})
    yield from (f"{subject} moved {times} times" for subject, times in moved.items() if times > 1)
    there = said_keys(slack)
    yield from (f"{key} is there {len(times)} times" for key, times in there.items() if len(times) > 1)
    in_slack = {ts for times in there.values() for ts in times}
    with closing(psycopg.connect(url)) as connection:
        kept = {str(ts) for (ts,) in connection.execute("SELECT ts FROM postings WHERE channel = 'C0MLMODELS'")}
    yield from (f"the message of {ts} is nobody's" for ts in in_slack - kept)
    yield from (f"the message of {ts} is not there" for ts in kept - in_slack)


def said_keys(slack: Remote) -> dict[str, list[str]]:
    """Return where messages of ours stand in the channel and its threads, by their keys."""
    bob, keys = slack.person("bob"), defaultdict[str, list[str]](list)
    for message in bob.sees(CHANNEL):
        for one in (message, *(bob.thread(message)[1:] if message.get("reply_count") else ())):
            if key := one.get("metadata", {}).get("event_payload", {}).get("key"):
                keys[key].append(one["ts"])
    return dict(keys)


def missed(ledger: SqlLedger, began: datetime) -> Iterator[str]:
    """Yield the slots that nobody checked."""
    with ledger.read() as reading:
        for monitor in reading.monitors():
            checks = reading.measurements(monitor.id, since=began, most=100_000)
            slots = sorted(check.slot for check in checks)
            if slots != list(range(slots[0], slots[0] + len(slots))):
                yield f"{monitor.model} {monitor.name} has a gap"
            times = sorted(check.at for check in checks)
            longest = max((later - at for at, later in pairwise(times)), default=timedelta())
            if longest > timedelta(seconds=EVERY * 1.1 + 45):  # the lease of a check: the source's limits and ten more
                yield f"{monitor.model} was not checked for {longest}"


def apart_from(ledger: SqlLedger, environment: dict[str, str]) -> Iterator[str]:
    """Yield where the registry is not as the ledger has it."""
    with closing(MlflowRegistry(environment["MLFLOW_TRACKING_URI"])) as registry, ledger.read() as reading:
        for model in MODELS:
            done = [one for one in reading.moves(model, stage=Stage.PRODUCTION) if one.state is MoveState.DONE]
            holders = [one.version for one in registry.versions(model) if one.stage is Stage.PRODUCTION]
            if holders != [done[0].version]:
                yield f"{model} has {holders} in Production, and the ledger {done[0].version}"
            if done[0].kind is not MoveKind.OBSERVED and registry.model(model).aliases.get("champion") not in holders:
                yield f"{model}'s alias is elsewhere"


def _links(ledger: SqlLedger) -> list[Any]:
    found: list[Any] = []
    with ledger.read() as reading:
        while page := reading.links(after=found[-1].number if found else 0):
            found += page
    return found
