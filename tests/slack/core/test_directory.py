"""People's profiles in Slack; without a profile, no one can do anything."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from slack_sdk import WebClient

from bot.domain.core.actors import Person, Profile
from bot.domain.core.errors import SlackUnreachable
from bot.slack.core.directory import MAX_AGE_SECONDS, MAX_CHECKED_PEOPLE, SlackDirectory
from localslack import LocalSlack
from localslack.seed import GroupSeed, PersonSeed, Seed
from tests.support.app.app_fixture import MANIFEST
from tests.support.app.workspaces import local_slack
from tests.support.slack.stub_slack import stub_slack

BOB = Person("T0LOCAL", "U0BOB")
GROUPS = frozenset({"S0LEADS"})


class Watch:
    """A stopwatch that a test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def watch() -> Watch:
    """Return a stopwatch at zero."""
    return Watch()


@pytest.fixture
def look_up(slack: LocalSlack, watch: Watch) -> Callable[[Person], Profile]:
    """Return the function that looks people up in the local workspace."""
    client = WebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[], timeout=5)
    return SlackDirectory(client, "T0LOCAL", lambda: GROUPS, watch).profile


LookUp = Callable[[Person], Profile]


def test_a_member_is_recognized(look_up: LookUp) -> None:
    assert look_up(Person("T0LOCAL", "U0ALICE")) == Profile(person=Person("T0LOCAL", "U0ALICE"), name="alice")


def test_a_person_s_groups_are_only_those_in_the_policy(look_up: LookUp, slack: LocalSlack) -> None:
    slack.set_group("S0OTHER", "other", ["bob"])
    assert look_up(BOB).groups == {"S0LEADS"}


@pytest.mark.parametrize(
    ("change", "standing"),
    [
        ({"is_restricted": True}, "is_guest"),
        ({"is_ultra_restricted": True}, "is_guest"),
        ({"is_bot": True}, "is_bot"),
        ({"deleted": True}, "is_deleted"),
    ],
)
def test_accounts_that_are_not_full_members_are_recognized(
    look_up: LookUp, slack: LocalSlack, change: dict[str, bool], standing: str
) -> None:
    slack.change_person("bob", **change)
    assert getattr(look_up(BOB), standing)


def test_a_click_from_another_workspace_is_by_the_same_person(look_up: LookUp) -> None:
    assert look_up(Person("T0OTHER", "U0BOB")) == look_up(BOB)


def test_if_users_cannot_be_looked_up_the_payload_says_who_is_a_stranger(look_up: LookUp, slack: LocalSlack) -> None:
    slack.remove_method("users.info")
    assert not look_up(Person("T0OTHER", "U0BOB")).is_home


def test_a_member_of_another_workspace_is_a_stranger_whatever_the_payload_says(
    look_up: LookUp, slack: LocalSlack
) -> None:
    slack.change_person("bob", team_id="T0OTHER")
    assert not look_up(BOB).is_home


def test_an_unknown_user_is_treated_as_deactivated(look_up: LookUp) -> None:
    assert look_up(Person("T0LOCAL", "U0NOBODY")).is_deleted


@pytest.mark.parametrize(
    ("user", "is_home"),
    [
        pytest.param({}, True, id="nothing said: the payload counts"),
        pytest.param({"team_id": "T0LOCAL", "enterprise_user": None}, True, id="no organization"),
        pytest.param({"team_id": "E0ORG", "enterprise_user": {"teams": ["T0LOCAL"]}}, True, id="home is the Grid"),
        pytest.param({"enterprise_user": {"teams": ["T0LOCAL"]}}, True, id="no home"),
        pytest.param({"enterprise_user": {"teams": ["T0OTHER"]}}, False, id="no home, and not here"),
        pytest.param({"team_id": "T0OTHER", "enterprise_user": {"teams": None}}, False, id="no teams"),
        pytest.param({"team_id": "T0LOCAL", "is_stranger": True}, False, id="a stranger who claims to live here"),
    ],
)
def test_slack_decides_the_home_workspace_not_the_payload(user: dict[str, object], is_home: bool) -> None:
    answers: dict[str, dict[str, Any]] = {
        "users.info": {"user": {"id": "U0BOB", **user}},
        "usergroups.list": {"usergroups": []},
    }
    with stub_slack(answers) as (client, _):
        assert SlackDirectory(client, "T0LOCAL", lambda: GROUPS).profile(BOB).is_home is is_home


