"""File uploads like slack_sdk's."""

from __future__ import annotations

from typing import Any

import httpx2
from slack_sdk import WebClient

from localslack import WorkspaceMember

JSON = dict[str, Any]


CSV = b"model,f1\nchurn,0.77\n"


def request_upload(client: WebClient, content: bytes = CSV, name: str = "a.csv", **arguments: Any) -> tuple[str, str]:
    answer = client.files_getUploadURLExternal(filename=name, length=len(content), **arguments)
    return str(answer["upload_url"]), str(answer["file_id"])


def send_bytes(url: str, content: bytes) -> httpx2.Response:
    return httpx2.post(url, content=content, trust_env=False)


def upload_bytes(client: WebClient, content: bytes = CSV, name: str = "a.csv", **arguments: Any) -> str:
    """Upload a file without completing the upload."""
    url, file_id = request_upload(client, content, name, **arguments)
    assert send_bytes(url, content).status_code == 200
    return file_id


def upload_unshared(client: WebClient, content: bytes, name: str) -> JSON:
    """Upload a file without sharing it."""
    return dict(client.files_upload_v2(file=content, filename=name)["file"])


def only_file(person: WorkspaceMember, channel: str = "#churn") -> JSON:
    (file,) = person.files(person.sees(channel)[-1])
    return file


def image_block(file: JSON) -> JSON:
    return {"type": "image", "slack_file": {"id": file["id"]}, "alt_text": "a curve"}


def fetch(url: str, token: str = "") -> httpx2.Response:
    return httpx2.get(url, headers={"Authorization": f"Bearer {token}"} if token else {}, trust_env=False)
