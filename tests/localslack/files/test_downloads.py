"""Access to files, with a token or on the page."""

from __future__ import annotations

import httpx2
import pytest
from slack_sdk import WebClient

from localslack import LocalSlack, WorkspaceMember
from tests.localslack.block_builders import png
from tests.localslack.bolt_apps import manifest_without, web_client
from tests.localslack.file_uploads import CSV, fetch, only_file, upload_unshared
from tests.support.app.workspaces import local_slack


def test_a_token_gives_access_to_the_bytes(slack: LocalSlack, client: WebClient, alice: WorkspaceMember) -> None:
    content = png()
    client.files_upload_v2(channel="C0CHURN", file=content, filename="a.png")
    file = only_file(alice)
    for name in ("url_private", "url_private_download", "thumb_360"):
        answer = fetch(file[name], slack.bot_token)
        assert (answer.content, answer.headers["Content-Type"]) == (content, "image/png")


@pytest.mark.parametrize("token", ["", "xoxb-made-up"])
def test_without_a_token_slack_redirects_to_the_page(client: WebClient, slack: LocalSlack, token: str) -> None:
    answer = fetch(upload_unshared(client, CSV, "a.csv")["url_private"], token)
    assert (answer.status_code, answer.headers["Location"]) == (302, slack.url)


def test_downloading_needs_its_own_scope() -> None:
    with local_slack(manifest_without("files:read")) as slack:
        file = upload_unshared(web_client(slack), CSV, "a.csv")
        assert fetch(file["url_private"], slack.bot_token).status_code == 302
        assert slack.problems()[0].endswith(": missing_scope")


def test_a_file_can_t_act_as_the_page(slack: LocalSlack, client: WebClient, alice: WorkspaceMember) -> None:
    client.files_upload_v2(channel="C0CHURN", content="<script>alert(1)</script>", filename="a.html")
    query = {"user": "alice", "id": only_file(alice)["id"]}
    answer = httpx2.get(f"{slack.url}_ui/file", params=query, trust_env=False)
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_a_permalink_opens_the_message(slack: LocalSlack, client: WebClient, alice: WorkspaceMember) -> None:
    client.files_upload_v2(channel="C0CHURN", content="x", filename="a.txt")
    ts = alice.sees("#churn")[0]["ts"].replace(".", "")
    assert fetch(only_file(alice)["permalink"]).headers["Location"] == f"{slack.url}archives/C0CHURN/p{ts}"
    assert fetch(upload_unshared(client, b"x", "a.txt")["permalink"]).headers["Location"] == slack.url
