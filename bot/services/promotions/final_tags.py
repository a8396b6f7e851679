"""The tag update that goes with the end of a request."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bot.domain.promotions.request import Request
from bot.domain.transitions import registry_tags
from bot.ports import LedgerReader, TagUpdate
from bot.services.core.outbox_messages import tag_update_for


def final_tag_update(tx: LedgerReader, request: Request, at: datetime, *, line: str = "", alias: str = "") -> TagUpdate:
    """Return the tag update for the version of a request that ends in this transaction.

    `line` is appended to the version's description; `alias` is removed from the version if it's set. Tags that others
    have written since the request was opened are kept.
    """
    tags = registry_tags.ended_tags(request, tx.votes(request.id), at)
    if registry_tags.reverts_tags(request):
        others = tx.requests(model=request.model, version=request.version)
        tags = registry_tags.reverted_tags(request, others, _tags_written_since(tx, request, others))
    return tag_update_for(request, request.state.value, tags, line=line, alias=alias)


def _tags_written_since(tx: LedgerReader, request: Request, others: Sequence[Request]) -> set[str]:
    """Return the tags that others have written, or are about to write, since the request was opened.

    Tags of requests that have reverted them don't count.
    """
    tag_updates = tx.tag_updates(request.model, version=request.version)
    opened = next((update.number for update in tag_updates if update.id == f"{request.id}:opened"), None)
    reverted_ids = {request.id for request in others if registry_tags.reverts_tags(request)}
    later_updates = [update for update in tag_updates if opened is not None and update.number > opened]
    return {key for one in later_updates if one.id.partition(":")[0] not in reverted_ids for key in one.tags}
