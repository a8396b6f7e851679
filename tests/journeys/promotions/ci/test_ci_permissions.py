"""What a CI job can do: its own requests, one for each key, and its exit codes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Person
from bot.domain.registry.model import Stage
from bot.ports import QueuedCommand, QueuedCommandState
from handlers.terminal import remote
from handlers.terminal.main import main
from tests.support.app.app_fixture import CHANNEL, RunningApp, message_text
from tests.support.network.ports import free_port
from tests.support.registry.registries import MlflowBackend
from tests.support.terminal.ci_job import BODY, ELSEWHERE, NEARLY_ALL, OTHER, READER, call, start_job, wait_for_request


class TestBlockedVersions:
    @pytest.fixture
    def blocked(
        self, app: RunningApp, mlflow_sqlite: str, mlflow_backend: MlflowBackend, monkeypatch: Any
    ) -> RunningApp:
        """A bot whose v4 was rolled back, and a terminal on another machine with the same MLflow."""
        mlflow_backend.add_model("churn")
        for at, stage in enumerate((Stage.ARCHIVED, Stage.NONE, Stage.PRODUCTION, Stage.NONE)):
            run_id = mlflow_backend.add_run(metrics={"f1": 0.8 + at / 100})
            mlflow_backend.add_version("churn", stage=stage, run_id=run_id)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_sqlite)
        app.registrar.poll_registry()
        app.alice.types(CHANNEL, "/model promote churn 4 production")
        app.bob.clicks(app.card(), "Approve")
        app.card(holds="is in Production")
        app.bob.types(CHANNEL, '/model rollback churn --reason "accuracy fell"')
        app.card(holds="rolled back from v4 to v3")
        return app

    def test_are_reported_to_a_client_of_the_model(self, blocked: RunningApp) -> None:
        answer = call(blocked, "GET", "/v1/models/churn/blocks")
        [block] = answer.json()["blocks"]
        assert (answer.status_code, block["version"], block["reason"]) == (200, 4, "accuracy fell")
        assert call(blocked, "GET", "/v1/models/fraud/blocks").status_code == 403
        assert call(blocked, "GET", "/v1/models/churn/blocks", "t0ken-of-a-pusher").status_code == 403

    def test_are_shown_at_a_terminal_on_another_machine(
        self, blocked: RunningApp, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for words in (["show", "churn"], ["show", "churn", "4"], ["compare", "churn"], ["best", "churn", "f1"]):
            assert main(words) == 0
            assert "accuracy fell." in capsys.readouterr().out, words

    def test_fail_the_gate_when_a_job_validates_one(
        self, blocked: RunningApp, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path("registrar.yml").write_text('models: {"*": {production: {approvers: [U0BOB]}}}')
        assert main(["validate", "churn", "4"]) == 1
        assert "rolled back" in capsys.readouterr().out

    def test_are_unknown_if_the_bot_does_not_respond(
        self, blocked: RunningApp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("REGISTRAR_URL", f"http://127.0.0.1:{free_port()}")
        assert main(["show", "churn"]) == 0
        assert "accuracy fell" not in capsys.readouterr().out


class TestIdempotencyKeys:
    def test_the_same_key_never_opens_two_requests(self, app: RunningApp) -> None:
        key = {"Idempotency-Key": "job-4711"}
        first = call(app, "POST", "/v1/requests", json=BODY, headers=key)
        again = call(app, "POST", "/v1/requests", json=BODY, headers=key)
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json() == again.json()
        with app.ledger.read() as reading:
            assert len(reading.requests()) == 1

    def test_the_same_key_with_another_body_is_refused(self, app: RunningApp) -> None:
        key = {"Idempotency-Key": "job-4711"}
        call(app, "POST", "/v1/requests", json=BODY, headers=key)
        other = call(app, "POST", "/v1/requests", json=BODY | {"version": 2}, headers=key)
        assert other.status_code == 409
        assert "a different body" in other.json()["error"]

    def test_each_client_has_its_own_keys(self, app: RunningApp) -> None:
        key = {"Idempotency-Key": "job-4711"}
        call(app, "POST", "/v1/requests", json=BODY, headers=key)
        other = call(app, "POST", "/v1/requests", OTHER, json=BODY | {"to": "staging"}, headers=key)
        assert other.status_code == 201

    def test_a_retried_job_finds_its_request(self, app: RunningApp) -> None:
        assert [start_job("--timeout", "1s").ends() for _ in range(2)] == [5, 5]
        with app.ledger.read() as reading:
            assert len(reading.requests()) == 1


class TestOwnRequestsOnly:
    def test_a_client_cannot_see_or_cancel_other_clients_requests(self, app: RunningApp) -> None:
        asked = call(app, "POST", "/v1/requests", json=BODY).json()["id"]
        assert [call(app, method, f"/v1/requests/{asked}", OTHER).status_code for method in ("GET", "DELETE")] == [
            404,
            404,
        ]
        assert call(app, "GET", f"/v1/requests/{asked}").json()["state"] == "pending"

    def test_a_client_cannot_see_a_person_s_request(self, app: RunningApp) -> None:
        app.alice.types(CHANNEL, "/model promote churn 4 production")
        asked = wait_for_request(app)
        assert call(app, "GET", f"/v1/requests/{asked}").status_code == 404

    def test_a_reader_reads_every_request_about_its_models_and_does_nothing_else(self, app: RunningApp) -> None:
        app.alice.types(CHANNEL, "/model promote churn 4 production")
        asked = wait_for_request(app)
        assert call(app, "GET", f"/v1/requests/{asked}", READER).json()["state"] == "pending"
        assert call(app, "GET", f"/v1/requests/{asked}", ELSEWHERE).status_code == 404
        assert call(app, "DELETE", f"/v1/requests/{asked}", READER).status_code == 403
        assert call(app, "POST", "/v1/requests", READER, json=BODY).status_code == 403

    def test_a_client_can_cancel_its_own_request_and_the_card_says_so(self, app: RunningApp) -> None:
        asked = call(app, "POST", "/v1/requests", json=BODY).json()["id"]
        assert call(app, "DELETE", f"/v1/requests/{asked}").json()["state"] == "cancelled"
        app.card(holds="canceled")
        assert call(app, "DELETE", f"/v1/requests/{asked}").status_code == 409

    def test_a_request_can_also_be_canceled_from_the_terminal(
        self, app: RunningApp, capsys: pytest.CaptureFixture[str]
    ) -> None:
        asked = call(app, "POST", "/v1/requests", json=BODY).json()["id"]
        assert main(["cancel", asked, "--reason", "wrong version"]) == 0
        said_there = "github-churn canceled “churn” v3 → v4 in Production: wrong version."
        assert said_there in capsys.readouterr().out
        assert "wrong version" in message_text(app.card(holds="canceled"))


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (BODY | {"version": 99}, 404, "99"),
        (BODY | {"model": "churns"}, 404, "churn"),
        (BODY | {"to": "moon"}, 422, "moon"),
        (BODY | {"verison": 4}, 422, "“verison”: unknown key"),
        (BODY | {"break_glass": True}, 422, "“break_glass”: unknown key"),
        (BODY | {"ci": {"url": "javascript:alert(1)"}}, 422, "ci."),
        (BODY | {"ci": {"url": "https://x|y>"}}, 422, "ci."),
        (BODY | {"model": "fraud"}, 403, "fraud"),
        (BODY | {"validation": {"accuracy": "much"}}, 422, "“validation.accuracy”"),
        (BODY | {"validation": {"accuracy": "0.9"}}, 422, "“validation.accuracy”"),
        (BODY | {"version": True}, 422, "“version"),
        (BODY | {"keep_existing": "no"}, 422, "“keep_existing”"),
        ([], 422, ""),
    ],
)
def test_an_invalid_body_is_refused_with_its_error(app: RunningApp, body: Any, status: int, words: str) -> None:
    answer = call(app, "POST", "/v1/requests", json=body)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text
    with app.ledger.read() as reading:
        assert reading.requests() == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (BODY | {"version": True}, "version"),
        (BODY | {"to": "moon"}, "to"),
        (BODY | {"reason": "x" * 1001}, "reason"),
        (BODY | {"verison": 4}, "verison"),
        (BODY | {"validation": {"accuracy": "0.9"}}, "validation"),
        (BODY | {"validation": {f"m{n}": 1 for n in range(101)}}, "validation"),
        (BODY | {"ci": {"url": "javascript:alert(1)"}}, "ci"),
        (BODY | {"ci": {"run": 1}}, "ci"),
        (BODY | {"version": 99}, None),
        ([], None),
    ],
)
def test_an_error_names_its_field(app: RunningApp, body: Any, field: str | None) -> None:
    assert call(app, "POST", "/v1/requests", json=body).json().get("field") == field


def test_a_reader_does_not_see_a_person_s_draft(app: RunningApp) -> None:
    command = {"verb": "promote", "model": "churn", "to": "Production"}
    draft = QueuedCommand(
        id="d1",
        caller=Person("T1", "U1"),
        command=command,
        where="C1",
        at=datetime.now(UTC),
        state=QueuedCommandState.DRAFT,
    )
    with app.ledger.write() as tx:
        tx.add_queued_command(draft)
    assert call(app, "GET", "/v1/requests/d1", READER).status_code == 404


class TestPatternsMatchTheNameThatIsUsed:
    @pytest.mark.parametrize("name", ["model", "model_name"])
    @pytest.mark.parametrize("model", [" churn", "\u3000churn", "\u00a0churn "])
    def test_in_a_request(self, app: RunningApp, name: str, model: str) -> None:
        body = {key: value for key, value in BODY.items() if key != "model"} | {name: model}
        answer = call(app, "POST", "/v1/requests", NEARLY_ALL, json=body)
        assert (answer.status_code, "request promotions of “churn”" in answer.json()["error"]) == (403, True)

    def test_in_a_new_version(self, app: RunningApp) -> None:
        answer = call(app, "POST", "/v1/versions", NEARLY_ALL, json={"run_id": "abc", "model": " churn"})
        assert (answer.status_code, "register versions of “churn”" in answer.json()["error"]) == (403, True)

    def test_when_reading_a_request_that_was_typed_with_a_space(self, app: RunningApp) -> None:
        queued = QueuedCommand(
            id="d1",
            caller=Person("T1", "U1"),
            command={"verb": "promote", "model": " churn", "version": "4", "to": "Production"},
            where="C1",
            at=datetime.now(UTC),
            state=QueuedCommandState.REFUSED,
        )
        with app.ledger.write() as tx:
            tx.add_queued_command(queued)
        assert call(app, "GET", "/v1/requests/d1", NEARLY_ALL).status_code == 404
        assert call(app, "GET", "/v1/requests/d1", READER).status_code == 200

    def test_in_readings(self, app: RunningApp) -> None:
        reading = {"model": " churn", "metric": "f1", "value": 1, "at": "2026-05-04T12:00:00Z"}
        answer = call(app, "POST", "/v1/metrics", NEARLY_ALL, json={"source": "push", "readings": [reading]})
        assert (answer.status_code, "can't start or end with a space" in answer.json()["error"]) == (422, True)


def test_an_invalid_id_is_reported_like_other_errors(app: RunningApp) -> None:
    answer = call(app, "GET", "/v1/requests/NO-ID")
    assert (answer.status_code, answer.json().keys()) == (422, {"error"})
    assert "request_id" in answer.json()["error"]


@pytest.mark.parametrize(("token", "status"), [("nobody's", 401), ("t0ken-of-a-pusher", 403)])
def test_a_client_without_permission_is_refused_and_audited(app: RunningApp, token: str, status: int) -> None:
    assert call(app, "POST", "/v1/requests", token, json=BODY).status_code == status
    assert EventTag.API_REFUSED.value in app.audit()
    assert token not in str(app.audit())


class TestExitCodes:
    def test_is_2_for_bad_input(self, app: RunningApp) -> None:
        assert main(["promote", "churn", "99", "production"]) == 2

    def test_is_2_for_an_unknown_token(
        self, app: RunningApp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("REGISTRAR_TOKEN", "nobody-s-secret")
        assert main(["promote", "churn", "4", "production"]) == 2
        printed = capsys.readouterr().err
        assert ("REGISTRAR_TOKEN" in printed, "nobody-s-secret" in printed) == (True, False)

    def test_is_1_for_a_command_that_only_a_person_can_run(
        self, app: RunningApp, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["rollback", "churn", "--reason", "bad"]) == 1
        assert "Only a person can do this" in capsys.readouterr().err

    def test_is_1_for_a_model_that_the_client_cannot_request(self, app: RunningApp) -> None:
        assert main(["promote", "fraud", "1", "production"]) == 1

    def test_is_3_if_no_bot_responds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REGISTRAR_URL", f"http://127.0.0.1:{free_port()}")
        monkeypatch.setattr(remote, "RETRY_SECONDS", 0.1)
        assert main(["promote", "churn", "4", "production"]) == 3
