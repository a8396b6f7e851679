"""Who besides Registrar can transition a model in MLflow, read without changing anything.

MLflow's basic auth decides by grants. EDIT on a model lets a user register versions, set aliases, and change stages;
EDIT on every model's versions lets them change stages. docs/locking-mlflow.md has the measured table.
"""

from __future__ import annotations

import json
import os
import secrets
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from bot.domain.core.errors import RegistryUnreachable
from bot.domain.core.sentence import say
from bot.registry.mlflow.connection import request_timeout
from bot.registry.mlflow.errors import describe_location
from bot.registry.mlflow.probe import ProbeResponse

MODEL, VERSION, WORKSPACE = "registered_model", "registered_model_version", "workspace"
ANY = "*"
TRANSITION_PERMISSIONS = frozenset({"EDIT", "MANAGE"})
_PERMISSION_ORDER = ("NO_PERMISSIONS", "READ", "USE", "EDIT", "MANAGE")
_MAX_RESPONSE_LENGTH = 20_000_000  # characters of a list of users
_ALIAS_PATH = "2.0/mlflow/registered-models/alias"

GetPage = Callable[[str, Mapping[str, str]], ProbeResponse]


@dataclass(frozen=True, slots=True)
class Login:
    """Credentials other than Registrar's: a user with a password, or a token. Without any, there's no login."""

    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


class AliasAccess(IntEnum):
    """What MLflow does with a request to set an alias. Of two addresses, the greater one decides."""

    LOGIN_REQUIRED = 0  # asks for credentials
    FORBIDDEN = 1  # knows the caller, or doesn't say, and refuses
    UNCLEAR = 2  # answers something else
    ALLOWED = 3  # allows it


class Grant(NamedTuple):
    """One permission of a role: on one resource of a kind, or on any (`*`)."""

    resource_type: str
    pattern: str
    permission: str


@dataclass(frozen=True, slots=True)
class Account:
    """A user of MLflow, with what its roles grant as far as our user can see."""

    name: str
    is_admin: bool = False
    grants: tuple[Grant, ...] = ()

    @property
    def is_manager(self) -> bool:
        """Whether it can do everything: MLflow's admin, or a workspace's."""
        return self.is_admin or Grant(WORKSPACE, ANY, "MANAGE") in self.grants

    def can_transition(self, model: str, default: str) -> bool:
        """Return whether it can set this model's aliases or change its stages. `default`: what everyone is granted."""
        permission = self._permission_for(MODEL, model) or default
        if self.is_manager or permission == "DENY":
            return self.is_manager
        return bool(
            {max(permission, default, key=_permission_rank), self._permission_for(VERSION, ANY)}
            & TRANSITION_PERMISSIONS
        )

    def _permission_for(self, resource_type: str, name: str) -> str:
        """Return the level of its grants for one resource, as MLflow folds them: DENY wins, then the highest."""
        permissions = [
            grant.permission
            for grant in self.grants
            if grant.resource_type == resource_type and grant.pattern in {name, ANY}
        ]
        if "DENY" in permissions:
            return "DENY"
        return max(permissions, key=_permission_rank, default="")


class TransitionAccess(NamedTuple):
    """What an account can transition: every model, including new ones, or some."""

    account: Account
    has_all_models: bool
    models: tuple[str, ...]


def accounts_with_access(accounts: Iterable[Account], models: Sequence[str], default: str) -> list[TransitionAccess]:
    """Return the accounts that can transition one of these models or any new one, each with what it can transition."""
    with_access = []
    for account in accounts:
        every = account.can_transition("", default)  # no grant names it, as no model has this name
        named = {grant.pattern for grant in account.grants if grant.resource_type == MODEL}
        some = (
            ()
            if every
            else tuple(model for model in models if model in named and account.can_transition(model, default))
        )
        if every or some:
            with_access.append(TransitionAccess(account, every, some))
    return with_access


def _permission_rank(permission: str) -> int:
    return _PERMISSION_ORDER.index(permission) if permission in _PERMISSION_ORDER else -1


# -- requests ----------------------------------------------------------------------------------------------------------


def current_account(get_page: GetPage) -> Account | None:
    """Return MLflow's user for our credentials; None if its server has no basic auth, or one that can't say."""
    user = _json_object(get_page("/api/2.0/mlflow/users/current", {})).get("user")
    return _parse_account(user) if isinstance(user, dict) and user.get("username") else None


