"""Pytest tests that every registry adapter must pass. docs/how-to/write-a-registry-adapter.md shows how to run them.

class TestMyRegistry(RegistryContract): ...
class TestMyTransitions(TransitionContract): ...
class TestMyTracker(TrackerContract): ...

The adapter provides the fixtures `registry`, `tracker`, and `contents`: an empty registry, an empty tracker, and a way
to add models and runs to them.
"""

from bot.registry.contract.contents import RegistryContents
from bot.registry.contract.registry import RegistryContract
from bot.registry.contract.tracker import TrackerContract
from bot.registry.contract.transitions import TransitionContract

__all__ = ["RegistryContents", "RegistryContract", "TrackerContract", "TransitionContract"]
