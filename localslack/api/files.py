"""files.*: files.info, and the calls before and after an upload."""

from __future__ import annotations

from dataclasses import replace

from localslack.api.arguments import Arguments
from localslack.api.method import JSON, ApiMethod
from localslack.api.visibility import require_visible_channel
from localslack.backend import Backend
from localslack.core.errors import SlackError, missing_field
from localslack.workspace import file_objects
from localslack.workspace.file_types import PICTURE_TYPES
from localslack.workspace.message_content import parse_content
from localslack.workspace.records import Conversation
from localslack.workspace.uploads import MAX_FILE_BYTES, PendingUpload

ALT_TEXT_MAX = 1000
SNIPPET_MAX = 1_000_000
CHANNELS_MAX = 100


def get_upload_url(backend: Backend, args: Arguments) -> JSON:
    """files.getUploadURLExternal: reserve a file ID, and a URL to send the file's bytes to."""
    name, size = args.required("filename"), _size(args)
    alt_text, snippet_type = args.text("alt_txt"), args.text("snippet_type")
    if len(alt_text) > ALT_TEXT_MAX:
        raise SlackError("alt_txt_too_large")
    if snippet_type and size > SNIPPET_MAX:
        raise SlackError("snippet_too_large")
    if size > MAX_FILE_BYTES:
        raise SlackError("file_upload_size_restricted")
    owner = backend.workspace.app.bot_user_id
    upload = backend.uploads.reserve(name, size, owner, alt_text=alt_text, snippet_type=snippet_type)
    return {"upload_url": f"{backend.base_url}upload/v1/{upload.key}", "file_id": upload.file.id}


def complete_upload(backend: Backend, args: Arguments) -> JSON:
    """files.completeUploadExternal: save uploaded files, and share them in one message per channel."""
    titles, channels = _titles(args), _channels_to_share_in(backend, args)
    uploads = [_require_received(backend, file_id) for file_id in titles]
    content = _content(backend, args)
    for upload in uploads:
        _save(backend, upload, titles[upload.file.id])
    for channel in channels:
        message_content = content | _thread_fields(backend, channel, args) | {"files": list(titles)}
        backend.workspace.post_message(channel, backend.workspace.app.bot_user_id, **message_content)
    return {
        "files": [
            file_objects.unprocessed_file_object(backend.workspace, backend.workspace.file(file_id))
            for file_id in titles
        ]
    }


def info(backend: Backend, args: Arguments) -> JSON:
    """files.info: describe a file that the app can see."""
    file = backend.workspace.file(args.required("file"))
    if not file_objects.can_app_see(backend.workspace, file):
        raise SlackError("file_not_found")
    file_object = file_objects.file_info_object(backend.workspace, file, is_ready=backend.is_file_ready(file))
    return {"file": file_object, "comments": [], "response_metadata": {"next_cursor": ""}}


def _size(args: Arguments) -> int:
    try:
        size = int(args.required("length"))
    except ValueError:
        raise SlackError("invalid_arguments", messages=["must be an integer [json-pointer:/length]"]) from None
    if size < 1:
        raise SlackError("missing_argument")
    return size


def _titles(args: Arguments) -> dict[str, str]:
    entries = args.json("files")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and entry.get("id") for entry in entries):
        raise SlackError("invalid_arguments", messages=["must provide an array of objects [json-pointer:/files]"])
    if not entries:
        raise missing_field("files")
    return {str(entry["id"]): str(entry.get("title") or "") for entry in entries}


def _require_received(backend: Backend, file_id: str) -> PendingUpload:
    file = backend.workspace.files.get(file_id)
    if file and file.user != backend.workspace.app.bot_user_id:
        raise SlackError("access_denied")
    # A completed file has no pending upload, so completing it again doesn't share it twice.
    return backend.uploads.received_upload(file_id)


def _save(backend: Backend, upload: PendingUpload, title: str) -> None:
    file = replace(upload.file, title=title, ready_at=backend.file_ready_at())
    if file.alt_text and file.mimetype not in PICTURE_TYPES:
        backend.report_problem(
            f"{file.name} isn't a picture but has alt_txt: Slack might not share it (python-slack-sdk#1818)"
        )
    backend.workspace.save_file(file, upload.content or b"")
    backend.uploads.forget(file.id)


def _content(backend: Backend, args: Arguments) -> JSON:
    comment = args.text("initial_comment")
    # Slack ignores the blocks if there's a comment.
    fields = {"text": comment} if comment else {"blocks": args.raw.get("blocks")}
    return parse_content(fields, backend.has_picture)


def _channels_to_share_in(backend: Backend, args: Arguments) -> list[Conversation]:
    channel_ids = list(dict.fromkeys([*args.listed("channel_id"), *args.listed("channels")]))
    if len(channel_ids) > CHANNELS_MAX:
        raise SlackError("channels_limit_exceeded")
    people = backend.workspace.people if not args.text("channel_id") else {}
    return [
        backend.workspace.open_direct_message(people[channel_id])
        if channel_id in people
        else _channel_to_share_in(backend, channel_id)
        for channel_id in channel_ids
    ]


def _channel_to_share_in(backend: Backend, channel_id: str) -> Conversation:
    if channel_id not in backend.workspace.channels:
        raise SlackError("channel_not_found")
    channel = require_visible_channel(backend, channel_id)
    # chat:write.public doesn't help here: only members can share files.
    if backend.workspace.app.bot_user_id not in channel.members:
        raise SlackError("not_in_channel")
    if channel.is_archived or not backend.workspace.can_post(channel, backend.workspace.app.bot_user_id):
        raise SlackError("posting_to_channel_denied")
    return channel


def _thread_fields(backend: Backend, channel: Conversation, args: Arguments) -> JSON:
    if not (ts := args.text("thread_ts")):
        return {}
    try:
        parent = backend.workspace.message(channel, ts)
    except SlackError:
        backend.report_problem(f"no thread {ts} in {channel.name or channel.id}: the files went into the channel")
        return {}
    return {"thread_ts": parent.thread_ts or parent.ts}


# Scopes, JSON support and tiers: slack-ruby/slack-api-ref, methods/files.
METHODS = {
    "files.getUploadURLExternal": ApiMethod(get_upload_url, ("files:write",), tier=4, reads_json=False),
    "files.completeUploadExternal": ApiMethod(complete_upload, ("files:write",), tier=4),
    "files.info": ApiMethod(info, ("files:read",), tier=4, reads_json=False),
}
