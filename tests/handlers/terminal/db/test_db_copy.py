"""`registrar db copy`: from SQLite to PostgreSQL."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bot.domain.audit.events import EventTag
from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import Stage
from bot.ledger import SqlLedger, copy_to_postgres
from bot.ledger.tables import audit_events, requests
from tests.support.ledger.contents import contents
from tests.support.ledger.populated_ledger import open_bench
from tests.support.ledger.tampering import VOTE, keep, tamper
from tests.support.services.bench import ALICE, Bench
from tests.support.terminal.cli_runner import CliRunner
from tests.support.terminal.db_command import change, set_back

pytestmark = pytest.mark.usefixtures("migrates_itself")


@pytest.mark.postgres
class TestMoving:
    def test_every_table_is_read_equal_and_the_audit_holds(
        self, registrar: CliRunner, populated_ledger: Bench, postgres_url: str
    ) -> None:
        before = contents(os.environ["REGISTRAR_DATABASE_URL"])
        assert {name for name, rows in before.items() if not rows} <= {"leases"}
        head = registrar("audit", "verify", "--json").document["head"]
        said = registrar("db", "copy", "--to", postgres_url, "--json").document
        assert said["rows"] == {name: len(rows) for name, rows in before.items()}
        assert (said["events"], said["head"], said["whole"]) == (len(populated_ledger.events()), head, True)
        assert contents(postgres_url) == before
        verified = registrar("audit", "verify", "--json", REGISTRAR_DATABASE_URL=postgres_url).document
        assert (verified["whole"], verified["head"]) == (True, head)

    def test_work_goes_on_there(self, registrar: CliRunner, populated_ledger: Bench, postgres_url: str) -> None:
        [waiting] = [
            one for one in requests_of(populated_ledger) if one.target.value == "Production" and one.state.is_open
        ]
        registrar("db", "copy", "--to", postgres_url)
        with closing(SqlLedger(postgres_url)) as ledger:
            there = replace(open_bench(ledger, populated_ledger.registry), clock=populated_ledger.clock)
            there.cancel(
                next(one for one in requests_of(there) if one.target is Stage.STAGING and one.state.is_open), ALICE
            )
            asked = there.open("promote churn 4 staging")
            assert there.state(there.approve(asked).request) is RequestState.APPROVED
            there.moves.execute_due("churn")
            assert there.state(asked) is RequestState.DONE
            assert there.state(there.reject(waiting).request) is RequestState.REJECTED
            assert there.events()[-1].tag in {EventTag.REJECTED, EventTag.VOTED}
        assert registrar("audit", "verify", REGISTRAR_DATABASE_URL=postgres_url).code == 0

    def test_a_number_that_was_given_is_given_to_no_other(
        self, registrar: CliRunner, sqlite_url: str, postgres_url: str
    ) -> None:
        change(sqlite_url, "INSERT INTO calls VALUES (7, 'ci', 'k', 'd', 200, '{}', '2026-01-01')", "DELETE FROM calls")
        registrar("db", "copy", "--to", postgres_url, REGISTRAR_DATABASE_URL=sqlite_url)
        change(
            postgres_url,
            "INSERT INTO calls (client, key, digest, status, answer, at) VALUES ('ci', 'k', 'd', 200, '{}', now())",
        )
        assert contents(postgres_url)["calls"][0][0] == 8

    def test_a_trial_is_taken_back(self, registrar: CliRunner, populated_ledger: Bench, postgres_url: str) -> None:
        empty = contents(postgres_url)
        said = registrar("db", "copy", "--to", postgres_url, "--dry-run", "--json").document
        assert (said["dry_run"], said["rows"]["requests"], said["whole"]) == (True, 5, True)
        assert contents(postgres_url) == empty

    def test_what_is_not_empty_is_not_written_to(
        self, registrar: CliRunner, populated_ledger: Bench, postgres_url: str
    ) -> None:
        with closing(SqlLedger(postgres_url)) as ledger:
            keep(ledger, VOTE)
        before = contents(postgres_url)
        said = registrar("db", "copy", "--to", postgres_url)
        assert (said.code, "is not empty: audit_events has rows" in said.err) == (1, True)
        assert contents(postgres_url) == before

    def test_what_has_no_tables_is_told_how_to_get_them(
        self, registrar: CliRunner, populated_ledger: Bench, empty_postgres_url: str
    ) -> None:
        said = registrar("db", "copy", "--to", empty_postgres_url)
        assert (said.code, "registrar db upgrade" in said.err) == (2, True)
        assert "REGISTRAR_DATABASE_URL=postgresql+psycopg://" in said.err

    def test_an_old_ledger_is_upgraded_first(self, registrar: CliRunner, sqlite_url: str, postgres_url: str) -> None:
        said = registrar("db", "copy", "--to", postgres_url, REGISTRAR_DATABASE_URL=set_back(sqlite_url))
        assert (said.code, "an older Registrar" in said.err) == (2, True)

    def test_it_goes_from_sqlite_to_postgresql_only(
        self, registrar: CliRunner, sqlite_url: str, postgres_url: str
    ) -> None:
        assert registrar("db", "copy", "--to", sqlite_url, REGISTRAR_DATABASE_URL=sqlite_url).code == 2
        assert registrar("db", "copy", "--to", sqlite_url, REGISTRAR_DATABASE_URL=postgres_url).code == 2

    def test_a_broken_audit_is_told_and_moved_only_by_force(
        self, registrar: CliRunner, populated_ledger: Bench, postgres_url: str, tmp_path: Path
    ) -> None:
        populated_ledger.ledger.close()
        tamper(tmp_path, "UPDATE audit_events SET actor = 'slack:T1/UEVE' WHERE number = 3")
        said = registrar("db", "copy", "--to", postgres_url)
        assert (said.code, "number 3 was edited" in said.err, contents(postgres_url)["asks"]) == (1, True, [])
        forced = registrar("db", "copy", "--to", postgres_url, "--force", "--json").document
        assert (forced["whole"], forced["events"]) == (False, len(contents(postgres_url)["audit_events"]))
        verified = registrar("audit", "verify", "--json", REGISTRAR_DATABASE_URL=postgres_url).document
        assert verified["fault"]["number"] == 3

    def test_a_copy_that_is_not_the_same_is_not_kept(
        self, registrar: CliRunner, populated_ledger: Bench, postgres_url: str
    ) -> None:
        change(
            postgres_url,
            "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
            "CREATE TRIGGER lose BEFORE INSERT ON votes FOR EACH ROW EXECUTE FUNCTION lose()",
        )
        said = registrar("db", "copy", "--to", postgres_url)
        assert (said.code, "The copy is not the same (votes)" in said.err) == (1, True)
        assert contents(postgres_url)["requests"] == []

    def test_a_row_that_postgresql_does_not_take_is_told(
        self, registrar: CliRunner, populated_ledger: Bench, postgres_url: str
    ) -> None:
        change(os.environ["REGISTRAR_DATABASE_URL"], "UPDATE requests SET reason = char(65, 0, 66) WHERE number = 1")
        said = registrar("db", "copy", "--to", postgres_url)
        assert (said.code, "does not take what requests holds" in said.err) == (1, True)

    def test_many_rows_are_copied_in_parts(
        self, registrar: CliRunner, populated_ledger: Bench, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(copy_to_postgres, "BATCH_SIZE", 2)
        assert registrar("db", "copy", "--to", postgres_url).code == 0
        assert contents(postgres_url) == contents(os.environ["REGISTRAR_DATABASE_URL"])

    def test_nobody_writes_to_either_meanwhile(
        self, populated_ledger: Bench, sqlite_url: str, postgres_url: str
    ) -> None:
        heard = heard_meanwhile(sqlite_url, postgres_url)
        assert ["nothing was recorded" in one for one in heard] == [True, True]

    def test_a_trial_keeps_no_bot_waiting(self, populated_ledger: Bench, sqlite_url: str, postgres_url: str) -> None:
        assert heard_meanwhile(sqlite_url, postgres_url, is_dry=True)[0] == ""

    def test_a_ledger_that_a_bot_serves_stays_where_it_is(
        self, registrar: CliRunner, populated_ledger: Bench, sqlite_url: str, postgres_url: str
    ) -> None:
        with closing(SqlLedger(sqlite_url)) as served:
            served.lock_file()
            said = registrar("db", "copy", "--to", postgres_url)
        assert (said.code, "A bot serves the ledger" in said.err, contents(postgres_url)["asks"]) == (1, True, [])
        assert registrar("db", "copy", "--to", postgres_url, "--dry-run").code == 0


def heard_meanwhile(sqlite_url: str, postgres_url: str, *, is_dry: bool = False) -> list[str]:
    """Return what somebody hears who writes to the one and to the other while the ledger moves."""
    heard: list[str] = []

    def try_to_write(table: str, _: int) -> None:
        if table == audit_events.name and not heard:
            for url in (sqlite_url, postgres_url):
                with closing(SqlLedger(url, timeout=0.2)) as ledger:
                    heard.append(refusal(ledger))

    with closing(SqlLedger(sqlite_url)) as source, closing(SqlLedger(postgres_url)) as target:
        copy_to_postgres.copy_ledger(source, target, report_progress=try_to_write, dry_run=is_dry)
    return heard


def refusal(ledger: SqlLedger) -> str:
    """Return what somebody hears who writes now."""
    try:
        keep(ledger, VOTE)
    except Exception as error:
        return str(error)
    return ""


def requests_of(bench: Bench) -> list[Any]:
    with bench.ledger.read() as reading:
        return reading.requests(model="churn")


def test_every_column_is_copied_as_it_is_stored() -> None:
    plain = copy_to_postgres._untyped(requests)
    assert list(plain.c.keys()) == list(requests.c.keys())
    assert isinstance(plain.c["seen"].type, sa.Text)
    assert plain.c["opened_at"].type is requests.c["opened_at"].type
