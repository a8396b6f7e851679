"""chat.*: posting, updating, and deleting messages, and what Slack refuses."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from localslack import LocalSlack, RefusedError, WorkspaceMember
from localslack.blocks import BLOCKS_MAX
from tests.localslack.block_builders import blocks_with_length
from tests.localslack.bolt_apps import SlackErrorOf, manifest_without, web_client
from tests.support.app.workspaces import local_slack


@pytest.mark.parametrize("channel", ["C0CHURN", "#churn", "churn"])
def test_a_channel_can_be_named_by_id_or_name(client: WebClient, channel: str) -> None:
    assert client.chat_postMessage(channel=channel, text="x")["channel"] == "C0CHURN"


def test_a_message_to_a_user_id_goes_into_the_direct_conversation(client: WebClient, alice: WorkspaceMember) -> None:
    client.chat_postMessage(channel="U0ALICE", text="psst")
    assert [message["text"] for message in alice.direct_messages()] == ["psst"]


def test_a_posted_message_names_the_app(client: WebClient) -> None:
    message = client.chat_postMessage(channel="#churn", text="x")["message"]
    assert message["bot_profile"]["name"] == "tester"
    assert message["app_id"] == message["bot_profile"]["app_id"]


def test_without_membership_public_channels_need_a_scope(slack: LocalSlack, client: WebClient) -> None:
    slack.set_members("#churn", ["alice"])
    assert client.chat_postMessage(channel="#churn", text="x")["ok"]
    with local_slack(manifest_without("chat:write.public")) as strict:
        strict.set_members("#churn", ["alice"])
        with pytest.raises(SlackApiError, match="not_in_channel"):
            web_client(strict).chat_postMessage(channel="#churn", text="x")


def test_a_private_channel_isn_t_found_by_nonmembers(
    slack: LocalSlack, client: WebClient, slack_error: SlackErrorOf
) -> None:
    slack.add_channel("C0SECRET", "secret", is_private=True, members=["alice"])
    assert slack_error(client.chat_postMessage, channel="C0SECRET", text="x") == "channel_not_found"
    assert slack_error(client.conversations_info, channel="C0SECRET") == "channel_not_found"


@pytest.mark.filterwarnings("ignore:The top-level `text` argument")
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"channel": "#nowhere", "text": "x"}, "channel_not_found"),
        ({"channel": "#churn", "text": ""}, "no_text"),
        ({"channel": "#churn", "text": "x", "blocks": {"type": "divider"}}, "invalid_blocks_format"),
        ({"channel": "#churn", "text": "x", "attachments": [{}] * 101}, "too_many_attachments"),
        ({"channel": "#churn", "text": "x", "metadata": {"event_type": "a"}}, "invalid_metadata_format"),
        ({"channel": "#churn", "text": "x", "markdown_text": "y"}, "markdown_text_conflict"),
        ({"channel": "#churn", "text": "x", "thread_ts": "1.000001"}, "thread_not_found"),
    ],
)
def test_a_message_that_slack_would_refuse_is_refused(
    client: WebClient, slack_error: SlackErrorOf, arguments: dict[str, Any], error: str
) -> None:
    assert slack_error(client.chat_postMessage, **arguments) == error


def test_an_archived_channel_accepts_no_message(
    slack: LocalSlack, client: WebClient, slack_error: SlackErrorOf
) -> None:
    slack.archive("#churn")
    assert slack_error(client.chat_postMessage, channel="#churn", text="x") == "is_archived"


def test_a_channel_for_admins_accepts_nothing_from_the_app(
    slack: LocalSlack, client: WebClient, slack_error: SlackErrorOf
) -> None:
    ts = client.chat_postMessage(channel="#churn", text="before")["ts"]
    slack.limit_posting("#churn", "admins")
    assert slack_error(client.chat_postMessage, channel="#churn", text="x") == "restricted_action"
    assert slack_error(client.chat_postEphemeral, channel="#churn", user="U0ALICE", text="x") == "restricted_action"
    upload = {"channel": "C0CHURN", "content": "x", "filename": "a"}
    assert slack_error(client.files_upload_v2, **upload) == "posting_to_channel_denied"
    assert client.chat_update(channel="C0CHURN", ts=ts, text="own messages can still be changed")["ok"]
    slack.limit_posting("#churn", "everyone")
    assert client.chat_postMessage(channel="#churn", text="after")["ok"]


def test_a_channel_for_admins_accepts_messages_only_from_admins(
    slack: LocalSlack, alice: WorkspaceMember, bob: WorkspaceMember
) -> None:
    slack.limit_posting("#churn", "admins")
    with pytest.raises(RefusedError, match="restricted_action"):
        alice.types("#churn", "x")
    with pytest.raises(RefusedError, match="restricted_action"):
        alice.uploads("#churn", "a.csv", b"a,b")
    assert bob.types("#churn", "bob is an admin").message is not None


def test_no_one_can_write_to_a_deleted_account(slack: LocalSlack, client: WebClient, slack_error: SlackErrorOf) -> None:
    slack.change_person("dave", deleted=True)
    assert slack_error(client.chat_postMessage, channel="U0DAVE", text="x") == "channel_not_found"


def test_very_long_text_is_truncated_with_a_warning(client: WebClient) -> None:
    answer = client.chat_postMessage(channel="#churn", text="x" * 40_001)
    assert len(answer["message"]["text"]) == 40_000
    assert answer["warning"] == "message_truncated"


def test_errors_about_invalid_blocks_have_the_pointer_and_the_rule(client: WebClient) -> None:
    too_long = [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="#churn", text="x", blocks=too_long)
    assert caught.value.response["error"] == "invalid_blocks"
    assert caught.value.response["response_metadata"]["messages"] == [
        "[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]"
    ]


def test_too_many_characters_of_blocks_are_refused(client: WebClient, slack_error: SlackErrorOf) -> None:
    channel, fits, beyond = "C0CHURN", blocks_with_length(BLOCKS_MAX), blocks_with_length(BLOCKS_MAX + 1)
    ts = client.chat_postMessage(channel=channel, text="x", blocks=fits)["ts"]
    client.chat_update(channel=channel, ts=ts, text="x", blocks=fits)
    client.chat_postEphemeral(channel=channel, user="U0ALICE", text="x", blocks=fits)
    assert slack_error(client.chat_postMessage, channel=channel, text="x", blocks=beyond) == "msg_blocks_too_long"
    assert slack_error(client.chat_update, channel=channel, ts=ts, text="x", blocks=beyond) == "msg_blocks_too_long"
    ephemeral = {"channel": channel, "user": "U0ALICE", "text": "x", "blocks": beyond}
    assert slack_error(client.chat_postEphemeral, **ephemeral) == "msg_blocks_too_long"


def test_only_the_app_s_own_messages_can_be_changed(
    client: WebClient, alice: WorkspaceMember, slack_error: SlackErrorOf
) -> None:
    said = alice.types("#churn", "mine").message
    assert said is not None
    assert slack_error(client.chat_update, channel="C0CHURN", ts=said["ts"], text="x") == "cant_update_message"
    assert slack_error(client.chat_delete, channel="C0CHURN", ts=said["ts"]) == "cant_delete_message"


def test_an_update_accepts_at_most_four_thousand_characters(client: WebClient, slack_error: SlackErrorOf) -> None:
    ts = client.chat_postMessage(channel="#churn", text="x")["ts"]
    assert client.chat_update(channel="C0CHURN", ts=ts, text="x" * 4000)["text"] == "x" * 4000
    assert slack_error(client.chat_update, channel="C0CHURN", ts=ts, text="x" * 4001) == "msg_too_long"


def test_an_update_needs_the_id_of_the_channel(client: WebClient, slack_error: SlackErrorOf) -> None:
    ts = client.chat_postMessage(channel="#churn", text="x")["ts"]
    assert slack_error(client.chat_update, channel="#churn", ts=ts, text="y") == "channel_not_found"


BLOCKS: list[dict[str, Any]] = [{"type": "divider"}]


ATTACHMENTS = [{"fallback": "z", "text": "z"}]


@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        ({"text": "y"}, []),
        ({"text": "y", "blocks": BLOCKS}, ["blocks"]),
        ({"text": "y", "attachments": ATTACHMENTS}, ["attachments"]),
        ({"text": "y", "blocks": []}, []),
    ],
)
def test_new_text_alone_removes_blocks_and_attachments(
    client: WebClient, changed: dict[str, Any], kept: list[str]
) -> None:
    ts = client.chat_postMessage(channel="#churn", text="x", blocks=BLOCKS, attachments=ATTACHMENTS)["ts"]
    updated = client.chat_update(channel="C0CHURN", ts=ts, **changed)["message"]
    assert [name for name in ("blocks", "attachments") if name in updated] == kept
    assert updated["text"] == "y"


@pytest.mark.filterwarnings("ignore:The top-level `text` argument")
def test_new_blocks_alone_keep_the_text(client: WebClient) -> None:
    ts = client.chat_postMessage(channel="#churn", text="x")["ts"]
    updated = client.chat_update(channel="C0CHURN", ts=ts, blocks=BLOCKS)["message"]
    assert (updated["text"], updated["blocks"][0]["type"]) == ("x", "divider")


def test_an_update_keeps_the_metadata(client: WebClient) -> None:
    metadata = {"event_type": "asked", "event_payload": {"id": 7}}
    ts = client.chat_postMessage(channel="#churn", text="x", metadata=metadata)["ts"]
    assert client.chat_update(channel="C0CHURN", ts=ts, text="y")["message"]["metadata"] == metadata


def test_a_missing_message_can_t_be_updated(client: WebClient, slack_error: SlackErrorOf) -> None:
    assert slack_error(client.chat_update, channel="C0CHURN", ts="1.000001", text="y") == "message_not_found"


def test_an_ephemeral_message_can_t_be_updated(client: WebClient, slack_error: SlackErrorOf) -> None:
    ts = client.chat_postEphemeral(channel="C0CHURN", user="U0ALICE", text="x")["message_ts"]
    assert slack_error(client.chat_update, channel="C0CHURN", ts=ts, text="y") == "message_not_found"


def test_an_ephemeral_message_needs_the_person_and_the_app_in_the_channel(
    slack: LocalSlack, client: WebClient, slack_error: SlackErrorOf
) -> None:
    ephemeral = {"channel": "C0CHURN", "user": "U0ALICE", "text": "x"}
    slack.set_members("#churn", ["bob", "bot"])
    assert slack_error(client.chat_postEphemeral, **ephemeral) == "user_not_in_channel"
    slack.set_members("#churn", ["alice", "bob"])
    assert slack_error(client.chat_postEphemeral, **ephemeral) == "not_in_channel"


def test_an_ephemeral_message_accepts_no_reply(client: WebClient, slack_error: SlackErrorOf) -> None:
    ts = client.chat_postEphemeral(channel="C0CHURN", user="U0ALICE", text="x")["message_ts"]
    reply = {"channel": "C0CHURN", "text": "y", "thread_ts": ts}
    assert slack_error(client.chat_postMessage, **reply) == "cannot_reply_to_message"


def test_a_deleted_first_message_accepts_no_reply(client: WebClient, slack_error: SlackErrorOf) -> None:
    ts = client.chat_postMessage(channel="#churn", text="x")["ts"]
    client.chat_postMessage(channel="#churn", text="answer", thread_ts=ts)
    client.chat_delete(channel="C0CHURN", ts=ts)
    reply = {"channel": "C0CHURN", "text": "y", "thread_ts": ts}
    assert slack_error(client.chat_postMessage, **reply) == "cannot_reply_to_message"


def test_a_deleted_first_message_leaves_a_tombstone(client: WebClient, alice: WorkspaceMember) -> None:
    ts = client.chat_postMessage(channel="#churn", text="x")["ts"]
    client.chat_postMessage(channel="#churn", text="answer", thread_ts=ts)
    client.chat_delete(channel="C0CHURN", ts=ts)
    assert alice.sees("#churn")[0]["subtype"] == "tombstone"


def test_a_permalink_opens_the_page(client: WebClient, slack: LocalSlack) -> None:
    ts = client.chat_postMessage(channel="#churn", text="x")["ts"]
    link = client.chat_getPermalink(channel="C0CHURN", message_ts=ts)["permalink"]
    assert link == f"{slack.url}archives/C0CHURN/p{ts.replace('.', '')}"
    assert httpx2.get(link, trust_env=False).status_code == 200
