"""`registrar audit`: what an auditor sees beside the bot, on the ledger alone."""

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
from handlers.terminal.command_line.document_keys import DOCUMENT_KEYS
from handlers.terminal.command_line.terminal_only_commands import AuditExport, AuditShow, AuditVerify
from handlers.terminal.main import main
from handlers.terminal.output import console
from scripts import audit_page
from tests.support.ledger.previous_release import LEDGER, database
from tests.support.ledger.tampering import NOW, VOTE, keep, tamper
from tests.support.terminal.cli_runner import CliRunner, command


@pytest.fixture
def home(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home with a ledger that has no event yet."""
    folder = tmp_path / ".registrar"
    folder.mkdir()
    (folder / "ledger.db").write_bytes(sqlite_template.read_bytes())
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def ledger(home: Path) -> Iterator[SqlLedger]:
    """Return the ledger, to write into it."""
    with closing(SqlLedger(f"sqlite:///{home / 'ledger.db'}")) as opened:
        yield opened


@pytest.fixture
def registrar(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CliRunner:
    """Return the terminal's command beside that ledger; settings are given by their names."""
    return command(monkeypatch, capsys)


def anchored(ledger: SqlLedger) -> str:
    """Return the line that anchors the audit's head."""
    with ledger.read() as reading:
        return serialize_anchor(reading.audit_head(), NOW)


# -- show --------------------------------------------------------------------------------------------------------------


def test_the_newest_event_is_shown_first_in_words(registrar: CliRunner, ledger: SqlLedger) -> None:
    keep(ledger, VOTE, replace(VOTE, tag=EventTag.APPROVED, why=""))
    said = registrar("audit", "show")
    first, second = said.out.splitlines()
    assert (said.code, said.err) == (0, "")
    assert first == f"2  {NOW:%Y-%m-%d %H:%M}  @U1BOB completed the approvals of r4k7q: “churn” v4 to Production"
    assert second.endswith("@U1BOB voted approve on r4k7q: “churn” v4 to Production: better f1")


@pytest.mark.parametrize(
    "words", ["audit churn", "audit show churn", "audit show --model churn", "audit --model churn"]
)
def test_one_model_is_chosen_as_in_slack(registrar: CliRunner, ledger: SqlLedger, words: str) -> None:
    keep(ledger, VOTE, replace(VOTE, model="fraud"))
    events = registrar(*words.split(), "--json").document["events"]
    assert [event["model"] for event in events] == ["churn"]


def test_time_and_number_limit_what_is_shown(registrar: CliRunner, ledger: SqlLedger) -> None:
    keep(ledger, replace(VOTE, at=NOW - timedelta(days=40)), VOTE, VOTE)
    month = registrar("audit", "show", "--since", "30d", "--json").document
    assert ([event["number"] for event in month["events"]], month["more"]) == ([3, 2], False)
    last = registrar("audit", "show", "--last", "1", "--json").document
    assert ([event["number"] for event in last["events"]], last["more"]) == ([3], True)
    assert "There are older ones" in registrar("audit", "show", "--last", "1").out
    assert len(registrar("audit", "show", "--since", "9999999d", "--json").document["events"]) == 3


def test_older_ones_are_a_page_away(registrar: CliRunner, ledger: SqlLedger) -> None:
    keep(ledger, VOTE, VOTE, VOTE)
    assert "There are older ones: --before 2," in registrar("audit", "show", "--last", "2").out
    page = registrar("audit", "show", "--before", "2", "--json").document
    assert ([one["number"] for one in page["events"]], page["more"]) == ([1], False)


def test_what_somebody_did_and_what_has_a_tag_is_shown(registrar: CliRunner, ledger: SqlLedger) -> None:
    keep(ledger, VOTE, replace(VOTE, actor=Person("T1", "UEVE")), replace(VOTE, tag=EventTag.VOTE_WITHDRAWN))
    by_eve = registrar("audit", "show", "--by", "slack:T1/UEVE", "--json").document
    assert [one["number"] for one in by_eve["events"]] == [2]
    tagged = registrar("audit", "show", "--tag", EventTag.VOTE_WITHDRAWN.value, "--json").document
    assert [one["number"] for one in tagged["events"]] == [3]
    assert "nothing of that kind" in registrar("audit", "show", "--by", "slack:T1/UNOBODY").out


def test_what_would_read_all_of_a_long_audit_is_refused(registrar: CliRunner, ledger: SqlLedger) -> None:
    said = registrar("audit", "show", "churn", "--by", "slack:T1/UEVE")
    assert (said.code, "Choose one of a model, --by and --tag" in said.err) == (2, True)


def test_what_is_shown_as_json_has_the_keys_that_are_promised(registrar: CliRunner, ledger: SqlLedger) -> None:
    keep(ledger, VOTE)
    document = registrar("audit", "show", "--json").document
    assert list(document) == list(DOCUMENT_KEYS[AuditShow])
    [event] = document["events"]
    assert list(event) == [key for key in DOCUMENT_KEYS[AuditExport] if key != "body"] + ["sentence"]
    assert (event["actor"], event["evidence"]) == ("slack:T1/U1BOB", VOTE.evidence)


def test_where_nothing_happened_that_is_said(registrar: CliRunner) -> None:
    assert registrar("audit", "show").out == "The audit has nothing.\n"
    assert registrar("audit", "churn", "--since", "1d").out == "The audit has nothing about “churn” in that time.\n"


def test_on_a_screen_there_is_a_table(registrar: CliRunner, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(ledger, VOTE)
    monkeypatch.setattr(console, "stdout_console", lambda: Console(force_terminal=True, width=60, color_system=None))
    lines = registrar("audit", "show").out.splitlines()
    assert lines[0].split() == ["Number", "When", "(UTC)", "What"]
    assert max(map(len, lines)) <= 60


def test_an_event_of_a_newer_registrar_is_shown_by_its_tag(registrar: CliRunner, ledger: SqlLedger, home: Path) -> None:
    keep(ledger, VOTE)
    tamper(home, "UPDATE audit_events SET tag = 'person:moon:visited', body = replace(body, 'request:voted', 'moon')")
    assert "“slack:T1/U1BOB”: person:moon:visited" in registrar("audit", "show").out


def test_nothing_that_somebody_wrote_can_move_the_cursor(registrar: CliRunner, ledger: SqlLedger) -> None:
    keep(ledger, replace(VOTE, why="red \x1b[31m and [bold]more[/bold]\nnext"))
    out = registrar("audit", "show").out
    assert "\x1b" not in out
    assert out.count("\n") == 1
    assert "[bold]more[/bold] next" in out


# -- verify ------------------------------------------------------------------------------------------------------------


def test_a_whole_audit_is_said_in_one_sentence(registrar: CliRunner, ledger: SqlLedger) -> None:
    keep(ledger, VOTE, VOTE)
    with ledger.read() as reading:
        head = reading.audit_head()
    said = registrar("audit", "verify")
    assert (said.code, said.err) == (0, "")
    assert said.out == f"The audit is whole: 2 events, head {head.hash}.\n"
    document = registrar("audit", "verify", "--json").document
    assert list(document) == list(DOCUMENT_KEYS[AuditVerify])
    assert (document["whole"], document["events"], document["head"]) == (True, 2, head.hash)
    assert (document["anchors"], document["fault"], document["advice"]) == (None, None, None)


def test_an_audit_without_an_event_is_whole(registrar: CliRunner) -> None:
    assert registrar("audit", "verify").out == "The audit is whole: it has no event yet.\n"


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE audit_events SET body = replace(body, 'BOB', 'EVE') WHERE number = 2", "number 2 was edited"),
        ("DELETE FROM audit_events WHERE number = 2", "number 2 is missing"),
        (
            "INSERT INTO audit_events SELECT 4, at, actor, tag, model, body, hash, hash FROM audit_events "
            "WHERE number = 3",
            "number 4 was inserted",
        ),
        ("DELETE FROM audit_events WHERE number = 3", "it was cut off before number 3"),
        ("UPDATE audit_events SET number = 7 WHERE number = 2", "number 2 was swapped"),
        ("UPDATE audit_head SET hash = 'x'", "number 3 was edited"),
    ],
)
def test_the_first_faulty_row_is_named_with_what_to_do(
    registrar: CliRunner, ledger: SqlLedger, home: Path, statement: str, sentence: str
) -> None:
    keep(ledger, VOTE, VOTE, VOTE)
    tamper(home, statement)
    said = registrar("audit", "verify")
    assert (said.code, said.err) == (1, "")
    first, advice = said.out.splitlines()
    assert first.startswith(f"The audit is not whole: {sentence}. ")
    assert "Copy the database" in advice
    document = registrar("audit", "verify", "--json").document
    assert not document["whole"]
    assert document["fault"]["number"] in {2, 3, 4}
    assert document["sentence"] == first


