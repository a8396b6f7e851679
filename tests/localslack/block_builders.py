"""Blocks, views, and pictures for the tests."""

from __future__ import annotations

import struct
import zlib
from typing import Any

from localslack.blocks import length_of

JSON = dict[str, Any]


def plain(text: str) -> JSON:
    return {"type": "plain_text", "text": text}


def button(text: str, action_id: str, **fields: Any) -> JSON:
    return {"type": "button", "text": plain(text), "action_id": action_id, **fields}


def actions(*elements: JSON, block_id: str = "actions") -> JSON:
    return {"type": "actions", "block_id": block_id, "elements": list(elements)}


def blocks_with_length(length: int) -> list[JSON]:
    """Valid blocks with this number of characters by Slack's count."""
    blocks = [{"type": "section", "text": plain("x" * 2900)} for _ in range(length // 3000)]
    blocks.append({"type": "section", "text": plain("x")})
    blocks[-1]["text"] = plain("x" * (1 + length - length_of(blocks)))
    return blocks


def text_input(block_id: str, label: str, **fields: Any) -> JSON:
    element = {"type": "plain_text_input", "action_id": "value", **fields}
    return {"type": "input", "block_id": block_id, "label": plain(label), "element": element}


def home(*blocks: JSON, **fields: Any) -> JSON:
    return {"type": "home", "blocks": list(blocks) or [{"type": "divider"}], **fields}


def modal(*blocks: JSON, title: str = "Title", **fields: Any) -> JSON:
    return {
        "type": "modal",
        "callback_id": "form",
        "title": plain(title),
        "submit": plain("Send"),
        "blocks": list(blocks) or [text_input("reason", "Reason")],
        **fields,
    }


def png(width: int = 3, height: int = 2) -> bytes:
    """A picture of one color."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    lines = zlib.compress((b"\0" + b"\x20\x80\xc0" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")
