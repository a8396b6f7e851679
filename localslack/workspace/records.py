"""What a workspace is made of. Plain records: they are stored as they are, field by field."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

JSON = dict[str, Any]


@dataclass(kw_only=True)
class User:
    """A user account: a person, a bot, a guest, a stranger from another workspace, or a deleted account.

    team_id: the workspace that they belong to. enterprise_user: who they are in an Enterprise Grid, in Slack's words;
    with it they can be members of this workspace too.
    """

    id: str
    name: str
    team_id: str
    real_name: str = ""
    title: str = ""
    tz: str = "Etc/UTC"
    is_admin: bool = False
    is_restricted: bool = False
    is_ultra_restricted: bool = False
    is_bot: bool = False
    deleted: bool = False
    enterprise_user: JSON | None = None


@dataclass(kw_only=True)
class Conversation:
    """A public or private channel, or a direct conversation between the app and one person.

    posting: who can post, everyone or admins.
    """

    id: str
    name: str
    created: int
    purpose: str = ""
    is_private: bool = False
    is_archived: bool = False
    is_im: bool = False
    posting: str = "everyone"
    members: list[str] = field(default_factory=list)
    previous_names: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The conversation type in the words of conversations.list."""
        if self.is_im:
            return "im"
        return "private_channel" if self.is_private else "public_channel"

    @property
    def scope_prefix(self) -> str:
        """The first half of the scopes that cover this conversation: channels, groups or im."""
        return {"im": "im", "private_channel": "groups", "public_channel": "channels"}[self.kind]


@dataclass(kw_only=True)
class UserGroup:
    """A user group."""

    id: str
    handle: str
    name: str
    members: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class File:
    """An uploaded file; its bytes are kept beside it. width and height are those of a picture.

    ready_at: when Slack has looked into it, in seconds since the epoch; nobody knows what it is before that.
    """

    id: str
    name: str
    user: str
    created: int
    size: int
    title: str = ""
    mimetype: str = ""
    alt_text: str = ""
    snippet_type: str = ""
    width: int = 0
    height: int = 0
    ready_at: float = 0.0


@dataclass(kw_only=True)
class PostedMessage:
    """A message; with an audience it is ephemeral and only that person sees it."""

    ts: str
    channel: str
    user: str
    text: str = ""
    blocks: list[JSON] = field(default_factory=list)
    attachments: list[JSON] = field(default_factory=list)
    # The ids of the files that it shares.
    files: list[str] = field(default_factory=list)
    metadata: JSON | None = None
    thread_ts: str | None = None
    reply_broadcast: bool = False
    edited: JSON | None = None
    subtype: str | None = None
    audience: str | None = None
    # Who reacted, by emoji: {"name", "users"}.
    reactions: list[JSON] = field(default_factory=list)
    # What only the sender said about presentation: parse, mrkdwn, unfurl_links, unfurl_media.
    flags: JSON = field(default_factory=dict)

    @property
    def is_reply(self) -> bool:
        """Whether the message hangs in a thread that another message opened."""
        return self.thread_ts is not None and self.thread_ts != self.ts

    @property
    def all_blocks(self) -> list[JSON]:
        """The blocks of the message and of its attachments."""
        return self.blocks + [block for attachment in self.attachments for block in attachment.get("blocks", [])]


@dataclass(frozen=True, kw_only=True)
class App:
    """The installed app and its bot user."""

    id: str = "A0LOCALAPP"
    bot_id: str = "B0LOCALAPP"
    bot_user_id: str = "U0LOCALAPP"
    name: str = "App"
    bot_name: str = "app"

    @property
    def bot_handle(self) -> str:
        """The name of the bot user in lower case, without spaces."""
        return re.sub(r"[^\w.-]+", "_", self.bot_name.lower())


@dataclass(frozen=True, kw_only=True)
class Team:
    """The workspace itself; url is where this process serves it."""

    id: str
    name: str
    domain: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """What an app needs to talk to this workspace, and to know that it is this workspace."""

    bot_token: str
    app_token: str
    signing_secret: str
    verification_token: str
