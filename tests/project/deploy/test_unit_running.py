"""deploy/registrar.service on a machine with systemd, as docs/operations/install.md installs it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.app.app_fixture import MANIFEST
from tests.support.deploy.deployment import DEPLOY
from tests.support.deploy.systemd_machine import SystemdMachine, systemd_machine
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # the image is built once, which takes a minute or two

BOT_TOKEN, APP_TOKEN, CLIENT_TOKEN = "xoxb-s3cret", "xapp-s3cret", "a s3cret # with 'quotes'"
POLICY = """
channel: "#ml-models"
roles: {lead: [U0BOB]}
clients: {ci: {token_env: CI_TOKEN, may: [read]}}
models: {"*": {production: {approvers: [lead]}}}
"""
ENV_FILE = f"""\
SLACK_BOT_TOKEN={BOT_TOKEN}
SLACK_APP_TOKEN={APP_TOKEN}
SLACK_API_URL=http://127.0.0.1:8990/api/
CI_TOKEN="{CLIENT_TOKEN}"
"""
CREDENTIAL = "/run/credentials/registrar.service/registrar.env"
TWO_VERSIONS = """
from mlflow import MlflowClient
client = MlflowClient("sqlite:////var/lib/registrar/mlflow.db")
client.create_registered_model("churn")
experiment = client.create_experiment("churn", artifact_location="/var/lib/registrar/artifacts")
for f1 in (0.81, 0.82):
    run = client.create_run(experiment).info
    client.log_metric(run.run_id, "f1", f1)
    client.create_model_version("churn", run.artifact_uri, run_id=run.run_id)
"""
COMPARE = """
import registrar  # makes localslack importable
from localslack import Remote
with Remote("http://127.0.0.1:8990/") as slack:
    alice = slack.person("alice")
    alice.types("#ml-models", "/model compare churn")
    answer = alice.waits_for_direct_message(lambda message: message.get("files"), timeout=60)
    print(alice.downloads(answer["files"][0])[:8])
"""
GET = "import httpx2; print(httpx2.get('http://127.0.0.1:3000{path}', headers={headers}).text)"


@pytest.fixture(scope="module")
def installed() -> Iterator[SystemdMachine]:
    """Yield a machine with the unit, its files, and a Slack workspace."""
    with systemd_machine() as machine:
        machine.write("/etc/systemd/system/registrar.service", (DEPLOY / "registrar.service").read_text())
        machine.write("/etc/registrar/registrar.yml", POLICY)
        machine.write("/etc/registrar/registrar.env", ENV_FILE, mode=0o600)
        machine.write("/run/manifest.yml", MANIFEST.read_text())
        machine.run(
            *("systemd-run", "--unit=localslack", "--setenv=LOCALSLACK_BOT_TOKEN=" + BOT_TOKEN),
            *("--setenv=LOCALSLACK_APP_TOKEN=" + APP_TOKEN, "/opt/registrar/bin/localslack"),
            *("--manifest=/run/manifest.yml", "--port=8990", "--no-rate-limits"),
        )
        wait_until(lambda: "8990" in machine.run("journalctl", "--unit=localslack", "--output=cat"))
        yield machine


@pytest.fixture
def machine(installed: SystemdMachine) -> SystemdMachine:
    """Return the machine with the service running and ready."""
    installed.run("systemctl", "start", "registrar")
    wait_until(lambda: is_ready(installed))
    return installed


def is_ready(machine: SystemdMachine) -> bool:
    """Return whether the service's current process is ready."""
    invocation = f"_SYSTEMD_INVOCATION_ID={machine.show('InvocationID')}"
    return "Registrar is ready" in machine.run("journalctl", "--output=cat", invocation)


