"""An app whose name has a space: its name, its handle, and mentions."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Queue
from typing import Any

import pytest
from slack_bolt import Ack, App
from slack_sdk import WebClient

from localslack import LocalSlack, WorkspaceMember
from tests.localslack.bolt_apps import MANIFEST
from tests.support.app.workspaces import local_slack
from tests.support.waiting import PATIENCE

JSON = dict[str, Any]


@pytest.fixture(scope="module")
def workspace() -> Iterator[LocalSlack]:
    features = MANIFEST["features"] | {"bot_user": {"display_name": "Model Registrar"}}
    with local_slack({**MANIFEST, "features": features}) as slack:
        yield slack


def test_its_handle_has_no_space(client: WebClient) -> None:
    who = client.auth_test()
    assert who["user"] == "model_registrar"
    user = client.users_info(user=who["user_id"])["user"]
    assert (user["name"], user["real_name"]) == ("model_registrar", "Model Registrar")


def test_its_messages_show_its_name(client: WebClient, alice: WorkspaceMember) -> None:
    client.chat_postMessage(channel="C0CHURN", text="A card")
    assert alice.sees("#churn")[0]["bot_profile"]["name"] == "Model Registrar"
    assert client.bots_info(bot="B0LOCALAPP")["bot"]["name"] == "Model Registrar"


@pytest.mark.parametrize("mention", ["@Model Registrar", "@model_registrar"])
def test_people_mention_it_by_name_or_handle(connected_app: App, alice: WorkspaceMember, mention: str) -> None:
    received: Queue[str] = Queue()

    @connected_app.event("app_mention")
    def mentioned(event: JSON) -> None:
        received.put(event["text"])

    alice.types("#churn", f"{mention}, hello")
    assert received.get(timeout=PATIENCE) == "<@U0LOCALAPP>, hello"


@pytest.mark.parametrize("text", ["@Model Registrars", "a@Model Registrar", "@Model"])
def test_a_word_that_starts_with_its_name_isn_t_a_mention(alice: WorkspaceMember, text: str) -> None:
    sent = alice.types("#churn", text).message
    assert sent is not None
    assert sent["text"] == text


def test_a_command_gets_its_handle(connected_app: App, alice: WorkspaceMember) -> None:
    received: list[str] = []

    @connected_app.command("/tell")
    def tell(ack: Ack, command: JSON) -> None:
        received.append(command["text"])
        ack()

    alice.types("#churn", "/tell @Model Registrar")
    assert received == ["<@U0LOCALAPP|model_registrar>"]
