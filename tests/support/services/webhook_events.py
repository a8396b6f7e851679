"""A bot that sends events to webhooks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.core.sentence import unpack_sentence
from bot.domain.policy.parser import validate_policy
from bot.domain.registry.model import Stage
from bot.ledger import SqlLedger
from bot.ports import MessageKind, OutboxMessage
from bot.services.audit.streaming import AuditStream
from bot.services.core.endpoint_outboxes import EndpointOutboxes
from bot.services.core.outbox import Outbox
from bot.services.transitions.serving_checks import EVENT_MAX_AGE, record_undelivered_event
from bot.webhook_sender import WebhookNotifier
from tests.support.network.http_receiver import HttpReceiver, run_receiver
from tests.support.services.bench import POLICY, Bench
from tests.support.services.fake_notifier import FakeNotifier
from tests.support.services.fakes import FaultyRegistry, ManualClock

SECRET = "plum-that-signs"


TOKEN = "token-in-the-address"


@dataclass(kw_only=True)
class WebhookHarness:
    """A bench whose policy has an endpoint, with its outbox and Slack's."""

    bench: Bench
    there: HttpReceiver
    variables: dict[str, str]
    events: EndpointOutboxes = field(init=False)
    slack: Outbox = field(init=False)
    fake_notifier: FakeNotifier = field(default_factory=FakeNotifier)

    def __post_init__(self) -> None:
        bench = self.bench
        read_lines = AuditStream(bench.context).read_lines
        webhooks = WebhookNotifier(lambda: bench.context.policy, read_lines, self.variables.get, bench.clock.now)
        self.events = EndpointOutboxes(
            bench.context, webhooks, concurrency=4, max_age=EVENT_MAX_AGE, on_give_up=record_undelivered_event
        )
        self.slack = Outbox(bench.context, self.fake_notifier)

    def promote(self, version: int = 4, model: str = "churn") -> str:
        """Move a version to Production, and return the transition's id."""
        self.bench.clock.advance(seconds=1)
        request = self.bench.approved(f"promote {model} {version} production --reason 'better f1'")
        self.bench.moves.execute_due(model)
        return f"promotion:{request.id}"

    def heard(self) -> list[dict[str, Any]]:
        """Return the received events, in order."""
        return [json.loads(got.body) for got in self.there.got]

    def told(self) -> list[str]:
        """Return the thread messages, delivered or not."""
        waiting = [note for note in self.bench.notes() if note.kind is MessageKind.THREAD_REPLY]
        return [
            str(unpack_sentence(note.data["say"]))
            for note in [*self.fake_notifier.told, *waiting]
            if "say" in note.data
        ]

    def waiting(self, kind: MessageKind = MessageKind.EVENT) -> list[OutboxMessage]:
        """Return the messages that are due within a week."""
        with self.bench.ledger.read() as reading:
            return reading.due_messages(self.bench.clock.now() + timedelta(days=7), kinds={kind})


NOTIFY: list[dict[str, Any]] = [{"url_env": "HOOK_URL", "secret_env": "HOOK_SECRET", "models": ["churn*"]}]


@pytest.fixture
def make(sqlite_url: str) -> Iterator[Callable[..., WebhookHarness]]:
    """Return the function that makes the bench with a policy for these endpoints."""
    ledger = SqlLedger(sqlite_url)
    with run_receiver() as there:

        def build(notify: list[dict[str, Any]] = NOTIFY) -> WebhookHarness:
            registry = FaultyRegistry()
            for model in ("churn", "churn-eu", "fraud"):
                registry.add_model(model, versions=[Stage.ARCHIVED, Stage.STAGING, Stage.PRODUCTION, Stage.NONE])
            named = [one | {"url": one["url"].format(there=there.url)} if "url" in one else one for one in notify]
            policy = validate_policy(POLICY | {"notify": named})
            bench = Bench(ledger=ledger, registry=registry, clock=ManualClock(), policy=policy)
            return WebhookHarness(
                bench=bench,
                there=there,
                variables={"HOOK_URL": f"{there.url}/hook?key={TOKEN}", "HOOK_SECRET": SECRET},
            )

        yield build
    ledger.close()


@pytest.fixture
def webhook_harness(make: Callable[..., WebhookHarness]) -> WebhookHarness:
    """Return a bench with one endpoint, for models whose names start with churn."""
    return make()
