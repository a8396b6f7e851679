"""Valid Slack payloads are accepted, and invalid ones are refused."""

from __future__ import annotations

from typing import Any

import pytest
from slack_bolt import App
from slack_sdk.socket_mode.request import SocketModeRequest
from starlette.requests import Request

from bot.domain.core.errors import BadInput
from handlers.slack.payload_schema import validate_payload
from handlers.slack.socket_mode import SocketModeConnection
from handlers.web.app import read_bolt_request
from localslack import payloads
from tests.support.app.harness import ALICE, ML_MODELS, click, command
from tests.support.slack.payload_strategies import REMOVED, changed

VIEW = {
    "id": "V1",
    "type": "modal",
    "callback_id": "reject",
    "private_metadata": "r4k7q",
    "state": {
        "values": {
            "reason": {"value": {"type": "plain_text_input", "value": None}},
            "to": {"value": {"type": "static_select", "selected_option": None}},
        }
    },
}
PRESS, COMMAND = click(ALICE, "r4k7q"), command(ALICE, "list")
FORM = payloads.view_submission(VIEW, actor=ALICE)
MESSAGE = {"ts": "5.1", "blocks": [{"type": "actions", "block_id": "found:n1"}]}
SHORTCUT = payloads.message_shortcut("request_promotion", MESSAGE, actor=ALICE, place=ML_MODELS, action_ts="6.1")
MENTION = payloads.event_callback(
    {"type": "app_mention", "user": "U0ALICE", "channel": "C1", "ts": "5.1", "text": "hi"}, event_id="Ev1", event_time=5
)
LINK = payloads.event_callback(
    {"type": "link_shared", "user": "U0ALICE", "channel": "C1", "message_ts": "5.1", "links": [{"url": "http://a"}]},
    event_id="Ev1",
    event_time=5,
)
HOME = payloads.app_home_opened(actor=ALICE, place=ML_MODELS, view=payloads.home_view())
SENT: dict[str, dict[str, Any]] = {
    "a command": COMMAND,
    "a press": PRESS,
    "a press in a view": payloads.click_in_view(PRESS["actions"][0], actor=ALICE, view=payloads.home_view()),
    "a shortcut": SHORTCUT,
    "a form": FORM,
    "a form that was closed": payloads.view_closed(VIEW, actor=ALICE),
    "an event": HOME,
    "a mention": MENTION,
    "a link": LINK,
    "Slack's question about the address": {"type": "url_verification", "token": "t", "challenge": "c"},
    "of an organisation": PRESS | {"team": None, "enterprise": {"id": "E1", "name": "org"}},
}


@pytest.mark.parametrize("payload", SENT.values(), ids=SENT)
def test_valid_slack_payloads_are_accepted(payload: dict[str, Any]) -> None:
    validate_payload(payload)
    body, kind = payloads.as_http_body(payload)
    assert read_bolt_request(posted(kind), body).body == payload


def test_slack_s_certificate_check_is_accepted() -> None:
    sent = read_bolt_request(posted("application/x-www-form-urlencoded"), b"ssl_check=1&token=t")
    assert sent.body == {"ssl_check": "1", "token": "t"}


@pytest.mark.parametrize("text", ["history payload", "promote churn 4 production --reason 'new payload={}'"])
def test_a_command_can_contain_the_word_payload(text: str) -> None:
    body, kind = payloads.as_http_body(COMMAND | {"text": text, "channel_name": "payload-models"})
    sent = read_bolt_request(posted(kind), body).body
    assert (sent["text"], sent["channel_name"], sent["user_id"]) == (text, "payload-models", COMMAND["user_id"])


def posted(content_type: str | None) -> Request:
    """Return an HTTP request's head."""
    headers = [(b"content-type", content_type.encode())] if content_type else []
    return Request({"type": "http", "method": "POST", "headers": headers, "query_string": b""})


