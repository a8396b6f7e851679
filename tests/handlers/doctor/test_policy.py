"""The policy and HTTP port checks of `registrar doctor`."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Automation
from bot.domain.policy.pending_edit import PendingPolicyEdit, PolicyEditState
from bot.key_folder import KeyFolder
from bot.ledger import SqlLedger
from handlers.doctor.check import display_url
from localslack import LocalSlack
from tests.support.app.app_fixture import running_app
from tests.support.network.http_receiver import run_receiver
from tests.support.passports.harness import new_key
from tests.support.registry.memory import MemoryRegistry
from tests.support.terminal.doctor import POLICY, RunDoctor

# -- the policy --------------------------------------------------------------------------------------------------------


def test_a_policy_file_that_is_not_in_force_is_a_warning(doctor: RunDoctor, tmp_path: Path, sqlite_url: str) -> None:
    taken = Event(
        at=datetime.now(UTC),
        actor=Automation("policy-file"),
        tag=EventTag.POLICY_LOADED,
        subject="policy:one",
        after="one",
        evidence={"text": POLICY},
    )
    with closing(SqlLedger(sqlite_url)) as ledger, ledger.write() as tx:
        tx.add_audit_event(taken)
    said = doctor(REGISTRAR_DATABASE_URL=sqlite_url)
    assert "The policy in effect (revision one) differs from registrar.yml." in said.of("policy", "warning")


def test_a_running_bot_says_when_the_file_applies(
    slack: LocalSlack, doctor: RunDoctor, tmp_path: Path, sqlite_url: str
) -> None:
    (tmp_path / "bot").mkdir()
    with running_app(slack, tmp_path / "bot", MemoryRegistry(), database_url=sqlite_url) as app:
        app.registrar.context.active_policy.pending_edit = PendingPolicyEdit(
            PolicyEditState.SETTLING, datetime.now(UTC) + timedelta(hours=1)
        )
        with app.registrar.context.ledger.write() as tx:
            tx.add_audit_event(
                Event(
                    at=datetime.now(UTC),
                    actor=Automation("policy-file"),
                    tag=EventTag.POLICY_LOADED,
                    subject="policy:one",
                    after="one",
                    evidence={"text": POLICY},
                )
            )
        said = doctor(REGISTRAR_DATABASE_URL=sqlite_url, REGISTRAR_PORT=app.service.address.rpartition(":")[2])
    assert "The edit takes effect at" in said.of("policy", "warning")


def test_a_missing_policy_suggests_init(doctor: RunDoctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").unlink()
    said = doctor()
    assert said.code == 2
    assert "`registrar init`" in said.of("policy", "error")
    assert said.states("Slack channels") == ["skipped"]


def test_every_error_in_a_policy_is_reported(doctor: RunDoctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text("modles: {}\nchanel: x\nmodels: {}")
    assert doctor().states("policy") == ["error", "error"]


def test_invalid_yaml_is_reported_with_its_line(doctor: RunDoctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text("models: [")
    assert "Line 1" in doctor().of("policy", "error")


def test_a_rule_that_cannot_be_met_is_a_warning(doctor: RunDoctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text('models: {"*": {production: {approvers: []}}}')
    assert "This rule can't be met: models.*.production (needs 1 approval, has 0)." in doctor().of("policy", "warning")


def test_an_unset_variable_of_the_policy_is_a_warning(doctor: RunDoctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text(POLICY + "clients: {ci: {token_env: CI_TOKEN_OF_NOBODY, may: [push]}}")
    assert "CI_TOKEN_OF_NOBODY" in doctor().of("policy", "warning")


def test_an_unset_variable_of_the_audit_stream_is_a_warning(doctor: RunDoctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text(POLICY + "audit: {stream: SIEM_URL_OF_NOBODY}")
    assert "audit.stream in the policy needs SIEM_URL_OF_NOBODY" in doctor().of("policy", "warning")


# -- the keys ----------------------------------------------------------------------------------------------------------


def test_a_missing_key_is_only_a_hint(doctor: RunDoctor) -> None:
    assert "`registrar keys init`" in doctor().of("keys", "ok")


def test_a_key_that_others_can_read_is_an_error(doctor: RunDoctor, tmp_path: Path) -> None:
    key_id = new_key(KeyFolder(tmp_path / "keys"))
    assert key_id in doctor(REGISTRAR_KEYS="keys").of("keys", "ok")
    (tmp_path / "keys" / f"{key_id}.pem").chmod(0o644)
    assert "Others can read or change" in doctor(REGISTRAR_KEYS="keys").of("keys", "error")


# -- the port ----------------------------------------------------------------------------------------------------------


def test_a_port_in_use_is_an_error(doctor: RunDoctor) -> None:
    with run_receiver() as other:
        said = doctor(REGISTRAR_PORT=other.url.rpartition(":")[2])
    assert said.code == 2
    assert "is in use, and no bot responds there." in said.of("HTTP", "error")


def test_an_address_of_another_machine_is_an_error(doctor: RunDoctor) -> None:
    assert "REGISTRAR_HOST" in doctor(REGISTRAR_HOST="192.0.2.1").of("HTTP", "error")


def test_the_served_routes_are_listed(doctor: RunDoctor) -> None:
    assert "Slack's signed calls" in doctor(SLACK_SIGNING_SECRET="hush").of("HTTP", "ok")


def test_an_address_is_shown_without_credentials() -> None:
    assert display_url("https://ann:hush@mlflow.internal:5000/a?token=hush") == "https://mlflow.internal:5000/a"
