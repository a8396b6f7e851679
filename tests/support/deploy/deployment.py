"""What deploy/Dockerfile and deploy/compose.yaml say, and values for their variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tests.support.paths import ROOT

DEPLOY = ROOT / "deploy"
DOCKERFILE = DEPLOY / "Dockerfile"
COMPOSE = DEPLOY / "compose.yaml"

_UNSET = re.compile(r"\$\{(?P<name>\w+)(?P<how>:-|:\?)?(?P<word>[^}]*)\}")

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


@dataclass(frozen=True)
class BuildStage:
    """A stage of the Dockerfile: its base and its instructions, in order."""

    name: str
    base: str
    steps: tuple[tuple[str, str], ...]


def stages(text: str | None = None) -> list[BuildStage]:
    """Return the stages of the Dockerfile, in order."""
    text = DOCKERFILE.read_text(encoding="utf-8") if text is None else text
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    found: list[BuildStage] = []
    for line in re.sub(r"\\\n", " ", lines).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(BuildStage(name.strip(), base.strip(), ()))
        elif word:
            last = found.pop()
            found.append(BuildStage(last.name, last.base, (*last.steps, (word, rest.strip()))))
    return found


def compose() -> dict[str, Any]:
    """Return compose.yaml."""
    data: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return data


def environment(name: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return a service's variables, filled in from the given ones like Compose does. Raises KeyError."""
    said = compose()["services"][name].get("environment", {})
    return {key: fill(str(value), given) for key, value in said.items()}


def fill(text: str, given: Mapping[str, str]) -> str:
    """Return a string with its variables filled in: `${A:?why}` is required, `${A:-word}` isn't."""

    def value(found: re.Match[str]) -> str:
        if given.get(found["name"]):
            return given[found["name"]]
        if found["how"] == ":-":
            return found["word"]
        raise KeyError(found["name"])

    return _UNSET.sub(value, text)


def is_given(name: str) -> bool:
    """Return whether .dockerignore includes a file or folder."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return f"!{name}" in lines


def grace(service: str) -> float:
    """Return the seconds that a service has to stop."""
    return float(compose()["services"][service]["stop_grace_period"].removesuffix("s"))


def memory_limit(service: str) -> int:
    """Return a service's memory limit in bytes."""
    limit = str(compose()["services"][service]["mem_limit"])
    return int(limit[:-1]) * {"m": 2**20, "g": 2**30}[limit[-1]]
