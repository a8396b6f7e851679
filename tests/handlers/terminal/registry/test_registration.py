"""`registrar validate` and `register` on a real MLflow: output and exit codes."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.domain.audit.events import Event, EventTag
from bot.domain.commands.promotions import Validate
from bot.domain.commands.registry import Register
from bot.domain.core.actors import Operator
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from bot.ledger import SqlLedger
from bot.registry.mlflow.registry import MlflowRegistry
from handlers.terminal.command_line.json_keys import DOCUMENT_KEYS
from handlers.terminal.session import current_operator
from tests.support.network.ports import free_port
from tests.support.registry.registries import MlflowBackend
from tests.support.terminal.cli_runner import CliRunner

# -- validate ----------------------------------------------------------------------------------------------------------


GATES = """
roles: {lead: [U0BOB]}
models:
  "*":
    staging: {approvers: [lead]}
    production:
      approvers: [lead]
      gates:
        - {metric: f1, at_least: 0.9}
        - {metric: latency_ms, at_most: 100}
        - {semver: set}
"""


@pytest.fixture
def gates(tmp_path: Path) -> Path:
    """Return a policy with gates, at the default path."""
    path = tmp_path / "registrar.yml"
    path.write_text(GATES)
    return path


def test_every_gate_is_shown_with_its_value_and_bound(registrar: CliRunner, churn: str, gates: Path) -> None:
    said = registrar("validate", "--model-name", churn, "--version", "2")
    assert (said.code, said.err) == (1, "")
    lines = [line.split() for line in said.out.splitlines()]
    assert said.out.splitlines()[0] == "churn v2 → Production: 1 of 3 gates failed."
    assert lines[2] == ["Gate", "Value", "Required", "Note"]
    assert lines[4:7] == [
        ["✓", "f1", "0.91", "≥", "0.9"],
        ["✗", "latency_ms", "missing", "≤", "100"],
        ["✓", "semver", "1.1.0", "set"],
    ]


def test_reported_validation_results_are_used(registrar: CliRunner, churn: str, gates: Path) -> None:
    said = registrar("validate", churn, "2", "--validation", "latency_ms=12", "--validation", "accuracy=0.9")
    assert (said.code, said.err) == (0, "")
    assert "churn v2 → Production: all 3 gates passed." in said.out
    assert "reported by requester" in said.out


def test_validation_json_has_the_documented_keys(registrar: CliRunner, churn: str, gates: Path) -> None:
    said = registrar("validate", churn, "2", "--json", "--validation", "latency_ms=120")
    document = said.document
    assert (said.code, said.err, list(document)) == (1, "", list(DOCUMENT_KEYS[Validate]))
    assert (document["passed"], document["to"], document["semver"]) == (False, "Production", "1.1.0")
    assert document["validation"] == {"latency_ms": 120.0}
    assert document["gates"][1] == {
        "name": "latency_ms",
        "bound": "≤ 100",
        "value": "120",
        "passed": False,
        "note": "reported by requester",
        "limit": 100.0,
    }


def test_a_stage_without_gates_passes_and_says_so(registrar: CliRunner, churn: str, gates: Path) -> None:
    said = registrar("validate", churn, "2", "--to", "staging")
    assert (said.code, said.out) == (0, "The policy has no gates for churn v2 → Staging.\n")


def test_validating_without_a_policy_suggests_init(registrar: CliRunner, churn: str) -> None:
    said = registrar("validate", churn, "2", "--json")
    assert (said.code, said.out) == (2, "")
    assert "registrar init" in said.err


def test_validating_creates_no_ledger(registrar: CliRunner, churn: str, gates: Path, tmp_path: Path) -> None:
    gates.write_text(GATES.replace("{semver: set}", "{in_staging_for: 1h}"))
    said = registrar("validate", churn, "2")
    assert (said.code, "not in Staging" in said.out) == (1, True)
    assert not (tmp_path / ".registrar").exists()


def test_the_time_in_staging_comes_from_an_existing_ledger(
    registrar: CliRunner, churn: str, gates: Path, tmp_path: Path, sqlite_template: Path
) -> None:
    gates.write_text(GATES.replace("{semver: set}", "{in_staging_for: 1h}"))
    with closing(MlflowRegistry(os.environ["MLFLOW_TRACKING_URI"])) as registry:
        registry.transition_stage(churn, 2, Stage.STAGING, archive_existing=True)
    assert "1d 6h" not in registrar("validate", churn, "2").out
    (tmp_path / ".registrar").mkdir()
    (tmp_path / ".registrar" / "ledger.db").write_bytes(sqlite_template.read_bytes())
    long_ago = datetime.now(UTC) - timedelta(hours=30)
    move = Transition(
        id="m1",
        kind=TransitionKind.PROMOTION,
        model=churn,
        version=2,
        from_stage=Stage.NONE,
        target=Stage.STAGING,
        expected_incumbent=None,
        actor=current_operator(),
        intended_at=long_ago,
        finished_at=long_ago,
        state=TransitionState.DONE,
    )
    with closing(SqlLedger(f"sqlite:///{tmp_path / '.registrar' / 'ledger.db'}")) as ledger, ledger.write() as tx:
        tx.add_transition(move)
    assert "1d 6h" in registrar("validate", churn, "2").out


# -- register ----------------------------------------------------------------------------------------------------------


def events(home: Path) -> list[Event]:
    """Return the events in the ledger's audit log."""
    with closing(SqlLedger(f"sqlite:///{home / '.registrar' / 'ledger.db'}")) as ledger, ledger.read() as reading:
        return [link.event for link in reading.audit_events()]


