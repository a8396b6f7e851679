"""A bot that dies in the middle of its work: `python -m tests.faults.dying`, told what to do in lines of JSON.

It imports everything once and forks for each case, so that a case costs what the work costs. The child works in
one thread, so that the writes come in the same order each time; each of them is a point at which it can die.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from slack_bolt import BoltRequest
from slack_sdk import WebClient
from slack_sdk.webhook import WebhookClient

from bot.bootstrap import build, home_team, slack_client, slack_directory
from bot.domain.errors import BadInput
from bot.domain.monitor_rule import MonitorRule
from bot.domain.monitors import Monitor, Pushed, Standing
from bot.domain.registry import Stage
from bot.ledger import SqlLedger
from bot.ledger.writing import SqlWriting
from bot.registry.mlflow import MlflowRegistry
from bot.services.context import Rules
from bot.slack import modals
from bot.slack.notifier import SlackNotifier
from handlers.serve import bolt_app
from localslack import Remote, payloads
from tests.harness import ALICE, BOB, Tap, chain_is_whole, click, command, links, tapped_registry
from tests.world import TurnedClock, policy_of, settings_for

KILLED = 137
MODEL = "churn"
MONITOR = "m-accuracy"
READS = {
    "auth.test", "users.info", "usergroups.users.list", "conversations.history", "conversations.replies",
    "conversations.list",
}  # fmt: skip
REGISTRY_WRITES = {"transition", "set_alias"}


@dataclass(frozen=True)
class Case:
    """What is to be done, and at which write to die; never for the run that counts the writes."""

    act: str
    home: str
    slack: str
    point: int | None = None
    when: str = "before"
    again: bool = False  # the person saw an error and does it once more after the restart


@dataclass(frozen=True)
class Death:
    """How it went: the writes that were begun, whether Slack was given its acknowledgement, whether it died."""

    points: list[str]
    acked: bool
    died: bool


@dataclass(frozen=True)
class Truth:
    """What the ledger and the registry say."""

    states: list[str]
    production: list[int]
    champion: int | None
    tags: list[str]
    unfinished: int
    undelivered: int
    chain_is_whole: bool
    incidents: list[str]  # how each ended, or what is done about it
    bars: list[int]


class Reaper:
    """Counts the writes, and ends the process before or after the one that it was told."""

    def __init__(self, case: Case, log: Callable[[str], object]) -> None:
        self.armed = False
        self._case = case
        self._log = log
        self._count = 0

    def __call__(self, when: str, name: str) -> None:
        if not self.armed:
            return
        if when == "before":
            self._log(f"point {name}")
            self._count += 1
        if self._count - 1 == self._case.point and when == self._case.when:
            os._exit(KILLED)


class MortalLedger(SqlLedger):
    """The ledger, whose commits are points."""

    def __init__(self, url: str, tap: Tap) -> None:
        super().__init__(url)
        self._tap = tap

    @contextmanager
    def write(self) -> Iterator[SqlWriting]:
        name = f"commit of {sys._getframe(2).f_code.co_qualname}"
        with super().write() as tx:
            yield tx
            self._tap("before", name)
        self._tap("after", name)


class Queue(ThreadPoolExecutor):
    """An executor that does what it was given when it is told to, in order, in the same thread."""

    def __init__(self) -> None:
        super().__init__(1)
        self._tasks: deque[Callable[[], object]] = deque()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._tasks.append(lambda: fn(*args, **kwargs))
        return Future()

    def work(self) -> None:
        """Do everything, and what comes of it."""
        while self._tasks:
            self._tasks.popleft()()


class Bot:
    """The whole bot of one process, but for its sockets and its threads."""

    def __init__(self, case: Case, tap: Tap) -> None:
        slack = Remote(case.slack)
        settings = settings_for(slack, Path(case.home))
        self.clock = TurnedClock()
        self.ledger = MortalLedger(settings.ledger_url, tap)
        self.registry = MlflowRegistry(f"sqlite:///{case.home}/mlflow.db")
        client, rules = slack_client(settings), Rules(policy_of())
        self.queue = Queue()
        registrar = build(
            settings,
            rules,
            ledger=self.ledger,
            registry=tapped_registry(self.registry, lambda when, name: name in REGISTRY_WRITES and tap(when, name)),
            notifier=SlackNotifier(client, self.ledger, lambda: rules.policy),
            directory=slack_directory(settings, home_team(client), rules),
            clock=self.clock,
        )
        self.registrar = replace(registrar, work=self.queue)
        self.registrar.monitoring.let(self.registrar.move, self.registrar.outbox_soon)
        self._app, self._desk = bolt_app(settings, self.registrar)

    def receives(self, payload: dict[str, Any]) -> bool:
        """Take what Slack sends; return whether it is acknowledged."""
        body, kind = payloads.as_http_body(payload)
        answer = self._app.dispatch(BoltRequest(body=body.decode(), headers={"content-type": [kind]}, mode="http"))
        return answer.status == 200

    def watches(self) -> None:
        """Have a version in Production that is bad, and a monitor that has not seen it yet."""
        self.registrar.poll()
        self.receives(payload_of("ask", self))
        self.queue.work()
        self.receives(payload_of("approve", self))
        self.queue.work()
        now = self.clock.now()
        monitor = Monitor(id=MONITOR, model=MODEL, created_at=now, rule=MonitorRule(
            name="accuracy", source="push", greater_than=0.85, every="1m", fail_after=1, warmup="0s", action="auto",
            max_age="1d",
        ))  # fmt: skip
        with self.ledger.write() as tx:
            tx.add_monitor(monitor)
            tx.save_standing(Standing(monitor=MONITOR, next_at=now))
            tx.add_readings([Pushed(source="push", model=MODEL, version=0, metric="accuracy", at=now, value=0.5,
                                    received_at=now, client="serve")])  # fmt: skip

    def checks(self) -> None:
        """Check what is due, in this thread."""
        with self.ledger.read() as reading:
            due = reading.due_monitors(self.clock.now())
        for monitor, _ in due:
            with suppress(BadInput):  # the slot is still that of the process which died
                self.registrar.monitoring.check(monitor.id)

    def request(self) -> str:
        """Return the newest request's id."""
        with self.ledger.read() as reading:
            return reading.requests(most=1)[0].id


