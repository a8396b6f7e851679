"""MLflow with logins: what its permissions allow, and what `registrar doctor --live` reports.

On a real `mlflow server --app-name basic-auth`. The first table is the one in docs/how-to/lock-mlflow.md.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from handlers.doctor.check import DiagnosisState
from tests.support.network.ports import free_port
from tests.support.paths import ROOT
from tests.support.registry.mlflow_auth import PASSWORD, MlflowWithLogins, mlflow_with_logins
from tests.support.registry.registries import MlflowBackend
from tests.support.terminal.cli_runner import CliRunner, command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

POLICY = """
channel: "#ml-models"
models: {"*": {production: {approvers: [U0BOB]}}}
"""
PAGE = (ROOT / "docs" / "how-to/lock-mlflow.md").read_text(encoding="utf-8")
PEOPLE = ("registrar", "reader", "user", "editor", "manager", "versions", "lead", "chief")

# What each user can do with `churn`, in the order of COLUMNS.
COLUMNS = ("no login", "READ", "USE", "EDIT on versions", "EDIT", "MANAGE", "creator", "admin")
WHO = ("", "reader", "user", "versions", "editor", "manager", "registrar", "admin")
OPERATIONS: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "Read the model": ("GET", "registered-models/get", {"name": "churn"}, "-+++++++"),
    "Register a version": ("POST", "model-versions/create", {"name": "churn", "source": "s3://x/y"}, "----++++"),
    "Set an alias": (
        "POST",
        "registered-models/alias",
        {"name": "churn", "alias": "champion", "version": "1"},
        "----++++",
    ),
    "Delete an alias": ("DELETE", "registered-models/alias", {"name": "churn", "alias": "none"}, "-----+++"),
    "Change a stage": (
        "POST",
        "model-versions/transition-stage",
        {"name": "churn", "version": "1", "stage": "Staging", "archive_existing_versions": False},
        "---+++++",
    ),
    "Set the model's tag": (
        "POST",
        "registered-models/set-tag",
        {"name": "churn", "key": "k", "value": "v"},
        "----++++",
    ),
    "Set a version's tag": (
        "POST",
        "model-versions/set-tag",
        {"name": "churn", "version": "1", "key": "k", "value": "v"},
        "---+++++",
    ),
    "Delete a version's tag": (
        "DELETE",
        "model-versions/delete-tag",
        {"name": "churn", "version": "1", "key": "k"},
        "-----+++",
    ),
    "Delete a version": ("DELETE", "model-versions/delete", {"name": "churn", "version": "NEW"}, "-----+++"),
    "Rename the model": ("POST", "registered-models/rename", {"name": "churn", "new_name": "churn"}, "----++++"),
    "Create another model": ("POST", "registered-models/create", {"name": "of WHO"}, "-+++++++"),
    "Create an experiment": ("POST", "experiments/create", {"name": "of WHO"}, "-+++++++"),
    "Log a run in another user's experiment": ("POST", "runs/create", {"experiment_id": "0"}, "-------+"),
    "Manage webhooks": ("GET", "webhooks", {}, "-------+"),
}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, mlflow_template: Path) -> Iterator[MlflowWithLogins]:
    """A server with `churn`, created by Registrar, and a user for each column."""
    with mlflow_with_logins(tmp_path_factory.mktemp("locked"), mlflow_template) as server:
        for name in PEOPLE:
            server.add_user(name)
        made = server.as_user("registrar")
        made.post("/2.0/mlflow/registered-models/create", json={"name": "churn"}).raise_for_status()
        for permission, name in {"USE": "user", "EDIT": "editor", "MANAGE": "manager"}.items():
            server.grant(name, permission, "churn")
        server.grant("versions", "EDIT", "*", "registered_model_version")
        server.grant("chief", "READ", "churn")
        server.add_role("leads", "lead", "EDIT", "registered_model")
        server.add_role("chiefs", "chief", "MANAGE", "workspace")
        yield server


def answer(client: httpx2.Client, method: str, path: str, asked: dict[str, Any]) -> int:
    what = {"params": asked} if method == "GET" else {"json": asked}
    return client.request(method, f"/2.0/mlflow/{path}", **what).status_code  # type: ignore[arg-type]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_permission_allows_what_the_docs_say(locked: MlflowWithLogins, operation: str) -> None:
    method, path, asked, expected = OPERATIONS[operation]
    found = ""
    for who in WHO:
        new = new_version(locked)
        with locked.as_user(who) as client:
            told = {
                key: value.replace("WHO", who).replace("NEW", new) if isinstance(value, str) else value
                for key, value in asked.items()
            }
            code = answer(client, method, path, told)
        answer(locked.admin, "DELETE", "registered-models/delete", {"name": f"of {who}"})  # where it was just made
        assert code in {200, 403 if who else 401}
        found += "+" if code == 200 else "-"
    assert found == expected
    cells = " | ".join({"+": "yes", "-": "no"}[one] for one in expected)
    assert f"| {operation} | {cells} |" in PAGE


def test_the_page_has_the_measured_columns() -> None:
    assert f"| | {' | '.join(COLUMNS)} |" in PAGE


def new_version(locked: MlflowWithLogins) -> str:
    made = locked.admin.post("/2.0/mlflow/model-versions/create", json={"name": "churn", "source": "s3://x/y"})
    return str(made.json()["model_version"]["version"])


@pytest.fixture
def registrar(
    locked: MlflowWithLogins,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mlflow_patience: None,
) -> CliRunner:
    """Return the terminal command, logged in to MLflow as Registrar."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "registrar.yml").write_text(POLICY)
    usual = {
        "MLFLOW_TRACKING_URI": locked.uri,
        "MLFLOW_TRACKING_USERNAME": "registrar",
        "REGISTRAR_PORT": str(free_port()),
        "MLFLOW_TRACKING_PASSWORD": PASSWORD,
    }
    for name, value in usual.items():
        monkeypatch.setenv(name, value)
    return command(monkeypatch, capsys)


