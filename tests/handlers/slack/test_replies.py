"""An answer with a picture: the answer is private, so the picture goes to the person's direct messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from slack_sdk import WebClient

from bot.domain.core.actors import Person
from bot.domain.core.sentence import say
from bot.slack.core.answer import FileUpload, SlackAnswer
from bot.slack.core.blocks import sentence_message
from handlers.slack.replies import Replies, ReplyTarget
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL
from tests.support.app.app_fixture import message_text as shown
from tests.support.app.harness import ML_MODELS

PNG = b"\x89PNG\r\n\x1a\n" + bytes([0, 0, 0, 13]) + b"IHDR" + bytes([0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]) + bytes(4)
ANSWER = SlackAnswer(
    sentence_message(say("How it stands.")), lambda: [FileUpload("a.png", PNG, "Readings", "A chart.")]
)
PROMISE, COMPLETE = "files.getUploadURLExternal", "files.completeUploadExternal"


class Asker:
    """Alice, who asks for a private answer."""

    def __init__(self, slack: LocalSlack) -> None:
        self.slack = slack
        self.alice = slack.person("alice")
        self.place = ReplyTarget(person=Person(slack.team_id, self.alice.id), channel=ML_MODELS.id)
        self.lacks: list[str] = []
        client = WebClient(token=slack.bot_token, base_url=slack.api_url, retry_handlers=[])
        self.direct = str(client.conversations_open(users=self.alice.id)["channel"]["id"])
        self.replies = Replies(client, self.lacks.extend)

    def hears(self) -> list[str]:
        """Return the messages in the channel that only she sees."""
        return [shown(message) for message in self.alice.sees(CHANNEL) if message.get("is_ephemeral")]

    def pictures(self) -> list[dict[str, Any]]:
        """Return the pictures in her direct messages with the bot."""
        return [file for message in self.alice.direct_messages() for file in message.get("files") or []]


@pytest.fixture
def asker(slack: LocalSlack) -> Iterator[Asker]:
    asker = Asker(slack)
    yield asker
    asker.replies.close()


def test_the_answer_comes_first_and_links_to_its_picture(asker: Asker) -> None:
    asker.replies.send_answer(asker.place, ANSWER)
    [picture] = asker.pictures()
    [answer, where] = asker.hears()
    assert "How it stands." in answer
    assert f"The chart is in <{picture['permalink']}|our direct messages>." in where


def test_no_one_else_sees_the_picture(asker: Asker) -> None:
    asker.replies.send_answer(asker.place, ANSWER)
    [picture] = asker.pictures()
    assert asker.alice.downloads(picture) == PNG
    assert [message for message in asker.slack.person("bob").sees(CHANNEL) if message.get("files")] == []


def test_the_picture_has_its_answer_as_a_comment(asker: Asker) -> None:
    asker.replies.send_answer(asker.place, ANSWER)
    [message] = asker.alice.direct_messages()
    assert "How it stands." in shown(message)
    assert (message["files"][0]["title"], message["files"][0]["alt_txt"]) == ("Readings", "A chart.")


@pytest.mark.parametrize("from_home", [False, True], ids=["from a direct message", "from Home"])
def test_in_direct_messages_the_picture_follows_without_a_comment(asker: Asker, from_home: bool) -> None:
    asker.replies.send_answer(replace(asker.place, channel="" if from_home else asker.direct), ANSWER)
    assert len(asker.pictures()) == 1
    assert "The chart is in" not in str(asker.alice.direct_messages())
    assert asker.hears() == []


@pytest.mark.parametrize("error", ["missing_scope", "unknown_method", "internal_error"])
@pytest.mark.parametrize("method", ["conversations.open", PROMISE, COMPLETE])
def test_only_the_answer_is_sent_if_slack_refuses_the_picture(asker: Asker, method: str, error: str) -> None:
    asker.slack.fail(method, error)
    asker.replies.send_answer(asker.place, ANSWER)
    assert (asker.hears(), asker.pictures()) == (["How it stands. How it stands."], [])


def test_only_the_answer_is_sent_if_the_connection_is_lost(asker: Asker) -> None:
    asker.slack.reset_before(PROMISE)
    asker.replies.send_answer(asker.place, ANSWER)
    assert (asker.hears(), asker.pictures()) == (["How it stands. How it stands."], [])


def test_a_missing_scope_is_reported(asker: Asker) -> None:
    asker.slack.fail(PROMISE, "missing_scope")
    asker.replies.send_answer(asker.place, ANSWER)
    assert asker.lacks == ["files:write"]
