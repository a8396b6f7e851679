"""Which versions are blocked, as the ledger has it: rolled back as bad, and not unblocked since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from bot.domain.core.errors import LedgerUnavailable, NoLedgerHere
from bot.domain.registry.model import Identity, VersionInfo
from bot.domain.registry.rollback_block import Bar
from bot.domain.rollbacks import rollback as rollback_rules
from bot.ports import Reading
from bot.services.core.context import Context


def blocks(reading: Reading, model: str, identities: Mapping[int, Identity | None]) -> dict[int, Bar]:
    """Return the newest block of each of these versions that is blocked, by number.

    One query, and another one for each number that has a block.
    """
    return rollback_rules.blocks(reading.bars(model), partial(reading.entries, model), identities)


def blocks_now(it: Context, versions: Iterable[VersionInfo]) -> dict[int, Bar]:
    """Return the blocks of versions of one model, to be shown; none where the ledger can't tell."""
    try:
        return blocks_to_decide(it, versions)
    except LedgerUnavailable:
        return {}


def blocks_to_decide(it: Context, versions: Iterable[VersionInfo]) -> dict[int, Bar]:
    """Return the same for a gate; none where there's no ledger, as at a terminal away from the bot.

    Raises LedgerUnavailable where there's one that doesn't answer: what can't be checked doesn't pass.
    """
    mine = {one.version: one for one in versions}
    if not mine:
        return {}
    model = next(iter(mine.values())).model
    try:
        with it.ledger.read() as reading:
            return blocks(reading, model, {number: one.identity() for number, one in mine.items()})
    except NoLedgerHere:
        return {}