BROKEN: list[tuple[dict[str, Any], tuple[Any, ...], Any]] = [
    (COMMAND, ("team_id",), REMOVED),
    (COMMAND, ("user_id",), REMOVED),
    (PRESS, ("user",), "U0BOB"),
    (PRESS, ("user", "id"), 7),
    (PRESS, ("user", "id"), REMOVED),
    (PRESS, ("user", "team_id"), ["T0LOCAL"]),
    (PRESS, ("team",), []),
    (PRESS, ("channel",), "C1"),
    (PRESS, ("actions",), []),
    (PRESS, ("actions",), {}),
    (PRESS, ("actions", 0), None),
    (PRESS, ("actions", 0, "action_id"), REMOVED),
    (PRESS, ("response_url",), 7),
    (PRESS, ("trigger_id",), {}),
    (PRESS, ("type",), "block_suggestion"),
    (PRESS, ("type",), REMOVED),
    (FORM, ("view",), None),
    (FORM, ("view", "callback_id"), 7),
    (FORM, ("view", "private_metadata"), 7),
    (FORM, ("view", "state"), []),
    (FORM, ("view", "state", "values", "reason"), "because"),
    (FORM, ("view", "state", "values", "reason", "value", "value"), "\ud800"),
    (HOME, ("event",), REMOVED),
    (HOME, ("event", "user"), {"id": "U0BOB"}),
    (HOME, ("authorizations",), ["U0BOB"]),
    (SHORTCUT, ("message", "blocks"), {}),
    (SHORTCUT, ("message", "blocks", 0, "block_id"), 7),
    (MENTION, ("event", "text"), ["hi"]),
    (MENTION, ("event", "ts"), 5.1),
    (LINK, ("event", "links"), ["http://a"]),
]


@pytest.mark.parametrize(
    ("payload", "way", "value"),
    BROKEN,
    ids=[f"{'.'.join(map(str, way))} as {'nothing' if value is REMOVED else ascii(value)}" for _, way, value in BROKEN],
)
def test_a_field_of_the_wrong_type_is_rejected(payload: dict[str, Any], way: tuple[Any, ...], value: Any) -> None:
    broken = changed(payload, way, value)
    with pytest.raises(BadInput):
        validate_payload(broken)
    body, kind = payloads.as_http_body(broken)
    with pytest.raises(BadInput):
        read_bolt_request(posted(kind), body)


@pytest.mark.parametrize(
    ("payload", "way"),
    [
        (COMMAND, ("text",)),
        (COMMAND, ("channel_id",)),
        (PRESS, ("message",)),
        (FORM, ("view", "private_metadata")),
        (FORM, ("view", "state")),
        (FORM, ("view", "state", "values")),
    ],
    ids=str,
)
def test_an_empty_field_counts_as_missing(payload: dict[str, Any], way: tuple[Any, ...]) -> None:
    assert _is_accepted(changed(payload, way, None))


def _is_accepted(payload: dict[str, Any]) -> bool:
    try:
        validate_payload(payload)
    except BadInput:
        return False
    return True


def test_a_person_without_a_workspace_is_rejected() -> None:
    with pytest.raises(BadInput):
        validate_payload(changed(PRESS, ("user", "team_id"), REMOVED) | {"team": None})


@pytest.mark.parametrize("payload", [None, [], "", 7, [PRESS]], ids=repr)
def test_a_payload_that_is_not_an_object_is_rejected(payload: object) -> None:
    with pytest.raises(BadInput):
        validate_payload(payload)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"payload=", b"payload=7", b"{" + b'"a":[' * 50_000, b"\xff", b"x=1", b"payload=NaN"]
)
def test_an_unreadable_body_is_rejected(body: bytes) -> None:
    for kind in ("application/x-www-form-urlencoded", "application/json; charset=utf-8", None):
        with pytest.raises(BadInput):
            read_bolt_request(posted(kind), body)


def test_a_refusal_does_not_repeat_the_payload() -> None:
    with pytest.raises(BadInput) as refused:
        validate_payload(PRESS | {"user": "a secret"})
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_invalid_payloads_over_socket_mode_do_not_reach_bolt(caplog: pytest.LogCaptureFixture) -> None:
    bolt = App(token="xoxb-made-up", token_verification_enabled=False)
    handler = SocketModeConnection(bolt, lambda request: pytest.fail("it was dispatched"), "xapp-made-up")
    broken = SocketModeRequest(type="interactive", envelope_id="e1", payload={"user": "a secret"})
    handler.run_message_listeners(broken.to_dict(), "")
    handler.shut_down()
    assert "This isn't a valid Slack payload" in caplog.text
    assert "secret" not in caplog.text
