"""A notifier that posts to a local workspace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from slack_sdk import WebClient

from bot.domain.core.actors import Person
from bot.domain.core.sentence import Name, pack_sentence, say
from bot.domain.policy.parser import validate_policy
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.model import Stage
from bot.ledger import SqlLedger
from bot.ports import DeliveryOutcome, DeliveryResult, MessageKind, OutboxMessage
from bot.slack.delivery.notifier import SlackNotifier
from localslack import LocalSlack

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


POLICY = validate_policy({"models": {"*": {"production": {"approvers": ["U0BOB"]}}}})


@dataclass(frozen=True)
class NotifierHarness:
    """A notifier, the ledger it reads, and the workspace it talks to."""

    slack: LocalSlack
    ledger: SqlLedger
    notifier: SlackNotifier

    def deliver(self, note: OutboxMessage, *, was_tried: bool = False) -> DeliveryResult:
        """Deliver a message as the outbox does, and record the result."""
        trying = OutboxMessage(**{name: getattr(note, name) for name in note.__slots__} | {"was_tried": was_tried})
        delivery = self.notifier.deliver(trying)
        if delivery.outcome is DeliveryOutcome.DELIVERED:
            with self.ledger.write() as tx:
                tx.add_message(trying)
                tx.mark_delivered(trying, delivery.message_ref)
        return delivery

    def become(self, state: RequestState) -> None:
        """Change the request's state."""
        with self.ledger.write() as tx:
            tx.save_request(tx.request("r4k7q").with_state(state))

    def posted(self, channel: str = "#ml-models") -> list[dict[str, Any]]:
        """Return the app's messages in a channel."""
        return [one for one in self.slack.person("bob").sees(channel) if one.get("bot_id")]

    def thread(self) -> list[dict[str, Any]]:
        """Return the replies in the card's thread."""
        return self.slack.person("bob").thread(self.posted()[0])[1:]


REQUEST = Request(
    id="r4k7q",
    model="churn",
    version=7,
    from_stage=Stage.STAGING,
    target=Stage.PRODUCTION,
    incumbent=5,
    requester=Person("T0LOCAL", "U0ALICE"),
    reason="better f1",
    required=1,
    opened_at=NOW,
    expires_at=NOW + timedelta(days=1),
)


CARD = OutboxMessage(key="card:r4k7q:opened", lane="r4k7q", kind=MessageKind.CARD, to="#ml-models")


AGAIN = OutboxMessage(key="card:r4k7q:done", lane="r4k7q", kind=MessageKind.CARD, to="#ml-models")


SENTENCE = {"say": pack_sentence(say("{name} is done.", name=Name("<!channel>")))}


NEWS = OutboxMessage(key="news:r4k7q:done", lane="r4k7q", kind=MessageKind.THREAD_REPLY, to="", data=SENTENCE)


DIRECT = OutboxMessage(
    key="direct:r4k7q:done", lane="r4k7q:direct", kind=MessageKind.DIRECT, to="U0ALICE", data=SENTENCE
)


@pytest.fixture
def harness(slack: LocalSlack, sqlite_url: str) -> Iterator[NotifierHarness]:
    """Return a harness with an open request in the ledger, and nothing in Slack yet."""
    ledger = SqlLedger(sqlite_url)
    with ledger.write() as tx:
        tx.add_request(REQUEST)
    client = WebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[], timeout=5)
    yield NotifierHarness(slack, ledger, SlackNotifier(client, ledger, lambda: POLICY))
    ledger.close()
