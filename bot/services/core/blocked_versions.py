"""Find versions that a rollback blocked and that no one has unblocked since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from bot.domain.core.errors import LedgerUnavailable, NoLedgerHere
from bot.domain.registry.model import VersionIdentity, VersionInfo
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.rollbacks import rollback_targets as rollback_rules
from bot.ports import LedgerReader
from bot.services.core.context import Context


def blocks_by_version(
    reader: LedgerReader, model: str, identities: Mapping[int, VersionIdentity | None]
) -> dict[int, RollbackBlock]:
    """Return the newest block of each blocked version, by version number.

    `identities` identifies the versions, since numbers can be reused. Takes one query, and one more for each
    number that has a block.
    """
    return rollback_rules.current_blocks(
        reader.rollback_blocks(model), partial(reader.production_entries, model), identities
    )


def blocks_for_display(context: Context, versions: Iterable[VersionInfo]) -> dict[int, RollbackBlock]:
    """Return the blocks of a model's versions for display; none if the ledger is unavailable."""
    try:
        return blocks_for_gates(context, versions)
    except LedgerUnavailable:
        return {}


def blocks_for_gates(context: Context, versions: Iterable[VersionInfo]) -> dict[int, RollbackBlock]:
    """Return the blocks of a model's versions for a gate; none without a ledger, as at another machine's terminal.

    Raises LedgerUnavailable if the ledger doesn't respond, because a gate that can't be checked doesn't pass.
    """
    by_number = {version.version: version for version in versions}
    if not by_number:
        return {}
    model = next(iter(by_number.values())).model
    try:
        with context.ledger.read() as reader:
            return blocks_by_version(reader, model, {number: one.identity() for number, one in by_number.items()})
    except NoLedgerHere:
        return {}
