"""Sentences as Slack's mrkdwn. Outside text is escaped, so that a model's name can't mention anyone."""

from __future__ import annotations

import re
from datetime import datetime

from bot.domain.core.actors import Actor, Person, resolve_operator
from bot.domain.core.sentence import Channel, Code, Mention, Name, Sentence, sanitize_text, truncate

MAX_TEXT_LENGTH = 2900  # below Slack's 3,000 for a section, with room for the text around it
_USER_OR_GROUP_ID = re.compile("[USW][A-Za-z0-9]+")  # Slack's own ids are uppercase; another server's might not be
_CHANNEL_ID = re.compile("[CG][A-Z0-9]+")


def escape(text: str) -> str:
    """Return outside text so that Slack shows it and reads no mention, link or entity in it."""
    return sanitize_text(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def escape_and_cut(text: str, max_length: int) -> str:
    """Return outside text escaped and in at most `max_length` characters; no entity is cut in two."""
    escaped = escape(text)
    if len(escaped) <= max_length:
        return escaped
    text_kept = ""
    for char in sanitize_text(text):
        escaped_char = escape(char)
        if len(text_kept) + len(escaped_char) > max_length - 1:
            break
        text_kept += escaped_char
    return text_kept + "…"


def unescape(text: str) -> str:
    """Return what a person typed, from what Slack sends of it."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def code(text: str, max_length: int = MAX_TEXT_LENGTH) -> str:
    """Return up to `max_length` characters of outside text in Slack's code style, where no other formatting applies."""
    return f"`{escape_and_cut(text, max_length).replace('`', 'ˋ')}`" if text else ""


def format_time(time: datetime) -> str:
    """Return a time that Slack shows in the reader's own zone."""
    return f"<!date^{int(time.timestamp())}^{{date_short_pretty}} {{time}}|{time:%Y-%m-%d %H:%M} UTC>"


def mention_actor(actor: Actor) -> str:
    """Return the actor as a mention, or by name if it isn't a person."""
    operator = resolve_operator(actor)
    return _mention_or_code(operator.user) if isinstance(operator, Person) else code(operator.name)


def _mention_or_code(user: str) -> str:
    """Return a user or a user group as a mention; anything that isn't a Slack id, as code."""
    if not _USER_OR_GROUP_ID.fullmatch(user):
        return code(user, 200)
    return f"<!subteam^{user}>" if user.startswith("S") else f"<@{user}>"


def to_mrkdwn(sentence: Sentence) -> str:
    """Return the sentence as mrkdwn, short enough for a section."""
    return cut_mrkdwn(sentence.render(_render_value), MAX_TEXT_LENGTH)


def cut_mrkdwn(text: str, max_length: int) -> str:
    """Return mrkdwn in at most `max_length` characters; no entity and no mention is cut in two."""
    if len(text) <= max_length:
        return text
    return re.sub(r"(&\w{0,4}|<[^>]*)…$", "…", truncate(text, max_length))


def _render_value(value: object) -> str:
    if isinstance(value, Channel) and _CHANNEL_ID.fullmatch(value):
        return f"<#{value}>"
    if isinstance(value, Name | Code | Channel):
        return code(value, 200)
    if isinstance(value, Mention):
        return _mention_or_code(value.user)
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, Sentence):
        return value.render(_render_value)
    return escape_and_cut(str(value), 2000)
