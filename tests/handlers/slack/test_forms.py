"""Where the errors of a submitted form are shown."""

from __future__ import annotations

from typing import Any, cast
from unittest.mock import create_autospec

import pytest

from bot.domain.core.errors import BadInput
from handlers.slack.interactions import SlackInteractions
from handlers.slack.listeners import Form, form_listener
from handlers.slack.replies import ReplyTarget


def submit(values: dict[str, Any], error: BadInput) -> tuple[dict[str, Any], int]:
    """Submit a form that is refused; return the acknowledgment, and how many answers were sent instead."""
    interactions = create_autospec(SlackInteractions, instance=True)
    acknowledged: dict[str, Any] = {}

    def refuse(_interactions: SlackInteractions, _target: ReplyTarget, _form: Form) -> None:
        raise error

    view = {"private_metadata": "r4k7q", "state": {"values": values}}
    body = {"user": {"id": "UBOB", "team_id": "T1"}, "view": view}
    form_listener(interactions, refuse)(cast(Any, acknowledged.update), body)
    return acknowledged, interactions.reply_later.call_count


@pytest.mark.parametrize(
    ("field", "shown_under"), [("version", "version"), ("not shown", "model"), ("", "model")], ids=str
)
def test_an_error_is_shown_under_its_field_or_under_the_first(field: str, shown_under: str) -> None:
    fields = {name: {"input": {"value": "x"}} for name in ("model", "version")}
    acknowledged, answers = submit(fields, BadInput("--version: no.", field))
    assert acknowledged == {"response_action": "errors", "errors": {shown_under: "No."}}
    assert answers == 0


def test_a_form_without_fields_is_answered_with_a_message() -> None:
    assert submit({}, BadInput("no")) == ({}, 1)
