"""The first card: who can approve it, and how setup waits for that."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from slack_sdk import WebClient
from websockets.sync.client import connect

from handlers.setup.first_card import APPROVE, FirstCard, click_problem, setup_id
from handlers.setup.steps.card import CARD_STEP, OTHERS_CONNECTED
from localslack import LocalSlack
from tests.support.terminal.setup_wizard import Wizard

CARD = FirstCard("D0BOB", "1.2", is_approved=False)


@contextmanager
def meanwhile(act: Callable[[], object]) -> Iterator[None]:
    """Do something in another thread."""
    thread = threading.Thread(target=act)
    thread.start()
    yield
    thread.join()


@contextmanager
def another_connection(slack: LocalSlack) -> Iterator[None]:
    """Be connected with the same app token."""
    url = WebClient(base_url=slack.api_url).apps_connections_open(app_token=slack.app_token)["url"]
    with connect(str(url)) as connection:
        connection.recv()
        yield
    slack.wait_for(lambda: slack.status()["connections"] == 0)


def clicks(slack: LocalSlack, name: str = "bob") -> None:
    """Approve the card as soon as the wizard is connected."""
    slack.wait_until_connected()
    person = slack.person(name)
    person.clicks(person.direct_messages()[-1], "Approve")


def click(**changes: Any) -> dict[str, Any]:
    """Return the payload of bob's click, with changes."""
    return {
        "type": "block_actions",
        "user": {"id": "U0BOB"},
        "container": {"channel_id": "D0BOB", "message_ts": "1.2"},
        "actions": [{"action_id": APPROVE, "value": "id"}],
    } | changes


@pytest.fixture(autouse=True)
def _ready(wizard: Wizard, slack: LocalSlack) -> None:
    wizard.knows(slack)
    wizard.writes_policy()
    wizard.user = "U0BOB"


def test_setup_ends_with_the_click_and_the_card_has_no_button_then(wizard: Wizard, slack: LocalSlack) -> None:
    with meanwhile(lambda: clicks(slack)):
        screen = wizard.finishes(CARD_STEP)
    assert screen.endswith("✓ First card: approved.\n")
    assert [block["type"] for block in slack.person("bob").direct_messages()[-1]["blocks"]] == ["section"]


def test_an_approved_card_is_not_posted_again(wizard: Wizard, slack: LocalSlack) -> None:
    with meanwhile(lambda: clicks(slack)):
        wizard.finishes(CARD_STEP)
    assert wizard.finishes(CARD_STEP) == "✓ First card: approved.\n"
    assert len(slack.person("bob").direct_messages()) == 1


def test_a_pending_card_is_not_posted_again(wizard: Wizard, slack: LocalSlack) -> None:
    with another_connection(slack):
        wizard.finishes(CARD_STEP)
    with meanwhile(lambda: clicks(slack)):
        wizard.finishes(CARD_STEP)
    assert len(slack.person("bob").direct_messages()) == 1


def test_another_process_with_the_token_is_noticed(wizard: Wizard, slack: LocalSlack) -> None:
    with another_connection(slack):
        assert OTHERS_CONNECTED in wizard.finishes(CARD_STEP)


def test_setup_reconnects_when_slack_closes_the_connection(wizard: Wizard, slack: LocalSlack) -> None:
    def close_and_click() -> None:
        slack.wait_until_connected()
        slack.disconnect_sockets("close")
        slack.wait_for(lambda: len(slack.calls("apps.connections.open")) == 2)
        clicks(slack)

    slack.forget_calls()
    with meanwhile(close_and_click):
        assert "✓ First card: approved." in wizard.finishes(CARD_STEP)


def test_the_policy_at_the_click_says_whose_approval_counts(wizard: Wizard, slack: LocalSlack) -> None:
    def both_click() -> None:
        slack.wait_until_connected()
        wizard.writes_policy(user="U0CAROL")
        bob, carol = slack.person("bob"), slack.person("carol")
        bob.clicks(bob.direct_messages()[-1], "Approve")
        slack.wait_for(lambda: bool(carol.direct_messages()))
        clicks(slack, "carol")

    with meanwhile(both_click):
        assert "✓ First card: approved." in wizard.finishes(CARD_STEP)
    assert slack.person("bob").direct_messages()[-1]["blocks"][-1]["type"] == "actions"  # still not approved


def test_who_is_at_the_keyboard_is_asked_if_the_policy_does_not_say(wizard: Wizard, slack: LocalSlack) -> None:
    wizard.writes_policy()
    policy = wizard.folder / "registrar.yml"
    policy.write_text("\n".join(line for line in policy.read_text().splitlines() if "operators" not in line))
    wizard.user = ""
    with meanwhile(lambda: clicks(slack)):
        screen = wizard.finishes(CARD_STEP, "bob")
    assert "registrar.yml doesn't say who you are. Add this line: operators: {" in screen
    assert "✓ First card: approved." in screen


def test_the_persons_click_on_the_card_counts() -> None:
    assert click_problem(click(), CARD, "id", "U0BOB") is None


def test_another_persons_click_is_refused() -> None:
    problem = click_problem(click(user={"id": "U0ALICE"}), CARD, "id", "U0BOB")
    assert problem == "Someone else clicked the button. Only you can approve this card."


@pytest.mark.parametrize(
    "changes",
    [
        {"actions": [{"action_id": APPROVE, "value": "another"}]},
        {"container": {"channel_id": "D0BOB", "message_ts": "1.1"}},
        {"container": {"channel_id": "C0GENERAL", "message_ts": "1.2"}},
        {"container": None},
    ],
)
def test_a_click_on_another_card_is_refused(changes: dict[str, Any]) -> None:
    assert click_problem(click(**changes), CARD, "id", "U0BOB") == (
        "Someone clicked the button of another setup's card."
    )


@pytest.mark.parametrize(
    "changes", [{"actions": [{"action_id": "vote"}]}, {"actions": []}, {"type": "view_submission"}]
)
def test_other_payloads_do_not_approve(changes: dict[str, Any]) -> None:
    assert click_problem(click(**changes), CARD, "id", "U0BOB") is not None


def test_each_folder_has_its_own_card() -> None:
    assert setup_id("host", "/a") == setup_id("host", "/a")
    assert len({setup_id("host", "/a"), setup_id("host", "/b"), setup_id("other", "/a")}) == 3
