"""`registrar doctor`: what it says of each part that is missing or wrong, and that it changes and betrays nothing."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch
from wsgiref.types import StartResponse, WSGIEnvironment

import psycopg
import pytest
from sqlalchemy import create_engine, text
from werkzeug.wrappers import Response

from bot.domain.errors import LedgerUnavailable, Misconfigured
from bot.domain.events import Event, Tag
from bot.domain.health import Finding, State, exit_code, is_healthy, mind, ok, summary, wrong
from bot.domain.people import Automation
from bot.domain.policy_changes import EditState, FileEdit
from bot.domain.registry import Stage
from bot.ledger import SqlLedger
from bot.registry.memory import MemoryRegistry
from bot.registry.mlflow_access import Account, Grant
from bot.registry.mlflow_probe import MlflowProbe
from handlers.cli import main
from handlers.doctor import here, registry
from handlers.doctor.access import able
from handlers.doctor.check import Check, NotLookedAtError, look_at, shown
from handlers.doctor.clocks import clock
from handlers.doctor.registry import Speeds, judged
from handlers.terminal.doctor import drawn, line
from localslack import LocalSlack
from localslack.seed import PersonSeed
from tests.support.app.app_fixture import running
from tests.support.app.cli_runner import Said
from tests.support.app.workspaces import local_slack
from tests.support.network.http_receiver import Reply, receiving
from tests.support.registry.registries import MlflowServer, MlflowShelf, free_port

POLICY = """
channel: "#ml-models"
roles: {lead: [U0BOB], others: [S0LEADS], admin: [U0DAVE]}
models:
  "*": {production: {approvers: [lead, others]}}
  "churn*": {channel: "#churn", production: {approvers: [lead, others]}}
anchor: {channel: "#general"}
"""


class Findings(Said):
    """How it ended, and what it found."""

    def states(self, area: str) -> list[str]:
        """Return how this part is, by each of its findings."""
        return [one["state"] for one in self.document["findings"] if one["area"] == area]

    def of(self, area: str, state: str) -> str:
        """Return what is said of this part in this state, and what to do about it."""
        found = [one for one in self.document["findings"] if (one["area"], one["state"]) == (area, state)]
        return "\n".join(f"{one['sentence']} → {one['advice']}" for one in found)


Doctor = Callable[..., Findings]


@pytest.fixture
def doctor(
    slack: LocalSlack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mlflow_patience: None,
) -> Doctor:
    """Return the command with `--json` in a folder with a policy, beside a Slack; settings are given by their names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "registrar.yml").write_text(POLICY)
    usual = {
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_APP_TOKEN": slack.app_token,
        "SLACK_API_URL": slack.api_url,
        "REGISTRAR_PORT": str(free_port()),
    }

    def run(*words: str, as_json: bool = True, **settings: str) -> Findings:
        for name, value in (usual | settings).items():
            monkeypatch.setenv(name, value)
        code = main(["doctor", *words, *(["--json"] if as_json else [])])
        printed = capsys.readouterr()
        return Findings(code, printed.out, printed.err)

    return run


# -- all together ------------------------------------------------------------------------------------------------------


def test_where_all_is_well_nothing_is_wrong(
    doctor: Doctor, mlflow_server: MlflowServer, mlflow_shelf: MlflowShelf, sqlite_url: str
) -> None:
    mlflow_shelf.add("churn", versions=1)
    said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_server.uri, REGISTRAR_DATABASE_URL=sqlite_url)
    assert (said.code, said.err, said.document["healthy"]) == (0, "", True)
    assert [one["area"] for one in said.document["findings"] if one["state"] != "ok"] == ["MLflow access"]


def test_the_document_holds_what_is_promised_and_nothing_else(doctor: Doctor) -> None:
    document = doctor().document
    assert list(document) == ["healthy", "findings"]
    assert {tuple(one) for one in document["findings"]} == {("area", "state", "sentence", "advice")}


def test_without_being_asked_to_it_changes_nothing(doctor: Doctor, slack: LocalSlack, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    doctor()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert {call["method"] for call in slack.calls()} == {
        "auth.test",
        "conversations.list",
        "users.info",
        "usergroups.list",
        "blocks.validate",
    }


def test_mlflow_is_only_read_without_being_asked_to_write(doctor: Doctor, mlflow_server: MlflowServer) -> None:
    doctor(MLFLOW_TRACKING_URI=mlflow_server.uri)
    assert {request.split()[0] for request in mlflow_server.requests} == {"GET"}


def test_even_live_it_posts_nothing(doctor: Doctor, slack: LocalSlack) -> None:
    doctor("--live")
    assert [call for call in slack.calls() if call["method"].startswith(("chat.", "files.", "views."))] == []


def test_a_pipe_gets_a_line_for_each_part(doctor: Doctor) -> None:
    lines = doctor(as_json=False).out.splitlines()
    assert "ok       Slack channels: We are in #churn." in lines
    assert not any("\x1b" in one for one in lines)


def test_help_says_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["doctor", "--help"])
    printed = capsys.readouterr().out
    assert [
        word for word in ("--live", "--json", "  2  something", "  3  the configuration") if word not in printed
    ] == []


