"""How an incident ends: restored once the endpoint confirms it, or else failed with the next step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.errors import RegistryRefused
from bot.domain.core.sentence import say
from bot.domain.monitoring.incident import REMINDER_INTERVAL, Incident, IncidentEnding, IncidentStatus
from bot.domain.monitoring.readings import Answer
from bot.domain.policy.parser import validate_policy
from bot.domain.policy.policy import ServingProbe
from bot.domain.registry.model import Stage
from bot.domain.transitions.serving_check import ServingCheckState
from bot.ledger import SqlLedger
from bot.ports import MessageKind
from bot.services.transitions.serving_checks import ServingChecks
from bot.slack.monitoring.incident_card import title
from tests.support.monitoring.monitoring import (
    QUICK,
    add_monitor,
    channel_texts,
    check_values,
    incidents,
    policy_with,
    rollbacks,
)
from tests.support.services.bench import BOB, POLICY, Bench
from tests.support.services.fakes import FaultyRegistry, ManualClock

SERVING = {"churn*": {"url": "http://127.0.0.1:1/v", "json": "version", "timeout": "10m"}}


class Probe:
    """An endpoint that reports what a test sets."""

    reports = "4"

    def serving_version(self, probe: ServingProbe, model: str) -> str:
        """Return the reported version."""
        return self.reports


@pytest.fixture
def probed(sqlite_url: str) -> Iterator[Bench]:
    """Return a bench with a serving endpoint in its policy; `churn` had v3 and v2, and now has v4, in Production."""
    registry = FaultyRegistry()
    registry.add_model("churn", versions=[Stage.ARCHIVED, Stage.STAGING, Stage.PRODUCTION, Stage.NONE])
    registry.set_alias("churn", "champion", 3)
    ledger = SqlLedger(sqlite_url)
    bench = Bench(
        ledger=ledger, registry=registry, clock=ManualClock(), policy=validate_policy(POLICY | {"serving": SERVING})
    )
    bench.watch.poll()
    for version in (2, 4):
        bench.clock.advance(hours=30)
        bench.approved(f"promote churn {version} production")
        bench.moves.execute_due("churn")
    bench.clock.advance(minutes=10)
    yield bench
    ledger.close()


def asks(bench: Bench, probe: Probe, **later: float) -> None:
    """Advance the time, poll the endpoint, and resolve finished incidents."""
    bench.clock.advance(**later)
    ServingChecks(bench.context, probe).run_due()
    bench.incidents.end_and_remind()


def the_incident(bench: Bench) -> Incident:
    [incident] = incidents(bench)
    return incident


def test_the_incident_is_restored_only_after_the_endpoint_confirms_it(probed: Bench) -> None:
    add_monitor(probed)
    check_values(probed, 0.5, 0.5)
    probed.incidents.end_and_remind()
    assert the_incident(probed).is_open
    probe = Probe()
    probe.reports = "2"
    asks(probed, probe, seconds=2)
    ended = the_incident(probed)
    assert (ended.is_open, title(ended)) == (False, "↩️ churn: restored to v2")
    assert str(ended.resolution).startswith("Restored: v2 has been in Production since")


def test_a_restored_version_that_passes_its_checks_is_a_recovery(probed: Bench) -> None:
    add_monitor(probed)
    check_values(probed, 0.5, 0.5)
    probe = Probe()
    probe.reports = "2"
    asks(probed, probe, seconds=2)
    probed.clock.advance(hours=1)
    check_values(probed, 0.9)
    ended = the_incident(probed)
    assert (ended.ending, title(ended)) == (IncidentEnding.RECOVERED, "✅ churn: restored to v2")
    assert "Restored and recovered: v2 is healthy" in str(ended.resolution)
    check_values(probed, 0.9, 0.9)
    assert the_incident(probed) == ended


def test_a_restored_version_that_also_fails_is_not_a_recovery(probed: Bench) -> None:
    add_monitor(probed)
    check_values(probed, 0.5, 0.5)
    probe = Probe()
    probe.reports = "2"
    asks(probed, probe, seconds=2)
    probed.clock.advance(hours=1)
    check_values(probed, 0.5, 0.5)
    [_, first] = incidents(probed)
    assert first.ending is IncidentEnding.RESTORED


def test_a_person_s_rollback_ends_the_incident_with_their_name_and_thread(probed: Bench) -> None:
    add_monitor(probed, action="notify")
    check_values(probed, 0.5, 0.5)
    probed.do("rollback churn 2 --reason 'wrong letters'", BOB)
    probed.incidents.end_and_remind()
    ended = the_incident(probed)
    assert (ended.ending, ended.ended_by, title(ended)) == (
        IncidentEnding.ROLLED_BACK,
        BOB.person,
        "↩️ churn v4: rolled back manually",
    )
    assert str(ended.resolution) == f"@{BOB.person.user} rolled Production back from v4 to v2."
    assert ended.ended_in in {note.lane for note in probed.notes() if note.kind is MessageKind.ROLLBACK}
    assert probed.events()[-1].evidence == {"ending": "rolled back", "ended_by": "slack:T1/UBOB"}


def test_a_promotion_supersedes_the_incident_and_links_its_request(probed: Bench) -> None:
    add_monitor(probed, action="notify")
    check_values(probed, 0.5, 0.5)
    request = probed.approved("promote churn 1 production")
    probed.moves.execute_due("churn")
    probed.incidents.end_and_remind()
    ended = the_incident(probed)
    assert (ended.ending, ended.ended_by, ended.ended_in) == (IncidentEnding.OVERTAKEN, BOB.person, request.id)
    assert f"@{BOB.person.user} gave the last approval." in str(ended.resolution)


def test_an_incident_ends_when_the_policy_file_removes_its_last_monitor(probed: Bench) -> None:
    probed.context.active_policy.replace(policy_with({"name": "accuracy", **QUICK, "action": "notify"}), "with")
    probed.file_monitors.sync()
    check_values(probed, 0.5, 0.5, 0.5)
    assert the_incident(probed).is_open
    probed.context.active_policy.replace(policy_with(), "without")
    probed.file_monitors.sync()
    probed.incidents.end_and_remind()
    ended = the_incident(probed)
    assert (ended.ending, title(ended)) == (IncidentEnding.REMOVED, "⏹️ churn v4: accuracy removed")
    assert str(ended.resolution) == "The policy file removed accuracy, so nothing monitors this now."


def test_an_endpoint_that_does_not_follow_is_not_a_restored_incident(probed: Bench) -> None:
    add_monitor(probed)
    check_values(probed, 0.5, 0.5)
    asks(probed, Probe(), seconds=2)
    assert the_incident(probed).is_open
    asks(probed, Probe(), minutes=11)
    ended = the_incident(probed)
    with probed.ledger.read() as reading:
        serving = reading.serving_check(str(ended.rollback))
    assert serving is not None
    assert serving.state is ServingCheckState.TIMED_OUT
    assert (ended.is_open, ended.doing) == (False, IncidentStatus.NOT_FOLLOWED)
    assert title(ended) == "🆘 churn: v2 is in Production, not confirmed by the endpoint"
    assert "Failed: v2 is in Production" in str(ended.resolution)
    assert "Check the endpoint and reload v2 there" in str(ended.resolution)


def test_a_rollback_that_mlflow_refuses_suggests_a_command(probed: Bench) -> None:
    def refuse(*args: object, **more: object) -> None:
        raise RegistryRefused(say("The registry says no."))

    add_monitor(probed)
    check_values(probed, 0.5)
    probed.registry.transition_stage = refuse  # type: ignore[method-assign]
    check_values(probed, 0.5)
    failed = the_incident(probed)
    assert (failed.doing, probed.registry.holders()) == (IncidentStatus.FAILED, [4])
    assert title(failed) == "🆘 churn v4: rollback to v2 failed"
    assert any(
        "MLflow rejected this. The registry says no." in line and "/model rollback churn 2" in line
        for line in channel_texts(probed)
    )


# -- while it lasts ----------------------------------------------------------------------------------------------------


def repeated(bench: Bench) -> int:
    """Return the number of reminders in the thread."""
    return sum("unacknowledged" in line for line in channel_texts(bench))


def acknowledged(bench: Bench) -> None:
    with bench.ledger.write() as tx:
        incident = the_incident(bench)
        tx.save_incident(replace(incident, acknowledged_by=BOB.person, acknowledged_at=bench.clock.now()))


@pytest.mark.parametrize(("before", "times"), [(lambda bench: None, 1), (acknowledged, 0)], ids=["nobody", "somebody"])
def test_an_acknowledgment_stops_the_reminders(probed: Bench, before: Callable[[Bench], None], times: int) -> None:
    add_monitor(probed, action="notify")
    check_values(probed, 0.5, 0.5)
    before(probed)
    probed.clock.advance(seconds=REMINDER_INTERVAL.total_seconds() + 1)
    probed.incidents.end_and_remind()
    assert repeated(probed) == times


def test_there_is_one_reminder_per_interval(probed: Bench) -> None:
    add_monitor(probed, action="notify")
    check_values(probed, 0.5, 0.5)
    counts = []
    for _ in range(2):
        probed.clock.advance(seconds=REMINDER_INTERVAL.total_seconds())
        for _ in range(2):
            probed.clock.advance(seconds=1)
            probed.incidents.end_and_remind()
            counts.append(repeated(probed))
    assert counts == [1, 1, 2, 2]


def test_the_message_has_the_latest_values_every_five_minutes(probed: Bench) -> None:
    add_monitor(probed, action="notify")
    check_values(probed, 0.5, 0.5)
    check_values(probed, 0.4)
    assert "0.5 isn't greater" in str(the_incident(probed).lines[0])
    probed.clock.advance(minutes=5)
    check_values(probed, 0.3)
    assert "0.3 isn't greater" in str(the_incident(probed).lines[0])


# -- limits ------------------------------------------------------------------------------------------------------------


def fails_and_comes_back(bench: Bench, model: str) -> None:
    """Let a new model with an earlier Production version fail."""
    bench.registry.add_model(model, versions=[Stage.PRODUCTION, Stage.NONE])
    bench.registry.set_alias(model, "champion", 1)
    bench.watch.poll()
    bench.clock.advance(hours=1)
    bench.approved(f"promote {model} 2 production")
    bench.moves.execute_due(model)
    bench.clock.advance(minutes=10)
    add_monitor(bench, model=model, query=model, fail_after=1, source=f"of-{model}", min_served="0s")
    check_values(bench, 0.5, query=model)


def test_after_three_automatic_rollbacks_in_a_day_no_model_has_another(probed: Bench) -> None:
    models = [f"churn-{number}" for number in range(4)]
    for model in models:
        fails_and_comes_back(probed, model)
    assert [probed.registry.holders(model) for model in models] == [[1], [1], [1], [2]]
    assert probed.tags().count(EventTag.BREAKER_TRIPPED.value) == 1


def test_a_day_later_automatic_rollbacks_continue(probed: Bench) -> None:
    add_monitor(probed, fail_after=1, cooldown="0s")
    check_values(probed, 0.5)
    assert len(rollbacks(probed)) == 1
    probed.clock.advance(hours=25)
    probed.sources.answers["accuracy"] = Answer(points=[(probed.clock.now(), 0.9)])
    check_values(probed, 0.9, 0.5)
    assert (len(rollbacks(probed)), probed.registry.holders()) == (2, [3])


def test_within_the_day_there_is_no_automatic_rollback(probed: Bench) -> None:
    add_monitor(probed, fail_after=1, cooldown="0s")
    check_values(probed, 0.5)
    probed.clock.advance(hours=20)
    check_values(probed, 0.9, 0.5)
    assert (len(rollbacks(probed)), probed.registry.holders()) == (1, [2])


def test_old_rows_are_purged(probed: Bench) -> None:
    monitor = add_monitor(probed)
    check_values(probed, 0.9)
    probed.clock.advance(days=36)
    check_values(probed, 0.9)
    assert probed.monitoring.purge(timedelta(days=7)) == 1
    with probed.ledger.read() as reading:
        assert len(reading.measurements(monitor.id)) == 1
