"""Several processes on one PostgreSQL: each does its part, none does a thing twice, and one that dies leaves no gap."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.registry.model import Stage
from bot.ledger import SqlLedger
from bot.registry.memory import MemoryRegistry
from bot.services.transitions.executor import LEASE
from localslack import Remote
from tests.support.app.app_fixture import CHANNEL, running_app
from tests.support.app.harness import audit_links
from tests.support.app.load_generator import EVERY, LoadGenerator, write_home
from tests.support.app.replicas import Replica
from tests.support.faults.consistency_checks import disagreements, is_quiet, message_keys
from tests.support.faults.suite_size import suite_size
from tests.support.registry.mlflow_process import mlflow_subprocess
from tests.support.registry.registries import MlflowBackend
from tests.support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.postgres

SECONDS = float(os.environ.get("REPLICAS_SECONDS", "20"))  # of load and harm
HARMS = suite_size(10_000, 4)  # at most: on a busy machine, a process that was killed takes half a minute to be back
MANY = 100_000  # checks of one monitor
TAKEN_OVER = LEASE.total_seconds()  # what a process had begun when it died waits that long for another one
SEED = int(os.environ.get("REPLICAS_SEED", "7"))


def test_what_is_asked_at_one_is_approved_at_another_and_told_once(
    slack: Remote, tmp_path: Path, postgres_url: str
) -> None:
    registry = MemoryRegistry()
    with (
        running_app(slack, tmp_path / "one", registry, database_url=postgres_url) as one,
        running_app(slack, tmp_path / "two", registry, database_url=postgres_url) as two,
    ):
        slack.wait_until_connected(2)
        for version in (4, 2, 1):  # Slack gives each payload to either of them
            one.alice.types(CHANNEL, f"/model promote churn {version} production")
            assert one.bob.clicks(one.card(holds=f"Promote churn v{version}"), "Approve").acked
            wait_until(lambda version=version: two.production() == [version])  # type: ignore[misc]
            two.card(holds=f"v{version} is in Production")
        wait_until(lambda: is_quiet(two.ledger))
        assert (
            sorted(len(times) for times in message_keys(slack).values()) == [1] * 12
        )  # the card, its news, and what Alice is told
        assert two.audit().count("registrar:version:moved") == 3


def test_a_finding_of_several_is_told_once(slack: Remote, tmp_path: Path, postgres_url: str) -> None:
    registry = MemoryRegistry()
    with ExitStack() as worlds:
        bots = [
            worlds.enter_context(running_app(slack, tmp_path / name, registry, database_url=postgres_url))
            for name in ("one", "two", "three")
        ]
        bots[0].registrar.poll_registry()
        registry.transition_stage("churn", 1, Stage.PRODUCTION, archive_existing=True)
        polls = [threading.Thread(target=bot.registrar.poll_registry) for bot in bots]
        for poll in polls:
            poll.start()
        for poll in polls:
            poll.join()
        assert bots[0].audit().count(EventTag.DRIFT_FOUND.value) == 1


# -- real processes that are hurt ------------------------------------------------------------------------------------


@pytest.fixture
def environment(
    tmp_path: Path, postgres_url: str, apart: Remote, mlflow_sqlite: str, mlflow_backend: MlflowBackend
) -> Iterator[dict[str, str]]:
    """Give the settings of a process of the team."""
    with mlflow_subprocess(mlflow_sqlite, tmp_path / "artifacts", workers=1) as uri:
        yield write_home(tmp_path, apart, postgres_url, uri, mlflow_backend)


@pytest.mark.slow
@pytest.mark.timeout(suite_size(20_000, 6 * TAKEN_OVER))
def test_processes_that_are_killed_and_stopped_at_random_lose_nothing_and_double_nothing(
    environment: dict[str, str], apart: Remote, tmp_path: Path, postgres_url: str
) -> None:
    dice = random.Random(SEED)  # noqa: S311 - no secret
    verbs = suite_size(["run", "run", "run", "worker", "worker"], ["run", "run", "worker"])
    team = [Replica(verb, environment, tmp_path / f"{number}.log") for number, verb in enumerate(verbs)]
    with closing(SqlLedger(postgres_url, timeout=20)) as ledger:
        try:
            for one in team:
                one.start()
            for one in team:
                one.wait()
            load = LoadGenerator(apart, ledger, random.Random(SEED + 1), pause=suite_size(0.2, 0.5))  # noqa: S311
            began = datetime.now(UTC)
            with load.goes_on():
                harms = harm(team, dice, SECONDS)
                for one in team:
                    one.go_on()
                # Where nothing happens, nothing is found.
                wait_until(lambda: min(done(ledger, apart, began).values()) > 0, PATIENCE + TAKEN_OVER)
            for one in team:
                if not one.is_ready:
                    one.wait()
            wait_until(lambda: is_quiet(ledger), PATIENCE + TAKEN_OVER)
            codes = [one.end() for one in team]
            found = [*disagreements(ledger, apart, load, environment), *missed(ledger, began)]
            asks = f"{len(load.asked)} asks and {len(load.clicked)} approvals acknowledged"
            told = ", ".join(f"{count} {what}" for what, count in done(ledger, apart, began).items())
            print(f"{harms}, {asks}, {told}: {len(found)} violations")
            assert found == []
            assert codes == [0] * len(team)
        finally:
            for one in team:
                one.kill()


def done(ledger: SqlLedger, slack: Remote, began: datetime) -> dict[str, int]:
    """Count what was done since; no checks where a monitor hasn't had any."""
    tags = Counter(link.event.tag for link in audit_links(ledger))
    with ledger.read() as reading:
        checks = [len(reading.measurements(one.id, since=began, limit=MANY)) for one in reading.monitors()]
    return {
        "promotions": tags[EventTag.TRANSITION_DONE],
        "rollbacks": tags[EventTag.ROLLED_BACK],
        "checks": sum(checks) if all(checks) else 0,
        "messages": len(message_keys(slack)),
    }


def harm(team: list[Replica], dice: random.Random, seconds: float) -> str:
    """Kill, or stop for a while, one after the other; whoever was killed is started again."""
    until, kills, stops = time.monotonic() + seconds, 0, 0
    while time.monotonic() < until and kills + stops < HARMS:
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


def missed(ledger: SqlLedger, began: datetime) -> Iterator[str]:
    """Yield the slots that nobody checked."""
    with ledger.read() as reading:
        for monitor in reading.monitors():
            checks = reading.measurements(monitor.id, since=began, limit=MANY)
            slots = sorted(check.slot for check in checks)
            if slots != list(range(slots[0], slots[0] + len(slots))):
                yield f"{monitor.model} {monitor.name} has a gap"
            times = sorted(check.at for check in checks)
            longest = max((later - at for at, later in pairwise(times)), default=timedelta())
            if longest > timedelta(seconds=EVERY * 1.1 + 45):  # the lease of a check: the source's limits and ten more
                yield f"{monitor.model} was not checked for {longest}"
