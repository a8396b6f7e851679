"""Check and parse a message's content, regardless of how the app sends it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from localslack import blocks as block_rules
from localslack.blocks import PictureCheck
from localslack.blocks.default_ids import with_default_ids
from localslack.core.errors import SlackError

JSON = dict[str, Any]
TEXT_MAX = 40_000
MARKDOWN_MAX = 12_000
ATTACHMENTS_MAX = 100
FLAGS = ("parse", "mrkdwn", "link_names", "unfurl_links", "unfurl_media")


def parse_content(arguments: Mapping[str, Any], has_picture: PictureCheck) -> JSON:
    """Return the content fields of PostedMessage that these arguments set.

    has_picture: returns whether a slack_file can be shown. Raises invalid_blocks(_format), msg_blocks_too_long,
    invalid_attachments, too_many_attachments, msg_too_long, markdown_text_conflict, or invalid_metadata_format.
    """
    content: JSON = {}
    if arguments.get("text") is not None:
        content["text"] = str(arguments["text"])[:TEXT_MAX]
    if arguments.get("blocks") is not None:
        content["blocks"] = _parse_blocks(arguments["blocks"], has_picture)
    if arguments.get("attachments") is not None:
        content["attachments"] = _parse_attachments(arguments["attachments"], has_picture)
    if arguments.get("metadata") is not None:
        content["metadata"] = _parse_metadata(arguments["metadata"])
    if arguments.get("markdown_text"):
        content |= _parse_markdown(str(arguments["markdown_text"]), content)
    _check_tables(content)
    if flags := {name: arguments[name] for name in FLAGS if arguments.get(name) is not None}:
        content["flags"] = flags
    return content


def require_content(content: JSON) -> JSON:
    """Return the content; raises no_text if there's nothing to show."""
    if not any(content.get(name) for name in ("text", "blocks", "attachments")):
        raise SlackError("no_text")
    return content


def decode_json(value: Any, error: str) -> Any:
    """Return a value, decoded if it's a JSON string; raises `error` if the JSON isn't valid."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise SlackError(error) from None


def _parse_blocks(value: Any, has_picture: PictureCheck) -> list[JSON]:
    blocks = decode_json(value, "invalid_blocks_format")
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise SlackError("invalid_blocks_format")
    _raise_for_problems(block_rules.message_problems(blocks, has_picture=has_picture))
    if block_rules.length_of(blocks) > block_rules.BLOCKS_MAX:
        raise SlackError("msg_blocks_too_long")
    return with_default_ids(blocks)


def _check_tables(content: JSON) -> None:
    """Check the tables in blocks and attachments together, because a message can have only one."""
    attached_blocks = [block for attachment in content.get("attachments", []) for block in attachment.get("blocks", [])]
    if attached_blocks:
        _raise_for_problems(
            list(block_rules.table_problems(content.get("blocks", []) + attached_blocks, "/attachments"))
        )


def _raise_for_problems(problems: list[str]) -> None:
    if problems:
        is_about_tables = block_rules.ONLY_ONE_TABLE in problems[0]
        raise SlackError("invalid_attachments" if is_about_tables else "invalid_blocks", messages=problems)


def _parse_attachments(value: Any, has_picture: PictureCheck) -> list[JSON]:
    attachments = decode_json(value, "invalid_attachments")
    if not isinstance(attachments, list) or not all(isinstance(attachment, dict) for attachment in attachments):
        raise SlackError("invalid_attachments")
    if len(attachments) > ATTACHMENTS_MAX:
        raise SlackError("too_many_attachments")
    return [_parse_attachment(attachment, index, has_picture) for index, attachment in enumerate(attachments)]


def _parse_attachment(attachment: JSON, index: int, has_picture: PictureCheck) -> JSON:
    parsed = {"id": index + 1, **attachment}
    if "blocks" in attachment:
        parsed["blocks"] = _parse_blocks(attachment["blocks"], has_picture)
    return parsed


def parse_unfurls(value: Any, has_picture: PictureCheck) -> dict[str, JSON]:
    """Return the attachments for links, by URL.

    Raises missing_unfurls, invalid_unfurls_format, invalid_blocks(_format), or msg_blocks_too_long.
    """
    unfurls = decode_json(value, "invalid_unfurls_format")
    if not unfurls:
        raise SlackError("missing_unfurls")
    if not isinstance(unfurls, dict) or not all(isinstance(unfurl, dict) for unfurl in unfurls.values()):
        raise SlackError("invalid_unfurls_format")
    return {url: _parse_attachment(unfurl, index, has_picture) for index, (url, unfurl) in enumerate(unfurls.items())}


def shared_links(domains: Sequence[str], text: str) -> list[JSON]:
    """Return the links to these domains and their subdomains in a text, without duplicates."""
    links = []
    for url in dict.fromkeys(re.findall(r"https?://[^\s|<>]+", text)):
        host = urlsplit(url).hostname or ""
        links += [{"domain": name, "url": url} for name in domains if host == name or host.endswith(f".{name}")][:1]
    return links


def _parse_metadata(value: Any) -> JSON | None:
    metadata = decode_json(value, "invalid_metadata_format")
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


def _parse_markdown(text: str, content: JSON) -> JSON:
    if content.get("text") or content.get("blocks"):
        raise SlackError("markdown_text_conflict")
    if len(text) > MARKDOWN_MAX:
        raise SlackError("msg_too_long")
    return {"text": text, "blocks": with_default_ids([{"type": "markdown", "text": text}])}
