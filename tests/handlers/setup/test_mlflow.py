"""The address of MLflow that setup asks for."""

from __future__ import annotations

import os

from handlers.setup.files import saved_values
from handlers.setup.steps.mlflow import MLFLOW_STEP
from tests.support.network.ports import free_port
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.terminal.setup_wizard import Wizard


def test_an_address_that_works_is_stored(wizard: Wizard, mlflow_server: MlflowServer) -> None:
    screen = wizard.finishes(MLFLOW_STEP, mlflow_server.uri)
    assert f"is responding at {mlflow_server.uri}." in screen
    assert saved_values(wizard.folder / ".env") == {"MLFLOW_TRACKING_URI": mlflow_server.uri}


def test_an_address_in_the_shell_is_stored_too(wizard: Wizard, mlflow_server: MlflowServer) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = wizard.shell["MLFLOW_TRACKING_URI"] = mlflow_server.uri
    wizard.finishes(MLFLOW_STEP)
    assert saved_values(wizard.folder / ".env") == {"MLFLOW_TRACKING_URI": mlflow_server.uri}


def test_an_address_without_a_scheme_is_asked_again(wizard: Wizard) -> None:
    assert "MLflow's address starts with http:// or https://." in wizard.finishes(MLFLOW_STEP, "mlflow.acme.com")


def test_a_server_that_does_not_respond_is_asked_again(wizard: Wizard) -> None:
    screen = wizard.finishes(MLFLOW_STEP, f"http://127.0.0.1:{free_port()}")
    assert "isn't responding" in screen
    assert not (wizard.folder / ".env").exists()


def test_a_password_in_the_address_is_not_shown(wizard: Wizard) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = f"http://ann:hunter2@127.0.0.1:{free_port()}/ml"
    screen = wizard.finishes(MLFLOW_STEP, "")
    assert "MLflow's address [http://127.0.0.1:" in screen
    assert "hunter2" not in screen
    assert "hunter2" in os.environ["MLFLOW_TRACKING_URI"]


def test_a_server_that_requires_a_login_is_asked_for_it(wizard: Wizard, mlflow_server: MlflowServer) -> None:
    mlflow_server.answer(401, "log in")
    wizard.finishes(MLFLOW_STEP, mlflow_server.uri, "registrar", "s3cret")
    saved = saved_values(wizard.folder / ".env")
    assert (saved["MLFLOW_TRACKING_USERNAME"], saved["MLFLOW_TRACKING_PASSWORD"]) == ("registrar", "s3cret")
