"""Checks on MLflow for `registrar doctor`, beyond the `ModelRegistry` port: availability, latency, and permissions.

Nothing here opens a database without tables, because MLflow would create them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from bot.domain.core.errors import RegistrarError, RegistryRefused, RegistryUnreachable
from bot.domain.core.sentence import Code, sanitize_text, say
from bot.registry.mlflow.connection import open_connections, request_timeout
from bot.registry.mlflow.errors import describe_location, is_archive_bug, module_missing

_NO_SOURCE = "prompt-template"  # MLflow's own source for a version without files
# MLflow and Registrar hide prompts from every list of models, and a running bot doesn't announce them.
_HIDDEN_TAGS = {"mlflow.prompt.is_prompt": "true"}
_UNUSED_ALIAS = "registrar-doctor"  # an alias that no model has


@dataclass(frozen=True, slots=True)
class ProbeResponse:
    """A server's response."""

    status: int
    text: str
    headers: Mapping[str, str]


class CleanupFailed(RegistryRefused):
    """Something that a check created couldn't be deleted."""


class MlflowProbe:
    """The configured MLflow, called the way `MlflowRegistry` calls it: same client, same timeouts."""

    def __init__(self, tracking_uri: str, registry_uri: str | None = None, *, timeout: int = 5) -> None:
        self._connection, _ = open_connections(tracking_uri, registry_uri, timeout)
        self.uri, self.setting = self._connection.uri, self._connection.setting

    def close(self) -> None:
        """Close the database connections."""
        self._connection.close()

    @property
    def is_server(self) -> bool:
        """Whether MLflow is a server rather than a database."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def is_database(self) -> bool:
        """Whether MLflow is a database. The first process that opens it creates its tables."""
        return self.uri.startswith(("sqlite", "postgresql", "mysql", "mssql"))

    @property
    def location(self) -> str:
        """MLflow's address, without credentials."""
        return sanitize_text(describe_location(self.uri))

    def has_tables(self) -> bool:
        """Return whether the database exists and has all of MLflow's tables. Creates nothing.

        Raises RegistryUnreachable and Misconfigured. Call this before anything else: opening a database without tables
        creates them.
        """
        url = make_url(self.uri)
        if url.get_backend_name() == "sqlite" and not Path(str(url.database)).is_file():
            return False
        from mlflow.store.model_registry import sqlalchemy_store  # noqa: PLC0415 - takes seconds

        try:
            engine = create_engine(url, hide_parameters=True)
        except ImportError as error:  # its driver
            raise module_missing(error, self.setting) from error
        try:
            return bool(sqlalchemy_store._all_tables_exist(engine))  # type: ignore[attr-defined,no-untyped-call]
        except (SQLAlchemyError, OSError) as error:
            location = describe_location(self.uri)
            raise RegistryUnreachable(say("MLflow ({there}) isn't responding.", there=location)) from error
        finally:
            engine.dispose()

    def get(self, path: str, params: Mapping[str, str] | None = None, max_length: int = 1000) -> ProbeResponse:
        """Fetch a page from the server with our credentials; keep at most `max_length` characters of its text.

        Raises RegistryUnreachable and RegistryRefused.
        """
        return self._connection.call(lambda client: _http_get(client, path, params, max_length))  # type: ignore[no-any-return]

    def credentials(self) -> Any:
        """Return the server address and credentials that MLflow's client uses."""
        return self._connection.call(lambda client: client.store.get_host_creds())

    def can_manage(self, model: str) -> bool:
        """Return whether we can manage a model. To find out, delete an alias that it doesn't have.

        That changes nothing, but MLflow's basic auth requires MANAGE for it, as it does for deleting a version's tag;
        EDIT is enough for everything else. Raises RegistryUnreachable, and RegistryRefused if MLflow refuses for
        another reason.
        """
        try:
            self._connection.call(lambda client: client.delete_registered_model_alias(model, _UNUSED_ALIAS))
        except RegistryRefused as refusal:
            if getattr(refusal.__cause__, "error_code", "") != "PERMISSION_DENIED":
                raise
            return False
        return True

    def try_transition(self, name: str, *, has_stages: bool) -> bool:
        """Create a model and a version, transition it, and delete both; return whether archiving works.

        `name` is the model's name. Without `has_stages`, the transition only sets an alias. Archiving fails on a server
        with psycopg 3 (mlflow#24592), where Registrar transitions in two steps. Raises RegistryUnreachable,
        RegistryRefused, and CleanupFailed if the model couldn't be deleted.
        """
        try:
            self._connection.call(
                lambda client: client.create_registered_model(name, _HIDDEN_TAGS, "Created by registrar doctor.")
            )
        except RegistryUnreachable:
            with suppress(RegistrarError):  # it can exist even though the response was lost
                self._delete_model(name)
            raise
        try:
            self._connection.call(
                lambda client: client.create_model_version(name, _NO_SOURCE, tags=_HIDDEN_TAGS, await_creation_for=0)
            )
            self._connection.call(lambda client: client.set_registered_model_alias(name, "challenger", "1"))
            if has_stages:
                self._connection.call(
                    lambda client: client.transition_model_version_stage(
                        name, "1", "Staging", archive_existing_versions=True
                    )
                )
        except RegistryRefused as refusal:
            if not is_archive_bug(refusal.__cause__):
                raise
            return False
        finally:
            try:
                self._delete_model(name)
            except RegistrarError as error:
                raise CleanupFailed(
                    say("Can't delete {name}, the model that the check created.", name=Code(name))
                ) from error
        return True

    def _delete_model(self, name: str) -> None:
        self._connection.call(lambda client: client.delete_registered_model(name))


def _http_get(client: Any, path: str, params: Mapping[str, str] | None, max_length: int) -> ProbeResponse:
    from mlflow.utils.rest_utils import http_request  # noqa: PLC0415 - takes seconds

    creds = client.store.get_host_creds()
    answer = http_request(creds, path, "GET", timeout=request_timeout(), params=params)  # type: ignore[no-untyped-call]
    with closing(answer):
        return ProbeResponse(
            answer.status_code,
            answer.text[:max_length],
            {name.lower(): value for name, value in answer.headers.items()},
        )
