"""A client for a workspace in any process: its people, and its switches."""

from localslack.client.member import WorkspaceMember
from localslack.client.remote import Remote, connect
from localslack.client.results import ActionResult, RefusedError

__all__ = ["ActionResult", "RefusedError", "Remote", "WorkspaceMember", "connect"]
