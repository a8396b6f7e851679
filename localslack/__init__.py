"""A Slack workspace on this machine. An unmodified Bolt app can connect to it over real sockets.

The packages, lowest first, each of which imports only from those before it: core, payloads, signing, manifest, seed,
blocks, workspace, delivery, calls, backend, interactions, api, web, client, local_slack.
"""

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
