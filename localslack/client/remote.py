"""Access to a running workspace by its address: its test controls and its people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any

from localslack.client.connection import WorkspaceConnection
from localslack.client.member import WorkspaceMember
from localslack.seed import PersonSeed

JSON = dict[str, Any]


class Remote(WorkspaceConnection):
    """A running workspace, identified by its address."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.api_url = self.url + "api/"
        status = self.status()
        self.team_id: str = status["team_id"]
        self.bot_token: str = status["secrets"]["bot_token"]
        self.app_token: str = status["secrets"]["app_token"]
        self.signing_secret: str = status["secrets"]["signing_secret"]

    def __enter__(self) -> Remote:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def person(self, name: str) -> WorkspaceMember:
        """Return the person with this handle or ID, so that you can act as them."""
        return WorkspaceMember(self, name)

    def wait_until_connected(self, connections: int = 1, timeout: float = 10.0) -> None:
        """Wait until the app has at least this many Socket Mode connections. Raises TimeoutError."""
        self.wait_for(lambda: self.status()["connections"] >= connections, timeout)

    # -- controls -------------------------------------------------------------------------------------------

    def status(self) -> JSON:
        """Return addresses, secrets, the app's connections (current and total), the time, and problems."""
        return self.control("status")

    def problems(self) -> list[str]:
        """Return explanations of problems for which Slack would only show vague errors."""
        return list(self.status()["problems"])

    def calls(self, method: str | None = None) -> list[JSON]:
        """Return the received Web API calls, each with method, args, at, ok, and error.

        Posts to response URLs are included as calls to response_url, and file uploads as calls to upload.
        """
        return list(self.control("calls", method=method)["calls"])

    def forget_calls(self) -> None:
        """Clear the call log."""
        self.control("calls", clear=True)

    def rate_limit(self, method: str, times: int | None = 1, retry_after: int = 1) -> None:
        """Answer the next calls to a method with HTTP 429 and Retry-After."""
        self.control("faults", method=method, kind="ratelimited", times=times, seconds=retry_after)

    def reset_before(self, method: str, times: int | None = 1) -> None:
        """Break the connections of the next calls to a method before the calls take effect."""
        self.control("faults", method=method, kind="reset_before", times=times)

    def reset_after(self, method: str, times: int | None = 1) -> None:
        """Break the connections of the next calls to a method after they take effect, so that the answers are lost."""
        self.control("faults", method=method, kind="reset_after", times=times)

    def slow(self, method: str, seconds: float, times: int | None = None) -> None:
        """Delay the answers to a method's calls by `seconds`; "*" means every method."""
        self.control("faults", method=method, kind="slow", times=times, seconds=seconds)

    def server_error(self, method: str, times: int | None = 1) -> None:
        """Answer the next calls to a method with HTTP 500."""
        self.control("faults", method=method, kind="server_error", times=times)

    def fail(self, method: str, error: str, times: int | None = 1) -> None:
        """Answer the next calls to a method with this Slack error."""
        self.control("faults", method=method, kind="error", times=times, error=error)

    def remove_method(self, method: str) -> None:
        """Answer calls to a method with unknown_method until `heal` is called."""
        self.control("faults", method=method, kind="unknown", times=None)

    def heal(self) -> None:
        """Remove all injected faults."""
        self.control("heal")

    def advance(self, seconds: float) -> None:
        """Move the workspace's clock forward. Trigger IDs, response URLs, and acknowledgments expire by this clock."""
        self.control("advance", seconds=seconds)

    def disconnect_sockets(self, how: str = "graceful", reason: str = "refresh_requested") -> int:
        """End or silence the Socket Mode connections, and return how many there were.

        how: "graceful" sends a disconnect message with the reason, "close" sends a close frame, "abrupt" sends a TCP
        reset, and "silent" keeps the connections open but stops reading from them.
        """
        return int(self.control("disconnect", how=how, reason=reason)["disconnected"])

    def deliver_to(self, url: str | None) -> None:
        """Deliver to this URL over signed HTTP or, if it's None, over Socket Mode."""
        self.control("deliver", url=url)

    def reset(self) -> None:
        """Reset everything to the seed, except connections, tokens, the clock, and injected faults."""
        self.control("reset")

    def keep(self) -> None:
        """Save people, channels, groups, files, and messages for `put_back`."""
        self.control("keep")

    def put_back(self) -> None:
        """Restore people, channels, groups, files, and messages from `keep`; reset the rest, as `reset` does."""
        self.control("put_back")

    def change_person(self, name: str, **changes: Any) -> JSON:
        """Change an account's fields, and return the user object.

        For example, turn the account into a guest (is_restricted), a bot (is_bot), a deleted account (deleted), or a
        stranger (team_id).
        """
        return dict(self.control("person", who=name, changes=changes)["user"])

    def let_live_in(self, name: str, team_id: str, *, enterprise: JSON, teams: Sequence[str] | None = None) -> JSON:
        """Make someone belong to another workspace in an Enterprise Grid, or to the Grid itself.

        enterprise: the Grid's ID and name. teams: the workspaces that they're a member of; by default, the other one
        and this one.
        """
        user = {
            "id": self.person(name).id,
            "enterprise_id": enterprise["id"],
            "enterprise_name": enterprise["name"],
            "is_admin": False,
            "is_owner": False,
            "teams": [team_id, self.team_id] if teams is None else list(teams),
        }
        return self.change_person(name, team_id=team_id, enterprise_user=user)

    def add_person(self, person: PersonSeed) -> WorkspaceMember:
        """Add an account that isn't in any channel."""
        self.control("person", **asdict(person))
        return self.person(person.name)

    def add_channel(self, channel_id: str, name: str, **fields: Any) -> JSON:
        """Add a channel, and return it; fields are more fields of ChannelSeed."""
        return dict(self.control("channel", id=channel_id, name=name, **fields)["channel"])

    def set_members(self, channel: str, members: Sequence[str]) -> None:
        """Set the members of a channel, by name or ID; "bot" is the app."""
        self.control("channel", where=channel, members=list(members))

    def members(self, channel: str) -> list[str]:
        """Return the IDs of a channel's members."""
        return list(self.control("channel", where=channel)["channel"]["members"])

    def archive(self, channel: str, archived: bool = True) -> None:
        """Archive or unarchive a channel."""
        self.control("channel", where=channel, is_archived=archived)

    def rename(self, channel: str, name: str) -> None:
        """Rename a channel."""
        self.control("channel", where=channel, rename=name)

    def limit_posting(self, channel: str, to: str) -> None:
        """Set who can post in a channel: "everyone", or "admins", which excludes the app."""
        self.control("channel", where=channel, posting=to)

    def set_group(self, group_id: str, handle: str, members: Sequence[str], name: str = "") -> None:
        """Create a user group, or change its members."""
        self.control("group", id=group_id, handle=handle, name=name or handle, members=list(members))


def connect(url: str) -> Remote:
    """Connect to a running workspace by its address. Raises httpx2.ConnectError."""
    return Remote(url)