def test_a_setting_that_is_wrong_hides_nothing_else(doctor: Doctor) -> None:
    said = doctor(REGISTRAR_POLL="soon", REGISTRAR_THREADS="1")
    assert said.states("settings") == ["wrong", "wrong"]
    assert said.states("Slack token") == ["ok"]


def test_no_secret_is_printed_whatever_is_wrong(doctor: Doctor, tmp_path: Path) -> None:
    hidden = {
        "SLACK_BOT_TOKEN": "xoxb-hush-1",
        "SLACK_APP_TOKEN": "xapp-hush-2",
        "SLACK_SIGNING_SECRET": "hush-3",
        "MLFLOW_TRACKING_URI": "http://ann:hush-4@127.0.0.1:9/?token=hush-5",
        "REGISTRAR_DATABASE_URL": "postgresql://ann:hush-6@127.0.0.1:9/registrar?password=hush-7",
        "SLACK_API_URL": "http://ann:hush-8@127.0.0.1:9/api/",
    }
    said = [doctor("--live", **hidden), doctor("--live", as_json=False, **hidden)]
    assert [one for one in said if "hush" in one.out + one.err] == []


# -- one never hides the others ----------------------------------------------------------------------------------------


@pytest.fixture
def hanging() -> Iterator[Check]:
    """Give a check that finds one thing and then never ends."""
    end = threading.Event()

    def look() -> Iterator[Finding]:
        yield ok("first", "This was found before.")
        end.wait(20)

    yield Check("hangs", look, "Look there.", seconds=0.05)
    end.set()


def test_what_hangs_hides_neither_the_others_nor_what_it_found_before(hanging: Check) -> None:
    found = look_at([hanging, Check("other", lambda: [ok("other", "Fine.")])])
    assert [(one.area, one.state) for one in found] == [
        ("first", State.OK),
        ("hangs", State.SILENT),
        ("other", State.OK),
    ]
    assert found[1].advice == "Look there."


def failing(error: Exception) -> Check:
    """Return a check that raises."""

    def look() -> list[Finding]:
        raise error

    return Check("fails", look, "Mend it.")


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Misconfigured("Wrong."), State.WRONG),
        (LedgerUnavailable("Away."), State.SILENT),
        (NotLookedAtError("No."), State.SKIPPED),
        (KeyError("secret"), State.SILENT),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_fails_is_a_finding_like_any_other(error: Exception, state: State) -> None:
    [one, other] = look_at([failing(error), Check("other", lambda: [ok("other", "Fine.")])])
    assert (one.state, other.state) == (state, State.OK)
    assert "secret" not in one.sentence


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ((), 0),
        ((State.OK, State.MIND, State.SKIPPED), 0),
        ((State.OK, State.SILENT), 3),
        ((State.SILENT, State.WRONG), 2),
    ],
)
def test_what_is_wrong_decides_before_what_does_not_answer(states: tuple[State, ...], code: int) -> None:
    found = [Finding("part", state, "") for state in states]
    assert (exit_code(found), is_healthy(found)) == (code, code == 0)


def test_the_last_line_counts() -> None:
    assert summary([ok("a", "")]) == "Nothing is wrong."
    assert summary([mind("a", "", "")]) == "Nothing is wrong: 1 thing to mind."
    bad = [wrong("a", "", ""), wrong("b", "", ""), Finding("c", State.SILENT, ""), Finding("d", State.SKIPPED, "")]
    assert summary(bad) == "2 things are wrong, 1 does not answer and 1 was not looked at."


def test_each_state_is_understood_without_its_colour() -> None:
    lines = [line(Finding("part", state, "So it is.", "Do that.")) for state in State]
    assert len({text.split()[0] for text in lines}) == len(State)
    assert all(text.endswith("So it is. → Do that.") for text in lines)
    assert len(drawn([], is_screen=True)) == 3


# -- Slack -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "told"),
    [("", "is not set"), ("xapp-1-A", "an app-level token"), ("xoxp-1", "a user's token")],
)
def test_a_token_that_is_none_of_a_bot_is_told_with_where_to_get_one(doctor: Doctor, held: str, told: str) -> None:
    said = doctor(SLACK_BOT_TOKEN=held)
    assert said.code == 2
    assert told in said.of("Slack token", "wrong")
    assert "OAuth & Permissions" in said.of("Slack token", "wrong")
    assert said.states("Slack scopes") == ["skipped"]


def test_a_token_that_slack_does_not_take_is_told(doctor: Doctor) -> None:
    said = doctor(SLACK_BOT_TOKEN="xoxb-made-up")
    assert (said.code, said.states("Slack channels")) == (2, ["skipped"])
    assert "does not take the token (invalid_auth)" in said.of("Slack token", "wrong")


def test_a_slack_that_does_not_answer_is_no_fault_of_the_settings(doctor: Doctor) -> None:
    said = doctor(SLACK_API_URL=f"http://127.0.0.1:{free_port()}/api/")
    assert (said.code, said.states("Slack token"), said.states("Slack people")) == (3, ["silent"], ["skipped"])


