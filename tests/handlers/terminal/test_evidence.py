"""`registrar audit evidence` on only the ledger, and the script that checks a report without Registrar."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bot.domain.audit.events import EventTag
from bot.domain.evidence.population import CHANGE_KEYS
from bot.domain.evidence.report import REPORT_KEYS
from bot.ledger import SqlLedger
from bot.ledger.tables import audit_events
from scripts.evidence_tampering import open_for_tampering
from tests.support.ledger.evidence import one_violation, written_year
from tests.support.ledger.tampering import VOTE, keep
from tests.support.paths import ROOT
from tests.support.terminal.cli_runner import CliRunner, command

REPORT = ("audit", "evidence", "--control", "soc2:CC8.1", "--from", "2026-01-01")
SCRIPT = ROOT / "examples" / "check_evidence.py"


@pytest.fixture
def year(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URL of a ledger with a short year in which someone approved their own request."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REGISTRAR_DATABASE_URL", sqlite_url)
    written_year(sqlite_url, one_violation("self_approval"), 3, tmp_path / "anchors.jsonl")
    return sqlite_url


@pytest.fixture
def registrar(year: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CliRunner:
    """Return the terminal's command on that ledger."""
    return command(monkeypatch, capsys)


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_text_counts_changes_and_exceptions(registrar: CliRunner) -> None:
    said = registrar(*REPORT)
    assert (said.code, said.err) == (0, "")
    assert re.search(r"self_approval +1 ", said.out)
    assert "2026-01-01 00:00:00 UTC to 2026-" in said.out
    assert "isn't legal advice" in said.out


def test_the_json_has_the_documented_keys(registrar: CliRunner) -> None:
    document = registrar(*REPORT, "--format", "json").document
    assert list(document) == list(REPORT_KEYS)
    assert all(list(change) == list(CHANGE_KEYS) for change in document["population"])


@pytest.mark.parametrize("column", ["actor", "kind"])
def test_a_value_that_makes_no_sense_is_refused_with_a_sentence(year: str, registrar: CliRunner, column: str) -> None:
    with open_for_tampering(year) as connection:
        connection.execute(sa.update(sa.table("moves", sa.column(column))).values({column: "junk"}))
    said = registrar(*REPORT)
    assert (said.code, said.out) == (2, "")
    assert "Someone may have altered it." in said.err


@pytest.mark.parametrize("control", ["soc2:CC8.1", "eu-ai-act:12", "eu-ai-act:14"])
def test_the_page_has_no_script_and_loads_nothing(registrar: CliRunner, control: str) -> None:
    page = registrar("audit", "evidence", "--control", control, "--from", "2026-01-01", "--format", "html").out
    assert page.index('id="self_approval"') < page.index("<h2>Sample</h2>")
    assert not re.search(r"<script|\b(src|href)=\"(?!#)|url\(|@import", page)


def test_the_page_escapes_what_people_wrote(registrar: CliRunner, year: str) -> None:
    evidence = {"stage": "Production"}
    moved = replace(VOTE, tag=EventTag.TRANSITION_OBSERVED, after="v9", why="<b>bold</b>", evidence=evidence)
    with closing(SqlLedger(year)) as ledger:
        keep(ledger, moved)
    page = registrar(*REPORT, "--model", "churn", "--format", "html").out
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "<b>bold" not in page


@pytest.mark.parametrize("word", ["30d", "yesterday"])
def test_a_period_that_depends_on_today_is_refused(registrar: CliRunner, word: str) -> None:
    said = registrar("audit", "evidence", "--control", "soc2:CC8.1", "--from", word)
    assert said.code == 2
    assert "depends on today" in said.err


def test_a_day_ends_with_its_last_moment(registrar: CliRunner) -> None:
    document = registrar(*REPORT, "--to", "2026-01-10", "--format", "json").document
    assert document["period"]["to"] == "2026-01-10T23:59:59.999999+00:00"


def test_the_policy_s_anchor_file_is_compared_by_default(registrar: CliRunner, year: str, tmp_path: Path) -> None:
    text = f"models: {{}}\nanchor: {{file: {tmp_path / 'anchors.jsonl'}}}\n"
    with closing(SqlLedger(year)) as ledger:
        keep(ledger, replace(VOTE, tag=EventTag.POLICY_LOADED, model=None, after="r", evidence={"text": text}))
    assert registrar(*REPORT, "--format", "json").document["completeness"]["anchors_compared"] > 0


JUNK: list[Any] = [None, 5, [], {}, "x", True, {"by": 7}]
TOLD_APART = ("opened", "voted", "moved", "taken", "reviewed", "rolled_back", "confirmed", "acknowledged")