@pytest.mark.parametrize("users", [["U0BOB"], None], ids=["members", "no members"])
def test_a_disabled_group_grants_nothing(users: list[str] | None) -> None:
    disabled = {"id": "S0LEADS", "users": users, "date_delete": 1_700_000_000}
    answers: dict[str, dict[str, Any]] = {
        "users.info": {"user": {"id": "U0BOB", "team_id": "T0LOCAL"}},
        "usergroups.list": {"usergroups": [disabled]},
        "usergroups.users.list": {"users": ["U0BOB"]},
    }
    with stub_slack(answers) as (client, _):
        assert SlackDirectory(client, "T0LOCAL", lambda: GROUPS).profile(BOB).groups == frozenset()


@pytest.mark.parametrize(
    "listed",
    [
        pytest.param({"ok": False, "error": "users_not_found"}, id="one group breaks the list"),
        pytest.param({"usergroups": [], "response_metadata": {"next_cursor": "more"}}, id="a list of several pages"),
    ],
)
def test_an_unlisted_group_is_fetched_separately(listed: dict[str, object]) -> None:
    answers: dict[str, dict[str, Any]] = {
        "users.info": {"user": {"id": "U0BOB"}},
        "usergroups.list": listed,
        "usergroups.users.list": {"users": ["U0BOB"]},
    }
    with stub_slack(answers) as (client, _):
        assert SlackDirectory(client, "T0LOCAL", lambda: GROUPS).profile(BOB).groups == GROUPS


def test_slackbot_is_a_bot(look_up: LookUp, slack: LocalSlack) -> None:
    slack.remove_method("users.info")
    assert look_up(Person("T0LOCAL", "USLACKBOT")).is_bot


# -- failed lookups ----------------------------------------------------------------------------------------------------


def test_without_a_user_lookup_the_listed_ids_count(look_up: LookUp, slack: LocalSlack) -> None:
    slack.remove_method("users.info")
    assert look_up(BOB) == Profile(person=BOB, groups=GROUPS)


@pytest.mark.parametrize(
    "error", ["unknown_method", "missing_scope", "plan_upgrade_required", "paid_teams_only", "no_such_subteam"]
)
def test_without_user_groups_no_one_is_in_one(look_up: LookUp, slack: LocalSlack, error: str) -> None:
    slack.fail("usergroups.list", error)
    slack.fail("usergroups.users.list", error)
    assert look_up(BOB).groups == frozenset()


def test_each_group_is_fetched_if_the_server_lists_none(look_up: LookUp, slack: LocalSlack) -> None:
    slack.remove_method("usergroups.list")
    assert look_up(BOB).groups == GROUPS


@pytest.mark.parametrize("error", ["missing_scope", "invalid_auth", "internal_error", "something_new"])
def test_a_failed_user_lookup_stops_the_command(look_up: LookUp, slack: LocalSlack, error: str) -> None:
    slack.fail("users.info", error)
    with pytest.raises(SlackUnreachable, match="Nothing changed"):
        look_up(BOB)


@pytest.mark.parametrize("method", ["users.info", "usergroups.list"])
def test_an_unreachable_workspace_stops_the_command(look_up: LookUp, slack: LocalSlack, method: str) -> None:
    for order in (slack.reset_before, slack.server_error, slack.rate_limit):
        order(method)
        with pytest.raises(SlackUnreachable):
            look_up(BOB)


def test_a_failure_is_not_cached(look_up: LookUp, slack: LocalSlack) -> None:
    slack.server_error("users.info")
    with pytest.raises(SlackUnreachable):
        look_up(BOB)
    assert look_up(BOB).is_home


# -- cached for a minute -----------------------------------------------------------------------------------------------


def test_within_a_minute_no_one_is_looked_up_twice(look_up: LookUp, slack: LocalSlack, watch: Watch) -> None:
    look_up(BOB)
    watch.seconds += MAX_AGE_SECONDS
    look_up(BOB)
    assert [len(slack.calls(method)) for method in ("users.info", "usergroups.list")] == [1, 1]


def test_changes_are_seen_after_a_minute(look_up: LookUp, slack: LocalSlack, watch: Watch) -> None:
    look_up(BOB)
    slack.change_person("bob", is_restricted=True)
    slack.set_group("S0LEADS", "leads", [])
    watch.seconds += MAX_AGE_SECONDS + 1
    profile = look_up(BOB)
    assert (profile.is_guest, profile.groups) == (True, frozenset())


def test_concurrent_lookups_call_slack_once(look_up: LookUp, slack: LocalSlack) -> None:
    slack.slow("users.info", 0.2)
    with ThreadPoolExecutor(10) as threads:
        list(threads.map(look_up, [BOB] * 10))
    assert len(slack.calls("users.info")) == 1