@pytest.mark.parametrize("body", [b"<html>hello", b"null", b"[]", b'{"ok": true}', b'{"ok": false}', b""])
def test_what_answers_nonsense_is_no_slack(doctor: Doctor, body: bytes) -> None:
    with receiving() as server:
        server.replies = [Reply(body=body)]
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
    doctor: Doctor, slack: LocalSlack, method: str
) -> None:
    slack.remove_method(method)
    said = doctor()
    assert said.code == 0
    assert "this server does not have that method" in said.of(METHODS[method], "skipped")
    others = [area for name, area in METHODS.items() if name != method]
    assert {state for area in others for state in said.states(area)} == {"ok"}


def test_scopes_that_manifest_yml_has_and_the_token_lacks_are_named(doctor: Doctor, tmp_path: Path) -> None:
    manifest = {"oauth_config": {"scopes": {"bot": ["chat:write", "commands", "channels:manage"]}}}
    with local_slack(manifest) as other:
        said = doctor(SLACK_API_URL=other.api_url, SLACK_BOT_TOKEN=other.bot_token)
    assert said.code == 2
    assert "is missing channels:history, channels:read" in said.of("Slack scopes", "wrong")
    assert "Reinstall" in said.of("Slack scopes", "wrong")
    assert "channels:manage" in said.of("Slack scopes", "mind")
    assert "lacks the scope" in said.of("Slack channels", "skipped")


def test_a_server_that_tells_no_scopes_is_lived_with(doctor: Doctor) -> None:
    with receiving() as server:
        server.replies = [Reply(body=b'{"ok": true, "team_id": "T1"}')]
        said = doctor(SLACK_API_URL=server.url)
    assert "does not tell which scopes" in said.of("Slack scopes", "skipped")


def test_a_channel_that_we_are_not_in_is_told_with_how_to_get_in(doctor: Doctor, slack: LocalSlack) -> None:
    slack.set_members("#churn", ["alice"])
    assert "/invite @registrar" in doctor().of("Slack channels", "mind")


def test_a_private_channel_that_we_are_not_in_is_wrong(doctor: Doctor, slack: LocalSlack, tmp_path: Path) -> None:
    slack.add_channel("C0SECRET", "secret", is_private=True, members=["alice"])
    (tmp_path / "registrar.yml").write_text(POLICY.replace("#churn", "#secret"))
    said = doctor()
    assert said.code == 2
    assert "no channel #secret (models.churn*.channel of the policy)" in said.of("Slack channels", "wrong")
    assert "/invite @registrar" in said.of("Slack channels", "wrong")


def test_a_channel_of_the_anchor_is_looked_at_too(doctor: Doctor, slack: LocalSlack) -> None:
    slack.archive("#general")
    assert "#general (anchor.channel of the policy) is archived" in doctor().of("Slack channels", "wrong")