def test_a_rewritten_audit_is_found_by_an_anchor(registrar: CliRunner, ledger: SqlLedger, home: Path) -> None:
    keep(ledger, VOTE)
    lines = anchored(ledger)
    keep(ledger, VOTE, VOTE)
    (home / "anchor.jsonl").write_text(lines + anchored(ledger))
    agreed = registrar("audit", "verify", "--anchor", str(home / "anchor.jsonl"))
    assert agreed.code == 0
    assert "all 2 anchors agree, the last one with number 3" in agreed.out
    tamper(
        home,
        "DELETE FROM audit_events WHERE number > 1",
        "UPDATE audit_head SET number = 1, hash = (SELECT hash FROM audit_events WHERE number = 1)",
    )
    cut = registrar("audit", "verify", "--anchor", str(home / "anchor.jsonl"))
    assert (cut.code, "cut off before number 2" in cut.out) == (1, True)
    keep(ledger, VOTE, replace(VOTE, why="forged"))
    assert registrar("audit", "verify").code == 0
    document = registrar("audit", "verify", "--anchor", str(home / "anchor.jsonl"), "--json").document
    fault = document["fault"]
    assert (fault["kind"], fault["number"], fault["last"]) == ("rewritten", 2, 3)
    assert document["anchors"] == 2


