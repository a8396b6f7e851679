"""The workspace's state (people, channels, groups, messages, and files), and all changes to it.

It's used only on the event loop's thread, so it has no locks. A change is saved to the state file, then published to
the change feed. Ephemeral messages aren't saved.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, fields, replace
from typing import Any

from localslack.core.change_feed import ChangeFeed
from localslack.core.clock import WorkspaceClock
from localslack.core.errors import SlackError
from localslack.core.state_file import StateFile
from localslack.seed import BOT, ChannelSeed, GroupSeed, PersonSeed, Seed
from localslack.workspace.message_index import MessageIndex
from localslack.workspace.records import JSON, App, Conversation, File, PostedMessage, Team, User, UserGroup

DOCUMENT_KINDS = ("person", "channel", "group", "message", "file", "content", "counter")
SNAPSHOT_FIELDS = ("people", "channels", "groups", "files", "_contents", "_messages")


class WorkspaceState:
    """Everything that people and the app can see."""

    def __init__(
        self, seed: Seed, url: str, app: App, state_file: StateFile, change_feed: ChangeFeed, clock: WorkspaceClock
    ) -> None:
        self.app = app
        self.team = Team(id=seed.team_id, name=seed.team_name, domain=seed.team_domain, url=url)
        self.people: dict[str, User] = {}
        self.channels: dict[str, Conversation] = {}
        self.groups: dict[str, UserGroup] = {}
        self.files: dict[str, File] = {}
        self._seed = seed
        self._state_file = state_file
        self._change_feed = change_feed
        self._clock = clock
        self._last_us = 0
        self._clear()
        self._load()
        if not self.people:
            self._apply_seed()

    # -- people ---------------------------------------------------------------------------------------------

    def person(self, id_or_handle: str) -> User:
        """Return the account with this ID or handle; raises user_not_found."""
        person = self.people.get(id_or_handle) or next(
            (person for person in self.people.values() if person.name == id_or_handle.removeprefix("@")), None
        )
        if person is None:
            raise SlackError("user_not_found")
        return person

    def change_person(self, id_or_handle: str, **changes: Any) -> User:
        """Change an account's fields and return it.

        For example, make it a guest, a bot, a stranger, or a deleted account. Raises user_not_found, or
        invalid_arguments for a field that doesn't exist.
        """
        person = self.person(id_or_handle)
        for name, value in changes.items():
            if name == "id" or name not in {field.name for field in fields(User)}:
                raise SlackError("invalid_arguments", messages=[f"no such field of a person: {name}"])
            setattr(person, name, value)
        self._save_person(person)
        return person

    def add_person(self, seed: PersonSeed) -> User:
        """Add an account that isn't in any channel."""
        person = User(**{**asdict(seed), "team_id": seed.team_id or self.team.id})
        person.real_name = person.real_name or person.name.title()
        self._save_person(person)
        return person

    def is_stranger(self, person: User) -> bool:
        """Return whether an account belongs to another workspace and isn't a member of this one."""
        teams = (person.enterprise_user or {}).get("teams", [])
        return person.team_id != self.team.id and self.team.id not in teams

    def is_shared(self, channel: Conversation) -> bool:
        """Return whether strangers are in a conversation."""
        return any(
            self.is_stranger(self.people[member_id]) for member_id in channel.members if member_id in self.people
        )

    @property
    def enterprise(self) -> dict[str, str] | None:
        """The ID and name of the Enterprise Grid that members of the workspace belong to, or None."""
        for person in self.people.values():
            if person.enterprise_user and not self.is_stranger(person):
                return {
                    "id": person.enterprise_user["enterprise_id"],
                    "name": person.enterprise_user["enterprise_name"],
                }
        return None

    def can_see(self, person: User, channel: Conversation) -> bool:
        """Return whether a person can read a conversation.

        Members can; others can read a public channel unless they're guests or strangers.
        """
        if person.id in channel.members:
            return True
        is_guest = person.is_restricted or person.is_ultra_restricted or self.is_stranger(person)
        return channel.kind == "public_channel" and not is_guest

    # -- groups ---------------------------------------------------------------------------------------------

    def set_user_group(self, seed: GroupSeed) -> UserGroup:
        """Create a user group, or change its members."""
        members = [self.person(member).id for member in seed.members]
        group = UserGroup(id=seed.id, handle=seed.handle, name=seed.name, members=members)
        self.groups[group.id] = group
        self._state_file.put(("group", group.id, asdict(group)))
        self._change_feed.publish("people")
        return group

    # -- channels -------------------------------------------------------------------------------------------

    def channel(self, name: str) -> Conversation:
        """Return the conversation with this ID or name (with or without `#`); raises channel_not_found."""
        channel = self.channels.get(name) or next(
            (
                candidate
                for candidate in self.channels.values()
                if not candidate.is_im and candidate.name == name.removeprefix("#")
            ),
            None,
        )
        if channel is None:
            raise SlackError("channel_not_found")
        return channel

    def add_channel(self, seed: ChannelSeed) -> Conversation:
        """Add a channel with the seed's members."""
        channel = Conversation(
            id=seed.id,
            name=seed.name,
            purpose=seed.purpose,
            is_private=seed.is_private,
            is_archived=seed.is_archived,
            posting=seed.posting,
            created=int(self._clock.now()),
            members=self._members(seed),
        )
        self._save_channel(channel)
        return channel

    def set_members(self, channel: Conversation, members: list[str]) -> None:
        """Set the members of a channel, by name or ID; "bot" is the app."""
        channel.members = [self._member_id(member) for member in members]
        self._save_channel(channel)

    def archive(self, channel: Conversation, archived: bool = True) -> None:
        """Archive or unarchive a channel."""
        channel.is_archived = archived
        self._save_channel(channel)

    def rename(self, channel: Conversation, name: str) -> None:
        """Rename a channel; its earlier names are kept."""
        channel.previous_names.append(channel.name)
        channel.name = name.removeprefix("#")
        self._save_channel(channel)

    def limit_posting(self, channel: Conversation, allowed: str) -> None:
        """Set who can post in a channel: "everyone" or "admins"."""
        channel.posting = allowed
        self._save_channel(channel)

    def can_post(self, channel: Conversation, member: str) -> bool:
        """Return whether a member can post; the app isn't an admin."""
        return channel.posting == "everyone" or (member in self.people and self.people[member].is_admin)

    def join(self, channel: Conversation, member: str) -> None:
        """Add an account to the members of a channel."""
        if member not in channel.members:
            channel.members.append(member)
            self._save_channel(channel)

    def open_direct_message(self, person: User) -> Conversation:
        """Return the conversation between the app and a person; creates it if necessary."""
        channel_id = "D" + person.id[1:]
        if channel_id not in self.channels:
            members = [self.app.bot_user_id, person.id]
            now = int(self._clock.now())
            self._save_channel(Conversation(id=channel_id, name="", created=now, is_im=True, members=members))
        return self.channels[channel_id]

    def direct_message_partner(self, channel: Conversation) -> str:
        """Return the ID of the person in a direct conversation with the app."""
        return next(member for member in channel.members if member != self.app.bot_user_id)

    # -- files ----------------------------------------------------------------------------------------------

    def file(self, file_id: str) -> File:
        """Return a file whose upload is complete; raises file_not_found."""
        if file_id not in self.files:
            raise SlackError("file_not_found")
        return self.files[file_id]

    def file_content(self, file: File) -> bytes:
        """Return the bytes of a file."""
        return self._contents[file.id]

    def save_file(self, file: File, content: bytes) -> None:
        """Add a file whose upload is complete, with its bytes."""
        self.files[file.id] = file
        self._contents[file.id] = content
        stored = {"id": file.id, "base64": base64.b64encode(content).decode()}
        self._state_file.put(("file", file.id, asdict(file)), ("content", file.id, stored))

    # -- messages -------------------------------------------------------------------------------------------

    def messages(self, channel: Conversation) -> list[PostedMessage]:
        """Return every message in a conversation, oldest first, including replies and ephemeral ones."""
        return self._messages.in_channel(channel.id)

    def message(self, channel: Conversation, ts: str) -> PostedMessage:
        """Return a message that isn't ephemeral; raises message_not_found."""
        message = self.find_message(channel, ts)
        if message is None or message.audience is not None:
            raise SlackError("message_not_found")
        return message

    def find_message(self, channel: Conversation, ts: str) -> PostedMessage | None:
        """Return a message, ephemeral or not, or None."""
        return self._messages.get(channel.id, ts)

    def replies(self, parent: PostedMessage) -> list[PostedMessage]:
        """Return the replies to a message, oldest first, except ephemeral ones."""
        return self._messages.replies(parent)

    def next_ts(self) -> str:
        """Return a new timestamp, later than all others."""
        self._last_us = max(self._last_us + 1, int(self._clock.now() * 1_000_000))
        return f"{self._last_us // 1_000_000}.{self._last_us % 1_000_000:06d}"

    def post_message(self, channel: Conversation, user: str, **content: Any) -> PostedMessage:
        """Add a message to a conversation. user: the author's ID. content: more fields of PostedMessage."""
        message = PostedMessage(ts=self.next_ts(), channel=channel.id, user=user, **content)
        self._messages.add(message)
        self._save_message(message)
        return message

    def edit_message(self, message: PostedMessage, **content: Any) -> PostedMessage:
        """Change fields of a message, mark it as edited, and return it."""
        edited = {"user": message.user, "ts": self.next_ts()}
        edited_message = replace(message, edited=edited, **content)
        self._messages.replace(edited_message)
        self._save_message(edited_message)
        return edited_message

    def attach(self, message: PostedMessage, attachments: Sequence[JSON]) -> PostedMessage:
        """Add attachments to a message, replacing those for the same links, and return it."""
        urls = {attachment["from_url"] for attachment in attachments}
        kept = [attachment for attachment in message.attachments if attachment.get("from_url") not in urls]
        changed_message = replace(message, attachments=[*kept, *attachments])
        self._messages.replace(changed_message)
        self._save_message(changed_message)
        return changed_message

    def add_reaction(self, message: PostedMessage, user: str, name: str) -> PostedMessage:
        """Add a person's or the app's reaction to a message; raises already_reacted."""
        users = self._users_by_reaction(message).get(name, [])
        if user in users:
            raise SlackError("already_reacted")
        return self._save_reactions(message, {**self._users_by_reaction(message), name: [*users, user]})

    def remove_reaction(self, message: PostedMessage, user: str, name: str) -> PostedMessage:
        """Remove a person's or the app's reaction from a message; raises no_reaction."""
        users = self._users_by_reaction(message).get(name, [])
        if user not in users:
            raise SlackError("no_reaction")
        remaining_users = [reacting_user for reacting_user in users if reacting_user != user]
        return self._save_reactions(message, {**self._users_by_reaction(message), name: remaining_users})

    def delete_message(self, message: PostedMessage) -> None:
        """Delete a message; if it has replies, a tombstone replaces it."""
        if message.audience is None and self.replies(message):
            self._replace_with_tombstone(message)
            return
        self._messages.remove(message)
        self._state_file.delete("message", f"{message.channel}/{message.ts}")
        self._change_feed.publish("message", channel=message.channel, user=message.audience)

    def reset(self) -> None:
        """Reset everything to the seed. Timestamps keep increasing, so that none is used twice."""
        self._state_file.clear(*DOCUMENT_KINDS)
        self._clear()
        self._apply_seed()
        self._change_feed.publish("reset")

    def snapshot(self) -> dict[str, Any]:
        """Return a copy of everything, for `restore`."""
        return deepcopy({name: getattr(self, name) for name in SNAPSHOT_FIELDS})

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore a snapshot. Timestamps keep increasing, so that none is used twice."""
        self.__dict__.update(deepcopy(snapshot))
        self._state_file.clear(*DOCUMENT_KINDS)
        for person in self.people.values():
            self._save_person(person)
        for channel in self.channels.values():
            self._save_channel(channel)
        for group in self.groups.values():
            self._state_file.put(("group", group.id, asdict(group)))
        for file in self.files.values():
            self.save_file(file, self._contents[file.id])
        for message in self._messages:
            self._save_message(message)
        self._change_feed.publish("reset")

    # -- storage --------------------------------------------------------------------------------------------

    def _users_by_reaction(self, message: PostedMessage) -> dict[str, list[str]]:
        return {reaction["name"]: reaction["users"] for reaction in message.reactions}

    def _save_reactions(self, message: PostedMessage, reactions: dict[str, list[str]]) -> PostedMessage:
        reaction_records = [{"name": name, "users": users} for name, users in reactions.items() if users]
        updated = replace(message, reactions=reaction_records)
        self._messages.replace(updated)
        self._save_message(updated)
        return updated

    def _replace_with_tombstone(self, message: PostedMessage) -> None:
        tombstone = PostedMessage(
            ts=message.ts,
            channel=message.channel,
            user="USLACKBOT",
            text="This message was deleted.",
            thread_ts=message.ts,
            subtype="tombstone",
        )
        self._messages.replace(tombstone)
        self._save_message(tombstone)

    def _save_message(self, message: PostedMessage) -> None:
        if message.audience is None:
            self._state_file.put(
                ("message", f"{message.channel}/{message.ts}", asdict(message)),
                ("counter", "ts", {"last": self._last_us}),
            )
        self._change_feed.publish("message", channel=message.channel, user=message.audience)

    def _save_person(self, person: User) -> None:
        self.people[person.id] = person
        self._state_file.put(("person", person.id, asdict(person)))
        self._change_feed.publish("people")

    def _save_channel(self, channel: Conversation) -> None:
        self.channels[channel.id] = channel
        self._state_file.put(("channel", channel.id, asdict(channel)))
        self._change_feed.publish("channel", channel=channel.id)

    def _member_id(self, id_or_handle: str) -> str:
        return self.app.bot_user_id if id_or_handle in (BOT, self.app.bot_user_id) else self.person(id_or_handle).id

    def _members(self, seed: ChannelSeed) -> list[str]:
        if seed.members is None:
            person_ids = [person.id for person in self.people.values() if not person.deleted]
            return [*person_ids, self.app.bot_user_id]
        return [self._member_id(member) for member in seed.members]

    def _apply_seed(self) -> None:
        for person in self._seed.people:
            self.add_person(person)
        for channel in self._seed.channels:
            self.add_channel(channel)
        for group in self._seed.groups:
            self.set_user_group(group)

    def _clear(self) -> None:
        self.people.clear()
        self.channels.clear()
        self.groups.clear()
        self.files.clear()
        self._contents: dict[str, bytes] = {}
        self._messages = MessageIndex()

    def _load(self) -> None:
        self.people.update((body["id"], User(**body)) for body in self._state_file.read_all("person"))
        self.groups.update((body["id"], UserGroup(**body)) for body in self._state_file.read_all("group"))
        self.files.update((body["id"], File(**body)) for body in self._state_file.read_all("file"))
        for body in self._state_file.read_all("content"):
            self._contents[body["id"]] = base64.b64decode(body["base64"])
        for body in self._state_file.read_all("channel"):
            self.channels[body["id"]] = Conversation(**body)
        for body in self._state_file.read_all("message"):
            self._messages.add(PostedMessage(**body))
        self._last_us = max([self._last_us, *(body["last"] for body in self._state_file.read_all("counter"))])