def test_a_channel_that_is_given_by_its_id_is_shown_by_its_name(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text(POLICY.replace("#churn", "C0CHURN"))
    said = doctor()
    assert "We are in #churn (C0CHURN)." in said.of("Slack channels", "ok")
    assert set(said.states("Slack channels")) == {"ok"}


def test_a_renamed_channel_is_reported(doctor: Doctor, slack: LocalSlack) -> None:
    slack.rename("#churn", "attrition")
    told = doctor().of("Slack channels", "mind")
    assert "#churn (models.churn*.channel of the policy) is now called #attrition." in told
    assert "C0CHURN" in told


def test_a_name_that_several_channels_had_is_told_of_none(doctor: Doctor, slack: LocalSlack) -> None:
    slack.rename("#churn", "attrition")
    slack.add_channel("C0CHURN2", "churn", members=["bot"])
    slack.rename("C0CHURN2", "talk")
    assert "There is no channel #churn (models.churn*.channel of the policy)" in doctor().of("Slack channels", "wrong")


def test_an_id_without_a_channel_is_reported(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text(POLICY.replace("#churn", "C0GONE"))
    assert "There is no channel C0GONE (models.churn*.channel of the policy)" in doctor().of("Slack channels", "wrong")


def test_in_a_workspace_with_very_many_channels_ids_can_be_checked(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "registrar.yml").write_text(POLICY.replace("#churn", "C0CHURN").replace("#general", "#nowhere"))
    monkeypatch.setattr("handlers.doctor.slack.PAGES_MOST", 0)
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
    doctor: Doctor, slack: LocalSlack, change: dict[str, Any], told: str
) -> None:
    slack.change_person("bob", **change)
    said = doctor()
    assert (said.code, said.states("Slack people")) == (2, ["wrong"])
    assert f"U0BOB, Bob Tanaka (roles.lead) {told}" in said.of("Slack people", "wrong")


def test_somebody_whom_slack_does_not_know_is_named(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text(POLICY.replace("U0DAVE", "U0NOBODY"))
    assert "nobody with the id U0NOBODY (roles.admin)" in doctor().of("Slack people", "wrong")


def test_a_name_from_outside_stays_in_its_line(doctor: Doctor, slack: LocalSlack) -> None:
    slack.add_person(PersonSeed(id="U0BOB", name="bob", real_name="Bob\n\x1b[31mroot", deleted=True))
    assert "Bob [31mroot" in doctor().of("Slack people", "wrong")


def test_an_empty_group_is_told(doctor: Doctor, slack: LocalSlack) -> None:
    slack.set_group("S0LEADS", "leads", [])
    assert "Nobody is in the user group S0LEADS (roles.others)" in doctor().of("Slack groups", "wrong")


def test_a_rule_that_the_members_of_its_group_cannot_meet_is_told(
    doctor: Doctor, slack: LocalSlack, tmp_path: Path
) -> None:
    slack.set_group("S0LEADS", "leads", ["bob", "carol"])
    slack.change_person("carol", is_restricted=True)
    rule = "{approvers: [S0LEADS], required: 2}"
    (tmp_path / "registrar.yml").write_text(f'models: {{"*": {{production: {rule}}}}}')
    assert "can't be met: models.*.production (needs 2 approvals, has 1)" in doctor().of("Slack groups", "mind")


@pytest.mark.parametrize("error", ["plan_upgrade_required", "paid_teams_only"])
def test_a_plan_without_groups_is_reported(doctor: Doctor, slack: LocalSlack, error: str) -> None:
    slack.fail("usergroups.list", error)
    assert "no user groups, so nobody is in S0LEADS" in doctor().of("Slack groups", "wrong")


def test_a_missing_group_is_reported(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text('models: {"*": {production: {approvers: [S0GONE]}}}')
    assert "Slack knows no user group S0GONE" in doctor().of("Slack groups", "wrong")


def test_a_card_that_slack_does_not_take_is_told(doctor: Doctor, slack: LocalSlack) -> None:
    slack.fail("blocks.validate", "invalid_blocks")
    assert "invalid_blocks" in doctor().of("Slack cards", "wrong")


def test_being_asked_too_often_is_nobody_s_fault(doctor: Doctor, slack: LocalSlack) -> None:
    slack.rate_limit("users.info")
    said = doctor()
    assert said.code == 0
    assert "try again in a minute" in said.of("Slack people", "skipped")


def test_without_a_way_for_slack_to_reach_us_both_are_named(doctor: Doctor) -> None:
    said = doctor(SLACK_APP_TOKEN="")
    assert said.code == 2
    for part in ("SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET", "connections:write"):
        assert part in said.of("Slack connection", "wrong")


def test_a_bot_s_token_in_place_of_the_app_s_is_told(doctor: Doctor) -> None:
    assert "holds a bot token" in doctor(SLACK_APP_TOKEN="xoxb-1").of("Slack connection", "wrong")


def test_no_connection_is_opened_without_being_asked_to(doctor: Doctor, slack: LocalSlack) -> None:
    assert "--live" in doctor().of("Slack connection", "skipped")


def test_a_connection_is_opened_and_closed_again(doctor: Doctor, slack: LocalSlack) -> None:
    assert "No bot is connected" in doctor("--live").of("Slack connection", "ok")
    slack.wait_for(lambda: slack.status()["connections"] == 0)


def test_an_app_s_token_that_slack_does_not_take_is_told(doctor: Doctor) -> None:
    said = doctor("--live", SLACK_APP_TOKEN="xapp-made-up")
    assert "invalid_auth" in said.of("Slack connection", "wrong")
    assert "App-Level Tokens" in said.of("Slack connection", "wrong")


def test_a_bot_that_runs_is_seen(doctor: Doctor, slack: LocalSlack, tmp_path: Path) -> None:
    with running(slack, tmp_path / "bot", MemoryRegistry()) as world:
        said = doctor("--live", REGISTRAR_PORT=world.service.address.rpartition(":")[2])
    assert said.code == 0
    assert "1 other is connected" in said.of("Slack connection", "ok")
    assert "A bot is running" in said.of("HTTP", "ok")


# -- the clock ---------------------------------------------------------------------------------------------------------

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("apart", "told"), [(timedelta(seconds=130), "2m 10s ahead of"), (timedelta(hours=-1), "1h behind")]
)
def test_a_clock_that_is_wrong_is_told(apart: timedelta, told: str) -> None:
    found = clock("Slack", format_datetime(NOON, usegmt=True), NOON + apart)
    assert found.state is State.WRONG
    assert told in found.sentence


def test_a_clock_may_be_a_minute_apart() -> None:
    assert clock("Slack", format_datetime(NOON, usegmt=True), NOON + timedelta(seconds=60)).state is State.OK


def test_who_does_not_say_the_time_is_not_compared_with() -> None:
    with pytest.raises(NotLookedAtError):
        clock("Slack", "", NOON)


# -- MLflow ------------------------------------------------------------------------------------------------------------


def test_a_registry_that_is_not_there_yet_is_not_made(doctor: Doctor, tmp_path: Path) -> None:
    said = doctor("--live")
    file = tmp_path / ".registrar" / "mlflow.db"
    assert said.of("MLflow", "mind") == (
        f"MLFLOW_TRACKING_URI isn't set, so Registrar creates a registry in {file}. → "
        f"Set it to your MLflow server's address, or to sqlite:///{file} to keep this file."
    )
    assert said.states("MLflow") == ["mind"]
    assert not file.parent.exists()


def test_a_registry_of_ours_that_is_there_is_read_and_warned_of(
    doctor: Doctor, tmp_path: Path, mlflow_sqlite: str, mlflow_shelf: MlflowShelf
) -> None:
    mlflow_shelf.add("churn")
    (tmp_path / ".registrar").mkdir()
    shutil.copy(mlflow_sqlite.removeprefix("sqlite:///"), tmp_path / ".registrar" / "mlflow.db")
    said = doctor()
    assert "isn't set, so Registrar uses a registry in" in said.of("MLflow", "mind")
    assert "1 model" in said.of("MLflow", "ok")


def test_a_registry_in_a_database_is_read(doctor: Doctor, mlflow_sqlite: str, mlflow_shelf: MlflowShelf) -> None:
    mlflow_shelf.add("churn")
    said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_sqlite)
    assert "1 model" in said.of("MLflow", "ok")
    assert (said.states("MLflow speed"), said.states("MLflow rights")) == (["skipped"], ["ok"])


def test_an_mlflow_that_does_not_answer_is_told_once(doctor: Doctor) -> None:
    said = doctor("--live", MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}")
    assert (said.code, said.states("MLflow")) == (3, ["silent"])
    assert said.states("MLflow speed") == said.states("MLflow rights") == ["skipped"]


@pytest.mark.parametrize(
    ("reply", "state", "told"),
    [
        (Reply(401), "wrong", "MLFLOW_TRACKING_USERNAME"),
        (Reply(403), "wrong", "--allowed-hosts 127.0.0.1"),
        (Reply(404), "wrong", "not an MLflow server"),
        (Reply(200, b"<html>Welcome to nginx"), "wrong", "not an MLflow server"),
        (Reply(503), "silent", "cannot answer now"),
        (Reply(200, b"4.0.1"), "mind", "made for MLflow 3"),
    ],
    ids=lambda one: str(one.status) if isinstance(one, Reply) else "",
)
def test_what_an_mlflow_answers_is_told_with_what_to_do(doctor: Doctor, reply: Reply, state: str, told: str) -> None:
    with receiving() as server:
        server.replies = [reply]
        assert told in doctor(MLFLOW_TRACKING_URI=server.url).of("MLflow", state)


def test_an_mlflow_that_never_ends_its_answer_hides_nothing(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with receiving() as server:
        server.replies = [Reply(hold=threading.Event())]
        said = doctor(MLFLOW_TRACKING_URI=server.url)
    assert (said.code, said.states("MLflow"), said.states("Slack token")) == (3, ["silent"], ["ok"])


def test_a_registry_without_stages_is_told(doctor: Doctor, mlflow_sqlite: str) -> None:
    said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_sqlite, REGISTRAR_STAGES="tags")
    assert "their stage is a tag, as REGISTRAR_STAGES says" in said.of("MLflow", "ok")
    assert said.states("MLflow rights") == ["ok"]


def test_what_was_made_to_try_the_rights_is_gone(doctor: Doctor, mlflow_server: MlflowServer) -> None:
    doctor("--live", MLFLOW_TRACKING_URI=mlflow_server.uri)
    writes = [request for request in mlflow_server.requests if not request.startswith("GET")]
    asked = [request.rpartition("/")[2] for request in writes]
    assert [one for one in asked if one != "alias"] == ["create", "create", "transition-stage", "delete"]
    assert asked.count("alias") == 3  # for the model that was made, and twice without a login for one that isn't there


def test_a_server_that_asks_for_no_login_is_open_to_anyone_and_nothing_is_changed(
    doctor: Doctor, mlflow_server: MlflowServer, mlflow_shelf: MlflowShelf
) -> None:
    mlflow_shelf.add("churn", versions=1)
    said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_server.uri)
    assert "can set `@champion` and move versions without a login" in said.of("MLflow access", "mind")
    assert "--app-name basic-auth" in said.of("MLflow access", "mind")
    [churn] = mlflow_shelf._client.search_registered_models()
    assert (churn.name, churn.aliases) == ("churn", {})


