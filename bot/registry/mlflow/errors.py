"""Translate MLflow's errors. Its own messages can contain SQL, so people see only those that can't."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

from bot.domain.core.errors import FilesUnreachable, Misconfigured, RegistrarError, RegistryRefused, RegistryUnreachable
from bot.domain.core.sentence import Code, Sentence, say, truncate


class ConnectionBroken(RegistryUnreachable):
    """A kept-alive connection broke, for example, because a server worker was replaced."""


def _database_errors() -> tuple[type[Exception], ...]:
    """Return SQLAlchemy's base exception, which MLflow can raise when it opens a database directly.

    Empty if SQLAlchemy isn't loaded: it can't have raised anything then, and a registry on a server doesn't have to
    load it.
    """
    loaded = sys.modules.get("sqlalchemy.exc")
    return (loaded.SQLAlchemyError,) if loaded else ()


def expected_errors() -> tuple[type[Exception], ...]:
    """Return the exception classes that MLflow calls can raise and `translate_error` can translate."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - it starts telemetry unless that's turned off

    return (MlflowException, OSError, ImportError, *_database_errors())


def translate_error(
    error: Exception, handled: BaseException | None, not_found: RegistrarError | None, uri: str, setting: str
) -> RegistrarError:
    """Return the user-facing error for MLflow's `error`.

    `handled` is the exception that the caller was already handling. `not_found` is returned if MLflow doesn't have the
    object. `setting` is where `uri` was configured.
    """
    code = getattr(error, "error_code", "")
    if code == "RESOURCE_DOES_NOT_EXIST" and not_found:
        return not_found
    if isinstance(error, ImportError):
        return module_missing(error, setting)
    location = describe_location(uri)
    if _NOT_MLFLOW_PATTERN.search(str(error)):
        # A response that isn't MLflow's usually comes from a proxy while MLflow is down, so it's worth a retry.
        kind = RegistryRefused if "unsupported URI" in str(error) else RegistryUnreachable
        return kind(say(_NOT_MLFLOW, there=location, setting=Code(setting)))
    chain = [*cause_chain(error, handled)]
    if why := _unavailable_template(code, chain):
        broke = any(isinstance(link, ConnectionResetError | BrokenPipeError) for link in chain)
        return (ConnectionBroken if broke else RegistryUnreachable)(say(why, there=location))
    return RegistryRefused(_refusal_sentence(code, str(error)))


def translate_files_error(error: Exception) -> RegistrarError:
    """Return the user-facing error for model files that couldn't be read."""
    names = " ".join(type(link).__name__ for link in cause_chain(error, None))
    if "Timeout" in names:
        return FilesUnreachable(say(_FILES_UNREADABLE, reason="the download timed out"))
    if _STORE_UNREACHABLE.search(names):
        return FilesUnreachable(say(_FILES_UNREADABLE, reason="their storage isn't responding"))
    if isinstance(error, ImportError):
        return files_unreadable(f"the package {error.name or 'for their store'} isn't installed")
    return files_unreadable(f"{type(error).__name__}; see the log")


def files_unreadable(reason: str) -> RegistryRefused:
    """Return the error for files that can't be read; `reason` completes the sentence."""
    return RegistryRefused(say(_FILES_UNREADABLE, reason=reason))


def module_missing(error: ImportError, setting: str) -> Misconfigured:
    """Return the error for an address that needs a module that isn't installed, such as a database's driver."""
    return Misconfigured(say(_MODULE_MISSING, setting=Code(setting), name=Code(error.name or "?")))


def describe_location(uri: str) -> Code | str:
    """Return the address without credentials. For a database, return only its type, not its location."""
    parts = urlsplit(uri)
    if not parts.scheme.startswith("http"):
        return f"its {parts.scheme.partition('+')[0]} database"
    return Code(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


def cause_chain(error: BaseException | None, handled: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and its causes. MLflow chains some causes explicitly and leaves others only as context.

    `handled` is the exception that the caller was already handling, which isn't a cause.
    """
    if error is not None and error is not handled:
        yield error
        yield from cause_chain(error.__cause__, handled)
        if error.__context__ is not error.__cause__:
            yield from cause_chain(error.__context__, handled)


def is_archive_bug(error: BaseException | None) -> bool:
    """Return whether MLflow failed to archive because of psycopg 3 (mlflow#24592); if so, nothing was changed."""
    return error is not None and "operator does not exist" in str(error)


def is_alias_race(error: BaseException) -> bool:
    """Return whether another process set the same new alias first, so our call changed nothing."""
    cause = str(error.__cause__).lower()
    return isinstance(error, RegistryRefused) and "registered_model_alias" in cause and "unique" in cause


def is_already_there(error: BaseException) -> bool:
    """Return whether MLflow refused to create something because someone else just created it."""
    return getattr(error.__cause__, "error_code", "") == "RESOURCE_ALREADY_EXISTS"


def _unavailable_template(code: str, chain: list[BaseException]) -> str | None:
    """Return the sentence template if MLflow didn't respond or couldn't answer; None if it answered."""
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
        return say("MLflow rejected Registrar's credentials. Check {names}.", names=names)
    if code == "PERMISSION_DENIED":
        return say(_FORBIDDEN, flag=Code("--allowed-hosts"))
    if code == "INVALID_PARAMETER_VALUE":  # MLflow's own message, which is safe here; others can contain SQL
        return say("MLflow rejected this: {reason}", reason=truncate(text.removeprefix(f"{code}: "), 300))
    return say("MLflow rejected the request ({code}). For the reason, see its log.", code=code or "no reason given")


_TIMED_OUT = "MLflow ({there}) didn't respond in time."
_NO_ANSWER = "MLflow ({there}) isn't responding."
_NOT_MLFLOW = "The server at {there} isn't MLflow. Check {setting}."
_CANNOT_ANSWER = "MLflow ({there}) is reachable but can't answer right now. Its log says why."
_FORBIDDEN = "MLflow denied this. Registrar's user needs EDIT on the model; {flag} must include the server's host name."
_MODULE_MISSING = (
    "Can't use {setting}: it needs {name}, which isn't installed. "
    "Install it, or set {setting} to your MLflow server's address."
)
_FILES_UNREADABLE = "Can't read the model's files: {reason}."
_STORE_UNREACHABLE = re.compile(
    r"Connect|ResponseError|ServiceUnavailable|BrokenPipe|ProtocolError|IncompleteRead|ChunkedEncodingError"
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
