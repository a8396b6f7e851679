"""Generated years: a report finds every planted violation, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from bot.domain.evidence.controls import Control, ExceptionKind
from scripts.evidence_year import START
from tests.support.ledger.evidence import (
    DAYS,
    KINDS,
    as_bytes,
    evidence_at,
    exceptions,
    one_violation,
    planned,
    random_plan,
    written_year,
)


@pytest.mark.parametrize("seed", range(4))
def test_a_report_finds_exactly_what_was_planted(sqlite_url: str, tmp_path: Path, seed: int) -> None:
    plan = random_plan(seed)
    anchors = written_year(sqlite_url, plan, seed, tmp_path / "anchors.jsonl")
    assert exceptions(evidence_at(sqlite_url, anchors=anchors)) == planned(plan)


def test_an_ordinary_year_has_no_exceptions(sqlite_url: str, tmp_path: Path) -> None:
    anchors = written_year(sqlite_url, [], 11, tmp_path / "anchors.jsonl")
    report = evidence_at(sqlite_url, anchors=anchors)
    assert report["exceptions"] == []
    assert report["summary"]["changes"] > 20


def test_violations_that_have_to_wait_for_each_other_are_found(sqlite_url: str, tmp_path: Path) -> None:
    kinds = ("not_read_back", "break_glass_late_review", "break_glass_not_reviewed", "registry_differs")
    plan = [violation for kind in kinds for violation in one_violation(kind, START + timedelta(days=DAYS))]
    written_year(sqlite_url, plan, 9, tmp_path / "anchors.jsonl")
    assert exceptions(evidence_at(sqlite_url)) == planned(plan)


@pytest.mark.parametrize("kind", ["outside_registrar", "self_approval"])
def test_a_violation_in_the_first_moment_is_found(sqlite_url: str, tmp_path: Path, kind: str) -> None:
    written_year(sqlite_url, one_violation(kind, START), 10, tmp_path / "anchors.jsonl")
    assert exceptions(evidence_at(sqlite_url)) == {(kind, "churn"): 1}


def test_every_kind_of_exception_can_be_planted() -> None:
    assert {*KINDS, "anchor_mismatch"} == {kind.code for kind in ExceptionKind}


@pytest.mark.parametrize("control", Control)
def test_a_second_report_has_the_same_bytes(sqlite_url: str, tmp_path: Path, control: Control) -> None:
    anchors = written_year(sqlite_url, random_plan(5), 5, tmp_path / "anchors.jsonl")
    first, second = (as_bytes(evidence_at(sqlite_url, control=control, anchors=anchors)) for _ in range(2))
    assert first == second


@pytest.mark.postgres
def test_both_databases_give_the_same_report(sqlite_url: str, postgres_url: str, tmp_path: Path) -> None:
    reports = []
    for name, url in (("a", sqlite_url), ("b", postgres_url)):
        anchors = written_year(url, random_plan(6), 6, tmp_path / name)
        reports.append(as_bytes(evidence_at(url, control=Control.EU_AI_ACT_OVERSIGHT, anchors=anchors)))
    assert reports[0] == reports[1]


def test_a_violation_outside_the_period_is_not_reported(sqlite_url: str, tmp_path: Path) -> None:
    written_year(sqlite_url, one_violation("outside_registrar"), 8, tmp_path / "anchors.jsonl")
    report = evidence_at(sqlite_url, since="2026-01-06T00:00:00.000000+00:00", until="2026-01-09T23:59:59.999999+00:00")
    assert report["exceptions"] == []
    assert report["period"]["to"] == "2026-01-09T23:59:59.999999+00:00"


def test_a_violation_of_another_model_is_not_reported(sqlite_url: str, tmp_path: Path) -> None:
    written_year(sqlite_url, one_violation("outside_registrar"), 8, tmp_path / "anchors.jsonl")
    report = evidence_at(sqlite_url, model="model-00")
    assert report["exceptions"] == []
    assert {change["model"] for change in report["population"]} == {"model-00"}


def test_an_overdue_review_is_reported_only_once_it_is_due(sqlite_url: str, tmp_path: Path) -> None:
    written_year(sqlite_url, one_violation("break_glass_not_reviewed"), 8, tmp_path / "anchors.jsonl")
    early = evidence_at(sqlite_url, until="2026-01-06T00:00:00.000000+00:00", model="churn")
    late = evidence_at(sqlite_url, until="2026-01-08T00:00:00.000000+00:00", model="churn")
    assert (exceptions(early), exceptions(late)) == ({}, {("break_glass_not_reviewed", "churn"): 1})