def _alter_events(year: str, seed: int) -> int:
    """Replace a value in many events, or the whole text; return how many events were altered."""
    chance = random.Random(seed)  # noqa: S311 - nothing here is a secret
    with open_for_tampering(year) as connection:
        rows = [*connection.execute(sa.select(audit_events.c.number, audit_events.c.body, audit_events.c.tag))]
        chosen = chance.sample([row for row in rows if row.tag.endswith(TOLD_APART)], 40)
        for row in chosen:
            event = json.loads(row.body)
            place = event["evidence"] if event["evidence"] and chance.random() < 0.5 else event
            place[chance.choice(sorted(place))] = chance.choice(JUNK)
            body = chance.choice([json.dumps(event), json.dumps(event), "[]", "nope"])
            connection.execute(sa.update(audit_events).where(audit_events.c.number == row.number).values(body=body))
    return len(chosen)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("control", ["soc2:CC8.1", "eu-ai-act:12", "eu-ai-act:14"])
def test_altered_events_are_reported_whatever_they_contain(
    registrar: CliRunner, year: str, control: str, seed: int
) -> None:
    altered = _alter_events(year, seed)
    arguments = ("audit", "evidence", "--control", control, "--from", "2026-01-01", "--format")
    assert registrar(*arguments, "json").document["summary"]["exceptions"]["chain_fault"] == altered
    assert registrar(*arguments, "html").code == 0


# -- the script --------------------------------------------------------------------------------------------------------


@pytest.fixture
def check(registrar: CliRunner, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return the script, run on a report and an export, each changed by a function."""
    report = registrar(*REPORT, "--format", "json").document
    lines = registrar("audit", "export").out.splitlines()

    def run(
        doctor: Callable[[dict[str, Any]], object] = lambda _: None,
        edit: Callable[[list[str]], object] = lambda _: None,
    ) -> subprocess.CompletedProcess[str]:
        doctor(report)
        edit(lines)
        files = tmp_path / "report.json", tmp_path / "audit.jsonl"
        files[0].write_text(json.dumps(report), encoding="utf-8")
        files[1].write_text("\n".join(lines), encoding="utf-8")
        return subprocess.run([sys.executable, "-I", SCRIPT, *files], capture_output=True, text=True, check=False)

    return run


Check = Callable[..., subprocess.CompletedProcess[str]]


def test_the_script_accepts_the_report(check: Check) -> None:
    result = check()
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("The report matches the log: ")


def _forget_a_change(report: dict[str, Any]) -> None:
    report["population"].pop()


def _invent_a_change(report: dict[str, Any]) -> None:
    report["population"].append(report["population"][0] | {"id": "promotion:r0"})


def _swap_the_sample(report: dict[str, Any]) -> None:
    report["sample"]["changes"].reverse()


def _name_another_approver(report: dict[str, Any]) -> None:
    report["sample"]["changes"][0]["approved_by"] = ["slack:T1/U0"]


def _name_another_person(report: dict[str, Any]) -> None:
    for change in (report["population"][-1], *report["sample"]["changes"]):
        if change["id"] == report["population"][-1]["id"]:
            change["executed_by"] = "slack:T1/U0"


def _change_the_seed(report: dict[str, Any]) -> None:
    report["sample"]["seed"] += 1


def _change_the_head(report: dict[str, Any]) -> None:
    report["head"]["hash"] = "0" * 64


@pytest.mark.parametrize(
    ("doctor", "why"),
    [
        (_forget_a_change, "the report lacks changes"),
        (_invent_a_change, "the log lacks changes"),
        (_swap_the_sample, "the seed gives another sample"),
        (_name_another_approver, "differs between sample and population"),
        (_name_another_person, "differs from its audit event"),
        (_change_the_seed, "the seed gives another sample"),
        (_change_the_head, "the head's hash differs"),
    ],
)
def test_the_script_refuses_a_doctored_report(check: Check, doctor: Callable[[dict[str, Any]], None], why: str) -> None:
    result = check(doctor)
    assert result.returncode == 1
    assert why in result.stderr


def _delete_an_event(lines: list[str]) -> None:
    del lines[5]


def _edit_an_event(lines: list[str]) -> None:
    row = json.loads(lines[5])
    lines[5] = json.dumps(row | {"body": row["body"].replace("2026", "2025", 1)})


@pytest.mark.parametrize(
    ("edit", "why"), [(_delete_an_event, "event 6 is missing"), (_edit_an_event, "event 6 was edited")]
)
def test_the_script_refuses_an_altered_export(check: Check, edit: Callable[[list[str]], None], why: str) -> None:
    result = check(edit=edit)
    assert result.returncode == 1
    assert why in result.stderr
