"""Split due messages into batches that are delivered together."""

from __future__ import annotations

from bot.ports import MessageKind, OutboxMessage

BATCH_SIZE = 10  # messages that share commits
URGENT_KINDS = frozenset({MessageKind.INCIDENT, MessageKind.ROLLBACK})  # on-call engineers wait for these


def batches_in_order(due_messages: list[OutboxMessage]) -> list[list[OutboxMessage]]:
    """Return the layers in batches: a commit of a hundred messages would block votes for too long.

    Urgent messages come first, and take the next turn in their channel however many others are waiting.
    """
    layers = [sorted(layer, key=lambda message: message.kind not in URGENT_KINDS) for layer in _layers(due_messages)]
    return [layer[start : start + BATCH_SIZE] for layer in layers for start in range(0, len(layer), BATCH_SIZE)]


def _layers(due_messages: list[OutboxMessage]) -> list[list[OutboxMessage]]:
    """Return lists of messages with at most one per ordering key, so that each key's messages stay in order."""
    layers: list[list[OutboxMessage]] = []
    depth: dict[str, int] = {}
    for message in due_messages:
        index = depth.get(message.lane, 0)
        depth[message.lane] = index + 1
        if index == len(layers):
            layers.append([])
        layers[index].append(message)
    return layers


def is_superseded(message: OutboxMessage, due_messages: list[OutboxMessage]) -> bool:
    """Tell whether a later message redraws the same card anyway; cards show the present state."""
    return message.kind.is_updated_in_place and any(
        other.kind is message.kind and other.lane == message.lane and other.number > message.number
        for other in due_messages
    )
