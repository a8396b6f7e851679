"""MCP: agents read the registry and ask for changes; people decide in Slack. Needs the extra `mcp`."""

from importlib.util import find_spec

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, say


def is_installed() -> bool:
    """Return whether MCP's SDK is installed."""
    return find_spec("mcp") is not None


def require_sdk() -> None:
    """Raise Misconfigured, which says how to install MCP's SDK, unless it's installed."""
    if not is_installed():
        raise Misconfigured(say("MCP needs a package. Install {package}.", package=Code("registrar-bot[mcp]")))
