"""`registrar doctor` about the ledger."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text

from handlers.doctor import local
from tests.support.network.ports import free_port
from tests.support.terminal.doctor import RunDoctor


def test_a_ledger_that_is_not_there_yet_is_no_fault(doctor: RunDoctor) -> None:
    assert "`registrar run` makes it" in doctor().of("ledger", "ok")


def test_a_folder_that_we_may_not_write_to_is_told(doctor: RunDoctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # the tests may run as root, who may write everywhere
    assert "may not write" in doctor().of("ledger", "wrong")


def test_a_file_that_is_no_ledger_is_told(doctor: RunDoctor, tmp_path: Path) -> None:
    (tmp_path / "other.db").write_text("hello, this is text" * 100)
    assert "no ledger" in doctor(REGISTRAR_DATABASE_URL=f"sqlite:///{tmp_path}/other.db").of("ledger", "wrong")


def edited(url: str, statement: str) -> str:
    """Return the ledger's address after somebody has edited it."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()
    return url


def test_a_ledger_of_a_newer_registrar_is_wrong(doctor: RunDoctor, sqlite_url: str) -> None:
    url = edited(sqlite_url, "UPDATE alembic_version SET version_num = '9999'")
    assert "newer Registrar" in doctor(REGISTRAR_DATABASE_URL=url).of("ledger", "wrong")


def test_a_ledger_of_an_older_registrar_is_brought_up_to_date_by_the_next_run(
    doctor: RunDoctor, sqlite_url: str
) -> None:
    url = edited(sqlite_url, "UPDATE alembic_version SET version_num = '0001'")
    assert "`registrar run` brings them up to date" in doctor(REGISTRAR_DATABASE_URL=url).of("ledger", "mind")


def test_a_head_that_is_gone_is_told(doctor: RunDoctor, sqlite_url: str) -> None:
    url = edited(sqlite_url, "DELETE FROM audit_head")
    assert "head is gone" in doctor(REGISTRAR_DATABASE_URL=url).of("audit", "wrong")


def test_a_database_that_is_away_is_told_without_its_password(doctor: RunDoctor) -> None:
    said = doctor(REGISTRAR_DATABASE_URL=f"postgresql://ann:hush@127.0.0.1:{free_port()}/registrar")
    assert (said.code, said.states("ledger")) == (3, ["silent"])


@pytest.mark.postgres
def test_a_postgresql_with_and_without_a_ledger_is_read(
    doctor: RunDoctor, postgres_url: str, empty_postgres_url: str
) -> None:
    assert "up to date" in doctor(REGISTRAR_DATABASE_URL=postgres_url).of("ledger", "ok")
    assert "no ledger yet" in doctor(REGISTRAR_DATABASE_URL=empty_postgres_url).of("ledger", "wrong")


@pytest.mark.postgres
def test_an_older_ledger_on_postgresql_has_to_be_upgraded(doctor: RunDoctor, postgres_url: str) -> None:
    with closing(psycopg.connect(postgres_url, autocommit=True)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    assert "`registrar db upgrade`" in doctor(REGISTRAR_DATABASE_URL=postgres_url).of("ledger", "wrong")


def test_a_database_that_we_do_not_speak_is_wrong(doctor: RunDoctor) -> None:
    assert "SQLite and PostgreSQL" in doctor(REGISTRAR_DATABASE_URL="mysql://a:b@c/d").of("ledger", "wrong")


def test_a_ledger_on_a_network_file_system_is_told(
    doctor: RunDoctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mounts").write_text(f"/dev/vda / ext4 rw 0 0\nfiles:/home {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(local, "MOUNTS_FILE", tmp_path / "mounts")
    assert "network file system (nfs4)" in doctor().of("ledger", "mind")
