"""What an app posts to a response url."""

from __future__ import annotations

from typing import Any

from localslack.backend import Core
from localslack.blocks import INVALID_FILE
from localslack.core.errors import SlackError
from localslack.delivery.triggers import Hook
from localslack.workspace.message_content import content_of, require_something
from localslack.workspace.records import Channel, Message

JSON = dict[str, Any]


def respond(core: Core, key: str, body: JSON) -> None:
    """Carry out one use of a response url; raises the errors of the url, or of the content."""
    hook = core.hooks.look(key)
    channel = core.space.channel(hook.channel)
    source = core.space.anything_at(channel, hook.source_ts) if hook.source_ts else None
    if body.get("delete_original"):
        _delete(core, source)
    elif body.get("replace_original") and source is not None:
        _replace(core, source, body)
    else:
        _post(core, hook, channel, body)
    hook.uses += 1


def _delete(core: Core, source: Message | None) -> None:
    if source is None:
        raise SlackError("message_not_found", status=404)
    core.space.remove(source)


def _replace(core: Core, source: Message, body: JSON) -> None:
    content = _content(core, body, source.audience)
    core.space.rewrite(source, **{"text": "", "blocks": [], "attachments": [], **content})


def _post(core: Core, hook: Hook, channel: Channel, body: JSON) -> None:
    audience = None if body.get("response_type") == "in_channel" else hook.user
    content = _content(core, body, audience)
    if thread_ts := body.get("thread_ts"):
        content["thread_ts"] = str(thread_ts)
    sent = core.space.post(channel, core.space.app.bot_user_id, audience=audience, **content)
    # A command has no message to replace; what answered it takes that place, as in Slack.
    hook.source_ts = hook.source_ts or sent.ts


def _content(core: Core, body: JSON, audience: str | None) -> JSON:
    try:
        return require_something(content_of(body, core.has_picture_for(audience)))
    except SlackError as refusal:
        # Other refusals of blocks are HTTP 400; this one is a 404: java-slack-sdk#1349.
        if any(INVALID_FILE in problem for problem in refusal.messages):
            refusal.status = 404
        raise
