"""Errors that source plugins for 0.2 import from here. Kept for one release; use bot.sources instead."""

from bot.domain.core.errors import Misconfigured, Unreachable

__all__ = ["Misconfigured", "Unreachable"]
