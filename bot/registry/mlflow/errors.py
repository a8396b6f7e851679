"""MLflow's errors, translated. Its own messages can contain SQL, so people see only those that can't."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

from bot.domain.core.errors import FilesUnreachable, RegistrarError, RegistryRefused, RegistryUnreachable
from bot.domain.core.sentence import Code, Sentence, say, truncate


class ConnectionBroken(RegistryUnreachable):
    """A kept-alive connection broke, for example because a worker of the server was replaced."""


def _database_errors() -> tuple[type[Exception], ...]:
    """Return SQLAlchemy's exception class, for an MLflow that opens its database itself.

    If SQLAlchemy isn't loaded, it can't have raised anything, and a registry on a server needn't wait for it to load.
    """
    loaded = sys.modules.get("sqlalchemy.exc")
    return (loaded.SQLAlchemyError,) if loaded else ()


def expected_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions of MLflow calls that `translate_error` can translate."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - it starts telemetry unless that's turned off

    return (MlflowException, OSError, *_database_errors())


def translate_error(
    error: Exception, handled: BaseException | None, not_found: RegistrarError | None, uri: str, setting: str
) -> RegistrarError:
    """Return the error that a person reads for MLflow's `error`.

    `handled`: the exception that the caller was handling already. `not_found`: the error to return if MLflow doesn't
    have the object. `setting`: where `uri` was configured.
    """
    code = getattr(error, "error_code", "")
    if code == "RESOURCE_DOES_NOT_EXIST" and not_found:
        return not_found
    location = describe_location(uri)
    if _NOT_MLFLOW_PATTERN.search(str(error)):
        # An answer of something else is mostly a proxy's whose MLflow is away: worth trying again.
        kind = RegistryRefused if "unsupported URI" in str(error) else RegistryUnreachable
        return kind(say(_NOT_MLFLOW, there=location, setting=Code(setting)))
    chain = [*cause_chain(error, handled)]
    if why := _unavailable_template(code, chain):
        broke = any(isinstance(link, ConnectionResetError | BrokenPipeError) for link in chain)
        return (ConnectionBroken if broke else RegistryUnreachable)(say(why, there=location))
    return RegistryRefused(_refusal_sentence(code, str(error)))


def translate_files_error(error: Exception) -> RegistrarError:
    """Return the error that a person reads if a model's files couldn't be read."""
    names = " ".join(type(link).__name__ for link in cause_chain(error, None))
    if "Timeout" in names:
        return FilesUnreachable(say(_FILES_UNREADABLE, reason="they did not come in time"))
    if _STORE_UNREACHABLE.search(names):
        return FilesUnreachable(say(_FILES_UNREADABLE, reason="where they lie does not answer"))
    if isinstance(error, ImportError):
        return files_unreadable(f"the package {error.name or 'for their store'} is not installed")
    return files_unreadable(f"{type(error).__name__} — the log says more")


def files_unreadable(reason: str) -> RegistryRefused:
    """Return the error for files that can't be read."""
    return RegistryRefused(say(_FILES_UNREADABLE, reason=reason))


def describe_location(uri: str) -> Code | str:
    """Return the address without user and password; a database's location isn't shown either."""
    parts = urlsplit(uri)
    if not parts.scheme.startswith("http"):
        return f"its {parts.scheme.partition('+')[0]} database"
    return Code(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


def cause_chain(error: BaseException | None, handled: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and what led to it: MLflow chains some causes, and of some leaves only the context.

    `handled`: what the caller was handling already; it led to nothing here.
    """
    if error is not None and error is not handled:
        yield error
        yield from cause_chain(error.__cause__, handled)
        if error.__context__ is not error.__cause__:
            yield from cause_chain(error.__context__, handled)


def is_archive_bug(error: BaseException | None) -> bool:
    """Return whether this is MLflow's failure to archive on psycopg 3 (mlflow#24592), which changed nothing."""
    return error is not None and "operator does not exist" in str(error)


def is_alias_race(error: BaseException) -> bool:
    """Return whether two processes set a new alias at once: the other one won, and ours changed nothing."""
    cause = str(error.__cause__).lower()
    return isinstance(error, RegistryRefused) and "registered_model_alias" in cause and "unique" in cause


def is_already_there(error: BaseException) -> bool:
    """Return whether MLflow refused to create something because someone else just created it."""
    return getattr(error.__cause__, "error_code", "") == "RESOURCE_ALREADY_EXISTS"


def _unavailable_template(code: str, chain: list[BaseException]) -> str | None:
    """Return the sentence for an MLflow that didn't answer or couldn't; None if it did answer."""
    names = " ".join(type(link).__name__ for link in chain)
    if "Timeout" in names:
        return _TIMED_OUT
    if "ResponseError" in names:  # HTTP 429 or 5xx
        return _CANNOT_ANSWER
    if any(isinstance(link, OSError) for link in chain):
        return _NO_ANSWER
    if code in _BUSY_CODES or isinstance(chain[0], _database_errors()):
        return _CANNOT_ANSWER
    return None


def _refusal_sentence(code: str, text: str) -> Sentence:
    if code in {"UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"}:
        names = [Code("MLFLOW_TRACKING_USERNAME"), Code("MLFLOW_TRACKING_PASSWORD")]
        return say("MLflow does not know us: check {names}.", names=names)
    if code == "PERMISSION_DENIED":
        return say(_FORBIDDEN, flag=Code("--allowed-hosts"))
    if code == "INVALID_PARAMETER_VALUE":  # MLflow's own words, which are safe here; all others can contain SQL
        return say("MLflow refused: {reason}", reason=truncate(text.removeprefix(f"{code}: "), 300))
    return say("MLflow refused this ({code}); its own log says why.", code=code or "no reason given")


_TIMED_OUT = "MLflow ({there}) did not answer in time."
_NO_ANSWER = "MLflow ({there}) does not answer."
_NOT_MLFLOW = "What answers at {there} is not an MLflow server: check {setting}."
_CANNOT_ANSWER = "MLflow ({there}) was reached but cannot answer now; its own log says why."
_FORBIDDEN = "MLflow forbids this: our user needs EDIT on the model, and the server our host name in {flag}."
_FILES_UNREADABLE = "The model's files cannot be read ({reason})."
_STORE_UNREACHABLE = re.compile(
    r"Connect|EndpointConnection|ResponseError|ServiceUnavailable|ConnectionReset|BrokenPipe"
)
_NOT_MLFLOW_PATTERN = re.compile(
    r"in a valid JSON format|unsupported URI|"
    r"failed with error code 4(?!01|03)\d\d|^INTERNAL_ERROR: Response: "
)
_BUSY_CODES = frozenset(
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
