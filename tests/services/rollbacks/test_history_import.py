"""Importing earlier Production history from a file: by an admin, ahead of the ledger's history."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.errors import BadInput, Refused
from bot.domain.registry.model import Stage
from bot.domain.rollbacks.rollback_targets import serving_periods
from bot.domain.transitions.transition import TransitionKind
from bot.services.rollbacks.history_import import HistoryImporter, ImportResult
from tests.support.services.bench import ALICE, BOB, DAVE, Bench

HEAD = "model,version,since,until,by,why\n"
ROWS = HEAD + "churn,1,2026-01-10,2026-02-01,ann,first try\nchurn,2,2026-02-01T00:00:00Z,,,\n"


def take(bench: Bench, text: str, who: Any = DAVE, reason: str = "from the old registry") -> ImportResult:
    importing = HistoryImporter(bench.context, bench.lookups, bench.gatekeeper)
    return importing.import_rows(who, text, digest="d1", reason=reason, origin="terminal")


def terms(bench: Bench) -> list[tuple[int, str]]:
    """Return which version served since which day, newest first."""
    with bench.ledger.read() as reading:
        return [
            (one.version, f"{one.since:%m-%d}")
            for one in serving_periods(reading.transitions("churn", stage=Stage.PRODUCTION))
        ]


@pytest.fixture
def polled(bench: Bench) -> Bench:
    """Return a bench that found v3 in Production on May 4."""
    bench.watch.poll()
    return bench


def test_imported_periods_come_before_the_existing_history(polled: Bench) -> None:
    assert take(polled, ROWS) == ImportResult(2, 2)
    assert terms(polled) == [(3, "05-04"), (2, "02-01"), (1, "01-10")]


def test_importing_the_same_rows_again_adds_nothing(polled: Bench) -> None:
    take(polled, ROWS)
    before = polled.events()
    assert take(polled, ROWS) == ImportResult(2, 0)
    assert (len(terms(polled)), polled.events()) == (3, before)


def test_another_file_can_add_even_earlier_periods(polled: Bench) -> None:
    take(polled, HEAD + "churn,2,2026-02-01,,,\n")
    assert take(polled, ROWS) == ImportResult(2, 1)
    assert terms(polled) == [(3, "05-04"), (2, "02-01"), (1, "01-10")]


def test_an_imported_version_can_be_rolled_back_to(polled: Bench) -> None:
    with pytest.raises(Refused, match="has never been in Production"):
        polled.do('rollback churn 1 --reason "it fell"', BOB)
    take(polled, ROWS)
    polled.do('rollback churn 1 --reason "it fell"', BOB)
    assert polled.registry.holders() == [1]


def test_an_imported_period_keeps_the_person_reason_and_identity(polled: Bench) -> None:
    take(polled, ROWS)
    with polled.ledger.read() as reading:
        [first] = reading.production_entries("churn", 1)
    assert (first.kind, first.actor, first.why) == (TransitionKind.IMPORTED, DAVE.person, "from the old registry")
    assert (first.reason, first.trusted_at) == ("ann: first try", polled.clock.now())
    model = polled.registry.model("churn")
    assert first.identity == polled.registry.version("churn", 1).identity(model.created_at)


def test_a_gap_between_periods_stays_a_gap(polled: Bench) -> None:
    take(polled, HEAD + "churn,1,2026-01-10,2026-02-01,,\n")
    with polled.ledger.read() as reading:
        [_, first] = serving_periods(reading.transitions("churn", stage=Stage.PRODUCTION))
    assert f"{first.until:%m-%d}" == "02-01"


def test_an_import_is_audited_with_its_file(polled: Bench) -> None:
    take(polled, ROWS)
    event = polled.events()[-1]
    assert (event.tag, event.model, event.why) == (EventTag.HISTORY_IMPORTED, "churn", "from the old registry")
    assert (event.evidence["rows"], event.evidence["sha256"]) == (2, "d1")


@pytest.mark.parametrize("who", [ALICE, BOB], ids=["anyone", "an approver"])
def test_only_admins_can_import(polled: Bench, who: Any) -> None:
    with pytest.raises(Refused, match="Only admins can"):
        take(polled, ROWS, who)
    assert (polled.tags()[-1], len(terms(polled))) == (EventTag.PERMISSION_REFUSED.value, 1)


def test_without_a_reason_nothing_is_imported(polled: Bench) -> None:
    with pytest.raises(BadInput, match="reason"):
        take(polled, ROWS, reason="")


def test_json_and_json_lines_are_accepted(polled: Bench) -> None:
    rows = [
        {"model": "churn", "version": 1, "since": "2026-01-10"},
        {"model": "churn", "version": "v2", "since": "2026-02-01T01:00:00+01:00"},
    ]
    assert take(polled, json.dumps(rows)) == ImportResult(2, 2)
    assert take(polled, "\n".join(map(json.dumps, rows))) == ImportResult(2, 0)


def test_the_poll_does_not_report_imported_periods(bench: Bench) -> None:
    bench.registry.add_model("spare", versions=2)
    bench.watch.poll()
    take(bench, HEAD + "spare,1,2026-01-10,2026-02-01,,\n")
    bench.registry.by_hand("spare", 2, Stage.STAGING)
    bench.watch.poll()
    [finding] = [one for one in bench.findings() if one.model == "spare"]
    assert [str(line) for line in finding.lines if "v1" in str(line)] == []


WRONG = {
    "in the future": ("churn,1,2026-01-10,2027-01-01,,", "Line 2: The period is in the future"),
    "over what the history has": ("churn,1,2026-05-04T13:00:00Z,,,", "Line 2: The period is in the future"),
    "over the present term": ("churn,1,2026-01-10,2026-05-04T12:00:00.5Z,,", "Line 2: The period"),
    "over another row": (
        "churn,1,2026-01-10,2026-03-01,,\nchurn,2,2026-02-01,,,",
        "Line 2: The period overlaps Line 3",
    ),
    "twice at once": ("churn,1,2026-01-10,,,\nchurn,2,2026-01-10,,,", "Line 2: The period overlaps Line 3"),
    "over before it begins": ("churn,1,2026-01-10,2026-01-09,,", "Line 2: .*until.* must be after"),
    "of an unknown model": ("chrun,1,2026-01-10,2026-02-01,,", "Line 2: MLflow has no model “chrun”. Did you mean"),
    "in another letter case": ("Churn,1,2026-01-10,2026-02-01,,", "Did you mean “churn”"),
    "without an end": ("spare,1,2026-01-10,,,", "Line 2: Missing until"),
    "without a zone": ("churn,1,2026-01-10T12:00,,,", "Line 2: .*has no time zone"),
    "without a time": ("churn,1,,,,", "Line 2: Missing: since"),
    "of no version": ("churn,best,2026-01-10,,,", "Line 2: "),
}


@pytest.mark.parametrize("rows", WRONG.values(), ids=WRONG)
def test_an_invalid_row_is_named_and_nothing_is_imported(polled: Bench, rows: tuple[str, str]) -> None:
    polled.registry.add_model("spare", versions=1)
    text, why = rows
    with pytest.raises(BadInput, match=why):
        take(polled, f"{HEAD}{text}\n")
    assert terms(polled) == [(3, "05-04")]


def test_a_deleted_version_is_imported_but_not_a_target(polled: Bench) -> None:
    take(polled, HEAD + "churn,9,2026-01-10,,,\n")
    assert terms(polled) == [(3, "05-04"), (9, "01-10")]
    with pytest.raises(BadInput, match="no version v9"):
        polled.do('rollback churn 9 --reason "it fell"', BOB)
    assert polled.registry.holders() == [3]
