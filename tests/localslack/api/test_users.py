"""users.*, usergroups.*, bots.info, and team.info."""

from __future__ import annotations

from typing import Any

from slack_sdk import WebClient

from localslack import ChannelSeed, LocalSlack, PersonSeed, Seed
from tests.localslack.bolt_apps import MANIFEST, SlackErrorOf
from tests.support.app.workspaces import local_slack


def test_accounts_are_paged(slack: LocalSlack, client: WebClient) -> None:
    slack.change_person("bob", team_id="T0OTHER")
    pages = [[user["name"] for user in page["members"]] for page in client.users_list(limit=2)]
    assert pages == [["alice"], ["carol", "dave"], ["tester"]]


def test_guests_bots_strangers_and_deleted_accounts_can_be_recognized(slack: LocalSlack, client: WebClient) -> None:
    slack.change_person("alice", is_restricted=True)
    slack.change_person("bob", is_bot=True)
    slack.change_person("carol", team_id="T0OTHER")
    slack.change_person("dave", deleted=True)

    def seen(user: str) -> dict[str, Any]:
        return dict(client.users_info(user=user)["user"])

    assert seen("U0ALICE")["is_restricted"]
    assert seen("U0BOB")["is_bot"]
    assert seen("U0CAROL")["team_id"] == "T0OTHER"
    assert seen("U0DAVE")["deleted"]
    assert "U0CAROL" not in [member["id"] for member in client.users_list()["members"]]


def test_an_unknown_user_isn_t_found(client: WebClient, slack_error: SlackErrorOf) -> None:
    assert slack_error(client.users_info, user="U0NOBODY") == "user_not_found"


def test_a_user_group_lists_its_members(slack: LocalSlack, client: WebClient, slack_error: SlackErrorOf) -> None:
    assert client.usergroups_users_list(usergroup="S0LEADS")["users"] == ["U0BOB", "U0CAROL"]
    slack.set_group("S0LEADS", "leads", ["alice"])
    assert client.usergroups_list(include_users=True)["usergroups"][0]["users"] == ["U0ALICE"]
    assert slack_error(client.usergroups_users_list, usergroup="S0NONE") == "no_such_subteam"


def test_the_bot_and_the_team_are_known(slack: LocalSlack, client: WebClient, slack_error: SlackErrorOf) -> None:
    bot = client.auth_test()["bot_id"]
    assert client.bots_info(bot=bot)["bot"]["name"] == "tester"
    assert slack_error(client.bots_info, bot="B0NONE") == "bot_not_found"
    assert client.team_info()["team"]["id"] == slack.team_id


def test_a_seed_defines_people_channels_and_groups() -> None:
    seed = Seed(
        team_id="T0SEED",
        people=(PersonSeed(id="U0ZOE", name="zoe"),),
        channels=(ChannelSeed(id="C0ONLY", name="only", members=("zoe",)),),
        groups=(),
    )
    with local_slack(MANIFEST, seed=seed) as slack:
        assert slack.team_id == "T0SEED"
        assert slack.members("#only") == ["U0ZOE"]
