"""Links: the event link_shared, and chat.unfurl."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from slack_sdk import WebClient

from localslack import LocalSlack
from tests.localslack.bolt_apps import MANIFEST, SlackErrorOf, bolt_app, over_socket_mode, web_client
from tests.support.app.workspaces import local_slack

JSON = dict[str, Any]
URL = "https://wiki.example.com/page?a=1"
PREVIEW = {URL: {"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "A page"}}]}}
LINK_MANIFEST: JSON = {
    **MANIFEST,
    "features": MANIFEST["features"] | {"unfurl_domains": ["example.com"]},
    "oauth_config": {"scopes": {"bot": [*MANIFEST["oauth_config"]["scopes"]["bot"], "links:read", "links:write"]}},
    "settings": {"event_subscriptions": {"bot_events": ["link_shared"]}},
}


@pytest.fixture(scope="module")
def linked() -> Iterator[LocalSlack]:
    """Run a workspace whose app gets links to example.com."""
    with local_slack(LINK_MANIFEST) as slack:
        yield slack


@pytest.fixture
def events(linked: LocalSlack) -> Iterator[list[JSON]]:
    """The link_shared events that the app got."""
    app, received = bolt_app(linked), []

    @app.event("link_shared")
    def record(event: JSON) -> None:
        received.append(event)

    with over_socket_mode(linked, app):
        yield received


def post(slack: LocalSlack, text: str) -> JSON:
    message = slack.person("alice").types("#churn", text).message
    assert message is not None
    return message


def test_a_link_to_a_registered_domain_sends_an_event(linked: LocalSlack, events: list[JSON]) -> None:
    post(linked, "https://other.example.org/ and https://badexample.com")
    message = post(linked, f"see <{URL}|the page>, {URL}")
    linked.wait_for(lambda: events)
    [event] = events
    assert event["links"] == [{"domain": "example.com", "url": URL}]
    assert (event["channel"], event["message_ts"], event["user"]) == ("C0CHURN", message["ts"], "U0ALICE")


@pytest.mark.parametrize("by_id", [False, True])
def test_a_preview_is_an_attachment_of_the_message(linked: LocalSlack, by_id: bool) -> None:
    message = post(linked, f"see {URL}")
    where = {"unfurl_id": f"C0CHURN-{message['ts']}", "source": "conversations_history"}
    address = where if by_id else {"channel": "C0CHURN", "ts": message["ts"]}
    for _ in range(2):
        web_client(linked).chat_unfurl(**address, unfurls=PREVIEW)
    shown = next(one for one in linked.person("bob").sees("#churn") if one["ts"] == message["ts"])
    [attachment] = shown["attachments"]
    assert (attachment["from_url"], attachment["blocks"][0]["text"]["text"]) == (URL, "A page")
    assert "edited" not in shown


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"ts": "1.1"}, "cannot_find_message"),
        ({"channel": "C0NOWHERE"}, "cannot_find_channel"),
        ({"unfurls": {}}, "missing_unfurls"),
        ({"unfurls": [1]}, "invalid_unfurls_format"),
        ({"unfurls": {"https://example.com/elsewhere": PREVIEW[URL]}}, "cannot_unfurl_url"),
        ({"unfurls": {URL: {"blocks": [{"type": "section"}]}}}, "invalid_blocks"),
    ],
)
def test_an_invalid_preview_is_rejected(
    linked: LocalSlack, slack_error: SlackErrorOf, changes: JSON, error: str
) -> None:
    message = post(linked, f"see {URL}")
    arguments = {"channel": "C0CHURN", "ts": message["ts"], "unfurls": PREVIEW} | changes
    assert slack_error(web_client(linked).chat_unfurl, **arguments) == error


def test_a_preview_needs_its_scope(client: WebClient, slack_error: SlackErrorOf) -> None:
    assert slack_error(client.chat_unfurl, channel="C0CHURN", ts="1.1", unfurls=PREVIEW) == "missing_scope"
