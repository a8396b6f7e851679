"""Metrics: events are counted as they happen, and the ledger is read at each scrape; few labels, no names."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Automation
from bot.domain.core.errors import LedgerUnavailable, RegistrarError
from bot.domain.monitoring.readings import CheckOutcome
from bot.domain.policy.parser import validate_policy
from bot.ledger import SqlLedger
from bot.metrics.definitions import METRIC_DEFINITIONS
from bot.metrics.recorder import PrometheusMetrics
from bot.services.audit.streaming import AuditStream
from tests.support.monitoring.monitoring import add_monitor, check_values
from tests.support.network.prometheus_server import promtool
from tests.support.services.bench import ALICE, BOB, CAROL, POLICY, STRANGER, Bench
from tests.support.services.fakes import ManualClock


def read(metrics: PrometheusMetrics) -> dict[str, float]:
    """Return every value by its name and labels, as in the exposition."""
    page = metrics.exposition()[0].decode()
    lines = [line.rpartition(" ") for line in page.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


@pytest.fixture
def page(bench: Bench) -> Bench:
    """Return a bench whose metrics include its ledger's."""
    bench.metrics.add_ledger_metrics(bench.ledger, bench.clock)
    return bench


def test_counters_start_at_zero(page: Bench) -> None:
    found = read(page.metrics)
    assert found['registrar_votes_total{choice="approve"}'] == 0
    assert found['registrar_rollbacks_total{cause="automatic",end="done"}'] == 0
    assert found['registrar_outbox{to="slack"}'] == 0
    assert found["registrar_ledger_up"] == 1


def test_an_approval_counts_its_vote_and_its_duration(page: Bench) -> None:
    request = page.open()
    page.clock.advance(minutes=20)
    page.approve(request)
    found = read(page.metrics)
    assert found['registrar_votes_total{choice="approve"}'] == 1
    assert found['registrar_decision_seconds_sum{end="approved"}'] == 20 * 60
    assert found['registrar_events_total{tag="registrar:request:approved"}'] == 1


def test_an_undecided_request_counts_as_expired(page: Bench) -> None:
    page.open()
    page.clock.advance(hours=25)
    page.request_upkeep.expire_overdue()
    assert read(page.metrics)['registrar_decision_seconds_count{end="expired"}'] == 1


def test_open_requests_are_counted_by_their_state_with_the_age_of_the_oldest(page: Bench) -> None:
    page.open()
    page.clock.advance(minutes=5)
    page.approved("promote churn 4 staging")
    found = read(page.metrics)
    assert found['registrar_requests{state="pending"}'] == 1
    assert found['registrar_request_oldest_seconds{state="pending"}'] == 300
    assert found['registrar_requests{state="approved"}'] == 1


def test_refusals_are_counted_by_their_class(page: Bench) -> None:
    request = page.open()
    for who in (ALICE, STRANGER):
        with suppress(RegistrarError):
            page.approve(request, who)
    page.reject(request)
    with suppress(RegistrarError):
        page.approve(request, CAROL)
    with suppress(RegistrarError):
        page.do("promote churn 99 production")
    found = read(page.metrics)
    assert found['registrar_refusals_total{reason="Refused",what="request"}'] == 2
    assert found['registrar_refusals_total{reason="AlreadyDecided",what="request"}'] == 1
    assert found['registrar_refusals_total{reason="UnknownVersion",what="promotion"}'] == 1


def test_a_rollback_is_counted_by_cause_and_outcome(page: Bench) -> None:
    page.watch.poll()
    for version in (2, 4):
        page.clock.advance(hours=30)
        page.approved(f"promote churn {version} production")
        page.moves.execute_due("churn")
    page.do('rollback churn --reason "accuracy fell"', BOB)
    found = read(page.metrics)
    assert found['registrar_rollbacks_total{cause="person",end="done"}'] == 1


