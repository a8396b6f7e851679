"""The Slack checks of `registrar doctor`: tokens, scopes, channels, and people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bot.services.core.admins import OPTIONAL_SCOPES
from handlers.manifest import required_scopes
from localslack import LocalSlack
from localslack.seed import PersonSeed
from tests.support.app.app_fixture import running_app
from tests.support.app.workspaces import local_slack
from tests.support.network.http_receiver import PlannedReply, run_receiver
from tests.support.network.ports import free_port
from tests.support.registry.memory import MemoryRegistry
from tests.support.terminal.doctor import POLICY, RunDoctor

# -- Slack -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "told"),
    [("", "isn't set"), ("xapp-1-A", "an app-level token"), ("xoxp-1", "a user token")],
)
def test_a_wrong_kind_of_token_is_an_error_with_its_location(doctor: RunDoctor, held: str, told: str) -> None:
    said = doctor(SLACK_BOT_TOKEN=held)
    assert said.code == 2
    assert told in said.of("Slack token", "error")
    assert "OAuth & Permissions" in said.of("Slack token", "error")
    assert said.states("Slack scopes") == ["skipped"]


def test_a_rejected_token_is_an_error(doctor: RunDoctor) -> None:
    said = doctor(SLACK_BOT_TOKEN="xoxb-made-up")
    assert (said.code, said.states("Slack channels")) == (2, ["skipped"])
    assert "rejected the token (invalid_auth)" in said.of("Slack token", "error")


def test_an_unreachable_slack_is_no_reply(doctor: RunDoctor) -> None:
    said = doctor(SLACK_API_URL=f"http://127.0.0.1:{free_port()}/api/")
    assert (said.code, said.states("Slack token"), said.states("Slack people")) == (3, ["no reply"], ["skipped"])


@pytest.mark.parametrize("body", [b"<html>hello", b"null", b"[]", b'{"ok": true}', b'{"ok": false}', b""])
def test_an_unreadable_answer_is_not_slack(doctor: RunDoctor, body: bytes) -> None:
    with run_receiver() as server:
        server.replies = [PlannedReply(body=body)]
        said = doctor("--live", SLACK_API_URL=server.url)
    assert said.states("Slack token") in (["error"], ["no reply"])
    assert said.states("ledger") == ["ok"]


METHODS = {
    "conversations.list": "Slack channels",
    "users.info": "Slack people",
    "usergroups.list": "Slack groups",
    "blocks.validate": "Slack cards",
}


@pytest.mark.parametrize("method", METHODS)
def test_a_missing_method_is_skipped_and_everything_else_is_checked(
    doctor: RunDoctor, slack: LocalSlack, method: str
) -> None:
    slack.remove_method(method)
    said = doctor()
    assert said.code == 0
    assert "this server doesn't have that method" in said.of(METHODS[method], "skipped")
    others = [area for name, area in METHODS.items() if name != method]
    assert {state for area in others for state in said.states(area)} == {"ok"}


def test_missing_scopes_are_named(doctor: RunDoctor, tmp_path: Path) -> None:
    manifest = {"oauth_config": {"scopes": {"bot": ["chat:write", "commands", "channels:manage"]}}}
    with local_slack(manifest) as other:
        said = doctor(SLACK_API_URL=other.api_url, SLACK_BOT_TOKEN=other.bot_token)
    assert said.code == 2
    assert "is missing app_mentions:read, channels:history, channels:read" in said.of("Slack scopes", "error")
    assert "Reinstall" in said.of("Slack scopes", "error")
    assert "channels:manage" in said.of("Slack scopes", "warning")
    assert "lacks the scope" in said.of("Slack channels", "skipped")


def test_missing_scopes_of_optional_features_are_a_warning(doctor: RunDoctor) -> None:
    manifest = {"oauth_config": {"scopes": {"bot": sorted(required_scopes() - OPTIONAL_SCOPES.keys())}}}
    with local_slack(manifest) as other:
        said = doctor(SLACK_API_URL=other.api_url, SLACK_BOT_TOKEN=other.bot_token)
    assert "is missing app_mentions:read, links:read, links:write" in said.of("Slack scopes", "warning")


def test_a_server_that_does_not_report_scopes_is_skipped(doctor: RunDoctor) -> None:
    with run_receiver() as server:
        server.replies = [PlannedReply(body=b'{"ok": true, "team_id": "T1"}')]
        said = doctor(SLACK_API_URL=server.url)
    assert "doesn't report a token's scopes" in said.of("Slack scopes", "skipped")


def test_a_channel_without_the_bot_suggests_an_invite(doctor: RunDoctor, slack: LocalSlack) -> None:
    slack.set_members("#churn", ["alice"])
    assert "/invite @registrar" in doctor().of("Slack channels", "warning")


def test_a_private_channel_without_the_bot_is_an_error(doctor: RunDoctor, slack: LocalSlack, tmp_path: Path) -> None:
    slack.add_channel("C0SECRET", "secret", is_private=True, members=["alice"])
    (tmp_path / "registrar.yml").write_text(POLICY.replace("#churn", "#secret"))
    said = doctor()
    assert said.code == 2
    assert "Channel #secret (models.churn*.channel in the policy) doesn't exist" in said.of("Slack channels", "error")
    assert "/invite @registrar" in said.of("Slack channels", "error")


def test_the_anchor_s_channel_is_also_checked(doctor: RunDoctor, slack: LocalSlack) -> None:
    slack.archive("#general")
    assert "#general (anchor.channel in the policy) is archived" in doctor().of("Slack channels", "error")


def test_a_channel_given_by_its_id_is_shown_with_its_name(doctor: RunDoctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text(POLICY.replace("#churn", "C0CHURN"))
    said = doctor()
    assert "The bot is in #churn (C0CHURN)." in said.of("Slack channels", "ok")
    assert set(said.states("Slack channels")) == {"ok"}


def test_a_renamed_channel_is_reported(doctor: RunDoctor, slack: LocalSlack) -> None:
    slack.rename("#churn", "attrition")
    told = doctor().of("Slack channels", "warning")
    assert "#churn (models.churn*.channel in the policy) is now called #attrition." in told
    assert "C0CHURN" in told


def test_a_former_name_of_several_channels_matches_none(doctor: RunDoctor, slack: LocalSlack) -> None:
    slack.rename("#churn", "attrition")
    slack.add_channel("C0CHURN2", "churn", members=["bot"])
    slack.rename("C0CHURN2", "talk")
    assert "Channel #churn (models.churn*.channel in the policy) doesn't exist" in doctor().of(
        "Slack channels", "error"
    )


def test_an_id_without_a_channel_is_reported(doctor: RunDoctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text(POLICY.replace("#churn", "C0GONE"))
    assert "Channel C0GONE (models.churn*.channel in the policy) doesn't exist" in doctor().of(
        "Slack channels", "error"
    )


def test_in_a_workspace_with_very_many_channels_ids_can_be_checked(
    doctor: RunDoctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "registrar.yml").write_text(POLICY.replace("#churn", "C0CHURN").replace("#general", "#nowhere"))
    monkeypatch.setattr("handlers.doctor.slack.channels.MAX_PAGES", 0)
    said = doctor()
    assert "The bot is in #churn (C0CHURN)." in said.of("Slack channels", "ok")
    assert "Use the channel's ID in the policy" in said.of("Slack channels", "skipped")


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
def test_a_person_who_cannot_decide_is_named_with_their_role(
    doctor: RunDoctor, slack: LocalSlack, change: dict[str, Any], told: str
) -> None:
    slack.change_person("bob", **change)
    said = doctor()
    assert (said.code, said.states("Slack people")) == (2, ["error"])
    assert f"U0BOB, Bob Tanaka (roles.lead) {told}" in said.of("Slack people", "error")


def test_a_person_unknown_to_slack_is_named(doctor: RunDoctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text(POLICY.replace("U0DAVE", "U0NOBODY"))
    assert "no user U0NOBODY (roles.admin)" in doctor().of("Slack people", "error")


def test_a_name_from_slack_stays_on_its_line(doctor: RunDoctor, slack: LocalSlack) -> None:
    slack.add_person(PersonSeed(id="U0BOB", name="bob", real_name="Bob\n\x1b[31mroot", deleted=True))
    assert "Bob [31mroot" in doctor().of("Slack people", "error")


def test_an_empty_group_is_an_error(doctor: RunDoctor, slack: LocalSlack) -> None:
    slack.set_group("S0LEADS", "leads", [])
    assert "The user group S0LEADS (roles.others) is empty" in doctor().of("Slack groups", "error")


def test_a_rule_that_its_group_s_members_cannot_meet_is_a_warning(
    doctor: RunDoctor, slack: LocalSlack, tmp_path: Path
) -> None:
    slack.set_group("S0LEADS", "leads", ["bob", "carol"])
    slack.change_person("carol", is_restricted=True)
    rule = "{approvers: [S0LEADS], required: 2}"
    (tmp_path / "registrar.yml").write_text(f'models: {{"*": {{production: {rule}}}}}')
    assert "can't be met: models.*.production (needs 2 approvals, has 1)" in doctor().of("Slack groups", "warning")


@pytest.mark.parametrize("error", ["plan_upgrade_required", "paid_teams_only"])
def test_a_plan_without_groups_is_reported(doctor: RunDoctor, slack: LocalSlack, error: str) -> None:
    slack.fail("usergroups.list", error)
    assert "no user groups, so no one is in S0LEADS" in doctor().of("Slack groups", "error")


def test_a_missing_group_is_reported(doctor: RunDoctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text('models: {"*": {production: {approvers: [S0GONE]}}}')
    assert "Slack has no user group S0GONE" in doctor().of("Slack groups", "error")


def test_a_card_that_slack_rejects_is_an_error(doctor: RunDoctor, slack: LocalSlack) -> None:
    slack.fail("blocks.validate", "invalid_blocks")
    assert "invalid_blocks" in doctor().of("Slack cards", "error")


def test_a_rate_limit_skips_the_check(doctor: RunDoctor, slack: LocalSlack) -> None:
    slack.rate_limit("users.info")
    said = doctor()
    assert said.code == 0
    assert "Try again in a minute" in said.of("Slack people", "skipped")


def test_a_missing_connection_names_both_ways(doctor: RunDoctor) -> None:
    said = doctor(SLACK_APP_TOKEN="")
    assert said.code == 2
    for part in ("SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET", "connections:write"):
        assert part in said.of("Slack connection", "error")


def test_a_bot_token_in_place_of_the_app_token_is_an_error(doctor: RunDoctor) -> None:
    assert "is a bot token" in doctor(SLACK_APP_TOKEN="xoxb-1").of("Slack connection", "error")


def test_no_connection_is_opened_without_live(doctor: RunDoctor, slack: LocalSlack) -> None:
    assert "--live" in doctor().of("Slack connection", "skipped")


def test_live_opens_and_closes_a_connection(doctor: RunDoctor, slack: LocalSlack) -> None:
    assert "No bot is connected" in doctor("--live").of("Slack connection", "ok")
    slack.wait_for(lambda: slack.status()["connections"] == 0)


def test_a_rejected_app_token_is_an_error(doctor: RunDoctor) -> None:
    said = doctor("--live", SLACK_APP_TOKEN="xapp-made-up")
    assert "invalid_auth" in said.of("Slack connection", "error")
    assert "App-Level Tokens" in said.of("Slack connection", "error")


def test_a_running_bot_is_reported(doctor: RunDoctor, slack: LocalSlack, tmp_path: Path) -> None:
    with running_app(slack, tmp_path / "bot", MemoryRegistry()) as app:
        said = doctor("--live", REGISTRAR_PORT=app.service.address.rpartition(":")[2])
    assert said.code == 0
    assert "1 other is connected" in said.of("Slack connection", "ok")
    assert "A bot is already running" in said.of("HTTP", "ok")


# -- the port ----------------------------------------------------------------------------------------------------------


def test_a_member_of_another_workspace_in_the_grid_can_act(doctor: RunDoctor, slack: LocalSlack) -> None:
    slack.let_live_in("bob", "T0HOME", enterprise={"id": "E0ACME", "name": "Acme"})
    assert set(doctor().states("Slack people")) == {"ok"}
