"""`registrar audit` on only the ledger, as an auditor uses it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from bot.domain.audit.anchors import serialize_anchor
from bot.domain.audit.events import GENESIS_HASH, EventTag
from bot.domain.commands.help import Help
from bot.domain.core.actors import Person
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.model import Stage
from bot.ledger import SqlLedger
from handlers.terminal import audit
from handlers.terminal.command_line import grammar, index
from handlers.terminal.command_line.json_keys import DOCUMENT_KEYS
from handlers.terminal.command_line.terminal_only_commands import AuditExport, AuditShow, AuditVerify
from handlers.terminal.main import main
from handlers.terminal.output import console
from scripts import audit_page
from tests.support.ledger.previous_release import LEDGER, database
from tests.support.ledger.tampering import NOW, VOTE, keep, tamper
from tests.support.terminal.cli_runner import CliRunner, command


@pytest.fixture
def home(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home folder with an empty ledger."""
    folder = tmp_path / ".registrar"
    folder.mkdir()
    (folder / "ledger.db").write_bytes(sqlite_template.read_bytes())
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def ledger(home: Path) -> Iterator[SqlLedger]:
    """Return the ledger, for writing."""
    with closing(SqlLedger(f"sqlite:///{home / 'ledger.db'}")) as opened:
        yield opened


