"""What goes to the log: what happened, and neither what people wrote nor what opens a door."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import TextIO

# What these say below WARNING holds requests, their addresses, their bodies, or the rows of the ledger; the scheduler
# tells of every job, every second.
SILENT = ("apscheduler", "asyncio", "httpcore", "httpx", "slack_sdk", "sqlalchemy", "urllib3", "uvicorn.access")
# These tell on INFO of connections, on DEBUG of what went over them.
TERSE = ("alembic", "mlflow", "slack_bolt", "uvicorn")

# Slack's tokens, an address for answers, and the credentials in an address.
_SECRETS = re.compile(
    r"xox[a-z](?:\.xox[a-z])?-[\w-]+|xapp-[\w-]+|https://hooks\.slack\.com/[^\s'\"]+|(?<=//)[^/@\s]+(?=@)"
)


def set_up(hidden: Iterable[str] = (), *, level: int = logging.INFO) -> None:
    """Log to stderr, whatever the libraries would like to say. `hidden` is never printed, whoever says it."""
    logging.basicConfig(level=level, handlers=[handler(None, hidden)])
    for names, floor in ((SILENT, logging.WARNING), (TERSE, logging.INFO)):
        for name in names:
            logging.getLogger(name).setLevel(max(level, floor))
    # Bolt says this of every app that brings its own client, which ours does.
    logging.getLogger("slack_bolt").addFilter(lambda record: "`token` will be unused" not in record.getMessage())


def handler(stream: TextIO | None, hidden: Iterable[str] = ()) -> logging.Handler:
    """Return what writes lines without secrets to a stream, or to stderr."""
    writer = logging.StreamHandler(stream)
    writer.setFormatter(_Discreet(hidden))
    return writer


def secrets_in(hidden: Iterable[str] = ()) -> re.Pattern[str]:
    """Return what finds every secret in a text: those that are known, and whatever looks like one."""
    known = sorted((re.escape(one) for one in hidden if one), key=len, reverse=True)
    return re.compile("|".join([*known, _SECRETS.pattern]))


class _Discreet(logging.Formatter):
    """Writes a line, its traceback included, with `…` in place of every secret."""

    def __init__(self, hidden: Iterable[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._hidden = secrets_in(hidden)

    def format(self, record: logging.LogRecord) -> str:
        return self._hidden.sub("…", super().format(record))
