"""Random kills under load, with restarts: everything acknowledged is recorded, and nothing twice."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.ledger import SqlLedger
from localslack import Remote
from tests.support.app.harness import audit_links
from tests.support.app.load_generator import LoadGenerator, write_home
from tests.support.app.replicas import Replica
from tests.support.faults.consistency_checks import disagreements, is_quiet, message_keys
from tests.support.faults.subprocesses import program
from tests.support.faults.suite_size import suite_size
from tests.support.network.ports import free_port
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import MlflowBackend
from tests.support.waiting import wait_until

KILLS = int(os.environ.get("KILLS", "16"))  # in total, half on each database; a twentieth of that for the real program
SEED = int(os.environ.get("KILLS_SEED", "7"))
LIVES_MOST = 2.0  # seconds after it was ready
PAUSE = suite_size(0.1, 0.25)  # seconds between two actions of one person
STARTING = 0.2  # share of kills during startup

both = pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
slow = pytest.mark.slow


@pytest.fixture
def environment(
    database: str,
    request: pytest.FixtureRequest,
    apart: Remote,
    tmp_path: Path,
    mlflow_server: MlflowServer,
    mlflow_backend: MlflowBackend,
) -> dict[str, str]:
    """Return a process's settings, with a new ledger on this database and a real MLflow."""
    url = str(request.getfixturevalue(f"{database}_url"))
    return write_home(tmp_path, apart, url, mlflow_server.uri, mlflow_backend)


@pytest.mark.parametrize(
    ("database", "kills"),
    [
        ("sqlite", 5),
        pytest.param("sqlite", KILLS // 2, marks=slow),
        pytest.param("postgres", KILLS - KILLS // 2, marks=[slow, pytest.mark.postgres]),
    ],
)
@pytest.mark.timeout(20_000)
def test_random_kills_lose_and_repeat_nothing(environment: dict[str, str], apart: Remote, kills: int) -> None:
    dice = random.Random(SEED)  # noqa: S311 - no secret
    port = free_port()
    apart.deliver_to(f"http://127.0.0.1:{port}/slack/events")
    secrets = {"SLACK_SIGNING_SECRET": apart.signing_secret, "SLACK_APP_TOKEN": "", "REGISTRAR_PORT": str(port)}
    with (
        closing(SqlLedger(environment["REGISTRAR_DATABASE_URL"], timeout=20)) as ledger,
        program("tests.support.faults.forking_server", environment=environment | secrets) as process,
    ):
        load = LoadGenerator(apart, ledger, random.Random(SEED + 1), pause=PAUSE)  # noqa: S311
        with load.goes_on():
            was_ready = sum(one["ready"] for one in killed(process, dice, kills))
            ends_by_itself = tell(process, {"lives": None})
            assert ends_by_itself["ready"]
        wait_until(lambda: is_quiet(ledger), 300)
        ended = tell(process, {})
        found = disagreements(ledger, apart, load, environment)
        print(
            f"{environment['REGISTRAR_DATABASE_URL'].partition(':')[0]}: {kills} kills, {kills - was_ready} of them "
            f"during startup; {done(ledger, apart, load)}: {len(found)} went wrong"
        )
        assert found == []
        assert ended["status"] == 0


@slow
@both
@pytest.mark.timeout(20_000)
def test_random_kills_of_the_real_program_lose_and_repeat_nothing(
    environment: dict[str, str], apart: Remote, tmp_path: Path
) -> None:
    dice = random.Random(SEED)  # noqa: S311
    kills = max(1, KILLS // 40)
    one = Replica("run", environment, tmp_path / "run.log")
    with closing(SqlLedger(environment["REGISTRAR_DATABASE_URL"], timeout=20)) as ledger:
        load = LoadGenerator(apart, ledger, random.Random(SEED + 1), pause=PAUSE)  # noqa: S311
        try:
            one.start().wait()
            with load.goes_on():
                for _ in range(kills):
                    time.sleep(dice.uniform(0, 2))  # its lifetime; nothing is awaited here
                    one.kill()
                    one.start().wait()
                wait_until(lambda: load.asked)  # on a busy machine, it may have died before the check
            wait_until(lambda: is_quiet(ledger), 300)
            code = one.end()
            found = disagreements(ledger, apart, load, environment)
            print(
                f"{environment['REGISTRAR_DATABASE_URL'].partition(':')[0]}: {kills} kills of the program; "
                f"{done(ledger, apart, load)}: {len(found)} went wrong"
            )
            assert found == []
            assert code == 0
        finally:
            one.kill()


def killed(process: subprocess.Popen[str], dice: random.Random, kills: int) -> Iterator[dict[str, Any]]:
    """Start and kill a process this many times; yield the result of each."""
    for _ in range(kills):
        is_starting = dice.random() < STARTING
        yield tell(process, {"ready": not is_starting, "lives": dice.uniform(0, LIVES_MOST)})


def tell(process: subprocess.Popen[str], asked: dict[str, Any]) -> dict[str, Any]:
    """Send a line to the forking process; return its answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(asked) + "\n")
    process.stdin.flush()
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


def done(ledger: SqlLedger, slack: Remote, load: LoadGenerator) -> str:
    """Return how much work was done, since a test in which nothing happens finds nothing."""
    tags = Counter(link.event.tag for link in audit_links(ledger))
    assert min(tags[EventTag.REQUEST_OPENED], len(load.asked)) > 0
    return (
        f"{len(load.asked)} requests, {len(load.clicked)} approvals, and {len(load.rolled_back)} rollbacks "
        f"acknowledged, {tags[EventTag.TRANSITION_DONE]} transitions done, {len(message_keys(slack))} messages posted"
    )
