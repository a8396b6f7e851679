"""The state of the workspace: people, channels, groups and messages, and how they may change.

Owned by the event loop, so there are no locks. Every change goes to the store first and then to the stream.
"""

from __future__ import annotations

import base64
import bisect
from copy import deepcopy
from dataclasses import asdict, fields, replace
from typing import Any, TypeVar

from localslack.core.change_feed import Changes
from localslack.core.clock import Clock
from localslack.core.errors import SlackError
from localslack.core.state_file import Store
from localslack.seed import BOT, ChannelSeed, GroupSeed, PersonSeed, Seed
from localslack.workspace.records import App, Channel, File, Group, Message, Person, Team

KINDS = ("person", "channel", "group", "message", "file", "content", "counter")
STATE = ("people", "channels", "groups", "files", "_contents", "_messages", "_order", "_threads")
Record = TypeVar("Record", Person, Channel, Group, Message)


class Workspace:
    """Everything that people and the app can see."""

    def __init__(self, seed: Seed, url: str, app: App, store: Store, changes: Changes, clock: Clock) -> None:
        self.app = app
        self.team = Team(id=seed.team_id, name=seed.team_name, domain=seed.team_domain, url=url)
        self.people: dict[str, Person] = {}
        self.channels: dict[str, Channel] = {}
        self.groups: dict[str, Group] = {}
        self.files: dict[str, File] = {}
        self._seed = seed
        self._store = store
        self._changes = changes
        self._clock = clock
        self._last_us = 0
        self._clear()
        self._load()
        if not self.people:
            self._plant()

    # -- people ---------------------------------------------------------------------------------------------

    def person(self, who: str) -> Person:
        """The account with this id or handle; raises user_not_found."""
        found = self.people.get(who) or next(
            (person for person in self.people.values() if person.name == who.removeprefix("@")), None
        )
        if found is None:
            raise SlackError("user_not_found")
        return found

    def change_person(self, who: str, **changed: Any) -> Person:
        """Change fields of an account: make it a guest, a bot, deleted, a stranger; raises user_not_found."""
        person = self.person(who)
        for name, value in changed.items():
            if name == "id" or name not in {field.name for field in fields(Person)}:
                raise SlackError("invalid_arguments", messages=[f"a person has no field {name}"])
            setattr(person, name, value)
        self._save_person(person)
        return person

    def add_person(self, seed: PersonSeed) -> Person:
        """Add an account and take it into no channel."""
        person = Person(**{**asdict(seed), "team_id": seed.team_id or self.team.id})
        person.real_name = person.real_name or person.name.title()
        self._save_person(person)
        return person

    def is_stranger(self, person: Person) -> bool:
        """Whether the account belongs to another workspace, and this one isn't among those of its organization."""
        teams = (person.enterprise_user or {}).get("teams", [])
        return person.team_id != self.team.id and self.team.id not in teams

    def is_shared(self, channel: Channel) -> bool:
        """Whether strangers are in a conversation."""
        return any(self.is_stranger(self.people[one]) for one in channel.members if one in self.people)

    @property
    def enterprise(self) -> dict[str, str] | None:
        """The Enterprise Grid that the workspace belongs to, known by its members: their id and name, or None."""
        for person in self.people.values():
            if person.enterprise_user and not self.is_stranger(person):
                return {
                    "id": person.enterprise_user["enterprise_id"],
                    "name": person.enterprise_user["enterprise_name"],
                }
        return None

    def may_see(self, person: Person, room: Channel) -> bool:
        """Whether a person can read a conversation: as a member, or a public one unless they're a guest."""
        if person.id in room.members:
            return True
        is_guest = person.is_restricted or person.is_ultra_restricted or self.is_stranger(person)
        return room.kind == "public_channel" and not is_guest

    # -- groups ---------------------------------------------------------------------------------------------

    def set_group(self, seed: GroupSeed) -> Group:
        """Make a user group, or change who is in it."""
        members = [self.person(who).id for who in seed.members]
        group = Group(id=seed.id, handle=seed.handle, name=seed.name, members=members)
        self.groups[group.id] = group
        self._store.put(("group", group.id, asdict(group)))
        self._changes.publish("people")
        return group

    # -- channels -------------------------------------------------------------------------------------------

    def channel(self, name: str) -> Channel:
        """The conversation with this id or (#)name; raises channel_not_found."""
        found = self.channels.get(name) or next(
            (c for c in self.channels.values() if not c.is_im and c.name == name.removeprefix("#")), None
        )
        if found is None:
            raise SlackError("channel_not_found")
        return found

    def add_channel(self, seed: ChannelSeed) -> Channel:
        """Make a channel with the seed's members."""
        channel = Channel(
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

    def set_members(self, channel: Channel, members: list[str]) -> None:
        """Say who is in a channel, by name or id; "bot" is the app."""
        channel.members = [self._member_id(who) for who in members]
        self._save_channel(channel)

    def archive(self, channel: Channel, archived: bool = True) -> None:
        """Archive a channel, or bring it back."""
        channel.is_archived = archived
        self._save_channel(channel)

    def rename(self, channel: Channel, name: str) -> None:
        """Rename a channel; Slack remembers its earlier names."""
        channel.previous_names.append(channel.name)
        channel.name = name.removeprefix("#")
        self._save_channel(channel)

    def limit_posting(self, channel: Channel, to: str) -> None:
        """Say who can post in a channel: everyone or admins."""
        channel.posting = to
        self._save_channel(channel)

    def may_post(self, channel: Channel, member: str) -> bool:
        """Whether a member can post; the app is not an admin."""
        return channel.posting == "everyone" or (member in self.people and self.people[member].is_admin)

    def join(self, channel: Channel, member: str) -> None:
        """Make an account a member of a channel."""
        if member not in channel.members:
            channel.members.append(member)
            self._save_channel(channel)

    def direct_channel(self, person: Person) -> Channel:
        """The conversation between the app and a person, opened if need be."""
        key = "D" + person.id[1:]
        if key not in self.channels:
            members = [self.app.bot_user_id, person.id]
            now = int(self._clock.now())
            self._save_channel(Channel(id=key, name="", created=now, is_im=True, members=members))
        return self.channels[key]

    def partner(self, channel: Channel) -> str:
        """The person at the other end of a direct conversation with the app."""
        return next(member for member in channel.members if member != self.app.bot_user_id)

    # -- files ----------------------------------------------------------------------------------------------

    def file(self, file_id: str) -> File:
        """One completed file; raises file_not_found."""
        if file_id not in self.files:
            raise SlackError("file_not_found")
        return self.files[file_id]

    def content(self, file: File) -> bytes:
        """The bytes of a file."""
        return self._contents[file.id]

    def keep(self, file: File, content: bytes) -> None:
        """Add a completed file with its bytes."""
        self.files[file.id] = file
        self._contents[file.id] = content
        stored = {"id": file.id, "base64": base64.b64encode(content).decode()}
        self._store.put(("file", file.id, asdict(file)), ("content", file.id, stored))

    # -- messages -------------------------------------------------------------------------------------------

    def messages(self, channel: Channel) -> list[Message]:
        """Everything in a conversation, oldest first, replies and ephemerals included."""
        held = self._messages[channel.id]
        return [held[ts] for ts in self._order[channel.id]]

    def message(self, channel: Channel, ts: str) -> Message:
        """One lasting message; raises message_not_found, for ephemerals too."""
        found = self._messages[channel.id].get(ts)
        if found is None or found.audience is not None:
            raise SlackError("message_not_found")
        return found

    def anything_at(self, channel: Channel, ts: str) -> Message | None:
        """One message, ephemeral or not, or None."""
        return self._messages[channel.id].get(ts)

    def replies(self, parent: Message) -> list[Message]:
        """The lasting replies in the thread that a message opened, oldest first."""
        stamps = self._threads.get((parent.channel, parent.ts), [])
        return [self._messages[parent.channel][ts] for ts in stamps]

    def next_ts(self) -> str:
        """A timestamp that no message has had, later than all others."""
        self._last_us = max(self._last_us + 1, int(self._clock.now() * 1_000_000))
        return f"{self._last_us // 1_000_000}.{self._last_us % 1_000_000:06d}"

    def post(self, channel: Channel, user: str, **content: Any) -> Message:
        """Add a message of an account to a conversation, with the content fields of Message."""
        message = Message(ts=self.next_ts(), channel=channel.id, user=user, **content)
        self._hold(message)
        self._save_message(message)
        return message

    def rewrite(self, message: Message, **content: Any) -> Message:
        """Change the content of a message and remember that it was edited."""
        edited = {"user": message.user, "ts": self.next_ts()}
        changed = replace(message, edited=edited, **content)
        self._messages[message.channel][message.ts] = changed
        self._save_message(changed)
        return changed

    def react(self, message: Message, user: str, name: str) -> Message:
        """Add an account's reaction to a message; raises already_reacted."""
        users = self._reactions(message).get(name, [])
        if user in users:
            raise SlackError("already_reacted")
        return self._with_reactions(message, {**self._reactions(message), name: [*users, user]})

    def take_back(self, message: Message, user: str, name: str) -> Message:
        """Remove an account's reaction from a message; raises no_reaction."""
        users = self._reactions(message).get(name, [])
        if user not in users:
            raise SlackError("no_reaction")
        others = [one for one in users if one != user]
        return self._with_reactions(message, {**self._reactions(message), name: others})

    def remove(self, message: Message) -> None:
        """Delete a message. A thread keeps a tombstone where its first message was."""
        if message.audience is None and self.replies(message):
            self._bury(message)
            return
        del self._messages[message.channel][message.ts]
        self._order[message.channel].remove(message.ts)
        if message.is_reply and message.audience is None:
            self._threads[(message.channel, str(message.thread_ts))].remove(message.ts)
        self._store.delete("message", f"{message.channel}/{message.ts}")
        self._changes.publish("message", channel=message.channel, user=message.audience)

    def reset(self) -> None:
        """Start over with the seed; the timestamps go on, so that no message is taken for an old one."""
        self._store.clear(*KINDS)
        self._clear()
        self._plant()
        self._changes.publish("reset")

    def kept(self) -> dict[str, Any]:
        """A copy of everything, for `put_back`."""
        return deepcopy({name: getattr(self, name) for name in STATE})

    def put_back(self, kept: dict[str, Any]) -> None:
        """Let everything be as it was when this was kept; the timestamps go on."""
        self.__dict__.update(deepcopy(kept))
        self._store.clear(*KINDS)
        for person in self.people.values():
            self._save_person(person)
        for channel in self.channels.values():
            self._save_channel(channel)
        for group in self.groups.values():
            self._store.put(("group", group.id, asdict(group)))
        for file in self.files.values():
            self.keep(file, self._contents[file.id])
        for messages in self._messages.values():
            for message in messages.values():
                self._save_message(message)
        self._changes.publish("reset")

    # -- keeping --------------------------------------------------------------------------------------------

    def _reactions(self, message: Message) -> dict[str, list[str]]:
        return {one["name"]: one["users"] for one in message.reactions}

    def _with_reactions(self, message: Message, reactions: dict[str, list[str]]) -> Message:
        shown = [{"name": name, "users": users} for name, users in reactions.items() if users]
        changed = replace(message, reactions=shown)
        self._messages[message.channel][message.ts] = changed
        self._save_message(changed)
        return changed

    def _bury(self, message: Message) -> None:
        tomb = Message(
            ts=message.ts,
            channel=message.channel,
            user="USLACKBOT",
            text="This message was deleted.",
            thread_ts=message.ts,
            subtype="tombstone",
        )
        self._messages[message.channel][message.ts] = tomb
        self._save_message(tomb)

    def _hold(self, message: Message) -> None:
        self._messages[message.channel][message.ts] = message
        bisect.insort(self._order[message.channel], message.ts, key=stamp)
        if message.is_reply and message.audience is None:
            thread = self._threads.setdefault((message.channel, str(message.thread_ts)), [])
            bisect.insort(thread, message.ts, key=stamp)

    def _save_message(self, message: Message) -> None:
        if message.audience is None:
            self._store.put(
                ("message", f"{message.channel}/{message.ts}", asdict(message)),
                ("counter", "ts", {"last": self._last_us}),
            )
        self._changes.publish("message", channel=message.channel, user=message.audience)

    def _save_person(self, person: Person) -> None:
        self.people[person.id] = person
        self._store.put(("person", person.id, asdict(person)))
        self._changes.publish("people")

    def _save_channel(self, channel: Channel) -> None:
        self.channels[channel.id] = channel
        self._messages.setdefault(channel.id, {})
        self._order.setdefault(channel.id, [])
        self._store.put(("channel", channel.id, asdict(channel)))
        self._changes.publish("channel", channel=channel.id)

    def _member_id(self, who: str) -> str:
        return self.app.bot_user_id if who in (BOT, self.app.bot_user_id) else self.person(who).id

    def _members(self, seed: ChannelSeed) -> list[str]:
        if seed.members is None:
            everybody = [person.id for person in self.people.values() if not person.deleted]
            return [*everybody, self.app.bot_user_id]
        return [self._member_id(who) for who in seed.members]

    def _plant(self) -> None:
        for person in self._seed.people:
            self.add_person(person)
        for channel in self._seed.channels:
            self.add_channel(channel)
        for group in self._seed.groups:
            self.set_group(group)

    def _clear(self) -> None:
        self.people.clear()
        self.channels.clear()
        self.groups.clear()
        self.files.clear()
        self._contents: dict[str, bytes] = {}
        self._messages: dict[str, dict[str, Message]] = {}
        self._order: dict[str, list[str]] = {}
        self._threads: dict[tuple[str, str], list[str]] = {}

    def _load(self) -> None:
        self.people.update((body["id"], Person(**body)) for body in self._store.all("person"))
        self.groups.update((body["id"], Group(**body)) for body in self._store.all("group"))
        self.files.update((body["id"], File(**body)) for body in self._store.all("file"))
        for body in self._store.all("content"):
            self._contents[body["id"]] = base64.b64decode(body["base64"])
        for body in self._store.all("channel"):
            self.channels[body["id"]] = Channel(**body)
            self._messages[body["id"]] = {}
            self._order[body["id"]] = []
        for body in self._store.all("message"):
            self._hold(Message(**body))
        self._last_us = max([self._last_us, *(body["last"] for body in self._store.all("counter"))])


def stamp(ts: str) -> int:
    """A message timestamp as a number of microseconds, to compare and sort by; raises ValueError."""
    seconds, _, rest = ts.partition(".")
    return int(seconds) * 1_000_000 + int(rest.ljust(6, "0")[:6] or 0)
