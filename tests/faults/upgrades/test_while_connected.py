"""An upgrade while other processes use the ledger: it's refused, or it leaves no process on the wrong tables."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from sqlalchemy import make_url, text

from bot.domain.core.errors import LedgerUnavailable, LedgerUpgraded, Misconfigured
from bot.ledger import SqlLedger, engines, other_sessions
from bot.ledger.database import _alembic_config
from bot.ledger.procrastinate_dispatcher import ProcrastinateDispatcher
from bot.ledger.schema_check import SchemaAge
from bot.version import version
from handlers.web.readiness import NotHealthy, ledger_component
from tests.support.ledger.ledgers import PostgresServer
from tests.support.ledger.previous_release import LEDGER, database
from tests.support.ledger.records import a_request, opened, raw, save
from tests.support.terminal.db_command import set_back
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("migrates_itself")

OLD = "0007"  # the tables of 0.2.0


@pytest.fixture
def old_url(empty_postgres_url: str) -> str:
    """Return the URL of a PostgreSQL database with the tables of 0.2.0."""
    with raw(empty_postgres_url) as connection:
        run_migrations(connection, OLD)
    leave(empty_postgres_url)
    return empty_postgres_url


@pytest.fixture
def session(old_url: str) -> Iterator[psycopg.Connection]:
    """Yield a connection of another process with the same role."""
    with closing(psycopg.connect(old_url, application_name="registrar 0.2.0")) as connection:
        yield connection


def run_migrations(connection: Any, target: str) -> None:
    config = _alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, target)


def leave(url: str) -> None:
    """Wait until no one else is connected: PostgreSQL ends a session shortly after its client has closed it."""
    with psycopg.connect(url, autocommit=True) as connection:
        wait_until(lambda: not others(connection))


def others(connection: psycopg.Connection) -> list[str]:
    query = "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
    return [name for (name,) in connection.execute(query, [connection.info.backend_pid]) if name is not None]


def revision(url: str) -> str | None:
    with opened(url) as ledger:
        return ledger.schema().revision


# -- PostgreSQL --------------------------------------------------------------------------------------------------------


@pytest.mark.postgres
def test_an_upgrade_names_the_connections_that_it_would_disrupt(old_url: str, session: psycopg.Connection) -> None:
    with (
        opened(old_url) as ledger,
        pytest.raises(Misconfigured, match=r"1 other connection: registrar 0\.2\.0 at a local"),
    ):
        ledger.migrate()


@pytest.mark.postgres
def test_a_refused_upgrade_changes_nothing(old_url: str, session: psycopg.Connection) -> None:
    with opened(old_url) as ledger, pytest.raises(Misconfigured):
        ledger.migrate()
    assert revision(old_url) == OLD


@pytest.mark.postgres
def test_an_upgrade_during_a_backup_does_not_wait_for_it(old_url: str, session: psycopg.Connection) -> None:
    session.execute("LOCK TABLE alembic_version IN ACCESS SHARE MODE")  # as pg_dump does until it's done
    with opened(old_url) as ledger, pytest.raises(Misconfigured):
        ledger.migrate()


@pytest.mark.postgres
def test_a_process_that_connects_between_the_check_and_the_lock_is_noticed(
    old_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check, late = other_sessions._require_no_others, list[psycopg.Connection]()

    def check_and_connect(*arguments: object, **more: bool) -> None:
        check(*arguments, **more)  # type: ignore[arg-type]
        late.append(psycopg.connect(old_url))

    monkeypatch.setattr(other_sessions, "_require_no_others", check_and_connect)
    with opened(old_url) as ledger, pytest.raises(Misconfigured):
        ledger.migrate()
    late[0].close()


@pytest.mark.postgres
def test_no_process_can_start_during_an_upgrade(old_url: str) -> None:
    with engines.postgres_migrator(engines.parse_url(old_url)).begin() as upgrade:
        other_sessions.lock_out(upgrade, force=False)
        with opened(old_url, timeout=0.2) as starting, pytest.raises(LedgerUnavailable):
            starting.prepare()


@pytest.mark.postgres
def test_an_upgrade_with_nothing_to_change_succeeds_while_others_are_connected(postgres_url: str) -> None:
    with psycopg.connect(postgres_url), opened(postgres_url) as ledger:
        assert ledger.migrate() == ledger.schema().newest


@pytest.mark.postgres
def test_another_roles_session_does_not_prevent_an_upgrade(old_url: str, postgres_server: PostgresServer) -> None:
    postgres_server.run("CREATE ROLE exporter LOGIN")
    with psycopg.connect(old_url, user="exporter"), opened(old_url) as ledger:
        assert ledger.migrate() == OLD
    postgres_server.run("DROP ROLE exporter")


@pytest.mark.postgres
def test_of_two_upgrades_at_once_the_second_waits_and_finds_nothing_to_do(old_url: str) -> None:
    found = list[str | None]()

    def upgrade() -> None:
        with opened(old_url) as ledger:
            found.append(ledger.migrate())

    second = threading.Thread(target=upgrade)
    with raw(old_url) as first:
        first.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": other_sessions.MIGRATION_LOCK})
        second.start()
        wait_until(lambda: _is_one_waiting(first))
        other_sessions.lock_out(first, force=False)
        run_migrations(first, "head")
    second.join()
    assert found == [revision(old_url)]


def _is_one_waiting(connection: Any) -> bool:
    query = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    return bool(connection.execute(query).scalar())


@pytest.mark.postgres
def test_force_disconnects_others_and_upgrades(old_url: str, session: psycopg.Connection) -> None:
    with opened(old_url) as ledger:
        assert ledger.migrate(force=True) == OLD
        assert ledger.is_current()
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")


@pytest.mark.postgres
def test_force_ends_an_open_transaction_that_would_block_the_upgrade(old_url: str, session: psycopg.Connection) -> None:
    session.execute("LOCK TABLE alembic_version IN ACCESS SHARE MODE")
    with opened(old_url) as ledger:
        assert ledger.migrate(force=True) == OLD


@pytest.mark.postgres
def test_a_process_that_reconnects_during_an_upgrade_records_nothing(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    with opened(postgres_url, timeout=0.2) as running:
        running.prepare()
        postgres_server.leave(str(make_url(postgres_url).database))
        with engines.postgres_migrator(engines.parse_url(postgres_url)).begin() as upgrade:
            other_sessions.lock_out(upgrade, force=False)
            with pytest.raises(LedgerUnavailable, match="isn't responding, so nothing was recorded"), running.write():
                pytest.fail("it must not begin")
        save(running, a_request())


@pytest.fixture
def switching_url(empty_postgres_url: str, postgres_server: PostgresServer) -> Iterator[str]:
    """Return the URL of old tables, with a login that has no rights of its own, and switches to the tables' owner."""
    name = make_url(empty_postgres_url).database
    postgres_server.run(
        "CREATE ROLE owner",
        "CREATE ROLE login LOGIN NOINHERIT IN ROLE owner",
        "ALTER ROLE login SET role = owner",
        f"ALTER DATABASE {name} OWNER TO owner",
    )
    url = empty_postgres_url.replace("postgres:@", "login:@")
    with raw(url) as connection:
        run_migrations(connection, OLD)
    leave(empty_postgres_url)
    yield url
    postgres_server.drop(str(name))
    postgres_server.run("DROP ROLE login", "DROP ROLE owner")


