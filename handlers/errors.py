"""Explain errors to people: a known error with its sentence, an unexpected one with an ID to quote."""

from __future__ import annotations

import logging
import re
import secrets

from bot import logging_context
from bot.domain.core.errors import BadInput, RegistrarError
from bot.domain.core.sentence import Code, Sentence, say

_CREDENTIALS = re.compile(r"//[^/@\s]+@")  # in a URL, which MLflow repeats in its errors

log = logging.getLogger(__name__)


def new_error_id() -> str:
    """Return an ID for finding a person's call, and everything that follows from it, in the log."""
    return secrets.token_hex(4)


def explain(error: BaseException) -> Sentence:
    """Return the message for the person. Log an unexpected error with its cause and the ID in that message.

    The ID is the current work's, which all of its log lines have; otherwise, it's a new one.
    """
    if isinstance(error, RegistrarError):
        if error.__cause__ and not isinstance(error, BadInput):  # BadInput's cause repeats what was typed
            log.info("%s: caused by %s", error, _CREDENTIALS.sub("//…@", repr(error.__cause__)))
        return error.sentence
    quote = logging_context.current().get("quote") or new_error_id()
    log.error("unexpected error, ID %s", quote, exc_info=error)
    return say("Something unexpected went wrong. Give this ID to whoever runs Registrar: {id}", id=Code(quote))
