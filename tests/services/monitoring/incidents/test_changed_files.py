"""The incident about a version in Production whose files aren't the recorded ones."""

from __future__ import annotations

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.commands.monitoring import MonitorReview
from bot.domain.commands.registry import ShowStatus
from bot.domain.monitoring.incident import Incident, IncidentEnding, IncidentKind, IncidentStatus
from bot.domain.monitoring.incident_review_markdown import to_markdown
from bot.domain.monitoring.model_status import status_lines
from bot.ports import MessageKind
from bot.services.home.statuses import ModelStatuses
from bot.services.monitoring.backtests import Backtester
from bot.services.monitoring.monitors import Monitors
from tests.support.registry.files import hash_files, require_files, write_file
from tests.support.services.bench import BOB, DAVE, Bench


def incidents(bench: Bench) -> list[Incident]:
    with bench.ledger.read() as reading:
        return reading.incidents(model="churn")


def incident(bench: Bench) -> Incident:
    [found] = incidents(bench)
    return found


def compare(bench: Bench) -> None:
    """Compare the files of what's in Production a day later."""
    bench.watch.poll()
    bench.clock.advance(days=2)
    bench.digests.schedule()
    hash_files(bench)


@pytest.fixture
def promoted(bench: Bench) -> Bench:
    """Return the bench with churn v4 in Production, approved by Bob. Its file is recorded and matches."""
    bench.watch.poll()  # v3 was in Production before
    write_file(bench)
    request = bench.open()
    hash_files(bench)
    bench.approve(request)
    bench.moves.execute_due("churn")
    hash_files(bench)
    return bench


@pytest.fixture
def changed(promoted: Bench) -> Bench:
    """Return the bench after the file in Production was changed, and that was noticed."""
    write_file(promoted, contents=b"evil")
    compare(promoted)
    return promoted


def test_matching_files_are_no_incident(promoted: Bench) -> None:
    compare(promoted)
    assert incidents(promoted) == []


def test_a_changed_file_in_production_is_an_incident(changed: Bench) -> None:
    found = incident(changed)
    assert (found.kind, found.doing, found.version) == (IncidentKind.FILES, IncidentStatus.NOTIFIED, 4)
    assert [str(line) for line in found.lines] == ["Changed, removed, or added: model.pkl"]


def test_the_incident_says_who_approved_which_files(changed: Bench) -> None:
    with changed.ledger.read() as reading:
        [digest] = reading.digests_of("churn", 4)
    assert str(incident(changed).why) == f"@UBOB approved the files with digest {digest.manifest.digest[:12]}."


def test_the_incident_is_posted(changed: Bench) -> None:
    assert [note.kind for note in changed.notes() if note.lane == incident(changed).id] == [MessageKind.INCIDENT]


def test_changed_files_never_roll_back(changed: Bench) -> None:
    changed.moves.execute_due("churn")
    assert changed.registry.holders() == [4]


def test_a_file_that_changes_between_approval_and_move_is_an_incident_if_files_are_only_recorded(bench: Bench) -> None:
    write_file(bench)
    request = bench.open()
    hash_files(bench)
    bench.clock.advance(seconds=1)
    bench.approve(request)
    write_file(bench, contents=b"evil")
    bench.moves.execute_due("churn")
    hash_files(bench)
    assert incident(bench).kind is IncidentKind.FILES


def test_a_version_that_is_known_to_have_changed_is_an_incident_as_soon_as_it_enters_production(bench: Bench) -> None:
    require_files(bench)
    write_file(bench)
    request = bench.open()
    hash_files(bench)
    bench.clock.advance(seconds=1)
    bench.approve(request)
    write_file(bench, contents=b"evil")
    bench.moves.execute_due("churn")
    hash_files(bench)
    bench.clock.advance(seconds=10)
    bench.moves.execute_due("churn")
    bench.do('promote churn 4 production --break-glass --reason "fraud"', DAVE)
    assert (bench.registry.holders(), incident(bench).kind) == ([4], IncidentKind.FILES)


def test_another_change_updates_the_same_incident(changed: Bench) -> None:
    write_file(changed, "hook.py", b"import os")
    compare(changed)
    assert [str(line) for line in incident(changed).lines] == ["Changed, removed, or added: hook.py, model.pkl"]


def test_the_incident_is_over_once_the_files_match_again(changed: Bench) -> None:
    write_file(changed)
    compare(changed)
    found = incident(changed)
    assert (found.is_open, found.ending) == (False, IncidentEnding.RECOVERED)
    assert EventTag.INCIDENT_RESOLVED in [event.tag for event in changed.events()]


def test_the_incident_is_over_once_another_version_serves(changed: Bench) -> None:
    changed.do('rollback churn --reason "changed files"', BOB)
    changed.incidents.end_and_remind()
    assert incident(changed).ending is IncidentEnding.ROLLED_BACK


def test_the_incident_stays_open_as_long_as_the_files_differ(changed: Bench) -> None:
    changed.incidents.end_and_remind()
    assert incident(changed).is_open


def test_people_are_reminded_of_an_unacknowledged_incident(changed: Bench) -> None:
    changed.clock.advance(hours=5)
    changed.incidents.end_and_remind()
    [said] = [note for note in changed.notes() if "repeated" in note.key and note.kind is MessageKind.THREAD_REPLY]
    assert said.lane == incident(changed).id


def test_the_incident_can_be_acknowledged(changed: Bench) -> None:
    backtest = Backtester(changed.context, changed.sources).backtest
    Monitors(changed.context, changed.gatekeeper, backtest).acknowledge(BOB, incident(changed).id, origin="slack")
    assert incident(changed).acknowledged_by == BOB.person


def test_a_changed_file_of_a_version_that_left_production_is_no_incident(promoted: Bench) -> None:
    promoted.watch.poll()
    promoted.clock.advance(days=2)
    promoted.digests.schedule()
    promoted.do('rollback churn --reason "slow"', BOB)
    write_file(promoted, contents=b"evil")
    hash_files(promoted)
    assert incidents(promoted) == []


def test_the_incident_can_be_reviewed(changed: Bench) -> None:
    review = changed.execute(BOB, MonitorReview(incident=incident(changed).id)).view
    assert "Changed, removed, or added: `model.pkl`" in to_markdown(review)


def test_a_model_s_status_names_the_incident(changed: Bench) -> None:
    changed.watch.poll()
    [status] = ModelStatuses(changed.context).handlers()[ShowStatus](ShowStatus(model="churn"))
    lines = [str(line) for line in status_lines(status)]
    assert any(line.startswith(f"Incident {incident(changed).id}: changed files since") for line in lines)
