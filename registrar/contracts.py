"""The tests that every plugin must pass. They need pytest.

docs/how-to/write-a-registry-adapter.md and docs/how-to/write-a-source.md show how to run them.
"""

from bot.registry.contract import RegistryContents, RegistryContract, TrackerContract, TransitionContract
from bot.registry.tag_stages import TagStageRegistry
from bot.sources.contract import SourceContract

__all__ = [
    "RegistryContents",
    "RegistryContract",
    "SourceContract",
    "TagStageRegistry",
    "TrackerContract",
    "TransitionContract",
]
