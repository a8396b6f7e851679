"""The content of a new workspace, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

BOT = "bot"


@dataclass(frozen=True, kw_only=True)
class PersonSeed:
    """A person.

    team_id: the person's workspace; None means this one. People from another workspace are strangers, unless the teams
    in their enterprise_user (Slack's object for people in an Enterprise Grid) include this one.
    """

    id: str
    name: str
    real_name: str = ""
    title: str = ""
    tz: str = "Etc/UTC"
    team_id: str | None = None
    is_admin: bool = False
    is_restricted: bool = False
    is_ultra_restricted: bool = False
    is_bot: bool = False
    deleted: bool = False
    enterprise_user: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class ChannelSeed:
    """A channel.

    members: names or IDs, with "bot" for the app; None means the app and all accounts that aren't deleted. posting: who
    can post, "everyone" or "admins".
    """

    id: str
    name: str
    purpose: str = ""
    is_private: bool = False
    is_archived: bool = False
    posting: str = "everyone"
    members: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class GroupSeed:
    """A user group; members are names or IDs."""

    id: str
    handle: str
    name: str
    members: tuple[str, ...] = ()


DEFAULT_PEOPLE = (
    PersonSeed(id="U0ALICE", name="alice", real_name="Alice Moreau", title="Data scientist"),
    PersonSeed(id="U0BOB", name="bob", real_name="Bob Tanaka", title="ML lead", is_admin=True),
    PersonSeed(id="U0CAROL", name="carol", real_name="Carol Okafor", title="Product owner"),
    PersonSeed(id="U0DAVE", name="dave", real_name="Dave Lindqvist", title="Data engineer"),
)
DEFAULT_CHANNELS = (
    ChannelSeed(id="C0GENERAL", name="general", purpose="For everyone"),
    ChannelSeed(id="C0MLMODELS", name="ml-models", purpose="Model approvals and alerts"),
    ChannelSeed(id="C0CHURN", name="churn", purpose="The churn model and its team"),
)
DEFAULT_GROUPS = (GroupSeed(id="S0LEADS", handle="leads", name="Leads", members=("bob", "carol")),)


@dataclass(frozen=True, kw_only=True)
class Seed:
    """The initial state of a workspace."""

    team_id: str = "T0LOCAL"
    team_name: str = "Local workspace"
    team_domain: str = "local"
    people: tuple[PersonSeed, ...] = DEFAULT_PEOPLE
    channels: tuple[ChannelSeed, ...] = DEFAULT_CHANNELS
    groups: tuple[GroupSeed, ...] = DEFAULT_GROUPS
