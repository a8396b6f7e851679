"""Messages that every part of the bot sends: delayed answers and answers sent directly."""

from __future__ import annotations

from bot.domain.core.sentence import Code, Sentence, say


def answer_delayed_notice() -> Sentence:
    """Return the notice for someone who queries while the registry is slow or down."""
    return say("{product} is slow or away right now. The answer comes as soon as it does.")


def sent_directly_notice(error_code: str = "") -> Sentence:
    """Say that a comparison or timeline was sent directly; `error_code` is Slack's reason, if any."""
    if error_code:
        return say("Slack won't let me post here ({code}), so it's in our direct messages.", code=Code(error_code))
    return say(
        "I can't post here, so it's in our direct messages. To see it here: {invite}", invite=Code("/invite @registrar")
    )


def command_recorded_notice() -> Sentence:
    """Return the notice for someone whose change was recorded while the registry is slow or down."""
    return say(
        "{product} is slow or away right now. What you asked for is written down, and done as soon as it answers."
    )
