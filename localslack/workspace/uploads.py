"""Files on their way in: promised an address, then received, then completed."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from localslack.core.errors import SlackError
from localslack.workspace.file_types import detect_file_type
from localslack.workspace.records import File

# Slack's own limit is 1 GB; here every file is held in memory.
MAX_FILE_BYTES = 20_000_000
MAX_PENDING = 1000


@dataclass
class PendingUpload:
    """A promised file, and its bytes once they are here."""

    key: str
    file: File
    content: bytes | None = None


class PendingUploads:
    """The uploads that have not been completed. They end with the process, as triggers do."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._pending: dict[str, PendingUpload] = {}

    def reserve(self, name: str, size: int, user: str, *, alt_text: str = "", snippet_type: str = "") -> PendingUpload:
        """Give a file an id and an address to send its bytes to, once."""
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
        """Take the bytes of a promised file; raises invalid_upload_url or size_mismatch, and keeps nothing then."""
        upload = next((pending for pending in self._pending.values() if pending.key == key), None)
        if upload is None or upload.content is not None:
            raise SlackError("invalid_upload_url", status=404)
        if len(content) != upload.file.size:
            raise SlackError("size_mismatch", status=400)
        upload.content = content
        upload.file = with_detected_type(upload.file, content)
        return upload.file

    def received_upload(self, file_id: str) -> PendingUpload:
        """The upload of this file id, if its bytes are here; raises file_not_found."""
        upload = self._pending.get(file_id)
        if upload is None or upload.content is None:
            raise SlackError("file_not_found")
        return upload

    def forget(self, file_id: str) -> None:
        """Let go of an upload that has been completed."""
        self._pending.pop(file_id, None)

    def clear(self) -> None:
        """Forget all uploads."""
        self._pending.clear()


def new_file_id() -> str:
    """Make up a file id."""
    return f"F{secrets.token_hex(5).upper()}"


def with_detected_type(file: File, content: bytes) -> File:
    """The file with what its bytes tell of it."""
    kind = detect_file_type(file.name, content)
    return replace(file, size=len(content), mimetype=kind.mimetype, width=kind.width, height=kind.height)
