"""The one broad catch: a known error gives its sentence; an unknown one gets an id to quote."""

from __future__ import annotations

import logging
import re
import secrets

from bot import logging_context
from bot.domain.core.errors import BadInput, RegistrarError
from bot.domain.core.sentence import Code, Sentence, say

_CREDENTIALS = re.compile(r"//[^/@\s]+@")  # of an address, as MLflow repeats it in its errors

log = logging.getLogger(__name__)


def new_error_id() -> str:
    """Return an id by which a person's call, and everything that follows from it, is found in the log."""
    return secrets.token_hex(4)


def explain(error: BaseException) -> Sentence:
    """Return what the person reads; an unexpected error is logged with its cause, under the same id.

    The id is that of the current work, which all its log lines have; otherwise a new one.
    """
    if isinstance(error, RegistrarError):
        if error.__cause__ and not isinstance(error, BadInput):  # that one repeats what was typed
            log.info("%s: caused by %s", error, _CREDENTIALS.sub("//…@", repr(error.__cause__)))
        return error.sentence
    quote = logging_context.current().get("quote") or new_error_id()
    log.error("unforeseen, %s", quote, exc_info=error)
    return say(
        "Something went wrong that we did not foresee. Tell whoever runs Registrar this id: {id}", id=Code(quote)
    )
