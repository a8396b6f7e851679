"""Tables in messages, and their size limits."""

from __future__ import annotations

import httpx2
import pytest
from slack_sdk import WebClient

from tests.localslack.file_uploads import JSON


def raw_text(text: str) -> JSON:
    return {"type": "raw_text", "text": text}


def table(rows: int = 1, columns: int = 1, text: str = "x") -> JSON:
    return {"type": "table", "rows": [[raw_text(text)] * columns] * rows}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({"blocks": [table(100)]}, None),
        ({"blocks": [table(1, 20)]}, None),
        ({"blocks": [table(101)]}, "invalid_blocks"),
        ({"blocks": [table(1, 21)]}, "invalid_blocks"),
        ({"blocks": [table(text="")]}, "invalid_blocks"),
        ({"blocks": [table(10, 1, "x" * 1001)]}, "invalid_blocks"),
        ({"blocks": [table(100, 20)]}, "msg_blocks_too_long"),
        ({"blocks": [table(), table()]}, "invalid_attachments"),
        ({"blocks": [table()], "attachments": [{"fallback": "x", "blocks": [table()]}]}, "invalid_attachments"),
        ({"attachments": [{"fallback": "x", "blocks": [table()]}] * 2}, "invalid_attachments"),
        ({"attachments": [{"fallback": "x", "blocks": [table()]}]}, None),
    ],
)
def test_a_message_can_have_one_table_of_limited_size(client: WebClient, content: JSON, error: str | None) -> None:
    answer = httpx2.post(
        f"{client.base_url}chat.postMessage",
        json={"channel": "#churn", "text": "x", **content},
        headers={"Authorization": f"Bearer {client.token}"},
        trust_env=False,
    )
    assert answer.json().get("error") == error