@pytest.fixture
def registrar(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CliRunner:
    """Return the terminal's command on that ledger; settings are keyword arguments."""
    return command(monkeypatch, capsys)


def anchored(ledger: SqlLedger) -> str:
    """Return an anchor line for the audit log's head."""
    with ledger.read() as reading:
        return serialize_anchor(reading.audit_head(), NOW)


# -- show --------------------------------------------------------------------------------------------------------------


def test_events_are_shown_as_sentences_newest_first(registrar: CliRunner, ledger: SqlLedger) -> None:
    keep(ledger, VOTE, replace(VOTE, tag=EventTag.APPROVED, why=""))
    said = registrar("audit", "show")
    first, second = said.out.splitlines()
    assert (said.code, said.err) == (0, "")
    assert first == f"2  {NOW:%Y-%m-%d %H:%M}  @U1BOB completed the approval of r4k7q: “churn” v4 to Production"
    assert second.endswith("@U1BOB voted approve on r4k7q: “churn” v4 to Production: better f1")


@pytest.mark.parametrize(
    "words", ["audit churn", "audit show churn", "audit show --model churn", "audit --model churn"]
)
def test_a_model_is_selected_as_in_slack(registrar: CliRunner, ledger: SqlLedger, words: str) -> None:
    keep(ledger, VOTE, replace(VOTE, model="fraud"))
    events = registrar(*words.split(), "--json").document["events"]
    assert [event["model"] for event in events] == ["churn"]


def test_since_and_last_limit_the_events(registrar: CliRunner, ledger: SqlLedger) -> None:
    keep(ledger, replace(VOTE, at=NOW - timedelta(days=40)), VOTE, VOTE)
    month = registrar("audit", "show", "--since", "30d", "--json").document
    assert ([event["number"] for event in month["events"]], month["more"]) == ([3, 2], False)
    last = registrar("audit", "show", "--last", "1", "--json").document
    assert ([event["number"] for event in last["events"]], last["more"]) == ([3], True)
    assert "For older events" in registrar("audit", "show", "--last", "1").out
    assert len(registrar("audit", "show", "--since", "9999999d", "--json").document["events"]) == 3


def test_before_shows_the_next_page(registrar: CliRunner, ledger: SqlLedger) -> None:
    keep(ledger, VOTE, VOTE, VOTE)
    assert "For older events, add --before 2." in registrar("audit", "show", "--last", "2").out
    page = registrar("audit", "show", "--before", "2", "--json").document
    assert ([one["number"] for one in page["events"]], page["more"]) == ([1], False)


def test_events_can_be_filtered_by_actor_or_tag(registrar: CliRunner, ledger: SqlLedger) -> None:
    keep(ledger, VOTE, replace(VOTE, actor=Person("T1", "UEVE")), replace(VOTE, tag=EventTag.VOTE_WITHDRAWN))
    by_eve = registrar("audit", "show", "--by", "slack:T1/UEVE", "--json").document
    assert [one["number"] for one in by_eve["events"]] == [2]
    tagged = registrar("audit", "show", "--tag", EventTag.VOTE_WITHDRAWN.value, "--json").document
    assert [one["number"] for one in tagged["events"]] == [3]
    assert "no matching events" in registrar("audit", "show", "--by", "slack:T1/UNOBODY").out


def test_combined_filters_are_refused(registrar: CliRunner, ledger: SqlLedger) -> None:
    said = registrar("audit", "show", "churn", "--by", "slack:T1/UEVE")
    assert (said.code, "Use only one of MODEL, --by, and --tag" in said.err) == (2, True)


def test_show_json_has_the_documented_keys(registrar: CliRunner, ledger: SqlLedger) -> None:
    keep(ledger, VOTE)
    document = registrar("audit", "show", "--json").document
    assert list(document) == list(DOCUMENT_KEYS[AuditShow])
    [event] = document["events"]
    assert list(event) == [key for key in DOCUMENT_KEYS[AuditExport] if key != "body"] + ["sentence"]
    assert (event["actor"], event["evidence"]) == ("slack:T1/U1BOB", VOTE.evidence)


def test_an_empty_audit_log_is_reported(registrar: CliRunner) -> None:
    assert registrar("audit", "show").out == "The audit log has no events.\n"
    assert (
        registrar("audit", "churn", "--since", "1d").out == "The audit log has no events for “churn” in that period.\n"
    )


def test_a_terminal_gets_a_table(registrar: CliRunner, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(ledger, VOTE)
    monkeypatch.setattr(console, "stdout_console", lambda: Console(force_terminal=True, width=60, color_system=None))
    lines = registrar("audit", "show").out.splitlines()
    assert lines[0].split() == ["Number", "When", "(UTC)", "What"]
    assert max(map(len, lines)) <= 60


def test_an_event_from_a_newer_registrar_is_shown_by_its_tag(
    registrar: CliRunner, ledger: SqlLedger, home: Path
) -> None:
    keep(ledger, VOTE)
    tamper(home, "UPDATE audit_events SET tag = 'person:moon:visited', body = replace(body, 'request:voted', 'moon')")
    assert "“slack:T1/U1BOB”: person:moon:visited" in registrar("audit", "show").out


def test_escape_sequences_in_text_are_removed(registrar: CliRunner, ledger: SqlLedger) -> None:
    keep(ledger, replace(VOTE, why="red \x1b[31m and [bold]more[/bold]\nnext"))
    out = registrar("audit", "show").out
    assert "\x1b" not in out
    assert out.count("\n") == 1
    assert "[bold]more[/bold] next" in out


# -- verify ------------------------------------------------------------------------------------------------------------


def test_an_intact_audit_log_is_reported_in_one_sentence(registrar: CliRunner, ledger: SqlLedger) -> None:
    keep(ledger, VOTE, VOTE)
    with ledger.read() as reading:
        head = reading.audit_head()
    said = registrar("audit", "verify")
    assert (said.code, said.err) == (0, "")
    assert said.out == f"The audit log is intact: 2 events, head {head.hash}.\n"
    document = registrar("audit", "verify", "--json").document
    assert list(document) == list(DOCUMENT_KEYS[AuditVerify])
    assert (document["whole"], document["events"], document["head"]) == (True, 2, head.hash)
    assert (document["anchors"], document["fault"], document["advice"]) == (None, None, None)


def test_an_empty_audit_log_is_intact(registrar: CliRunner) -> None:
    assert registrar("audit", "verify").out == "The audit log is intact: no events yet.\n"


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE audit_events SET body = replace(body, 'BOB', 'EVE') WHERE number = 2", "event 2 was edited"),
        ("DELETE FROM audit_events WHERE number = 2", "event 2 is missing"),
        (
            "INSERT INTO audit_events SELECT 4, at, actor, tag, model, body, hash, hash FROM audit_events "
            "WHERE number = 3",
            "event 4 was inserted",
        ),
        ("DELETE FROM audit_events WHERE number = 3", "it was cut off before event 3"),
        ("UPDATE audit_events SET number = 7 WHERE number = 2", "event 2 was swapped"),
        ("UPDATE audit_head SET hash = 'x'", "event 3 was edited"),
    ],
)
def test_the_first_bad_row_is_reported_with_advice(
    registrar: CliRunner, ledger: SqlLedger, home: Path, statement: str, sentence: str
) -> None:
    keep(ledger, VOTE, VOTE, VOTE)
    tamper(home, statement)
    said = registrar("audit", "verify")
    assert (said.code, said.err) == (1, "")
    first, advice = said.out.splitlines()
    assert first.startswith(f"The audit log was altered: {sentence}. ")
    assert "Copy the database" in advice
    document = registrar("audit", "verify", "--json").document
    assert not document["whole"]
    assert document["fault"]["number"] in {2, 3, 4}
    assert document["sentence"] == first