@pytest.mark.parametrize(
    ("status", "state", "told"),
    [
        (401, "ok", "refuses changes without a login"),
        (403, "ok", "refuses changes without a login"),
        (302, "ok", "refuses changes without a login"),
        (500, "skipped", "Can't tell whether MLflow asks for a login"),
    ],
)
def test_what_a_login_that_is_not_mlflow_s_answers_is_understood(
    doctor: Doctor, mlflow_server: MlflowServer, status: int, state: str, told: str
) -> None:
    with bent(mlflow_server, "registered-models/alias", status, {"error": "by a proxy"}):
        said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_server.uri)
    assert told in said.of("MLflow access", state)
    assert "isn't basic auth" in said.of("MLflow access", "skipped")


def test_a_token_that_is_let_through_can_move_every_model_and_is_not_printed(
    doctor: Doctor, mlflow_server: MlflowServer
) -> None:
    ask = mlflow_server._ask_mlflow

    def only_with_a_token(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        knocks = environ["PATH_INFO"].endswith("/alias") and b"registrar-doctor-" in environ["wsgi.input"].peek()
        if knocks and not environ.get("HTTP_AUTHORIZATION"):
            return Response("", 401)(environ, start_response)
        return ask(environ, start_response)

    with patch.object(mlflow_server, "_ask_mlflow", only_with_a_token):
        said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_server.uri, REGISTRAR_PROBE_TOKEN="of-a-pipeline")
    assert "refuses changes without a login" in said.of("MLflow access", "ok")
    assert "The user in REGISTRAR_PROBE_* can move every model without Registrar" in said.of("MLflow access", "mind")
    assert "of-a-pipeline" not in said.out


