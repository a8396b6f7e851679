"""The tests that every registry's adapter has to pass, for pytest. docs/registries.md shows how to run them.

class TestMyRegistry(RegistryContract): ...
class TestMyTransitions(TransitionContract): ...
class TestMyTracker(TrackerContract): ...

The fixtures `registry`, `tracker`, and `contents` are the adapter's: a registry and a tracker without any models and
runs, and a way to put some there.
"""

from bot.registry.contract.contents import RegistryContents
from bot.registry.contract.registry import RegistryContract
from bot.registry.contract.tracker import TrackerContract
from bot.registry.contract.transitions import TransitionContract

__all__ = ["RegistryContents", "RegistryContract", "TrackerContract", "TransitionContract"]
