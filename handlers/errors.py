"""The one broad catch: a known error says its sentence; an unknown one gets an id to quote."""

from __future__ import annotations

import logging
import re
import secrets

from bot.domain.errors import BadInput, RegistrarError
from bot.domain.text import Code, Say, say

_CREDENTIALS = re.compile(r"//[^/@\s]+@")  # of an address, as MLflow repeats it in its errors

log = logging.getLogger(__name__)


def explain(error: BaseException) -> Say:
    """Return what the person reads; the log gets the cause, under the same id where nobody foresaw it."""
    if isinstance(error, RegistrarError):
        if error.__cause__ and not isinstance(error, BadInput):  # that one repeats what was typed
            log.info("%s: caused by %s", error, _CREDENTIALS.sub("//…@", repr(error.__cause__)))
        return error.sentence
    quote = secrets.token_hex(4)
    log.error("unforeseen, %s", quote, exc_info=error)
    return say(
        "Something went wrong that we did not foresee. Tell whoever runs Registrar this id: {id}", id=Code(quote)
    )
