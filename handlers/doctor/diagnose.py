"""Run all the checks that apply to this environment."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import replace

from bot.bootstrap.env_file import LOCAL_ENV_FILE, open_private
from bot.domain.core.sentence import sanitize_text
from bot.settings import read_settings_and_faults
from handlers import logs
from handlers.doctor import local, mlflow, mlflow_access
from handlers.doctor.check import Diagnosis, DiagnosisState, run_checks, warning
from handlers.doctor.slack import all_checks as slack_checks


def diagnose(*, live: bool) -> list[Diagnosis]:
    """Run all checks, and return their diagnoses. `live`: also run the checks that write, then undo their changes."""
    settings, faults = read_settings_and_faults()
    policy, of_policy = local.check_policy(settings)
    checks = [
        *slack_checks.slack_checks(settings, policy, live=live),
        *mlflow.mlflow_checks(settings, policy, live=live),
        *mlflow_access.mlflow_access_checks(settings, policy, live=live),
        *local.local_checks(settings),
    ]
    # The libraries mustn't log meanwhile: the report goes to standard output, and can be JSON.
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        diagnoses = run_checks(checks)
    finally:
        logging.disable(level)
    of_settings = [
        Diagnosis("settings", DiagnosisState.ERROR, str(fault), "See docs/reference/settings.md.") for fault in faults
    ]
    secrets = logs.secret_pattern(settings.secrets)

    def plain(text: str) -> str:
        """Return the text with secrets redacted, in case a sentence contains one."""
        return secrets.sub("…", sanitize_text(text))

    return [
        replace(diagnosis, sentence=plain(diagnosis.sentence), advice=plain(diagnosis.advice))
        for diagnosis in [*of_settings, *_check_local_env_file(), *of_policy, *diagnoses]
    ]


def _check_local_env_file() -> Iterator[Diagnosis]:
    """Yield a warning that says why `.env` in this folder isn't read, if it exists and REGISTRAR_ENV_FILE isn't set."""
    if os.environ.get("REGISTRAR_ENV_FILE"):
        return
    try:
        open_private(LOCAL_ENV_FILE).close()
    except FileNotFoundError:
        return
    except OSError as error:
        advice = "To use it, make yourself its owner, and run `chmod 600 .env`."
        yield warning("settings", f"{LOCAL_ENV_FILE} in this folder isn't read: {error.strerror}.", advice)
