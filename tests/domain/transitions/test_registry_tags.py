"""The tags that a request restores when it ends without a transition."""

from __future__ import annotations

from datetime import timedelta

from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import Stage
from bot.domain.transitions.registry_tags import reverted_tags
from tests.support.ledger.records import NOW, a_request

MINUTE = timedelta(minutes=1)


def test_a_later_request_does_not_change_what_an_earlier_one_restores() -> None:
    earlier = a_request(state=RequestState.CANCELLED, former_status="staging_requested")
    later = a_request(
        state=RequestState.CANCELLED,
        target=Stage.STAGING,
        former_status="production_requested",
        opened_at=NOW + MINUTE,
        decided_at=NOW + 2 * MINUTE,
    )
    assert reverted_tags(earlier, [later, earlier], ()) == {"approval_status": "staging_requested"}
