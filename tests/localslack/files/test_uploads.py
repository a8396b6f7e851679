"""files.getUploadURLExternal, the upload itself, and files.completeUploadExternal."""

from __future__ import annotations

import urllib.error
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from localslack import LocalSlack, RefusedError, WorkspaceMember
from tests.localslack.block_builders import png
from tests.localslack.bolt_apps import MANIFEST, SlackErrorOf, manifest_without, web_client
from tests.localslack.file_uploads import CSV, JSON, fetch, only_file, request_upload, send_bytes, upload_bytes
from tests.support.app.workspaces import local_slack


def test_uploading_needs_a_scope() -> None:
    with local_slack(manifest_without("files:write")) as slack, pytest.raises(SlackApiError) as caught:
        web_client(slack).files_upload_v2(channel="C0CHURN", content="x", filename="a.txt")
    assert (caught.value.response["error"], caught.value.response["needed"]) == ("missing_scope", "files:write")


def test_uploading_needs_the_token_of_the_bot(slack: LocalSlack, slack_error: SlackErrorOf) -> None:
    stranger = WebClient(token="xoxb-made-up", base_url=slack.api_url)
    assert slack_error(stranger.files_getUploadURLExternal, filename="a", length=1) == "invalid_auth"
    assert slack_error(stranger.files_completeUploadExternal, files=[{"id": "F0"}]) == "invalid_auth"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"filename": "", "length": 1}, "invalid_arguments"),
        ({"filename": "a.txt", "length": "many"}, "invalid_arguments"),
        ({"filename": "a.txt", "length": 0}, "missing_argument"),
        ({"filename": "a.txt", "length": 20_000_001}, "file_upload_size_restricted"),
        ({"filename": "a.png", "length": 1, "alt_txt": "x" * 1001}, "alt_txt_too_large"),
        ({"filename": "a.py", "length": 1_000_001, "snippet_type": "python"}, "snippet_too_large"),
    ],
)
def test_an_upload_that_slack_would_refuse_is_refused(
    client: WebClient, slack_error: SlackErrorOf, arguments: JSON, error: str
) -> None:
    assert slack_error(client.files_getUploadURLExternal, **arguments) == error


def test_reserving_an_upload_accepts_no_json(slack: LocalSlack) -> None:
    headers = {"Authorization": f"Bearer {slack.bot_token}"}
    url = f"{slack.api_url}files.getUploadURLExternal"
    answer = httpx2.post(url, json={"filename": "a", "length": 1}, headers=headers, trust_env=False)
    assert answer.json()["error"] == "invalid_arguments"


def test_an_upload_address_works_once(client: WebClient) -> None:
    url, _ = request_upload(client)
    assert send_bytes(url, CSV).text == f"OK - {len(CSV)}"
    assert send_bytes(url, CSV).status_code == 404
    assert send_bytes(url + "x", CSV).status_code == 404


def test_an_upload_of_the_wrong_size_isn_t_stored(client: WebClient, slack_error: SlackErrorOf) -> None:
    url, file_id = request_upload(client)
    assert send_bytes(url, CSV[:-1]).status_code == 400
    assert slack_error(client.files_completeUploadExternal, files=[{"id": file_id}]) == "file_not_found"
    assert send_bytes(url, CSV).status_code == 200


def test_a_huge_body_isn_t_read(client: WebClient) -> None:
    url, _ = request_upload(client)
    assert send_bytes(url, b"x" * 20_100_000).status_code == 413


def test_bytes_can_be_sent_in_a_multipart_form(client: WebClient, alice: WorkspaceMember) -> None:
    url, file_id = request_upload(client)
    assert httpx2.post(url, files={"file": ("a.csv", CSV)}, trust_env=False).status_code == 200
    client.files_completeUploadExternal(files=[{"id": file_id}], channel_id="C0CHURN")
    assert alice.downloads(file_id) == CSV


@pytest.mark.parametrize("files", ["[]", "{}", "nonsense", '[{"title": "x"}]', "[7]"])
def test_files_have_to_be_a_list_of_ids(client: WebClient, slack_error: SlackErrorOf, files: str) -> None:
    assert slack_error(client.api_call, api_method="files.completeUploadExternal", params={"files": files}) == (
        "invalid_arguments"
    )


def test_only_an_uploaded_file_can_be_completed_and_only_once(client: WebClient, slack_error: SlackErrorOf) -> None:
    complete = client.files_completeUploadExternal
    _, empty = request_upload(client)
    file_id = upload_bytes(client)
    assert slack_error(complete, files=[{"id": "F0NOBODY"}]) == "file_not_found"
    assert slack_error(complete, files=[{"id": file_id}, {"id": empty}], channel_id="C0CHURN") == "file_not_found"
    assert complete(files=[{"id": file_id}])["files"][0]["id"] == file_id
    assert slack_error(complete, files=[{"id": file_id}], channel_id="C0CHURN") == "file_not_found"


