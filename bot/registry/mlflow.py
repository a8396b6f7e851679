"""The registry is MLflow: a server by URL, or its database directly. No other file imports mlflow.

The registry-level client is used: in most calls `MlflowClient` asks a second time, whether the model is a
prompt, and that answer holds every version. We know it from the reading that came before.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.exc import SQLAlchemyError
from tenacity import Retrying, retry_if_exception, retry_if_exception_type, stop_after_attempt

from bot.domain.errors import RegistrarError, RegistryRefused, RegistryUnreachable
from bot.domain.registry import TARGETS, ModelInfo, Stage, VersionInfo
from bot.domain.text import Code, Say, say, short
from bot.registry import unknown_model, unknown_version, unspeakable_model

_MODELS_A_PAGE = 1_000  # MLflow's limit
_VERSIONS_A_PAGE = 5_000  # MLflow allows 200,000, which no server answers within our time limit
_TRUSTED_FOR = 60.0  # seconds for which a name that was read as a model's is taken for one


class MlflowRegistry:
    """The port `Registry` over MLflow.

    Built with where MLflow is and how many seconds we wait for an answer. MLflow reads its patience from the
    environment at every call: what is set there wins, else the first registry of a process sets it for all.
    MLflow's own retries are turned off, because it would send writes again, too.
    """

    def __init__(
        self,
        tracking_uri: str,
        registry_uri: str | None = None,
        *,
        timeout: int = 5,
        versions_a_page: int = _VERSIONS_A_PAGE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        _prepare_environment(timeout)
        self._opening = threading.Lock()
        self._opened: Any = None
        self._tracking_uri = tracking_uri
        self._uri = registry_uri or tracking_uri
        self._setting = Code("MLFLOW_REGISTRY_URI" if registry_uri else "MLFLOW_TRACKING_URI")
        self._versions_a_page = versions_a_page
        self._monotonic = monotonic
        self._models_seen: dict[str, float] = {}

    def models(self, text: str = "") -> list[ModelInfo]:
        """Return the models whose name holds `text` (any case), sorted by name. One request a page of 1,000.

        The text is looked for here: MLflow's filter has wildcards without an escape, and on SQLite it finds
        only ASCII letters in any case.
        """
        found = self._pages(
            lambda token: lambda client: client.search_registered_models(max_results=_MODELS_A_PAGE, page_token=token)
        )
        models = [_model(each) for each in found if not each._is_prompt()]
        self._remember(*(model.name for model in models))
        return sorted((m for m in models if text.lower() in m.name.lower()), key=lambda model: model.name)

    def model(self, name: str) -> ModelInfo:
        """Return one model with its aliases. Raises UnknownModel, also for a prompt. One request."""
        missing = unknown_model(name)
        found = self._read(lambda client: client.get_registered_model(name), missing)
        # A database that ignores case would find another name.
        if found.name != name or found._is_prompt():
            raise missing
        self._remember(name)
        return _model(found)

    def versions(self, name: str) -> list[VersionInfo]:
        """Return every version, newest number first, without aliases; none for an unknown model or a prompt.

        One request a page of 5,000. Raises UnknownModel for a name that MLflow's filter cannot hold.
        """
        here = f"name = {_quoted(name)}"
        found = self._pages(
            lambda token: (
                lambda client: client.search_model_versions(here, self._versions_a_page, ["version_number DESC"], token)
            )
        )
        # By number, because a version that is registered meanwhile moves the pages.
        by_number = {int(each.version): each for each in found if each.name == name and not each._is_prompt()}
        if by_number:
            self._remember(name)
        return [_version(by_number[number]) for number in sorted(by_number, reverse=True)]

    def transition(self, name: str, version: int, stage: Stage, *, archive_existing: bool) -> None:
        """Move the version; with `archive_existing` whoever holds Staging or Production is archived.

        One request for a model that was read within a minute. Raises UnknownModel and UnknownVersion.
        """
        self._check_is_model(name)
        if not (archive_existing and stage in TARGETS):
            self._move(name, version, stage)
            return
        try:
            self._move(name, version, stage, archive_existing=True)
            return
        except RegistryRefused as refusal:
            if not _compares_number_with_text(refusal.__cause__):
                raise
        self._move_then_archive(name, version, stage)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let `alias` name the version. One request for a model that was read within a minute.

        Raises UnknownModel, UnknownVersion, and RegistryRefused for an alias that MLflow does not take.
        """
        self._check_is_model(name)
        _after_another_set_it_first(
            lambda: self._ask(
                lambda client: client.set_registered_model_alias(name, alias, version),
                unknown_version(name, version),
            )
        )

    def _move(self, name: str, version: int, stage: Stage, *, archive_existing: bool = False) -> None:
        self._ask(
            lambda client: client.transition_model_version_stage(
                name, version, stage.value, archive_existing_versions=archive_existing
            ),
            unknown_version(name, version),
        )

    def _move_then_archive(self, name: str, version: int, stage: Stage) -> None:
        # In this order the stage has two holders for a moment; in the other one it would have none.
        self._move(name, version, stage)
        for other in self.versions(name):
            if other.stage is stage and other.version != version:
                self._move(name, other.version, Stage.ARCHIVED)

    def _check_is_model(self, name: str) -> None:
        """Raise UnknownModel for a prompt: MLflow would move it without a word."""
        seen = self._models_seen.get(name)
        if seen is None or self._monotonic() - seen > _TRUSTED_FOR:
            self.model(name)

    def _remember(self, *names: str) -> None:
        self._models_seen.update(dict.fromkeys(names, self._monotonic()))

    def _pages(self, search: Callable[[str | None], Callable[[Any], Any]]) -> list[Any]:
        found: list[Any] = []
        token: str | None = None
        while True:
            page = self._read(search(token))
            found += page
            token = page.token
            if not token:
                return found

    def _read(self, ask: Callable[[Any], Any], missing: RegistrarError | None = None) -> Any:
        return _again_after_a_break(lambda: self._ask(ask, missing))

    def _ask(self, ask: Callable[[Any], Any], missing: RegistrarError | None) -> Any:
        """Return MLflow's answer. Whatever it raises leaves here as one of our errors, its cause chained."""
        outer = sys.exception()
        try:
            return ask(self._client())
        except (_exception(), SQLAlchemyError, OSError) as error:
            raise self._translated(error, outer, missing) from error

    def _client(self) -> Any:
        """Return MLflow's client, made at the first call: the import takes seconds, and a database gets its tables.

        One thread does that, the others wait: two that make the same tables at once would fail.
        """
        with self._opening:
            if self._opened is None:
                from mlflow.tracking._model_registry.client import ModelRegistryClient  # noqa: PLC0415

                self._opened = ModelRegistryClient(self._uri, self._tracking_uri)  # type: ignore[no-untyped-call]
            return self._opened

    def _translated(
        self, error: Exception, outer: BaseException | None, missing: RegistrarError | None
    ) -> RegistrarError:
        code = getattr(error, "error_code", "")
        if code == "RESOURCE_DOES_NOT_EXIST" and missing:
            return missing
        if _FROM_A_STRANGER.search(str(error)):
            # An answer of something else is mostly a proxy's whose MLflow is away: worth trying again.
            kind = RegistryRefused if "unsupported URI" in str(error) else RegistryUnreachable
            return kind(say(_STRANGER, there=self._there, setting=self._setting))
        chain = [*_chain(error, outer)]
        if why := _silence(code, chain):
            broke = any(isinstance(link, ConnectionResetError | BrokenPipeError) for link in chain)
            return (_Broke if broke else RegistryUnreachable)(say(why, there=self._there))
        return RegistryRefused(_refusal(code, str(error)))

    @property
    def _there(self) -> Code | str:
        """The address without user and password; where a database lies is nobody's business."""
        parts = urlsplit(self._uri)
        if not parts.scheme.startswith("http"):
            return f"its {parts.scheme.partition('+')[0]} database"
        return Code(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


class _Broke(RegistryUnreachable):
    """A kept connection broke, as it does when a worker of the server is replaced."""


def _exception() -> type[Exception]:
    """Return MLflow's own error; not imported above, where it would start MLflow's telemetry untold."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    return MlflowException


def _prepare_environment(timeout: int) -> None:
    wanted = {
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(timeout),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    }
    for name, value in wanted.items():
        os.environ.setdefault(name, value)


def _quoted(name: str) -> str:
    """Return the name as MLflow's filters hold it: they know no escape, only the other kind of quotes."""
    if "'" not in name:
        return f"'{name}'"
    if '"' not in name:
        return f'"{name}"'
    raise unspeakable_model(name)


def _model(found: Any) -> ModelInfo:
    latest = sorted(found.latest_versions or (), key=lambda version: int(version.version))
    return ModelInfo(
        name=found.name,
        description=found.description or "",
        latest={_stage(version): int(version.version) for version in latest},
        aliases=MappingProxyType({alias: int(number) for alias, number in found.aliases.items()}),
        tags=_tags(found),
        updated_at=_moment(found.last_updated_timestamp),
    )


def _version(found: Any) -> VersionInfo:
    return VersionInfo(
        model=found.name,
        version=int(found.version),  # text over HTTP
        stage=_stage(found),
        run_id=found.run_id or None,  # empty over HTTP
        status=found.status or "READY",
        created_at=_moment(found.creation_timestamp),
        description=found.description or "",
        tags=_tags(found),
    )


def _stage(version: Any) -> Stage:
    return Stage(version.current_stage or "None")


def _tags(found: Any) -> Mapping[str, str]:
    return MappingProxyType(dict(found.tags))


def _moment(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None


def _chain(error: BaseException | None, outer: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and what led to it: MLflow chains some causes, and of some leaves only the context.

    `outer` is what the caller was handling already; it led to nothing here.
    """
    if error is not None and error is not outer:
        yield error
        yield from _chain(error.__cause__, outer)
        if error.__context__ is not error.__cause__:
            yield from _chain(error.__context__, outer)


def _silence(code: str, chain: list[BaseException]) -> str | None:
    """Return the sentence of an MLflow that did not answer or could not, None where it did answer."""
    names = " ".join(type(link).__name__ for link in chain)
    if "Timeout" in names:
        return _LATE
    if "ResponseError" in names:  # it said 429 or 5xx
        return _TROUBLED
    if any(isinstance(link, OSError) for link in chain):
        return _SILENT
    if code in _BUSY or isinstance(chain[0], SQLAlchemyError):
        return _TROUBLED
    return None


def _refusal(code: str, text: str) -> Say:
    if code in {"UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"}:
        names = [Code("MLFLOW_TRACKING_USERNAME"), Code("MLFLOW_TRACKING_PASSWORD")]
        return say("MLflow does not know us: check {names}.", names=names)
    if code == "PERMISSION_DENIED":
        return say(_FORBIDDEN, flag=Code("--allowed-hosts"))
    if code == "INVALID_PARAMETER_VALUE":  # MLflow's own words; all others may hold SQL
        return say("MLflow refused: {reason}", reason=short(text.removeprefix(f"{code}: "), 300))
    return say("MLflow refused this ({code}); its own log says why.", code=code or "no reason given")


def _compares_number_with_text(error: BaseException | None) -> bool:
    """Tell whether this is MLflow's failure to archive on psycopg 3 (mlflow#24592): nothing was changed."""
    return error is not None and "operator does not exist" in str(error)


def _was_set_first_by_another(error: BaseException) -> bool:
    """Tell whether two set a new alias at once: the other one won, nothing of ours was done."""
    cause = str(error.__cause__).lower()
    return isinstance(error, RegistryRefused) and "registered_model_alias" in cause and "unique" in cause


_after_another_set_it_first = Retrying(
    retry=retry_if_exception(_was_set_first_by_another), stop=stop_after_attempt(2), reraise=True
)
_again_after_a_break = Retrying(retry=retry_if_exception_type(_Broke), stop=stop_after_attempt(2), reraise=True)

_LATE = "MLflow ({there}) did not answer in time."
_SILENT = "MLflow ({there}) does not answer."
_STRANGER = "What answers at {there} is not an MLflow server: check {setting}."
_TROUBLED = "MLflow ({there}) was reached but cannot answer now; its own log says why."
_FORBIDDEN = "MLflow forbids this: our user needs EDIT on the model, and the server our host name in {flag}."
_FROM_A_STRANGER = re.compile(
    r"in a valid JSON format|unsupported URI|"
    r"failed with error code 4(?!01|03)\d\d|^INTERNAL_ERROR: Response: "
)
_BUSY = frozenset(
    {
        "ABORTED",
        "DEADLINE_EXCEEDED",
        "INTERNAL_ERROR",
        "INVALID_STATE",
        "REQUEST_LIMIT_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "TEMPORARILY_UNAVAILABLE",
    }
)
