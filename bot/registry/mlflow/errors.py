"""What MLflow raises, in our words. Its own words may hold SQL: a person sees only those that cannot."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

from bot.domain.core.errors import FilesUnreachable, RegistrarError, RegistryRefused, RegistryUnreachable
from bot.domain.core.sentence import Code, Say, say, short


class Broke(RegistryUnreachable):
    """A kept connection broke, as it does when a worker of the server is replaced."""


def mlflow_exception() -> type[Exception]:
    """Return MLflow's own error; not imported above, where it would start MLflow's telemetry untold."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    return MlflowException


def _database_errors() -> tuple[type[Exception], ...]:
    """Return what SQLAlchemy raises, for an MLflow that opens its database itself.

    Where it is not loaded it has raised nothing, and a registry behind a server need not wait for its loading.
    """
    loaded = sys.modules.get("sqlalchemy.exc")
    return (loaded.SQLAlchemyError,) if loaded else ()


def expected_errors() -> tuple[type[Exception], ...]:
    """Return what a call of MLflow may raise that `translated` has a sentence for."""
    return (mlflow_exception(), OSError, *_database_errors())


def translated(
    error: Exception, outer: BaseException | None, missing: RegistrarError | None, uri: str, setting: str
) -> RegistrarError:
    """Return what a person reads for MLflow's `error`.

    `outer` is what the caller was handling already, `missing` is meant where MLflow knows no such thing, and
    `setting` says where somebody wrote `uri`.
    """
    code = getattr(error, "error_code", "")
    if code == "RESOURCE_DOES_NOT_EXIST" and missing:
        return missing
    there = place(uri)
    if _FROM_A_STRANGER.search(str(error)):
        # An answer of something else is mostly a proxy's whose MLflow is away: worth trying again.
        kind = RegistryRefused if "unsupported URI" in str(error) else RegistryUnreachable
        return kind(say(_STRANGER, there=there, setting=Code(setting)))
    chain = [*causes(error, outer)]
    if why := _silence(code, chain):
        broke = any(isinstance(link, ConnectionResetError | BrokenPipeError) for link in chain)
        return (Broke if broke else RegistryUnreachable)(say(why, there=there))
    return RegistryRefused(_refusal(code, str(error)))


def unreadable(error: Exception) -> RegistrarError:
    """Return what a person reads where a model's files could not be read."""
    names = " ".join(type(link).__name__ for link in causes(error, None))
    if "Timeout" in names:
        return files_late()
    if _AWAY.search(names):
        return FilesUnreachable(say(_NO_FILES, reason="where they lie does not answer"))
    if isinstance(error, ImportError):
        return no_files(f"the package {error.name or 'for their store'} is not installed")
    return no_files(f"{type(error).__name__} — the log says more")


def files_late() -> FilesUnreachable:
    """Return the error of files that did not come in time."""
    return FilesUnreachable(say(_NO_FILES, reason="they did not come in time"))


def no_files(reason: str) -> RegistryRefused:
    """Return the error of files that cannot be read, with the reason in our words."""
    return RegistryRefused(say(_NO_FILES, reason=reason))


def place(uri: str) -> Code | str:
    """Return the address without user and password; where a database lies is nobody's business."""
    parts = urlsplit(uri)
    if not parts.scheme.startswith("http"):
        return f"its {parts.scheme.partition('+')[0]} database"
    return Code(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


def causes(error: BaseException | None, outer: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and what led to it: MLflow chains some causes, and of some leaves only the context.

    `outer` is what the caller was handling already; it led to nothing here.
    """
    if error is not None and error is not outer:
        yield error
        yield from causes(error.__cause__, outer)
        if error.__context__ is not error.__cause__:
            yield from causes(error.__context__, outer)


def compares_number_with_text(error: BaseException | None) -> bool:
    """Tell whether this is MLflow's failure to archive on psycopg 3 (mlflow#24592): nothing was changed."""
    return error is not None and "operator does not exist" in str(error)


def was_set_first_by_another(error: BaseException) -> bool:
    """Tell whether two set a new alias at once: the other one won, nothing of ours was done."""
    cause = str(error.__cause__).lower()
    return isinstance(error, RegistryRefused) and "registered_model_alias" in cause and "unique" in cause


def is_there_already(error: BaseException) -> bool:
    """Tell whether MLflow refused to make something because another has made it meanwhile."""
    return getattr(error.__cause__, "error_code", "") == "RESOURCE_ALREADY_EXISTS"


def _silence(code: str, chain: list[BaseException]) -> str | None:
    """Return the sentence of an MLflow that did not answer or could not, None where it did answer."""
    names = " ".join(type(link).__name__ for link in chain)
    if "Timeout" in names:
        return _LATE
    if "ResponseError" in names:  # it said 429 or 5xx
        return _TROUBLED
    if any(isinstance(link, OSError) for link in chain):
        return _SILENT
    if code in _BUSY or isinstance(chain[0], _database_errors()):
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


_LATE = "MLflow ({there}) did not answer in time."
_SILENT = "MLflow ({there}) does not answer."
_STRANGER = "What answers at {there} is not an MLflow server: check {setting}."
_TROUBLED = "MLflow ({there}) was reached but cannot answer now; its own log says why."
_FORBIDDEN = "MLflow forbids this: our user needs EDIT on the model, and the server our host name in {flag}."
_NO_FILES = "The model's files cannot be read ({reason})."
_AWAY = re.compile(r"Connect|EndpointConnection|ResponseError|ServiceUnavailable|ConnectionReset|BrokenPipe")
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