def test_earlier_voters_are_looked_up_without_the_cache(slack: LocalSlack, watch: Watch) -> None:
    client = WebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[], timeout=5)
    directory = SlackDirectory(client, "T0LOCAL", lambda: GROUPS, watch)
    assert not directory.profile(BOB).is_deleted
    watch.seconds += 1
    slack.change_person("bob", deleted=True)
    found = directory.current_profiles([Person("", "U0BOB"), Person("T0LOCAL", "U0CAROL"), Person("T9", "U0EVE")])
    assert (found["U0BOB"].is_deleted, found["U0BOB"].is_home) == (True, True)
    assert (found["U0CAROL"].groups, found["U0CAROL"].is_deleted) == (GROUPS, False)
    assert not found["U0EVE"].is_home


def test_an_unreachable_slack_confirms_no_one(slack: LocalSlack, watch: Watch) -> None:
    client = WebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[], timeout=5)
    directory = SlackDirectory(client, "T0LOCAL", lambda: GROUPS, watch)
    directory.profile(BOB)
    watch.seconds += 1
    slack.fail("users.info", "internal_error", times=None)
    with pytest.raises(SlackUnreachable):
        directory.current_profiles([BOB])


# -- the people in a rule's approvers ----------------------------------------------------------------------------------


@pytest.fixture
def directory(slack: LocalSlack, watch: Watch) -> SlackDirectory:
    """Return the local workspace's directory; Bob and Carol are leads."""
    slack.set_group("S0LEADS", "leads", ["bob", "carol"])
    client = WebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[], timeout=5)
    return SlackDirectory(client, "T0LOCAL", lambda: GROUPS, watch)


def test_approvers_are_the_listed_people_and_the_members_of_groups(
    directory: SlackDirectory, slack: LocalSlack
) -> None:
    slack.change_person("carol", deleted=True)
    found = directory.electorate(["S0LEADS", "U0BOB", "U0DAVE"])
    assert (sorted(found.people), found.is_complete) == (["U0BOB", "U0CAROL", "U0DAVE"], True)
    assert found.user_ids() == ["U0BOB", "U0DAVE"]


def test_a_recent_lookup_is_reused(directory: SlackDirectory, slack: LocalSlack) -> None:
    directory.electorate(["S0LEADS"])
    directory.electorate(["S0LEADS", "U0CAROL"])
    assert [len(slack.calls(method)) for method in ("users.info", "usergroups.list")] == [2, 1]


@pytest.mark.parametrize("error", ["internal_error", "missing_scope", "plan_upgrade_required"])
def test_approvers_are_incomplete_if_slack_cannot_list_a_group(
    directory: SlackDirectory, slack: LocalSlack, error: str
) -> None:
    slack.fail("usergroups.list", error)
    found = directory.electorate(["S0LEADS", "U0DAVE"])
    assert (found.user_ids(), found.max_approvals()) == (["U0DAVE"], None)


def test_an_unknown_group_has_no_members(directory: SlackDirectory) -> None:
    assert directory.electorate(["S0GONE"]).max_approvals() == 0


def test_an_account_that_cannot_be_looked_up_counts(directory: SlackDirectory, slack: LocalSlack) -> None:
    slack.fail("users.info", "internal_error", times=None)
    assert directory.electorate(["S0LEADS"]).user_ids() == ["U0BOB", "U0CAROL"]


def test_the_accounts_of_a_large_group_are_not_looked_up(directory: SlackDirectory, slack: LocalSlack) -> None:
    assert (
        directory.electorate([f"U{number}" for number in range(MAX_CHECKED_PEOPLE + 1)]).max_approvals()
        == MAX_CHECKED_PEOPLE + 1
    )
    assert slack.calls("users.info") == []


def test_people_and_groups_have_names(directory: SlackDirectory) -> None:
    assert directory.display_names(["S0LEADS", "U0BOB", "U0CAROL"]) == {
        "S0LEADS": "leads",
        "U0BOB": "bob",
        "U0CAROL": "carol",
    }


# -- many groups -------------------------------------------------------------------------------------------------------


def test_everyone_in_sixty_groups_can_decide_through_either_of_two_replicas(watch: Watch) -> None:
    people = tuple(PersonSeed(id=f"U0P{at}", name=f"p{at}") for at in range(60))
    groups = tuple(GroupSeed(id=f"S0G{at}", handle=f"g{at}", name=f"g{at}", members=(f"p{at}",)) for at in range(60))
    named = frozenset(group.id for group in groups)
    with local_slack(MANIFEST, seed=Seed(people=people, groups=groups), speed=1.0) as slack:
        client = WebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[], timeout=5)
        replicas = [SlackDirectory(client, "T0LOCAL", lambda: named, watch) for _ in range(2)]
        found = [replicas[at % 2].profile(Person("T0LOCAL", one.id)).groups for at, one in enumerate(people)]
        assert found == [{group.id} for group in groups]
        assert [one.electorate(sorted(named)).max_approvals() for one in replicas] == [60, 60]
        assert [len(slack.calls(method)) for method in ("usergroups.list", "usergroups.users.list")] == [2, 0]
