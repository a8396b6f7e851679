"""The complete bot behind its HTTP address, made deterministic."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import httpx2
from fastapi import FastAPI

from bot.bootstrap.build import build_registrar
from bot.bootstrap.slack import slack_client
from bot.bootstrap.storage import open_ledger
from bot.domain.core.actors import Person, Profile
from bot.domain.monitoring.incident import Incident, IncidentKind, IncidentStatus
from bot.domain.monitoring.monitor import Monitor
from bot.domain.policy.freezes import Freeze
from bot.domain.promotions.request import Request
from bot.domain.registry.model import Stage
from bot.domain.transitions.drift import DriftNotice
from bot.domain.transitions.model_card_sources import user_tags
from bot.domain.transitions.transition import TransitionKind
from bot.fair_pool import FairPool
from bot.ledger import SqlLedger
from bot.registrar import Registrar
from bot.services.core.context import ActivePolicy
from bot.services.core.outbox_messages import incident_message
from bot.slack.core.directory import SlackDirectory
from bot.slack.delivery.notifier import SlackNotifier
from bot.slack.monitoring import add_monitor_modal as monitor_modal
from bot.slack.monitoring import incident_card
from bot.slack.rollbacks import rollback_card
from bot.slack.transitions import drift_notice
from handlers.serve import build_bolt_app
from handlers.slack.deferred import RequestDispatcher
from handlers.web import app as web_app
from localslack import LocalSlack, PersonSeed, payloads
from localslack.signing import signed_headers
from tests.support.app.app_fixture import CHANNEL, POLICY, add_churn, make_policy, settings_for
from tests.support.app.harness import ALICE, BOB, command, sent_texts
from tests.support.faults.consistency_checks import is_quiet
from tests.support.registry.memory import MemoryRegistry
from tests.support.registry.opened import opened
from tests.support.slack.message_parts import OURS
from tests.support.waiting import wait_until

P = ParamSpec("P")

T = TypeVar("T")

JSON = dict[str, Any]


GATED = POLICY["models"] | {
    "*": {
        "staging": {"approvers": ["lead"]},
        "production": {"approvers": ["lead"], "gates": [{"semver": "set"}], "override": ["U0CAROL"]},
    }
}


OUTSIDERS = GUEST, LONE, VISITOR, CONNECTED, MACHINE, GONE = (
    PersonSeed(id="U0GUEST", name="guest", is_restricted=True),
    PersonSeed(id="U0LONE", name="lone", is_ultra_restricted=True),
    PersonSeed(id="U0VISITOR", name="visitor", team_id="T0OTHER"),
    PersonSeed(id="U0CONNECTED", name="connected", team_id="T0OTHER"),
    PersonSeed(id="U0MACHINE", name="machine", is_bot=True),
    PersonSeed(id="U0GONE", name="gone", deleted=True),
)


MODEL = "churn"


class _AtOnce(FairPool):
    """A pool that runs each task immediately, in the caller's thread."""

    def __init__(self) -> None:
        super().__init__(1, "at once")

    def submit_for(self, owner: str, task: Callable[[], T]) -> Future[T]:
        return self.submit(task)

    def submit(self, task: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(task(*args, **kwargs))
        except BaseException as error:
            done.set_exception(error)
        return done


class ErrorRecorder(logging.Handler):
    """Records what no forged input must cause: errors, and anything with a traceback.

    An undeliverable answer isn't an error: a forged payload may not say where to send it.
    """

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        is_error = record.levelno >= logging.ERROR and "can't send an answer to" not in record.getMessage()
        if is_error or record.exc_info:
            self.records.append(record)

    def rung(self) -> list[str]:
        """Return what was logged since the last call."""
        records, self.records = self.records, []
        return [logging.Formatter("%(name)s: %(message)s").format(record) for record in records]


@dataclass(frozen=True)
class StateSnapshot:
    """Everything that a command could have changed, except the audit log, which also records refusals."""

    requests: tuple[Request, ...]
    votes: tuple[Any, ...]
    moves: tuple[Any, ...]
    freezes: tuple[Freeze, ...]
    findings: tuple[DriftNotice, ...]
    versions: tuple[Any, ...]
    models: tuple[Any, ...]
    monitors: tuple[Monitor, ...]
    incidents: tuple[Incident, ...]

    @property
    def decided(self) -> tuple[Any, ...]:
        """What only people with permission can change: votes, transitions, freezes, monitors, stages, and aliases."""
        stages = tuple((one.model, one.version, one.stage) for one in self.versions)
        aliases = tuple((model.name, sorted(model.aliases.items())) for model in self.models)
        return self.votes, self.moves, self.freezes, self.findings, self.monitors, stages, aliases


@dataclass(kw_only=True, repr=False)
class FrontDoor:
    """The bot's address, and the bot behind it."""

    web: FastAPI
    slack: LocalSlack
    registrar: Registrar
    registry: MemoryRegistry
    ledger: SqlLedger
    secret: str
    alarm: ErrorRecorder
    runner: asyncio.Runner
    known: dict[str, str] = field(default_factory=dict)  # the values of real buttons, by action id
    _sent: Iterator[int] = field(default_factory=itertools.count)

    def post(
        self, body: bytes, headers: Mapping[str, str] | list[tuple[bytes, bytes]], path: str = "/slack/events"
    ) -> httpx2.Response:
        """Post a body unchanged, and return the response after all its effects are done."""

        async def send() -> httpx2.Response:
            transport = httpx2.ASGITransport(self.web)
            async with httpx2.AsyncClient(transport=transport, base_url="http://registrar") as client:
                return await client.post(path, content=body, headers=headers)

        return self.runner.run(send())

    def send(self, payload: JSON) -> httpx2.Response:
        """Post a payload, signed as Slack signs it."""
        body, kind = payloads.as_http_body(payload)
        return self.signed(body, kind)

    def signed(self, body: bytes, kind: str = "application/x-www-form-urlencoded") -> httpx2.Response:
        """Post a body, signed as Slack signs it. The same body can be posted twice; that isn't a replay here."""
        stamp = int(time.time()) - next(self._sent) % 280
        return self.post(body, {"Content-Type": kind} | signed_headers(self.secret, body, stamp))

    @property
    def ids(self) -> list[str]:
        """All real ids."""
        return sorted(set(self.known.values()))

    def kept(self) -> StateSnapshot:
        """Return the current state."""
        models = tuple(self.registry.models())
        names = [model.name for model in models]
        with self.ledger.read() as reading:
            requests = tuple(reading.requests())
            votes = tuple(vote for request in requests for vote in reading.votes(request.id))
            moves = tuple(
                m for name in names for m in reading.transitions(name) if m.kind is not TransitionKind.OBSERVED
            )
            freezes = tuple(reading.freezes())
            monitors, incidents = tuple(reading.monitors()), tuple(reading.incidents())
            findings = tuple(
                reading.drift_notice(self.known[one]) for one in (drift_notice.REPAIR_STAGE, drift_notice.COMPARE)
            )
        versions = tuple(replace(one, tags=user_tags(one)) for name in names for one in self.registry.versions(name))
        return StateSnapshot(
            requests,
            votes,
            moves,
            freezes,
            findings,
            versions,
            tuple(replace(model, updated_at=None) for model in models),
            monitors,
            incidents,
        )

    def all_said(self) -> bool:
        """Deliver due messages, and return whether none is left; a channel accepts one message a second."""
        self.registrar.outbox.deliver()
        return is_quiet(self.ledger)

    def markup(self, answer: httpx2.Response) -> list[str]:
        """Return the texts with foreign markup, in the response and in what the bot has sent since the last call."""
        said = list(sent_texts(self.slack)) + list(_texts(answer))
        self.slack.forget_calls()
        return [text for text in said if set("<>") & set(_without_quotes(OURS.sub("", text)))]


def _without_quotes(text: str) -> str:
    return "\n".join(line.removeprefix("> ") for line in text.split("\n"))


def _texts(answer: httpx2.Response) -> Iterator[str]:
    if answer.headers.get("content-type", "").startswith("application/json"):
        yield from _marked(answer.json())


def _marked(part: Any) -> Iterator[str]:
    if isinstance(part, dict) and part.get("type") != "plain_text":
        for key, value in part.items():
            if key == "text" and isinstance(value, str):
                yield value
            else:
                yield from _marked(value)
    elif isinstance(part, list):
        for one in part:
            yield from _marked(one)


@contextmanager
def door(
    slack: LocalSlack, home: Path, *, rules: JSON | None = None, monotonic: Callable[[], float] = time.monotonic
) -> Iterator[FrontDoor]:
    """Run the bot with an open request, a new version, and a change that someone made in MLflow.

    `rules` are the policy's rules, by model. `monotonic` returns the seconds that determine the age of cached profiles.
    """
    for one in OUTSIDERS:
        slack.add_person(one)
    slack.set_members(CHANNEL, [*slack.members(CHANNEL), *(one.id for one in OUTSIDERS)])
    registry = add_churn(MemoryRegistry())
    settings = settings_for(slack, home, SLACK_APP_TOKEN=None)
    holding = ActivePolicy(make_policy({"models": rules or GATED}))
    alarm = ErrorRecorder()
    logging.getLogger().addHandler(alarm)
    with closing(open_ledger(settings)) as ledger, asyncio.Runner() as runner:
        client = slack_client(settings)
        asking = slack_client(settings, timeout=2)
        registrar = build_registrar(
            settings,
            holding,
            ledger=ledger,
            registry=opened(registry),
            notifier=SlackNotifier(client, ledger, lambda: holding.policy),
            directory=SlackDirectory(asking, slack.team_id, holding.policy.user_groups, monotonic),
        )
        registrar = replace(registrar, worker_pool=_AtOnce(), query_pool=_AtOnce())
        app, harness = build_bolt_app(settings, registrar)
        web = web_app.create_app(
            RequestDispatcher(app, registrar).dispatch,
            slack.signing_secret,
            webhook_secret="hook",
            on_model_changed=registrar.schedule_refresh,
        )
        it = FrontDoor(
            web=web,
            slack=slack,
            registrar=registrar,
            registry=registry,
            ledger=ledger,
            secret=slack.signing_secret,
            alarm=alarm,
            runner=runner,
        )
        _furnish(it)
        yield it
        harness.close()
        registrar.close()
    logging.getLogger().removeHandler(alarm)


def _furnish(it: FrontDoor) -> None:
    it.registrar.poll_registry()
    it.registry.add_model("fraud", versions=[Stage.PRODUCTION, Stage.NONE])
    it.registry.set_alias("fraud", "champion", 1)
    it.registrar.poll_registry()
    it.registry.transition_stage("fraud", 2, Stage.PRODUCTION, archive_existing=False)
    it.registry.add_version(MODEL)
    it.registrar.poll_registry()
    it.send(command(ALICE, f"promote {MODEL} 4 production"))
    it.send(command(BOB, f"archive {MODEL} 2"))
    it.send(command(BOB, f"monitor add {MODEL} accuracy --source push --greater-than 0.85 --action notify"))
    it.send(command(BOB, f"monitor show {MODEL} accuracy"))
    _alert(it)
    wait_until(it.all_said)
    for message in it.slack.person("bob").sees(CHANNEL):
        it.known |= dict(_buttons(message))
    bob = Profile(person=Person(it.slack.team_id, BOB.id))
    for form, given in (
        (rollback_card.ROLLBACK, {"verb": "rollback", "model": MODEL}),
        (monitor_modal.MONITOR, {"verb": "monitor add"}),
    ):
        it.known[form] = it.registrar.command_queue.create_draft(bob, given, channel="C0MLMODELS")
    it.slack.forget_calls()


def _alert(it: FrontDoor) -> None:
    """Post an incident that asks whether to roll back."""
    now = it.registrar.context.clock.now()
    incident = Incident(
        id="iforged",
        kind=IncidentKind.FAILED,
        model=MODEL,
        source="",
        version=3,
        move="nobody's",
        monitors=("accuracy",),
        opened_at=now,
        since=now,
        lines=(),
        doing=IncidentStatus.AWAITING_HUMAN,
        target=1,
    )
    with it.ledger.write() as tx:
        tx.add_incident(incident)
        tx.add_message(incident_message(incident, "opened", CHANNEL))
    it.known[incident_card.UNDO] = incident.id


def _buttons(part: Any) -> Iterator[tuple[str, str]]:
    if isinstance(part, dict):
        if part.get("type") == "button":
            yield part["action_id"], part.get("value", "")
        for value in part.values():
            yield from _buttons(value)
    elif isinstance(part, list):
        for one in part:
            yield from _buttons(one)


def form(who: payloads.Actor, callback: str, metadata: str, fields: Mapping[str, str]) -> JSON:
    """Return a submitted form."""
    values = {}
    for name, text in fields.items():
        choice = {"type": "static_select", "selected_option": {"value": text}}
        values[name] = {"value": choice if name == "to" else {"type": "plain_text_input", "value": text}}
    view = {
        "type": "modal",
        "id": "V1",
        "callback_id": callback,
        "private_metadata": metadata,
        "state": {"values": values},
    }
    return payloads.view_submission(view, actor=who)