@pytest.mark.parametrize(
    ("content", "hint"),
    [(b"", "is empty"), (b"garbled\n", "Line 1"), (b"\xff\xfe", "it is no text"), (None, "No such")],
)
def test_an_anchor_file_that_cannot_be_read_is_told(
    registrar: CliRunner, home: Path, content: bytes | None, hint: str
) -> None:
    if content is not None:
        (home / "anchor.jsonl").write_bytes(content)
    said = registrar("audit", "verify", "--anchor", str(home / "anchor.jsonl"), "--json")
    assert (said.code, said.out) == (2, "")
    assert hint in said.err


# -- export ------------------------------------------------------------------------------------------------------------


def test_an_export_can_be_verified_with_nothing_but_sha_256(
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


def test_the_program_of_the_documentation_verifies_an_export(registrar: CliRunner, ledger: SqlLedger) -> None:
    keep(ledger, VOTE, replace(VOTE, why="größer ★"))
    with ledger.read() as reading:
        head = reading.audit_head()
    whole = registrar("audit", "export").out
    for text, code in ((whole, 0), (whole.replace("better", "worse"), 1), ("\n".join(whole.splitlines()[1:]), 1)):
        ended = subprocess.run([sys.executable, "-c", audit_page.EXPORTED], input=text, capture_output=True, text=True)  # noqa: PLW1510
        assert ended.returncode == code
        assert (head.hash in ended.stdout) is (code == 0)


def test_an_export_as_csv_has_the_same_columns_and_no_formula(registrar: CliRunner, ledger: SqlLedger) -> None:
    keep(ledger, replace(VOTE, why="=1+1"))
    [row] = csv.DictReader(io.StringIO(registrar("audit", "export", "--format", "csv").out))
    assert list(row) == list(DOCUMENT_KEYS[AuditExport])
    assert (row["number"], row["why"], row["before"]) == ("1", "'=1+1", "")
    assert json.loads(row["evidence"]) == VOTE.evidence


def test_a_part_is_exported_by_model_and_time(registrar: CliRunner, ledger: SqlLedger) -> None:
    keep(ledger, replace(VOTE, at=NOW - timedelta(days=40)), VOTE, replace(VOTE, model="fraud"))
    out = registrar("audit", "export", "--since", "30d", "--model", "churn").out
    assert [json.loads(line)["number"] for line in out.splitlines()] == [2]


def test_a_row_that_is_no_event_is_exported_as_it_is(registrar: CliRunner, ledger: SqlLedger, home: Path) -> None:
    keep(ledger, VOTE)
    tamper(home, "UPDATE audit_events SET body = 'x'")
    [line] = registrar("audit", "export").out.splitlines()
    row = json.loads(line)
    assert (row["body"], row["model"], row["evidence"]) == ("x", "churn", None)
    assert registrar("audit", "export", "--format", "csv").code == 0


# -- the ledger --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["show", "verify", "export"])
def test_a_ledger_that_is_not_there_is_told_and_not_made(registrar: CliRunner, tmp_path: Path, verb: str) -> None:
    said = registrar("audit", verb, REGISTRAR_HOME="elsewhere")
    assert (said.code, said.out) == (2, "")
    assert "There is no ledger at" in said.err
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_is_no_ledger_is_told(registrar: CliRunner, home: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("a text and no database " * 100)
    said = registrar("audit", "verify", REGISTRAR_DATABASE_URL=f"sqlite:///{tmp_path / 'notes.db'}")
    assert (said.code, "There is no ledger" in said.err) == (2, True)
    (tmp_path / "empty.db").write_bytes(b"")
    said = registrar("audit", "verify", REGISTRAR_DATABASE_URL=f"sqlite:///{tmp_path / 'empty.db'}")
    assert (said.code, (tmp_path / "empty.db").stat().st_size) == (2, 0)


@pytest.mark.postgres
def test_a_database_without_our_tables_is_told_and_gets_none(registrar: CliRunner, empty_postgres_url: str) -> None:
    said = registrar("audit", "verify", REGISTRAR_DATABASE_URL=empty_postgres_url)
    assert (said.code, "There is no ledger" in said.err) == (2, True)


@pytest.mark.postgres
def test_an_audit_on_postgresql_is_shown_verified_and_exported(registrar: CliRunner, postgres_url: str) -> None:
    with closing(SqlLedger(postgres_url)) as ledger:
        keep(ledger, VOTE, VOTE)
    settings = {"REGISTRAR_DATABASE_URL": postgres_url}
    assert registrar("audit", "verify", **settings).out.startswith("The audit is whole: 2 events")
    assert len(registrar("audit", "show", **settings).out.splitlines()) == 2
    assert json.loads(registrar("audit", "export", **settings).out.splitlines()[1])["number"] == 2


# -- the line ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", index.COMMAND_GROUPS)
def test_the_help_of_a_group_names_its_verbs(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([group, "--help"])
    text = capsys.readouterr().out
    assert text == grammar.help_text(Help(about=group))
    assert all(f"registrar {verb}" in text for verb in grammar.TERMINAL_COMMANDS if verb.startswith(f"{group} "))


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("audit verfy", "Did you mean registrar audit verify?"),
        ("audit verify churn", "one word too many"),
        ("audit export --format xml", "--format"),
        ("audit show --since soon", "Can't read “soon” as a time"),
        ("policy shwo churn", "Did you mean registrar policy show?"),
        ("policy", "MODEL is missing"),
        ("adit", "Did you mean registrar audit?"),
    ],
)
def test_what_cannot_be_understood_is_told(registrar: CliRunner, words: str, hint: str) -> None:
    said = registrar(*words.split())
    assert (said.code, said.out) == (2, "")
    assert hint in said.err


def test_broken_glass_without_a_review_is_counted(registrar: CliRunner, ledger: SqlLedger) -> None:
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
    said = "Break glass without a review: 1, 1 overdue (r4k7q)."
    assert said in registrar("audit", "verify").out
    assert registrar("audit", "verify", "--json").document["unreviewed"] == ["r4k7q"]
    assert said in registrar("audit", "show", "churn").out
    assert said not in registrar("audit", "show", "fraud").out
    assert registrar("audit", "show", "--json").document["unreviewed"] == ["r4k7q"]


def test_a_ledger_of_the_version_before_is_verified_as_it_is(registrar: CliRunner, home: Path) -> None:
    (home / "ledger.db").unlink()
    database(LEDGER, home / "ledger.db")
    assert registrar("audit", "verify").code == 0
    assert registrar("audit", "show").code == 0
