"""docs/operations/database.md, typed as it's written: its commands in a shell, on a ledger with much in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bot.ledger import SqlLedger
from tests.support.app.demo_process import clean_environment
from tests.support.ledger.contents import contents
from tests.support.ledger.ledgers import PostgresServer
from tests.support.ledger.populated_ledger import open_bench, populate
from tests.support.paths import ROOT

pytestmark = [pytest.mark.postgres, pytest.mark.slow]  # a dozen programs start, each by itself

PAGE = (ROOT / "docs" / "operations/database.md").read_text(encoding="utf-8")
WHERE = "export PGHOST=db.internal PGUSER=registrar PGPASSWORD=…"
DATABASES = ("ledger", "ledger_restored")


# docs/how-to/move-to-postgresql.md explains these.
MOVE = f"""{WHERE}
createdb ledger
export REGISTRAR_DATABASE_URL=postgresql+psycopg:///ledger
registrar db upgrade
REGISTRAR_DATABASE_URL= registrar db copy --to "$REGISTRAR_DATABASE_URL"
registrar audit verify
"""


def commands(heading: str) -> str:
    """Return the commands of one section. A block that's marked isn't typed.

    tests/journeys/transitions/test_restores.py has the choice after a restore.
    """
    [section] = re.findall(rf"^##+ {heading}\n(.*?)(?=^#)", PAGE, flags=re.DOTALL | re.MULTILINE)
    [block] = re.findall(r"^```sh\n(.*?)^```", section, flags=re.DOTALL | re.MULTILINE)
    return str(block)


def typed() -> str:
    """Return what is typed: the sections about SQLite, the move to PostgreSQL, and the sections about that."""
    sqlite = commands("Back up SQLite") + commands("On SQLite")
    return sqlite + MOVE + commands("Back up PostgreSQL") + commands("On PostgreSQL")


@pytest.fixture
def folder(tmp_path: Path, postgres_server: PostgresServer) -> Iterator[Path]:
    """Return a folder with a ledger, `registrar` in its bin; PostgreSQL has no database of the page's names."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "registrar").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m handlers "$@"\n', encoding="utf-8")
    (programs / "registrar").chmod(0o755)
    (tmp_path / ".registrar").mkdir()
    with closing(SqlLedger(f"sqlite:///{tmp_path / '.registrar' / 'ledger.db'}")) as ledger:
        ledger.migrate()
        populate(open_bench(ledger))
    yield tmp_path
    for name in DATABASES:
        postgres_server.drop(name)


def test_the_page_can_be_typed_from_its_beginning_to_its_end(folder: Path, postgres_server: PostgresServer) -> None:
    before = contents(f"sqlite:///{folder / '.registrar' / 'ledger.db'}")
    socket = re.search(r"host=([^&]+)", postgres_server.url("postgres"))
    assert socket
    script = typed().replace(WHERE, f"export PGHOST={socket[1]} PGUSER=postgres")
    assert "db.internal" not in script
    path = os.pathsep.join([str(folder / "bin"), str(postgres_server.programs), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        text=True,
        check=False,
        timeout=100,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=clean_environment(PYTHONPATH=str(ROOT), PATH=path),
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(f"The audit log is intact: {len(before['audit_events'])} events") == 3
    for name in DATABASES:
        assert contents(postgres_server.url(name)) == before
