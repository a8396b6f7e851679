"""Messages, slash commands, and files that people send, and editing and deleting messages."""

from __future__ import annotations

import re
from dataclasses import replace

from localslack import payloads
from localslack.backend import Backend
from localslack.core.errors import SlackError
from localslack.delivery.result import PayloadResult
from localslack.interactions.access import require_access
from localslack.interactions.events import announce_change, announce_deletion, announce_message
from localslack.manifest import SlashCommand
from localslack.workspace import objects
from localslack.workspace.message_content import parse_content, require_content
from localslack.workspace.records import JSON, Conversation, File, PostedMessage, User
from localslack.workspace.uploads import MAX_FILE_BYTES, new_file_id, with_detected_type

SLACKBOT = "USLACKBOT"


class MessageComposer:
    """Sends people's messages, slash commands, and files; edits and deletes messages."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def send(self, user: str, channel_name: str, text: str, thread_ts: str | None = None) -> JSON:
        """Send a message, or run a slash command if the text starts with one.

        Returns the message, or the acknowledgment with the app's direct answer. Raises SlackError.
        """
        person, channel = require_access(self._backend, user, channel_name, to_write=True)
        if text.startswith("/"):
            return await self._run_command(person, channel, text, thread_ts)
        self._require_posting_right(person, channel)
        if not text.strip():
            raise SlackError("no_text")
        parent = self._backend.workspace.message(channel, thread_ts) if thread_ts else None
        content = {"text": self._link_names(text), "thread_ts": parent.ts if parent else None}
        message = self._backend.workspace.post_message(channel, person.id, **content)
        announce_message(self._backend, channel, message)
        return {"kind": "message", "message": objects.message_for_person(self._backend.workspace, message)}

    def upload(self, user: str, channel_name: str, name: str, content: bytes, thread_ts: str | None = None) -> JSON:
        """Share a file, and return its message. Raises SlackError."""
        person, channel = require_access(self._backend, user, channel_name, to_write=True)
        self._require_posting_right(person, channel)
        if len(content) > MAX_FILE_BYTES:
            raise SlackError("file_upload_size_restricted")
        parent = self._backend.workspace.message(channel, thread_ts) if thread_ts else None
        now = int(self._backend.clock.now())
        file = with_detected_type(
            File(id=new_file_id(), name=name, user=person.id, created=now, size=len(content)), content
        )
        self._backend.workspace.save_file(file, content)
        thread = {"thread_ts": parent.ts if parent else None}
        message = self._backend.workspace.post_message(channel, person.id, files=[file.id], **thread)
        announce_message(self._backend, channel, message)
        return {"message": objects.message_for_person(self._backend.workspace, message)}

    def edit(self, user: str, channel_name: str, ts: str, text: str) -> JSON:
        """Change the text of a person's own message, and return the message. Raises SlackError."""
        workspace = self._backend.workspace
        person, channel = require_access(self._backend, user, channel_name, to_write=True)
        message = workspace.message(channel, ts)
        if message.user != person.id:
            raise SlackError("cant_update_message")
        previous_message = objects.message_object(workspace, message)
        edited = workspace.edit_message(message, text=self._link_names(text))
        announce_change(self._backend, channel, previous_message, edited)
        return {"message": objects.message_for_person(workspace, edited)}

    def delete(self, user: str, channel_name: str, ts: str) -> JSON:
        """Delete a person's own message or, for an admin, anyone's. Raises SlackError."""
        workspace = self._backend.workspace
        person, channel = require_access(self._backend, user, channel_name, to_write=True)
        message = workspace.message(channel, ts)
        if message.user != person.id and not person.is_admin:
            raise SlackError("cant_delete_message")
        previous_message = objects.message_object(workspace, message)
        workspace.delete_message(message)
        if tombstone := workspace.find_message(channel, ts):
            announce_change(self._backend, channel, previous_message, tombstone)
        else:
            announce_deletion(self._backend, channel, previous_message)
        return {}

    def _require_posting_right(self, person: User, channel: Conversation) -> None:
        if not self._backend.workspace.can_post(channel, person.id):
            raise SlackError("restricted_action")

    async def _run_command(self, person: User, channel: Conversation, text: str, thread_ts: str | None) -> JSON:
        name, _, arguments = text.partition(" ")
        command = self._backend.manifest.command(name)
        if command is None:
            return self._refuse_command(person, channel, f"`{name}` is not a valid command.", thread_ts)
        if thread_ts:
            return self._refuse_command(person, channel, f"`{name}` is not supported in threads. Sorry!", thread_ts)
        result = await self._backend.router.send_command(
            self._command_payload(person, channel, command, arguments.strip())
        )
        return self._command_result(person, channel, name, result)

    def _command_payload(self, person: User, channel: Conversation, command: SlashCommand, text: str) -> JSON:
        backend, actor = self._backend, self._backend.actor(person)
        if not backend.workspace.is_stranger(person):
            # A command contains the workspace where it's typed, not its author's: bolt-js#1875.
            actor = replace(actor, team_id=backend.workspace.team.id)
        return payloads.slash_command(
            command.name,
            self._link_names(text, with_labels=True) if command.should_escape else text,
            actor=actor,
            place=backend.channel_ref(channel),
            origin=backend.installation,
            response_url=backend.base_url + backend.response_urls.issue("commands", person.id, channel.id),
            trigger_id=backend.triggers.issue(person.id),
        )

    def _command_result(self, person: User, channel: Conversation, command: str, result: PayloadResult) -> JSON:
        error, message = result.error, None
        if result.answer:
            try:
                message = self._post_answer(person, channel, result.answer)
            except SlackError as refusal:
                error = refusal.code
                self._backend.report_problem(f"the response to {command} was rejected: {refusal.body()}")
        if error:
            message = self._post_as_slackbot(person, channel, f'{command} failed with the error "{error}"')
        command_result = result.acknowledgement() | {"error": error, "kind": "command", "text": "", "message": None}
        if message:
            command_result |= {
                "text": message.text,
                "message": objects.message_for_person(self._backend.workspace, message),
            }
        return command_result

    def _post_answer(self, person: User, channel: Conversation, answer: JSON) -> PostedMessage:
        audience = None if answer.get("response_type") == "in_channel" else person.id
        content = require_content(parse_content(answer, self._backend.has_picture_for(audience)))
        return self._backend.workspace.post_message(
            channel, self._backend.workspace.app.bot_user_id, audience=audience, **content
        )

    def _refuse_command(self, person: User, channel: Conversation, text: str, thread_ts: str | None) -> JSON:
        message = self._post_as_slackbot(person, channel, text, thread_ts)
        command_result = {"acked": False, "seconds": 0.0, "error": "not_a_command", "kind": "command", "text": text}
        return command_result | {"message": objects.message_for_person(self._backend.workspace, message)}

    def _post_as_slackbot(
        self, person: User, channel: Conversation, text: str, thread_ts: str | None = None
    ) -> PostedMessage:
        return self._backend.workspace.post_message(
            channel, SLACKBOT, text=text, audience=person.id, thread_ts=thread_ts
        )

    def _link_names(self, text: str, with_labels: bool = False) -> str:
        """Turn @name and #channel into references, and escape <, >, and &, as Slack's composer does."""
        workspace = self._backend.workspace
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        people = {person.name: (person.id, person.name) for person in workspace.people.values()}
        app = workspace.app
        people |= dict.fromkeys((app.bot_name, app.bot_handle), (app.bot_user_id, app.bot_handle))
        channels = {
            channel.name: (channel.id, channel.name) for channel in workspace.channels.values() if not channel.is_im
        }

        def link(match: re.Match[str]) -> str:
            prefix, name = match[1], match[2]
            targets = people if prefix == "@" else channels
            if name not in targets:
                return match[0]
            target_id, label = targets[name]
            return f"<{prefix}{target_id}|{label}>" if prefix == "#" or with_labels else f"<{prefix}{target_id}>"

        # Only the app's name may have spaces in it.
        return re.sub(rf"(?<![\w<])([@#])({re.escape(app.bot_name)}(?!\w)|[\w.-]*\w)", link, text)
