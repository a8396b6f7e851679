"""What a person's Home tab is made of."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, event

from bot.domain.commands.registry import ShowStatus
from bot.domain.core.errors import UnknownModel
from bot.domain.home.home_content import HomeView
from bot.domain.monitoring.incident import Incident, IncidentKind, IncidentStatus
from bot.domain.monitoring.model_status import ModelStatus
from bot.domain.monitoring.monitor import MonitorState, MonitorStatus
from bot.domain.registry.model import Stage
from bot.ports import MessageRef
from bot.services.home.home import Homes
from bot.services.home.statuses import ModelStatuses
from tests.support.monitoring.monitoring import add_monitor, put_into_production
from tests.support.services.bench import ALICE, BOB, CAROL, Bench


def home(bench: Bench, who: object = BOB) -> HomeView:
    statuses = ModelStatuses(bench.context)
    return Homes(bench.context, statuses).view_for(who, lambda ref: f"link:{ref.channel}/{ref.ts}")  # type: ignore[arg-type]


def status(bench: Bench, model: str | None = None) -> list[ModelStatus]:
    show = ModelStatuses(bench.context).handlers()[ShowStatus]
    found: list[ModelStatus] = show(ShowStatus(model=model))
    return found


def open_incident(
    bench: Bench, incident_id: str, doing: IncidentStatus = IncidentStatus.NOTIFIED, **more: object
) -> None:
    now = bench.clock.now()
    incident = Incident(
        id=incident_id,
        kind=IncidentKind.FAILED,
        model="churn",
        source=incident_id,
        version=3,
        move="m1",
        monitors=("accuracy",),
        opened_at=now,
        since=now,
        lines=(),
        doing=doing,
        **more,  # type: ignore[arg-type]
    )
    with bench.ledger.write() as tx:
        tx.add_incident(incident)


# -- the inbox ---------------------------------------------------------------------------------------------------------


def test_an_approver_sees_a_request_until_they_have_voted(bench: Bench) -> None:
    bench.registry.add_model("two", versions=[Stage.PRODUCTION, Stage.NONE])
    request = bench.open("promote two 2 production")
    assert [item.request.id for item in home(bench).to_decide] == [request.id]
    assert home(bench, ALICE).to_decide == []
    bench.approve(request)
    assert home(bench).to_decide == []
    assert [item.request.id for item in home(bench, CAROL).to_decide] == [request.id]


def test_your_requests_say_who_they_wait_for_and_how_they_ended(bench: Bench) -> None:
    bench.registry.add_model("two", versions=[Stage.PRODUCTION, Stage.NONE])
    bench.reject(bench.open("promote churn 4 production"))
    request = bench.open("promote two 2 production")
    bench.approve(request)
    pending, ended = home(bench, ALICE).own_requests
    assert (pending.request.id, str(pending.waiting)) == (request.id, "Waiting for @UCAROL.")
    assert (ended.request.outcome, ended.waiting) == ("too slow", None)
    assert list(home(bench).own_requests) == []


def test_only_alerts_that_no_one_has_acknowledged_are_in_the_inbox(bench: Bench) -> None:
    open_incident(bench, "i1")
    open_incident(bench, "i2", IncidentStatus.LOGGED)
    open_incident(bench, "i3", acknowledged_by=BOB.person, acknowledged_at=bench.clock.now())
    assert [incident.id for incident in home(bench).incidents] == ["i1"]


def test_requests_and_incidents_link_to_their_messages(bench: Bench) -> None:
    request = bench.open()
    open_incident(bench, "i1")
    card = next(note for note in bench.notes() if note.lane == request.id)
    with bench.ledger.write() as tx:
        tx.mark_delivered(card, MessageRef("C1", "17.5"))
    assert home(bench).links == {request.id: "link:C1/17.5"}


# -- the models --------------------------------------------------------------------------------------------------------


def statements(bench: Bench) -> int:
    """Return how many statements Home takes."""
    counted: list[str] = []

    def note(*args: object) -> None:
        counted.append(str(args[2]))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        home(bench)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    return len(counted)


def test_home_takes_as_many_queries_for_a_hundred_models_as_for_one(bench: Bench) -> None:
    bench.watch.poll()
    few = statements(bench)
    put_into_production(bench, *(f"model-{number}" for number in range(99)))
    for number in range(99):
        add_monitor(bench, model=f"model-{number}")
    assert len(home(bench).statuses) == 100
    assert statements(bench) == few


def test_a_promotion_is_shown_before_the_registry_is_read_again(bench: Bench) -> None:
    bench.watch.poll()
    bench.clock.advance(minutes=1)
    bench.approved("promote churn 2 production")
    bench.moves.execute_due("churn")
    [churn] = status(bench, "churn")
    assert [(holder.version, holder.entry is not None) for holder in churn.production] == [(2, True)]
    assert churn.staging == ()  # the last snapshot still has v2 there


def test_the_status_of_a_model_has_its_request_freeze_monitors_incident_and_blocked_versions(bench: Bench) -> None:
    bench.watch.poll()
    bench.approved("promote churn 4 production")
    bench.moves.execute_due("churn")
    bench.clock.advance(hours=1)
    bench.do('rollback churn --reason "wrong letters"', BOB)
    bench.moves.execute_due("churn")
    bench.execute(BOB, 'freeze --all --reason "end of the quarter"')
    request = bench.open("promote churn 2 production")
    monitor = add_monitor(bench)
    with bench.ledger.write() as tx:
        tx.save_monitor_state(MonitorState(monitor=monitor.id, state=MonitorStatus.FAILED, at=bench.clock.now()))
    open_incident(bench, "i1")
    [churn] = status(bench, "churn")
    assert [holder.version for holder in churn.production] == [3]
    assert [one.id for one in churn.requests] == [request.id]
    assert [block.version for block in churn.blocks] == [4]
    assert [row.monitor_state.state for row in churn.monitors] == [MonitorStatus.FAILED]
    assert [incident.id for incident in churn.incidents] == ["i1"]
    assert churn.freeze
    assert churn.freeze.reason == "end of the quarter"
    assert home(bench).statuses[0].freeze is None  # Home says it once, at the top


def test_the_status_needs_no_registry(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.is_down = True
    assert [(one.model, [holder.version for holder in one.production]) for one in status(bench)] == [("churn", [3])]


def test_the_status_of_an_unknown_model_suggests_the_nearest(bench: Bench) -> None:
    bench.watch.poll()
    with pytest.raises(UnknownModel, match="Did you mean churn"):
        status(bench, "chrun")
