"""`registrar doctor` about Slack: tokens, scopes, channels, and people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bot.registry.memory import MemoryRegistry
from localslack import LocalSlack
from localslack.seed import PersonSeed
from tests.support.app.app_fixture import running_app
from tests.support.app.workspaces import local_slack
from tests.support.network.http_receiver import PlannedReply, run_receiver
from tests.support.network.ports import free_port
from tests.support.terminal.doctor import POLICY, RunDoctor

# -- Slack -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "told"),
    [("", "is not set"), ("xapp-1-A", "an app-level token"), ("xoxp-1", "a user's token")],
)
def test_a_token_that_is_none_of_a_bot_is_told_with_where_to_get_one(doctor: RunDoctor, held: str, told: str) -> None:
    said = doctor(SLACK_BOT_TOKEN=held)
    assert said.code == 2
    assert told in said.of("Slack token", "wrong")
    assert "OAuth & Permissions" in said.of("Slack token", "wrong")
    assert said.states("Slack scopes") == ["skipped"]


def test_a_token_that_slack_does_not_take_is_told(doctor: RunDoctor) -> None:
    said = doctor(SLACK_BOT_TOKEN="xoxb-made-up")
    assert (said.code, said.states("Slack channels")) == (2, ["skipped"])
    assert "does not take the token (invalid_auth)" in said.of("Slack token", "wrong")


def test_a_slack_that_does_not_answer_is_no_fault_of_the_settings(doctor: RunDoctor) -> None:
    said = doctor(SLACK_API_URL=f"http://127.0.0.1:{free_port()}/api/")
    assert (said.code, said.states("Slack token"), said.states("Slack people")) == (3, ["silent"], ["skipped"])


@pytest.mark.parametrize("body", [b"<html>hello", b"null", b"[]", b'{"ok": true}', b'{"ok": false}', b""])
def test_what_answers_nonsense_is_no_slack(doctor: RunDoctor, body: bytes) -> None:
    with run_receiver() as server:
        server.replies = [PlannedReply(body=body)]
        said = doctor("--live", SLACK_API_URL=server.url)
    assert said.states("Slack token") in (["wrong"], ["silent"])
    assert said.states("ledger") == ["ok"]


METHODS = {
    "conversations.list": "Slack channels",
    "users.info": "Slack people",
    "usergroups.list": "Slack groups",
    "blocks.validate": "Slack cards",
}


@pytest.mark.parametrize("method", METHODS)
def test_a_server_without_a_method_is_told_so_and_all_else_is_looked_at(
    doctor: RunDoctor, slack: LocalSlack, method: str
) -> None:
    slack.remove_method(method)
    said = doctor()
    assert said.code == 0
    assert "this server does not have that method" in said.of(METHODS[method], "skipped")
    others = [area for name, area in METHODS.items() if name != method]
    assert {state for area in others for state in said.states(area)} == {"ok"}


def test_scopes_that_manifest_yml_has_and_the_token_lacks_are_named(doctor: RunDoctor, tmp_path: Path) -> None:
    manifest = {"oauth_config": {"scopes": {"bot": ["chat:write", "commands", "channels:manage"]}}}
    with local_slack(manifest) as other:
        said = doctor(SLACK_API_URL=other.api_url, SLACK_BOT_TOKEN=other.bot_token)
    assert said.code == 2
    assert "is missing channels:history, channels:read" in said.of("Slack scopes", "wrong")
    assert "Reinstall" in said.of("Slack scopes", "wrong")
    assert "channels:manage" in said.of("Slack scopes", "mind")
    assert "lacks the scope" in said.of("Slack channels", "skipped")


def test_a_server_that_tells_no_scopes_is_lived_with(doctor: RunDoctor) -> None:
    with run_receiver() as server:
        server.replies = [PlannedReply(body=b'{"ok": true, "team_id": "T1"}')]
        said = doctor(SLACK_API_URL=server.url)
    assert "does not tell which scopes" in said.of("Slack scopes", "skipped")


def test_a_channel_that_we_are_not_in_is_told_with_how_to_get_in(doctor: RunDoctor, slack: LocalSlack) -> None:
    slack.set_members("#churn", ["alice"])
    assert "/invite @registrar" in doctor().of("Slack channels", "mind")


def test_a_private_channel_that_we_are_not_in_is_wrong(doctor: RunDoctor, slack: LocalSlack, tmp_path: Path) -> None:
    slack.add_channel("C0SECRET", "secret", is_private=True, members=["alice"])
    (tmp_path / "registrar.yml").write_text(POLICY.replace("#churn", "#secret"))
    said = doctor()
    assert said.code == 2
    assert "no channel #secret (models.churn*.channel of the policy)" in said.of("Slack channels", "wrong")
    assert "/invite @registrar" in said.of("Slack channels", "wrong")


def test_a_channel_of_the_anchor_is_looked_at_too(doctor: RunDoctor, slack: LocalSlack) -> None:
    slack.archive("#general")
    assert "#general (anchor.channel of the policy) is archived" in doctor().of("Slack channels", "wrong")


def test_a_channel_that_is_given_by_its_id_is_shown_by_its_name(doctor: RunDoctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text(POLICY.replace("#churn", "C0CHURN"))
    said = doctor()
    assert "We are in #churn (C0CHURN)." in said.of("Slack channels", "ok")
    assert set(said.states("Slack channels")) == {"ok"}


def test_a_renamed_channel_is_reported(doctor: RunDoctor, slack: LocalSlack) -> None:
    slack.rename("#churn", "attrition")
    told = doctor().of("Slack channels", "mind")
    assert "#churn (models.churn*.channel of the policy) is now called #attrition." in told
    assert "C0CHURN" in told


def test_a_name_that_several_channels_had_is_told_of_none(doctor: RunDoctor, slack: LocalSlack) -> None:
    slack.rename("#churn", "attrition")
    slack.add_channel("C0CHURN2", "churn", members=["bot"])
    slack.rename("C0CHURN2", "talk")
    assert "There is no channel #churn (models.churn*.channel of the policy)" in doctor().of("Slack channels", "wrong")


def test_an_id_without_a_channel_is_reported(doctor: RunDoctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text(POLICY.replace("#churn", "C0GONE"))
    assert "There is no channel C0GONE (models.churn*.channel of the policy)" in doctor().of("Slack channels", "wrong")


def test_in_a_workspace_with_very_many_channels_ids_can_be_checked(
    doctor: RunDoctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "registrar.yml").write_text(POLICY.replace("#churn", "C0CHURN").replace("#general", "#nowhere"))
    monkeypatch.setattr("handlers.doctor.slack.channels.MAX_PAGES", 0)
    said = doctor()
    assert "We are in #churn (C0CHURN)." in said.of("Slack channels", "ok")
    assert "Use the channel's id in the policy" in said.of("Slack channels", "skipped")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"deleted": True}, "is deactivated"),
        ({"is_bot": True}, "is a bot"),
        ({"is_restricted": True}, "is a guest"),
        ({"team_id": "T0OTHER"}, "belongs to another workspace"),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_somebody_who_cannot_decide_is_named_with_their_role(
    doctor: RunDoctor, slack: LocalSlack, change: dict[str, Any], told: str
) -> None:
    slack.change_person("bob", **change)
    said = doctor()
    assert (said.code, said.states("Slack people")) == (2, ["wrong"])
    assert f"U0BOB, Bob Tanaka (roles.lead) {told}" in said.of("Slack people", "wrong")


def test_somebody_whom_slack_does_not_know_is_named(doctor: RunDoctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text(POLICY.replace("U0DAVE", "U0NOBODY"))
    assert "nobody with the id U0NOBODY (roles.admin)" in doctor().of("Slack people", "wrong")


def test_a_name_from_outside_stays_in_its_line(doctor: RunDoctor, slack: LocalSlack) -> None:
    slack.add_person(PersonSeed(id="U0BOB", name="bob", real_name="Bob\n\x1b[31mroot", deleted=True))
    assert "Bob [31mroot" in doctor().of("Slack people", "wrong")


def test_an_empty_group_is_told(doctor: RunDoctor, slack: LocalSlack) -> None:
    slack.set_group("S0LEADS", "leads", [])
    assert "Nobody is in the user group S0LEADS (roles.others)" in doctor().of("Slack groups", "wrong")


def test_a_rule_that_the_members_of_its_group_cannot_meet_is_told(
    doctor: RunDoctor, slack: LocalSlack, tmp_path: Path
) -> None:
    slack.set_group("S0LEADS", "leads", ["bob", "carol"])
    slack.change_person("carol", is_restricted=True)
    rule = "{approvers: [S0LEADS], required: 2}"
    (tmp_path / "registrar.yml").write_text(f'models: {{"*": {{production: {rule}}}}}')
    assert "can't be met: models.*.production (needs 2 approvals, has 1)" in doctor().of("Slack groups", "mind")


@pytest.mark.parametrize("error", ["plan_upgrade_required", "paid_teams_only"])
def test_a_plan_without_groups_is_reported(doctor: RunDoctor, slack: LocalSlack, error: str) -> None:
    slack.fail("usergroups.list", error)
    assert "no user groups, so nobody is in S0LEADS" in doctor().of("Slack groups", "wrong")


def test_a_missing_group_is_reported(doctor: RunDoctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text('models: {"*": {production: {approvers: [S0GONE]}}}')
    assert "Slack knows no user group S0GONE" in doctor().of("Slack groups", "wrong")


def test_a_card_that_slack_does_not_take_is_told(doctor: RunDoctor, slack: LocalSlack) -> None:
    slack.fail("blocks.validate", "invalid_blocks")
    assert "invalid_blocks" in doctor().of("Slack cards", "wrong")


def test_being_asked_too_often_is_nobody_s_fault(doctor: RunDoctor, slack: LocalSlack) -> None:
    slack.rate_limit("users.info")
    said = doctor()
    assert said.code == 0
    assert "try again in a minute" in said.of("Slack people", "skipped")


def test_without_a_way_for_slack_to_reach_us_both_are_named(doctor: RunDoctor) -> None:
    said = doctor(SLACK_APP_TOKEN="")
    assert said.code == 2
    for part in ("SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET", "connections:write"):
        assert part in said.of("Slack connection", "wrong")


def test_a_bot_s_token_in_place_of_the_app_s_is_told(doctor: RunDoctor) -> None:
    assert "holds a bot token" in doctor(SLACK_APP_TOKEN="xoxb-1").of("Slack connection", "wrong")


def test_no_connection_is_opened_without_being_asked_to(doctor: RunDoctor, slack: LocalSlack) -> None:
    assert "--live" in doctor().of("Slack connection", "skipped")


def test_a_connection_is_opened_and_closed_again(doctor: RunDoctor, slack: LocalSlack) -> None:
    assert "No bot is connected" in doctor("--live").of("Slack connection", "ok")
    slack.wait_for(lambda: slack.status()["connections"] == 0)


def test_an_app_s_token_that_slack_does_not_take_is_told(doctor: RunDoctor) -> None:
    said = doctor("--live", SLACK_APP_TOKEN="xapp-made-up")
    assert "invalid_auth" in said.of("Slack connection", "wrong")
    assert "App-Level Tokens" in said.of("Slack connection", "wrong")


def test_a_bot_that_runs_is_seen(doctor: RunDoctor, slack: LocalSlack, tmp_path: Path) -> None:
    with running_app(slack, tmp_path / "bot", MemoryRegistry()) as app:
        said = doctor("--live", REGISTRAR_PORT=app.service.address.rpartition(":")[2])
    assert said.code == 0
    assert "1 other is connected" in said.of("Slack connection", "ok")
    assert "A bot is running" in said.of("HTTP", "ok")


# -- the port ----------------------------------------------------------------------------------------------------------


def test_someone_whose_home_is_another_workspace_of_the_grid_can_act(doctor: RunDoctor, slack: LocalSlack) -> None:
    slack.let_live_in("bob", "T0HOME", enterprise={"id": "E0ACME", "name": "Acme"})
    assert set(doctor().states("Slack people")) == {"ok"}
