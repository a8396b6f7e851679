"""Typing: messages, and slash commands with the app's direct answer."""

from __future__ import annotations

import re
from dataclasses import replace

from localslack import payloads
from localslack.backend import Core
from localslack.core.errors import SlackError
from localslack.delivery.result import Outcome
from localslack.interactions.access import enter
from localslack.interactions.events import announce, announce_change, announce_deletion
from localslack.manifest import Command
from localslack.workspace import objects
from localslack.workspace.message_content import content_of, require_something
from localslack.workspace.records import JSON, Channel, File, Message, Person
from localslack.workspace.uploads import MOST_BYTES, described, file_id

SLACKBOT = "USLACKBOT"


class Writing:
    """The keyboard of the people."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def types(self, who: str, where: str, text: str, thread_ts: str | None = None) -> JSON:
        """Send a message, or run a slash command if it starts with one; raises SlackError."""
        person, channel = enter(self._core, who, where, to_write=True)
        if text.startswith("/"):
            return await self._command(person, channel, text, thread_ts)
        self._check_posting(person, channel)
        if not text.strip():
            raise SlackError("no_text")
        parent = self._core.space.message(channel, thread_ts) if thread_ts else None
        content = {"text": self._linked(text), "thread_ts": parent.ts if parent else None}
        sent = self._core.space.post(channel, person.id, **content)
        announce(self._core, channel, sent)
        return {"kind": "message", "message": objects.seen(self._core.space, sent)}

    def uploads(self, who: str, where: str, name: str, content: bytes, thread_ts: str | None = None) -> JSON:
        """Share a file of one's own; raises SlackError."""
        person, channel = enter(self._core, who, where, to_write=True)
        self._check_posting(person, channel)
        if len(content) > MOST_BYTES:
            raise SlackError("file_upload_size_restricted")
        parent = self._core.space.message(channel, thread_ts) if thread_ts else None
        now = int(self._core.clock.now())
        file = described(File(id=file_id(), name=name, user=person.id, created=now, size=len(content)), content)
        self._core.space.keep(file, content)
        thread = {"thread_ts": parent.ts if parent else None}
        sent = self._core.space.post(channel, person.id, files=[file.id], **thread)
        announce(self._core, channel, sent)
        return {"message": objects.seen(self._core.space, sent)}

    def edits(self, who: str, where: str, ts: str, text: str) -> JSON:
        """Change the text of one's own message; raises SlackError."""
        space = self._core.space
        person, channel = enter(self._core, who, where, to_write=True)
        message = space.message(channel, ts)
        if message.user != person.id:
            raise SlackError("cant_update_message")
        before = objects.message(space, message)
        changed = space.rewrite(message, text=self._linked(text))
        announce_change(self._core, channel, before, changed)
        return {"message": objects.seen(space, changed)}

    def deletes(self, who: str, where: str, ts: str) -> JSON:
        """Delete one's own message, or as an admin anyone's; raises SlackError."""
        space = self._core.space
        person, channel = enter(self._core, who, where, to_write=True)
        message = space.message(channel, ts)
        if message.user != person.id and not person.is_admin:
            raise SlackError("cant_delete_message")
        before = objects.message(space, message)
        space.remove(message)
        if tombstone := space.anything_at(channel, ts):
            announce_change(self._core, channel, before, tombstone)
        else:
            announce_deletion(self._core, channel, before)
        return {}

    def _check_posting(self, person: Person, channel: Channel) -> None:
        if not self._core.space.may_post(channel, person.id):
            raise SlackError("restricted_action")

    async def _command(self, person: Person, channel: Channel, text: str, thread_ts: str | None) -> JSON:
        name, _, rest = text.partition(" ")
        declared = self._core.manifest.command(name)
        if declared is None:
            return self._refused(person, channel, f"`{name}` is not a valid command.", thread_ts)
        if thread_ts:
            return self._refused(person, channel, f"`{name}` is not supported in threads. Sorry!", thread_ts)
        outcome = await self._core.post.command(self._payload(person, channel, declared, rest.strip()))
        return self._answered(person, channel, name, outcome)

    def _payload(self, person: Person, channel: Channel, command: Command, text: str) -> JSON:
        core, actor = self._core, self._core.actor(person)
        if not core.space.is_stranger(person):
            # A command names the workspace where it is typed, not the one its writer belongs to: bolt-js#1875.
            actor = replace(actor, team_id=core.space.team.id)
        return payloads.slash_command(
            command.name,
            self._linked(text, named=True) if command.should_escape else text,
            actor=actor,
            place=core.place(channel),
            origin=core.origin,
            response_url=core.base_url + core.hooks.issue("commands", person.id, channel.id),
            trigger_id=core.triggers.issue(person.id),
        )

    def _answered(self, person: Person, channel: Channel, command: str, outcome: Outcome) -> JSON:
        error, shown = outcome.error, None
        if outcome.answer:
            try:
                shown = self._show(person, channel, outcome.answer)
            except SlackError as refusal:
                error = refusal.code
                self._core.problem(f"the answer to {command} was refused: {refusal.body()}")
        if error:
            shown = self._whisper(person, channel, f'{command} failed with the error "{error}"')
        told = outcome.told() | {"error": error, "kind": "command", "text": "", "message": None}
        if shown:
            told |= {"text": shown.text, "message": objects.seen(self._core.space, shown)}
        return told

    def _show(self, person: Person, channel: Channel, answer: JSON) -> Message:
        audience = None if answer.get("response_type") == "in_channel" else person.id
        content = require_something(content_of(answer, self._core.has_picture_for(audience)))
        return self._core.space.post(channel, self._core.space.app.bot_user_id, audience=audience, **content)

    def _refused(self, person: Person, channel: Channel, text: str, thread_ts: str | None) -> JSON:
        shown = self._whisper(person, channel, text, thread_ts)
        told = {"acked": False, "seconds": 0.0, "error": "not_a_command", "kind": "command", "text": text}
        return told | {"message": objects.seen(self._core.space, shown)}

    def _whisper(self, person: Person, channel: Channel, text: str, thread_ts: str | None = None) -> Message:
        return self._core.space.post(channel, SLACKBOT, text=text, audience=person.id, thread_ts=thread_ts)

    def _linked(self, text: str, named: bool = False) -> str:
        """@name and #channel become references and <, > and & are escaped, as Slack's composer does it."""
        space = self._core.space
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        people = {person.name: (person.id, person.name) for person in space.people.values()}
        app = space.app
        people |= dict.fromkeys((app.bot_name, app.bot_handle), (app.bot_user_id, app.bot_handle))
        rooms = {room.name: (room.id, room.name) for room in space.channels.values() if not room.is_im}

        def link(found: re.Match[str]) -> str:
            mark, name = found[1], found[2]
            known = people if mark == "@" else rooms
            if name not in known:
                return found[0]
            found_id, label = known[name]
            return f"<{mark}{found_id}|{label}>" if mark == "#" or named else f"<{mark}{found_id}>"

        # Only the app's name may have spaces in it.
        return re.sub(rf"(?<![\w<])([@#])({re.escape(app.bot_name)}(?!\w)|[\w.-]*\w)", link, text)
