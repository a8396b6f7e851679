"""Everything that there is to look at, for what the environment names."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from bot.domain.core.sentence import clean
from bot.settings import read_what_can_be
from handlers import logs
from handlers.doctor import local, mlflow, mlflow_access
from handlers.doctor.check import look_at
from handlers.doctor.diagnosis import Finding, State
from handlers.doctor.slack import checks as slack_checks


def examine(*, live: bool) -> list[Finding]:
    """Return what is to be said of everything. With `live` it tries what needs writing, and takes it back."""
    settings, faults = read_what_can_be()
    policy, of_policy = local.read_policy(settings)
    checks = [
        *slack_checks.checks(settings, policy, live=live),
        *mlflow.checks(settings, policy, live=live),
        *mlflow_access.checks(settings, policy, live=live),
        *local.checks(settings),
    ]
    with _nobody_else_speaks():
        found = look_at(checks)
    told = [Finding("settings", State.WRONG, str(fault), "docs/settings.md lists them all.") for fault in faults]
    secrets = logs.secrets_in(settings.secrets)

    def plain(text: str) -> str:
        """Black secrets out once more: no sentence holds one on purpose."""
        return secrets.sub("…", clean(text))

    return [replace(one, sentence=plain(one.sentence), advice=plain(one.advice)) for one in [*told, *of_policy, *found]]


@contextmanager
def _nobody_else_speaks() -> Iterator[None]:
    """Let no library log: what there is to say is said by us, on standard output, and may be JSON."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
