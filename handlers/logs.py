"""Logs what happened, without text that people wrote and without secrets.

A line for people, or a JSON document for machines. Both include what the work belongs to (bot/logging_context.py).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, MutableMapping
from typing import Any, Literal, TextIO

from bot import logging_context

LogFormat = Literal["text", "json"]
LogFields = MutableMapping[str, Any]

# Below WARNING, these log requests, their addresses and bodies, or rows of the ledger; the scheduler logs every job,
# every second, and Alembic each of its plugins.
QUIET_LOGGERS = (
    "alembic.runtime.plugins",
    "apscheduler",
    "asyncio",
    "httpcore",
    "httpx",
    "slack_sdk",
    "sqlalchemy",
    "urllib3",
    "uvicorn.access",
)
# These log connections at INFO, and what's sent over them at DEBUG.
INFO_LOGGERS = ("alembic", "mlflow", "slack_bolt", "uvicorn")

# Slack's tokens, an address for answers, and the credentials in an address.
_SECRET_PATTERN = re.compile(
    r"xox[a-z](?:\.xox[a-z])?-[\w-]+|xapp-[\w-]+|https://hooks\.slack\.com/[^\s'\"]+|(?<=//)[^/@\s]+(?=@)"
)
_UNQUOTED = re.compile(r"[\w.:/@+-]+")  # what needs no quotes in a line
_process_fields: dict[str, str] = {}  # in every JSON line


def set_up_logging(secrets: Iterable[str] = (), *, level: int = logging.INFO, log_format: LogFormat = "text") -> None:
    """Log to stderr, including what libraries log. `secrets` are never printed, whoever logs them."""
    logging.basicConfig(level=level, handlers=[build_handler(None, secrets, log_format)])
    for names, floor in ((QUIET_LOGGERS, logging.WARNING), (INFO_LOGGERS, logging.INFO)):
        for name in names:
            logging.getLogger(name).setLevel(max(level, floor))
    # Bolt logs this for every app with a client of its own, as ours.
    logging.getLogger("slack_bolt").addFilter(lambda record: "`token` will be unused" not in record.getMessage())


def set_process_name(process: str) -> None:
    """Include the process's name, as in the ledger's leases, in every JSON line from now on."""
    _process_fields["process"] = process


def build_handler(
    stream: TextIO | None, secrets: Iterable[str] = (), log_format: LogFormat = "text"
) -> logging.Handler:
    """Return what writes lines without secrets to a stream, or to stderr."""
    from structlog.processors import TimeStamper, format_exc_info  # noqa: PLC0415 - a terminal's verbs log nothing
    from structlog.stdlib import ProcessorFormatter, add_log_level, add_logger_name  # noqa: PLC0415

    if log_format == "json":
        ends = [add_log_level, add_logger_name, TimeStamper(fmt="iso", utc=True, key="time"), _JsonRenderer(secrets)]
    else:
        ends = [_TextRenderer(secrets)]
    writer = logging.StreamHandler(stream)
    writer.setFormatter(ProcessorFormatter(processors=[format_exc_info, *ends]))  # type: ignore[list-item]
    return writer


def secret_pattern(secrets: Iterable[str] = ()) -> re.Pattern[str]:
    """Return a pattern that matches every secret in a text: the given ones, and whatever looks like one."""
    patterns = sorted((re.escape(secret) for secret in secrets if secret), key=len, reverse=True)
    return re.compile("|".join([*patterns, _SECRET_PATTERN.pattern]))


class _TextRenderer:
    """Renders a line for people, with the traceback below, and `…` in place of every secret."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = secret_pattern(secrets)
        self._time_formatter = logging.Formatter()

    def __call__(self, logger: object, method: str, fields: LogFields) -> str:
        record: logging.LogRecord = fields["_record"]
        head = f"{self._time_formatter.formatTime(record)} {record.levelname} {record.name}"
        line = f"{head}: {fields['event']}{self._context_suffix()}"
        below = [str(fields[name]) for name in ("exception", "stack_info") if fields.get(name)]
        return self._secrets.sub("…", "\n".join([line, *below]))

    def _context_suffix(self) -> str:
        """Return what the work belongs to, as a suffix of the line; empty if that's unknown."""
        context = {
            name: self._secrets.sub("…", value) for name, value in logging_context.current().items()
        }  # before quotes change it
        parts = [
            f"{name}={value if _UNQUOTED.fullmatch(value) else json.dumps(value)}" for name, value in context.items()
        ]
        return f" [{' '.join(parts)}]" if parts else ""


class _JsonRenderer:
    """Renders one line of JSON, with `…` in place of every secret."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = secret_pattern(secrets)

    def __call__(self, logger: object, method: str, fields: LogFields) -> str:
        document = {name: fields[name] for name in ("time", "level", "logger")}
        document |= {"message": fields["event"], **_process_fields, **logging_context.current()}
        document |= {name: fields[name] for name in ("exception", "stack_info") if fields.get(name)}
        return json.dumps({name: self._secrets.sub("…", str(value)) for name, value in document.items()})
