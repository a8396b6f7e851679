"""Wait for people's decisions by polling a request's status, even through outages."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from rich.text import Text

from bot.domain.core.errors import Unreachable
from bot.domain.promotions.request import RequestState
from handlers.api.schemas import STATE_REFUSED
from handlers.terminal.output.command_output import CommandOutput, OutputFormat, json_output, rendered_output
from handlers.terminal.output.styles import request_style

FIRST_PAUSE, MAX_PAUSE = 0.5, 5.0  # seconds; each pause is 1.5 times the last
MAX_SILENCE = 1800.0  # seconds without an answer before a wait without a timeout gives up
TIMED_OUT_CODE = 5  # the exit code if the wait timed out

# Exit codes by a request's final state. An open request is 0: it was opened.
STATE_EXIT_CODES = {
    RequestState.DONE.value: 0,
    RequestState.REJECTED.value: 1,
    RequestState.FAILED.value: 1,
    STATE_REFUSED: 1,
    RequestState.EXPIRED.value: 4,
    RequestState.STALE.value: 4,
    RequestState.CANCELLED.value: 4,
}


def wait_until_final(
    fetch: Callable[[], dict[str, Any]],
    document: dict[str, Any],
    timeout: timedelta | None,
    show_status: Callable[[str], object],
    *,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> tuple[dict[str, Any], int]:
    """Wait until a request has ended; return its document and the exit code, which is 5 on timeout.

    Prints changes to standard error, and calls `show_status` with the status for a terminal. The caller prints the
    outcome. Keeps waiting while the bot, the ledger, or the network is unreachable. Without a `timeout`, raises
    Unreachable after half an hour without an answer.
    """
    began = heard = monotonic()
    until = None if timeout is None else began + timeout.total_seconds()
    last_sentence, pause, is_lost = "", FIRST_PAUSE, False
    while True:
        if document["is_final"]:  # the caller prints it
            return document, STATE_EXIT_CODES.get(str(document["state"]), 1)
        if (sentence := str(document["sentence"])) != last_sentence:
            last_sentence = sentence
            show_status(sentence)
            _print_progress(sentence)
        left = pause if until is None else min(pause, until - monotonic())
        if left <= 0:
            _print_progress("Timed out waiting; the request continues.")
            return document, TIMED_OUT_CODE
        sleep(left)
        pause = min(pause * 1.5, MAX_PAUSE)
        try:
            document = fetch()
            heard, is_lost = monotonic(), False
        except Unreachable as error:
            if not is_lost:
                _print_progress(f"{error} Retrying; no action needed.")
            is_lost = True
            if until is None and monotonic() - heard > MAX_SILENCE:
                raise


def document_output(
    document: dict[str, Any], output_format: OutputFormat, exit_code: int | None = None
) -> CommandOutput:
    """Return a request's document or sentence.

    The default exit code depends on the request's state; it's 0 for an open request.
    """
    code = STATE_EXIT_CODES.get(str(document["state"]), 0) if exit_code is None else exit_code
    if output_format is OutputFormat.JSON:
        return json_output(document, code)
    sentence = Text(
        str(document["sentence"]), style=request_style(str(document["state"])) if "state" in document else ""
    )
    return rendered_output(lambda _: [sentence], code)


def _print_progress(line: str) -> None:
    if not sys.stderr.isatty():  # a terminal shows it in the status line
        print(line, file=sys.stderr, flush=True)
