"""What's due, in every ledger."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.domain.promotions.request import RequestState
from bot.domain.transitions.transition import UNFINISHED_STATES, TransitionState
from bot.ledger import SqlLedger
from bot.ports import ENDPOINT_KINDS, DueWork, MessageKind, QueuedCommandState
from bot.services.core.outbox import SLACK_KINDS
from tests.support.ledger.populated_ledger import open_bench, populate
from tests.support.ledger.records import NOW, SOON, a_command, a_message, a_request, a_transition, save

pytestmark = pytest.mark.usefixtures("migrates_itself")

pytest_plugins = ("tests.support.ledger.ledgers",)


def due_work(ledger: SqlLedger, now: datetime = NOW) -> set[DueWork]:
    with ledger.read() as r:
        return set(r.due_work(now))


def test_nothing_is_due_in_an_empty_ledger(ledger: SqlLedger) -> None:
    assert due_work(ledger) == set()


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (a_message("m"), DueWork.MESSAGES),
        (a_message("m", kind=MessageKind.EVENT), DueWork.EVENTS),
        (a_message("m", kind=MessageKind.AUDIT), DueWork.EVENTS),
        (a_command(not_before=NOW), DueWork.RECOVERY),
        (a_transition(), DueWork.RECOVERY),
        (a_request(), DueWork.EXPIRY),
    ],
    ids=lambda value: getattr(value, "name", type(value).__name__),
)
def test_waiting_work_is_due(ledger: SqlLedger, record: Any, kind: DueWork) -> None:
    save(ledger, record)
    assert due_work(ledger) == {kind}


def test_work_is_due_at_its_time(ledger: SqlLedger) -> None:
    message = a_message("m")
    save(ledger, message, a_command(not_before=SOON))
    with ledger.write() as w:
        w.postpone_message(message, SOON)
    assert due_work(ledger) == set()
    assert due_work(ledger, SOON) == {DueWork.MESSAGES, DueWork.RECOVERY}


def test_finished_work_is_not_due(ledger: SqlLedger) -> None:
    save(
        ledger,
        a_request(state=RequestState.REJECTED),
        a_transition(state=TransitionState.DONE),
        a_command(state=QueuedCommandState.DONE),
    )
    assert due_work(ledger) == set()


def test_a_populated_ledger_has_all_kinds_of_work_that_its_own_queries_find(ledger: SqlLedger) -> None:
    bench = open_bench(ledger)
    populate(bench)
    for now in (bench.clock.now(), bench.clock.now() + timedelta(days=1)):
        with ledger.read() as r:
            found = {
                DueWork.MESSAGES: r.due_messages(now, kinds=SLACK_KINDS),
                DueWork.EVENTS: r.due_messages(now, kinds=ENDPOINT_KINDS),
                DueWork.RECOVERY: [*r.due_command_ids(now), *r.models_with_transitions(UNFINISHED_STATES)],
                DueWork.EXPIRY: r.requests(states=[RequestState.PENDING]),
                DueWork.TAGS: r.due_tag_updates(now),
                DueWork.SERVING_CHECKS: r.due_serving_checks(now),
                DueWork.DIGESTS: [r.due_digest(now)] if r.due_digest(now) else [],
                DueWork.INCIDENTS: r.incidents(open_only=True),
                DueWork.MONITORS: r.due_monitors(now),
            }
            assert set(found) == set(DueWork)
            assert {kind for kind, work in found.items() if work} <= r.due_work(now)
    assert {kind for kind, work in found.items() if not work} <= {DueWork.EVENTS, DueWork.EXPIRY, DueWork.RECOVERY}
