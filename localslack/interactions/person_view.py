"""What a person sees: channels, messages with their own ephemerals, threads, modals and the Home tab."""

from __future__ import annotations

from dataclasses import asdict

from localslack.backend import Core
from localslack.core.errors import SlackError
from localslack.workspace import file_objects, objects
from localslack.workspace.records import JSON, Channel, File, Message, Person
from localslack.workspace.state import stamp


class Eyes:
    """Read access for people. Only what they have read is remembered, and only while the process runs."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._read: dict[tuple[str, str], str] = {}
        self._began = core.space.next_ts()

    def overview(self, who: str) -> JSON:
        """Everything around the messages: people, channels with unread counts, groups, commands."""
        space, person = self._core.space, self._core.space.person(who)
        space.direct_channel(person)
        rooms = [room for room in space.channels.values() if space.may_see(person, room)]
        return {
            "me": objects.user(space, person),
            "people": self.people(),
            "bot": objects.bot_user(space),
            "app": {"id": space.app.id, "name": space.app.name, "has_home": self._core.manifest.has_home},
            "team": {"id": space.team.id, "name": space.team.name},
            "groups": [objects.group(space, one) for one in space.groups.values()],
            "channels": [self._room(person, room) for room in rooms],
            "commands": [
                {"name": c.name, "description": c.description, "usage_hint": c.usage_hint}
                for c in self._core.manifest.commands
            ],
            "shortcuts": [asdict(one) for one in self._core.manifest.shortcuts],
            "connected": bool(self._core.post.request_url or self._core.post.sockets.open),
            "seq": self._core.changes.seq,
        }

    def people(self) -> list[JSON]:
        """Every account, in the order in which they came."""
        return [objects.user(self._core.space, one) for one in self._core.space.people.values()]

    def messages(self, who: str, where: str) -> list[JSON]:
        """A conversation as a person sees it, oldest first, without the answers in threads."""
        person, room = self._into(who, where)
        visible = [message for message in self._core.space.messages(room) if _is_for(person, message)]
        return [objects.seen(self._core.space, one) for one in visible if not one.is_reply or one.reply_broadcast]

    def thread(self, who: str, where: str, ts: str) -> list[JSON]:
        """The first message of a thread and the answers to it that a person sees."""
        person, room = self._into(who, where)
        parent = self._core.space.message(room, ts)
        everything = self._core.space.messages(room)
        answers = [m for m in everything if m.is_reply and m.thread_ts == parent.ts and _is_for(person, m)]
        return [objects.seen(self._core.space, one) for one in (parent, *answers)]

    def file(self, who: str, file_id: str) -> File:
        """A file of this person's, or one that is in front of their eyes; raises file_not_found."""
        space, person, held = self._core.space, self._core.space.person(who), self._core.space.file(file_id)
        rooms = [room for room in space.channels.values() if space.may_see(person, room)]
        visible = (one for room in rooms for one in space.messages(room) if _is_for(person, one))
        shown = any(file_id in file_objects.shown_in(space, message) for message in visible)
        views = [self.modals(who), self.home(who)]
        if held.user == person.id or shown or file_id in file_objects.shown_by(space, views):
            return held
        raise SlackError("file_not_found")

    def modals(self, who: str) -> list[JSON]:
        """The open modals of a person, the one in front last."""
        return self._core.views.stack(self._core.space.person(who).id)

    def home(self, who: str) -> JSON | None:
        """What is published on the Home tab of a person, or None."""
        return self._core.views.home(self._core.space.person(who).id)

    def direct(self, who: str) -> Channel:
        """The conversation of a person with the app."""
        return self._core.space.direct_channel(self._core.space.person(who))

    def has_read(self, who: str, where: str) -> None:
        """Remember that a person has seen everything in a conversation."""
        person, room = self._into(who, where)
        self._read[(person.id, room.id)] = self._core.space.next_ts()

    def _into(self, who: str, where: str) -> tuple[Person, Channel]:
        person, room = self._core.space.person(who), self._core.space.channel(where)
        if not self._core.space.may_see(person, room):
            raise SlackError("channel_not_found")
        return person, room

    def _room(self, person: Person, room: Channel) -> JSON:
        name = self._core.space.app.bot_name if room.is_im else room.name
        return {
            "id": room.id,
            "name": name,
            "kind": room.kind,
            "purpose": room.purpose,
            "is_archived": room.is_archived,
            "is_member": person.id in room.members,
            "members": len(room.members),
            "unread": self._unread(person, room),
        }

    def _unread(self, person: Person, room: Channel) -> int:
        if person.id not in room.members:
            return 0
        mark = stamp(self._read.get((person.id, room.id), self._began))
        count = 0
        for message in reversed(self._core.space.messages(room)):
            if stamp(message.ts) <= mark:
                break
            mine = message.user == person.id or (message.is_reply and not message.reply_broadcast)
            count += _is_for(person, message) and not mine
        return count


def _is_for(person: Person, message: Message) -> bool:
    return message.audience in (None, person.id)
