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
from tests.support.services.bench import ALICE, CAROL, Bench
from tests.support.terminal.cli_runner import CliRunner
from tests.support.terminal.db_command import change, set_back

pytestmark = pytest.mark.usefixtures("migrates_itself")


@pytest.mark.postgres
class TestMoving:
    def test_every_table_is_copied_and_the_audit_log_is_intact(
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

    def test_work_continues_on_the_copy(self, registrar: CliRunner, populated_ledger: Bench, postgres_url: str) -> None:
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
            assert there.state(there.reject(waiting, CAROL).request) is RequestState.REJECTED
            assert there.events()[-1].tag in {EventTag.REJECTED, EventTag.VOTED}
        assert registrar("audit", "verify", REGISTRAR_DATABASE_URL=postgres_url).code == 0

    def test_numbers_are_not_reused_after_the_copy(
        self, registrar: CliRunner, sqlite_url: str, postgres_url: str
    ) -> None:
        change(sqlite_url, "INSERT INTO calls VALUES (7, 'ci', 'k', 'd', 200, '{}', '2026-01-01')", "DELETE FROM calls")
        registrar("db", "copy", "--to", postgres_url, REGISTRAR_DATABASE_URL=sqlite_url)
        change(
            postgres_url,
            "INSERT INTO calls (client, key, digest, status, answer, at) VALUES ('ci', 'k', 'd', 200, '{}', now())",
        )
        assert contents(postgres_url)["calls"][0][0] == 8

    def test_a_dry_run_is_rolled_back(self, registrar: CliRunner, populated_ledger: Bench, postgres_url: str) -> None:
        empty = contents(postgres_url)
        said = registrar("db", "copy", "--to", postgres_url, "--dry-run", "--json").document
        assert (said["dry_run"], said["rows"]["requests"], said["whole"]) == (True, 5, True)
        assert contents(postgres_url) == empty

    def test_a_non_empty_target_is_refused(
        self, registrar: CliRunner, populated_ledger: Bench, postgres_url: str
    ) -> None:
        with closing(SqlLedger(postgres_url)) as ledger:
            keep(ledger, VOTE)
        before = contents(postgres_url)
        said = registrar("db", "copy", "--to", postgres_url)
        assert (said.code, "isn't empty: it has rows in audit_events" in said.err) == (1, True)
        assert contents(postgres_url) == before

    def test_a_target_without_tables_is_refused_with_the_command(
        self, registrar: CliRunner, populated_ledger: Bench, empty_postgres_url: str
    ) -> None:
        said = registrar("db", "copy", "--to", empty_postgres_url)
        assert (said.code, "registrar db upgrade" in said.err) == (2, True)
        assert "REGISTRAR_DATABASE_URL=postgresql+psycopg://" in said.err

    def test_an_old_ledger_must_be_upgraded_first(
        self, registrar: CliRunner, sqlite_url: str, postgres_url: str
    ) -> None:
        said = registrar("db", "copy", "--to", postgres_url, REGISTRAR_DATABASE_URL=set_back(sqlite_url))
        assert (said.code, "an older version of Registrar" in said.err) == (2, True)

    def test_only_sqlite_to_postgresql_is_supported(
        self, registrar: CliRunner, sqlite_url: str, postgres_url: str
    ) -> None:
        assert registrar("db", "copy", "--to", sqlite_url, REGISTRAR_DATABASE_URL=sqlite_url).code == 2
        assert registrar("db", "copy", "--to", sqlite_url, REGISTRAR_DATABASE_URL=postgres_url).code == 2

    def test_an_altered_audit_log_is_only_copied_with_force(
        self, registrar: CliRunner, populated_ledger: Bench, postgres_url: str, tmp_path: Path
    ) -> None:
        populated_ledger.ledger.close()
        tamper(tmp_path, "UPDATE audit_events SET actor = 'slack:T1/UEVE' WHERE number = 3")
        said = registrar("db", "copy", "--to", postgres_url)
        assert (said.code, "event 3 was edited" in said.err, contents(postgres_url)["asks"]) == (1, True, [])
        forced = registrar("db", "copy", "--to", postgres_url, "--force", "--json").document
        assert (forced["whole"], forced["events"]) == (False, len(contents(postgres_url)["audit_events"]))
        verified = registrar("audit", "verify", "--json", REGISTRAR_DATABASE_URL=postgres_url).document
        assert verified["fault"]["number"] == 3

    def test_a_copy_that_differs_is_not_kept(
        self, registrar: CliRunner, populated_ledger: Bench, postgres_url: str
    ) -> None:
        change(
            postgres_url,
            "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
            "CREATE TRIGGER lose BEFORE INSERT ON votes FOR EACH ROW EXECUTE FUNCTION lose()",
        )
        said = registrar("db", "copy", "--to", postgres_url)
        assert (said.code, "The copy differs in votes" in said.err) == (1, True)
        assert contents(postgres_url)["requests"] == []

    def test_a_row_that_postgresql_rejects_is_reported(
        self, registrar: CliRunner, populated_ledger: Bench, postgres_url: str
    ) -> None:
        change(os.environ["REGISTRAR_DATABASE_URL"], "UPDATE requests SET reason = char(65, 0, 66) WHERE number = 1")
        said = registrar("db", "copy", "--to", postgres_url)
        assert (said.code, "rejected a row of requests" in said.err) == (1, True)

    def test_many_rows_are_copied_in_batches(
        self, registrar: CliRunner, populated_ledger: Bench, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(copy_to_postgres, "BATCH_SIZE", 2)
        assert registrar("db", "copy", "--to", postgres_url).code == 0
        assert contents(postgres_url) == contents(os.environ["REGISTRAR_DATABASE_URL"])

    def test_both_ledgers_are_locked_during_the_copy(
        self, populated_ledger: Bench, sqlite_url: str, postgres_url: str
    ) -> None:
        heard = heard_meanwhile(sqlite_url, postgres_url)
        assert ["nothing was recorded" in one for one in heard] == [True, True]

    def test_a_dry_run_does_not_block_the_bot(
        self, populated_ledger: Bench, sqlite_url: str, postgres_url: str
    ) -> None:
        assert heard_meanwhile(sqlite_url, postgres_url, is_dry=True)[0] == ""

    def test_a_ledger_that_a_bot_uses_is_not_copied(
        self, registrar: CliRunner, populated_ledger: Bench, sqlite_url: str, postgres_url: str
    ) -> None:
        with closing(SqlLedger(sqlite_url)) as served:
            served.lock_file()
            said = registrar("db", "copy", "--to", postgres_url)
        assert (said.code, "A bot is using the ledger" in said.err, contents(postgres_url)["asks"]) == (1, True, [])
        assert registrar("db", "copy", "--to", postgres_url, "--dry-run").code == 0


def heard_meanwhile(sqlite_url: str, postgres_url: str, *, is_dry: bool = False) -> list[str]:
    """Return the errors of writes to both ledgers during the copy."""
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
    """Return the error of a write now."""
    try:
        keep(ledger, VOTE)
    except Exception as error:
        return str(error)
    return ""


def requests_of(bench: Bench) -> list[Any]:
    with bench.ledger.read() as reading:
        return reading.requests(model="churn")


def test_every_column_is_copied_unchanged() -> None:
    plain = copy_to_postgres._untyped(requests)
    assert list(plain.c.keys()) == list(requests.c.keys())
    assert isinstance(plain.c["seen"].type, sa.Text)
    assert plain.c["opened_at"].type is requests.c["opened_at"].type
