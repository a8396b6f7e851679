"""File types: pictures are recognized by their first bytes, as in Slack, and other files by name."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass

UNKNOWN = "application/octet-stream"
# The pictures that blocks and the page can show: https://docs.slack.dev/reference/block-kit/composition-objects/
PICTURE_TYPES = {"image/png": ("png", "PNG"), "image/jpeg": ("jpg", "JPEG"), "image/gif": ("gif", "GIF")}
# filetype and pretty_type: https://docs.slack.dev/reference/objects/file-object
FILETYPE_NAMES = {
    **PICTURE_TYPES,
    "text/csv": ("csv", "CSV"),
    "text/plain": ("text", "Plain Text"),
    "text/html": ("html", "HTML"),
    "application/json": ("json", "JSON"),
    "application/pdf": ("pdf", "PDF"),
    "image/svg+xml": ("svg", "SVG"),
    UNKNOWN: ("binary", "Binary"),
}
PNG, GIF, JPEG = b"\x89PNG\r\n\x1a\n", (b"GIF87a", b"GIF89a"), b"\xff\xd8"
# Start of frame: the JPEG segments that contain the size; C4, C8, and CC are something else.
START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, kw_only=True)
class FileType:
    """A MIME type; pictures also have a size in pixels."""

    mimetype: str
    width: int = 0
    height: int = 0


def detect_file_type(name: str, content: bytes) -> FileType:
    """Return the type of a file. A file that's named like a picture but isn't one has an unknown type."""
    if content.startswith(PNG) and content[12:16] == b"IHDR":
        return FileType(mimetype="image/png", width=_big_endian(content[16:20]), height=_big_endian(content[20:24]))
    if content.startswith(GIF):
        return FileType(mimetype="image/gif", width=_little_endian(content[6:8]), height=_little_endian(content[8:10]))
    if content.startswith(JPEG):
        width, height = _jpeg_size(content)
        return FileType(mimetype="image/jpeg", width=width, height=height)
    mimetype, _ = mimetypes.guess_type(name)
    return FileType(mimetype=UNKNOWN if mimetype in PICTURE_TYPES else mimetype or UNKNOWN)


def filetype_names(mimetype: str) -> tuple[str, str]:
    """Return Slack's filetype and pretty_type for a MIME type."""
    subtype = mimetype.rsplit("/", 1)[-1]
    return FILETYPE_NAMES.get(mimetype, (subtype, subtype.upper()))


def _jpeg_size(content: bytes) -> tuple[int, int]:
    offset = 2
    while offset + 9 <= len(content) and content[offset] == 0xFF:
        if content[offset + 1] in START_OF_FRAME:
            return _big_endian(content[offset + 7 : offset + 9]), _big_endian(content[offset + 5 : offset + 7])
        offset += 2 + _big_endian(content[offset + 2 : offset + 4])
    return 0, 0


def _big_endian(raw: bytes) -> int:
    return int.from_bytes(raw, "big")


def _little_endian(raw: bytes) -> int:
    return int.from_bytes(raw, "little")
