"""Uploaded files: how Slack words them, where they are read, and which messages show them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from localslack.blocks import slack_files
from localslack.workspace.file_types import PICTURES, names_of
from localslack.workspace.records import JSON, File, Message, Person
from localslack.workspace.state import Workspace

# The sizes of Slack's previews; here each of them is the picture itself.
THUMBS = (64, 80, 160, 360, 480, 720)


def shape(space: Workspace, held: File) -> JSON:
    """A file object, as messages carry it."""
    filetype, pretty = names_of(held.mimetype)
    kind = {"mimetype": held.mimetype, "filetype": held.snippet_type or filetype, "pretty_type": pretty}
    return _common(space, held) | kind | _thumbs(space, held)


def unprocessed(space: Workspace, held: File) -> JSON:
    """A file object as files.completeUploadExternal returns it: Slack looks into the file only afterwards."""
    unknown = {"mimetype": "", "filetype": "", "pretty_type": "", "media_display_type": "unknown"}
    return _common(space, held) | unknown | {"shares": {}, "channels": [], "groups": [], "ims": []}


def information(space: Workspace, held: File, *, is_ready: bool) -> JSON:
    """A file object as files.info returns it: where it is shared and, once Slack has checked it, what it is."""
    if not is_ready:
        return unprocessed(space, held)
    listed: dict[str, list[str]] = {"channels": [], "groups": [], "ims": []}
    shares: JSON = {}
    for message in _sharing(space, held):
        room = space.channels[message.channel]
        listed[{"public_channel": "channels", "private_channel": "groups", "im": "ims"}[room.kind]].append(room.id)
        where = shares.setdefault("public" if room.kind == "public_channel" else "private", {})
        where.setdefault(room.id, []).append({"ts": message.ts, "channel_name": room.name, "team_id": space.team.id})
    return shape(space, held) | {"shares": shares, **{kind: list(dict.fromkeys(ids)) for kind, ids in listed.items()}}


def private_url(space: Workspace, held: File, way: str = "") -> str:
    """Where the bytes are read with a token; way may be "download/"."""
    return f"{space.team.url}files-pri/{space.team.id}-{held.id}/{way}{_in_url(held.name)}"


def permalink(space: Workspace, held: File) -> str:
    """Where people look at the file."""
    return f"{space.team.url}files/{held.user}/{held.id}/{_in_url(held.name)}"


def picture(space: Workspace, wanted: JSON) -> File | None:
    """The picture that the slack_file of a block means, by its id or by either of its addresses; None if none."""
    url = wanted.get("url")
    held = space.files.get(str(wanted.get("id"))) if url is None else _at(space, url)
    return held if held and held.mimetype in PICTURES else None


def is_shared(space: Workspace, wanted: JSON, person: Person) -> bool:
    """Whether a slack_file's picture is the person's own, or in a lasting message that they can see."""
    held = picture(space, wanted)
    if held is None:
        return False
    rooms = (space.channels[message.channel] for message in _sharing(space, held))
    return held.user == person.id or any(space.may_see(person, room) for room in rooms)


def app_sees(space: Workspace, held: File) -> bool:
    """Whether a file is the app's, or shared in a conversation that the app is in."""
    me = space.app.bot_user_id
    return held.user == me or any(me in space.channels[one.channel].members for one in _sharing(space, held))


def shown_in(space: Workspace, message: Message) -> Iterator[str]:
    """The ids of the files that a message shows."""
    yield from message.files
    yield from shown_by(space, [message.blocks, message.attachments])


def shown_by(space: Workspace, blocks: object) -> Iterator[str]:
    """The ids of the pictures that blocks show."""
    for wanted, _ in slack_files(blocks):
        if held := picture(space, wanted):
            yield held.id


def _sharing(space: Workspace, held: File) -> Iterator[Message]:
    """The lasting messages with a file, in every conversation."""
    messages = (message for room in space.channels.values() for message in space.messages(room))
    return (one for one in messages if one.audience is None and held.id in shown_in(space, one))


def _at(space: Workspace, url: str) -> File | None:
    return next((one for one in space.files.values() if url in (private_url(space, one), permalink(space, one))), None)


def _common(space: Workspace, held: File) -> JSON:
    common: JSON = {
        "id": held.id,
        "created": held.created,
        "timestamp": held.created,
        "name": held.name,
        "title": held.title or held.name,
        "user": held.user,
        "user_team": space.team.id,
        "editable": bool(held.snippet_type),
        "size": held.size,
        "mode": "snippet" if held.snippet_type else "hosted",
        "is_external": False,
        "external_type": "",
        "file_access": "visible",
        "public_url_shared": False,
        "display_as_bot": False,
        "username": "",
        "url_private": private_url(space, held),
        "url_private_download": private_url(space, held, "download/"),
        "permalink": permalink(space, held),
        "has_rich_preview": False,
    }
    return common | ({"alt_txt": held.alt_text} if held.alt_text else {})


def _thumbs(space: Workspace, held: File) -> JSON:
    if held.mimetype not in PICTURES or not held.width:
        return {}
    thumbs: JSON = {"original_w": held.width, "original_h": held.height}
    stem = PurePosixPath(_in_url(held.name)).stem
    for size in THUMBS:
        thumbs[f"thumb_{size}"] = f"{space.team.url}files-tmb/{space.team.id}-{held.id}/{stem}_{size}.png"
        if size >= 360:
            shrunk = min(1.0, size / max(held.width, held.height))
            thumbs[f"thumb_{size}_w"] = max(1, round(held.width * shrunk))
            thumbs[f"thumb_{size}_h"] = max(1, round(held.height * shrunk))
    return thumbs


def _in_url(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip(".").lower() or "file"
