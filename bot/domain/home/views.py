"""The content of a person's App Home. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.domain.audit.events import ChainedEvent
from bot.domain.core.sentence import Sentence
from bot.domain.monitoring.rules.false_rollbacks import FalseRollbackEstimate
from bot.domain.monitoring.views import MonitorRow
from bot.domain.policy.freezes import Freeze
from bot.domain.promotions.request import Request
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.transitions.restores import Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class StageHolders:
    """A model in its last registry snapshot: the versions in Production and Staging, and any freeze of Production."""

    model: str
    production: tuple[int, ...]
    staging: tuple[int, ...]
    freeze_reason: Sentence | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeView:
    """One person's App Home. `to_decide_more` counts the requests that aren't shown."""

    to_decide: list[Request]
    frozen_ids: frozenset[str]  # ids of requests that can't be approved now because of a freeze
    blocks: Mapping[str, RollbackBlock]  # what blocks a request's version, by request id
    to_decide_more: int
    own_requests: list[Request]
    stage_holders: list[StageHolders]
    global_freezes: list[Freeze]  # freezes of all models
    monitors: list[MonitorRow]  # worst first; `monitors_more` counts those not shown
    monitors_more: int
    expected_false_rollbacks: FalseRollbackEstimate | None  # of all armed monitors
    recent_events: list[ChainedEvent]
    policy_notice: Sentence | None  # why the policy in effect differs from the policy file
    now: datetime
    hold: Hold | None = None
    reviews: Sequence[Request] = ()  # break-glass requests that the person can review
