"""The step for MLflow's address."""

from __future__ import annotations

from contextlib import suppress
from threading import Lock

from bot.domain.core.errors import RegistrarError
from bot.settings import read_settings
from handlers.doctor.check import DiagnosisState, display_url, run_checks
from handlers.doctor.mlflow import mlflow_checks, open_probe
from handlers.setup.steps.step import SetupState, SetupStep, StepPendingError

ADDRESS = "MLFLOW_TRACKING_URI"


def _check_mlflow(state: SetupState) -> str:
    """Run doctor's check of the registry, and return its first sentence.

    Raises StepPendingError if it fails, or if no address is set.
    """
    settings = read_settings()
    if settings.registry == "mlflow" and not settings.tracking_uri:
        raise StepPendingError
    diagnoses = run_checks(mlflow_checks(settings, None, live=False)[:1])
    for diagnosis in diagnoses:
        if diagnosis.state in {DiagnosisState.ERROR, DiagnosisState.NO_REPLY}:
            raise StepPendingError(f"{diagnosis.sentence} {diagnosis.advice}")
    state.keep(ADDRESS)
    return diagnoses[0].sentence


def _ask_mlflow(state: SetupState) -> None:
    current = read_settings().tracking_uri or "http://127.0.0.1:5000"
    shown = display_url(current) if "://" in current else current
    typed = state.prompts.ask("MLflow's address", shown)
    typed = current if typed == shown else typed  # with its user and password
    if "://" not in typed and not typed.startswith("databricks"):
        state.prompts.problem("MLflow's address starts with http:// or https://.")
        return
    state.answer(ADDRESS, typed)
    if _needs_login():
        state.answer("MLFLOW_TRACKING_USERNAME", state.prompts.ask("MLflow user"))
        state.answer("MLFLOW_TRACKING_PASSWORD", state.prompts.ask_secret("MLflow password (hidden)"))


def _needs_login() -> bool:
    with suppress(RegistrarError), open_probe(read_settings(), Lock()) as probe:
        return probe.is_server and probe.get("/version").status in {401, 407}
    return False


MLFLOW_STEP = SetupStep(_check_mlflow, _ask_mlflow)
