"""The Home tab on the workspace's page: opened, viewed, clicked, and kept up to date."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import expect
from slack_bolt import Ack, App
from slack_sdk import WebClient

from localslack import LocalSlack
from tests.localslack.block_builders import actions, button, home, modal, plain
from tests.localslack.bolt_apps import HOME_MANIFEST, MANIFEST, bolt_app, over_socket_mode, web_client
from tests.support.app.workspaces import local_slack
from tests.support.slack.screen import Screen, expect_text

pytestmark = pytest.mark.browser

JSON = dict[str, Any]
SURE = {
    "title": plain("Approve churn v4?"),
    "text": plain("It goes to Production at once."),
    "confirm": plain("Approve"),
    "deny": plain("Not yet"),
}
MODELS = ["churn", "fraud", "uplift"]


@pytest.fixture(scope="module")
def workspace() -> Iterator[LocalSlack]:
    """Run a workspace whose app has a Home tab."""
    with local_slack(HOME_MANIFEST) as slack:
        yield slack


@pytest.fixture
def slack(workspace: LocalSlack) -> LocalSlack:
    workspace.reset()
    return workspace


@pytest.fixture
def app(slack: LocalSlack) -> Iterator[App]:
    """Run an app that greets visitors, asks for a decision, and thanks them."""
    app = bolt_app(slack)

    @app.event("app_home_opened")
    def opened(event: JSON, client: WebClient) -> None:
        client.views_publish(user_id=event["user"], view=page(event["user"]))

    @app.action("approve")
    def approve(ack: Ack, body: JSON, client: WebClient) -> None:
        ack()
        client.views_publish(user_id=body["user"]["id"], view=page(body["user"]["id"], waiting=0))

    @app.action("details")
    def details(ack: Ack, body: JSON, client: WebClient) -> None:
        ack()
        client.views_open(trigger_id=body["trigger_id"], view=modal(title="churn v4"))

    @app.action("model")
    def model(ack: Ack, body: JSON, client: WebClient) -> None:
        ack()
        chosen = body["actions"][0]["selected_option"]["value"]
        client.views_publish(user_id=body["user"]["id"], view=page(body["user"]["id"], model=chosen))

    with over_socket_mode(slack, app):
        yield app


def text(words: str) -> JSON:
    return {"type": "mrkdwn", "text": words}


def section(words: str, **more: Any) -> JSON:
    return {"type": "section", "text": text(words), **more}


def page(user: str, waiting: int = 2, model: str = "churn") -> JSON:
    """A Home tab like a real app's: pending reviews, versions in Production, and recent activity."""
    options = [{"text": plain(name), "value": name} for name in MODELS]
    pick = {"type": "static_select", "action_id": "model", "placeholder": plain("Pick a model"), "options": options}
    pick["initial_option"] = options[MODELS.index(model)]
    press = [button("Approve", "approve", style="primary", confirm=SURE), button("Details", "details")]
    ask = [
        [
            section(f"*churn* v{4 + number} to *Production*\nf1 0.77 instead of 0.74 on last month"),
            {"type": "context", "elements": [text("Asked by <@U0CAROL> two hours ago · 0 of 1 approvals")]},
            actions(*press, block_id=f"request-{number}"),
            {"type": "divider"},
        ]
        for number in range(waiting)
    ]
    facts = ["*Production*\nv3, since May", "*Staging*\nv4", "*Last moved by*\n<@U0BOB>", "*Alias*\n`champion`"]
    return home(
        {"type": "header", "text": plain("Needs your review" if waiting else "You're all caught up")},
        section(f"Hello <@{user}>. {waiting} requests are open."),
        {"type": "divider"},
        *[block for blocks in ask for block in blocks],
        {"type": "header", "text": plain(f"What serves: {model}")},
        actions(pick, block_id="pick"),
        {"type": "section", "fields": [text(one) for one in facts]},
    )


def test_a_tab_without_a_view_says_so_and_fills_by_itself(
    slack: LocalSlack, open_window: Callable[..., Screen]
) -> None:
    screen = open_window(slack.url)
    screen.opens_home()
    expect_text(screen.home(), "Nothing here yet")
    screen.picture("home-empty")
    web_client(slack).views_publish(user_id="U0ALICE", view=page("U0ALICE"))
    expect_text(screen.home(), "Hello @alice")


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("desk", {}),
        ("dark", {"color_scheme": "dark"}),
        ("phone", {"viewport": {"width": 390, "height": 844}}),
    ],
)
def test_a_published_tab_fits_the_page(
    slack: LocalSlack, app: App, open_window: Callable[..., Screen], name: str, how: dict[str, object]
) -> None:
    screen = open_window(slack.url, **how)
    screen.page.goto(f"{slack.url}?as=alice&tab=home")
    expect_text(screen.home(), "Hello @alice")
    assert screen.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    screen.picture(f"home-{name}")


def test_alice_decides_on_her_tab_without_changing_bob_s(
    slack: LocalSlack, app: App, open_window: Callable[..., Screen]
) -> None:
    screen = open_window(slack.url)
    screen.opens_home()
    expect_text(screen.home(), "2 requests are open")
    screen.home().get_by_role("button", name="Approve").first.click()
    screen.confirms("Not yet")
    expect_text(screen.home(), "2 requests are open")
    screen.home().get_by_role("button", name="Approve").first.click()
    screen.confirms("Approve")
    expect_text(screen.home(), "You're all caught up")
    screen.becomes("Bob Tanaka")
    expect_text(screen.home(), "Hello @bob. 2 requests are open")
    screen.home().get_by_role("button", name="Details").first.click()
    expect(screen.modal()).to_be_visible()


def test_the_tab_is_reached_and_used_by_keyboard(
    slack: LocalSlack, app: App, open_window: Callable[..., Screen]
) -> None:
    screen = open_window(slack.url)
    screen.page.get_by_test_id("open-home").press("Enter")
    expect(screen.home()).to_be_focused()
    expect_text(screen.home(), "What serves: churn")
    choice = screen.home().get_by_role("combobox", name="Pick a model")
    choice.focus()
    choice.press("u")  # type-ahead for uplift
    expect_text(screen.home(), "What serves: uplift")
    expect(choice).to_be_focused()
    expect(choice).to_have_value("uplift")
    screen.page.get_by_test_id("tab-messages").press("Enter")
    expect(screen.page.get_by_role("combobox", name="Message tester")).to_be_focused()
    expect(screen.home()).to_be_hidden()


def test_an_app_without_the_tab_shows_none(open_window: Callable[..., Screen]) -> None:
    with local_slack(MANIFEST) as slack:
        screen = open_window(slack.url)
        screen.page.get_by_test_id("channel-tester").click()
        expect(screen.page.get_by_role("combobox", name="Message tester")).to_be_visible()
        expect(screen.page.get_by_test_id("open-home")).to_have_count(0)
        expect(screen.page.get_by_test_id("tab-home")).to_be_hidden()