def payload_of(act: str, bot: Bot) -> dict[str, Any]:
    """Return what Slack sends when a person does this."""
    if act == "ask":
        return command(ALICE, f"promote {MODEL} 4 production")
    if act == "approve":
        return click(BOB, bot.request())
    if act == "cancel":
        return command(ALICE, f"cancel {bot.request()}")
    values = {"reason": {modals.VALUE: {"type": "plain_text_input", "value": "too slow"}}}
    view = {"type": "modal", "id": "V1", "callback_id": modals.REJECT, "private_metadata": bot.request()}
    return payloads.view_submission(view | {"state": {"values": values}}, actor=BOB)


def act(case: Case, log: Callable[[str], object]) -> None:
    """Do one act from the person's hand to the last message, and die where the case says."""
    reaper = Reaper(case, log)
    tap_slack(reaper)
    bot = Bot(case, reaper)
    if case.act == "monitor":
        bot.watches()
        reaper.armed = True
        bot.checks()
        bot.queue.work()
        bot.registrar.mirror.write()
        bot.registrar.tend()
        return
    if case.act != "ask":
        bot.receives(payload_of("ask", bot))
        bot.queue.work()
    if case.act == "expire":
        bot.clock.turn(timedelta(hours=25))
        reaper.armed = True
        bot.registrar.expire()
    else:
        payload = payload_of(case.act, bot)
        reaper.armed = True
        acked = bot.receives(payload)
        reaper("before", "acknowledgement")
        if acked:
            log("acked")
        reaper("after", "acknowledgement")
    bot.queue.work()


def tap_slack(tap: Tap) -> None:
    """Let every call of Slack in this process that changes something be a point."""
    api_call, send = WebClient.api_call, WebhookClient.send

    def tapped_call(self: WebClient, api_method: str, **more: Any) -> Any:
        if api_method in READS:
            return api_call(self, api_method, **more)
        tap("before", api_method)
        answer = api_call(self, api_method, **more)
        tap("after", api_method)
        return answer

    def tapped_send(self: WebhookClient, **more: Any) -> Any:
        tap("before", "response_url")
        answer = send(self, **more)
        tap("after", "response_url")
        return answer

    setattr(WebClient, "api_call", tapped_call)  # noqa: B010 - a method is no attribute to mypy
    setattr(WebhookClient, "send", tapped_send)  # noqa: B010


