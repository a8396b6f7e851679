"""Uploads: reserved with a URL, then received, then completed."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from localslack.core.errors import SlackError
from localslack.workspace.file_types import detect_file_type
from localslack.workspace.records import File

# Slack's own limit is 1 GB; here, every file is in memory.
MAX_FILE_BYTES = 20_000_000
MAX_PENDING = 1000


@dataclass
class PendingUpload:
    """A reserved file, and its bytes once they have been received."""

    key: str
    file: File
    content: bytes | None = None


class PendingUploads:
    """Uploads that haven't been completed. They're lost when the process ends."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._pending: dict[str, PendingUpload] = {}

    def reserve(self, name: str, size: int, user: str, *, alt_text: str = "", snippet_type: str = "") -> PendingUpload:
        """Reserve a file ID, and a key for the upload URL, which works once."""
        file = File(
            id=new_file_id(),
            name=name,
            user=user,
            created=int(self._now()),
            size=size,
            alt_text=alt_text,
            snippet_type=snippet_type,
        )
        self._pending[file.id] = upload = PendingUpload(secrets.token_urlsafe(24), file)
        while len(self._pending) > MAX_PENDING:
            del self._pending[next(iter(self._pending))]
        return upload

    def receive(self, key: str, content: bytes) -> File:
        """Receive the bytes of a reserved file; raises invalid_upload_url or size_mismatch.

        On error, nothing is stored.
        """
        upload = next((pending for pending in self._pending.values() if pending.key == key), None)
        if upload is None or upload.content is not None:
            raise SlackError("invalid_upload_url", status=404)
        if len(content) != upload.file.size:
            raise SlackError("size_mismatch", status=400)
        upload.content = content
        upload.file = with_detected_type(upload.file, content)
        return upload.file

    def received_upload(self, file_id: str) -> PendingUpload:
        """Return an upload whose bytes have been received; raises file_not_found."""
        upload = self._pending.get(file_id)
        if upload is None or upload.content is None:
            raise SlackError("file_not_found")
        return upload

    def forget(self, file_id: str) -> None:
        """Remove a completed upload."""
        self._pending.pop(file_id, None)

    def clear(self) -> None:
        """Remove all uploads."""
        self._pending.clear()


def new_file_id() -> str:
    """Return a new file ID."""
    return f"F{secrets.token_hex(5).upper()}"


def with_detected_type(file: File, content: bytes) -> File:
    """Return the file with its size and type detected from its bytes."""
    kind = detect_file_type(file.name, content)
    return replace(file, size=len(content), mimetype=kind.mimetype, width=kind.width, height=kind.height)
