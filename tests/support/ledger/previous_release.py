"""The files of an earlier release (tests/data/README.md): its ledger, its workspace, and its registry."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx2

from bot.domain.core.signing import sign_body
from bot.domain.policy.policy import Policy
from bot.domain.registry.model import Stage, VersionInfo
from tests.support.app.app_fixture import POLICY, RunningApp, make_policy
from tests.support.paths import DATA
from tests.support.registry.memory import MemoryRegistry
from tests.support.registry.memory_contents import StoredModel

LEDGER, WORKSPACE, REGISTRY = (DATA / name for name in ("ledger-0007.sql", "workspace-0007.sql", "registry-0007.json"))
TOKEN = "a token that nobody guesses"
TOKEN_ENV = "REGISTRAR_CLIENT_SERVE"
MONITOR: dict[str, Any] = {
    "name": "accuracy-live",
    "source": "live",
    "query": "accuracy",
    "greater_than": 0.85,
    "every": "10s",
    "fail_after": 1,
    "warmup": "0s",
}
ACTIONS = {"churn": "auto", "leads": "ask"}  # the actions of the file's monitors


def policy(*, watched: bool = True) -> Policy:
    """Return the policy in force, at first without monitors."""
    rules = dict(POLICY["models"])
    if watched:
        rules |= {name: rules["*"] | {"monitors": [MONITOR | {"action": action}]} for name, action in ACTIONS.items()}
    return make_policy(
        {
            "models": rules,
            "sources": {"live": {"type": "push"}},
            "clients": {"serve": {"token_env": TOKEN_ENV, "may": ["push"]}},
        }
    )


def push(app: RunningApp, model: str, version: int, accuracy: float) -> None:
    """Push one reading, as a serving loop does."""
    now = app.registrar.context.clock.now()
    reading = {"model": model, "version": version, "metric": "accuracy", "value": accuracy, "at": now.isoformat()}
    body = json.dumps({"source": "live", "readings": [reading]}).encode()
    stamp = str(int(now.timestamp()))
    headers = {
        "Authorization": f"Bearer {os.environ[TOKEN_ENV]}",
        "Content-Type": "application/json",
        "X-Registrar-Timestamp": stamp,
        "X-Registrar-Signature": sign_body(os.environ[TOKEN_ENV], stamp, body),
    }
    answer = httpx2.post(f"{app.service.address}/v1/metrics", content=body, headers=headers, timeout=30)
    assert answer.status_code == 202, answer.text


# -- files -------------------------------------------------------------------------------------------------------------


def database(dump: Path, file: Path) -> Path:
    """Create an SQLite file from a dump."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(dump.read_text(encoding="utf-8"))
    return file


def pack(registry: MemoryRegistry) -> str:
    """Return a registry's contents as JSON."""
    models = [
        {
            "name": model.name,
            "updated_at": _time(model.updated_at),
            "aliases": model.aliases,
            "highest": model.last_number,
            "versions": [
                {
                    "version": one.version,
                    "stage": one.stage.value,
                    "run_id": one.run_id,
                    "source": one.source,
                    "created_at": _time(one.created_at),
                    "changed_at": _time(one.changed_at),
                    "tags": dict(one.tags),
                    "description": one.description,
                }
                for one in model.versions.values()
            ],
        }
        for model in registry._models.values()
    ]
    return json.dumps(models, indent=1, ensure_ascii=False) + "\n"


def unpack(packed: str) -> MemoryRegistry:
    """Return the registry from packed JSON."""
    registry = MemoryRegistry()
    for told in json.loads(packed):
        name = told["name"]
        created_at = _read(told["versions"][0]["created_at"])
        model = StoredModel(
            name,
            "",
            MappingProxyType({}),
            False,
            _read(told["updated_at"]),
            created_at,
            aliases=told["aliases"],
            last_number=told["highest"],
        )
        for one in told["versions"]:
            registry.add_run(one["run_id"])
            model.versions[one["version"]] = VersionInfo(
                model=name,
                version=one["version"],
                stage=Stage(one["stage"]),
                run_id=one["run_id"],
                source=one["source"],
                created_at=_read(one["created_at"]),
                changed_at=_read(one["changed_at"]),
                tags=MappingProxyType(one["tags"]),
                description=one["description"],
            )
        registry._models[name] = model
    return registry


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _read(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
