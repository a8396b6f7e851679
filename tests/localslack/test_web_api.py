"""The Web API: who may call what, and what Slack answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from localslack import ChannelSeed, LocalSlack, PersonSeed, RefusedError, Seed, WorkspaceMember
from localslack.blocks import BLOCKS_MAX
from tests.localslack.apps import MANIFEST, blocks_of, manifest_without, web_client
from tests.workspaces import local_slack

Refused = Callable[..., str]


def post(slack: LocalSlack, method: str, token: str | None = None, **kwargs: Any) -> httpx.Response:
    token = slack.bot_token if token is None else token
    headers = kwargs.pop("headers", {}) | ({"Authorization": f"Bearer {token}"} if token else {})
    return httpx.post(f"{slack.api_url}{method}", headers=headers, trust_env=False, **kwargs)


# -- tokens and arguments ---------------------------------------------------------------------------------------


def test_auth_test_tells_who_the_app_is(client: WebClient, slack: LocalSlack) -> None:
    answer = client.auth_test()
    assert answer["team_id"] == slack.team_id
    assert answer["user"] == "tester"
    assert answer["bot_id"].startswith("B")
    assert answer["is_enterprise_install"] is False


@pytest.mark.parametrize(
    ("token", "error"),
    [("", "not_authed"), ("xoxb-made-up", "invalid_auth")],
)
def test_a_call_without_the_right_token_is_refused(slack: LocalSlack, token: str, error: str) -> None:
    assert post(slack, "auth.test", token).json()["error"] == error


def test_the_app_token_is_for_connections_only(slack: LocalSlack) -> None:
    assert post(slack, "auth.test", slack.app_token).json()["error"] == "not_allowed_token_type"
    assert post(slack, "apps.connections.open", slack.app_token).json()["ok"] is True


def test_the_bot_token_opens_no_connection(slack: LocalSlack) -> None:
    assert post(slack, "apps.connections.open").json()["error"] == "not_allowed_token_type"


def test_an_unknown_method_is_named(slack: LocalSlack) -> None:
    answer = post(slack, "bookmarks.add").json()
    assert answer == {"ok": False, "error": "unknown_method", "req_method": "bookmarks.add"}


@pytest.mark.parametrize("form", ["json", "data", "params"])
def test_arguments_come_as_json_form_or_query(slack: LocalSlack, form: str) -> None:
    arguments: dict[str, Any] = {form: {"channel": "#churn", "text": "hello"}}
    answer = post(slack, "chat.postMessage", **arguments).json()
    assert answer["message"]["text"] == "hello"


def test_blocks_may_come_as_json_in_a_form(slack: LocalSlack) -> None:
    form = {"channel": "#churn", "text": "x", "blocks": '[{"type": "divider"}]'}
    assert post(slack, "chat.postMessage", data=form).json()["message"]["blocks"][0]["type"] == "divider"


def test_a_call_with_a_file_in_a_multipart_form_is_listed_with_its_name(slack: LocalSlack) -> None:
    arguments = {"channel": "#churn", "text": "hello"}
    answer = post(slack, "chat.postMessage", data=arguments, files={"file": ("a.txt", b"abc")})
    assert answer.json()["ok"] is True
    assert slack.calls("chat.postMessage")[-1]["args"] == {**arguments, "file": "a.txt"}


def test_a_broken_form_is_refused(slack: LocalSlack) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = post(slack, "chat.postMessage", content=b"nonsense", headers=headers)
    assert answer.json()["error"] == "invalid_form_data"


def test_a_token_may_come_as_an_argument(slack: LocalSlack) -> None:
    assert post(slack, "auth.test", "", data={"token": slack.bot_token}).json()["ok"] is True


def test_a_method_that_reads_no_json_misses_its_arguments(slack: LocalSlack) -> None:
    answer = post(slack, "users.info", json={"user": "U0ALICE"}).json()
    assert answer["error"] == "invalid_arguments"
    assert answer["response_metadata"]["messages"] == ["[ERROR] missing required field: user"]


def test_broken_json_is_refused(slack: LocalSlack) -> None:
    answer = post(slack, "chat.postMessage", content=b"{", headers={"Content-Type": "application/json"})
    assert answer.json()["error"] == "invalid_json"


# -- scopes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "method", "arguments"),
    [
        ("chat:write", "chat_postMessage", {"channel": "#churn", "text": "x"}),
        ("channels:read", "conversations_info", {"channel": "C0CHURN"}),
        ("channels:history", "conversations_history", {"channel": "C0CHURN"}),
        ("im:write", "conversations_open", {"users": "U0ALICE"}),
        ("channels:join", "conversations_join", {"channel": "C0CHURN"}),
        ("users:read", "users_info", {"user": "U0ALICE"}),
        ("usergroups:read", "usergroups_users_list", {"usergroup": "S0LEADS"}),
        ("team:read", "team_info", {}),
    ],
)
def test_a_scope_that_the_manifest_lacks_is_named(scope: str, method: str, arguments: dict[str, Any]) -> None:
    with local_slack(manifest_without(scope)) as slack, pytest.raises(SlackApiError) as caught:
        getattr(web_client(slack), method)(**arguments)
    assert caught.value.response["error"] == "missing_scope"
    assert caught.value.response["needed"] == scope
    assert scope not in caught.value.response["provided"].split(",")


# -- posting ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", ["C0CHURN", "#churn", "churn"])
def test_a_channel_is_meant_by_id_or_name(client: WebClient, channel: str) -> None:
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


def test_a_private_channel_does_not_exist_from_outside(slack: LocalSlack, client: WebClient, refused: Refused) -> None:
    slack.add_channel("C0SECRET", "secret", is_private=True, members=["alice"])
    assert refused(client.chat_postMessage, channel="C0SECRET", text="x") == "channel_not_found"
    assert refused(client.conversations_info, channel="C0SECRET") == "channel_not_found"


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
def test_a_message_that_slack_would_refuse(
    client: WebClient, refused: Refused, arguments: dict[str, Any], error: str
) -> None:
    assert refused(client.chat_postMessage, **arguments) == error


def test_an_archived_channel_takes_no_message(slack: LocalSlack, client: WebClient, refused: Refused) -> None:
    slack.archive("#churn")
    assert refused(client.chat_postMessage, channel="#churn", text="x") == "is_archived"


def test_a_channel_for_admins_takes_nothing_from_the_app(
    slack: LocalSlack, client: WebClient, refused: Refused
) -> None:
    ts = client.chat_postMessage(channel="#churn", text="before")["ts"]
    slack.limit_posting("#churn", "admins")
    assert refused(client.chat_postMessage, channel="#churn", text="x") == "restricted_action"
    assert refused(client.chat_postEphemeral, channel="#churn", user="U0ALICE", text="x") == "restricted_action"
    upload = {"channel": "C0CHURN", "content": "x", "filename": "a"}
    assert refused(client.files_upload_v2, **upload) == "posting_to_channel_denied"
    assert client.chat_update(channel="C0CHURN", ts=ts, text="own messages can still be changed")["ok"]
    slack.limit_posting("#churn", "everyone")
    assert client.chat_postMessage(channel="#churn", text="after")["ok"]


def test_a_channel_for_admins_takes_messages_from_admins_only(
    slack: LocalSlack, alice: WorkspaceMember, bob: WorkspaceMember
) -> None:
    slack.limit_posting("#churn", "admins")
    with pytest.raises(RefusedError, match="restricted_action"):
        alice.types("#churn", "x")
    with pytest.raises(RefusedError, match="restricted_action"):
        alice.uploads("#churn", "a.csv", b"a,b")
    assert bob.types("#churn", "bob is an admin").message is not None


def test_nobody_writes_to_a_deleted_account(slack: LocalSlack, client: WebClient, refused: Refused) -> None:
    slack.change_person("dave", deleted=True)
    assert refused(client.chat_postMessage, channel="U0DAVE", text="x") == "channel_not_found"


def test_very_long_text_is_cut_with_a_warning(client: WebClient) -> None:
    answer = client.chat_postMessage(channel="#churn", text="x" * 40_001)
    assert len(answer["message"]["text"]) == 40_000
    assert answer["warning"] == "message_truncated"


def test_invalid_blocks_name_the_place_and_the_rule(client: WebClient) -> None:
    too_long = [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="#churn", text="x", blocks=too_long)
    assert caught.value.response["error"] == "invalid_blocks"
    assert caught.value.response["response_metadata"]["messages"] == [
        "[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]"
    ]


def test_too_many_characters_of_blocks_are_refused(client: WebClient, refused: Refused) -> None:
    channel, fits, beyond = "C0CHURN", blocks_of(BLOCKS_MAX), blocks_of(BLOCKS_MAX + 1)
    ts = client.chat_postMessage(channel=channel, text="x", blocks=fits)["ts"]
    client.chat_update(channel=channel, ts=ts, text="x", blocks=fits)
    client.chat_postEphemeral(channel=channel, user="U0ALICE", text="x", blocks=fits)
    assert refused(client.chat_postMessage, channel=channel, text="x", blocks=beyond) == "msg_blocks_too_long"
    assert refused(client.chat_update, channel=channel, ts=ts, text="x", blocks=beyond) == "msg_blocks_too_long"
    ephemeral = {"channel": channel, "user": "U0ALICE", "text": "x", "blocks": beyond}
    assert refused(client.chat_postEphemeral, **ephemeral) == "msg_blocks_too_long"


# -- changing ---------------------------------------------------------------------------------------------------


def test_only_own_messages_can_be_changed(client: WebClient, alice: WorkspaceMember, refused: Refused) -> None:
    said = alice.types("#churn", "mine").message
    assert said is not None
    assert refused(client.chat_update, channel="C0CHURN", ts=said["ts"], text="x") == "cant_update_message"
    assert refused(client.chat_delete, channel="C0CHURN", ts=said["ts"]) == "cant_delete_message"


def test_an_update_takes_four_thousand_characters_and_no_more(client: WebClient, refused: Refused) -> None:
    ts = client.chat_postMessage(channel="#churn", text="x")["ts"]
    assert client.chat_update(channel="C0CHURN", ts=ts, text="x" * 4000)["text"] == "x" * 4000
    assert refused(client.chat_update, channel="C0CHURN", ts=ts, text="x" * 4001) == "msg_too_long"


def test_an_update_needs_the_id_of_the_channel(client: WebClient, refused: Refused) -> None:
    ts = client.chat_postMessage(channel="#churn", text="x")["ts"]
    assert refused(client.chat_update, channel="#churn", ts=ts, text="y") == "channel_not_found"


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
def test_a_new_text_removes_the_blocks_and_attachments_that_do_not_come_with_it(
    client: WebClient, changed: dict[str, Any], kept: list[str]
) -> None:
    ts = client.chat_postMessage(channel="#churn", text="x", blocks=BLOCKS, attachments=ATTACHMENTS)["ts"]
    updated = client.chat_update(channel="C0CHURN", ts=ts, **changed)["message"]
    assert [name for name in ("blocks", "attachments") if name in updated] == kept
    assert updated["text"] == "y"


@pytest.mark.filterwarnings("ignore:The top-level `text` argument")
def test_new_blocks_alone_leave_the_text(client: WebClient) -> None:
    ts = client.chat_postMessage(channel="#churn", text="x")["ts"]
    updated = client.chat_update(channel="C0CHURN", ts=ts, blocks=BLOCKS)["message"]
    assert (updated["text"], updated["blocks"][0]["type"]) == ("x", "divider")


def test_an_update_keeps_the_metadata(client: WebClient) -> None:
    metadata = {"event_type": "asked", "event_payload": {"id": 7}}
    ts = client.chat_postMessage(channel="#churn", text="x", metadata=metadata)["ts"]
    assert client.chat_update(channel="C0CHURN", ts=ts, text="y")["message"]["metadata"] == metadata


def test_a_missing_message_cannot_be_updated(client: WebClient, refused: Refused) -> None:
    assert refused(client.chat_update, channel="C0CHURN", ts="1.000001", text="y") == "message_not_found"


def test_an_ephemeral_cannot_be_updated(client: WebClient, refused: Refused) -> None:
    ts = client.chat_postEphemeral(channel="C0CHURN", user="U0ALICE", text="x")["message_ts"]
    assert refused(client.chat_update, channel="C0CHURN", ts=ts, text="y") == "message_not_found"


def test_an_ephemeral_needs_both_in_the_channel(slack: LocalSlack, client: WebClient, refused: Refused) -> None:
    ephemeral = {"channel": "C0CHURN", "user": "U0ALICE", "text": "x"}
    slack.set_members("#churn", ["bob", "bot"])
    assert refused(client.chat_postEphemeral, **ephemeral) == "user_not_in_channel"
    slack.set_members("#churn", ["alice", "bob"])
    assert refused(client.chat_postEphemeral, **ephemeral) == "not_in_channel"


def test_an_ephemeral_takes_no_reply(client: WebClient, refused: Refused) -> None:
    ts = client.chat_postEphemeral(channel="C0CHURN", user="U0ALICE", text="x")["message_ts"]
    reply = {"channel": "C0CHURN", "text": "y", "thread_ts": ts}
    assert refused(client.chat_postMessage, **reply) == "cannot_reply_to_message"


def test_a_deleted_first_message_takes_no_reply(client: WebClient, refused: Refused) -> None:
    ts = client.chat_postMessage(channel="#churn", text="x")["ts"]
    client.chat_postMessage(channel="#churn", text="answer", thread_ts=ts)
    client.chat_delete(channel="C0CHURN", ts=ts)
    reply = {"channel": "C0CHURN", "text": "y", "thread_ts": ts}
    assert refused(client.chat_postMessage, **reply) == "cannot_reply_to_message"


def test_a_deleted_first_message_leaves_a_tombstone(client: WebClient, alice: WorkspaceMember) -> None:
    ts = client.chat_postMessage(channel="#churn", text="x")["ts"]
    client.chat_postMessage(channel="#churn", text="answer", thread_ts=ts)
    client.chat_delete(channel="C0CHURN", ts=ts)
    assert alice.sees("#churn")[0]["subtype"] == "tombstone"


# -- reading ----------------------------------------------------------------------------------------------------


def test_history_is_newest_first_and_in_pages(client: WebClient) -> None:
    for number in range(5):
        client.chat_postMessage(channel="#churn", text=str(number))
    first = client.conversations_history(channel="C0CHURN", limit=3)
    assert [message["text"] for message in first["messages"]] == ["4", "3", "2"]
    assert first["has_more"]
    cursor = first["response_metadata"]["next_cursor"]
    rest = client.conversations_history(channel="C0CHURN", limit=3, cursor=cursor)
    assert [message["text"] for message in rest["messages"]] == ["1", "0"]
    assert not rest["has_more"]


def test_history_is_cut_at_oldest_and_latest(client: WebClient) -> None:
    stamps = [client.chat_postMessage(channel="#churn", text=str(number))["ts"] for number in range(4)]

    def between(**bounds: Any) -> list[str]:
        messages = client.conversations_history(channel="C0CHURN", **bounds)["messages"]
        return [message["text"] for message in messages]

    assert between(oldest=stamps[0], latest=stamps[3]) == ["2", "1"]
    assert between(oldest=stamps[0], latest=stamps[3], inclusive=True) == ["3", "2", "1", "0"]


def test_history_shows_metadata_only_when_asked(client: WebClient) -> None:
    metadata = {"event_type": "asked", "event_payload": {"id": 7}}
    client.chat_postMessage(channel="#churn", text="x", metadata=metadata)
    assert "metadata" not in client.conversations_history(channel="C0CHURN")["messages"][0]
    asked = client.conversations_history(channel="C0CHURN", include_all_metadata=True)["messages"][0]
    assert asked["metadata"] == metadata


def test_history_needs_membership(slack: LocalSlack, client: WebClient, refused: Refused) -> None:
    slack.set_members("#churn", ["alice"])
    assert refused(client.conversations_history, channel="C0CHURN") == "not_in_channel"
    client.conversations_join(channel="C0CHURN")
    assert client.conversations_history(channel="C0CHURN")["messages"] == []


def test_history_holds_no_ephemerals_and_no_answers(client: WebClient) -> None:
    ts = client.chat_postMessage(channel="#churn", text="question")["ts"]
    client.chat_postMessage(channel="#churn", text="answer", thread_ts=ts)
    client.chat_postEphemeral(channel="C0CHURN", user="U0ALICE", text="secret")
    (only,) = client.conversations_history(channel="C0CHURN")["messages"]
    assert only["text"] == "question"
    assert only["reply_count"] == 1


def test_replies_begin_with_the_question(client: WebClient) -> None:
    ts = client.chat_postMessage(channel="#churn", text="question")["ts"]
    answer = client.chat_postMessage(channel="#churn", text="answer", thread_ts=ts)["ts"]
    nested = client.chat_postMessage(channel="#churn", text="answer to that", thread_ts=answer)
    assert nested["message"]["thread_ts"] == ts
    replies = client.conversations_replies(channel="C0CHURN", ts=ts)["messages"]
    assert [message["text"] for message in replies] == ["question", "answer", "answer to that"]


def test_every_page_of_replies_begins_with_the_question(client: WebClient) -> None:
    ts = client.chat_postMessage(channel="#churn", text="question")["ts"]
    for number in range(3):
        client.chat_postMessage(channel="#churn", text=str(number), thread_ts=ts)
    pages = client.conversations_replies(channel="C0CHURN", ts=ts, limit=3)
    assert [[message["text"] for message in page["messages"]] for page in pages] == [
        ["question", "0", "1"],
        ["question", "2"],
    ]


def test_the_question_comes_with_the_replies_after_a_time(client: WebClient) -> None:
    ts = client.chat_postMessage(channel="#churn", text="question")["ts"]
    stamps = [client.chat_postMessage(channel="#churn", text=str(n), thread_ts=ts)["ts"] for n in range(3)]
    late = client.conversations_replies(channel="C0CHURN", ts=ts, oldest=stamps[1])["messages"]
    assert [message["text"] for message in late] == ["question", "2"]


def test_replies_to_nothing_are_not_found(client: WebClient, refused: Refused) -> None:
    assert refused(client.conversations_replies, channel="C0CHURN", ts="1.000001") == "thread_not_found"


def test_a_permalink_opens_the_page(client: WebClient, slack: LocalSlack) -> None:
    ts = client.chat_postMessage(channel="#churn", text="x")["ts"]
    link = client.chat_getPermalink(channel="C0CHURN", message_ts=ts)["permalink"]
    assert link == f"{slack.url}archives/C0CHURN/p{ts.replace('.', '')}"
    assert httpx.get(link, trust_env=False).status_code == 200


def test_a_broken_cursor_is_refused(client: WebClient, refused: Refused) -> None:
    assert refused(client.conversations_history, channel="C0CHURN", cursor="???") == "invalid_cursor"


def test_conversations_are_listed_by_type(slack: LocalSlack, client: WebClient) -> None:
    slack.add_channel("C0SECRET", "secret", is_private=True, members=["alice", "bot"])
    slack.add_channel("C0OTHER", "other", is_private=True, members=["alice"])
    public = client.conversations_list()["channels"]
    assert [channel["name"] for channel in public] == ["general", "ml-models", "churn"]
    private = client.conversations_list(types="private_channel")["channels"]
    assert [channel["name"] for channel in private] == ["secret"]


def test_a_page_of_conversations_can_be_short_or_empty_and_not_the_last(slack: LocalSlack, client: WebClient) -> None:
    slack.add_channel("C0SECRET", "secret", is_private=True, members=["alice"])
    slack.add_channel("C0HIDDEN", "hidden", is_private=True, members=["alice"])
    slack.add_channel("C0LAST", "last")
    pages = [[room["name"] for room in page["channels"]] for page in client.conversations_list(limit=2)]
    assert pages == [["general", "ml-models"], ["churn"], ["last"]]
    pages = [[room["name"] for room in page["channels"]] for page in client.conversations_list(limit=1)]
    assert pages == [["general"], ["ml-models"], ["churn"], [], [], ["last"]]


def test_a_page_of_conversations_is_at_most_a_thousand(client: WebClient, refused: Refused) -> None:
    assert client.conversations_list(limit=1000)["ok"]
    assert refused(client.conversations_list, limit=1001) == "invalid_limit"


def test_accounts_come_in_pages(slack: LocalSlack, client: WebClient) -> None:
    slack.change_person("bob", team_id="T0OTHER")
    pages = [[one["name"] for one in page["members"]] for page in client.users_list(limit=2)]
    assert pages == [["alice"], ["carol", "dave"], ["tester"]]


def test_members_include_the_bot_user(client: WebClient) -> None:
    bot = client.auth_test()["user_id"]
    assert bot in client.conversations_members(channel="C0CHURN")["members"]


def test_opening_a_conversation_twice_gives_the_same_one(client: WebClient) -> None:
    first = client.conversations_open(users="U0ALICE")["channel"]["id"]
    again = client.conversations_open(users=["U0ALICE"])
    assert again["channel"]["id"] == first
    assert again["already_open"] is True


# -- people -----------------------------------------------------------------------------------------------------


def test_guests_bots_strangers_and_deleted_accounts_can_be_told_apart(slack: LocalSlack, client: WebClient) -> None:
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


def test_an_unknown_user_is_not_found(client: WebClient, refused: Refused) -> None:
    assert refused(client.users_info, user="U0NOBODY") == "user_not_found"


def test_a_user_group_lists_its_members(slack: LocalSlack, client: WebClient, refused: Refused) -> None:
    assert client.usergroups_users_list(usergroup="S0LEADS")["users"] == ["U0BOB", "U0CAROL"]
    slack.set_group("S0LEADS", "leads", ["alice"])
    assert client.usergroups_list(include_users=True)["usergroups"][0]["users"] == ["U0ALICE"]
    assert refused(client.usergroups_users_list, usergroup="S0NONE") == "no_such_subteam"


def test_the_bot_and_the_team_are_known(slack: LocalSlack, client: WebClient, refused: Refused) -> None:
    bot = client.auth_test()["bot_id"]
    assert client.bots_info(bot=bot)["bot"]["name"] == "tester"
    assert refused(client.bots_info, bot="B0NONE") == "bot_not_found"
    assert client.team_info()["team"]["id"] == slack.team_id


def test_a_seed_says_who_and_what_is_there() -> None:
    seed = Seed(
        team_id="T0SEED",
        people=(PersonSeed(id="U0ZOE", name="zoe"),),
        channels=(ChannelSeed(id="C0ONLY", name="only", members=("zoe",)),),
        groups=(),
    )
    with local_slack(MANIFEST, seed=seed) as slack:
        assert slack.team_id == "T0SEED"
        assert slack.members("#only") == ["U0ZOE"]


# -- rate tiers -------------------------------------------------------------------------------------------------


def test_the_21st_call_of_a_tier_2_method_in_a_minute_is_refused() -> None:
    with LocalSlack.start(MANIFEST) as slack:
        client = web_client(slack)
        for _ in range(20):
            client.usergroups_list()
        with pytest.raises(SlackApiError) as caught:
            client.usergroups_list()
        assert caught.value.response.status_code == 429
        slack.advance(60)
        assert client.usergroups_list()["ok"]


def test_without_rate_limits_nothing_is_counted() -> None:
    with LocalSlack.start(MANIFEST, rate_limits=False) as slack:
        assert all(web_client(slack).usergroups_list()["ok"] for _ in range(21))


def test_each_channel_takes_one_message_a_second() -> None:
    with LocalSlack.start(MANIFEST, speed=0.01) as slack:  # a second lasts 100, so that no machine is too slow
        client = web_client(slack)
        client.chat_postMessage(channel="#churn", text="1")
        with pytest.raises(SlackApiError) as caught:
            client.chat_postMessage(channel="#churn", text="2")
        assert caught.value.response.headers["Retry-After"] == "100"
        assert client.chat_postMessage(channel="#general", text="3")["ok"]
        slack.advance(100)
        assert client.chat_postMessage(channel="#churn", text="4")["ok"]


def test_a_channel_is_counted_once_however_it_is_named() -> None:
    with LocalSlack.start(MANIFEST, speed=0.01) as slack:
        client = web_client(slack)
        client.chat_postMessage(channel="#churn", text="1")
        with pytest.raises(SlackApiError) as caught:
            client.chat_postMessage(channel="C0CHURN", text="2")
        assert caught.value.response["error"] == "ratelimited"


def test_a_reset_forgets_the_calls_that_were_counted() -> None:
    with LocalSlack.start(MANIFEST, speed=0.01) as slack:
        client = web_client(slack)
        client.chat_postMessage(channel="#churn", text="1")
        slack.reset()
        assert client.chat_postMessage(channel="#churn", text="2")["ok"]


# -- blocks.validate ---------------------------------------------------------------------------------------------


def test_blocks_that_slack_would_take_are_valid(client: WebClient) -> None:
    assert client.blocks_validate(blocks=[{"type": "divider"}])["ok"] is True


@pytest.mark.parametrize(
    ("held", "error"),
    [
        ({"blocks": [{"type": "header"}]}, "invalid_blocks"),
        ({"message": {"blocks": [{"type": "header"}]}}, "invalid_message"),
        ({"view": {"type": "modal"}}, "invalid_view"),
        ({"view": "[]"}, "invalid_view"),
        ({"blocks": "{"}, "invalid_arguments"),
        ({}, "invalid_arguments"),
        ({"blocks": [{"type": "divider"}], "message": {"blocks": []}}, "invalid_arguments"),
    ],
    ids=str,
)
def test_blocks_that_slack_would_not_take_are_refused(client: WebClient, held: dict[str, Any], error: str) -> None:
    with pytest.raises(SlackApiError) as refused:
        client.blocks_validate(**held)
    assert refused.value.response["error"] == error
