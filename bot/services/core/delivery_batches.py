"""TODO bot.services.core.delivery_batches"""

from __future__ import annotations

from bot.ports import MessageKind, OutboxMessage

BATCH_SIZE = 10  # notes that share their commits


URGENT_KINDS = frozenset({MessageKind.INCIDENT, MessageKind.ROLLBACK})  # whoever is on call waits for these


def _batches(due_messages: list[OutboxMessage]) -> list[list[OutboxMessage]]:
    """Return the layers in pieces: a commit of a hundred notes would keep whoever votes waiting as long.

    What is urgent comes first: it takes the next turn in its channel, however many messages have waited there.
    """
    layers = [sorted(layer, key=lambda message: message.kind not in URGENT_KINDS) for layer in _layers(due_messages)]
    return [layer[at : at + BATCH_SIZE] for layer in layers for at in range(0, len(layer), BATCH_SIZE)]


def _layers(due_messages: list[OutboxMessage]) -> list[list[OutboxMessage]]:
    """Return the notes so that each list holds at most one of each lane, and a lane's notes are in order."""
    layers: list[list[OutboxMessage]] = []
    depth: dict[str, int] = {}
    for message in due_messages:
        at = depth.get(message.lane, 0)
        depth[message.lane] = at + 1
        if at == len(layers):
            layers.append([])
        layers[at].append(message)
    return layers


def _is_superseded(message: OutboxMessage, due_messages: list[OutboxMessage]) -> bool:
    """Tell whether a later row draws the same card anew anyway; a card is drawn from its present state."""
    return message.kind.is_updated_in_place and any(
        other.kind is message.kind and other.lane == message.lane and other.number > message.number
        for other in due_messages
    )
