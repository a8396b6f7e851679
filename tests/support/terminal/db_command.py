"""`registrar db` on a populated ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot.ledger import SqlLedger, engines
from tests.support.ledger.populated_ledger import open_bench, populate
from tests.support.services.bench import Bench
from tests.support.terminal.cli_runner import CliRunner, command


@pytest.fixture
def registrar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CliRunner:
    """Return the terminal's command in an empty folder; settings are keyword arguments."""
    monkeypatch.chdir(tmp_path)
    return command(monkeypatch, capsys)


@pytest.fixture
def populated_ledger(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Return the services on a populated ledger, and configure it in the settings."""
    monkeypatch.setenv("REGISTRAR_DATABASE_URL", sqlite_url)
    with closing(SqlLedger(sqlite_url)) as ledger:
        bench = open_bench(ledger)
        populate(bench)
        yield bench


def set_back(url: str, revision: str = "0001") -> str:
    """Set the revision of a ledger's tables; return its URL."""
    change(url, f"UPDATE alembic_version SET version_num = '{revision}'")  # noqa: S608 - a revision of ours
    return url


def change(url: str, *statements: str) -> None:
    engine = sa.create_engine(engines.parse_url(url), poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
