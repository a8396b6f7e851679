"""Create Registrar's user on MLflow's server, with MANAGE on every registered model. A second run changes nothing.

It needs MLFLOW_TRACKING_URI, MLFLOW_AUTH_ADMIN_PASSWORD, and MLFLOW_TRACKING_PASSWORD, the user's new password.
"""

import base64
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

USER = os.environ.get("MLFLOW_TRACKING_USERNAME", "registrar")


def ask(method: str, path: str, said: dict[str, str] | None = None, password: str = "") -> dict[str, Any] | None:
    """Return MLflow's answer to admin or, with a password, to Registrar's user; None for a 401 or 404.

    Raises SystemExit with MLflow's own message for any other error.
    """
    who = f"{USER}:{password}" if password else f"admin:{os.environ['MLFLOW_AUTH_ADMIN_PASSWORD']}"
    headers = {"Authorization": f"Basic {base64.b64encode(who.encode()).decode()}", "Content-Type": "application/json"}
    url = f"{os.environ['MLFLOW_TRACKING_URI'].rstrip('/')}/api/{path}"
    body = json.dumps(said).encode() if said else None
    request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - the address is ours
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
            return dict(json.loads(answer.read() or b"{}"))
    except urllib.error.HTTPError as error:
        if error.code in {401, 404}:
            return None
        sys.exit(f"MLflow rejected {path}: {error.read().decode(errors='replace')[:500]}")


def make_user(password: str) -> None:
    """Create Registrar's user, or set the existing one's password."""
    said = {"username": USER, "password": password}
    if ask("GET", f"2.0/mlflow/users/get?username={USER}") is None:
        ask("POST", "2.0/mlflow/users/create", said)
        print(f"Created user {USER}.")
    elif ask("GET", "2.0/mlflow/users/current", password=password) is None:
        ask("PATCH", "2.0/mlflow/users/update-password", said)
        print(f"Changed {USER}'s password.")


def let_it_manage() -> None:
    """Give Registrar's user MANAGE on every registered model, replacing its other permission on them."""
    where = {"username": USER, "resource_type": "registered_model", "resource_id": "*"}
    found = ask("GET", f"3.0/mlflow/users/permissions/get?{urllib.parse.urlencode(where)}")
    if found is None:
        sys.exit("This MLflow doesn't report permissions. Upgrade it to 3.17 or later.")
    if found["permission"] != "MANAGE":
        ask("POST", "3.0/mlflow/users/permissions/revoke", where)
        ask("POST", "3.0/mlflow/users/permissions/grant", where | {"permission": "MANAGE"})
    print(f"{USER} has MANAGE on every registered model.")


if __name__ == "__main__":
    if ask("GET", "2.0/mlflow/users/current") is None:
        sys.exit("MLflow rejected admin's password. MLFLOW_ADMIN_PASSWORD takes effect only at MLflow's first start.")
    make_user(os.environ["MLFLOW_TRACKING_PASSWORD"])
    let_it_manage()
