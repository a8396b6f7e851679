"""A registry as an adapter returns it."""

from __future__ import annotations

from typing import Any

from bot.ports import NO_LINKS, ExperimentTracker, ModelRegistry, OpenRegistry, RegistryLinks
from bot.registry.tag_stages import TagStageRegistry


def tracker_of(registry: Any) -> ExperimentTracker:
    """Return a registry's tracker; the in-memory registry is its own tracker."""
    inner: Any = registry._registry if isinstance(registry, TagStageRegistry) else registry
    tracker: ExperimentTracker = getattr(inner, "tracker", inner)
    return tracker


def opened(registry: ModelRegistry, links: RegistryLinks = NO_LINKS) -> OpenRegistry:
    """Return a registry as an adapter returns it."""
    return OpenRegistry(registry=registry, tracker=tracker_of(registry), links=links)
