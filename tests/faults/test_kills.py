"""Killed at random moments under load, and started again: what was acknowledged is there, and nothing twice."""

from __future__ import annotations

import json
import os
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bot.domain.approvals import RequestState
from bot.domain.events import Event, Tag
from bot.domain.moves import MoveState
from bot.ledger import SqlLedger
from bot.ledger.engines import parse_url
from bot.ledger.tables import postings
from localslack import Remote
from localslack.client import RefusedError
from tests.faults.conftest import program
from tests.faults.ends import key_of
from tests.faults.test_replicas import apart_from, lost
from tests.harness import links
from tests.registries import MlflowShelf, free_port
from tests.replicas import Replica
from tests.team import MODELS, Load, workplace
from tests.waiting import wait_until
from tests.world import CHANNEL

KILLS = int(os.environ.get("KILLS", "40"))  # in all, half of them on each database; of real programs a twentieth of it
SEED = int(os.environ.get("KILLS_SEED", "7"))
LIVES_MOST = 2.0  # seconds after it was ready
PAUSE = 0.1  # seconds between two acts of one person
STARTING = 0.2  # share of kills that come while it starts

both = pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
slow = pytest.mark.slow
chaos = pytest.mark.skipif("CHAOS" not in os.environ, reason="make chaos kills as often as is wanted")
ENDED = {RequestState.DONE, RequestState.REJECTED, RequestState.CANCELLED, RequestState.EXPIRED, RequestState.STALE,
         RequestState.FAILED}  # fmt: skip
ENDS = {Tag.REJECTED, Tag.CANCELLED, Tag.EXPIRED, Tag.STALE, Tag.FAILED, Tag.MOVED, Tag.ROLLED_BACK}


@dataclass
class Crowd(Load):
    """The people of the load, and a lead who rolls back."""

    rolled_back: set[str] = field(default_factory=set)  # reasons of the commands that were acknowledged

    @contextmanager
    def goes_on(self) -> Iterator[None]:
        """Let all of them act until the block ends."""
        more = threading.Thread(target=self._rolls_back, daemon=True)
        with super().goes_on():
            more.start()
            yield
        more.join(60)

    def _rolls_back(self) -> None:
        number = 0
        while not self.over.wait(self.pause * 3):
            number += 1
            text = f'/model rollback {self.dice.choice(MODELS)} --reason "back{number}"'
            with suppress(RefusedError):
                if self.slack.person("carol").types(CHANNEL, text).acked:
                    self.rolled_back.add(f"back{number}")


@pytest.fixture
def environment(
    database: str, request: pytest.FixtureRequest, apart: Remote, tmp_path: Path, mlflow_sqlite: str,
    mlflow_shelf: MlflowShelf,
) -> Iterator[dict[str, str]]:  # fmt: skip
    """Give the settings of a process, over a fresh ledger on this database and a real MLflow."""
    url = str(request.getfixturevalue(f"{database}_url"))
    with workplace(tmp_path, apart, url, mlflow_sqlite, mlflow_shelf) as settings:
        yield settings