def permission_of(get_page: GetPage, user: str, resource_type: str, name: str) -> str:
    """Return a user's effective permission according to MLflow; empty if MLflow doesn't say."""
    parameters = {"username": user, "resource_type": resource_type, "resource_id": name}
    return str(_json_object(get_page("/api/3.0/mlflow/users/permissions/get", parameters)).get("permission", ""))


def list_accounts(get_page: GetPage) -> list[Account] | None:
    """Return MLflow's users, with their grants if our user can see them; None if MLflow doesn't say."""
    listed = _json_object(get_page("/api/2.0/mlflow/users/list", {})).get("users")
    if not isinstance(listed, list):
        return None
    return [_parse_account(user) for user in listed if isinstance(user, dict) and user.get("username")]


def default_permission(get_page: GetPage, accounts: Iterable[Account]) -> str:
    """Return what MLflow grants everyone on every model; empty if no user shows it.

    It's the permission that MLflow reports for a user without a grant on every model.
    """
    for account in accounts:
        if not any(grant.resource_type in {MODEL, WORKSPACE} and grant.pattern == ANY for grant in account.grants):
            return permission_of(get_page, account.name, MODEL, ANY)
    return ""


def _parse_account(data: Mapping[str, Any]) -> Account:
    roles = data.get("roles") or []
    grants = tuple(
        Grant(
            str(permission.get("resource_type")),
            str(permission.get("resource_pattern")),
            str(permission.get("permission")),
        )
        for role in roles
        for permission in role.get("permissions") or []
    )
    return Account(str(data["username"]), data.get("is_admin") is True, grants)


def _json_object(response: ProbeResponse) -> dict[str, Any]:
    if response.status == 200:
        with suppress(ValueError):
            document = json.loads(response.text)
            return document if isinstance(document, dict) else {}
    return {}


class OtherUserClient:
    """Another user of MLflow, with their own login or none; Registrar's is never sent.

    `creds`: MLflow's settings for our own requests: the server's address, and how its certificate is verified.
    """

    def __init__(self, credentials: Any, login: Login) -> None:
        parts = urlsplit(credentials.host)
        self._location = describe_location(credentials.host)
        self._client = httpx.Client(
            base_url=parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/"),
            auth=(login.user, login.password) if login.user and not login.token else None,
            headers={"Authorization": f"Bearer {login.token}"} if login.token else {},
            verify=_tls_verification(credentials),
            timeout=request_timeout(),
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def try_set_alias(self) -> AliasAccess:
        """Return whether MLflow would let this user set an alias, at either of its addresses.

        Raises RegistryUnreachable.

        The model's name is made up, so a user who is allowed to gets the answer that there's no such model.
        """
        body = {"name": f"registrar-doctor-{secrets.token_hex(12)}", "alias": "champion", "version": "1"}
        return max(
            _alias_access(self._send("POST", f"/{prefix}/{_ALIAS_PATH}", json=body)) for prefix in ("api", "ajax-api")
        )

    def get(self, path: str, params: Mapping[str, str]) -> ProbeResponse:
        """Ask for a page. Raises RegistryUnreachable."""
        return self._send("GET", path, params=params)

    def _send(self, method: str, path: str, **options: Any) -> ProbeResponse:
        try:
            answer = self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise RegistryUnreachable(say("MLflow ({there}) does not answer.", there=self._location)) from error
        return ProbeResponse(
            answer.status_code, answer.text[:_MAX_RESPONSE_LENGTH], dict(answer.headers), answer.elapsed.total_seconds()
        )


def _tls_verification(credentials: Any) -> ssl.SSLContext | bool:
    if credentials.ignore_tls_verification:
        return False
    authorities = credentials.server_cert_path or os.environ.get("REQUESTS_CA_BUNDLE")  # as MLflow's client does
    # Without our own client certificate: a proxy could take that for a login.
    return ssl.create_default_context(cafile=authorities) if authorities else True


def _alias_access(response: ProbeResponse) -> AliasAccess:
    if response.status in {401, 407} or 300 <= response.status < 400:  # a proxy's page to log in
        return AliasAccess.LOGIN_REQUIRED
    if response.status == 403:
        return AliasAccess.FORBIDDEN
    with suppress(ValueError):
        document = json.loads(response.text)
        if response.status == 200 or (
            isinstance(document, dict) and document.get("error_code") == "RESOURCE_DOES_NOT_EXIST"
        ):
            return AliasAccess.ALLOWED
    return AliasAccess.UNCLEAR
