"""The ledger checks of `registrar doctor`."""

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


def test_a_missing_ledger_is_ok(doctor: RunDoctor) -> None:
    assert "`registrar run` creates it" in doctor().of("ledger", "ok")


def test_a_read_only_folder_is_an_error(doctor: RunDoctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # the tests can run as root, which can write everywhere
    assert "No permission to write" in doctor().of("ledger", "error")


def test_a_file_that_is_not_a_ledger_is_an_error(doctor: RunDoctor, tmp_path: Path) -> None:
    (tmp_path / "other.db").write_text("hello, this is text" * 100)
    assert "isn't a Registrar ledger" in doctor(REGISTRAR_DATABASE_URL=f"sqlite:///{tmp_path}/other.db").of(
        "ledger", "error"
    )


def edited(url: str, statement: str) -> str:
    """Run this statement in the ledger, and return its address."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()
    return url


def test_a_ledger_from_a_newer_version_is_an_error(doctor: RunDoctor, sqlite_url: str) -> None:
    url = edited(sqlite_url, "UPDATE alembic_version SET version_num = '9999'")
    assert "newer version of Registrar" in doctor(REGISTRAR_DATABASE_URL=url).of("ledger", "error")


def test_a_ledger_without_a_revision_is_an_error(doctor: RunDoctor, sqlite_url: str) -> None:
    url = edited(sqlite_url, "DROP TABLE alembic_version")
    assert "Restore a backup" in doctor(REGISTRAR_DATABASE_URL=url).of("ledger", "error")


def test_a_ledger_from_an_older_version_is_upgraded_by_the_next_run(doctor: RunDoctor, sqlite_url: str) -> None:
    url = edited(sqlite_url, "UPDATE alembic_version SET version_num = '0001'")
    assert "`registrar run` upgrades them at startup" in doctor(REGISTRAR_DATABASE_URL=url).of("ledger", "warning")


def test_a_missing_audit_head_is_an_error(doctor: RunDoctor, sqlite_url: str) -> None:
    url = edited(sqlite_url, "DELETE FROM audit_head")
    assert "head is missing" in doctor(REGISTRAR_DATABASE_URL=url).of("audit", "error")


def test_a_database_that_is_down_is_reported_without_its_password(doctor: RunDoctor) -> None:
    said = doctor(REGISTRAR_DATABASE_URL=f"postgresql://ann:hush@127.0.0.1:{free_port()}/registrar")
    assert (said.code, said.states("ledger")) == (3, ["no reply"])


@pytest.mark.postgres
def test_postgresql_is_checked_with_and_without_a_ledger(
    doctor: RunDoctor, postgres_url: str, empty_postgres_url: str
) -> None:
    assert "up to date" in doctor(REGISTRAR_DATABASE_URL=postgres_url).of("ledger", "ok")
    assert "no ledger yet" in doctor(REGISTRAR_DATABASE_URL=empty_postgres_url).of("ledger", "error")


@pytest.mark.postgres
def test_an_older_ledger_on_postgresql_is_an_error(doctor: RunDoctor, postgres_url: str) -> None:
    with closing(psycopg.connect(postgres_url, autocommit=True)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    assert "`registrar db upgrade`" in doctor(REGISTRAR_DATABASE_URL=postgres_url).of("ledger", "error")


def test_an_unsupported_database_is_an_error(doctor: RunDoctor) -> None:
    assert "SQLite and PostgreSQL" in doctor(REGISTRAR_DATABASE_URL="mysql://a:b@c/d").of("ledger", "error")


def test_a_ledger_on_a_network_file_system_is_a_warning(
    doctor: RunDoctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mounts").write_text(f"/dev/vda / ext4 rw 0 0\nfiles:/home {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(local, "MOUNTS_FILE", tmp_path / "mounts")
    assert "network file system (nfs4)" in doctor().of("ledger", "warning")