@pytest.mark.postgres
def test_an_upgrade_that_switches_roles_names_the_connections_of_its_login(switching_url: str) -> None:
    with (
        closing(psycopg.connect(switching_url, application_name="registrar 0.2.0")),
        opened(switching_url) as ledger,
        pytest.raises(Misconfigured, match=r"1 other connection: registrar 0\.2\.0 at a local"),
    ):
        ledger.migrate()


@pytest.fixture
def process_of_another_role(switching_url: str) -> Iterator[psycopg.Connection[Any]]:
    """Yield a connection of a role that the upgrade's role may not disconnect."""
    with closing(psycopg.connect(switching_url, user="postgres", application_name="registrar 0.3.0")) as connection:
        yield connection


@pytest.mark.postgres
def test_an_upgrade_names_the_processes_of_other_roles(
    switching_url: str, process_of_another_role: psycopg.Connection[Any]
) -> None:
    with opened(switching_url) as ledger, pytest.raises(Misconfigured, match=r"registrar 0\.3\.0 as postgres"):
        ledger.migrate()


@pytest.mark.postgres
def test_force_names_the_process_that_its_role_cannot_disconnect(
    switching_url: str, process_of_another_role: psycopg.Connection[Any]
) -> None:
    with opened(switching_url) as ledger:
        with pytest.raises(Misconfigured, match=r"can't disconnect registrar 0\.3\.0 as postgres"):
            ledger.migrate(force=True)
        assert ledger.schema().revision == OLD
    process_of_another_role.execute("SELECT 1")


@pytest.mark.postgres
def test_force_disconnects_the_connections_of_its_login(switching_url: str) -> None:
    with closing(psycopg.connect(switching_url)) as session, opened(switching_url) as ledger:
        assert ledger.migrate(force=True) == OLD
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")


