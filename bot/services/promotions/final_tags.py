"""TODO bot.services.promotions.final_tags"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bot.domain.promotions.request import Request
from bot.domain.transitions import registry_tags
from bot.ports import Copy, Reading
from bot.services.core.outbox_messages import copy


def end_copy(tx: Reading, ended: Request, at: datetime, *, line: str = "", alias: str = "") -> Copy:
    """Return what the version of a request that has ended has to say, seen from the transaction that ends it.

    What others have written to the same tags since it was opened stays.
    """
    tags = registry_tags.ended(ended, tx.votes(ended.id), at)
    if registry_tags.has_reverted(ended):
        others = tx.requests(model=ended.model, version=ended.version)
        tags = registry_tags.reverted(ended, others, _written_since(tx, ended, others))
    return copy(ended, ended.state.value, tags, line=line, alias=alias)


def _written_since(tx: Reading, ended: Request, others: Sequence[Request]) -> set[str]:
    """Return the tags of the version that others have written to stay, or are about to, since the request was opened.

    What a request wrote that has put it back doesn't count.
    """
    copies = tx.copies(ended.model, version=ended.version)
    opened = next((one.number for one in copies if one.id == f"{ended.id}:opened"), None)
    gone = {one.id for one in others if registry_tags.has_reverted(one)}
    since = [one for one in copies if opened is not None and one.number > opened]
    return {key for one in since if one.id.partition(":")[0] not in gone for key in one.tags}