def get(machine: SystemdMachine, path: str, token: str = "") -> str:
    """Return an answer of the service's HTTP server."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return machine.python(GET.format(path=path, headers=headers))


def test_it_answers_and_runs_without_privileges(machine: SystemdMachine) -> None:
    assert "alive" in get(machine, "/healthz")
    status = machine.run("cat", f"/proc/{machine.show('MainPID')}/status")
    assert re.findall(r"^Uid:\t(\d+)", status, re.MULTILINE) == [machine.run("id", "--user", "registrar").strip()]
    assert re.findall(r"^(?:CapBnd|CapEff|NoNewPrivs|Seccomp):\t(\w+)", status, re.MULTILINE) == [
        *2 * ["0000000000000000"],
        "1",  # no new privileges
        "2",  # a filter of system calls
    ]


def test_the_process_s_environment_has_no_secret(machine: SystemdMachine) -> None:
    environment = machine.run("cat", f"/proc/{machine.show('MainPID')}/environ")
    assert f"REGISTRAR_ENV_FILE={CREDENTIAL}" in environment
    assert "s3cret" not in environment


def test_no_other_user_can_read_the_credentials(machine: SystemdMachine) -> None:
    read = f"print(open('{CREDENTIAL}').read())"
    assert BOT_TOKEN in machine.python(read, user="registrar")
    assert "Permission denied" in machine.fails("setpriv", "--reuid=nobody", "--clear-groups", "cat", CREDENTIAL)


def test_a_token_in_quotes_is_accepted(machine: SystemdMachine) -> None:
    assert "blocks" in get(machine, "/v1/models/churn/blocks", CLIENT_TOKEN)


def test_a_comparison_draws_a_chart(machine: SystemdMachine) -> None:
    machine.python(TWO_VERSIONS, user="registrar")
    assert "PNG" in machine.python(COMPARE)


def test_its_control_group_has_the_limits(machine: SystemdMachine) -> None:
    limits = [
        machine.run("sh", "-c", f"cat /sys/fs/cgroup/{path} 2>/dev/null || true").strip()
        for path in (
            "memory/system.slice/registrar.service/memory.limit_in_bytes",  # version 1
            "pids/system.slice/registrar.service/pids.max",
            "system.slice/registrar.service/memory.max",  # version 2
            "system.slice/registrar.service/pids.max",
        )
    ]
    assert [limit for limit in limits if limit] == [str(1536 * 1024 * 1024), "2048"]


def test_it_writes_only_to_its_own_folders(machine: SystemdMachine) -> None:
    found = machine.run("find", "/", "-xdev", "-user", "registrar", "-not", "-path", "*/systemd-private-*").split()
    assert [path for path in found if not path.startswith("/var/lib/registrar")] == []


def test_it_can_read_the_id_of_this_boot(machine: SystemdMachine) -> None:
    boot = "/proc/sys/kernel/random/boot_id"
    inside = machine.run("nsenter", f"--target={machine.show('MainPID')}", "--mount", "cat", boot)
    assert inside == machine.run("cat", boot)


def test_it_is_restarted_after_a_kill(machine: SystemdMachine) -> None:
    before = machine.show("MainPID")
    machine.run("systemctl", "kill", "--signal=KILL", "registrar")
    wait_until(lambda: machine.show("MainPID") not in {before, "0"} and is_ready(machine))
    assert machine.show("NRestarts") == "1"


def test_it_stops_in_time(machine: SystemdMachine) -> None:
    machine.run("systemctl", "stop", "registrar")
    assert (machine.show("Result"), machine.show("ExecMainStatus")) == ("success", "0")
    assert "Stopping: finishing work in progress." in machine.log()


def test_a_configuration_error_is_not_restarted(machine: SystemdMachine) -> None:
    machine.run("systemctl", "stop", "registrar")
    machine.write("/etc/registrar/registrar.env", "hunter2\n", mode=0o600)
    machine.run("systemctl", "start", "registrar")
    wait_until(lambda: machine.show("ActiveState") == "failed")
    machine.write("/etc/registrar/registrar.env", ENV_FILE, mode=0o600)
    assert (machine.show("ExecMainStatus"), machine.show("NRestarts")) == ("2", "0")
    assert "Line 1 of the file in REGISTRAR_ENV_FILE isn't NAME=value." in machine.log()