def test_a_monitor_s_rollback_is_automatic_and_its_checks_are_counted_with_their_delay(page: Bench) -> None:
    page.watch.poll()
    for version in (2, 4):
        page.clock.advance(hours=30)
        page.approved(f"promote churn {version} production")
        page.moves.execute_due("churn")
    page.clock.advance(minutes=10)
    add_monitor(page)
    check_values(page, 0.7, 0.7)
    found = read(page.metrics)
    assert found['registrar_rollbacks_total{cause="automatic",end="done"}'] == 1
    assert found['registrar_checks_total{outcome="failed"}'] == 2
    assert found["registrar_check_delay_seconds_count"] == 2
    assert found["registrar_check_delay_seconds_sum"] == pytest.approx(12 + 2, abs=3)


def test_a_due_check_is_overdue(page: Bench) -> None:
    add_monitor(page)
    page.clock.advance(seconds=40)
    found = read(page.metrics)
    assert (found["registrar_checks_overdue"], found["registrar_check_overdue_seconds"]) == (1, 40)


def test_messages_to_slack_and_endpoints_are_counted_separately(page: Bench) -> None:
    page.clock.time = datetime.now(UTC)
    page.open()
    page.clock.advance(seconds=90)
    found = read(page.metrics)
    assert found['registrar_outbox{to="slack"}'] >= 1
    assert 0 < found['registrar_outbox_oldest_seconds{to="slack"}'] <= 90
    assert found['registrar_outbox{to="endpoints"}'] == 0


def test_audit_events_for_the_stream_are_counted_separately(page: Bench) -> None:
    page.clock.time = datetime.now(UTC)
    page.ask()
    page.context.active_policy.replace(validate_policy(POLICY | {"audit": {"stream": "SIEM_URL"}}), "")
    AuditStream(page.context).enqueue_next()
    page.clock.advance(seconds=90)
    found = read(page.metrics)
    assert found['registrar_outbox{to="audit"}'] == 1
    assert 0 < found['registrar_outbox_oldest_seconds{to="audit"}'] <= 90
    assert found['registrar_outbox{to="slack"}'] == 0


def test_other_metrics_are_reported_while_the_ledger_is_down(page: Bench) -> None:
    page.approve(page.open())
    page.ledger.close()
    metrics = PrometheusMetrics()
    metrics.add_ledger_metrics(_Away(), page.clock)
    metrics.check_finished(CheckOutcome.OK, None)
    found = read(metrics)
    assert found["registrar_ledger_up"] == 0
    assert found['registrar_checks_total{outcome="ok"}'] == 1
    assert [name for name in found if name.startswith("registrar_outbox")] == []


class _Away(SqlLedger):
    """A ledger that isn't responding."""

    def __init__(self) -> None:
        super().__init__("sqlite:////nowhere/ledger.db")

    def read(self):  # type: ignore[no-untyped-def]  # it only raises
        raise LedgerUnavailable("away")


def test_no_label_has_a_made_up_value() -> None:
    metrics = PrometheusMetrics()
    for at in range(500):
        metrics.slack_call_failed(f"made_up_{at}")
        metrics.slack_call_failed("plum in a sentence")
        metrics.registry_called(f"operation_{at}", 0.1, f"Error{at}")
        metrics.events_committed([refusal(at)])
    series = [name for name in read(metrics) if name.startswith("registrar_")]
    assert len(series) < 1200
    assert [name for name in series if "plum" in name] == []


def refusal(at: int) -> Event:
    """Return a refusal with a made-up class."""
    return Event(
        at=ManualClock().now(),
        actor=Automation("clock"),
        tag=EventTag.REQUEST_COMMAND_REFUSED,
        subject="r1",
        model=f"plum{at}",
        evidence={"error": f"plum{at}"},
    )


def test_promtool_accepts_the_page(page: Bench) -> None:
    page.approve(page.open())
    checked = promtool("check", "metrics", given=page.metrics.exposition()[0].decode())
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_every_metric_has_its_description(page: Bench) -> None:
    text = page.metrics.exposition()[0].decode()
    missing = [shape.name for shape in METRIC_DEFINITIONS if f"# HELP {shape.name} {shape.description}" not in text]
    assert missing == []
