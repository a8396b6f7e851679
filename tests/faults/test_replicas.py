"""Several processes on one PostgreSQL: they share the work, repeat nothing, and a dead one leaves no gap."""

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
from bot.services.transitions.executor import LEASE
from localslack import Remote
from tests.support.app.app_fixture import CHANNEL, running_app
from tests.support.app.harness import audit_links
from tests.support.app.load_generator import EVERY, LoadGenerator, write_home
from tests.support.app.replicas import Replica
from tests.support.faults.consistency_checks import disagreements, is_quiet, message_keys
from tests.support.faults.suite_size import suite_size
from tests.support.registry.memory import MemoryRegistry
from tests.support.registry.mlflow_process import mlflow_subprocess
from tests.support.registry.registries import MlflowBackend
from tests.support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.postgres

SECONDS = float(os.environ.get("REPLICAS_SECONDS", "20"))  # of load and failures
HARMS = suite_size(10_000, 4)  # maximum: on a busy machine, a killed process takes half a minute to come back
MANY = 100_000  # checks of one monitor
TAKEN_OVER = LEASE.total_seconds()  # work of a dead process waits that long for another one
SEED = int(os.environ.get("REPLICAS_SEED", "7"))


def test_a_request_to_one_process_is_approved_at_another_and_reported_once(
    slack: Remote, tmp_path: Path, postgres_url: str
) -> None:
    registry = MemoryRegistry()
    with (
        running_app(slack, tmp_path / "one", registry, database_url=postgres_url) as one,
        running_app(slack, tmp_path / "two", registry, database_url=postgres_url) as two,
    ):
        slack.wait_until_connected(2)
        for version in (4, 2, 1):  # Slack sends each payload to either of them
            one.alice.types(CHANNEL, f"/model promote churn {version} production")
            assert one.bob.clicks(one.card(holds=f"Promote churn v{version}"), "Approve").acked
            wait_until(lambda version=version: two.production() == [version])  # type: ignore[misc]
            two.card(holds=f"v{version} is in Production")
        wait_until(lambda: is_quiet(two.ledger))
        # For each request, the card and Alice's direct message.
        assert sorted(len(times) for times in message_keys(slack).values()) == [1] * 6
        assert two.audit().count("registrar:version:moved") == 3


def test_a_change_found_by_several_processes_is_reported_once(slack: Remote, tmp_path: Path, postgres_url: str) -> None:
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


# -- real processes with failures ------------------------------------------------------------------------------------


@pytest.fixture
def environment(
    tmp_path: Path, postgres_url: str, apart: Remote, mlflow_sqlite: str, mlflow_backend: MlflowBackend
) -> Iterator[dict[str, str]]:
    """Return the settings of one of the processes."""
    with mlflow_subprocess(mlflow_sqlite, tmp_path / "artifacts", workers=1) as uri:
        yield write_home(tmp_path, apart, postgres_url, uri, mlflow_backend)


@pytest.mark.slow
@pytest.mark.timeout(suite_size(20_000, 6 * TAKEN_OVER))
def test_random_kills_and_pauses_lose_and_repeat_nothing(
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
                # A test in which nothing happens finds nothing.
                wait_until(lambda: min(done(ledger, apart, began).values()) > 0, PATIENCE + TAKEN_OVER)
            for one in team:
                if not one.is_ready:
                    one.wait()
            wait_until(lambda: is_quiet(ledger), PATIENCE + TAKEN_OVER)
            codes = [one.end() for one in team]
            found = [*disagreements(ledger, apart, load, environment), *missed(ledger, began)]
            asks = f"{len(load.asked)} requests and {len(load.clicked)} approvals acknowledged"
            told = ", ".join(f"{count} {what}" for what, count in done(ledger, apart, began).items())
            print(f"{harms}, {asks}, {told}: {len(found)} violations")
            assert found == []
            assert codes == [0] * len(team)
        finally:
            for one in team:
                one.kill()


def done(ledger: SqlLedger, slack: Remote, began: datetime) -> dict[str, int]:
    """Count the work done since; return no checks if a monitor has had none."""
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
    """Kill or pause one process after the other; restart those that were killed."""
    until, kills, stops = time.monotonic() + seconds, 0, 0
    while time.monotonic() < until and kills + stops < HARMS:
        time.sleep(dice.uniform(0.5, 3.0))  # time without failures; nothing is awaited here
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
    return f"{kills} kills, {stops} pauses"


def missed(ledger: SqlLedger, began: datetime) -> Iterator[str]:
    """Yield the slots that weren't checked."""
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