@pytest.mark.postgres
def test_an_upgrade_that_switches_roles_creates_tables_as_the_owner(switching_url: str) -> None:
    with opened(switching_url) as ledger:
        ledger.migrate()
    with psycopg.connect(switching_url) as connection:
        owners = connection.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
        assert owners.fetchall() == [("owner",)]


# -- a process whose tables were upgraded ------------------------------------------------------------------------------


@pytest.fixture
def upgraded(postgres_url: str, postgres_server: PostgresServer) -> Iterator[SqlLedger]:
    """Yield a ledger that was in use when a later version upgraded its tables."""
    with opened(postgres_url) as ledger:
        ledger.prepare()
        save(ledger, a_request())
        set_back(postgres_url, "9999")
        postgres_server.leave(str(make_url(postgres_url).database))
        yield ledger


@pytest.mark.postgres
def test_nothing_is_written_to_a_later_versions_tables(upgraded: SqlLedger) -> None:
    with pytest.raises(LedgerUpgraded, match="nothing was recorded"), upgraded.write():
        pytest.fail("it must not begin")


@pytest.mark.postgres
def test_nothing_is_read_from_a_later_versions_tables(upgraded: SqlLedger) -> None:
    with pytest.raises(LedgerUpgraded), upgraded.read():
        pytest.fail("it must not begin")


@pytest.mark.postgres
def test_a_refused_connection_is_closed(upgraded: SqlLedger, postgres_url: str) -> None:
    for _ in range(3):
        with pytest.raises(LedgerUpgraded), upgraded.read():
            pytest.fail("it must not begin")
    leave(postgres_url)


@pytest.mark.postgres
def test_readiness_says_that_another_version_upgraded_the_ledger(upgraded: SqlLedger) -> None:
    with pytest.raises(NotHealthy, match="Another version upgraded the ledger"):
        ledger_component(upgraded).check()


@pytest.mark.postgres
def test_a_process_ends_because_another_version_upgraded_the_ledger(upgraded: SqlLedger) -> None:
    upgraded.require_same_tables()
    with pytest.raises(LedgerUpgraded), upgraded.read():
        pytest.fail("it must not begin")
    with pytest.raises(LedgerUpgraded):
        upgraded.require_same_tables()


@pytest.mark.postgres
def test_a_process_does_not_end_because_its_ledger_is_down(postgres_url: str) -> None:
    with opened(f"{postgres_url}/nowhere", timeout=0.2) as ledger:
        with pytest.raises(LedgerUnavailable) as raised, ledger.read():
            pytest.fail("it must not begin")
        assert not isinstance(raised.value, LedgerUpgraded)
        ledger.require_same_tables()


# -- names of connections ----------------------------------------------------------------------------------------------


@pytest.mark.postgres
def test_connections_have_the_programs_name_and_version(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as administrator, opened(postgres_url) as ledger:
        ledger.prepare()
        assert others(administrator) == [f"registrar {version()}"]


@pytest.mark.postgres
def test_the_queue_of_checks_has_the_same_name(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as administrator, closing(_started(postgres_url)):
        wait_until(lambda: others(administrator))
        assert set(others(administrator)) == {f"registrar {version()}"}


def _started(url: str) -> ProcrastinateDispatcher:
    dispatcher = ProcrastinateDispatcher(url)
    dispatcher.start()
    return dispatcher


@pytest.mark.postgres
def test_a_name_in_the_url_is_used_instead(postgres_url: str) -> None:
    url = f"{postgres_url}&application_name=staging"
    with psycopg.connect(postgres_url) as administrator, opened(url) as ledger:
        ledger.prepare()
        assert others(administrator) == ["staging"]


# -- SQLite ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def old_file(tmp_path: Path) -> str:
    """Return the URL of an SQLite ledger of 0.2.0."""
    return f"sqlite:///{database(LEDGER, tmp_path / 'ledger.db')}"


def test_a_file_that_another_process_uses_is_not_upgraded(old_file: str) -> None:
    with opened(old_file) as running, opened(old_file) as ledger:
        running.lock_file()
        with pytest.raises(Misconfigured, match="another process uses it"):
            ledger.migrate()
        assert ledger.schema().revision == OLD


def test_a_process_upgrades_the_file_that_it_has_locked(old_file: str) -> None:
    with opened(old_file) as ledger:
        ledger.lock_file()
        assert ledger.migrate() == OLD


def test_a_current_file_can_be_opened_while_another_process_uses_it(sqlite_url: str) -> None:
    with opened(sqlite_url) as running, opened(sqlite_url) as ledger:
        running.lock_file()
        ledger.prepare()
        assert ledger.schema().age is SchemaAge.CURRENT
