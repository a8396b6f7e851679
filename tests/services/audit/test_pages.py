"""Pages of the audit log."""

from __future__ import annotations

import pytest

from bot.domain.audit.events import AUDIT_PAGE_SIZE
from tests.support.ledger.records import an_event, save
from tests.support.services.bench import BOB, Bench


@pytest.mark.parametrize(("events", "shown"), [(AUDIT_PAGE_SIZE, AUDIT_PAGE_SIZE), (30, AUDIT_PAGE_SIZE + 1)])
def test_one_event_more_than_a_page_shows_that_there_is_another_page(bench: Bench, events: int, shown: int) -> None:
    save(bench.ledger, *(an_event() for _ in range(events)))
    found, _ = bench.execute(BOB, "audit churn").view
    assert len(found) == shown
