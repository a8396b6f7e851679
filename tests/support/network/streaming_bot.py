"""A bot that streams its audit log to an endpoint."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any

from bot.domain.audit.events import GENESIS_HASH
from bot.domain.core.sentence import unpack_sentence
from bot.domain.policy.parser import validate_policy
from bot.ledger import SqlLedger
from bot.ports import Ledger, MessageKind, OutboxMessage
from bot.services.audit.streaming import LONGEST_WAIT, AuditStream
from bot.services.core.endpoint_outboxes import EndpointOutboxes
from bot.services.transitions.serving_checks import EVENT_MAX_AGE, record_undelivered_event
from bot.webhook_sender import WebhookNotifier
from tests.support.ledger.tampering import VOTE, keep
from tests.support.network.http_receiver import HttpReceiver
from tests.support.services.bench import POLICY, Bench
from tests.support.services.fakes import FaultyRegistry, ManualClock

SECRET = "plum-that-signs"
TOKEN = "token-in-the-address"
STREAM: dict[str, Any] = {"url_env": "SIEM_URL", "secret_env": "SIEM_SECRET"}


@dataclass(kw_only=True)
class StreamingBot:
    """One process whose policy has an audit stream."""

    ledger: Ledger
    receiver: HttpReceiver
    clock: ManualClock
    owner: str = "here:1:a"
    bench: Bench = field(init=False)
    stream: AuditStream = field(init=False)
    outboxes: EndpointOutboxes = field(init=False)

    def __post_init__(self) -> None:
        self.variables = {"SIEM_URL": f"{self.receiver.url}/{TOKEN}", "SIEM_SECRET": SECRET}
        policy = validate_policy(POLICY | {"audit": {"stream": STREAM}})
        assert isinstance(self.ledger, SqlLedger)
        self.bench = Bench(
            ledger=self.ledger, registry=FaultyRegistry(), clock=self.clock, policy=policy, owner=self.owner
        )
        self.stream = AuditStream(self.bench.context)
        self.outboxes = EndpointOutboxes(
            self.bench.context, self.notifier(), max_age=EVENT_MAX_AGE, on_give_up=record_undelivered_event
        )

    def notifier(self, kind: type[WebhookNotifier] = WebhookNotifier) -> WebhookNotifier:
        """Return what sends the messages to the endpoint."""
        return kind(lambda: self.bench.context.policy, self.stream.read_lines, self.variables.get, self.clock.now)

    def over(self, ledger: Ledger) -> AuditStream:
        """Return the stream with another ledger."""
        return AuditStream(replace(self.bench.context, ledger=ledger))

    def use(self, stream: object) -> None:
        """Put a policy with this stream into effect; None for none."""
        audit = {} if stream is None else {"audit": {"stream": stream}}
        self.bench.context.active_policy.replace(validate_policy(POLICY | audit), "")

    def record(self, count: int = 1, **fields: Any) -> None:
        """Add events to the audit log."""
        keep(self.bench.ledger, *[replace(VOTE, **fields)] * count)

    def run(self) -> None:
        """Run the job until there's nothing new to send."""
        while self.stream.enqueue_next():
            self.outboxes.deliver(patience=10)

    def run_later(self, **span: float) -> None:
        """Deliver what's due after this time, and continue."""
        self.clock.advance(**span)
        self.outboxes.deliver(patience=10)
        self.run()

    def waiting(self) -> list[OutboxMessage]:
        """Return the messages that wait for the endpoint."""
        with self.bench.ledger.read() as reader:
            return reader.due_messages(self.clock.now() + LONGEST_WAIT, kinds={MessageKind.AUDIT})

    def said(self) -> list[str]:
        """Return the channel's messages."""
        return [str(unpack_sentence(note.data["say"])) for note in self.bench.notes() if note.key.startswith("said:")]


def numbers(receiver: HttpReceiver, start: int = 0) -> list[int]:
    """Return the numbers of the events in the calls since `start`."""
    return [json.loads(line)["number"] for got in receiver.got[start:] for line in got.body.splitlines()]


def verified_head(lines: bytes) -> str:
    """Verify events from the first one on, as docs/operations/audit-log.md shows, and return the last one's hash."""
    last = GENESIS_HASH
    for line in lines.splitlines():
        row = json.loads(line)
        assert row["previous"] == last
        last = hashlib.sha256(f"{last}\n{row['body']}".encode()).hexdigest()
        assert row["hash"] == last
    return last
