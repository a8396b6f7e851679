"""A fake notifier for the outbox."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from bot.ports import DeliveryOutcome, DeliveryResult, MessageRef, OutboxMessage

DELIVERED = DeliveryResult(DeliveryOutcome.DELIVERED, MessageRef("C1", "1.1"), is_new=True)


class FakeNotifier:
    """A notifier that records its messages, and returns the given results; the last result repeats."""

    def __init__(self) -> None:
        self.told: list[OutboxMessage] = []
        self.taken_back: list[MessageRef] = []
        self.answers: dict[str, list[DeliveryResult]] = defaultdict(lambda: [DELIVERED])
        self.meanwhile: Callable[[], None] = lambda: None

    @property
    def keys(self) -> list[str]:
        """Return the keys of its messages, in order."""
        return [note.key for note in self.told]

    def channel_id(self, name: str) -> str:
        """Return the name, which is also the id here."""
        return name

    def delete_message(self, message_ref: MessageRef) -> None:
        """Record the message to delete."""
        self.taken_back.append(message_ref)

    def deliver(self, outbox_message: OutboxMessage) -> DeliveryResult:
        """Record a message, and return the next result."""
        self.told.append(outbox_message)
        self.meanwhile()
        answers = self.answers[outbox_message.key]
        return answers.pop(0) if len(answers) > 1 else answers[0]