@pytest.mark.parametrize(("database", "kills"), [
    ("sqlite", 5),
    pytest.param("sqlite", KILLS // 2, marks=[slow, chaos]),
    pytest.param("postgres", KILLS - KILLS // 2, marks=[slow, chaos, pytest.mark.postgres]),
])  # fmt: skip
@pytest.mark.timeout(20_000)
def test_whoever_is_killed_at_random_loses_nothing_and_doubles_nothing(
    environment: dict[str, str], apart: Remote, kills: int
) -> None:
    dice = random.Random(SEED)  # noqa: S311 - no secret
    port = free_port()
    apart.deliver_to(f"http://127.0.0.1:{port}/slack/events")
    secrets = {"SLACK_SIGNING_SECRET": apart.signing_secret, "SLACK_APP_TOKEN": "", "REGISTRAR_PORT": str(port)}
    with (
        closing(SqlLedger(environment["REGISTRAR_DATABASE_URL"], patience=20)) as ledger,
        program("tests.faults.killing", environment=environment | secrets) as process,
    ):
        load = Crowd(apart, ledger, random.Random(SEED + 1), pause=PAUSE)  # noqa: S311
        with load.goes_on():
            was_ready = sum(one["ready"] for one in killed(process, dice, kills))
            ends_by_itself = tell(process, {"lives": None})
            assert ends_by_itself["ready"]
        found = left(ledger, apart, load, environment)
        ended = tell(process, {})
        print(f"{environment['REGISTRAR_DATABASE_URL'].partition(':')[0]}: {kills} kills, {kills - was_ready} of them "
              f"while it started; {done(ledger, apart, load)}: {len(found)} went wrong")  # fmt: skip
        assert found == []
        assert ended["status"] == 0


@slow
@both
@pytest.mark.timeout(20_000)
def test_also_the_real_program(environment: dict[str, str], apart: Remote, tmp_path: Path) -> None:
    dice = random.Random(SEED)  # noqa: S311
    kills = max(1, KILLS // 40)
    one = Replica("run", environment, tmp_path / "run.log")
    with closing(SqlLedger(environment["REGISTRAR_DATABASE_URL"], patience=20)) as ledger:
        load = Crowd(apart, ledger, random.Random(SEED + 1), pause=PAUSE)  # noqa: S311
        try:
            one.start().wait()
            with load.goes_on():
                for _ in range(kills):
                    time.sleep(dice.uniform(0, 2))  # so long it lives: this is no waiting for anything
                    one.kill()
                    one.start().wait()
            found = left(ledger, apart, load, environment)
            print(f"{environment['REGISTRAR_DATABASE_URL'].partition(':')[0]}: {kills} kills of the program; "
                  f"{done(ledger, apart, load)}: {len(found)} went wrong")  # fmt: skip
            assert found == []
            assert one.end() == 0
        finally:
            one.kill()


def killed(process: subprocess.Popen[str], dice: random.Random, kills: int) -> Iterator[dict[str, Any]]:
    """Start and kill so often; give how each went."""
    for _ in range(kills):
        is_starting = dice.random() < STARTING
        yield tell(process, {"ready": not is_starting, "lives": dice.uniform(0, LIVES_MOST)})


def tell(process: subprocess.Popen[str], asked: dict[str, Any]) -> dict[str, Any]:
    """Tell the process that forks; return its answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(asked) + "\n")
    process.stdin.flush()
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


def left(ledger: SqlLedger, slack: Remote, load: Crowd, environment: dict[str, str]) -> list[str]:
    """Wait until all is done, and return what is wrong."""
    wait_until(lambda: is_quiet(ledger), 300)
    events = [link.event for link in links(ledger)]
    return [
        *lost(ledger, load),
        *lost_commands(events, load),
        *without_one_end(ledger, events),
        *said_twice(slack, environment["REGISTRAR_DATABASE_URL"]),
        *apart_from(ledger, environment),
    ]


def is_quiet(ledger: SqlLedger) -> bool:
    """Tell whether nothing is left to do, but for requests that nobody decided."""
    later = datetime.now(UTC) + timedelta(days=1)
    with ledger.read() as reading:
        moves = reading.models_with_moves([MoveState.INTENDED, MoveState.EXECUTING])
        return not (reading.waiting_asks(later) or reading.due_notes(later) or moves)


def lost_commands(events: list[Event], load: Crowd) -> Iterator[str]:
    """Yield the rollbacks that were acknowledged and are not in the audit."""
    kept = {event.evidence.get("reason") for event in events if event.tag is Tag.COMMANDED}
    yield from (f"the command {reason} is lost" for reason in load.rolled_back - kept)


def without_one_end(ledger: SqlLedger, events: list[Event]) -> Iterator[str]:
    """Yield the requests and moves that ended twice, or did not end although they were decided."""
    with ledger.read() as reading:
        states = {request.id: request.state for request in reading.requests(most=100_000)}
    ends = Counter(event.subject for event in events if event.tag in ENDS)
    decided = Counter(event.subject for event in events if event.tag is Tag.APPROVED)
    yield from (f"{subject} ended {times} times" for subject, times in ends.items() if times > 1)
    yield from (f"{subject} was approved {times} times" for subject, times in decided.items() if times > 1)
    for number, state in states.items():
        if state in ENDED and ends[number] != 1:
            yield f"{number} is {state} and ended {ends[number]} times in the audit"
        if state in {RequestState.APPROVED, RequestState.EXECUTING}:
            yield f"{number} hangs in {state}"


def said_twice(slack: Remote, url: str) -> Iterator[str]:
    """Yield what stands in Slack more than once, or not where the ledger has it, in the channel or with somebody."""
    there = keys_in(slack)
    yield from (f"{key} is there {len(times)} times" for key, times in there.items() if len(times) > 1)
    engine = sa.create_engine(parse_url(url))
    with engine.connect() as connection:
        kept = {str(ts) for ts in connection.execute(sa.select(postings.c.ts)).scalars()}
    engine.dispose()
    in_slack = {ts for times in there.values() for ts in times}
    yield from (f"the message of {ts} is nobody's" for ts in in_slack - kept)
    yield from (f"the message of {ts} is not there" for ts in kept - in_slack)


def keys_in(slack: Remote) -> dict[str, list[str]]:
    """Return where messages of ours stand, by their keys: in the channel, in threads, and with those who were told."""
    bob, found = slack.person("bob"), dict[str, list[str]]()
    messages = [message for name in ("alice", "bob", "carol") for message in slack.person(name).direct_messages()]
    for message in bob.sees(CHANNEL):
        messages += [message, *(bob.thread(message)[1:] if message.get("reply_count") else ())]
    for message in messages:
        if key := key_of(message):
            found.setdefault(key, []).append(message["ts"])
    return found


def done(ledger: SqlLedger, slack: Remote, load: Crowd) -> str:
    """Say how much was done meanwhile; a test in which nothing happens finds nothing."""
    tags = Counter(link.event.tag for link in links(ledger))
    assert min(tags[Tag.OPENED], len(load.asked)) > 0
    return (f"{len(load.asked)} asks, {len(load.clicked)} approvals and {len(load.rolled_back)} rollbacks were "
            f"acknowledged, {tags[Tag.MOVED]} moves made, {len(keys_in(slack))} messages posted")  # fmt: skip
