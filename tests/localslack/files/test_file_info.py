"""files.info, before and after Slack has checked a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from localslack import LocalSlack, WorkspaceMember
from tests.localslack.block_builders import png
from tests.localslack.bolt_apps import MANIFEST, SlackErrorOf, manifest_without, web_client
from tests.localslack.file_uploads import CSV, image_block, only_file, upload_unshared
from tests.support.app.workspaces import local_slack


@pytest.fixture
def slow_workspace() -> Iterator[LocalSlack]:
    """A workspace that takes an hour to check a file."""
    with local_slack(MANIFEST, files_ready_after=3600, speed=1) as slack:
        yield slack


def test_a_file_is_unknown_until_slack_has_checked_it(slow_workspace: LocalSlack) -> None:
    client = web_client(slow_workspace)
    file_id = upload_unshared(client, png(), "a.png")["id"]
    before = client.files_info(file=file_id)["file"]
    assert (before["mimetype"], "thumb_360" in before) == ("", False)
    slow_workspace.advance(3600)
    after = client.files_info(file=file_id)["file"]
    assert (after["mimetype"], after["original_w"], "thumb_360" in after) == ("image/png", 3, True)


def test_a_block_can_t_show_a_picture_that_isn_t_ready(slow_workspace: LocalSlack) -> None:
    client = web_client(slow_workspace)
    blocks = [image_block(upload_unshared(client, png(), "a.png"))]
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="#churn", text="x", blocks=blocks)
    assert caught.value.response["error"] == "invalid_blocks"
    assert caught.value.response["errors"] == ["invalid slack file [json-pointer:/blocks/0/slack_file]"]
    slow_workspace.advance(3600)
    assert client.chat_postMessage(channel="#churn", text="x", blocks=blocks)["ok"]


def test_slack_takes_a_second_to_check_a_file() -> None:
    with LocalSlack.start(MANIFEST, speed=0.01) as slack:  # a second of the workspace takes 100
        client = web_client(slack)
        file_id = upload_unshared(client, png(), "a.png")["id"]
        assert client.files_info(file=file_id)["file"]["mimetype"] == ""
        slack.advance(100)
        assert client.files_info(file=file_id)["file"]["mimetype"] == "image/png"


def test_file_info_says_where_a_file_is_shared(client: WebClient, alice: WorkspaceMember) -> None:
    client.files_upload_v2(channels=["C0CHURN", "U0ALICE"], content="x", filename="a.txt")
    message = alice.sees("#churn")[0]
    file = client.files_info(file=only_file(alice)["id"])["file"]
    assert (file["channels"], len(file["ims"])) == (["C0CHURN"], 1)
    assert file["shares"]["public"]["C0CHURN"][0]["ts"] == message["ts"]
    assert list(file["shares"]["private"]) == file["ims"]


def test_file_info_needs_a_scope() -> None:
    with local_slack(manifest_without("files:read")) as slack:
        client = web_client(slack)
        with pytest.raises(SlackApiError, match="missing_scope"):
            client.files_info(file=upload_unshared(client, CSV, "a.csv")["id"])


def test_the_app_has_no_access_to_files_that_it_can_t_see(
    slack: LocalSlack, client: WebClient, alice: WorkspaceMember, slack_error: SlackErrorOf
) -> None:
    slack.add_channel("C0SECRET", "secret", is_private=True, members=["alice"])
    hidden = alice.uploads("C0SECRET", "a.csv", CSV)["files"][0]["id"]
    seen = alice.uploads("#churn", "a.csv", CSV)["files"][0]["id"]
    assert slack_error(client.files_info, file="F0NOBODY") == "file_not_found"
    assert slack_error(client.files_info, file=hidden) == "file_not_found"
    assert client.files_info(file=seen)["file"]["user"] == "U0ALICE"
