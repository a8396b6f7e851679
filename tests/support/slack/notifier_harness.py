"""A notifier that posts to a local workspace."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot.domain.approvals import RequestState
from bot.domain.policy import read_policy
from bot.ledger import SqlLedger
from bot.ports import Delivery, Note, Outcome
from bot.slack.notifier import SlackNotifier
from localslack import LocalSlack

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


POLICY = read_policy({"models": {"*": {"production": {"approvers": ["U0BOB"]}}}})


@dataclass(frozen=True)
class Desk:
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