def restart(case: Case, log: Callable[[str], object]) -> None:
    """Start anew over what was left, as `registrar run` does, and let the clock tick until nothing is left to do.

    Where Slack was given no acknowledgement, the person then does the same once more.
    """
    bot = Bot(case, lambda when, name: None)
    if case.act == "expire":
        bot.clock.turn(timedelta(hours=25))
    if case.act == "monitor":
        bot.clock.turn(timedelta(minutes=2))
    bot.registrar.take_over()
    settle(bot)
    log(json.dumps(asdict(truth(bot))))
    if case.again:
        bot.receives(payload_of(case.act, bot))
        settle(bot)
    log(json.dumps(asdict(truth(bot))))


def settle(bot: Bot) -> None:
    """Let the jobs run, for some minutes where something has to wait."""
    for _ in range(4):
        bot.registrar.recover()
        bot.registrar.expire()
        bot.checks()
        bot.queue.work()
        bot.registrar.mirror.write()
        bot.registrar.tend()
        bot.registrar.outbox.deliver()
        bot.clock.turn(timedelta(minutes=1))
        if is_quiet(bot):
            return


def is_quiet(bot: Bot) -> bool:
    """Tell whether nothing is left to do."""
    later = bot.clock.now() + timedelta(days=1)
    with bot.ledger.read() as reading:
        return not (reading.due_notes(later) or reading.waiting_asks(later) or bot.registrar.moves.unfinished())


def truth(bot: Bot) -> Truth:
    """Read everything."""
    with bot.ledger.read() as reading:
        states = [request.state.value for request in reading.requests()]
        ends = [str(one.resolution or one.doing.value) for one in reading.incidents()]
        bars = [bar.version for bar in reading.bars(MODEL)]
        undelivered = len(reading.due_notes(bot.clock.now() + timedelta(days=1)))
    return Truth(
        states=states,
        production=[one.version for one in bot.registry.versions(MODEL) if one.stage is Stage.PRODUCTION],
        champion=bot.registry.model(MODEL).aliases.get("champion"),
        tags=[link.event.tag.value for link in links(bot.ledger)],
        unfinished=len(bot.registrar.moves.unfinished()),
        undelivered=undelivered,
        chain_is_whole=chain_is_whole(bot.ledger),
        incidents=ends,
        bars=bars,
    )


def in_a_child(task: Callable[[Case, Callable[[str], object]], None], case: Case) -> tuple[int, list[str]]:
    """Fork, do it, and return how the child ended and what it logged."""
    assert threading.active_count() == 1, "a fork with threads may hang"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            task(case, lambda line: os.write(writing, f"{line}\n".encode()))
            os._exit(0)
        except BaseException as error:  # a child must never run on as a second parent
            os.write(writing, f"error {error!r}\n".encode())
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as lines:
        logged = lines.read().splitlines()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), logged


TASKS = {"act": act, "restart": restart}


def warm(case: Case) -> None:
    """Do once, before the forks, what takes long the first time: MLflow's imports and its look at its tables."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(f"sqlite:///{case.home}/mlflow.db")  # type: ignore[no-untyped-call]
    store.search_registered_models()  # type: ignore[no-untyped-call]
    store._dispose_engine()  # type: ignore[no-untyped-call]
    bot = Bot(case, lambda when, name: None)
    bot.ledger.close()
    gc.disable()  # in a child it would touch, and so copy, everything that was imported
    gc.freeze()


def main() -> None:
    """Answer each line with one."""
    warm(Case(**json.loads(sys.stdin.readline())))
    for line in sys.stdin:
        asked = json.loads(line)
        status, logged = in_a_child(TASKS[asked["task"]], Case(**asked["case"]))
        print(json.dumps({"status": status, "logged": logged}), flush=True)


if __name__ == "__main__":
    main()
