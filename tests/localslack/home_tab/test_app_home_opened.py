"""The event app_home_opened."""

from __future__ import annotations

import json
from queue import Queue

import httpx2
from slack_bolt import Ack, App
from slack_sdk import WebClient
from slack_sdk.signature import SignatureVerifier

from localslack import LocalSlack, WorkspaceMember
from localslack.payloads import (
    Actor,
    ChannelRef,
    app_home_opened,
    as_http_body,
    button_action,
    click_in_view,
    home_view,
)
from localslack.signing import signed_headers
from tests.localslack.block_builders import button, home
from tests.localslack.bolt_apps import (
    HOME_MANIFEST,
    bolt_app,
    http_server,
    over_http,
    receive,
    silent_connection,
    web_client,
)
from tests.localslack.home_views import JSON, acknowledge, section, texts_of
from tests.support.app.workspaces import local_slack
from tests.support.waiting import PATIENCE


def test_the_app_can_publish_a_view_when_home_is_opened(
    running_app: App, alice: WorkspaceMember, bob: WorkspaceMember
) -> None:
    @running_app.event("app_home_opened")
    def opened(event: JSON, client: WebClient) -> None:
        client.views_publish(user_id=event["user"], view=home(section(f"Hello, <@{event['user']}>")))

    assert alice.opens_home() is None
    assert texts_of(alice.waits_for_home()) == ["Hello, <@U0ALICE>"]
    assert bob.home() is None


def test_opening_home_sends_an_event_in_slack_s_format(slack: LocalSlack, alice: WorkspaceMember) -> None:
    with silent_connection(slack) as socket:
        receive(socket)
        alice.opens_home()
        envelope = receive(socket)
        acknowledge(socket, envelope)
    payload = envelope["payload"]
    event = payload["event"]
    assert (envelope["type"], envelope["accepts_response_payload"]) == ("events_api", False)
    assert (payload["type"], payload["team_id"]) == ("event_callback", slack.team_id)
    assert {"token", "api_app_id", "event_id", "event_time", "authorizations"} <= set(payload)
    assert set(event) == {"type", "user", "channel", "tab", "event_ts"}
    assert (event["type"], event["user"], event["tab"]) == ("app_home_opened", "U0ALICE", "home")
    assert event["channel"] == web_client(slack).conversations_open(users="U0ALICE")["channel"]["id"]


def test_opening_home_again_sends_the_published_view(
    slack: LocalSlack, client: WebClient, alice: WorkspaceMember
) -> None:
    published = client.views_publish(user_id="U0ALICE", view=home(section("hello")))["view"]
    with silent_connection(slack) as socket:
        receive(socket)
        assert alice.opens_home() == published
        envelope = receive(socket)
        acknowledge(socket, envelope)
    assert envelope["payload"]["event"]["view"] == published


def test_an_unacknowledged_event_is_redelivered_at_once_after_one_minute_and_after_five(
    slack: LocalSlack, alice: WorkspaceMember
) -> None:
    with silent_connection(slack) as socket:
        receive(socket)
        alice.opens_home()
        envelopes = [receive(socket)]
        for pause in (0, 60, 300):
            slack.advance(3)
            slack.advance(pause)
            envelopes.append(receive(socket))
        slack.advance(3)
        slack.advance(3600)
        alice.types("#churn", "is anybody there?")
        last = receive(socket)
        acknowledge(socket, last)
    assert [envelope["retry_attempt"] for envelope in envelopes] == [0, 1, 2, 3]
    assert [envelope["retry_reason"] for envelope in envelopes] == ["", "timeout", "timeout", "timeout"]
    assert len({envelope["envelope_id"] for envelope in envelopes}) == 4
    assert len({json.dumps(envelope["payload"]) for envelope in envelopes}) == 1
    assert last["payload"]["event"]["type"] == "message"


def test_an_acknowledged_event_is_delivered_once(slack: LocalSlack, alice: WorkspaceMember) -> None:
    with silent_connection(slack) as socket:
        receive(socket)
        alice.opens_home()
        acknowledge(socket, receive(socket))
        socket.ping().wait(5)
        slack.advance(3600)
        alice.types("#churn", "is anybody there?")
        last = receive(socket)
        acknowledge(socket, last)
    assert last["payload"]["event"]["type"] == "message"


def test_over_http_the_event_is_a_signed_post_that_marks_redeliveries(
    slack: LocalSlack, alice: WorkspaceMember
) -> None:
    received: Queue[tuple[str, dict[str, str]]] = Queue()
    statuses = iter([500, 200])

    def answer(body: str, headers: dict[str, str]) -> tuple[int, str, str]:
        received.put((body, {name.lower(): value for name, value in headers.items()}))
        return next(statuses), "text/plain", ""

    with http_server(answer) as url:
        slack.deliver_to(url)
        alice.opens_home()
        (body, headers), (again, later) = received.get(timeout=PATIENCE), received.get(timeout=PATIENCE)
        slack.deliver_to(None)
    assert body == again
    assert json.loads(body)["event"]["type"] == "app_home_opened"
    assert headers["content-type"] == "application/json"
    assert "x-slack-retry-num" not in headers
    assert (later["x-slack-retry-num"], later["x-slack-retry-reason"]) == ("1", "http_error")
    assert SignatureVerifier(slack.signing_secret).is_valid_request(again, later)


def test_an_app_without_the_subscription_gets_no_event() -> None:
    deaf = HOME_MANIFEST | {"settings": {"event_subscriptions": {"bot_events": ["message.channels"]}}}
    with local_slack(deaf) as slack, silent_connection(slack) as socket:
        receive(socket)
        slack.person("alice").opens_home()
        slack.person("alice").types("#churn", "hello")
        envelope = receive(socket)
        acknowledge(socket, envelope)
    assert envelope["payload"]["event"]["type"] == "message"


def test_forged_events_and_clicks_are_accepted_like_real_ones(slack: LocalSlack) -> None:
    app, received = bolt_app(slack), []

    @app.event("app_home_opened")
    def opened(event: JSON) -> None:
        received.append((event["type"], event["user"], event["tab"]))

    @app.action("go")
    def go(ack: Ack, body: JSON) -> None:
        received.append((body["type"], body["user"]["id"], body["view"]["private_metadata"]))
        ack()

    eve, pressed = Actor(id="U0EVE", name="eve"), button_action(button("Go", "go"), "actions", "1.000000")
    visit = app_home_opened(actor=eve, place=ChannelRef(id="D0EVE", name="directmessage"))
    click = click_in_view(pressed, actor=eve, view=home_view(private_metadata="page 9"))
    with over_http(slack, app) as url:
        for forged in (visit, click):
            body, content_type = as_http_body(forged)
            headers = {"Content-Type": content_type, **signed_headers(slack.signing_secret, body)}
            assert httpx2.post(url, content=body, headers=headers, trust_env=False).status_code == 200
    app.listener_runner.listener_executor.shutdown()
    assert sorted(received) == [("app_home_opened", "U0EVE", "home"), ("block_actions", "U0EVE", "page 9")]
