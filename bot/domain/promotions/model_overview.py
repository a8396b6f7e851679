"""The view of a model: its versions, and the requests to promote them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.domain.promotions.request import Request
from bot.domain.registry.model import ModelInfo, VersionInfo
from bot.domain.registry.rollback_block import RollbackBlock


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model with its versions (newest first, with aliases), open requests, and rollback blocks."""

    model: ModelInfo
    versions: list[VersionInfo]
    requests: list[Request]
    blocks: Mapping[int, RollbackBlock] = field(default_factory=dict)  # by version
