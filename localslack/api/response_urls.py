"""Posts from an app to a response URL."""

from __future__ import annotations

from typing import Any

from localslack.backend import Backend
from localslack.blocks import INVALID_FILE
from localslack.core.errors import SlackError
from localslack.delivery.triggers import ResponseUrl
from localslack.workspace.message_content import parse_content, require_content
from localslack.workspace.records import Conversation, PostedMessage

JSON = dict[str, Any]


def respond(backend: Backend, key: str, body: JSON) -> None:
    """Post, replace, or delete a message through a response URL.

    key: the last part of the URL. body: the JSON that the app sent. Raises SlackError if the URL is invalid, expired,
    or used up, if the message to delete is missing, or if the content is invalid.
    """
    response_url = backend.response_urls.require_usable(key)
    channel = backend.workspace.channel(response_url.channel)
    source = backend.workspace.find_message(channel, response_url.source_ts) if response_url.source_ts else None
    if body.get("delete_original"):
        _delete(backend, source)
    elif body.get("replace_original") and source is not None:
        _replace(backend, source, body)
    else:
        _post(backend, response_url, channel, body)
    response_url.uses += 1


def _delete(backend: Backend, source: PostedMessage | None) -> None:
    if source is None:
        raise SlackError("message_not_found", status=404)
    backend.workspace.delete_message(source)


def _replace(backend: Backend, source: PostedMessage, body: JSON) -> None:
    content = _content(backend, body, source.audience)
    backend.workspace.edit_message(source, **{"text": "", "blocks": [], "attachments": [], **content})


def _post(backend: Backend, response_url: ResponseUrl, channel: Conversation, body: JSON) -> None:
    audience = None if body.get("response_type") == "in_channel" else response_url.user
    content = _content(backend, body, audience)
    if thread_ts := body.get("thread_ts"):
        content["thread_ts"] = str(thread_ts)
    message = backend.workspace.post_message(channel, backend.workspace.app.bot_user_id, audience=audience, **content)
    # A command has no message to replace, so later answers replace its first one, as in Slack.
    response_url.source_ts = response_url.source_ts or message.ts


def _content(backend: Backend, body: JSON, audience: str | None) -> JSON:
    try:
        return require_content(parse_content(body, backend.has_picture_for(audience)))
    except SlackError as refusal:
        # Slack rejects other blocks with HTTP 400, and these with 404: java-slack-sdk#1349.
        if any(INVALID_FILE in problem for problem in refusal.messages):
            refusal.status = 404
        raise
