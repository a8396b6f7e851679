"""TODO bot.domain.core.messages"""

from __future__ import annotations

from bot.domain.core.sentence import Code, Sentence, say


def answer_delayed_notice() -> Sentence:
    """Return what somebody hears who looks something up while the registry is slow or down."""
    return say("MLflow is slow or away right now. The answer comes as soon as it does.")


def sent_directly_notice(error_code: str = "") -> Sentence:
    """Say where a comparison or timeline is that was sent directly; `refused` is Slack's error code."""
    if error_code:
        return say("Slack won't let me post here ({code}), so it's in our direct messages.", code=Code(error_code))
    return say(
        "I can't post here, so it's in our direct messages. To see it here: {invite}", invite=Code("/invite @registrar")
    )


def command_recorded_notice() -> Sentence:
    """Return what somebody hears who had something done while the registry is slow or down."""
    return say("MLflow is slow or away right now. What you asked for is written down, and done as soon as it answers.")
