"""From what an app sends to the content of a message: the rules that are the same wherever it sends it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from localslack import blocks as block_rules
from localslack.blocks import HasPicture
from localslack.blocks.default_ids import with_ids
from localslack.core.errors import SlackError

JSON = dict[str, Any]
CUT_AT = 40_000
MARKDOWN_MAX = 12_000
ATTACHMENTS_MAX = 100
FLAGS = ("parse", "mrkdwn", "link_names", "unfurl_links", "unfurl_media")


def content_of(raw: Mapping[str, Any], has_picture: HasPicture) -> JSON:
    """The content fields of Message that these arguments ask for: only those that were sent.

    has_picture tells which slack_files there are.
    Raises no_text, invalid_blocks(_format), msg_blocks_too_long, invalid_attachments, too_many_attachments,
    msg_too_long, markdown_text_conflict, invalid_metadata_format.
    """
    content: JSON = {}
    if raw.get("text") is not None:
        content["text"] = str(raw["text"])[:CUT_AT]
    if raw.get("blocks") is not None:
        content["blocks"] = _blocks(raw["blocks"], has_picture)
    if raw.get("attachments") is not None:
        content["attachments"] = _attachments(raw["attachments"], has_picture)
    if raw.get("metadata") is not None:
        content["metadata"] = _metadata(raw["metadata"])
    if raw.get("markdown_text"):
        content |= _markdown(str(raw["markdown_text"]), content)
    _check_tables(content)
    if flags := {name: raw[name] for name in FLAGS if raw.get(name) is not None}:
        content["flags"] = flags
    return content


def require_something(content: JSON) -> JSON:
    """The content, if there is anything to show in it; raises no_text."""
    if not any(content.get(name) for name in ("text", "blocks", "attachments")):
        raise SlackError("no_text")
    return content


def decoded(value: Any, error: str) -> Any:
    """A value that may have come as JSON in a string; raises the given error if that cannot be read."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise SlackError(error) from None


def _blocks(value: Any, has_picture: HasPicture) -> list[JSON]:
    blocks = decoded(value, "invalid_blocks_format")
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise SlackError("invalid_blocks_format")
    _refuse(block_rules.message_problems(blocks, has_picture=has_picture))
    if block_rules.length_of(blocks) > block_rules.BLOCKS_MAX:
        raise SlackError("msg_blocks_too_long")
    return with_ids(blocks)


def _check_tables(content: JSON) -> None:
    """Blocks and attachments are one message, and have room for one table together."""
    attached = [block for one in content.get("attachments", []) for block in one.get("blocks", [])]
    if attached:
        _refuse(list(block_rules.table_problems(content.get("blocks", []) + attached, "/attachments")))


def _refuse(problems: list[str]) -> None:
    if problems:
        is_about_tables = block_rules.ONLY_ONE_TABLE in problems[0]
        raise SlackError("invalid_attachments" if is_about_tables else "invalid_blocks", messages=problems)


def _attachments(value: Any, has_picture: HasPicture) -> list[JSON]:
    attachments = decoded(value, "invalid_attachments")
    if not isinstance(attachments, list) or not all(isinstance(one, dict) for one in attachments):
        raise SlackError("invalid_attachments")
    if len(attachments) > ATTACHMENTS_MAX:
        raise SlackError("too_many_attachments")
    return [_attachment(one, number, has_picture) for number, one in enumerate(attachments)]


def _attachment(attachment: JSON, number: int, has_picture: HasPicture) -> JSON:
    kept = {"id": number + 1, **attachment}
    if "blocks" in attachment:
        kept["blocks"] = _blocks(attachment["blocks"], has_picture)
    return kept


def _metadata(value: Any) -> JSON | None:
    metadata = decoded(value, "invalid_metadata_format")
    if metadata == {}:
        return None
    well_formed = (
        isinstance(metadata, dict)
        and isinstance(metadata.get("event_type"), str)
        and isinstance(metadata.get("event_payload"), dict)
    )
    if not well_formed:
        raise SlackError("invalid_metadata_format")
    return dict(metadata)


def _markdown(text: str, content: JSON) -> JSON:
    if content.get("text") or content.get("blocks"):
        raise SlackError("markdown_text_conflict")
    if len(text) > MARKDOWN_MAX:
        raise SlackError("msg_too_long")
    return {"text": text, "blocks": with_ids([{"type": "markdown", "text": text}])}
