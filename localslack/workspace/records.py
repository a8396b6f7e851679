"""The records in a workspace. They're stored field by field."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

JSON = dict[str, Any]


@dataclass(kw_only=True)
class User:
    """A user account: a person, a bot, a guest, a stranger from another workspace, or a deleted account.

    team_id: the account's workspace. enterprise_user: Slack's object for people in an Enterprise Grid, who can also be
    members of this workspace.
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

    posting: who can post, "everyone" or "admins".
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
        """The conversation type, as in conversations.list."""
        if self.is_im:
            return "im"
        return "private_channel" if self.is_private else "public_channel"

    @property
    def scope_prefix(self) -> str:
        """The first half of the scopes for this conversation: channels, groups, or im."""
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
    """An uploaded file, without its bytes. width and height: a picture's size in pixels.

    ready_at: when the check is complete, in seconds since the epoch; until then, the type is unknown.
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
    """A message. audience: the only person who sees it if it's ephemeral; otherwise, None."""

    ts: str
    channel: str
    user: str
    text: str = ""
    blocks: list[JSON] = field(default_factory=list)
    attachments: list[JSON] = field(default_factory=list)
    # The IDs of its files.
    files: list[str] = field(default_factory=list)
    metadata: JSON | None = None
    thread_ts: str | None = None
    reply_broadcast: bool = False
    edited: JSON | None = None
    subtype: str | None = None
    audience: str | None = None
    # Who reacted, by emoji: {"name", "users"}.
    reactions: list[JSON] = field(default_factory=list)
    # Presentation arguments: parse, mrkdwn, link_names, unfurl_links, unfurl_media.
    flags: JSON = field(default_factory=dict)

    @property
    def is_reply(self) -> bool:
        """Whether the message is a reply in a thread."""
        return self.thread_ts is not None and self.thread_ts != self.ts

    @property
    def all_blocks(self) -> list[JSON]:
        """The blocks in the message and its attachments."""
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
        """The bot user's name in lowercase, with spaces and most punctuation replaced by underscores."""
        return re.sub(r"[^\w.-]+", "_", self.bot_name.lower())


@dataclass(frozen=True, kw_only=True)
class Team:
    """The workspace as Slack's objects describe it; url is this server's address."""

    id: str
    name: str
    domain: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """The tokens and secrets that the app and the workspace use to authenticate to each other."""

    bot_token: str
    app_token: str
    signing_secret: str
    verification_token: str