def test_no_one_can_complete_someone_else_s_upload(
    client: WebClient, alice: WorkspaceMember, slack_error: SlackErrorOf
) -> None:
    theirs = alice.uploads("#churn", "a.csv", CSV)["files"][0]["id"]
    assert (
        slack_error(client.files_completeUploadExternal, files=[{"id": theirs}], channel_id="C0CHURN")
        == "access_denied"
    )


@pytest.mark.parametrize("channel", ["C0NOWHERE", "#churn", "U0ALICE", "C0SECRET"])
def test_a_channel_has_to_be_the_id_of_one_that_the_app_can_see(
    slack: LocalSlack, client: WebClient, slack_error: SlackErrorOf, channel: str
) -> None:
    slack.add_channel("C0SECRET", "secret", is_private=True, members=["alice"])
    assert slack_error(client.files_upload_v2, channel=channel, content="x", filename="a") == "channel_not_found"


def test_only_members_can_share_files(slack: LocalSlack, client: WebClient, slack_error: SlackErrorOf) -> None:
    slack.set_members("#churn", ["alice"])
    assert client.chat_postMessage(channel="#churn", text="words may come from outside")["ok"]
    file_id = upload_bytes(client)
    complete = client.files_completeUploadExternal
    assert slack_error(complete, files=[{"id": file_id}], channel_id="C0CHURN") == "not_in_channel"
    client.conversations_join(channel="C0CHURN")
    assert complete(files=[{"id": file_id}], channel_id="C0CHURN")["ok"]


def test_nothing_is_shared_in_an_archived_channel(
    slack: LocalSlack, client: WebClient, slack_error: SlackErrorOf
) -> None:
    slack.archive("#churn")
    upload = {"channel": "C0CHURN", "content": "x", "filename": "a"}
    assert slack_error(client.files_upload_v2, **upload) == "posting_to_channel_denied"


def test_a_problem_is_reported_for_an_alternative_text_that_slack_mishandles(
    slack: LocalSlack, client: WebClient
) -> None:
    client.files_upload_v2(channel="C0CHURN", content="x", filename="a.csv", alt_txt="values")
    (problem,) = slack.problems()
    assert problem.startswith("a.csv isn't a picture but has alt_txt")


def test_a_file_is_shared_even_if_the_answer_is_lost(
    slack: LocalSlack, client: WebClient, alice: WorkspaceMember, slack_error: SlackErrorOf
) -> None:
    file_id = upload_bytes(client)
    slack.reset_after("files.completeUploadExternal")
    with pytest.raises((OSError, urllib.error.URLError)):
        client.files_completeUploadExternal(files=[{"id": file_id}], channel_id="C0CHURN")
    assert only_file(alice)["id"] == file_id
    again = {"files": [{"id": file_id}], "channel_id": "C0CHURN"}
    assert slack_error(client.files_completeUploadExternal, **again) == "file_not_found"


@pytest.mark.parametrize(
    "order",
    [
        lambda slack: slack.server_error("upload"),
        lambda slack: slack.reset_before("upload"),
        lambda slack: slack.rate_limit("upload"),
        lambda slack: slack.fail("upload", "trouble"),
    ],
)
def test_an_upload_fails_with_an_injected_fault(
    slack: LocalSlack, client: WebClient, alice: WorkspaceMember, order: Callable[[LocalSlack], None]
) -> None:
    order(slack)
    with pytest.raises(OSError, match=r".*"):  # slack_sdk sends the bytes with urllib, whose errors are OSErrors
        client.files_upload_v2(channel="C0CHURN", content="x", filename="a.txt")
    assert alice.sees("#churn") == []
    assert [call["ok"] for call in slack.calls("upload")] == [False]
    assert slack.calls("files.completeUploadExternal") == []


def test_files_survive_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "slack.db"
    with local_slack(MANIFEST, state=state) as slack:
        web_client(slack).files_upload_v2(channel="C0CHURN", file=png(), filename="a.png")
    with local_slack(MANIFEST, state=state) as slack:
        alice = slack.person("alice")
        assert alice.downloads(only_file(alice)) == png()
        assert fetch(only_file(alice)["url_private"], slack.bot_token).content == png()


def test_a_reset_removes_all_files(slack: LocalSlack, client: WebClient, alice: WorkspaceMember) -> None:
    url, _ = request_upload(client)
    file = alice.uploads("#churn", "a.csv", CSV)["files"][0]
    slack.reset()
    assert send_bytes(url, CSV).status_code == 404
    with pytest.raises(RefusedError, match="file_not_found"):
        alice.downloads(file)
