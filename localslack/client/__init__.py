"""People and switches over HTTP: usable from any process that can reach the workspace."""

from localslack.client.member import WorkspaceMember
from localslack.client.remote import Remote, connect
from localslack.client.results import ActionResult, RefusedError

__all__ = ["ActionResult", "RefusedError", "Remote", "WorkspaceMember", "connect"]
