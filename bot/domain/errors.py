"""Where source plugins of 0.2 import their errors from. Kept for one release; use bot.sources."""

from bot.domain.core.errors import Misconfigured, Unreachable

__all__ = ["Misconfigured", "Unreachable"]
