"""A Slack workspace on this machine: an unchanged Bolt app runs against it over real sockets."""

from localslack.client import Outcome, Person, RefusedError, Remote, connect
from localslack.local_slack import LocalSlack
from localslack.seed import ChannelSeed, GroupSeed, PersonSeed, Seed

__all__ = [
    "ChannelSeed",
    "GroupSeed",
    "LocalSlack",
    "Outcome",
    "Person",
    "PersonSeed",
    "RefusedError",
    "Remote",
    "Seed",
    "connect",
]
