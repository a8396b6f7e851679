"""TODO bot.services.promotions.final_tags"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bot.domain.promotions.request import Request
from bot.domain.transitions import registry_tags
from bot.ports import LedgerReader, TagUpdate
from bot.services.core.outbox_messages import tag_update_for


def final_tag_update(tx: LedgerReader, request: Request, at: datetime, *, line: str = "", alias: str = "") -> TagUpdate:
    """Return what the version of a request that has ended has to say, seen from the transaction that ends it.

    What others have written to the same tags since it was opened stays.
    """
    tags = registry_tags.ended_tags(request, tx.votes(request.id), at)
    if registry_tags.reverts_tags(request):
        others = tx.requests(model=request.model, version=request.version)
        tags = registry_tags.reverted_tags(request, others, _tags_written_since(tx, request, others))
    return tag_update_for(request, request.state.value, tags, line=line, alias=alias)


def _tags_written_since(tx: LedgerReader, request: Request, others: Sequence[Request]) -> set[str]:
    """Return the tags of the version that others have written to stay, or are about to, since the request was opened.

    What a request wrote that has put it back doesn't count.
    """
    tag_updates = tx.tag_updates(request.model, version=request.version)
    opened = next((update.number for update in tag_updates if update.id == f"{request.id}:opened"), None)
    gone = {request.id for request in others if registry_tags.reverts_tags(request)}
    since = [update for update in tag_updates if opened is not None and update.number > opened]
    return {key for one in since if one.id.partition(":")[0] not in gone for key in one.tags}