def test_an_anchor_reveals_a_rewritten_audit_log(registrar: CliRunner, ledger: SqlLedger, home: Path) -> None:
    keep(ledger, VOTE)
    lines = anchored(ledger)
    keep(ledger, VOTE, VOTE)
    (home / "anchor.jsonl").write_text(lines + anchored(ledger))
    agreed = registrar("audit", "verify", "--anchor", str(home / "anchor.jsonl"))
    assert agreed.code == 0
    assert "all 2 anchors match (last: event 3)" in agreed.out
    tamper(
        home,
        "DELETE FROM audit_events WHERE number > 1",
        "UPDATE audit_head SET number = 1, hash = (SELECT hash FROM audit_events WHERE number = 1)",
    )
    cut = registrar("audit", "verify", "--anchor", str(home / "anchor.jsonl"))
    assert (cut.code, "cut off before event 2" in cut.out) == (1, True)
    keep(ledger, VOTE, replace(VOTE, why="forged"))
    assert registrar("audit", "verify").code == 0
    document = registrar("audit", "verify", "--anchor", str(home / "anchor.jsonl"), "--json").document
    fault = document["fault"]
    assert (fault["kind"], fault["number"], fault["last"]) == ("rewritten", 2, 3)
    assert document["anchors"] == 2


@pytest.mark.parametrize(
    ("content", "hint"),
    [(b"", "has no anchors"), (b"garbled\n", "Line 1"), (b"\xff\xfe", "it isn't text"), (None, "No such")],
)
def test_an_unreadable_anchor_file_is_reported(
    registrar: CliRunner, home: Path, content: bytes | None, hint: str
) -> None:
    if content is not None:
        (home / "anchor.jsonl").write_bytes(content)
    said = registrar("audit", "verify", "--anchor", str(home / "anchor.jsonl"), "--json")
    assert (said.code, said.out) == (2, "")
    assert hint in said.err


# -- export ------------------------------------------------------------------------------------------------------------


def test_an_export_can_be_verified_with_only_sha_256(
    registrar: CliRunner, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "PAGE_SIZE", 2)
    keep(ledger, *(replace(VOTE, subject=f"r{n}", why="größer ★ \u2028") for n in range(5)))
    said = registrar("audit", "export")
    assert (said.code, said.err) == (0, "")
    last = GENESIS_HASH
    for number, line in enumerate(said.out.rstrip("\n").split("\n"), 1):
        row = json.loads(line)
        assert (row["number"], row["previous"]) == (number, last)
        last = hashlib.sha256(f"{last}\n{row['body']}".encode()).hexdigest()
        assert row["hash"] == last
        assert list(row) == list(DOCUMENT_KEYS[AuditExport])
        assert (row["subject"], row["evidence"]) == (f"r{number - 1}", VOTE.evidence)


def test_the_documented_script_verifies_an_export(registrar: CliRunner, ledger: SqlLedger) -> None:
    keep(ledger, VOTE, replace(VOTE, why="größer ★"))
    with ledger.read() as reading:
        head = reading.audit_head()
    whole = registrar("audit", "export").out
    for text, code in ((whole, 0), (whole.replace("better", "worse"), 1), ("\n".join(whole.splitlines()[1:]), 1)):
        ended = subprocess.run([sys.executable, "-c", audit_page.EXPORTED], input=text, capture_output=True, text=True)  # noqa: PLW1510
        assert ended.returncode == code
        assert (head.hash in ended.stdout) is (code == 0)


def test_a_csv_export_has_the_same_columns_and_no_formulas(registrar: CliRunner, ledger: SqlLedger) -> None:
    keep(ledger, replace(VOTE, why="=1+1"))
    [row] = csv.DictReader(io.StringIO(registrar("audit", "export", "--format", "csv").out))
    assert list(row) == list(DOCUMENT_KEYS[AuditExport])
    assert (row["number"], row["why"], row["before"]) == ("1", "'=1+1", "")
    assert json.loads(row["evidence"]) == VOTE.evidence


def test_an_export_can_be_limited_by_model_and_time(registrar: CliRunner, ledger: SqlLedger) -> None:
    keep(ledger, replace(VOTE, at=NOW - timedelta(days=40)), VOTE, replace(VOTE, model="fraud"))
    out = registrar("audit", "export", "--since", "30d", "--model", "churn").out
    assert [json.loads(line)["number"] for line in out.splitlines()] == [2]


