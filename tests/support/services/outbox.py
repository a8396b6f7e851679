"""An outbox, and messages for it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.ports import DeliveryOutcome, DeliveryResult, MessageKind, OutboxMessage
from bot.services.core.outbox import Outbox
from tests.support.services.bench import Bench
from tests.support.services.fake_notifier import FakeNotifier

UNKNOWN = DeliveryResult(DeliveryOutcome.UNKNOWN, why="reset")


def later(seconds: float = 0) -> DeliveryResult:
    return DeliveryResult(DeliveryOutcome.RETRY, retry_after=timedelta(seconds=seconds), why="ratelimited")


@pytest.fixture
def fake_notifier() -> FakeNotifier:
    """Return a notifier that records its messages."""
    return FakeNotifier()


@pytest.fixture
def outbox(bench: Bench, fake_notifier: FakeNotifier) -> Outbox:
    """Return an outbox that delivers to the fake notifier."""
    return Outbox(bench.context, fake_notifier)


def put(bench: Bench, *keys: str, kind: MessageKind = MessageKind.THREAD_REPLY) -> None:
    """Add messages to the outbox; `r1/a` is message a in lane r1."""
    with bench.ledger.write() as tx:
        for key in keys:
            tx.add_message(OutboxMessage(key=key, lane=key.partition("/")[0], kind=kind, to="C1"))
