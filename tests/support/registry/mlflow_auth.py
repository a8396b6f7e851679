"""A real MLflow server with basic auth, set up as in docs/how-to/lock-mlflow.md."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2

from tests.support.registry.mlflow_process import mlflow_subprocess

PASSWORD = "twelve or more"


class MlflowWithLogins:
    """A running server with its address and admin, who can add users, roles, and grants."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._clients: list[httpx2.Client] = []
        self.admin = self.as_user("admin")

    def as_user(self, name: str = "", password: str = PASSWORD) -> httpx2.Client:
        """Return a client with a user's login; without a name, a client without a login."""
        login = (name, password) if name else None
        self._clients.append(httpx2.Client(base_url=f"{self.uri}/api", auth=login, trust_env=False, timeout=60))
        return self._clients[-1]

    def close(self) -> None:
        """Close all clients' connections."""
        for client in self._clients:
            client.close()

    def add_user(self, name: str) -> None:
        """Add a user without grants."""
        self.admin.post("/2.0/mlflow/users/create", json={"username": name, "password": PASSWORD}).raise_for_status()

    def grant(self, name: str, permission: str, model: str, kind: str = "registered_model") -> None:
        """Grant a user a permission on a model, or on every model (`*`)."""
        asked = {"username": name, "resource_type": kind, "resource_id": model, "permission": permission}
        self.admin.post("/3.0/mlflow/users/permissions/grant", json=asked).raise_for_status()

    def add_role(self, role: str, name: str, permission: str, kind: str) -> None:
        """Grant a user a permission on all resources of a type, through a role."""
        made = self.admin.post("/3.0/mlflow/roles/create", json={"name": role, "workspace": "default"}).json()["role"]
        asked = {"role_id": made["id"], "resource_type": kind, "resource_pattern": "*", "permission": permission}
        self.admin.post("/3.0/mlflow/roles/permissions/add", json=asked).raise_for_status()
        asked = {"role_id": made["id"], "username": name}
        self.admin.post("/3.0/mlflow/roles/assign", json=asked).raise_for_status()


@contextmanager
def mlflow_with_logins(folder: Path, template: Path, default: str = "READ") -> Iterator[MlflowWithLogins]:
    """Run a server with one worker, on which every user has the permission `default` on everything."""
    shutil.copy(template, folder / "mlflow.db")
    config = folder / "basic_auth.ini"
    config.write_text(
        f"[mlflow]\ndefault_permission = {default}\ndatabase_uri = sqlite:///{folder / 'auth.db'}\n"
        "admin_username = admin\nauth_cache_ttl_seconds = 60\n"
    )
    env = {
        "MLFLOW_AUTH_CONFIG_PATH": str(config),
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "made up for the tests",
    }
    more = ["--app-name", "basic-auth"]
    database = f"sqlite:///{folder / 'mlflow.db'}"
    with (
        mlflow_subprocess(database, folder / "files", 1, more=more, env=env) as uri,
        closing(MlflowWithLogins(uri)) as server,
    ):
        yield server
