"""A report says which passport each change to Production has, and which changes have none."""

from __future__ import annotations

from typing import Any

from bot.domain.evidence.controls import Control
from handlers.terminal.evidence.page import evidence_page
from tests.support.ledger.evidence import evidence
from tests.support.passports.harness import PassportHarness
from tests.support.services.bench import Bench

SINCE = "2020-01-01T00:00:00.000000+00:00"


def report(bench: Bench, **options: Any) -> dict[str, Any]:
    return evidence(bench.ledger, Control.SOC2_CHANGE_MANAGEMENT, since=SINCE, **options)


def passports(report: dict[str, Any]) -> dict[str, str | None]:
    return {change["id"]: change["passport"] for change in report["population"]}


def test_a_sampled_change_shows_its_passport(office: PassportHarness) -> None:
    move = office.promote()
    [passport] = office.issued()
    found = report(office.bench)
    [sampled] = found["sample"]["changes"]
    assert (sampled["id"], sampled["passport"]) == (move, passport.id)
    assert passport.id in evidence_page(found)
    assert found["completeness"]["without_passport"] == []


def test_a_passport_that_is_issued_once_the_files_are_recorded_is_shown(office: PassportHarness) -> None:
    move = office.promote(2)
    office.record(2)
    assert passports(report(office.bench)) == {move: f"{move}:1"}


def test_a_passport_from_after_the_period_is_not_shown(office: PassportHarness) -> None:
    move = office.promote(2)
    until = report(office.bench)["head"]["at"]
    office.bench.clock.advance(days=1)
    office.record(2)
    assert passports(report(office.bench, until=until)) == {move: None}


def test_a_change_without_a_passport_is_named_once_there_are_keys(office: PassportHarness) -> None:
    office.promote()
    move = office.promote(2)
    found = report(office.bench)
    assert passports(found)[move] is None
    assert found["completeness"]["without_passport"] == [move]
    assert f"These changes have no passport: {move}." in evidence_page(found)


def test_changes_from_before_the_first_key_need_no_passport(bench: Bench) -> None:
    request = bench.approved()
    bench.moves.execute_due(request.model)
    assert report(bench)["completeness"]["without_passport"] == []
