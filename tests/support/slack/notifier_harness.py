"""A notifier that posts to a local workspace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from slack_sdk import WebClient

from bot.domain.core.actors import Person
from bot.domain.core.sentence import Name, pack, say
from bot.domain.policy.parser import read_policy
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.model import Stage
from bot.ledger import SqlLedger
from bot.ports import Delivery, Note, NoteKind, Outcome
from bot.slack.delivery.notifier import SlackNotifier
from localslack import LocalSlack

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


POLICY = read_policy({"models": {"*": {"production": {"approvers": ["U0BOB"]}}}})


@dataclass(frozen=True)
class NotifierHarness:
    """A notifier, the ledger it reads, and the workspace it talks to."""

    slack: LocalSlack
    ledger: SqlLedger
    notifier: SlackNotifier

    def deliver(self, note: Note, *, was_tried: bool = False) -> Delivery:
        """Deliver a note as the outbox does: what became of it is written down."""
        trying = Note(**{name: getattr(note, name) for name in note.__slots__} | {"was_tried": was_tried})
        delivery = self.notifier.deliver(trying)
        if delivery.outcome is Outcome.DELIVERED:
            with self.ledger.write() as tx:
                tx.add_note(trying)
                tx.delivered(trying, delivery.posting)
        return delivery

    def become(self, state: RequestState) -> None:
        """Change the request's state."""
        with self.ledger.write() as tx:
            tx.save_request(tx.request("r4k7q").become(state))

    def posted(self, channel: str = "#ml-models") -> list[dict[str, Any]]:
        """Return what the app has posted in a channel."""
        return [one for one in self.slack.person("bob").sees(channel) if one.get("bot_id")]

    def thread(self) -> list[dict[str, Any]]:
        """Return the answers in the card's thread."""
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


CARD = Note(key="card:r4k7q:opened", lane="r4k7q", kind=NoteKind.CARD, to="#ml-models")


AGAIN = Note(key="card:r4k7q:done", lane="r4k7q", kind=NoteKind.CARD, to="#ml-models")


SENTENCE = {"say": pack(say("{name} is done.", name=Name("<!channel>")))}


NEWS = Note(key="news:r4k7q:done", lane="r4k7q", kind=NoteKind.NEWS, to="", data=SENTENCE)


DIRECT = Note(key="direct:r4k7q:done", lane="r4k7q:direct", kind=NoteKind.DIRECT, to="U0ALICE", data=SENTENCE)


@pytest.fixture
def harness(slack: LocalSlack, sqlite_url: str) -> Iterator[NotifierHarness]:
    """Return a desk with an open request in the ledger, and nothing in Slack yet."""
    ledger = SqlLedger(sqlite_url)
    with ledger.write() as tx:
        tx.add_request(REQUEST)
    client = WebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[], timeout=5)
    yield NotifierHarness(slack, ledger, SlackNotifier(client, ledger, lambda: POLICY))
    ledger.close()
