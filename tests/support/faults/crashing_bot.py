"""A bot that crashes in the middle of its work.

`python -m tests.support.faults.crashing_bot` reads what to do from lines of JSON.

It imports everything and builds a bot once, and forks for each case, so a case takes no longer than its work.
The child works in one thread, so the writes come in the same order each time; each one is a point at which
it can crash. Only the children open connections.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from slack_bolt import BoltRequest

from bot.bootstrap.build import build_registrar
from bot.bootstrap.slack import fetch_home_team_id, slack_client, slack_directory
from bot.domain.core.errors import BadInput
from bot.domain.monitoring.monitor import Monitor, MonitorState
from bot.domain.monitoring.readings import PushedReading
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.registry.model import Stage, use_product
from bot.fair_pool import FairPool
from bot.process_identity import new_process_name
from bot.registry.mlflow.adapter import MLFLOW
from bot.registry.mlflow.registry import MlflowRegistry
from bot.services.core.context import ActivePolicy
from bot.slack.core import modal_inputs
from bot.slack.delivery.notifier import SlackNotifier
from bot.slack.promotions import modals
from handlers.serve import build_bolt_app
from localslack import Remote, payloads
from tests.support.app.app_fixture import AdjustableClock, make_policy, settings_for
from tests.support.app.harness import ALICE, BOB, audit_links, click, command, is_chain_intact
from tests.support.app.workspaces import INSTANT
from tests.support.faults.crash_points import CrashingLedger, CrashInjector, tap_everything
from tests.support.registry.opened import opened

MODEL = "churn"
MONITOR = "m-accuracy"
ACTS = ("ask", "approve", "reject", "cancel", "expire", "rollback", "monitor")
BY_THE_CLOCK = ("expire", "monitor")  # no one starts these, so no one repeats them
ASKED_BEFORE = ("approve", "reject", "cancel", "expire")
SERVED_BEFORE = ("rollback", "monitor")


@dataclass(frozen=True)
class BotEnvironment:
    """A bot's environment: its folder, its ledger's URL, its workspace, and its webhook endpoint."""

    home: str
    database: str
    slack: str
    endpoint: str


@dataclass(frozen=True)
class CrashCase:
    """What to do, and the write at which to crash; None for no crash."""

    act: str
    point: int | None = None
    when: str = "before"
    again: bool = False  # the person saw an error and tries again after the restart


@dataclass(frozen=True)
class CrashReport:
    """The result: the writes that were begun, whether Slack got its acknowledgment, and whether the bot crashed."""

    points: list[str]
    acked: bool
    died: bool


@dataclass(frozen=True)
class ObservedState:
    """The state of the ledger and the registry."""

    states: list[str]
    production: list[int]
    champion: int | None
    tags: list[str]
    unfinished: int
    undelivered: int
    is_chain_intact: bool
    incidents: list[str]  # how each ended, or what's being done about it
    bars: list[int]


class ManualExecutor(FairPool):
    """An executor that runs its tasks on demand, in order, in the same thread."""

    def __init__(self) -> None:
        super().__init__(1, "manual")
        self._tasks: deque[Callable[[], object]] = deque()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._tasks.append(lambda: fn(*args, **kwargs))
        return Future()

    def submit_for(self, owner: str, task: Callable[[], Any]) -> Future[Any]:
        return self.submit(task)

    def work(self) -> None:
        """Run all tasks, and the tasks that they submit."""
        while self._tasks:
            self._tasks.popleft()()


class Bot:
    """The complete bot of one process, without its sockets and threads."""

    def __init__(self, place: BotEnvironment) -> None:
        slack = Remote(place.slack)
        settings = settings_for(
            slack, Path(place.home), REGISTRAR_DATABASE_URL=place.database, REGISTRAR_SLACK_PACE=1 / INSTANT
        )
        self.reaper = CrashInjector()
        self.clock = AdjustableClock()
        self.ledger = CrashingLedger(place.database, self.reaper)
        self.registry = MlflowRegistry(f"sqlite:///{place.home}/mlflow.db")
        client, rules = slack_client(settings), ActivePolicy(make_policy({"notify": [{"url": place.endpoint}]}))
        self.queue = ManualExecutor()
        with patch("bot.bootstrap.build.FairPool", return_value=self.queue):
            self.registrar = build_registrar(
                settings,
                rules,
                ledger=self.ledger,
                registry=opened(self.registry),
                notifier=SlackNotifier(client, self.ledger, lambda: rules.policy, self.clock.now),
                directory=slack_directory(settings, fetch_home_team_id(client), rules),
                clock=self.clock,
            )
        self._app, self._desk = build_bolt_app(settings, self.registrar)

    def begins(self) -> None:
        """Take a new owner name, since a fork is another process."""
        object.__setattr__(self.registrar.context, "owner", new_process_name())

    def receives(self, payload: dict[str, Any]) -> bool:
        """Handle a payload from Slack; return whether it's acknowledged."""
        body, kind = payloads.as_http_body(payload)
        answer = self._app.dispatch(BoltRequest(body=body.decode(), headers={"content-type": [kind]}, mode="http"))
        return answer.status == 200

    def does(self, act: str) -> None:
        """Act as a person, and run all resulting work."""
        self.receives(payload_of(act, self))
        self.works()

    def works(self) -> None:
        """Run pending work, as a bot's threads and clock do."""
        self.queue.work()
        self.registrar.endpoint_outboxes.deliver(patience=20)
        self.registrar.tag_writer.write_due()
        self.registrar.end_and_remind_incidents()

    def watches(self) -> None:
        """Add a monitor of a bad version that it hasn't measured yet."""
        now = self.clock.now()
        monitor = Monitor(
            id=MONITOR,
            model=MODEL,
            created_at=now,
            rule=MonitorConfig(
                name="accuracy",
                source="push",
                greater_than=0.85,
                every="1m",
                fail_after=1,
                warmup="0s",
                action="auto",
                max_age="1d",
            ),
        )
        with self.ledger.write() as tx:
            tx.add_monitor(monitor)
            tx.save_monitor_state(MonitorState(monitor=MONITOR, next_at=now))
            tx.add_readings(
                [
                    PushedReading(
                        source="push",
                        model=MODEL,
                        version=0,
                        metric="accuracy",
                        at=now,
                        value=0.5,
                        received_at=now,
                        client="serve",
                    )
                ]
            )

    def checks(self) -> None:
        """Run due checks in this thread."""
        with self.ledger.read() as reading:
            due = reading.due_monitors(self.clock.now())
        for monitor, _ in due:
            with suppress(BadInput):  # the dead process still holds the slot
                self.registrar.monitoring.check_now(monitor.id)

    def request(self) -> str:
        """Return the newest request's ID."""
        with self.ledger.read() as reading:
            return reading.requests(limit=1)[0].id

    def lets_go(self) -> None:
        """Close every connection, so that a fork inherits none."""
        self.ledger.close()
        self.registry.close()


