"""Files: uploaded as slack_sdk does it, shared in a message, read by those who may."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from slack_bolt import Ack, App
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from localslack import LocalSlack, RefusedError, WorkspaceMember
from localslack.workspace.file_types import detect_file_type
from tests.localslack.apps import MANIFEST, manifest_without, modal, png, web_client
from tests.workspaces import local_slack

JSON = dict[str, Any]
Refused = Callable[..., str]
CSV = b"model,f1\nchurn,0.77\n"


def promised(client: WebClient, content: bytes = CSV, name: str = "a.csv", **more: Any) -> tuple[str, str]:
    answer = client.files_getUploadURLExternal(filename=name, length=len(content), **more)
    return str(answer["upload_url"]), str(answer["file_id"])


def send(url: str, content: bytes) -> httpx.Response:
    return httpx.post(url, content=content, trust_env=False)


def uploaded(client: WebClient, content: bytes = CSV, name: str = "a.csv", **more: Any) -> str:
    """Upload a file and leave it at that."""
    url, file_id = promised(client, content, name, **more)
    assert send(url, content).status_code == 200
    return file_id


def kept(client: WebClient, content: bytes, name: str) -> JSON:
    """Upload a file that is shared nowhere."""
    return dict(client.files_upload_v2(file=content, filename=name)["file"])


def only_file(person: WorkspaceMember, channel: str = "#churn") -> JSON:
    (file,) = person.files(person.sees(channel)[-1])
    return file


# -- sharing ------------------------------------------------------------------------------------------------------


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


def test_a_table_of_values_is_shared_in_a_thread(client: WebClient, alice: WorkspaceMember) -> None:
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


def test_blocks_may_stand_in_for_the_comment(client: WebClient, alice: WorkspaceMember) -> None:
    blocks = json.dumps([{"type": "divider"}])  # slack_sdk sends it as it is
    client.files_completeUploadExternal(files=[{"id": uploaded(client)}], channel_id="C0CHURN", blocks=blocks)
    (message,) = alice.sees("#churn")
    assert message["blocks"][0]["type"] == "divider"
    assert only_file(alice)["title"] == "a.csv"


def test_an_answer_to_an_answer_hangs_under_the_first_message(client: WebClient, alice: WorkspaceMember) -> None:
    ts = client.chat_postMessage(channel="#churn", text="card")["ts"]
    answer = client.chat_postMessage(channel="#churn", text="answer", thread_ts=ts)["ts"]
    client.files_upload_v2(channel="C0CHURN", thread_ts=answer, content="x", filename="a.txt")
    assert [bool(alice.files(message)) for message in alice.thread(alice.sees("#churn")[0])] == [False, False, True]


def test_a_thread_that_does_not_exist_is_tolerated_and_noted(
    slack: LocalSlack, client: WebClient, alice: WorkspaceMember
) -> None:
    client.files_upload_v2(channel="C0CHURN", thread_ts="1.000001", content="x", filename="a.txt")
    assert only_file(alice)["name"] == "a.txt"
    assert slack.problems() == ["there is no thread 1.000001 in churn: the files went into the channel"]


def test_slack_looks_into_a_file_only_after_it_has_answered(client: WebClient) -> None:
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


# -- until they're ready ------------------------------------------------------------------------------------------


@pytest.fixture
def slow() -> Iterator[LocalSlack]:
    """A workspace that takes an hour to look into a file."""
    with local_slack(MANIFEST, files_ready_after=3600, speed=1) as slack:
        yield slack


def image(file: JSON) -> JSON:
    return {"type": "image", "slack_file": {"id": file["id"]}, "alt_text": "a curve"}


def test_a_file_is_unknown_until_slack_has_checked_it(slow: LocalSlack) -> None:
    client = web_client(slow)
    file_id = kept(client, png(), "a.png")["id"]
    before = client.files_info(file=file_id)["file"]
    assert (before["mimetype"], "thumb_360" in before) == ("", False)
    slow.advance(3600)
    after = client.files_info(file=file_id)["file"]
    assert (after["mimetype"], after["original_w"], "thumb_360" in after) == ("image/png", 3, True)


def test_a_block_shows_no_picture_that_is_not_ready(slow: LocalSlack) -> None:
    client = web_client(slow)
    blocks = [image(kept(client, png(), "a.png"))]
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="#churn", text="x", blocks=blocks)
    assert caught.value.response["error"] == "invalid_blocks"
    assert caught.value.response["errors"] == ["invalid slack file [json-pointer:/blocks/0/slack_file]"]
    slow.advance(3600)
    assert client.chat_postMessage(channel="#churn", text="x", blocks=blocks)["ok"]


def test_slack_takes_a_second_to_check_a_file() -> None:
    with LocalSlack.start(MANIFEST, speed=0.01) as slack:  # a second lasts 100
        client = web_client(slack)
        file_id = kept(client, png(), "a.png")["id"]
        assert client.files_info(file=file_id)["file"]["mimetype"] == ""
        slack.advance(100)
        assert client.files_info(file=file_id)["file"]["mimetype"] == "image/png"


def test_information_about_a_file_says_where_it_is_shared(client: WebClient, alice: WorkspaceMember) -> None:
    client.files_upload_v2(channels=["C0CHURN", "U0ALICE"], content="x", filename="a.txt")
    message = alice.sees("#churn")[0]
    file = client.files_info(file=only_file(alice)["id"])["file"]
    assert (file["channels"], len(file["ims"])) == (["C0CHURN"], 1)
    assert file["shares"]["public"]["C0CHURN"][0]["ts"] == message["ts"]
    assert list(file["shares"]["private"]) == file["ims"]


def test_information_about_a_file_needs_a_scope() -> None:
    with local_slack(manifest_without("files:read")) as slack:
        client = web_client(slack)
        with pytest.raises(SlackApiError, match="missing_scope"):
            client.files_info(file=kept(client, CSV, "a.csv")["id"])


def test_the_app_knows_nothing_of_files_that_it_does_not_see(
    slack: LocalSlack, client: WebClient, alice: WorkspaceMember, refused: Refused
) -> None:
    slack.add_channel("C0SECRET", "secret", is_private=True, members=["alice"])
    hidden = alice.uploads("C0SECRET", "a.csv", CSV)["files"][0]["id"]
    seen = alice.uploads("#churn", "a.csv", CSV)["files"][0]["id"]
    assert refused(client.files_info, file="F0NOBODY") == "file_not_found"
    assert refused(client.files_info, file=hidden) == "file_not_found"
    assert client.files_info(file=seen)["file"]["user"] == "U0ALICE"


# -- refusals -----------------------------------------------------------------------------------------------------


def test_uploading_needs_a_scope() -> None:
    with local_slack(manifest_without("files:write")) as slack, pytest.raises(SlackApiError) as caught:
        web_client(slack).files_upload_v2(channel="C0CHURN", content="x", filename="a.txt")
    assert (caught.value.response["error"], caught.value.response["needed"]) == ("missing_scope", "files:write")


def test_uploading_needs_the_token_of_the_bot(slack: LocalSlack, refused: Refused) -> None:
    stranger = WebClient(token="xoxb-made-up", base_url=slack.api_url)
    assert refused(stranger.files_getUploadURLExternal, filename="a", length=1) == "invalid_auth"
    assert refused(stranger.files_completeUploadExternal, files=[{"id": "F0"}]) == "invalid_auth"


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
def test_an_upload_that_slack_would_not_promise(
    client: WebClient, refused: Refused, arguments: JSON, error: str
) -> None:
    assert refused(client.files_getUploadURLExternal, **arguments) == error


def test_the_promise_reads_no_json(slack: LocalSlack) -> None:
    headers = {"Authorization": f"Bearer {slack.bot_token}"}
    url = f"{slack.api_url}files.getUploadURLExternal"
    answer = httpx.post(url, json={"filename": "a", "length": 1}, headers=headers, trust_env=False)
    assert answer.json()["error"] == "invalid_arguments"


def test_an_upload_address_is_good_for_one_use(client: WebClient) -> None:
    url, _ = promised(client)
    assert send(url, CSV).text == f"OK - {len(CSV)}"
    assert send(url, CSV).status_code == 404
    assert send(url + "x", CSV).status_code == 404


def test_fewer_bytes_than_promised_are_not_kept(client: WebClient, refused: Refused) -> None:
    url, file_id = promised(client)
    assert send(url, CSV[:-1]).status_code == 400
    assert refused(client.files_completeUploadExternal, files=[{"id": file_id}]) == "file_not_found"
    assert send(url, CSV).status_code == 200


def test_a_body_beyond_all_measure_is_not_read(client: WebClient) -> None:
    url, _ = promised(client)
    assert send(url, b"x" * 20_100_000).status_code == 413


def test_bytes_may_come_in_a_multipart_form(client: WebClient, alice: WorkspaceMember) -> None:
    url, file_id = promised(client)
    assert httpx.post(url, files={"file": ("a.csv", CSV)}, trust_env=False).status_code == 200
    client.files_completeUploadExternal(files=[{"id": file_id}], channel_id="C0CHURN")
    assert alice.downloads(file_id) == CSV


@pytest.mark.parametrize("files", ["[]", "{}", "nonsense", '[{"title": "x"}]', "[7]"])
def test_files_are_a_list_of_ids(client: WebClient, refused: Refused, files: str) -> None:
    assert refused(client.api_call, api_method="files.completeUploadExternal", params={"files": files}) == (
        "invalid_arguments"
    )


def test_only_what_has_been_uploaded_can_be_completed_and_only_once(client: WebClient, refused: Refused) -> None:
    complete = client.files_completeUploadExternal
    _, empty = promised(client)
    file_id = uploaded(client)
    assert refused(complete, files=[{"id": "F0NOBODY"}]) == "file_not_found"
    assert refused(complete, files=[{"id": file_id}, {"id": empty}], channel_id="C0CHURN") == "file_not_found"
    assert complete(files=[{"id": file_id}])["files"][0]["id"] == file_id
    assert refused(complete, files=[{"id": file_id}], channel_id="C0CHURN") == "file_not_found"


def test_nobody_completes_what_is_somebody_elses(client: WebClient, alice: WorkspaceMember, refused: Refused) -> None:
    theirs = alice.uploads("#churn", "a.csv", CSV)["files"][0]["id"]
    assert refused(client.files_completeUploadExternal, files=[{"id": theirs}], channel_id="C0CHURN") == "access_denied"


@pytest.mark.parametrize("channel", ["C0NOWHERE", "#churn", "U0ALICE", "C0SECRET"])
def test_a_channel_is_meant_by_the_id_of_one_that_the_app_sees(
    slack: LocalSlack, client: WebClient, refused: Refused, channel: str
) -> None:
    slack.add_channel("C0SECRET", "secret", is_private=True, members=["alice"])
    assert refused(client.files_upload_v2, channel=channel, content="x", filename="a") == "channel_not_found"


def test_files_are_shared_from_inside_only(slack: LocalSlack, client: WebClient, refused: Refused) -> None:
    slack.set_members("#churn", ["alice"])
    assert client.chat_postMessage(channel="#churn", text="words may come from outside")["ok"]
    file_id = uploaded(client)
    complete = client.files_completeUploadExternal
    assert refused(complete, files=[{"id": file_id}], channel_id="C0CHURN") == "not_in_channel"
    client.conversations_join(channel="C0CHURN")
    assert complete(files=[{"id": file_id}], channel_id="C0CHURN")["ok"]


def test_nothing_is_shared_in_an_archived_channel(slack: LocalSlack, client: WebClient, refused: Refused) -> None:
    slack.archive("#churn")
    upload = {"channel": "C0CHURN", "content": "x", "filename": "a"}
    assert refused(client.files_upload_v2, **upload) == "posting_to_channel_denied"


def test_an_alternative_text_that_slack_stumbles_over_is_noted(slack: LocalSlack, client: WebClient) -> None:
    client.files_upload_v2(channel="C0CHURN", content="x", filename="a.csv", alt_txt="values")
    (problem,) = slack.problems()
    assert problem.startswith("a.csv is no picture and has alt_txt")


# -- reading ------------------------------------------------------------------------------------------------------


def read(url: str, token: str = "") -> httpx.Response:
    return httpx.get(url, headers={"Authorization": f"Bearer {token}"} if token else {}, trust_env=False)


def test_the_bytes_are_read_with_a_token(slack: LocalSlack, client: WebClient, alice: WorkspaceMember) -> None:
    content = png()
    client.files_upload_v2(channel="C0CHURN", file=content, filename="a.png")
    file = only_file(alice)
    for name in ("url_private", "url_private_download", "thumb_360"):
        answer = read(file[name], slack.bot_token)
        assert (answer.content, answer.headers["Content-Type"]) == (content, "image/png")


@pytest.mark.parametrize("token", ["", "xoxb-made-up"])
def test_without_a_token_slack_sends_to_the_page(client: WebClient, slack: LocalSlack, token: str) -> None:
    answer = read(kept(client, CSV, "a.csv")["url_private"], token)
    assert (answer.status_code, answer.headers["Location"]) == (302, slack.url)


def test_reading_needs_a_scope_of_its_own() -> None:
    with local_slack(manifest_without("files:read")) as slack:
        file = kept(web_client(slack), CSV, "a.csv")
        assert read(file["url_private"], slack.bot_token).status_code == 302
        assert slack.problems()[0].endswith("was not read: missing_scope")


def test_a_file_is_seen_by_those_who_see_a_message_with_it(
    slack: LocalSlack, client: WebClient, alice: WorkspaceMember, bob: WorkspaceMember
) -> None:
    slack.add_channel("C0SECRET", "secret", is_private=True, members=["alice", "bot"])
    client.files_upload_v2(channel="C0SECRET", content="x", filename="a.txt")
    file = only_file(alice, "C0SECRET")
    assert alice.downloads(file) == b"x"
    with pytest.raises(RefusedError, match="file_not_found"):
        bob.downloads(file)
    with pytest.raises(RefusedError, match="file_not_found"):
        alice.downloads(kept(client, b"x", "a.txt"))


def test_a_file_cannot_act_as_the_page(slack: LocalSlack, client: WebClient, alice: WorkspaceMember) -> None:
    client.files_upload_v2(channel="C0CHURN", content="<script>alert(1)</script>", filename="a.html")
    query = {"user": "alice", "id": only_file(alice)["id"]}
    answer = httpx.get(f"{slack.url}_ui/file", params=query, trust_env=False)
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_a_permalink_leads_to_the_message(slack: LocalSlack, client: WebClient, alice: WorkspaceMember) -> None:
    client.files_upload_v2(channel="C0CHURN", content="x", filename="a.txt")
    ts = alice.sees("#churn")[0]["ts"].replace(".", "")
    assert read(only_file(alice)["permalink"]).headers["Location"] == f"{slack.url}archives/C0CHURN/p{ts}"
    assert read(kept(client, b"x", "a.txt")["permalink"]).headers["Location"] == slack.url


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
def test_a_picture_is_known_by_its_bytes(name: str, content: bytes, mimetype: str, size: tuple[int, int]) -> None:
    kind = detect_file_type(name, content)
    assert (kind.mimetype, (kind.width, kind.height)) == (mimetype, size)


# -- in blocks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["id", "url_private", "permalink"])
def test_a_block_shows_an_uploaded_picture(client: WebClient, bob: WorkspaceMember, way: str) -> None:
    file = kept(client, png(), "a.png")
    slack_file = {"id": file["id"]} if way == "id" else {"url": file[way]}
    blocks = [{"type": "image", "slack_file": slack_file, "alt_text": "a curve"}]
    client.chat_postMessage(channel="#churn", text="x", blocks=blocks)
    assert bob.sees("#churn")[0]["blocks"][0]["slack_file"] == slack_file
    assert bob.downloads(file) == png()


@pytest.mark.parametrize("what", ["unknown", "a.csv"])
def test_a_block_shows_nothing_but_an_uploaded_picture(client: WebClient, what: str) -> None:
    file_id = kept(client, CSV, what)["id"] if what == "a.csv" else "F0NOBODY"
    attachment = {"fallback": "x", "blocks": [image({"id": file_id})]}
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="#churn", text="x", attachments=[attachment])
    assert caught.value.response["error"] == "invalid_blocks"
    assert caught.value.response["errors"] == ["invalid slack file [json-pointer:/blocks/0/slack_file]"]


def test_a_modal_shows_an_uploaded_picture_to_whoever_has_it_open(
    slack: LocalSlack, client: WebClient, refused: Refused
) -> None:
    nothing, picture = image({"id": "F0NOBODY"}), image(kept(client, png(), "a.png"))
    assert refused(client.views_open, trigger_id="x", view=modal(nothing)) == "invalid_arguments"
    assert refused(client.views_open, trigger_id="x", view=modal(picture)) == "invalid_trigger_id"


# -- in what one person sees --------------------------------------------------------------------------------------


def test_an_ephemeral_shows_no_picture_that_is_not_shared(client: WebClient, refused: Refused) -> None:
    unshared = image(kept(client, png(), "a.png"))
    ephemeral = {"channel": "C0CHURN", "user": "U0ALICE", "text": "x", "blocks": [unshared]}
    assert refused(client.chat_postEphemeral, **ephemeral) == "invalid_blocks"


@pytest.mark.parametrize("where", ["C0GENERAL", "U0ALICE"])
def test_an_ephemeral_shows_a_picture_that_its_reader_sees_somewhere(client: WebClient, where: str) -> None:
    file = client.files_upload_v2(channels=[where], file=png(), filename="a.png")["file"]
    assert client.chat_postEphemeral(channel="C0CHURN", user="U0ALICE", text="x", blocks=[image(file)])["ok"]


def test_an_ephemeral_shows_no_picture_that_only_others_see(client: WebClient, refused: Refused) -> None:
    file = client.files_upload_v2(channels=["U0BOB"], file=png(), filename="a.png")["file"]
    ephemeral = {"channel": "C0CHURN", "user": "U0ALICE", "text": "x", "blocks": [image(file)]}
    assert refused(client.chat_postEphemeral, **ephemeral) == "invalid_blocks"


def test_a_deleted_message_shares_no_picture(client: WebClient, alice: WorkspaceMember, refused: Refused) -> None:
    file = client.files_upload_v2(channel="C0CHURN", file=png(), filename="a.png")["file"]
    client.chat_delete(channel="C0CHURN", ts=alice.sees("#churn")[0]["ts"])
    ephemeral = {"channel": "C0CHURN", "user": "U0ALICE", "text": "x", "blocks": [image(file)]}
    assert refused(client.chat_postEphemeral, **ephemeral) == "invalid_blocks"


def test_the_answer_to_a_command_shows_no_picture_that_is_not_shared(
    slack: LocalSlack, client: WebClient, connected: App, alice: WorkspaceMember
) -> None:
    unshared = image(kept(client, png(), "a.png"))

    @connected.command("/ask")
    def ask(ack: Ack) -> None:
        ack(text="x", blocks=[unshared])

    assert alice.types("#churn", "/ask").error == "invalid_blocks"
    assert "invalid slack file" in slack.problems()[0]


@pytest.mark.parametrize(("visibly", "status"), [({}, 404), ({"response_type": "in_channel"}, 200)])
def test_a_response_url_shows_one_person_no_picture_that_is_not_shared(
    client: WebClient, connected: App, alice: WorkspaceMember, visibly: JSON, status: int
) -> None:
    urls: list[str] = []

    @connected.command("/ask")
    def ask(ack: Ack, command: JSON) -> None:
        urls.append(command["response_url"])
        ack()

    alice.types("#churn", "/ask")
    answer = {"text": "x", "blocks": [image(kept(client, png(), "a.png"))], **visibly}
    response = httpx.post(urls[0], json=answer, trust_env=False)
    assert response.status_code == status
    assert ("invalid_blocks" in response.text) == (status == 404)


def raw_text(words: str) -> JSON:
    return {"type": "raw_text", "text": words}


def table(rows: int = 1, columns: int = 1, words: str = "x") -> JSON:
    return {"type": "table", "rows": [[raw_text(words)] * columns] * rows}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({"blocks": [table(100)]}, None),
        ({"blocks": [table(1, 20)]}, None),
        ({"blocks": [table(101)]}, "invalid_blocks"),
        ({"blocks": [table(1, 21)]}, "invalid_blocks"),
        ({"blocks": [table(words="")]}, "invalid_blocks"),
        ({"blocks": [table(10, 1, "x" * 1001)]}, "invalid_blocks"),
        ({"blocks": [table(100, 20)]}, "msg_blocks_too_long"),
        ({"blocks": [table(), table()]}, "invalid_attachments"),
        ({"blocks": [table()], "attachments": [{"fallback": "x", "blocks": [table()]}]}, "invalid_attachments"),
        ({"attachments": [{"fallback": "x", "blocks": [table()]}] * 2}, "invalid_attachments"),
        ({"attachments": [{"fallback": "x", "blocks": [table()]}]}, None),
    ],
)
def test_a_message_has_room_for_one_table_of_a_size(client: WebClient, content: JSON, error: str | None) -> None:
    answer = httpx.post(
        f"{client.base_url}chat.postMessage",
        json={"channel": "#churn", "text": "x", **content},
        headers={"Authorization": f"Bearer {client.token}"},
        trust_env=False,
    )
    assert answer.json().get("error") == error


# -- when things go wrong -----------------------------------------------------------------------------------------


def test_a_lost_answer_has_shared_the_file_already(
    slack: LocalSlack, client: WebClient, alice: WorkspaceMember, refused: Refused
) -> None:
    file_id = uploaded(client)
    slack.reset_after("files.completeUploadExternal")
    with pytest.raises((OSError, urllib.error.URLError)):
        client.files_completeUploadExternal(files=[{"id": file_id}], channel_id="C0CHURN")
    assert only_file(alice)["id"] == file_id
    again = {"files": [{"id": file_id}], "channel_id": "C0CHURN"}
    assert refused(client.files_completeUploadExternal, **again) == "file_not_found"


@pytest.mark.parametrize(
    "order",
    [
        lambda slack: slack.server_error("upload"),
        lambda slack: slack.reset_before("upload"),
        lambda slack: slack.rate_limit("upload"),
        lambda slack: slack.fail("upload", "trouble"),
    ],
)
def test_an_upload_can_be_made_to_fail(
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
        assert read(only_file(alice)["url_private"], slack.bot_token).content == png()


def test_nothing_is_left_of_files_after_a_reset(slack: LocalSlack, client: WebClient, alice: WorkspaceMember) -> None:
    url, _ = promised(client)
    file = alice.uploads("#churn", "a.csv", CSV)["files"][0]
    slack.reset()
    assert send(url, CSV).status_code == 404
    with pytest.raises(RefusedError, match="file_not_found"):
        alice.downloads(file)
