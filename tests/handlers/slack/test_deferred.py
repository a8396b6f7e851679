"""Whose tasks a request from Slack counts toward."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest
from slack_bolt import App, BoltRequest

from handlers.slack.deferred import MAX_IN_PROGRESS, RequestDispatcher

EDITED = {"type": "message", "subtype": "message_changed", "channel_type": "im"}
DELETED = {"type": "message", "subtype": "message_deleted", "channel_type": "im"}


class BusyRegistrar:
    """A stand-in for the registrar in which only U1 has as many tasks in progress as possible."""

    def in_progress(self, user: str) -> int:
        """Return how many tasks this person has in progress."""
        return MAX_IN_PROGRESS if user == "U1" else 0

    def submit_listener(self, task: object, user: str) -> Future[Any]:
        """Do nothing."""
        return Future()


def is_refused(body: dict[str, Any]) -> bool:
    """Return whether the request is refused because U1 has too many tasks in progress."""
    dispatcher = RequestDispatcher(App.__new__(App), BusyRegistrar())  # type: ignore[arg-type]
    return dispatcher.dispatch(BoltRequest(body=body, mode="socket_mode")).done()


@pytest.mark.parametrize(
    "body",
    [
        {"command": "/model", "user_id": "U1"},
        {"type": "block_actions", "user": {"id": "U1"}},
        {"event": {"type": "message", "user": "U1"}},
        {"event": EDITED | {"message": {"user": "U1"}, "previous_message": {"user": "U1"}}},
        {"event": DELETED | {"previous_message": {"user": "U1"}}},
    ],
    ids=["a command", "a click", "a message", "an edited message", "a deleted message"],
)
def test_every_request_counts_toward_the_person_who_acts(body: dict[str, Any]) -> None:
    assert is_refused(body)


@pytest.mark.parametrize(
    "event", [None, [], {}, EDITED, EDITED | {"message": None}, EDITED | {"message": {"user": "U2"}}]
)
def test_other_requests_do_not(event: Any) -> None:
    assert not is_refused({"event": event})