def test_a_page_without_a_login_at_one_of_two_addresses_is_enough_to_be_open(
    doctor: Doctor, mlflow_server: MlflowServer
) -> None:
    with bent(mlflow_server, "/api/2.0/mlflow/registered-models/alias", 401, {}):
        said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_server.uri)
    assert "without a login" in said.of("MLflow access", "mind")


@pytest.mark.parametrize(
    ("grants", "told"),
    [
        ([], ""),
        ([Grant("registered_model", "churn", "READ")], ""),
        ([Grant("registered_model", "other", "MANAGE")], ""),
        ([Grant("experiment", "churn", "MANAGE")], ""),
        ([Grant("registered_model", "churn", "EDIT")], "ann (churn)"),
        ([Grant("registered_model", "churn", "EDIT"), Grant("registered_model", "churn", "DENY")], ""),
        ([Grant("registered_model", "*", "USE"), Grant("registered_model", "churn", "MANAGE")], "ann (churn)"),
        ([Grant("registered_model", "*", "EDIT")], "ann (every model)"),
        ([Grant("registered_model_version", "*", "EDIT")], "ann (every model)"),
        ([Grant("workspace", "*", "MANAGE"), Grant("registered_model", "*", "DENY")], "ann (every model)"),
        ([Grant("workspace", "*", "USE")], ""),
        ([Grant("registered_model", "*", "A LATER ONE")], ""),
    ],
)
def test_who_can_move_a_model_follows_from_what_mlflow_grants(grants: list[Grant], told: str) -> None:
    ann, root = Account("ann", grants=tuple(grants)), Account("root", is_admin=True)
    found = list(able("registrar", [ann, root], ["churn", "fraud"], "READ"))
    if told:
        assert [one.state for one in found] == [State.MIND, State.OK]
        assert f"1 user can move models without Registrar: {told}." in found[0].sentence
        assert found[1].sentence == "MLflow's admins can, too: root."
    else:
        only = "Only registrar and MLflow's admins (root) can move the models that the policy covers."
        assert [(one.state, one.sentence) for one in found] == [(State.OK, only)]


def test_of_many_who_can_move_a_model_the_first_are_named() -> None:
    many = [Account(f"user{number}", grants=(Grant("registered_model", "*", "EDIT"),)) for number in range(1000)]
    [found] = able("registrar", many, ["churn"], "READ")
    assert "1,000 users can" in found.sentence
    assert "user5 (every model) and 994 more." in found.sentence


def test_a_server_that_cannot_archive_is_told_of_its_driver(doctor: Doctor, mlflow_server: MlflowServer) -> None:
    with bent(mlflow_server, "transition-stage", 400, _PSYCOPG_3):
        said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_server.uri)
    assert said.code == 0
    assert "postgresql+psycopg2://" in said.of("MLflow rights", "mind")


_PSYCOPG_3 = {"error_code": "BAD_REQUEST", "message": "operator does not exist: integer = character varying"}
_FORBIDDEN = {"error_code": "PERMISSION_DENIED", "message": "Permission denied"}


@contextmanager
def bent(server: MlflowServer, path: str, status: int, body: dict[str, str], only: str = "") -> Iterator[None]:
    """Answer the calls to such a path so, and all others as MLflow does."""
    ask = server._ask_mlflow

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        if not environ["PATH_INFO"].endswith(path) or method == "GET" or only not in {"", method}:
            return ask(environ, start_response)
        return Response(json.dumps(body), status, content_type="application/json")(environ, start_response)

    with patch.object(server, "_ask_mlflow", answer):
        yield


@pytest.mark.parametrize("path", ["registered-models/create", "model-versions/create", "transition-stage"])
def test_rights_that_are_missing_are_told_and_nothing_is_left(
    doctor: Doctor, mlflow_server: MlflowServer, mlflow_shelf: MlflowShelf, path: str
) -> None:
    with bent(mlflow_server, path, 403, _FORBIDDEN):
        said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_server.uri)
    assert (said.code, said.states("MLflow rights")) == (2, ["wrong"])
    assert [one.name for one in mlflow_shelf._client.search_registered_models()] == []


