"""A person's view of the workspace: channels, messages, threads, modals, and the Home tab."""

from __future__ import annotations

from dataclasses import asdict

from localslack.backend import Backend
from localslack.core.errors import SlackError
from localslack.workspace import file_objects, objects
from localslack.workspace.message_index import ts_to_microseconds
from localslack.workspace.records import JSON, Conversation, File, PostedMessage, User


class PersonView:
    """Read access for people. It stores only their read markers, until the process ends."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._read_marks: dict[tuple[str, str], str] = {}
        self._initial_mark = backend.workspace.next_ts()

    def overview(self, user: str) -> JSON:
        """Return what the sidebar and menus show, such as people, channels with unread counts, groups, and commands."""
        workspace, person = self._backend.workspace, self._backend.workspace.person(user)
        workspace.open_direct_message(person)
        channels = [channel for channel in workspace.channels.values() if workspace.can_see(person, channel)]
        return {
            "me": objects.user_object(workspace, person),
            "people": self.people(),
            "bot": objects.bot_user_object(workspace),
            "app": {"id": workspace.app.id, "name": workspace.app.name, "has_home": self._backend.manifest.has_home},
            "team": {"id": workspace.team.id, "name": workspace.team.name},
            "groups": [objects.user_group_object(workspace, group) for group in workspace.groups.values()],
            "channels": [self._channel_summary(person, channel) for channel in channels],
            "commands": [
                {"name": command.name, "description": command.description, "usage_hint": command.usage_hint}
                for command in self._backend.manifest.commands
            ],
            "shortcuts": [asdict(shortcut) for shortcut in self._backend.manifest.shortcuts],
            "connected": bool(self._backend.router.request_url or self._backend.router.socket_mode.connections),
            "seq": self._backend.changes.seq,
        }

    def people(self) -> list[JSON]:
        """Return the user objects of all accounts, oldest first; after a restart, ordered by ID."""
        return [
            objects.user_object(self._backend.workspace, person) for person in self._backend.workspace.people.values()
        ]

    def messages(self, user: str, channel_name: str) -> list[JSON]:
        """Return a conversation's messages as a person sees them, oldest first, without replies in threads.

        Replies that were also sent to the conversation are included.
        """
        person, channel = self._require_visible(user, channel_name)
        visible = [message for message in self._backend.workspace.messages(channel) if _is_visible_to(person, message)]
        return [
            objects.message_for_person(self._backend.workspace, message)
            for message in visible
            if not message.is_reply or message.reply_broadcast
        ]

    def thread(self, user: str, channel_name: str, ts: str) -> list[JSON]:
        """Return a thread's parent message and the replies that a person sees."""
        person, channel = self._require_visible(user, channel_name)
        parent = self._backend.workspace.message(channel, ts)
        messages = self._backend.workspace.messages(channel)
        replies = [
            message
            for message in messages
            if message.is_reply and message.thread_ts == parent.ts and _is_visible_to(person, message)
        ]
        return [objects.message_for_person(self._backend.workspace, message) for message in (parent, *replies)]

    def file(self, user: str, file_id: str) -> File:
        """Return a file that this person owns or sees somewhere. Raises file_not_found."""
        workspace = self._backend.workspace
        person, file = workspace.person(user), workspace.file(file_id)
        channels = [channel for channel in workspace.channels.values() if workspace.can_see(person, channel)]
        messages = (
            message
            for channel in channels
            for message in workspace.messages(channel)
            if _is_visible_to(person, message)
        )
        is_in_message = any(file_id in file_objects.files_shown_in(workspace, message) for message in messages)
        views = [self.modals(user), self.home(user)]
        if file.user == person.id or is_in_message or file_id in file_objects.files_shown_by(workspace, views):
            return file
        raise SlackError("file_not_found")

    def modals(self, user: str) -> list[JSON]:
        """Return a person's open modals; the last one is on top."""
        return self._backend.views.stack(self._backend.workspace.person(user).id)

    def home(self, user: str) -> JSON | None:
        """Return the view on a person's Home tab, or None."""
        return self._backend.views.home(self._backend.workspace.person(user).id)

    def direct_channel(self, user: str) -> Conversation:
        """Return a person's conversation with the app."""
        return self._backend.workspace.open_direct_message(self._backend.workspace.person(user))

    def mark_read(self, user: str, channel_name: str) -> None:
        """Record that a person has read everything in a conversation."""
        person, channel = self._require_visible(user, channel_name)
        self._read_marks[(person.id, channel.id)] = self._backend.workspace.next_ts()

    def _require_visible(self, user: str, channel_name: str) -> tuple[User, Conversation]:
        person, channel = self._backend.workspace.person(user), self._backend.workspace.channel(channel_name)
        if not self._backend.workspace.can_see(person, channel):
            raise SlackError("channel_not_found")
        return person, channel

    def _channel_summary(self, person: User, channel: Conversation) -> JSON:
        name = self._backend.workspace.app.bot_name if channel.is_im else channel.name
        return {
            "id": channel.id,
            "name": name,
            "kind": channel.kind,
            "purpose": channel.purpose,
            "is_archived": channel.is_archived,
            "is_member": person.id in channel.members,
            "members": len(channel.members),
            "unread": self._unread_count(person, channel),
        }

    def _unread_count(self, person: User, channel: Conversation) -> int:
        if person.id not in channel.members:
            return 0
        last_read = ts_to_microseconds(self._read_marks.get((person.id, channel.id), self._initial_mark))
        count = 0
        for message in reversed(self._backend.workspace.messages(channel)):
            if ts_to_microseconds(message.ts) <= last_read:
                break
            is_not_counted = message.user == person.id or (message.is_reply and not message.reply_broadcast)
            count += _is_visible_to(person, message) and not is_not_counted
        return count


def _is_visible_to(person: User, message: PostedMessage) -> bool:
    return message.audience in (None, person.id)
