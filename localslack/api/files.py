"""files.*: files.info, and the two calls around an upload, whose bytes go to the address from the first one."""

from __future__ import annotations

from dataclasses import replace

from localslack.api.arguments import Args
from localslack.api.method import JSON, Method
from localslack.api.visibility import visible
from localslack.backend import Core
from localslack.core.errors import SlackError, missing
from localslack.workspace import file_objects
from localslack.workspace.file_types import PICTURES
from localslack.workspace.message_content import content_of
from localslack.workspace.records import Channel
from localslack.workspace.uploads import MOST_BYTES, Upload

ALT_TEXT_MAX = 1000
SNIPPET_MAX = 1_000_000
CHANNELS_MAX = 100


def promise(core: Core, args: Args) -> JSON:
    """files.getUploadURLExternal: a file id, and an address for its bytes."""
    name, size = args.required("filename"), _size(args)
    alt_text, snippet_type = args.text("alt_txt"), args.text("snippet_type")
    if len(alt_text) > ALT_TEXT_MAX:
        raise SlackError("alt_txt_too_large")
    if snippet_type and size > SNIPPET_MAX:
        raise SlackError("snippet_too_large")
    if size > MOST_BYTES:
        raise SlackError("file_upload_size_restricted")
    owner = core.space.app.bot_user_id
    upload = core.uploads.promise(name, size, owner, alt_text=alt_text, snippet_type=snippet_type)
    return {"upload_url": f"{core.base_url}upload/v1/{upload.key}", "file_id": upload.file.id}


def complete(core: Core, args: Args) -> JSON:
    """files.completeUploadExternal: keep the files, and share all of them in one message a channel."""
    titles, rooms = _titles(args), _rooms(core, args)
    uploads = [_finished(core, file_id) for file_id in titles]
    content = _content(core, args)
    for upload in uploads:
        _keep(core, upload, titles[upload.file.id])
    for room in rooms:
        shared = content | _thread(core, room, args) | {"files": list(titles)}
        core.space.post(room, core.space.app.bot_user_id, **shared)
    return {"files": [file_objects.unprocessed(core.space, core.space.file(file_id)) for file_id in titles]}


def info(core: Core, args: Args) -> JSON:
    """files.info: what Slack knows about a file that the app sees."""
    held = core.space.file(args.required("file"))
    if not file_objects.app_sees(core.space, held):
        raise SlackError("file_not_found")
    shape = file_objects.information(core.space, held, is_ready=core.is_ready(held))
    return {"file": shape, "comments": [], "response_metadata": {"next_cursor": ""}}


def _size(args: Args) -> int:
    try:
        size = int(args.required("length"))
    except ValueError:
        raise SlackError("invalid_arguments", messages=["must be an integer [json-pointer:/length]"]) from None
    if size < 1:
        raise SlackError("missing_argument")
    return size


def _titles(args: Args) -> dict[str, str]:
    listed = args.decoded("files")
    if not isinstance(listed, list) or not all(isinstance(one, dict) and one.get("id") for one in listed):
        raise SlackError("invalid_arguments", messages=["must provide an array of objects [json-pointer:/files]"])
    if not listed:
        raise missing("files")
    return {str(one["id"]): str(one.get("title") or "") for one in listed}


def _finished(core: Core, file_id: str) -> Upload:
    held = core.space.files.get(file_id)
    if held and held.user != core.space.app.bot_user_id:
        raise SlackError("access_denied")
    # What has been completed once has no upload any more, so that completing it again shares nothing twice.
    return core.uploads.received(file_id)


def _keep(core: Core, upload: Upload, title: str) -> None:
    file = replace(upload.file, title=title, ready_at=core.ready_at())
    if file.alt_text and file.mimetype not in PICTURES:
        core.problem(f"{file.name} is no picture and has alt_txt: Slack may not share it (python-slack-sdk#1818)")
    core.space.keep(file, upload.content or b"")
    core.uploads.forget(file.id)


def _content(core: Core, args: Args) -> JSON:
    comment = args.text("initial_comment")
    # With a comment Slack ignores the blocks.
    said = {"text": comment} if comment else {"blocks": args.raw.get("blocks")}
    return content_of(said, core.has_picture)


def _rooms(core: Core, args: Args) -> list[Channel]:
    wanted = list(dict.fromkeys([*args.names("channel_id"), *args.names("channels")]))
    if len(wanted) > CHANNELS_MAX:
        raise SlackError("channels_limit_exceeded")
    people = core.space.people if not args.text("channel_id") else {}
    return [core.space.direct_channel(people[one]) if one in people else _room(core, one) for one in wanted]


def _room(core: Core, channel_id: str) -> Channel:
    if channel_id not in core.space.channels:
        raise SlackError("channel_not_found")
    room = visible(core, channel_id)
    # chat:write.public does not help here: files are shared from inside only.
    if core.space.app.bot_user_id not in room.members:
        raise SlackError("not_in_channel")
    if room.is_archived or not core.space.may_post(room, core.space.app.bot_user_id):
        raise SlackError("posting_to_channel_denied")
    return room


def _thread(core: Core, room: Channel, args: Args) -> JSON:
    if not (ts := args.text("thread_ts")):
        return {}
    try:
        parent = core.space.message(room, ts)
    except SlackError:
        core.problem(f"there is no thread {ts} in {room.name or room.id}: the files went into the channel")
        return {}
    return {"thread_ts": parent.thread_ts or parent.ts}


# Scopes, JSON support and tiers: slack-ruby/slack-api-ref, methods/files.
METHODS = {
    "files.getUploadURLExternal": Method(promise, ("files:write",), tier=4, reads_json=False),
    "files.completeUploadExternal": Method(complete, ("files:write",), tier=4),
    "files.info": Method(info, ("files:read",), tier=4, reads_json=False),
}