def payload_of(act: str, bot: Bot) -> dict[str, Any]:
    """Return the payload that Slack sends when a person does this."""
    if act == "ask":
        return command(ALICE, f"promote {MODEL} 4 production")
    if act == "rollback":
        return command(BOB, f'rollback {MODEL} --reason "too slow"')
    if act == "approve":
        return click(BOB, bot.request())
    if act == "cancel":
        return command(ALICE, f"cancel {bot.request()}")
    values = {"reason": {modal_inputs.INPUT_ACTION: {"type": "plain_text_input", "value": "too slow"}}}
    view = {"type": "modal", "id": "V1", "callback_id": modals.REJECT, "private_metadata": bot.request()}
    return payloads.view_submission(view | {"state": {"values": values}}, actor=BOB)


Log = Callable[[str], object]


def prepare(bot: Bot, case: CrashCase, _: Log) -> None:
    """Prepare for the operation: v3 is in Production, or v4 if that will be rolled back."""
    bot.registrar.poll_registry()
    if case.act in (*ASKED_BEFORE, *SERVED_BEFORE):
        bot.does("ask")
    if case.act in SERVED_BEFORE:
        bot.does("approve")
    if case.act == "monitor":
        bot.watches()
    bot.works()
    bot.lets_go()


def act(bot: Bot, case: CrashCase, log: Log) -> None:
    """Run one operation from the click to the last message, and crash where the case says."""
    payload = None if case.act in BY_THE_CLOCK else payload_of(case.act, bot)
    if case.act == "expire":
        bot.clock.advance(timedelta(hours=25))
    bot.reaper.arm(case.point, case.when, log)
    if payload:
        acked = bot.receives(payload)
        bot.reaper("before", "acknowledgement")
        if acked:
            log("acked")
        bot.reaper("after", "acknowledgement")
    elif case.act == "expire":
        bot.registrar.expire_requests()
    else:
        bot.checks()
    bot.works()


