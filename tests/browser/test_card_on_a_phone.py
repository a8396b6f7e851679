"""On a phone, everything that decides a request is on one screen: from the card's headline to its buttons."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from slack_sdk import WebClient

from localslack import LocalSlack
from tests.support.slack.card_examples import faulty_examples, good_examples
from tests.support.slack.screen import Screen

pytestmark = pytest.mark.browser

SCREEN_HEIGHT = 600  # pixels that Slack's own bars leave on a phone


def test_headline_verdict_and_buttons_fit_on_one_screen(slack: LocalSlack, open_window: Callable[..., Screen]) -> None:
    client = WebClient(slack.bot_token, base_url=slack.api_url)
    screen = open_window(slack.url)
    screen.page.set_viewport_size({"width": 390, "height": 844})
    heights = {}
    for example in faulty_examples() + good_examples():
        card = example.card()
        posted = client.chat_postMessage(channel="ml-models", text=card.text, blocks=card.blocks)
        shown = screen.page.get_by_test_id("message").last
        headline, cancel = shown.get_by_role("heading"), shown.get_by_role("button", name="Cancel my request")
        cancel.wait_for()
        top, bottom = headline.bounding_box(), cancel.bounding_box()
        assert top
        assert bottom
        heights[example.name] = bottom["y"] + bottom["height"] - top["y"]
        client.chat_delete(channel=posted["channel"], ts=posted["ts"])
        cancel.wait_for(state="detached")
    assert {name: height for name, height in heights.items() if height > SCREEN_HEIGHT} == {}
