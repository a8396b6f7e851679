"""The MLflow checks of `registrar doctor`: availability, speed, and access."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from unittest.mock import patch
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from werkzeug.wrappers import Response

from bot.domain.registry.model import Stage
from bot.registry.mlflow.permissions import Account, Grant
from bot.registry.mlflow.probe import MlflowProbe
from handlers.doctor import mlflow
from handlers.doctor.check import DiagnosisState
from handlers.doctor.mlflow import Latencies, diagnose_latencies
from handlers.doctor.mlflow_access import check_users
from tests.support.network.http_receiver import PlannedReply, run_receiver
from tests.support.network.ports import free_port
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import MlflowBackend
from tests.support.terminal.doctor import RunDoctor


def test_a_missing_registry_is_not_created(doctor: RunDoctor, tmp_path: Path) -> None:
    said = doctor("--live")
    file = tmp_path / ".registrar" / "mlflow.db"
    assert said.of("MLflow", "warning") == (
        f"MLFLOW_TRACKING_URI isn't set, so Registrar creates a registry in {file}. → "
        f"Set it to your MLflow server's address, or to sqlite:///{file} to keep this file."
    )
    assert said.states("MLflow") == ["warning"]
    assert not file.parent.exists()


def test_a_default_registry_is_read_with_a_warning(
    doctor: RunDoctor, tmp_path: Path, mlflow_sqlite: str, mlflow_backend: MlflowBackend
) -> None:
    mlflow_backend.add_model("churn")
    (tmp_path / ".registrar").mkdir()
    shutil.copy(mlflow_sqlite.removeprefix("sqlite:///"), tmp_path / ".registrar" / "mlflow.db")
    said = doctor()
    assert "isn't set, so Registrar uses a registry in" in said.of("MLflow", "warning")
    assert "1 model" in said.of("MLflow", "ok")


def test_a_registry_in_a_database_is_read(doctor: RunDoctor, mlflow_sqlite: str, mlflow_backend: MlflowBackend) -> None:
    mlflow_backend.add_model("churn")
    said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_sqlite)
    assert "1 model" in said.of("MLflow", "ok")
    assert (said.states("MLflow speed"), said.states("MLflow rights")) == (["skipped"], ["ok"])


def test_a_database_without_its_driver_names_the_driver(doctor: RunDoctor) -> None:
    said = doctor(MLFLOW_TRACKING_URI="mssql+pymssql://bot@db/mlflow")
    assert "it needs pymssql, which isn't installed" in said.of("MLflow", "error")


def test_an_mlflow_that_does_not_answer_is_reported_once(doctor: RunDoctor) -> None:
    said = doctor("--live", MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}")
    assert (said.code, said.states("MLflow")) == (3, ["no reply"])
    assert said.states("MLflow speed") == said.states("MLflow rights") == ["skipped"]


@pytest.mark.parametrize(
    ("reply", "state", "told"),
    [
        (PlannedReply(401), "error", "MLFLOW_TRACKING_USERNAME"),
        (PlannedReply(403), "error", "--allowed-hosts 127.0.0.1"),
        (PlannedReply(404), "error", "isn't an MLflow server"),
        (PlannedReply(200, b"<html>Welcome to nginx"), "error", "isn't an MLflow server"),
        (PlannedReply(503), "no reply", "can't answer right now"),
        (PlannedReply(200, b"4.0.1"), "warning", "supports only MLflow 3"),
    ],
    ids=lambda one: str(one.status) if isinstance(one, PlannedReply) else "",
)
def test_each_mlflow_answer_has_its_advice(doctor: RunDoctor, reply: PlannedReply, state: str, told: str) -> None:
    with run_receiver() as server:
        server.replies = [reply]
        assert told in doctor(MLFLOW_TRACKING_URI=server.url).of("MLflow", state)


def test_an_mlflow_that_never_finishes_its_answer_hides_nothing(
    doctor: RunDoctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with run_receiver() as server:
        server.replies = [PlannedReply(hold=threading.Event())]
        said = doctor(MLFLOW_TRACKING_URI=server.url)
    assert (said.code, said.states("MLflow"), said.states("Slack token")) == (3, ["no reply"], ["ok"])


def test_a_registry_without_stages_is_reported(doctor: RunDoctor, mlflow_sqlite: str) -> None:
    said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_sqlite, REGISTRAR_STAGES="tags")
    assert "because REGISTRAR_STAGES is tags" in said.of("MLflow", "ok")
    assert said.states("MLflow rights") == ["ok"]


def test_the_test_model_is_deleted(doctor: RunDoctor, mlflow_server: MlflowServer) -> None:
    doctor("--live", MLFLOW_TRACKING_URI=mlflow_server.uri)
    writes = [request for request in mlflow_server.requests if not request.startswith("GET")]
    asked = [request.rpartition("/")[2] for request in writes]
    assert [one for one in asked if one != "alias"] == ["create", "create", "transition-stage", "delete"]
    assert asked.count("alias") == 3  # for the model that was made, and twice without a login for one that isn't there


def test_a_server_without_logins_is_a_warning_and_nothing_is_changed(
    doctor: RunDoctor, mlflow_server: MlflowServer, mlflow_backend: MlflowBackend
) -> None:
    mlflow_backend.add_model("churn", versions=1)
    said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_server.uri)
    assert "can set `@champion` and move versions without a login" in said.of("MLflow access", "warning")
    assert "--app-name basic-auth" in said.of("MLflow access", "warning")
    [churn] = mlflow_backend._client.search_registered_models()
    assert (churn.name, churn.aliases) == ("churn", {})


@pytest.mark.parametrize(
    ("status", "state", "told"),
    [
        (401, "ok", "rejects changes without a login"),
        (403, "ok", "rejects changes without a login"),
        (302, "ok", "rejects changes without a login"),
        (500, "skipped", "Can't tell whether MLflow requires a login"),
    ],
)
def test_a_proxy_s_login_is_recognized(
    doctor: RunDoctor, mlflow_server: MlflowServer, status: int, state: str, told: str
) -> None:
    with bent(mlflow_server, "registered-models/alias", status, {"error": "by a proxy"}):
        said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_server.uri)
    assert told in said.of("MLflow access", state)
    assert "with basic auth" in said.of("MLflow access", "skipped")


def test_an_accepted_token_can_move_every_model_and_is_not_printed(
    doctor: RunDoctor, mlflow_server: MlflowServer
) -> None:
    ask = mlflow_server._ask_mlflow

    def only_with_a_token(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        knocks = environ["PATH_INFO"].endswith("/alias") and b"registrar-doctor-" in environ["wsgi.input"].peek()
        if knocks and not environ.get("HTTP_AUTHORIZATION"):
            return Response("", 401)(environ, start_response)
        return ask(environ, start_response)

    with patch.object(mlflow_server, "_ask_mlflow", only_with_a_token):
        said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_server.uri, REGISTRAR_PROBE_TOKEN="of-a-pipeline")
    assert "rejects changes without a login" in said.of("MLflow access", "ok")
    assert "The user in REGISTRAR_PROBE_* can move every model without Registrar" in said.of("MLflow access", "warning")
    assert "of-a-pipeline" not in said.out


def test_one_address_without_a_login_is_enough_for_a_warning(doctor: RunDoctor, mlflow_server: MlflowServer) -> None:
    with bent(mlflow_server, "/api/2.0/mlflow/registered-models/alias", 401, {}):
        said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_server.uri)
    assert "without a login" in said.of("MLflow access", "warning")


@pytest.mark.parametrize(
    ("grants", "told"),
    [
        ([], ""),
        ([Grant("registered_model", "churn", "READ")], ""),
        ([Grant("registered_model", "other", "MANAGE")], ""),
        ([Grant("experiment", "churn", "MANAGE")], ""),
        ([Grant("registered_model", "churn", "EDIT")], "ann (churn)"),
        ([Grant("registered_model", "churn", "EDIT"), Grant("registered_model", "churn", "DENY")], ""),
        ([Grant("registered_model", "*", "USE"), Grant("registered_model", "churn", "MANAGE")], "ann (churn)"),
        ([Grant("registered_model", "*", "EDIT")], "ann (every model)"),
        ([Grant("registered_model_version", "*", "EDIT")], "ann (every model)"),
        ([Grant("workspace", "*", "MANAGE"), Grant("registered_model", "*", "DENY")], "ann (every model)"),
        ([Grant("workspace", "*", "USE")], ""),
        ([Grant("registered_model", "*", "A LATER ONE")], ""),
    ],
)
def test_mlflow_s_permissions_decide_who_can_move_a_model(grants: list[Grant], told: str) -> None:
    ann, root = Account("ann", grants=tuple(grants)), Account("root", is_admin=True)
    found = list(check_users("registrar", [ann, root], ["churn", "fraud"], "READ"))
    if told:
        assert [one.state for one in found] == [DiagnosisState.WARNING, DiagnosisState.OK]
        assert f"1 user can move models without Registrar: {told}." in found[0].sentence
        assert found[1].sentence == "MLflow's admins can, too: root."
    else:
        only = "Only registrar and MLflow's admins (root) can move the models that the policy covers."
        assert [(one.state, one.sentence) for one in found] == [(DiagnosisState.OK, only)]


def test_only_the_first_of_many_users_are_named() -> None:
    many = [Account(f"user{number}", grants=(Grant("registered_model", "*", "EDIT"),)) for number in range(1000)]
    [found] = check_users("registrar", many, ["churn"], "READ")
    assert "1,000 users can" in found.sentence
    assert "user5 (every model) and 994 more." in found.sentence


def test_a_server_with_psycopg_3_is_a_warning(doctor: RunDoctor, mlflow_server: MlflowServer) -> None:
    with bent(mlflow_server, "transition-stage", 400, _PSYCOPG_3):
        said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_server.uri)
    assert said.code == 0
    assert "postgresql+psycopg2://" in said.of("MLflow rights", "warning")


_PSYCOPG_3 = {"error_code": "BAD_REQUEST", "message": "operator does not exist: integer = character varying"}


_FORBIDDEN = {"error_code": "PERMISSION_DENIED", "message": "Permission denied"}


@contextmanager
def bent(server: MlflowServer, path: str, status: int, body: dict[str, str], only: str = "") -> Iterator[None]:
    """Answer calls to this path with this status and body, and all others as MLflow does."""
    ask = server._ask_mlflow

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        if not environ["PATH_INFO"].endswith(path) or method == "GET" or only not in {"", method}:
            return ask(environ, start_response)
        return Response(json.dumps(body), status, content_type="application/json")(environ, start_response)

    with patch.object(server, "_ask_mlflow", answer):
        yield


@pytest.mark.parametrize("path", ["registered-models/create", "model-versions/create", "transition-stage"])
def test_missing_permissions_are_an_error_and_nothing_is_left_behind(
    doctor: RunDoctor, mlflow_server: MlflowServer, mlflow_backend: MlflowBackend, path: str
) -> None:
    with bent(mlflow_server, path, 403, _FORBIDDEN):
        said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_server.uri)
    assert (said.code, said.states("MLflow rights")) == (2, ["error"])
    assert [one.name for one in mlflow_backend._client.search_registered_models()] == []


def test_a_test_model_that_cannot_be_deleted_is_named(doctor: RunDoctor, mlflow_server: MlflowServer) -> None:
    with bent(mlflow_server, "registered-models/delete", 403, _FORBIDDEN):
        said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_server.uri)
    assert "registrar-doctor-" in said.of("MLflow rights", "error")


def test_a_model_that_the_bot_cannot_manage_is_named(
    doctor: RunDoctor, mlflow_server: MlflowServer, mlflow_backend: MlflowBackend
) -> None:
    mlflow_backend.add_model("churn", versions=[Stage.PRODUCTION])
    with bent(mlflow_server, "registered-models/alias", 403, _FORBIDDEN, "DELETE"):
        said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_server.uri)
    assert said.code == 2
    assert "The bot can't manage churn" in said.of("MLflow rights", "error")


@pytest.mark.parametrize(
    ("speeds", "can_prompt", "state", "told"),
    [
        (Latencies(0.0002, 0.004, 0.005), True, DiagnosisState.OK, "5 ms"),
        (
            Latencies(0.0002, 0.044, 0.006),
            True,
            DiagnosisState.WARNING,
            "other clients wait 44 ms, and the bot waits 6 ms",
        ),
        (Latencies(0.0002, 0.044, 0.045), False, DiagnosisState.WARNING, "--workers 1"),
        (Latencies(0.0002, 0.004, 0.240), True, DiagnosisState.WARNING, "auth_cache_ttl_seconds"),
        (Latencies(0.030, 0.035, 0.036), True, DiagnosisState.OK, "including 30 ms on the network"),
        (Latencies(0.090, 0.190, 0.190), True, DiagnosisState.WARNING, "closer"),
    ],
)
def test_a_slow_server_has_its_fix(speeds: Latencies, can_prompt: bool, state: DiagnosisState, told: str) -> None:
    found = diagnose_latencies(speeds, can_quick_ack=can_prompt)
    assert found.state is state
    assert told in f"{found.sentence} {found.advice}"


@pytest.fixture
def pausing() -> Iterator[str]:
    """Yield the address of a server that sends headers and body separately, as uvicorn's workers do."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=[listener], daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def _accept(listener: socket.socket) -> None:
    with suppress(OSError):
        while True:
            threading.Thread(target=_answer, args=[listener.accept()[0]], daemon=True).start()


def _answer(connection: socket.socket) -> None:
    with suppress(OSError), connection:
        while connection.recv(65536):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
            connection.send(b"3.17.2")


@pytest.mark.skipif(sys.platform != "linux", reason="it measures what Linux does")
def test_a_server_s_delay_is_measured(pausing: str, mlflow_patience: None) -> None:
    with closing(MlflowProbe(pausing)) as probe:
        found = diagnose_latencies(mlflow.measure_latencies(probe), can_quick_ack=True)
    assert found.state is DiagnosisState.WARNING
    assert "--workers 1" in found.advice
