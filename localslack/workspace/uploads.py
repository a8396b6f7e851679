"""Files on their way in: promised an address, then received, then completed."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from localslack.core.errors import SlackError
from localslack.workspace.file_types import recognise
from localslack.workspace.records import File

# Slack's own limit is 1 GB; here every file is held in memory.
MOST_BYTES = 20_000_000
KEPT = 1000


@dataclass
class Upload:
    """A promised file, and its bytes once they are here."""

    key: str
    file: File
    content: bytes | None = None


class Uploads:
    """The uploads that have not been completed. They end with the process, as triggers do."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._held: dict[str, Upload] = {}

    def promise(self, name: str, size: int, user: str, *, alt_text: str = "", snippet_type: str = "") -> Upload:
        """Give a file an id and an address to send its bytes to, once."""
        file = File(
            id=file_id(),
            name=name,
            user=user,
            created=int(self._now()),
            size=size,
            alt_text=alt_text,
            snippet_type=snippet_type,
        )
        self._held[file.id] = upload = Upload(secrets.token_urlsafe(24), file)
        while len(self._held) > KEPT:
            del self._held[next(iter(self._held))]
        return upload

    def receive(self, key: str, content: bytes) -> File:
        """Take the bytes of a promised file; raises invalid_upload_url or size_mismatch, and keeps nothing then."""
        upload = next((one for one in self._held.values() if one.key == key), None)
        if upload is None or upload.content is not None:
            raise SlackError("invalid_upload_url", status=404)
        if len(content) != upload.file.size:
            raise SlackError("size_mismatch", status=400)
        upload.content = content
        upload.file = described(upload.file, content)
        return upload.file

    def received(self, wanted: str) -> Upload:
        """The upload of this file id, if its bytes are here; raises file_not_found."""
        upload = self._held.get(wanted)
        if upload is None or upload.content is None:
            raise SlackError("file_not_found")
        return upload

    def forget(self, finished: str) -> None:
        """Let go of an upload that has been completed."""
        self._held.pop(finished, None)

    def clear(self) -> None:
        """Forget all uploads."""
        self._held.clear()


def file_id() -> str:
    """Make up a file id."""
    return f"F{secrets.token_hex(5).upper()}"


def described(file: File, content: bytes) -> File:
    """The file with what its bytes tell of it."""
    kind = recognise(file.name, content)
    return replace(file, size=len(content), mimetype=kind.mimetype, width=kind.width, height=kind.height)
