"""Slack servers that differ from the local workspace: each answers its methods as a test says, and knows no others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from slack_sdk import WebClient

from tests.support.network.http_receiver import Got, Receiver, Reply, receiving


class OtherSlack(Receiver):
    """A server that answers by method."""

    def __init__(self, answers: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__()
        self._answers = answers

    def reply_to(self, got: Got) -> Reply:
        """Return a method's answer; unknown_method for others."""
        answer = self._answers.get(got.path.rpartition("/")[2])
        body = {"ok": False, "error": "unknown_method"} if answer is None else {"ok": True, **answer}
        return Reply(200, json.dumps(body).encode(), {"Content-Type": "application/json"})


@contextmanager
def other_slack(answers: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[WebClient, Receiver]]:
    """Serve these answers, by method, until the block ends."""
    with receiving(OtherSlack(answers)) as server:
        yield WebClient("xoxb-1", base_url=f"{server.url}/api/", retry_handlers=[], timeout=5), server
