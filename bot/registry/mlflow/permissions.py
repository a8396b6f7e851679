"""Find out who besides Registrar can transition a model in MLflow, without changing anything.

MLflow's basic auth is based on grants. EDIT on a model lets a user register versions, set aliases, and change stages.
EDIT on every model's versions lets them change stages. docs/how-to/lock-mlflow.md has a table of what each grant
allows, as measured.
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

import httpx2

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
    """Credentials other than Registrar's: a user and password, or a token. Empty means no login."""

    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


class AliasAccess(IntEnum):
    """MLflow's reaction to a request to set an alias. If two addresses differ, the greater value counts."""

    LOGIN_REQUIRED = 0  # MLflow asks for credentials
    FORBIDDEN = 1  # MLflow refuses the caller
    UNCLEAR = 2  # MLflow responds with something else
    ALLOWED = 3  # MLflow allows it


class Grant(NamedTuple):
    """A role's permission on one resource of a type, or on all of them (`*`)."""

    resource_type: str
    pattern: str
    permission: str


@dataclass(frozen=True, slots=True)
class Account:
    """An MLflow user, with the grants of their roles that our user can see."""

    name: str
    is_admin: bool = False
    grants: tuple[Grant, ...] = ()

    @property
    def is_manager(self) -> bool:
        """Whether the account can do everything, as an admin of MLflow or of a workspace."""
        return self.is_admin or Grant(WORKSPACE, ANY, "MANAGE") in self.grants

    def can_transition(self, model: str, default: str) -> bool:
        """Return whether the account can set a model's aliases or change its stages.

        `default` is the permission that everyone has.
        """
        permission = self._permission_for(MODEL, model) or default
        if self.is_manager or permission == "DENY":
            return self.is_manager
        return bool(
            {max(permission, default, key=_permission_rank), self._permission_for(VERSION, ANY)}
            & TRANSITION_PERMISSIONS
        )

    def _permission_for(self, resource_type: str, name: str) -> str:
        """Return the effective permission for one resource under MLflow's rules: DENY, or else the highest grant."""
        permissions = [
            grant.permission
            for grant in self.grants
            if grant.resource_type == resource_type and grant.pattern in {name, ANY}
        ]
        if "DENY" in permissions:
            return "DENY"
        return max(permissions, key=_permission_rank, default="")


class TransitionAccess(NamedTuple):
    """What an account can transition: every model, including new ones, or only some."""

    account: Account
    has_all_models: bool
    models: tuple[str, ...]


def accounts_with_access(accounts: Iterable[Account], models: Sequence[str], default: str) -> list[TransitionAccess]:
    """Return the accounts that can transition any of these models or a new one, and what each can transition."""
    with_access = []
    for account in accounts:
        every = account.can_transition("", default)  # no model has this name, so no grant names it
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
    """Return MLflow's user for our credentials; None if the server has no basic auth or can't report it."""
    user = _json_object(get_page("/api/2.0/mlflow/users/current", {})).get("user")
    return _parse_account(user) if isinstance(user, dict) and user.get("username") else None


def permission_of(get_page: GetPage, user: str, resource_type: str, name: str) -> str:
    """Return a user's effective permission according to MLflow; empty if MLflow doesn't report it."""
    parameters = {"username": user, "resource_type": resource_type, "resource_id": name}
    return str(_json_object(get_page("/api/3.0/mlflow/users/permissions/get", parameters)).get("permission", ""))


def list_accounts(get_page: GetPage) -> list[Account] | None:
    """Return MLflow's users, with their grants if our user can see them; None if MLflow doesn't list users."""
    listed = _json_object(get_page("/api/2.0/mlflow/users/list", {})).get("users")
    if not isinstance(listed, list):
        return None
    return [_parse_account(user) for user in listed if isinstance(user, dict) and user.get("username")]


def default_permission(get_page: GetPage, accounts: Iterable[Account]) -> str:
    """Return the permission that MLflow grants everyone on every model; empty if no account reveals it.

    It's what MLflow reports for a user without a grant that covers all models.
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
    """A client for another MLflow user, with that user's login or none. Registrar's login is never sent.

    `credentials` are MLflow's settings for our own requests; of those, only the server's address and how to verify its
    certificate are used.
    """

    def __init__(self, credentials: Any, login: Login) -> None:
        parts = urlsplit(credentials.host)
        self._location = describe_location(credentials.host)
        self._client = httpx2.Client(
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
        """Return how MLflow reacts when this user sets an alias; of its two addresses, the more permissive counts.

        The model's name is made up, so a user with permission gets the response that the model doesn't exist. Raises
        RegistryUnreachable.
        """
        body = {"name": f"registrar-doctor-{secrets.token_hex(12)}", "alias": "champion", "version": "1"}
        return max(
            _alias_access(self._send("POST", f"/{prefix}/{_ALIAS_PATH}", json=body)) for prefix in ("api", "ajax-api")
        )

    def get(self, path: str, params: Mapping[str, str]) -> ProbeResponse:
        """Fetch a page. Raises RegistryUnreachable."""
        return self._send("GET", path, params=params)

    def _send(self, method: str, path: str, **options: Any) -> ProbeResponse:
        try:
            answer = self._client.request(method, path, **options)
        except httpx2.HTTPError as error:
            raise RegistryUnreachable(say("MLflow ({there}) isn't responding.", there=self._location)) from error
        return ProbeResponse(answer.status_code, answer.text[:_MAX_RESPONSE_LENGTH], dict(answer.headers))


def _tls_verification(credentials: Any) -> ssl.SSLContext | bool:
    if credentials.ignore_tls_verification:
        return False
    authorities = credentials.server_cert_path or os.environ.get("REQUESTS_CA_BUNDLE")  # as MLflow's client does
    # Without our own client certificate, which a proxy could treat as a login.
    return ssl.create_default_context(cafile=authorities) if authorities else True


def _alias_access(response: ProbeResponse) -> AliasAccess:
    if response.status in {401, 407} or 300 <= response.status < 400:  # redirect to a proxy's login page
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