def restart(bot: Bot, case: CrashCase, log: Log) -> None:
    """Restart with what's left, as `registrar run` does, and run the jobs until there's no work left.

    It can crash during that, too. If Slack got no acknowledgment, the person then does the same once
    more.
    """
    bot.clock.advance({"expire": timedelta(hours=25), "monitor": timedelta(minutes=2)}.get(case.act, timedelta()))
    bot.reaper.arm(case.point, case.when, log)
    bot.registrar.release_dead_leases()
    settle(bot)
    bot.reaper.rest()
    log(json.dumps(asdict(observe(bot))))
    if case.again:
        bot.receives(payload_of(case.act, bot))
        settle(bot)
    log(json.dumps(asdict(observe(bot))))


def settle(bot: Bot) -> None:
    """Run the jobs, for several minutes if something has to wait."""
    for _ in range(4):
        bot.registrar.recover()
        bot.registrar.expire_requests()
        bot.checks()
        bot.works()
        bot.registrar.outbox.deliver()
        if is_quiet(bot):
            return
        bot.clock.advance(timedelta(minutes=1))


def is_quiet(bot: Bot) -> bool:
    """Return whether no work is left; a check claimed by a crashed process waits until its claim expires."""
    now = bot.clock.now()
    later = now + timedelta(days=1)
    with bot.ledger.read() as reading:
        is_due = any(one.next_at is not None and one.next_at <= now for one in reading.monitor_states().values())
        left = (
            reading.due_messages(later)
            or reading.due_command_ids(later)
            or bot.registrar.transition_executor.models_with_unfinished()
        )
    return not (is_due or left)


def observe(bot: Bot) -> ObservedState:
    """Read the state of everything."""
    with bot.ledger.read() as reading:
        states = [request.state.value for request in reading.requests()]
        ends = [str(one.resolution or one.doing.value) for one in reading.incidents()]
        bars = [bar.version for bar in reading.rollback_blocks(MODEL)]
        undelivered = len(reading.due_messages(bot.clock.now() + timedelta(days=1)))
    return ObservedState(
        states=states,
        production=[one.version for one in bot.registry.versions(MODEL) if one.stage is Stage.PRODUCTION],
        champion=bot.registry.model(MODEL).aliases.get("champion"),
        tags=[link.event.tag.value for link in audit_links(bot.ledger)],
        unfinished=len(bot.registrar.transition_executor.models_with_unfinished()),
        undelivered=undelivered,
        is_chain_intact=is_chain_intact(bot.ledger),
        incidents=ends,
        bars=bars,
    )


def run_in_child(task: Callable[[Bot, CrashCase, Log], None], bot: Bot, case: CrashCase) -> tuple[int, list[str]]:
    """Fork, run the task, and return how the child ended and what it logged."""
    assert threading.active_count() == 1, "a fork with threads may hang"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            bot.begins()
            task(bot, case, lambda line: os.write(writing, f"{line}\n".encode()))
            os._exit(0)
        except BaseException as error:  # a child must never continue as a second parent
            os.write(writing, f"error {error!r}\n".encode())
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as lines:
        logged = lines.read().splitlines()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), logged


TASKS = {"prepare": prepare, "act": act, "restart": restart}


def preload(place: BotEnvironment) -> Bot:
    """Do slow first-time work once, before the forks: imports, a bot, MLflow's check of its tables."""
    bot = Bot(place)
    tap_everything(bot.reaper)
    bot.registry.models()
    bot.lets_go()
    gc.disable()  # in a child, it would touch, and so copy, everything imported
    gc.freeze()
    return bot


def main() -> None:
    """Answer each line with one line."""
    use_product(lambda: MLFLOW.product)
    bot = preload(BotEnvironment(**json.loads(sys.stdin.readline())))
    for line in sys.stdin:
        asked = json.loads(line)
        status, logged = run_in_child(TASKS[asked["task"]], bot, CrashCase(**asked["case"]))
        print(json.dumps({"status": status, "logged": logged}), flush=True)


if __name__ == "__main__":
    main()