def test_a_model_that_cannot_be_deleted_again_is_named(doctor: Doctor, mlflow_server: MlflowServer) -> None:
    with bent(mlflow_server, "registered-models/delete", 403, _FORBIDDEN):
        said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_server.uri)
    assert "registrar-doctor-" in said.of("MLflow rights", "wrong")


def test_a_model_that_we_cannot_manage_is_named(
    doctor: Doctor, mlflow_server: MlflowServer, mlflow_shelf: MlflowShelf
) -> None:
    mlflow_shelf.add("churn", versions=[Stage.PRODUCTION])
    with bent(mlflow_server, "registered-models/alias", 403, _FORBIDDEN, "DELETE"):
        said = doctor("--live", MLFLOW_TRACKING_URI=mlflow_server.uri)
    assert said.code == 2
    assert "We can't manage churn" in said.of("MLflow rights", "wrong")


@pytest.mark.parametrize(
    ("speeds", "can_prompt", "state", "told"),
    [
        (Speeds(0.0002, 0.004, 0.005), True, State.OK, "5 ms"),
        (Speeds(0.0002, 0.044, 0.006), True, State.MIND, "other clients wait 44 ms, we 6 ms"),
        (Speeds(0.0002, 0.044, 0.045), False, State.MIND, "--workers 1"),
        (Speeds(0.0002, 0.004, 0.240), True, State.MIND, "auth_cache_ttl_seconds"),
        (Speeds(0.030, 0.035, 0.036), True, State.OK, "the way there is 30 ms"),
        (Speeds(0.090, 0.190, 0.190), True, State.MIND, "nearer"),
    ],
)
def test_a_server_that_takes_long_is_told_its_cure(speeds: Speeds, can_prompt: bool, state: State, told: str) -> None:
    found = judged(speeds, can_prompt=can_prompt)
    assert found.state is state
    assert told in f"{found.sentence} {found.advice}"


@pytest.fixture
def pausing() -> Iterator[str]:
    """Give the address of a server that sends head and body apart, as uvicorn's workers do."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=[listener], daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def _accept(listener: socket.socket) -> None:
    with suppress(OSError):
        while True:
            threading.Thread(target=_answer, args=[listener.accept()[0]], daemon=True).start()


def _answer(connection: socket.socket) -> None:
    with suppress(OSError), connection:
        while connection.recv(65536):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
            connection.send(b"3.17.2")


@pytest.mark.skipif(sys.platform != "linux", reason="it measures what Linux does")
def test_the_pause_of_a_server_is_measured_beside_our_own_speed(pausing: str, mlflow_patience: None) -> None:
    with closing(MlflowProbe(pausing)) as probe:
        found = judged(registry.measured(probe), can_prompt=True)
    assert found.state is State.MIND
    assert "--workers 1" in found.advice


# -- the ledger --------------------------------------------------------------------------------------------------------


def test_a_ledger_that_is_not_there_yet_is_no_fault(doctor: Doctor) -> None:
    assert "`registrar run` makes it" in doctor().of("ledger", "ok")


def test_a_folder_that_we_may_not_write_to_is_told(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # the tests may run as root, who may write everywhere
    assert "may not write" in doctor().of("ledger", "wrong")


def test_a_file_that_is_no_ledger_is_told(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "other.db").write_text("hello, this is text" * 100)
    assert "no ledger" in doctor(REGISTRAR_DATABASE_URL=f"sqlite:///{tmp_path}/other.db").of("ledger", "wrong")


def edited(url: str, statement: str) -> str:
    """Return the ledger's address after somebody has edited it."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()
    return url


def test_a_ledger_of_a_newer_registrar_is_wrong(doctor: Doctor, sqlite_url: str) -> None:
    url = edited(sqlite_url, "UPDATE alembic_version SET version_num = '9999'")
    assert "newer Registrar" in doctor(REGISTRAR_DATABASE_URL=url).of("ledger", "wrong")


def test_a_ledger_of_an_older_registrar_is_brought_up_to_date_by_the_next_run(doctor: Doctor, sqlite_url: str) -> None:
    url = edited(sqlite_url, "UPDATE alembic_version SET version_num = '0001'")
    assert "`registrar run` brings them up to date" in doctor(REGISTRAR_DATABASE_URL=url).of("ledger", "mind")


def test_a_head_that_is_gone_is_told(doctor: Doctor, sqlite_url: str) -> None:
    url = edited(sqlite_url, "DELETE FROM audit_head")
    assert "head is gone" in doctor(REGISTRAR_DATABASE_URL=url).of("audit", "wrong")


def test_a_database_that_is_away_is_told_without_its_password(doctor: Doctor) -> None:
    said = doctor(REGISTRAR_DATABASE_URL=f"postgresql://ann:hush@127.0.0.1:{free_port()}/registrar")
    assert (said.code, said.states("ledger")) == (3, ["silent"])


@pytest.mark.postgres
def test_a_postgresql_with_and_without_a_ledger_is_read(
    doctor: Doctor, postgres_url: str, empty_postgres_url: str
) -> None:
    assert "up to date" in doctor(REGISTRAR_DATABASE_URL=postgres_url).of("ledger", "ok")
    assert "no ledger yet" in doctor(REGISTRAR_DATABASE_URL=empty_postgres_url).of("ledger", "wrong")


