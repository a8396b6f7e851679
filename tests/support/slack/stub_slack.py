"""Fake Slack servers with a test's answers by method, and no other methods."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from slack_sdk import WebClient

from tests.support.network.http_receiver import HttpReceiver, PlannedReply, ReceivedRequest, run_receiver


class StubSlack(HttpReceiver):
    """A server that answers by method."""

    def __init__(self, answers: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__()
        self._answers = answers

    def reply_to(self, got: ReceivedRequest) -> PlannedReply:
        """Return a method's answer, or unknown_method for other methods."""
        answer = self._answers.get(got.path.rpartition("/")[2])
        body = {"ok": False, "error": "unknown_method"} if answer is None else {"ok": True, **answer}
        return PlannedReply(200, json.dumps(body).encode(), {"Content-Type": "application/json"})


@contextmanager
def stub_slack(answers: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[WebClient, HttpReceiver]]:
    """Serve these answers, by method, until the block ends."""
    with run_receiver(StubSlack(answers)) as server:
        yield WebClient("xoxb-1", base_url=f"{server.url}/api/", retry_handlers=[], timeout=5), server
