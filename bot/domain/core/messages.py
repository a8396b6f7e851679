"""Messages that every part of the bot sends, such as notices that an answer is delayed or was sent directly."""

from __future__ import annotations

from bot.domain.core.sentence import Code, Sentence, say


def answer_delayed_notice() -> Sentence:
    """Return the notice that an answer is delayed because the registry is slow or down."""
    return say("{product} isn't responding. I'll answer as soon as it does.")


def too_many_commands_notice(count: int) -> Sentence:
    """Return the message that refuses a command because the person already has `count` others in progress."""
    return say("You have {count} commands in progress. Wait for some of them to finish.", count=count)


def sent_directly_notice(error_code: str = "") -> Sentence:
    """Return the notice that a comparison or timeline was sent directly; `error_code` is Slack's reason, if any."""
    if error_code:
        return say("Slack won't let me post here ({code}), so I sent it to you directly.", code=Code(error_code))
    return say(
        "I can't post here, so I sent it to you directly. To see it here, invite me: {invite}",
        invite=Code("/invite @registrar"),
    )


def command_recorded_notice() -> Sentence:
    """Return the notice that a change was recorded but delayed because the registry is slow or down."""
    return say(
        "{product} isn't responding. I recorded your command and will carry it out as soon as {product} responds."
    )