def test_registering_records_the_intent_and_the_result(
    registrar: CliRunner, churn: str, mlflow_backend: MlflowBackend, tmp_path: Path
) -> None:
    run = mlflow_backend.add_run(metrics={"f1": 0.95}, models=["model"])
    said = registrar("register", "--run-id", run, "--model-name", churn, "--tag", "owner=ann", "--tag", "use_case=x")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("Registered v4 of “churn” as ")
    asked, made = events(tmp_path)
    assert (asked.tag, asked.actor, asked.origin) == (
        EventTag.REGISTRY_CHANGE_REQUESTED,
        current_operator(),
        "terminal",
    )
    assert (made.tag, made.actor, made.after) == (EventTag.REGISTERED, current_operator(), "v4")
    assert asked.evidence["tags"] == ["owner=ann", "use_case=x"]


def test_registering_returns_the_version_as_json(
    registrar: CliRunner, churn: str, mlflow_backend: MlflowBackend, mlflow_sqlite: str
) -> None:
    run = mlflow_backend.add_run(metrics={"f1": 0.95}, models=["model"])
    for number, semver in (
        (4, "2.0.0"),
        (5, "3.0.0"),
    ):  # the second version from the same run is different from the first
        said = registrar("register", run, churn, "--bump", "major", "--description", "wider trees", "--json")
        document = said.document
        assert (said.code, said.err, list(document)) == (0, "", list(DOCUMENT_KEYS[Register]))
        assert (document["version"], document["semver"], document["run_id"]) == (number, semver, run)
        assert (document["against"], document["overridden"]) == (1, True)
    with closing(MlflowRegistry(mlflow_sqlite)) as registry:
        newest = registry.versions(churn)[0]
    assert (newest.semver, newest.description) == ("3.0.0", "wider trees")


def test_an_unknown_run_is_refused_and_audited(registrar: CliRunner, tmp_path: Path) -> None:
    said = registrar("register", "0" * 32, "churn", "--json")
    assert (said.code, said.out) == (2, "")
    assert "MLflow has no run" in said.err
    assert [event.tag for event in events(tmp_path)] == [
        EventTag.REGISTRY_CHANGE_REQUESTED,
        EventTag.REGISTRY_CHANGE_REFUSED,
    ]


def test_a_command_is_recorded_while_mlflow_is_down(registrar: CliRunner, tmp_path: Path) -> None:
    said = registrar("register", "0" * 32, "churn", MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}")
    assert (said.code, said.out) == (3, "")
    assert "Your command is recorded" in said.err
    assert "as soon as MLflow responds" in said.err
    assert [event.tag for event in events(tmp_path)] == [EventTag.REGISTRY_CHANGE_REQUESTED]


def test_an_unavailable_ledger_fails_before_anything_is_created(
    registrar: CliRunner, tmp_path: Path, mlflow_sqlite: str
) -> None:
    (tmp_path / ".registrar").write_text("a file where a folder should be")
    assert registrar("register", "0" * 32, "churn").code == 3


def test_the_operator_comes_from_the_operating_system(monkeypatch: pytest.MonkeyPatch) -> None:
    before = current_operator()
    monkeypatch.setenv("LOGNAME", "somebody-else")
    monkeypatch.setenv("USER", "somebody-else")
    assert current_operator() == before != Operator("somebody-else")
