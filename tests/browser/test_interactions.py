"""What people do on the page other than writing and clicking: option lookup, shortcuts, reactions, edits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, expect
from slack_bolt import Ack, App
from slack_sdk import WebClient

from localslack import LocalSlack
from tests.localslack.block_builders import actions, home, modal, plain
from tests.localslack.bolt_apps import HOME_MANIFEST, bolt_app, over_socket_mode, web_client
from tests.support.app.workspaces import local_slack
from tests.support.slack.screen import CHANNEL, Screen

pytestmark = pytest.mark.browser

JSON = dict[str, Any]
ROOM = "C0MLMODELS"
TEAMS = ["Churn", "Pricing", "Fraud"]
MENU = {"type": "external_select", "action_id": "team", "placeholder": plain("Pick a team"), "min_query_length": 1}


@pytest.fixture(scope="module")
def workspace() -> Iterator[LocalSlack]:
    features = HOME_MANIFEST["features"] | {"bot_user": {"display_name": "Model Registrar"}}
    with local_slack({**HOME_MANIFEST, "features": features}) as slack:
        yield slack


@pytest.fixture
def slack(workspace: LocalSlack) -> LocalSlack:
    workspace.reset()
    return workspace


@pytest.fixture
def heard() -> list[JSON]:
    """The choices, submissions, and message shortcuts that the app received."""
    return []


@pytest.fixture
def client(slack: LocalSlack, heard: list[JSON]) -> Iterator[WebClient]:
    """Run an app that suggests teams by prefix, and opens a form for a global shortcut."""
    app = bolt_app(slack)
    listen(app, heard)
    with over_socket_mode(slack, app):
        yield web_client(slack)


def listen(app: App, heard: list[JSON]) -> None:
    @app.options("team")
    def teams(ack: Ack, payload: JSON) -> None:
        fitting = [name for name in TEAMS if name.lower().startswith(payload["value"].lower())]
        ack(options=[{"text": plain(name), "value": name.lower()} for name in fitting])

    @app.shortcut("start_round")
    def start(ack: Ack, body: JSON, client: WebClient) -> None:
        ack()
        field = {"type": "input", "block_id": "teams", "label": plain("Teams")}
        element = {**MENU, "type": "multi_external_select"}
        client.views_open(trigger_id=body["trigger_id"], view=modal({**field, "element": element}))

    def note(ack: Ack, body: JSON) -> None:
        heard.append(body)
        ack()

    app.action("team")(note)
    app.view("form")(note)
    app.shortcut("look_into")(note)


def look_up(where: Locator, typed: str, option: str) -> None:
    """Type into the menu, and select a suggested option."""
    where.get_by_role("combobox").press_sequentially(typed)
    where.get_by_role("option", name=option).click()


def in_menu(screen: Screen, entry: str) -> None:
    """Use the menu of the newest message."""
    message = screen.page.get_by_test_id("message").last
    message.hover()
    message.get_by_label("Message menu").click()
    message.get_by_role("menuitem", name=entry).click()


def test_an_option_is_looked_up_in_a_message(
    slack: LocalSlack, client: WebClient, heard: list[JSON], open_window: Callable[..., Screen]
) -> None:
    client.chat_postMessage(channel=ROOM, text="x", blocks=[actions(MENU)])
    screen = open_window(slack.url)
    look_up(screen.page.get_by_test_id("message"), "pr", "Pricing")
    slack.wait_for(lambda: heard)
    assert heard[0]["actions"][0]["selected_option"]["value"] == "pricing"
    expect(screen.page.get_by_role("combobox", name="Pick a team")).to_have_value("Pricing")


def test_an_error_is_shown_for_options_that_cannot_be_displayed(
    slack: LocalSlack, open_window: Callable[..., Screen]
) -> None:
    app = bolt_app(slack)
    app.options("team")(lambda ack: ack(options=[{"text": plain("x" * 76), "value": "x"}]))
    with over_socket_mode(slack, app):
        web_client(slack).chat_postMessage(channel=ROOM, text="x", blocks=[actions(MENU)])
        screen = open_window(slack.url)
        screen.page.get_by_role("combobox", name="Pick a team").press_sequentially("x")
        expect(screen.page.get_by_test_id("toast")).to_contain_text("options that Slack wouldn't show")


def test_several_options_are_looked_up_in_a_form_that_a_shortcut_opens(
    slack: LocalSlack, client: WebClient, heard: list[JSON], open_window: Callable[..., Screen]
) -> None:
    screen = open_window(slack.url)
    screen.page.get_by_role("button", name="Start a round").click()
    look_up(screen.modal(), "ch", "Churn")
    look_up(screen.modal(), "fr", "Fraud")
    look_up(screen.modal(), "pr", "Pricing")
    screen.modal().get_by_role("button", name="Remove Churn").click()
    screen.picture("lookup")
    screen.modal().get_by_role("button", name="Send").click()
    expect(screen.modal()).to_have_count(0)
    chosen = heard[-1]["view"]["state"]["values"]["teams"]["team"]["selected_options"]
    assert [option["value"] for option in chosen] == ["fraud", "pricing"]


def test_an_option_that_was_chosen_on_the_home_tab_is_still_read_after_an_update(
    slack: LocalSlack, client: WebClient, heard: list[JSON], open_window: Callable[..., Screen]
) -> None:
    client.views_publish(user_id="U0ALICE", view=home(actions(MENU)))
    screen = open_window(slack.url)
    screen.opens_home()
    look_up(screen.home(), "pr", "Pricing")
    slack.wait_for(lambda: heard)
    client.views_publish(user_id="U0ALICE", view=home(actions(MENU), {"type": "divider"}))
    expect(screen.home().get_by_role("separator")).to_be_visible()
    expect(screen.home().get_by_role("combobox")).to_have_value("Pricing")


def test_a_message_shortcut_is_in_the_menu_of_the_message(
    slack: LocalSlack, client: WebClient, heard: list[JSON], open_window: Callable[..., Screen]
) -> None:
    ts = client.chat_postMessage(channel=ROOM, text="v4 looks odd")["ts"]
    screen = open_window(slack.url)
    in_menu(screen, "Look into this")
    slack.wait_for(lambda: heard)
    assert heard[0]["message"]["ts"] == ts


def test_a_reaction_is_added_shown_and_removed(slack: LocalSlack, open_window: Callable[..., Screen]) -> None:
    slack.person("bob").types(f"#{CHANNEL}", "v4 is out")
    screen = open_window(slack.url)
    in_menu(screen, "React with 👍")
    reaction = screen.page.get_by_role("button", name="+1, 1")
    expect(reaction).to_have_attribute("title", "Alice Moreau: +1")
    reaction.click()
    expect(reaction).to_have_count(0)


def test_people_edit_and_delete_their_own_messages(slack: LocalSlack, open_window: Callable[..., Screen]) -> None:
    slack.person("alice").types(f"#{CHANNEL}", "v4 is <out>")
    screen = open_window(slack.url)
    asked: list[str] = []

    def answer(dialog: Any) -> None:
        asked.append(dialog.default_value)
        dialog.accept("v5 is out")

    screen.page.once("dialog", answer)
    in_menu(screen, "Edit message")
    expect(screen.page.get_by_test_id("message").last).to_contain_text("v5 is out(edited)")
    assert asked == ["v4 is <out>"]
    in_menu(screen, "Delete message")
    expect(screen.page.get_by_test_id("message")).to_have_count(0)


def test_the_last_message_s_menu_is_fully_visible(slack: LocalSlack, open_window: Callable[..., Screen]) -> None:
    for number in range(20):
        slack.person("alice").types(f"#{CHANNEL}", f"note {number}")
    screen = open_window(slack.url)
    message = screen.page.get_by_test_id("message").last
    message.hover()
    message.get_by_label("Message menu").click()
    expect(message.get_by_role("menuitem", name="Delete message")).to_be_in_viewport(ratio=1)


def test_a_menu_says_that_there_are_no_options(
    slack: LocalSlack, client: WebClient, open_window: Callable[..., Screen]
) -> None:
    client.chat_postMessage(channel=ROOM, text="x", blocks=[actions(MENU)])
    menu = open_window(slack.url).page.get_by_test_id("message")
    menu.get_by_role("combobox").press_sequentially("zz")
    expect(menu.get_by_text("No results")).to_be_visible()
    expect(menu.get_by_role("option")).to_have_count(0)


def test_an_option_is_selected_with_the_arrow_keys(
    slack: LocalSlack, client: WebClient, heard: list[JSON], open_window: Callable[..., Screen]
) -> None:
    client.chat_postMessage(channel=ROOM, text="x", blocks=[actions({**MENU, "min_query_length": 0})])
    menu = open_window(slack.url).page.get_by_test_id("message")
    menu.get_by_role("combobox").click()
    expect(menu.get_by_role("option")).to_have_count(3)
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "Enter"):
        menu.get_by_role("combobox").press(key)
    slack.wait_for(lambda: heard)
    assert heard[0]["actions"][0]["selected_option"]["value"] == "pricing"


def test_no_one_can_edit_someone_else_s_message(slack: LocalSlack, open_window: Callable[..., Screen]) -> None:
    slack.person("bob").types(f"#{CHANNEL}", "v4 is out")
    screen = open_window(slack.url)
    message = screen.page.get_by_test_id("message").last
    message.hover()
    message.get_by_label("Message menu").click()
    expect(message.get_by_role("menuitem", name="Look into this")).to_be_visible()
    expect(message.get_by_role("menuitem", name="Edit message")).to_have_count(0)


def test_an_app_with_a_space_in_its_name_can_be_mentioned(
    slack: LocalSlack, client: WebClient, open_window: Callable[..., Screen]
) -> None:
    screen = open_window(slack.url)
    box = screen.page.get_by_role("combobox", name=f"Message #{CHANNEL}")
    box.press_sequentially("@mod")
    screen.page.get_by_role("option", name="Model Registrar").click()
    box.press("Enter")
    expect(screen.page.get_by_test_id("message").last.locator(".mention")).to_have_text("@Model Registrar")
    client.chat_postMessage(channel=ROOM, text="Yes?")
    expect(screen.page.get_by_test_id("message").last.locator("strong")).to_have_text("Model Registrar")
    screen.page.get_by_test_id("channel-Model Registrar").click()
    expect(screen.page.get_by_role("heading", name="Model Registrar")).to_be_visible()
