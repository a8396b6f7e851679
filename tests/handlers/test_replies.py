"""An answer with a picture: Slack looks into an upload some time after it is there, and may never do so."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk import WebClient

from bot.domain.people import Person
from bot.domain.text import say
from bot.slack.blocks import said
from bot.slack.publisher import Attached
from handlers.slack.place import SHOWN_TRIES, Pictured, Place, Replies
from localslack import LocalSlack
from tests.harness import ML_MODELS
from tests.world import CHANNEL
from tests.world import said as shown

PNG = b"\x89PNG\r\n\x1a\n" + bytes([0, 0, 0, 13]) + b"IHDR" + bytes([0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]) + bytes(4)
ANSWER = Pictured(said(say("How it stands.")), Attached("a.png", PNG, "Readings", "A chart."))


@pytest.fixture
def here(slack: LocalSlack) -> Place:
    """Return where Alice is, without an address for the answer."""
    return Place(person=Person(slack.team_id, "U0ALICE"), channel=ML_MODELS.id)


def shows(slack: LocalSlack, place: Place) -> dict[str, Any]:
    """Answer, and return what the person sees."""
    replies = Replies(WebClient(token=slack.bot_token, base_url=slack.api_url), pause=0)
    try:
        replies.show(place, ANSWER)
    finally:
        replies.close()
    alice = slack.person("alice")
    return alice.waits_for(CHANNEL, lambda message: message.get("is_ephemeral") and "How it stands" in shown(message))


@pytest.mark.parametrize("times", range(SHOWN_TRIES + 1))
def test_a_picture_that_is_not_looked_into_yet_is_tried_again_and_then_left_out(
    slack: LocalSlack, here: Place, times: int
) -> None:
    if times:
        slack.fail("chat.postEphemeral", "invalid_blocks", times=times)
    kinds = [block["type"] for block in shows(slack, here)["blocks"]]
    assert kinds == (["section", "image"] if times < SHOWN_TRIES else ["section"])
