"""`registrar db`: status, upgrades, backups, and work after a restore."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from bot.domain.audit.events import EventTag
from bot.domain.core.sentence import say
from bot.domain.promotions.request import RequestState
from bot.domain.transitions.restores import Hold, HoldKind
from bot.ledger import SqlLedger, schema_check
from bot.ledger.schema_check import SchemaAge
from tests.support.ledger.contents import contents
from tests.support.ledger.ledgers import PostgresServer
from tests.support.ledger.populated_ledger import open_bench, populate
from tests.support.ledger.tampering import VOTE, keep, tamper
from tests.support.paths import OLD_LEDGER
from tests.support.services.bench import Bench
from tests.support.terminal.cli_runner import CliRunner
from tests.support.terminal.db_command import change, set_back

pytestmark = pytest.mark.usefixtures("migrates_itself")


NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


TOKENS = {"SLACK_BOT_TOKEN": "xoxb-made-up", "SLACK_APP_TOKEN": "xapp-made-up"}


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """Return a policy file at the default path."""
    path = tmp_path / "registrar.yml"
    path.write_text('models: {"*": {production: {approvers: [U0BOB]}}}')
    return path


@pytest.fixture
def programs(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Add the server's own programs to the path, and return their folder."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(postgres_server.programs), os.environ["PATH"]]))
    return postgres_server.programs


# -- status ------------------------------------------------------------------------------------------------------------


def test_every_schema_age_has_its_own_description() -> None:
    found = [schema_check.Schema("0001", "0002", age) for age in SchemaAge]
    told = {str(schema_check.describe_schema(one, "here")) for one in found}
    assert len(told) == len(SchemaAge)
    assert [schema_check.advice(one) is None for one in found] == [
        age in {SchemaAge.CURRENT, SchemaAge.NEWER} for age in SchemaAge
    ]


def test_the_status_says_what_to_do(registrar: CliRunner, sqlite_url: str) -> None:
    assert "To create its tables, run registrar db upgrade" in registrar("db").out
    said = registrar("db", "status", "--json", REGISTRAR_DATABASE_URL=sqlite_url).document
    assert (said["state"], said["revision"], said["advice"]) == ("current", said["newest"], None)
    old = registrar("db", "status", "--json", REGISTRAR_DATABASE_URL=set_back(sqlite_url)).document
    assert (old["state"], old["revision"], "registrar db upgrade" in old["advice"]) == ("older", "0001", True)
    assert registrar("db", "status", "--json", REGISTRAR_DATABASE_URL=set_back(sqlite_url, "9999")).document[
        "state"
    ] == ("newer")


def test_a_current_ledger_is_green_and_an_older_one_is_orange(registrar: CliRunner, sqlite_url: str) -> None:
    colors = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    assert registrar("db", "status", REGISTRAR_DATABASE_URL=sqlite_url, **colors).out.startswith("\x1b[38;5;29m")
    older = registrar("db", "status", REGISTRAR_DATABASE_URL=set_back(sqlite_url), **colors).out
    assert older.startswith("\x1b[38;5;130m")


def test_the_status_creates_nothing(registrar: CliRunner, tmp_path: Path) -> None:
    assert registrar("db", "status").code == 0
    assert list(tmp_path.iterdir()) == []


def test_no_password_is_printed(registrar: CliRunner, tmp_path: Path) -> None:
    said = registrar("db", REGISTRAR_DATABASE_URL=f"postgresql://ann:hush@/registrar?host={tmp_path}")
    assert (said.code, "hush" in said.out + said.err) == (3, False)


def test_an_unknown_subcommand_lists_the_known_ones(registrar: CliRunner) -> None:
    said = registrar("db", "downgrade")
    assert (said.code, "db: status, upgrade, backup, copy" in said.err) == (2, True)


# -- upgrade -----------------------------------------------------------------------------------------------------------


def test_an_old_ledger_is_upgraded(registrar: CliRunner, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db")) as old:
        old.executescript(OLD_LEDGER.read_text(encoding="utf-8"))
    done = registrar("db", "upgrade", "--json", REGISTRAR_DATABASE_URL=f"sqlite:///{tmp_path / 'old.db'}").document
    assert (done["before"], done["revision"], done["state"]) == ("0001", done["newest"], "current")
    assert registrar("audit", "verify").out.startswith("The audit log is intact: 5 events")
    assert "Nothing to do" in registrar("db", "upgrade").out


@pytest.mark.postgres
def test_upgrade_creates_the_tables_in_an_empty_postgresql(registrar: CliRunner, empty_postgres_url: str) -> None:
    assert "Created the ledger" in registrar("db", "upgrade", REGISTRAR_DATABASE_URL=empty_postgres_url).out
    assert registrar("db", "--json").document["state"] == "current"


def test_a_ledger_from_a_newer_registrar_is_not_upgraded(registrar: CliRunner, sqlite_url: str) -> None:
    said = registrar("db", "upgrade", REGISTRAR_DATABASE_URL=set_back(sqlite_url, "9999"))
    assert (said.code, "newer version of Registrar" in said.err) == (2, True)


@pytest.mark.postgres
def test_an_upgrade_is_refused_while_others_are_connected(registrar: CliRunner, postgres_url: str) -> None:
    with psycopg.connect(postgres_url):
        said = registrar("db", "upgrade", REGISTRAR_DATABASE_URL=set_back(postgres_url))
    assert (said.code, "Can't upgrade while" in said.err, "--force" in said.err) == (2, True, True)
    assert registrar("db", "--json").document["revision"] == "0001"


WRITES = ["run", "promote churn 4 production --reason better"]


@pytest.mark.postgres
@pytest.mark.parametrize("words", WRITES)
def test_on_postgresql_commands_refuse_to_run_without_tables(
    registrar: CliRunner, policy: Path, empty_postgres_url: str, words: str, registry_beside: None
) -> None:
    said = registrar(*words.split(), REGISTRAR_DATABASE_URL=empty_postgres_url, REGISTRAR_PORT="0", **TOKENS)
    assert (said.code, "No ledger" in said.err, "registrar db upgrade" in said.err) == (2, True, True)
    assert registrar("db", "--json").document["state"] == "none"


@pytest.mark.postgres
@pytest.mark.parametrize("words", [*WRITES, "requests", "history churn"])
def test_on_postgresql_commands_refuse_an_older_registrars_tables(
    registrar: CliRunner, policy: Path, postgres_url: str, words: str, registry_beside: None
) -> None:
    said = registrar(*words.split(), REGISTRAR_DATABASE_URL=set_back(postgres_url), REGISTRAR_PORT="0", **TOKENS)
    assert (said.code, "older version of Registrar" in said.err, "registrar db upgrade" in said.err) == (2, True, True)
    assert registrar("db", "--json").document["revision"] == "0001"


@pytest.mark.postgres
def test_on_postgresql_a_newer_registrars_ledger_is_not_changed(
    registrar: CliRunner, policy: Path, postgres_url: str
) -> None:
    said = registrar("run", REGISTRAR_DATABASE_URL=set_back(postgres_url, "9999"), REGISTRAR_PORT="0", **TOKENS)
    assert (said.code, "newer version of Registrar" in said.err) == (2, True)


def test_on_sqlite_a_write_upgrades_the_tables(
    registrar: CliRunner, policy: Path, tmp_path: Path, registry_beside: None
) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db")) as old:
        old.executescript(OLD_LEDGER.read_text(encoding="utf-8"))
    registrar("cancel", "nothing", REGISTRAR_DATABASE_URL=f"sqlite:///{tmp_path / 'old.db'}")
    assert registrar("db", "--json").document["state"] == "current"


@pytest.fixture
def registry_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configure a registry that doesn't have to be reachable."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")


# -- backup ------------------------------------------------------------------------------------------------------------


def test_a_backup_is_complete_and_private(registrar: CliRunner, populated_ledger: Bench, tmp_path: Path) -> None:
    said = registrar("db", "backup", "copy.db", "--json").document
    assert (said["whole"], said["events"], said["bytes"]) == (
        True,
        len(populated_ledger.events()),
        os.stat("copy.db").st_size,  # noqa: PTH116
    )
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    assert contents(f"sqlite:///{tmp_path / 'copy.db'}") == contents(os.environ["REGISTRAR_DATABASE_URL"])


def test_a_backup_overwrites_nothing_and_leaves_no_partial_file(
    registrar: CliRunner, populated_ledger: Bench, tmp_path: Path
) -> None:
    (tmp_path / "copy.db").write_text("dear diary")
    said = registrar("db", "backup", "copy.db")
    assert (said.code, (tmp_path / "copy.db").read_text()) == (2, "dear diary")
    assert registrar("db", "backup", "nowhere/copy.db").code == 2
    assert not [file.name for file in tmp_path.iterdir() if "partial" in file.name]


def test_a_backup_during_writes_is_a_consistent_snapshot(registrar: CliRunner, sqlite_url: str, tmp_path: Path) -> None:
    enough = threading.Event()

    def write() -> None:
        with closing(SqlLedger(sqlite_url, timeout=20)) as ledger:
            while not enough.is_set():
                keep(ledger, *[replace(VOTE, subject=f"r{number}") for number in range(20)])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = [
            registrar("db", "backup", f"{number}.db", "--json", REGISTRAR_DATABASE_URL=sqlite_url).document
            for number in range(5)
        ]
    finally:
        enough.set()
        writer.join()
    assert [one["whole"] for one in made] == [True] * 5
    assert {one["events"] % 20 for one in made} == {0}
    verified = registrar("audit", "verify", "--json", REGISTRAR_DATABASE_URL=f"sqlite:///{tmp_path / '4.db'}").document
    assert verified["events"] == made[-1]["events"]


def test_a_ledger_with_an_altered_audit_log_is_backed_up_with_a_warning(
    registrar: CliRunner, populated_ledger: Bench, tmp_path: Path
) -> None:
    populated_ledger.ledger.close()
    tamper(tmp_path, "UPDATE audit_events SET actor = 'slack:T1/UEVE' WHERE number = 3")
    said = registrar("db", "backup", "copy.db")
    assert (said.code, "event 3 was edited" in said.out) == (1, True)
    assert (tmp_path / "copy.db").exists()


def test_a_backup_can_be_restored_by_copying_the_file(
    registrar: CliRunner, populated_ledger: Bench, tmp_path: Path
) -> None:
    before = contents(os.environ["REGISTRAR_DATABASE_URL"])
    registrar("db", "backup", "copy.db")
    populated_ledger.ledger.close()
    for file in tmp_path.glob("ledger.db*"):
        file.write_bytes(b"the disk is broken")
        file.unlink()
    (tmp_path / "copy.db").rename(tmp_path / "ledger.db")
    assert registrar("audit", "verify").code == 0
    assert contents(os.environ["REGISTRAR_DATABASE_URL"]) == before


@pytest.mark.postgres
def test_postgresql_is_dumped_and_restored_with_its_audit_log(
    registrar: CliRunner, postgres_url: str, postgres_server: PostgresServer, programs: Path, tmp_path: Path
) -> None:
    with closing(SqlLedger(postgres_url)) as ledger:
        bench = open_bench(ledger)
        populate(bench)
        events = len(bench.events())
    said = registrar("db", "backup", "ledger.dump", "--json", REGISTRAR_DATABASE_URL=postgres_url).document
    assert (said["whole"], said["events"]) == (True, events)
    assert (tmp_path / "ledger.dump").stat().st_mode & 0o777 == 0o600
    other = postgres_server.create()
    try:
        url = postgres_server.url(other)
        command = ["pg_restore", "--no-owner", "--exit-on-error", "--single-transaction", f"--dbname={url}"]
        subprocess.run([*command, "ledger.dump"], check=True, cwd=tmp_path)
        assert contents(url) == contents(postgres_url)
        assert f"{events} events" in registrar("audit", "verify", REGISTRAR_DATABASE_URL=url).out
        with pytest.raises(sa.exc.DBAPIError, match="never changed"):
            change(url, "DELETE FROM audit_events")
    finally:
        postgres_server.drop(other)


@pytest.mark.postgres
def test_without_pg_dump_the_command_is_shown_without_the_password(
    registrar: CliRunner, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    said = registrar(
        "db", "backup", "x.dump", REGISTRAR_DATABASE_URL=postgres_url.replace("postgres:", "postgres:hush")
    )
    assert (said.code, "pg_dump --format=custom --file=FILE" in said.err, "hush" in said.err) == (2, True, False)


@pytest.mark.postgres
def test_a_secret_that_pg_dump_would_show_is_refused(registrar: CliRunner, postgres_url: str) -> None:
    url = f"{postgres_url}{'&' if '?' in postgres_url else '?'}sslpassword=hush"
    said = registrar("db", "backup", "x.dump", REGISTRAR_DATABASE_URL=url)
    assert (said.code, "would show sslpassword" in said.err, "hush" in said.err) == (2, True, False)


@pytest.mark.postgres
def test_pg_dump_errors_are_reported(
    registrar: CliRunner, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "bin" / "pg_dump"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'pg_dump: error: aborting because of server version mismatch' >&2\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent))
    said = registrar("db", "backup", "x.dump", REGISTRAR_DATABASE_URL=postgres_url)
    assert (said.code, "couldn't copy the ledger: aborting because of" in said.err) == (3, True)
    assert not (tmp_path / "x.dump").exists()


# -- after a restore ---------------------------------------------------------------------------------------------------


def hold(ledger: SqlLedger) -> None:
    with ledger.write() as tx:
        tx.add_hold(
            Hold(id="h2", kind=HoldKind.LEDGER_RESTORED, at=NOW, lines=(say("v4 has other tags."),), keys=("k",))
        )


def test_the_status_reports_held_work_and_what_to_do(registrar: CliRunner, populated_ledger: Bench) -> None:
    assert registrar("db", "status", "--json").document["held"] is None
    hold(populated_ledger.ledger)
    said = registrar("db", "status").out
    assert "restored from a backup" in said
    assert "registrar db accept" in said
    assert "registrar db drop-pending" in said


def test_an_operator_can_drop_pending_work(registrar: CliRunner, populated_ledger: Bench, policy: Path) -> None:
    with populated_ledger.ledger.read() as reading:
        request = reading.requests(states=[RequestState.PENDING])[0]
    hold(populated_ledger.ledger)
    said = registrar("db", "drop-pending", "--reason", "restored Friday's copy")
    assert (said.code, "canceled pending work" in said.out) == (0, True)
    assert populated_ledger.state(request) is RequestState.STALE
    assert EventTag.HOLD_DROPPED.value in populated_ledger.tags()


def test_accept_without_a_hold_is_refused(registrar: CliRunner, sqlite_url: str, policy: Path) -> None:
    said = registrar("db", "accept", "--reason", "why not", REGISTRAR_DATABASE_URL=sqlite_url)
    assert (said.code, "Nothing is on hold" in said.err) == (1, True)