def access(registrar: CliRunner, **settings: str) -> list[tuple[str, str]]:
    said = registrar("doctor", "--live", "--json", **settings)
    assert PASSWORD not in said.out + said.err
    told = [one for one in said.document["findings"] if one["area"] == "MLflow access"]
    return [(DiagnosisState(one["state"]).label, f"{one['sentence']} → {one['advice']}") for one in told]


# -- what doctor says --------------------------------------------------------------------------------------------------


def test_without_a_login_nothing_changes_and_registrar_cannot_see_other_users(
    registrar: CliRunner,
) -> None:
    told = access(registrar)
    assert "rejects changes without a login" in told[0][1]
    assert [state for state, _ in told] == ["ok", "skipped", "skipped"]
    assert "REGISTRAR_PROBE_USERNAME" in told[1][1]
    assert "MLflow shows permissions only to its admins" in told[2][1]
    assert "an admin's MLFLOW_TRACKING_USERNAME" in told[2][1]


@pytest.mark.parametrize(
    ("name", "state", "told"),
    [
        ("reader", "ok", "reader (REGISTRAR_PROBE_*) can't move any model. Checked: 1 model that the policy covers."),
        ("user", "ok", "user (REGISTRAR_PROBE_*) can't move any model."),
        ("editor", "warning", "editor (REGISTRAR_PROBE_*) can move churn without Registrar."),
        ("versions", "warning", "versions (REGISTRAR_PROBE_*) can move every model without Registrar."),
        ("lead", "warning", "lead (REGISTRAR_PROBE_*) can move every model without Registrar."),
        ("chief", "warning", "chief (REGISTRAR_PROBE_*) can move every model without Registrar."),
        ("admin", "warning", "admin (REGISTRAR_PROBE_*) can move every model without Registrar."),
    ],
)
def test_an_ordinary_user_is_checked_and_nothing_is_written(
    registrar: CliRunner, locked: MlflowWithLogins, name: str, state: str, told: str
) -> None:
    before = churn(locked)
    found = access(registrar, REGISTRAR_PROBE_USERNAME=name, REGISTRAR_PROBE_PASSWORD=PASSWORD)
    assert found[1][0] == state
    assert told in found[1][1]
    assert churn(locked) == before


def churn(locked: MlflowWithLogins) -> Any:
    return locked.admin.get("/2.0/mlflow/registered-models/get", params={"name": "churn"}).json()


def test_a_rejected_login_is_a_warning(registrar: CliRunner) -> None:
    found = access(registrar, REGISTRAR_PROBE_USERNAME="reader", REGISTRAR_PROBE_PASSWORD="made up, and wrong")
    assert found[1] == ("warning", "MLflow rejected the credentials in REGISTRAR_PROBE_*. → Fix them, or remove them.")


def test_an_admin_sees_everyone_else_who_can_move_a_model(registrar: CliRunner) -> None:
    told = access(registrar, MLFLOW_TRACKING_USERNAME="admin")
    state, named = told[2]
    assert state == "warning"
    assert named.startswith("Besides admin, 6 users can move models without Registrar: ")
    for one in (
        "editor (churn)",
        "manager (churn)",
        "registrar (churn)",
        "versions (every model)",
        "lead (every model)",
        "chief (every model)",
    ):
        assert one in named
    assert "reader" not in named
    assert "user (" not in named


