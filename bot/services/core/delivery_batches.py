"""TODO bot.services.core.delivery_batches"""

from __future__ import annotations

from bot.ports import Note, NoteKind

BATCH = 10  # notes that share their commits


URGENT = frozenset({NoteKind.INCIDENT, NoteKind.ROLLBACK})  # whoever is on call waits for these


def _batches(due: list[Note]) -> list[list[Note]]:
    """Return the layers in pieces: a commit of a hundred notes would keep whoever votes waiting as long.

    What is urgent comes first: it takes the next turn in its channel, however many messages have waited there.
    """
    layers = [sorted(layer, key=lambda note: note.kind not in URGENT) for layer in _layers(due)]
    return [layer[at : at + BATCH] for layer in layers for at in range(0, len(layer), BATCH)]


def _layers(due: list[Note]) -> list[list[Note]]:
    """Return the notes so that each list holds at most one of each lane, and a lane's notes are in order."""
    layers: list[list[Note]] = []
    depth: dict[str, int] = {}
    for note in due:
        at = depth.get(note.lane, 0)
        depth[note.lane] = at + 1
        if at == len(layers):
            layers.append([])
        layers[at].append(note)
    return layers


def _is_overtaken(note: Note, due: list[Note]) -> bool:
    """Tell whether a later row draws the same card anew anyway; a card is drawn from its present state."""
    return note.kind.is_standing and any(
        other.kind is note.kind and other.lane == note.lane and other.number > note.number for other in due
    )
