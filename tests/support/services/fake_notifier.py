"""Somebody whom the outbox tells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from bot.ports import DeliveryOutcome, DeliveryResult, MessageRef, OutboxMessage

DELIVERED = DeliveryResult(DeliveryOutcome.DELIVERED, MessageRef("C1", "1.1"), is_new=True)


class FakeNotifier:
    """A notifier that writes down what it was given, and answers as it was told to: the last answer stays."""

    def __init__(self) -> None:
        self.told: list[OutboxMessage] = []
        self.taken_back: list[MessageRef] = []
        self.answers: dict[str, list[DeliveryResult]] = defaultdict(lambda: [DELIVERED])
        self.meanwhile: Callable[[], None] = lambda: None

    @property
    def keys(self) -> list[str]:
        """Return what it was given, in order."""
        return [note.key for note in self.told]

    def channel_id(self, name: str) -> str:
        """Return the name: here it is the id."""
        return name

    def delete_message(self, message_ref: MessageRef) -> None:
        """Write down what is to be deleted."""
        self.taken_back.append(message_ref)

    def deliver(self, outbox_message: OutboxMessage) -> DeliveryResult:
        """Take one note."""
        self.told.append(outbox_message)
        self.meanwhile()
        answers = self.answers[outbox_message.key]
        return answers.pop(0) if len(answers) > 1 else answers[0]
