"""What deploy/compose.yaml says, and values for its variables."""

from __future__ import annotations

from tests.support.deploy.containers import compose

_ODD = """p@ss/w:rd#%?& "'$\\{é}[]=,; """  # characters with a meaning in a URL, in SQL, or in a shell
GIVEN = {
    "SLACK_BOT_TOKEN": "xoxb-made-up",
    "SLACK_APP_TOKEN": "xapp-made-up",
    "POSTGRES_PASSWORD": "a1",
    "LEDGER_PASSWORD": f"{_ODD}b2",
    "MLFLOW_DB_PASSWORD": f"{_ODD}c3",
    "MLFLOW_ADMIN_PASSWORD": "made up: the admin's",
    "MLFLOW_REGISTRAR_PASSWORD": "made up: Registrar's",
    "MLFLOW_FLASK_SECRET_KEY": "d4",
}


def grace(service: str) -> float:
    """Return the seconds that a service has to stop."""
    return float(compose()["services"][service]["stop_grace_period"].removesuffix("s"))


def memory_limit(service: str) -> int:
    """Return a service's memory limit in bytes."""
    limit = str(compose()["services"][service]["mem_limit"])
    return int(limit[:-1]) * {"m": 2**20, "g": 2**30}[limit[-1]]
