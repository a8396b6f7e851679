"""MCP: agents read the registry and request changes; people decide in Slack. Requires the extra `mcp`."""

from importlib.util import find_spec

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, say


def is_installed() -> bool:
    """Return whether the MCP SDK is installed."""
    return find_spec("mcp") is not None


def require_sdk() -> None:
    """Raise Misconfigured, which says how to install the MCP SDK, if it isn't installed."""
    if not is_installed():
        raise Misconfigured(say("MCP needs a package. Install {package}.", package=Code("registrar-bot[mcp]")))