@pytest.mark.postgres
def test_an_older_ledger_on_postgresql_has_to_be_upgraded(doctor: Doctor, postgres_url: str) -> None:
    with closing(psycopg.connect(postgres_url, autocommit=True)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    assert "`registrar db upgrade`" in doctor(REGISTRAR_DATABASE_URL=postgres_url).of("ledger", "wrong")


def test_a_database_that_we_do_not_speak_is_wrong(doctor: Doctor) -> None:
    assert "SQLite and PostgreSQL" in doctor(REGISTRAR_DATABASE_URL="mysql://a:b@c/d").of("ledger", "wrong")


def test_a_ledger_on_a_network_file_system_is_told(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mounts").write_text(f"/dev/vda / ext4 rw 0 0\nfiles:/home {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(here, "MOUNTS", tmp_path / "mounts")
    assert "network file system (nfs4)" in doctor().of("ledger", "mind")


# -- the policy --------------------------------------------------------------------------------------------------------


def test_a_file_that_is_not_in_force_is_told(doctor: Doctor, tmp_path: Path, sqlite_url: str) -> None:
    taken = Event(
        at=datetime.now(UTC),
        actor=Automation("policy-file"),
        tag=Tag.POLICY_TAKEN,
        subject="policy:one",
        after="one",
        evidence={"text": POLICY},
    )
    with closing(SqlLedger(sqlite_url)) as ledger, ledger.write() as tx:
        tx.append(taken)
    said = doctor(REGISTRAR_DATABASE_URL=sqlite_url)
    assert "Revision one of the policy is in force, not what registrar.yml says." in said.of("policy", "mind")


def test_a_running_bot_says_when_the_file_applies(
    slack: LocalSlack, doctor: Doctor, tmp_path: Path, sqlite_url: str
) -> None:
    (tmp_path / "bot").mkdir()
    with running(slack, tmp_path / "bot", MemoryRegistry(), database_url=sqlite_url) as world:
        world.registrar.context.rules.edit = FileEdit(EditState.SETTLING, datetime.now(UTC) + timedelta(hours=1))
        with world.registrar.context.ledger.write() as tx:
            tx.append(
                Event(
                    at=datetime.now(UTC),
                    actor=Automation("policy-file"),
                    tag=Tag.POLICY_TAKEN,
                    subject="policy:one",
                    after="one",
                    evidence={"text": POLICY},
                )
            )
        said = doctor(REGISTRAR_DATABASE_URL=sqlite_url, REGISTRAR_PORT=world.service.address.rpartition(":")[2])
    assert "the edit applies at" in said.of("policy", "mind")


def test_without_a_policy_what_writes_one_is_named(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").unlink()
    said = doctor()
    assert said.code == 2
    assert "`registrar init`" in said.of("policy", "wrong")
    assert said.states("Slack channels") == ["skipped"]


def test_every_fault_of_a_policy_is_told(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text("modles: {}\nchanel: x\nmodels: {}")
    assert doctor().states("policy") == ["wrong", "wrong"]


def test_a_policy_that_is_no_yaml_is_told_where(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text("models: [")
    assert "Line 1" in doctor().of("policy", "wrong")


def test_what_is_worth_knowing_of_a_policy_is_told(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text('models: {"*": {production: {approvers: []}}}')
    assert "This rule can't be met: models.*.production (needs 1 approval, has 0)." in doctor().of("policy", "mind")


def test_a_variable_that_the_policy_names_and_nobody_set_is_told(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "registrar.yml").write_text(POLICY + "clients: {ci: {token_env: CI_TOKEN_OF_NOBODY, may: [push]}}")
    assert "CI_TOKEN_OF_NOBODY" in doctor().of("policy", "mind")


# -- the port ----------------------------------------------------------------------------------------------------------


def test_a_port_that_another_program_has_is_told(doctor: Doctor) -> None:
    with receiving() as other:
        said = doctor(REGISTRAR_PORT=other.url.rpartition(":")[2])
    assert said.code == 2
    assert "taken by another program" in said.of("HTTP", "wrong")


def test_an_address_of_another_machine_is_told(doctor: Doctor) -> None:
    assert "REGISTRAR_HOST" in doctor(REGISTRAR_HOST="192.0.2.1").of("HTTP", "wrong")


def test_what_will_be_served_is_told(doctor: Doctor) -> None:
    assert "Slack's signed calls" in doctor(SLACK_SIGNING_SECRET="hush").of("HTTP", "ok")


def test_an_address_is_shown_without_what_opens_doors() -> None:
    assert shown("https://ann:hush@mlflow.internal:5000/a?token=hush") == "https://mlflow.internal:5000/a"


def test_someone_whose_home_is_another_workspace_of_the_grid_can_act(doctor: Doctor, slack: LocalSlack) -> None:
    slack.let_live_in("bob", "T0HOME", enterprise={"id": "E0ACME", "name": "Acme"})
    assert set(doctor().states("Slack people")) == {"ok"}