def test_registrar_can_manage_the_models_that_it_created(registrar: CliRunner) -> None:
    findings = registrar("doctor", "--live", "--json").document["findings"]
    assert [one["state"] for one in findings if one["area"] == "MLflow rights"] == ["ok", "ok"]


def test_edit_without_manage_is_an_error(registrar: CliRunner) -> None:
    findings = registrar("doctor", "--live", "--json", MLFLOW_TRACKING_USERNAME="editor").document["findings"]
    [told] = [one for one in findings if (one["area"], one["state"]) == ("MLflow rights", "wrong")]
    assert (told["sentence"], told["advice"]) == (
        "The bot can't manage churn.",
        "Give its user MANAGE on each of them in MLflow.",
    )


# -- working there -----------------------------------------------------------------------------------------------------


def test_a_reader_logs_a_run_and_registrar_registers_it(
    registrar: CliRunner, locked: MlflowWithLogins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "reader")
    run = MlflowBackend(locked.uri, "mlflow-artifacts:/of-reader").add_run(
        metrics={"f1": 0.95}, models=["model"], experiment="of the reader"
    )
    with locked.as_user("reader") as reader:
        asked = {"name": "churn", "source": f"runs:/{run}/model", "run_id": run}
        assert answer(reader, "POST", "model-versions/create", asked) == 403
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "registrar")
    said = registrar("register", run, "fraud", "--tag", "owner=ann", "--tag", "use_case=x", "--json")
    assert (said.code, said.err) == (0, "")
    assert (said.document["version"], said.document["run_id"]) == (1, run)
    with locked.as_user("reader") as reader:
        asked = {"name": "fraud", "alias": "champion", "version": "1"}
        assert answer(reader, "POST", "registered-models/alias", asked) == 403
        answer(locked.admin, "DELETE", "registered-models/delete", {"name": "fraud"})


def test_compose_s_script_creates_registrar_s_user_once_with_its_permissions(locked: MlflowWithLogins) -> None:
    """This includes an existing user with another password and less than MANAGE."""
    locked.add_user("compose")
    locked.grant("compose", "READ", "*")
    env = {
        "MLFLOW_TRACKING_URI": locked.uri,
        "MLFLOW_TRACKING_USERNAME": "compose",
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_TRACKING_PASSWORD": "another of twelve",
    }
    script = ROOT / "deploy" / "mlflow_users.py"
    for told in ("Changed compose's password.\n", ""):
        done = subprocess.run(
            [sys.executable, script], env=env, capture_output=True, text=True, check=False, timeout=60
        )
        said = f"{told}compose has MANAGE on every registered model.\n"
        assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
    with locked.as_user("compose", "another of twelve") as compose:
        asked = {"name": "churn", "alias": "champion", "version": "1"}
        assert answer(compose, "POST", "registered-models/alias", asked) == 200
    answer(locked.admin, "DELETE", "users/delete", {"username": "compose"})


def test_only_a_run_s_author_can_overwrite_its_version_s_files(locked: MlflowWithLogins) -> None:
    """The page warns of this: the files belong to the run, not to the version."""
    with locked.as_user("reader") as reader:
        made = reader.post("/2.0/mlflow/experiments/create", json={"name": "files of the reader"}).json()
        run = reader.post("/2.0/mlflow/runs/create", json={"experiment_id": made["experiment_id"]}).json()["run"][
            "info"
        ]
        where = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
        file = f"/2.0/mlflow-artifacts/artifacts/{where}/model/MLmodel"
        assert reader.put(file, content=b"approved").status_code == 200
        asked = {"name": "churn", "source": f"{run['artifact_uri']}/model", "run_id": run["run_id"]}
        with locked.as_user("registrar") as registrar:
            assert answer(registrar, "POST", "model-versions/create", asked) == 200
            assert reader.put(file, content=b"something else").status_code == 200
            assert registrar.get(file).text == "something else"
            assert registrar.put(file, content=b"approved").status_code == 403


def test_a_default_permission_to_edit_is_a_warning(registrar: CliRunner, tmp_path: Path, mlflow_template: Path) -> None:
    with mlflow_with_logins(tmp_path, mlflow_template, default="EDIT") as server:
        server.add_user("reader")
        server.grant("reader", "READ", "*")  # below the default, it removes nothing
        as_admin = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_URI": server.uri}
        told = access(registrar, REGISTRAR_PROBE_USERNAME="reader", REGISTRAR_PROBE_PASSWORD=PASSWORD, **as_admin)
    assert [state for state, _ in told] == ["ok", "warning", "warning"]
    assert "can move every model without Registrar" in told[1][1]
    assert "default_permission is EDIT" in told[2][1]
