"""Files shared in messages, by the app and by people."""

from __future__ import annotations

import json

import pytest
from slack_sdk import WebClient

from localslack import LocalSlack, RefusedError, WorkspaceMember
from tests.localslack.block_builders import png
from tests.localslack.file_uploads import CSV, JSON, only_file, upload_bytes, upload_unshared


def test_a_picture_is_shared_with_a_comment(slack: LocalSlack, client: WebClient, alice: WorkspaceMember) -> None:
    content = png(800, 400)
    client.files_upload_v2(
        channel="C0CHURN",
        file=content,
        filename="The Curve.png",
        title="F1",
        alt_txt="It rises",
        initial_comment="Look",
    )
    (message,) = alice.sees("#churn")
    (file,) = alice.files(message)
    assert message["text"] == "Look"
    assert message["bot_profile"]["name"] == "tester"
    assert (file["name"], file["title"], file["alt_txt"]) == ("The Curve.png", "F1", "It rises")
    assert (file["mimetype"], file["filetype"], file["pretty_type"]) == ("image/png", "png", "PNG")
    assert (file["size"], file["mode"]) == (len(content), "hosted")
    assert (file["original_w"], file["original_h"]) == (800, 400)
    assert (file["thumb_360_w"], file["thumb_360_h"]) == (360, 180)
    assert file["url_private"] == f"{slack.url}files-pri/{slack.team_id}-{file['id']}/the_curve.png"
    assert alice.downloads(file) == content


def test_a_csv_file_is_shared_in_a_thread(client: WebClient, alice: WorkspaceMember) -> None:
    ts = client.chat_postMessage(channel="#churn", text="card")["ts"]
    client.files_upload_v2(channel="C0CHURN", thread_ts=ts, content=CSV.decode(), filename="a.csv")
    (card,) = alice.sees("#churn")
    _, answer = alice.thread(card)
    (file,) = alice.files(answer)
    assert (card["reply_count"], answer["text"]) == (1, "")
    assert (file["mimetype"], file["filetype"], file["title"]) == ("text/csv", "csv", "a.csv")
    assert "thumb_360" not in file
    assert alice.downloads(file) == CSV


def test_several_files_are_one_message(client: WebClient, alice: WorkspaceMember) -> None:
    uploads: list[JSON] = [{"content": CSV.decode(), "filename": "a.csv"}, {"file": png(), "filename": "b.png"}]
    answer = client.files_upload_v2(channel="C0CHURN", file_uploads=uploads, initial_comment="both")
    (message,) = alice.sees("#churn")
    assert [file["name"] for file in alice.files(message)] == ["a.csv", "b.png"]
    assert [file["id"] for file in answer["files"]] == [file["id"] for file in message["files"]]


def test_several_channels_get_a_message_each(client: WebClient, alice: WorkspaceMember) -> None:
    client.files_upload_v2(channels=["C0CHURN", "U0ALICE"], content="x", filename="a.txt")
    assert only_file(alice)["id"] == alice.direct_messages()[-1]["files"][0]["id"]


def test_blocks_can_replace_the_comment(client: WebClient, alice: WorkspaceMember) -> None:
    blocks = json.dumps([{"type": "divider"}])  # slack_sdk sends it unchanged
    client.files_completeUploadExternal(files=[{"id": upload_bytes(client)}], channel_id="C0CHURN", blocks=blocks)
    (message,) = alice.sees("#churn")
    assert message["blocks"][0]["type"] == "divider"
    assert only_file(alice)["title"] == "a.csv"


def test_a_reply_to_a_reply_is_in_the_first_message_s_thread(client: WebClient, alice: WorkspaceMember) -> None:
    ts = client.chat_postMessage(channel="#churn", text="card")["ts"]
    answer = client.chat_postMessage(channel="#churn", text="answer", thread_ts=ts)["ts"]
    client.files_upload_v2(channel="C0CHURN", thread_ts=answer, content="x", filename="a.txt")
    assert [bool(alice.files(message)) for message in alice.thread(alice.sees("#churn")[0])] == [False, False, True]


def test_a_missing_thread_is_accepted_and_reported_as_a_problem(
    slack: LocalSlack, client: WebClient, alice: WorkspaceMember
) -> None:
    client.files_upload_v2(channel="C0CHURN", thread_ts="1.000001", content="x", filename="a.txt")
    assert only_file(alice)["name"] == "a.txt"
    assert slack.problems() == ["no thread 1.000001 in churn: the files went into the channel"]


def test_slack_checks_a_file_only_after_it_has_answered(client: WebClient) -> None:
    file = client.files_upload_v2(channel="C0CHURN", file=png(), filename="a.png")["file"]
    assert (file["mimetype"], file["shares"]) == ("", {})
    (message,) = client.conversations_history(channel="C0CHURN")["messages"]
    assert message["files"][0]["mimetype"] == "image/png"


def test_a_message_keeps_its_files_when_its_text_changes(client: WebClient, alice: WorkspaceMember) -> None:
    client.files_upload_v2(channel="C0CHURN", content="x", filename="a.txt", initial_comment="before")
    client.chat_update(channel="C0CHURN", ts=alice.sees("#churn")[0]["ts"], text="after")
    assert alice.sees("#churn")[0]["text"] == "after"
    assert only_file(alice)["name"] == "a.txt"


def test_people_share_files_too(client: WebClient, alice: WorkspaceMember, bob: WorkspaceMember) -> None:
    question = alice.uploads("#churn", "a.csv", CSV)
    alice.uploads("#churn", "b.png", png(), thread=question)
    assert bob.downloads(only_file(bob)) == CSV
    assert bob.files(bob.thread(question)[1])[0]["original_w"] == 3
    assert client.conversations_history(channel="C0CHURN")["messages"][0]["files"][0]["user"] == "U0ALICE"


def test_people_who_see_a_message_can_see_its_file(
    slack: LocalSlack, client: WebClient, alice: WorkspaceMember, bob: WorkspaceMember
) -> None:
    slack.add_channel("C0SECRET", "secret", is_private=True, members=["alice", "bot"])
    client.files_upload_v2(channel="C0SECRET", content="x", filename="a.txt")
    file = only_file(alice, "C0SECRET")
    assert alice.downloads(file) == b"x"
    with pytest.raises(RefusedError, match="file_not_found"):
        bob.downloads(file)
    with pytest.raises(RefusedError, match="file_not_found"):
        alice.downloads(upload_unshared(client, b"x", "a.txt"))
