"""File objects (Slack's descriptions of files), their URLs, and who can see them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from localslack.blocks import slack_files
from localslack.workspace.file_types import PICTURE_TYPES, filetype_names
from localslack.workspace.records import JSON, File, PostedMessage, User
from localslack.workspace.state import WorkspaceState

# The sizes of Slack's previews. Here, each preview is the picture itself.
THUMBNAIL_SIZES = (64, 80, 160, 360, 480, 720)


def file_object(workspace: WorkspaceState, file: File) -> JSON:
    """Return the file object as it appears in messages."""
    filetype, pretty = filetype_names(file.mimetype)
    kind = {"mimetype": file.mimetype, "filetype": file.snippet_type or filetype, "pretty_type": pretty}
    return _common_fields(workspace, file) | kind | _thumbnail_fields(workspace, file)


def unprocessed_file_object(workspace: WorkspaceState, file: File) -> JSON:
    """Return the file object of a file whose type isn't known yet, as right after its upload is completed."""
    unknown = {"mimetype": "", "filetype": "", "pretty_type": "", "media_display_type": "unknown"}
    return _common_fields(workspace, file) | unknown | {"shares": {}, "channels": [], "groups": [], "ims": []}


def file_info_object(workspace: WorkspaceState, file: File, *, is_ready: bool) -> JSON:
    """Return the file object for files.info, including the file's type and where it's shared if it's ready."""
    if not is_ready:
        return unprocessed_file_object(workspace, file)
    channel_ids: dict[str, list[str]] = {"channels": [], "groups": [], "ims": []}
    shares: JSON = {}
    for message in _messages_with(workspace, file):
        channel = workspace.channels[message.channel]
        kind = {"public_channel": "channels", "private_channel": "groups", "im": "ims"}[channel.kind]
        channel_ids[kind].append(channel.id)
        channels_by_id = shares.setdefault("public" if channel.kind == "public_channel" else "private", {})
        channels_by_id.setdefault(channel.id, []).append(
            {"ts": message.ts, "channel_name": channel.name, "team_id": workspace.team.id}
        )
    return file_object(workspace, file) | {
        "shares": shares,
        **{kind: list(dict.fromkeys(ids)) for kind, ids in channel_ids.items()},
    }


def private_url(workspace: WorkspaceState, file: File, path_prefix: str = "") -> str:
    """Return the URL of the file's bytes, which requires a token. `path_prefix` is "" or "download/"."""
    return f"{workspace.team.url}files-pri/{workspace.team.id}-{file.id}/{path_prefix}{_name_in_url(file.name)}"


def permalink(workspace: WorkspaceState, file: File) -> str:
    """Return the URL where people open the file."""
    return f"{workspace.team.url}files/{file.user}/{file.id}/{_name_in_url(file.name)}"


def find_picture(workspace: WorkspaceState, slack_file: JSON) -> File | None:
    """Return the picture that a block's slack_file identifies by ID or by one of its URLs, or None."""
    url = slack_file.get("url")
    file = workspace.files.get(str(slack_file.get("id"))) if url is None else _find_by_url(workspace, url)
    return file if file and file.mimetype in PICTURE_TYPES else None


def can_see_picture(workspace: WorkspaceState, slack_file: JSON, person: User) -> bool:
    """Return whether a person owns a slack_file's picture, or can see it in a message that isn't ephemeral."""
    file = find_picture(workspace, slack_file)
    if file is None:
        return False
    channels = (workspace.channels[message.channel] for message in _messages_with(workspace, file))
    return file.user == person.id or any(workspace.can_see(person, channel) for channel in channels)


def can_app_see(workspace: WorkspaceState, file: File) -> bool:
    """Return whether the app owns a file, or is in a conversation where it's shared."""
    bot_user_id = workspace.app.bot_user_id
    return file.user == bot_user_id or any(
        bot_user_id in workspace.channels[message.channel].members for message in _messages_with(workspace, file)
    )


def files_shown_in(workspace: WorkspaceState, message: PostedMessage) -> Iterator[str]:
    """Yield the IDs of the files in a message."""
    yield from message.files
    yield from files_shown_by(workspace, [message.blocks, message.attachments])


def files_shown_by(workspace: WorkspaceState, blocks: object) -> Iterator[str]:
    """Yield the IDs of the pictures in blocks."""
    for slack_file, _ in slack_files(blocks):
        if file := find_picture(workspace, slack_file):
            yield file.id


def _messages_with(workspace: WorkspaceState, file: File) -> Iterator[PostedMessage]:
    """Yield the non-ephemeral messages in all conversations that contain the file."""
    messages = (message for channel in workspace.channels.values() for message in workspace.messages(channel))
    return (
        message for message in messages if message.audience is None and file.id in files_shown_in(workspace, message)
    )


def _find_by_url(workspace: WorkspaceState, url: str) -> File | None:
    return next(
        (
            file
            for file in workspace.files.values()
            if url in (private_url(workspace, file), permalink(workspace, file))
        ),
        None,
    )


def _common_fields(workspace: WorkspaceState, file: File) -> JSON:
    common: JSON = {
        "id": file.id,
        "created": file.created,
        "timestamp": file.created,
        "name": file.name,
        "title": file.title or file.name,
        "user": file.user,
        "user_team": workspace.team.id,
        "editable": bool(file.snippet_type),
        "size": file.size,
        "mode": "snippet" if file.snippet_type else "hosted",
        "is_external": False,
        "external_type": "",
        "file_access": "visible",
        "public_url_shared": False,
        "display_as_bot": False,
        "username": "",
        "url_private": private_url(workspace, file),
        "url_private_download": private_url(workspace, file, "download/"),
        "permalink": permalink(workspace, file),
        "has_rich_preview": False,
    }
    return common | ({"alt_txt": file.alt_text} if file.alt_text else {})


def _thumbnail_fields(workspace: WorkspaceState, file: File) -> JSON:
    if file.mimetype not in PICTURE_TYPES or not file.width:
        return {}
    thumbs: JSON = {"original_w": file.width, "original_h": file.height}
    stem = PurePosixPath(_name_in_url(file.name)).stem
    for size in THUMBNAIL_SIZES:
        thumbs[f"thumb_{size}"] = f"{workspace.team.url}files-tmb/{workspace.team.id}-{file.id}/{stem}_{size}.png"
        if size >= 360:
            scale = min(1.0, size / max(file.width, file.height))
            thumbs[f"thumb_{size}_w"] = max(1, round(file.width * scale))
            thumbs[f"thumb_{size}_h"] = max(1, round(file.height * scale))
    return thumbs


def _name_in_url(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip(".").lower() or "file"