def test_an_invalid_row_is_exported_unchanged(registrar: CliRunner, ledger: SqlLedger, home: Path) -> None:
    keep(ledger, VOTE)
    tamper(home, "UPDATE audit_events SET body = 'x'")
    [line] = registrar("audit", "export").out.splitlines()
    row = json.loads(line)
    assert (row["body"], row["model"], row["evidence"]) == ("x", "churn", None)
    assert registrar("audit", "export", "--format", "csv").code == 0


# -- the ledger --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["show", "verify", "export"])
def test_a_missing_ledger_is_reported_and_not_created(registrar: CliRunner, tmp_path: Path, verb: str) -> None:
    said = registrar("audit", verb, REGISTRAR_HOME="elsewhere")
    assert (said.code, said.out) == (2, "")
    assert "No ledger at" in said.err
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_is_not_a_ledger_is_reported(registrar: CliRunner, home: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("a text and no database " * 100)
    said = registrar("audit", "verify", REGISTRAR_DATABASE_URL=f"sqlite:///{tmp_path / 'notes.db'}")
    assert (said.code, "No ledger" in said.err) == (2, True)
    (tmp_path / "empty.db").write_bytes(b"")
    said = registrar("audit", "verify", REGISTRAR_DATABASE_URL=f"sqlite:///{tmp_path / 'empty.db'}")
    assert (said.code, (tmp_path / "empty.db").stat().st_size) == (2, 0)


@pytest.mark.postgres
def test_a_database_without_tables_is_reported_and_not_changed(registrar: CliRunner, empty_postgres_url: str) -> None:
    said = registrar("audit", "verify", REGISTRAR_DATABASE_URL=empty_postgres_url)
    assert (said.code, "No ledger" in said.err) == (2, True)


@pytest.mark.postgres
def test_audit_commands_work_on_postgresql(registrar: CliRunner, postgres_url: str) -> None:
    with closing(SqlLedger(postgres_url)) as ledger:
        keep(ledger, VOTE, VOTE)
    settings = {"REGISTRAR_DATABASE_URL": postgres_url}
    assert registrar("audit", "verify", **settings).out.startswith("The audit log is intact: 2 events")
    assert len(registrar("audit", "show", **settings).out.splitlines()) == 2
    assert json.loads(registrar("audit", "export", **settings).out.splitlines()[1])["number"] == 2


# -- command lines -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", index.COMMAND_GROUPS)
def test_a_groups_help_lists_its_subcommands(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([group, "--help"])
    text = capsys.readouterr().out
    assert text == grammar.help_text(Help(about=group))
    assert all(f"registrar {verb}" in text for verb in grammar.TERMINAL_COMMANDS if verb.startswith(f"{group} "))


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("audit verfy", "Did you mean registrar audit verify?"),
        ("audit verify churn", "Unexpected word"),
        ("audit export --format xml", "--format"),
        ("audit show --since soon", "Can't read “soon” as a time"),
        ("policy shwo churn", "Did you mean registrar policy show?"),
        ("policy", "Missing MODEL"),
        ("adit", "Did you mean registrar audit?"),
    ],
)
def test_invalid_input_is_explained(registrar: CliRunner, words: str, hint: str) -> None:
    said = registrar(*words.split())
    assert (said.code, said.out) == (2, "")
    assert hint in said.err


def test_unreviewed_break_glass_promotions_are_counted(registrar: CliRunner, ledger: SqlLedger) -> None:
    broken = Request(
        id="r4k7q",
        model="churn",
        version=4,
        from_stage=Stage.NONE,
        target=Stage.PRODUCTION,
        incumbent=3,
        requester=Person("T1", "U1DAVE"),
        reason="v3 is down",
        required=1,
        opened_at=NOW,
        expires_at=NOW,
        state=RequestState.DONE,
        breaks_glass=True,
        review_due=NOW - timedelta(days=1),
    )
    with ledger.write() as tx:
        tx.add_request(broken)
        tx.add_audit_event(VOTE)
    said = "Unreviewed break-glass promotions: 1, 1 overdue (r4k7q)."
    assert said in registrar("audit", "verify").out
    assert registrar("audit", "verify", "--json").document["unreviewed"] == ["r4k7q"]
    assert said in registrar("audit", "show", "churn").out
    assert said not in registrar("audit", "show", "fraud").out
    assert registrar("audit", "show", "--json").document["unreviewed"] == ["r4k7q"]


def test_a_ledger_from_the_previous_release_is_verified_without_upgrading(registrar: CliRunner, home: Path) -> None:
    (home / "ledger.db").unlink()
    database(LEDGER, home / "ledger.db")
    assert registrar("audit", "verify").code == 0
    assert registrar("audit", "show").code == 0
