"""The state file: what survives a restart and a crash."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from localslack import ChannelSeed, Seed, connect
from tests.localslack.block_builders import home
from tests.localslack.bolt_apps import HOME_MANIFEST, MANIFEST, web_client
from tests.support.app.workspaces import INSTANT, local_slack
from tests.support.network.ports import free_port


def test_messages_people_channels_and_secrets_survive_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "slack.db"
    metadata = {"event_type": "asked", "event_payload": {"id": 7}}
    with local_slack(MANIFEST, state=state, speed=INSTANT) as slack:
        secrets = (slack.bot_token, slack.app_token, slack.signing_secret)
        client = web_client(slack)
        ts = client.chat_postMessage(channel="#churn", text="x", metadata=metadata)["ts"]
        client.chat_postMessage(channel="#churn", text="answer", thread_ts=ts)
        slack.change_person("bob", is_restricted=True)
        slack.add_channel("C0NEW", "new", members=["alice", "bot"])
        slack.set_group("S0LEADS", "leads", ["alice"])
    with local_slack(MANIFEST, state=state) as slack:
        client = web_client(slack)
        assert (slack.bot_token, slack.app_token, slack.signing_secret) == secrets
        (message,) = client.conversations_history(channel="C0CHURN", include_all_metadata=True)["messages"]
        assert message["metadata"] == metadata
        assert message["reply_count"] == 1
        assert client.users_info(user="U0BOB")["user"]["is_restricted"]
        assert slack.members("#new")[0] == "U0ALICE"
        assert client.usergroups_users_list(usergroup="S0LEADS")["users"] == ["U0ALICE"]
        assert client.chat_update(channel="C0CHURN", ts=ts, text="edited")["ok"]


def test_timestamps_continue_after_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "slack.db"
    with local_slack(MANIFEST, state=state) as slack:
        slack.advance(3600)
        last = web_client(slack).chat_postMessage(channel="#churn", text="x")["ts"]
    with local_slack(MANIFEST, state=state) as slack:
        assert web_client(slack).chat_postMessage(channel="#churn", text="y")["ts"] > last


def test_a_deleted_message_stays_deleted(tmp_path: Path) -> None:
    state = tmp_path / "slack.db"
    with local_slack(MANIFEST, state=state) as slack:
        ts = web_client(slack).chat_postMessage(channel="#churn", text="x")["ts"]
        web_client(slack).chat_delete(channel="C0CHURN", ts=ts)
    with local_slack(MANIFEST, state=state) as slack:
        assert slack.person("alice").sees("#churn") == []


def test_a_home_tab_survives_a_restart_and_ends_with_a_reset(tmp_path: Path) -> None:
    state = tmp_path / "slack.db"
    with local_slack(HOME_MANIFEST, state=state) as slack:
        published = web_client(slack).views_publish(user_id="U0ALICE", view=home())["view"]
    with local_slack(HOME_MANIFEST, state=state) as slack:
        assert slack.person("alice").home() == published
        slack.reset()
    with local_slack(HOME_MANIFEST, state=state) as slack:
        assert slack.person("alice").home() is None


def test_a_saved_snapshot_can_be_restored_and_survives_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "slack.db"
    with local_slack(MANIFEST, state=state) as slack:
        slack.person("alice").types("#churn", "before")
        slack.keep()
        slack.person("alice").types("#churn", "after")
        slack.add_channel("C0NEW", "new", members=["alice"])
        slack.put_back()
        assert [message["text"] for message in slack.person("bob").sees("#churn")] == ["before"]
    with local_slack(MANIFEST, state=state) as slack:
        assert [message["text"] for message in slack.person("bob").sees("#churn")] == ["before"]


def test_the_seed_is_used_only_once(tmp_path: Path) -> None:
    state = tmp_path / "slack.db"
    seed = Seed(channels=(ChannelSeed(id="C0ONE", name="one"),))
    with local_slack(MANIFEST, state=state, seed=seed):
        pass
    with local_slack(MANIFEST, state=state) as slack:
        assert slack.members("#one") != []


def test_given_secrets_are_used(tmp_path: Path) -> None:
    given = {"bot_token": "xoxb-1", "app_token": "xapp-1", "signing_secret": "s"}
    with local_slack(MANIFEST, secrets=given) as slack:
        assert (slack.bot_token, slack.app_token, slack.signing_secret) == ("xoxb-1", "xapp-1", "s")


def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    state = tmp_path / "slack.db"
    with local_slack(MANIFEST, state=state):
        assert state.stat().st_mode & 0o077 == 0


def test_a_killed_workspace_loses_no_data(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.yml"
    manifest.write_text("display_information: {name: Tester}\n", encoding="utf-8")
    command = [sys.executable, "-m", "localslack", "--port", "0"]
    command += ["--manifest", str(manifest), "--state", str(tmp_path / "slack.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        with connect(url) as slack:
            slack.person("alice").types("#churn", "remember this")
        process.send_signal(signal.SIGKILL)
    with local_slack(manifest, state=tmp_path / "slack.db") as slack:
        assert slack.person("bob").sees("#churn")[0]["text"] == "remember this"


def test_a_failed_start_leaves_nothing_open(tmp_path: Path) -> None:
    state = tmp_path / "slack.db"
    state.write_bytes(b"no database " * 500)
    port = free_port()
    with pytest.raises(sqlite3.DatabaseError):
        local_slack(MANIFEST, state=state, port=port)
    local_slack(MANIFEST, port=port).stop()
