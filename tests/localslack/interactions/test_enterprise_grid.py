"""People of an Enterprise Grid whose home is another workspace, and strangers from Slack Connect."""

from __future__ import annotations

from typing import Any

import pytest
from slack_bolt import Ack, App
from slack_sdk import WebClient

from localslack import LocalSlack, WorkspaceMember
from tests.localslack.block_builders import actions, button

JSON = dict[str, Any]
ACME = {"id": "E0ACME", "name": "Acme"}


@pytest.fixture
def carol(slack: LocalSlack) -> WorkspaceMember:
    """A member of the workspace whose home is another one of the same organization."""
    slack.let_live_in("carol", "T0HOME", enterprise=ACME)
    return slack.person("carol")


@pytest.fixture
def stranger(slack: LocalSlack) -> WorkspaceMember:
    """Someone from another organization, in a shared channel."""
    slack.change_person("dave", team_id="T0OTHER")
    return slack.person("dave")


@pytest.fixture
def received(connected_app: App, client: WebClient) -> list[JSON]:
    """The app's payloads, in order; it has posted a card in #churn."""
    payloads: list[JSON] = []

    def listen(ack: Ack, body: JSON) -> None:
        payloads.append(body)
        ack()

    connected_app.command("/ask")(listen)
    connected_app.action("go")(listen)
    connected_app.event("message")(listen)
    client.chat_postMessage(channel="#churn", text="card", blocks=[actions(button("Go", "go"))])
    return payloads


def click(person: WorkspaceMember) -> None:
    assert person.clicks(person.sees("#churn")[-1], "Go").acked


@pytest.mark.parametrize("home", ["T0HOME", "E0ACME"], ids=["a workspace", "the organization"])
def test_a_click_has_the_home_workspace_of_the_person(slack: LocalSlack, received: list[JSON], home: str) -> None:
    slack.let_live_in("carol", home, enterprise=ACME)
    click(slack.person("carol"))
    assert received[0]["user"]["team_id"] == home


def test_a_click_has_the_organization(received: list[JSON], carol: WorkspaceMember) -> None:
    click(carol)
    assert received[0]["team"] == {
        "id": "T0LOCAL",
        "domain": "local",
        "enterprise_id": "E0ACME",
        "enterprise_name": "Acme",
    }
    assert received[0]["enterprise"] == ACME


def test_a_command_has_the_workspace_where_it_s_typed(received: list[JSON], carol: WorkspaceMember) -> None:
    assert carol.types("#churn", "/ask").acked
    assert (received[0]["team_id"], received[0]["user_id"]) == ("T0LOCAL", "U0CAROL")
    assert (received[0]["enterprise_id"], received[0]["enterprise_name"]) == ("E0ACME", "Acme")


def test_an_event_has_the_organization(slack: LocalSlack, received: list[JSON], carol: WorkspaceMember) -> None:
    carol.types("#churn", "hello")
    slack.wait_for(lambda: received)
    assert (received[0]["team_id"], received[0]["enterprise_id"]) == ("T0LOCAL", "E0ACME")
    assert received[0]["authorizations"][0]["enterprise_id"] == "E0ACME"


def test_people_from_the_organization_are_members(client: WebClient, carol: WorkspaceMember) -> None:
    user = client.users_info(user="U0CAROL")["user"]
    assert (user["team_id"], user["is_stranger"]) == ("T0HOME", False)
    assert user["enterprise_user"] == {
        "id": "U0CAROL",
        "enterprise_id": "E0ACME",
        "enterprise_name": "Acme",
        "is_admin": False,
        "is_owner": False,
        "teams": ["T0HOME", "T0LOCAL"],
    }
    assert "U0CAROL" in [member["id"] for member in client.users_list()["members"]]


def test_the_app_sees_the_organization(client: WebClient, carol: WorkspaceMember) -> None:
    assert client.auth_test()["enterprise_id"] == "E0ACME"
    assert client.team_info()["team"]["enterprise_id"] == "E0ACME"


def test_people_of_the_organization_see_public_channels(slack: LocalSlack, carol: WorkspaceMember) -> None:
    slack.set_members("#churn", ["bot"])
    assert carol.sees("#churn") == []


def test_people_who_are_only_in_another_workspace_of_the_organization_are_strangers(
    slack: LocalSlack, client: WebClient
) -> None:
    slack.let_live_in("carol", "T0HOME", enterprise=ACME, teams=["T0HOME"])
    assert client.users_info(user="U0CAROL")["user"]["is_stranger"] is True


def test_a_stranger_acts_as_someone_from_another_workspace(received: list[JSON], stranger: WorkspaceMember) -> None:
    click(stranger)
    stranger.types("#churn", "/ask")
    assert (received[0]["user"]["team_id"], received[0]["enterprise"], received[1]["team_id"]) == (
        "T0OTHER",
        None,
        "T0OTHER",
    )


def test_a_stranger_can_be_recognized(client: WebClient, stranger: WorkspaceMember) -> None:
    user = client.users_info(user="U0DAVE")["user"]
    assert (user["team_id"], user["is_stranger"], "enterprise_user" in user) == ("T0OTHER", True, False)


def test_a_channel_with_a_stranger_is_shared(slack: LocalSlack, client: WebClient, stranger: WorkspaceMember) -> None:
    slack.set_members("#general", ["alice", "bot"])
    shared = {channel["name"]: channel["is_ext_shared"] for channel in client.conversations_list()["channels"]}
    assert shared == {"general": False, "ml-models": True, "churn": True}


def test_an_event_says_that_a_channel_is_shared(
    slack: LocalSlack, received: list[JSON], stranger: WorkspaceMember
) -> None:
    stranger.types("#churn", "hello")
    slack.wait_for(lambda: received)
    assert received[0]["is_ext_shared_channel"] is True
