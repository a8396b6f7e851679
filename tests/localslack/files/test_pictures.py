"""Pictures: recognized by their bytes, and shown in blocks."""

from __future__ import annotations

import httpx2
import pytest
from slack_bolt import Ack, App
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from localslack import LocalSlack, WorkspaceMember
from localslack.workspace.file_types import detect_file_type
from tests.localslack.block_builders import modal, png
from tests.localslack.bolt_apps import SlackErrorOf
from tests.localslack.file_uploads import CSV, JSON, image_block, upload_unshared


@pytest.mark.parametrize(
    ("name", "content", "mimetype", "size"),
    [
        ("a.png", png(7, 5), "image/png", (7, 5)),
        ("a.gif", b"GIF89a\x07\x00\x05\x00", "image/gif", (7, 5)),
        ("a.jpg", b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08\x00\x05\x00\x07", "image/jpeg", (7, 5)),
        ("a.jpg", b"\xff\xd8\xff", "image/jpeg", (0, 0)),
        ("a.csv", b"a,b", "text/csv", (0, 0)),
        ("a.png", b"no picture at all", "application/octet-stream", (0, 0)),
        ("a.svg", b"<svg/>", "image/svg+xml", (0, 0)),
        ("mystery", b"", "application/octet-stream", (0, 0)),
    ],
)
def test_a_picture_is_recognized_by_its_bytes(name: str, content: bytes, mimetype: str, size: tuple[int, int]) -> None:
    kind = detect_file_type(name, content)
    assert (kind.mimetype, (kind.width, kind.height)) == (mimetype, size)


@pytest.mark.parametrize("way", ["id", "url_private", "permalink"])
def test_a_block_shows_an_uploaded_picture(client: WebClient, bob: WorkspaceMember, way: str) -> None:
    file = upload_unshared(client, png(), "a.png")
    slack_file = {"id": file["id"]} if way == "id" else {"url": file[way]}
    blocks = [{"type": "image", "slack_file": slack_file, "alt_text": "a curve"}]
    client.chat_postMessage(channel="#churn", text="x", blocks=blocks)
    assert bob.sees("#churn")[0]["blocks"][0]["slack_file"] == slack_file
    assert bob.downloads(file) == png()


@pytest.mark.parametrize("what", ["unknown", "a.csv"])
def test_a_block_shows_only_an_uploaded_picture(client: WebClient, what: str) -> None:
    file_id = upload_unshared(client, CSV, what)["id"] if what == "a.csv" else "F0NOBODY"
    attachment = {"fallback": "x", "blocks": [image_block({"id": file_id})]}
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="#churn", text="x", attachments=[attachment])
    assert caught.value.response["error"] == "invalid_blocks"
    assert caught.value.response["errors"] == ["invalid slack file [json-pointer:/blocks/0/slack_file]"]


def test_a_modal_shows_an_uploaded_picture_to_the_person_who_has_it_open(
    slack: LocalSlack, client: WebClient, slack_error: SlackErrorOf
) -> None:
    nothing, picture = image_block({"id": "F0NOBODY"}), image_block(upload_unshared(client, png(), "a.png"))
    assert slack_error(client.views_open, trigger_id="x", view=modal(nothing)) == "invalid_arguments"
    assert slack_error(client.views_open, trigger_id="x", view=modal(picture)) == "invalid_trigger_id"


def test_an_ephemeral_message_can_t_show_an_unshared_picture(client: WebClient, slack_error: SlackErrorOf) -> None:
    unshared = image_block(upload_unshared(client, png(), "a.png"))
    ephemeral = {"channel": "C0CHURN", "user": "U0ALICE", "text": "x", "blocks": [unshared]}
    assert slack_error(client.chat_postEphemeral, **ephemeral) == "invalid_blocks"


@pytest.mark.parametrize("where", ["C0GENERAL", "U0ALICE"])
def test_an_ephemeral_message_can_show_a_picture_that_its_reader_sees_somewhere(client: WebClient, where: str) -> None:
    file = client.files_upload_v2(channels=[where], file=png(), filename="a.png")["file"]
    assert client.chat_postEphemeral(channel="C0CHURN", user="U0ALICE", text="x", blocks=[image_block(file)])["ok"]


def test_an_ephemeral_message_can_t_show_a_picture_that_only_others_see(
    client: WebClient, slack_error: SlackErrorOf
) -> None:
    file = client.files_upload_v2(channels=["U0BOB"], file=png(), filename="a.png")["file"]
    ephemeral = {"channel": "C0CHURN", "user": "U0ALICE", "text": "x", "blocks": [image_block(file)]}
    assert slack_error(client.chat_postEphemeral, **ephemeral) == "invalid_blocks"


def test_a_deleted_message_doesn_t_share_its_picture(
    client: WebClient, alice: WorkspaceMember, slack_error: SlackErrorOf
) -> None:
    file = client.files_upload_v2(channel="C0CHURN", file=png(), filename="a.png")["file"]
    client.chat_delete(channel="C0CHURN", ts=alice.sees("#churn")[0]["ts"])
    ephemeral = {"channel": "C0CHURN", "user": "U0ALICE", "text": "x", "blocks": [image_block(file)]}
    assert slack_error(client.chat_postEphemeral, **ephemeral) == "invalid_blocks"


def test_the_answer_to_a_command_can_t_show_an_unshared_picture(
    slack: LocalSlack, client: WebClient, connected_app: App, alice: WorkspaceMember
) -> None:
    unshared = image_block(upload_unshared(client, png(), "a.png"))

    @connected_app.command("/ask")
    def ask(ack: Ack) -> None:
        ack(text="x", blocks=[unshared])

    assert alice.types("#churn", "/ask").error == "invalid_blocks"
    assert "invalid slack file" in slack.problems()[0]


@pytest.mark.parametrize(("visibly", "status"), [({}, 404), ({"response_type": "in_channel"}, 200)])
def test_an_ephemeral_post_to_a_response_url_can_t_show_an_unshared_picture(
    client: WebClient, connected_app: App, alice: WorkspaceMember, visibly: JSON, status: int
) -> None:
    urls: list[str] = []

    @connected_app.command("/ask")
    def ask(ack: Ack, command: JSON) -> None:
        urls.append(command["response_url"])
        ack()

    alice.types("#churn", "/ask")
    answer = {"text": "x", "blocks": [image_block(upload_unshared(client, png(), "a.png"))], **visibly}
    response = httpx2.post(urls[0], json=answer, trust_env=False)
    assert response.status_code == status
    assert ("invalid_blocks" in response.text) == (status == 404)
