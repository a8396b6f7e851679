"""A client for a workspace, usable from any process: its people, and its test controls."""

from localslack.client.member import WorkspaceMember
from localslack.client.remote import Remote, connect
from localslack.client.results import ActionResult, RefusedError

__all__ = ["ActionResult", "RefusedError", "Remote", "WorkspaceMember", "connect"]
