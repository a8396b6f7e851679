"""blocks.validate."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError


def test_blocks_that_slack_would_accept_are_valid(client: WebClient) -> None:
    assert client.blocks_validate(blocks=[{"type": "divider"}])["ok"] is True


@pytest.mark.parametrize(
    ("held", "error"),
    [
        ({"blocks": [{"type": "header"}]}, "invalid_blocks"),
        ({"message": {"blocks": [{"type": "header"}]}}, "invalid_message"),
        ({"view": {"type": "modal"}}, "invalid_view"),
        ({"view": "[]"}, "invalid_view"),
        ({"blocks": "{"}, "invalid_arguments"),
        ({}, "invalid_arguments"),
        ({"blocks": [{"type": "divider"}], "message": {"blocks": []}}, "invalid_arguments"),
    ],
    ids=str,
)
def test_blocks_that_slack_would_refuse_are_refused(client: WebClient, held: dict[str, Any], error: str) -> None:
    with pytest.raises(SlackApiError) as refused:
        client.blocks_validate(**held)
    assert refused.value.response["error"] == error
