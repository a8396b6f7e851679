"""A Slack workspace on this machine: an unchanged Bolt app runs against it over real sockets."""

from localslack.client import ActionResult, RefusedError, Remote, WorkspaceMember, connect
from localslack.local_slack import LocalSlack
from localslack.seed import ChannelSeed, GroupSeed, PersonSeed, Seed

__all__ = [
    "ActionResult",
    "ChannelSeed",
    "GroupSeed",
    "LocalSlack",
    "PersonSeed",
    "RefusedError",
    "Remote",
    "Seed",
    "WorkspaceMember",
    "connect",
]
