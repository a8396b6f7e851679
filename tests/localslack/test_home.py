"""The App Home: what is published on it, who is told of a visit, and what people do there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from queue import Queue
from typing import Any
from urllib.error import URLError

import httpx
import pytest
from slack_bolt import Ack, App
from slack_sdk import WebClient
from slack_sdk.signature import SignatureVerifier

from localslack import LocalSlack, RefusedError, WorkspaceMember
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
from tests.localslack.apps import (
    HOME_MANIFEST,
    MANIFEST,
    actions,
    bolt_app,
    button,
    home,
    http_server,
    in_background,
    modal,
    over_http,
    over_socket_mode,
    plain,
    raw_socket,
    receive,
    text_input,
    web_client,
)
from tests.waiting import LONG
from tests.workspaces import local_slack

JSON = dict[str, Any]
Refused = Callable[..., str]
STAGES = [{"text": plain("Staging"), "value": "s"}, {"text": plain("Production"), "value": "p"}]


@pytest.fixture(scope="module")
def workspace() -> Iterator[LocalSlack]:
    """Run a workspace whose app has a Home tab and hears of visits."""
    with local_slack(HOME_MANIFEST) as slack:
        yield slack


@pytest.fixture(params=["socket mode", "signed http"])
def running(request: pytest.FixtureRequest, slack: LocalSlack) -> Iterator[App]:
    app = bolt_app(slack)
    way = over_socket_mode if request.param == "socket mode" else over_http
    with way(slack, app):
        yield app


def says(words: str) -> JSON:
    return {"type": "section", "text": {"type": "mrkdwn", "text": words}}


def words_of(view: JSON | None) -> list[str]:
    return [block["text"]["text"] for block in (view or {"blocks": []})["blocks"] if "text" in block]


def acknowledge(socket: Any, envelope: JSON) -> None:
    socket.send(json.dumps({"envelope_id": envelope["envelope_id"]}))


# -- views.publish ----------------------------------------------------------------------------------------------


def test_a_view_is_published_for_one_person(client: WebClient, alice: WorkspaceMember, bob: WorkspaceMember) -> None:
    view = client.views_publish(user_id="U0ALICE", view=home(says("hello"), private_metadata="page 1"))["view"]
    assert (view["type"], view["root_view_id"], view["private_metadata"]) == ("home", view["id"], "page 1")
    assert alice.home() == view
    assert bob.home() is None


def test_another_view_takes_its_place_with_another_hash(client: WebClient, alice: WorkspaceMember) -> None:
    first = client.views_publish(user_id="U0ALICE", view=home(says("first")))["view"]
    second = client.views_publish(user_id="U0ALICE", view=home(says("second")), hash=first["hash"])["view"]
    assert second["id"] == first["id"]
    assert second["hash"] != first["hash"]
    assert words_of(alice.home()) == ["second"]


def test_an_old_hash_publishes_nothing(client: WebClient, alice: WorkspaceMember, refused: Refused) -> None:
    old = client.views_publish(user_id="U0ALICE", view=home(says("old")))["view"]
    client.views_publish(user_id="U0ALICE", view=home(says("new")))
    assert refused(client.views_publish, user_id="U0ALICE", view=home(), hash=old["hash"]) == "hash_conflict"
    assert refused(client.views_publish, user_id="U0BOB", view=home(), hash=old["hash"]) == "hash_conflict"
    assert words_of(alice.home()) == ["new"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"user_id": None}, "invalid_arguments"),
        ({"user_id": "alice"}, "invalid_arguments"),
        ({"user_id": "U0NOBODY"}, "user_not_found"),
        ({"view": None}, "invalid_arguments"),
        ({"view": "no JSON"}, "invalid_arguments"),
        ({"view": modal()}, "invalid_arguments"),
        ({"view": home(says("x" * 3001))}, "invalid_arguments"),
        ({"view": home(*[{"type": "section", "fields": [plain("x" * 2000)] * 10}] * 13)}, "view_too_large"),
    ],
)
def test_what_is_not_right_is_not_published(
    client: WebClient, alice: WorkspaceMember, refused: Refused, change: JSON, error: str
) -> None:
    arguments = {"user_id": "U0ALICE", "view": home()} | change
    assert refused(client.api_call, api_method="views.publish", json=arguments) == error
    assert alice.home() is None


def test_an_external_id_is_used_once(client: WebClient, refused: Refused) -> None:
    mine = home(external_id="page")
    client.views_publish(user_id="U0ALICE", view=mine)
    client.views_publish(user_id="U0ALICE", view=mine)
    assert refused(client.views_publish, user_id="U0BOB", view=mine) == "duplicate_external_id"


def test_without_a_home_tab_in_the_manifest_nothing_is_published_or_opened(refused: Refused) -> None:
    with local_slack(MANIFEST) as slack:
        assert refused(web_client(slack).views_publish, user_id="U0ALICE", view=home()) == "not_enabled"
        with pytest.raises(RefusedError, match="not_enabled"):
            slack.person("alice").opens_home()


def test_publishing_needs_no_scope() -> None:
    with local_slack(HOME_MANIFEST | {"oauth_config": {}}) as slack:
        assert web_client(slack).views_publish(user_id="U0ALICE", view=home())["ok"]


def test_a_home_tab_is_updated_like_a_modal(client: WebClient, alice: WorkspaceMember, refused: Refused) -> None:
    view = client.views_publish(user_id="U0ALICE", view=home(says("first")))["view"]
    updated = client.views_update(view_id=view["id"], hash=view["hash"], view=home(says("second")))["view"]
    assert words_of(alice.home()) == ["second"]
    assert refused(client.views_update, view_id=view["id"], hash=view["hash"], view=home()) == "hash_conflict"
    assert refused(client.views_update, view_id=view["id"], view=modal()) == "invalid_arguments"
    assert alice.home() == updated


@pytest.mark.parametrize(
    ("order", "published"),
    [
        (lambda slack: slack.rate_limit("views.publish"), False),
        (lambda slack: slack.reset_before("views.publish"), False),
        (lambda slack: slack.reset_after("views.publish"), True),
        (lambda slack: slack.server_error("views.publish"), False),
        (lambda slack: slack.fail("views.publish", "fatal_error"), False),
        (lambda slack: slack.remove_method("views.publish"), False),
    ],
    ids=["ratelimited", "reset before", "reset after", "server error", "error", "unknown"],
)
def test_publishing_fails_when_it_is_ordered_to(
    slack: LocalSlack, client: WebClient, alice: WorkspaceMember, order: Callable[[LocalSlack], None], published: bool
) -> None:
    from slack_sdk.errors import SlackApiError

    order(slack)
    with pytest.raises((SlackApiError, ConnectionError, URLError)):
        client.views_publish(user_id="U0ALICE", view=home())
    assert (alice.home() is not None) is published


# -- visits -----------------------------------------------------------------------------------------------------


def test_a_visit_is_answered_with_a_view(running: App, alice: WorkspaceMember, bob: WorkspaceMember) -> None:
    @running.event("app_home_opened")
    def opened(event: JSON, client: WebClient) -> None:
        client.views_publish(user_id=event["user"], view=home(says(f"Hello, <@{event['user']}>")))

    assert alice.opens_home() is None
    assert words_of(alice.waits_for_home()) == ["Hello, <@U0ALICE>"]
    assert bob.home() is None


def test_a_visit_has_the_shape_that_slack_sends(slack: LocalSlack, alice: WorkspaceMember) -> None:
    with raw_socket(slack) as socket:
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


def test_a_later_visit_carries_the_view(slack: LocalSlack, client: WebClient, alice: WorkspaceMember) -> None:
    published = client.views_publish(user_id="U0ALICE", view=home(says("hello")))["view"]
    with raw_socket(slack) as socket:
        receive(socket)
        assert alice.opens_home() == published
        envelope = receive(socket)
        acknowledge(socket, envelope)
    assert envelope["payload"]["event"]["view"] == published


def test_a_visit_is_told_again_at_once_after_a_minute_and_after_five(slack: LocalSlack, alice: WorkspaceMember) -> None:
    with raw_socket(slack) as socket:
        receive(socket)
        alice.opens_home()
        told = [receive(socket)]
        for pause in (0, 60, 300):
            slack.advance(3)
            slack.advance(pause)
            told.append(receive(socket))
        slack.advance(3)
        slack.advance(3600)
        alice.types("#churn", "is anybody there?")
        last = receive(socket)
        acknowledge(socket, last)
    assert [one["retry_attempt"] for one in told] == [0, 1, 2, 3]
    assert [one["retry_reason"] for one in told] == ["", "timeout", "timeout", "timeout"]
    assert len({one["envelope_id"] for one in told}) == 4
    assert len({json.dumps(one["payload"]) for one in told}) == 1
    assert last["payload"]["event"]["type"] == "message"


def test_an_acknowledged_visit_is_told_once(slack: LocalSlack, alice: WorkspaceMember) -> None:
    with raw_socket(slack) as socket:
        receive(socket)
        alice.opens_home()
        acknowledge(socket, receive(socket))
        socket.ping().wait(5)
        slack.advance(3600)
        alice.types("#churn", "is anybody there?")
        last = receive(socket)
        acknowledge(socket, last)
    assert last["payload"]["event"]["type"] == "message"


def test_over_http_a_visit_is_a_signed_post_that_says_when_it_is_told_again(
    slack: LocalSlack, alice: WorkspaceMember
) -> None:
    heard: Queue[tuple[str, dict[str, str]]] = Queue()
    statuses = iter([500, 200])

    def answer(body: str, headers: dict[str, str]) -> tuple[int, str, str]:
        heard.put((body, {name.lower(): value for name, value in headers.items()}))
        return next(statuses), "text/plain", ""

    with http_server(answer) as url:
        slack.deliver_to(url)
        alice.opens_home()
        (body, headers), (again, later) = heard.get(timeout=LONG), heard.get(timeout=LONG)
        slack.deliver_to(None)
    assert body == again
    assert json.loads(body)["event"]["type"] == "app_home_opened"
    assert headers["content-type"] == "application/json"
    assert "x-slack-retry-num" not in headers
    assert (later["x-slack-retry-num"], later["x-slack-retry-reason"]) == ("1", "http_error")
    assert SignatureVerifier(slack.signing_secret).is_valid_request(again, later)


def test_an_app_that_does_not_subscribe_hears_of_no_visit() -> None:
    deaf = HOME_MANIFEST | {"settings": {"event_subscriptions": {"bot_events": ["message.channels"]}}}
    with local_slack(deaf) as slack, raw_socket(slack) as socket:
        receive(socket)
        slack.person("alice").opens_home()
        slack.person("alice").types("#churn", "hello")
        envelope = receive(socket)
        acknowledge(socket, envelope)
    assert envelope["payload"]["event"]["type"] == "message"


# -- what people do there ---------------------------------------------------------------------------------------


def test_a_click_on_the_home_tab_has_the_shape_that_slack_sends(
    slack: LocalSlack, client: WebClient, alice: WorkspaceMember
) -> None:
    client.views_publish(
        user_id="U0ALICE", view=home(text_input("note", "Note"), actions(button("Go", "go", value="7")))
    )
    shown = alice.waits_for_home()
    with raw_socket(slack) as socket:
        receive(socket)
        click = in_background(alice.clicks, shown, "Go")
        envelope = receive(socket)
        acknowledge(socket, envelope)
        assert click.result().acked
    payload = envelope["payload"]
    assert envelope["type"] == "interactive"
    assert payload["type"] == "block_actions"
    assert payload["container"] == {"type": "view", "view_id": shown["id"]}
    assert (payload["view"]["type"], payload["view"]["hash"]) == ("home", shown["hash"])
    assert payload["view"]["state"] == {"values": {"note": {"value": {"type": "plain_text_input", "value": None}}}}
    assert payload["user"]["id"] == "U0ALICE"
    assert payload["team"]["id"] == slack.team_id
    assert payload["trigger_id"]
    assert (payload["actions"][0]["action_id"], payload["actions"][0]["value"]) == ("go", "7")
    assert not {"response_url", "channel", "message", "state"} & set(payload)


def test_a_button_changes_the_tab_that_it_is_on(running: App, client: WebClient, alice: WorkspaceMember) -> None:
    @running.action("done")
    def done(ack: Ack, body: JSON, client: WebClient) -> None:
        ack()
        client.views_publish(user_id=body["user"]["id"], view=home(says("all done")), hash=body["view"]["hash"])

    ask = {"title": plain("Sure?"), "text": plain("x"), "confirm": plain("Yes"), "deny": plain("No")}
    client.views_publish(user_id="U0ALICE", view=home(actions(button("Done", "done", confirm=ask))))
    assert alice.clicks(alice.waits_for_home(), "Done").acked
    alice.waits_for_home(lambda view: words_of(view) == ["all done"])


def test_a_choice_arrives_and_stays_when_the_tab_is_published_anew(
    running: App, client: WebClient, alice: WorkspaceMember
) -> None:
    heard: list[JSON] = []

    @running.action("stage")
    def stage(ack: Ack, body: JSON) -> None:
        heard.append(body)
        ack()

    select = {"type": "static_select", "action_id": "stage", "options": STAGES, "placeholder": plain("Stage")}
    client.views_publish(user_id="U0ALICE", view=home(actions(select)))
    assert alice.chooses(alice.waits_for_home(), "Stage", "Production").acked
    chosen = {"actions": {"stage": {"type": "static_select", "selected_option": STAGES[1]}}}
    assert heard[0]["actions"][0]["selected_option"] == STAGES[1]
    assert heard[0]["view"]["state"]["values"] == chosen
    client.views_publish(user_id="U0ALICE", view=home(says("new"), actions(select)))
    assert alice.waits_for_home()["state"]["values"] == chosen


def test_a_modal_opens_from_the_home_tab(
    running: App, client: WebClient, alice: WorkspaceMember, refused: Refused
) -> None:
    errors: list[str] = []

    @running.action("ask")
    def ask(ack: Ack, body: JSON, client: WebClient) -> None:
        errors.append(refused(client.views_push, trigger_id=body["trigger_id"], view=modal()))
        client.views_open(trigger_id=body["trigger_id"], view=modal(title="Why?"))
        ack()

    client.views_publish(user_id="U0ALICE", view=home(actions(button("Ask", "ask"))))
    assert alice.clicks(alice.waits_for_home(), "Ask").acked
    assert alice.waits_for_modal()["title"]["text"] == "Why?"
    assert errors == ["not_found"]


def test_one_of_several_equal_buttons_is_pressed_by_its_block(
    running: App, client: WebClient, alice: WorkspaceMember
) -> None:
    pressed: list[str] = []

    @running.action("go")
    def go(ack: Ack, action: JSON) -> None:
        pressed.append(action["block_id"])
        ack()

    rows = [actions(button("Go", "go"), block_id=block_id) for block_id in ("first", "second")]
    client.views_publish(user_id="U0ALICE", view=home(*rows))
    alice.clicks(alice.waits_for_home(), "Go", block="second")
    assert pressed == ["second"]


def test_nobody_clicks_on_another_persons_tab_or_on_what_has_gone(
    client: WebClient, alice: WorkspaceMember, bob: WorkspaceMember
) -> None:
    client.views_publish(user_id="U0ALICE", view=home(actions(button("Go", "go"))))
    view = alice.waits_for_home()
    with pytest.raises(RefusedError, match="not_found"):
        bob.clicks(view, "Go")
    client.views_publish(user_id="U0ALICE", view=home(says("gone")))
    with pytest.raises(RefusedError, match="not_found"):
        alice.clicks(view, "Go")


def test_a_home_tab_is_not_submitted(slack: LocalSlack, client: WebClient) -> None:
    view = client.views_publish(user_id="U0ALICE", view=home(text_input("note", "Note")))["view"]
    with pytest.raises(RefusedError, match="not_found"):
        slack.act("submit", user="alice", view_id=view["id"])


# -- forging ----------------------------------------------------------------------------------------------------


def test_a_forged_visit_and_a_forged_click_are_taken_for_real_ones(slack: LocalSlack) -> None:
    app, heard = bolt_app(slack), []

    @app.event("app_home_opened")
    def opened(event: JSON) -> None:
        heard.append((event["type"], event["user"], event["tab"]))

    @app.action("go")
    def go(ack: Ack, body: JSON) -> None:
        heard.append((body["type"], body["user"]["id"], body["view"]["private_metadata"]))
        ack()

    eve, pressed = Actor(id="U0EVE", name="eve"), button_action(button("Go", "go"), "actions", "1.000000")
    visit = app_home_opened(actor=eve, place=ChannelRef(id="D0EVE", name="directmessage"))
    click = click_in_view(pressed, actor=eve, view=home_view(private_metadata="page 9"))
    with over_http(slack, app) as url:
        for forged in (visit, click):
            body, content_type = as_http_body(forged)
            headers = {"Content-Type": content_type, **signed_headers(slack.signing_secret, body)}
            assert httpx.post(url, content=body, headers=headers, trust_env=False).status_code == 200
    app.listener_runner.listener_executor.shutdown()
    assert sorted(heard) == [("app_home_opened", "U0EVE", "home"), ("block_actions", "U0EVE", "page 9")]
