"""Logging that leaves out secrets and text that people wrote.

A record is a line for people or a JSON document for machines. Both include the context of the current work
(bot/logging_context.py).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Literal, TextIO

from bot import logging_context
from handlers.repeated_lines import RepeatLimitingHandler

LogFormat = Literal["text", "json"]
LogFields = MutableMapping[str, Any]

# Below WARNING, these log requests, with their URLs and bodies, or rows of the ledger. The scheduler logs every job
# every second, Alembic each of its plugins, and MCP each of its requests.
QUIET_LOGGERS = (
    "alembic.runtime.plugins",
    "apscheduler",
    "asyncio",
    "httpcore2",
    "httpx2",
    "mcp.server.streamable_http_manager",
    "slack_sdk",
    "sqlalchemy",
    "urllib3",
    "uvicorn.access",
)
# These log connections at INFO, and what's sent over them at DEBUG.
INFO_LOGGERS = ("alembic", "mlflow", "slack_bolt", "uvicorn")

# Slack's tokens, response URLs, and the credentials in a URL.
_SECRET_PATTERN = re.compile(
    r"xox[a-z](?:\.xox[a-z])?-[\w-]+|xapp-[\w-]+|https://hooks\.slack\.com/[^\s'\"]+|(?<=//)[^/@\s]+(?=@)"
)
_UNQUOTED = re.compile(r"[\w.:/@+-]+")  # values that need no quotes in a line
_OWN_FIELDS = ("time", "level", "logger", "event", "exception", "stack_info")  # the rest is the work's context
_process_fields: dict[str, str] = {}  # in every JSON line


def set_up_logging(secrets: Iterable[str] = (), *, level: int = logging.INFO, log_format: LogFormat = "text") -> None:
    """Log to stderr, including what libraries log. `secrets` are never printed, no matter what logs them."""
    logging.basicConfig(level=level, handlers=[build_handler(None, secrets, log_format)])
    for names, floor in ((QUIET_LOGGERS, logging.WARNING), (INFO_LOGGERS, logging.INFO)):
        for name in names:
            logging.getLogger(name).setLevel(max(level, floor))
    # Bolt logs this for every app with its own client, such as Registrar's.
    logging.getLogger("slack_bolt").addFilter(lambda record: "`token` will be unused" not in record.getMessage())


def set_process_name(process: str) -> None:
    """Include the process's name in every JSON line. It's the same name as in the ledger's leases."""
    _process_fields["process"] = process


def build_handler(
    stream: TextIO | None, secrets: Iterable[str] = (), log_format: LogFormat = "text"
) -> logging.Handler:
    """Return a handler that writes lines without secrets to `stream`, or to stderr if that's None."""
    from structlog.processors import TimeStamper, format_exc_info  # noqa: PLC0415 - terminal commands log nothing
    from structlog.stdlib import ProcessorFormatter, add_log_level, add_logger_name  # noqa: PLC0415

    pattern = secret_pattern(secrets)
    render_line = _render_json if log_format == "json" else _render_text

    def render(logger: object, method: str, fields: LogFields) -> str:
        """Return a line with `…` in place of every secret. Secrets are replaced before quoting can change them."""
        found = {**logging_context.current(), **{name: fields[name] for name in _OWN_FIELDS if fields.get(name)}}
        return render_line({name: pattern.sub("…", str(value)) for name, value in found.items()}, fields["_record"])

    stamps = [add_log_level, add_logger_name, TimeStamper(fmt="iso", utc=True, key="time")]
    writer = RepeatLimitingHandler(stream)
    writer.setFormatter(ProcessorFormatter(processors=[format_exc_info, *stamps, render]))  # type: ignore[list-item]
    return writer


def secret_pattern(secrets: Iterable[str] = ()) -> re.Pattern[str]:
    """Return a pattern that matches the given secrets and anything that looks like a secret."""
    patterns = sorted((re.escape(secret) for secret in secrets if secret), key=len, reverse=True)
    return re.compile("|".join([*patterns, _SECRET_PATTERN.pattern]))


def _render_text(fields: Mapping[str, str], record: logging.LogRecord) -> str:
    """Return a line for people, with the work's context at the end and the traceback below, indented."""
    parts = [
        f"{name}={value if _UNQUOTED.fullmatch(value) else json.dumps(value)}"
        for name, value in fields.items()
        if name not in _OWN_FIELDS
    ]
    head = f"{logging.Formatter().formatTime(record)} {record.levelname} {record.name}"
    line = f"{head}: {fields.get('event', '')}" + (f" [{' '.join(parts)}]" if parts else "")
    traces = "\n".join(fields[name] for name in ("exception", "stack_info") if name in fields)
    return "\n".join([_escape(line), *(f"    {_escape(each)}" for each in traces.splitlines())])


def _escape(line: str) -> str:
    """Escape control characters, which text from outside could use to forge log lines."""
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in line)


def _render_json(fields: Mapping[str, str], record: logging.LogRecord) -> str:
    document = {name: fields[name] for name in ("time", "level", "logger")}
    document |= {"message": fields.get("event", ""), **_process_fields}
    document |= {name: value for name, value in fields.items() if name not in _OWN_FIELDS}
    return json.dumps(document | {name: fields[name] for name in ("exception", "stack_info") if name in fields})
