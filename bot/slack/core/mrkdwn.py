"""Sentences as Slack's mrkdwn. What came from outside is escaped, so that nothing a model is called pings anybody."""

from __future__ import annotations

import re
from datetime import datetime

from bot.domain.core.actors import Actor, Person, as_person
from bot.domain.core.sentence import Channel, Code, Mention, Name, Say, clean, short

TEXT_MOST = 2900  # below Slack's 3,000 for a section, with room for what stands around it


_ID = re.compile("[USW][A-Za-z0-9]+")  # Slack's own have capitals only; another server's may not
_CHANNEL = re.compile("[CG][A-Z0-9]+")


def escape(text: str) -> str:
    """Return outside text so that Slack shows it and reads no mention, link or entity in it."""
    return clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def fit(text: str, most: int) -> str:
    """Return outside text escaped and in at most `most` characters; no entity is cut in two."""
    whole = escape(text)
    if len(whole) <= most:
        return whole
    kept = ""
    for char in clean(text):
        shown = escape(char)
        if len(kept) + len(shown) > most - 1:
            break
        kept += shown
    return kept + "…"


def unescape(text: str) -> str:
    """Return what a person typed, from what Slack sends of it."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def code(text: str, most: int = TEXT_MOST) -> str:
    """Return up to `most` characters of outside text in Slack's code style, where no other style applies."""
    return f"`{fit(text, most).replace('`', 'ˋ')}`" if text else ""


def when(time: datetime) -> str:
    """Return a time that Slack shows in the reader's own zone."""
    return f"<!date^{int(time.timestamp())}^{{date_short_pretty}} {{time}}|{time:%Y-%m-%d %H:%M} UTC>"


def who(actor: Actor) -> str:
    """Return the actor as a mention, or by name where it is no person."""
    known = as_person(actor)
    return _mention(known.user) if isinstance(known, Person) else code(known.name)


def _mention(user: str) -> str:
    """Return a user or a user group as a mention; what is no id of Slack's, as the text that it is."""
    if not _ID.fullmatch(user):
        return code(user, 200)
    return f"<!subteam^{user}>" if user.startswith("S") else f"<@{user}>"


def mrkdwn(sentence: Say) -> str:
    """Return the sentence as mrkdwn, short enough for a section."""
    return cut(sentence.render(_show), TEXT_MOST)


def cut(text: str, most: int) -> str:
    """Return mrkdwn in at most `most` characters; no entity and no mention is cut in two."""
    if len(text) <= most:
        return text
    return re.sub(r"(&\w{0,4}|<[^>]*)…$", "…", short(text, most))


def _show(value: object) -> str:
    if isinstance(value, Channel) and _CHANNEL.fullmatch(value):
        return f"<#{value}>"
    if isinstance(value, Name | Code | Channel):
        return code(value, 200)
    if isinstance(value, Mention):
        return _mention(value.user)
    if isinstance(value, datetime):
        return when(value)
    if isinstance(value, Say):
        return value.render(_show)
    return fit(str(value), 2000)
