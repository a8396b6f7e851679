"""What goes to the log: what happened, and neither what people wrote nor what opens a door.

A line for people, or a JSON document for machines. Both say what the work belongs to (bot/logging_context.py).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, MutableMapping
from typing import Any, Literal, TextIO

from bot import logging_context

Form = Literal["text", "json"]
Fields = MutableMapping[str, Any]

# What these say below WARNING holds requests, their addresses, their bodies, or the rows of the ledger; the scheduler
# tells of every job, every second, and Alembic of every plugin of its own.
SILENT = (
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
# These tell on INFO of connections, on DEBUG of what went over them.
TERSE = ("alembic", "mlflow", "slack_bolt", "uvicorn")

# Slack's tokens, an address for answers, and the credentials in an address.
_SECRETS = re.compile(
    r"xox[a-z](?:\.xox[a-z])?-[\w-]+|xapp-[\w-]+|https://hooks\.slack\.com/[^\s'\"]+|(?<=//)[^/@\s]+(?=@)"
)
_PLAIN = re.compile(r"[\w.:/@+-]+")  # what needs no quotes in a line
_here: dict[str, str] = {}  # what every JSON line says


def set_up(hidden: Iterable[str] = (), *, level: int = logging.INFO, form: Form = "text") -> None:
    """Log to stderr, whatever the libraries would like to say. `hidden` is never printed, whoever says it."""
    logging.basicConfig(level=level, handlers=[handler(None, hidden, form)])
    for names, floor in ((SILENT, logging.WARNING), (TERSE, logging.INFO)):
        for name in names:
            logging.getLogger(name).setLevel(max(level, floor))
    # Bolt says this of every app that brings its own client, which ours does.
    logging.getLogger("slack_bolt").addFilter(lambda record: "`token` will be unused" not in record.getMessage())


def sign(process: str) -> None:
    """Let every JSON line from now on say which process it comes from, by its name in the ledger's leases."""
    _here["process"] = process


def handler(stream: TextIO | None, hidden: Iterable[str] = (), form: Form = "text") -> logging.Handler:
    """Return what writes lines without secrets to a stream, or to stderr."""
    from structlog.processors import TimeStamper, format_exc_info  # noqa: PLC0415 - a terminal's verbs log nothing
    from structlog.stdlib import ProcessorFormatter, add_log_level, add_logger_name  # noqa: PLC0415

    if form == "json":
        ends = [add_log_level, add_logger_name, TimeStamper(fmt="iso", utc=True, key="time"), _Document(hidden)]
    else:
        ends = [_Line(hidden)]
    writer = logging.StreamHandler(stream)
    writer.setFormatter(ProcessorFormatter(processors=[format_exc_info, *ends]))  # type: ignore[list-item]
    return writer


def secrets_in(hidden: Iterable[str] = ()) -> re.Pattern[str]:
    """Return what finds every secret in a text: those that are known, and whatever looks like one."""
    known = sorted((re.escape(one) for one in hidden if one), key=len, reverse=True)
    return re.compile("|".join([*known, _SECRETS.pattern]))


class _Line:
    """Makes a line for people, its traceback below, with `…` in place of every secret."""

    def __init__(self, hidden: Iterable[str]) -> None:
        self._hidden = secrets_in(hidden)
        self._times = logging.Formatter()

    def __call__(self, logger: object, method: str, fields: Fields) -> str:
        record: logging.LogRecord = fields["_record"]
        line = f"{self._times.formatTime(record)} {record.levelname} {record.name}: {fields['event']}{self._belongs()}"
        below = [str(fields[name]) for name in ("exception", "stack_info") if fields.get(name)]
        return self._hidden.sub("…", "\n".join([line, *below]))

    def _belongs(self) -> str:
        """Return what the work belongs to, behind a line; nothing, where that is not known."""
        told = {
            name: self._hidden.sub("…", value) for name, value in logging_context.told().items()
        }  # before quotes change it
        parts = [f"{name}={value if _PLAIN.fullmatch(value) else json.dumps(value)}" for name, value in told.items()]
        return f" [{' '.join(parts)}]" if parts else ""


class _Document:
    """Makes one line of JSON, with `…` in place of every secret."""

    def __init__(self, hidden: Iterable[str]) -> None:
        self._hidden = secrets_in(hidden)

    def __call__(self, logger: object, method: str, fields: Fields) -> str:
        told = {name: fields[name] for name in ("time", "level", "logger")}
        told |= {"message": fields["event"], **_here, **logging_context.told()}
        told |= {name: fields[name] for name in ("exception", "stack_info") if fields.get(name)}
        return json.dumps({name: self._hidden.sub("…", str(value)) for name, value in told.items()})
