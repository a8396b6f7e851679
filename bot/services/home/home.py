"""What somebody's Home shows: what waits for them, what they asked for, what serves, what happened lately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.domain.audit.events import Link, Tag
from bot.domain.core.actors import Caller, actor_of
from bot.domain.core.sentence import Say
from bot.domain.monitoring.rules.false_rollbacks import Expected, expected
from bot.domain.monitoring.state import Standing
from bot.domain.monitoring.views import MonitorRow, worst_first
from bot.domain.policy.authorization import Act, Subject, authorize
from bot.domain.policy.freezes import Freeze, frozen
from bot.domain.policy.pending_edit import edit_words
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.model import Stage
from bot.domain.registry.rollback_block import Bar
from bot.domain.transitions.drift import BASELINE
from bot.domain.transitions.restores import Hold
from bot.ports import Reading
from bot.services.core.blocked_versions import blocks
from bot.services.core.context import Context

WAITING_MOST = 15  # requests with buttons; of more, the rest is counted
MINE_MOST = 10
LATELY_MOST = 10
MONITORS_MOST = 20
LOOKED_THROUGH = 1000  # pending requests that are looked through for those that somebody can decide

# What is told of the last days: what people decided and what came of it, not every vote.
LATELY = (
    Tag.MOVED,
    Tag.REJECTED,
    Tag.STALE,
    Tag.EXPIRED,
    Tag.FAILED,
    Tag.OVERRIDDEN,
    Tag.FROZEN,
    Tag.UNFROZEN,
    Tag.OBSERVED,
    Tag.ROLLED_BACK,
    Tag.BREAKER_TRIPPED,
    Tag.MENDED,
    Tag.ARCHIVED,
    Tag.REGISTERED,
    Tag.POLICY_TAKEN,
    Tag.POLICY_BROKEN,
    Tag.SERVING_CONFIRMED,
    Tag.SERVING_DENIED,
    Tag.NOT_TOLD,
    Tag.MONITOR_ARMED,
    Tag.BREAKER_RESET,
    Tag.HELD,
    Tag.HOLD_ACCEPTED,
    Tag.HOLD_DROPPED,
    Tag.REVIEWED,
    Tag.REVIEW_OVERDUE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A model as it was seen last: who holds Production and Staging, and what stops Production now."""

    model: str
    production: tuple[int, ...]
    staging: tuple[int, ...]
    stopped: Say | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeView:
    """One person's Home. `more` is how many requests wait for them beyond those that are shown."""

    waiting: list[Request]
    frozen: frozenset[str]  # those of them that a freeze keeps from being approved now, by id
    blocks: Mapping[str, Bar]  # by the id of a request that waits: what blocks its version
    more: int
    mine: list[Request]
    serving: list[Serving]
    freezes: list[Freeze]  # of every model
    monitors: list[MonitorRow]  # the worst first; `monitors_more` beyond those that are shown
    monitors_more: int
    armed: Expected | None  # what to expect of all that are armed
    lately: list[Link]
    policy: Say | None  # why the policy in force isn't the one on disk
    now: datetime
    hold: Hold | None = None
    reviews: Sequence[Request] = ()  # moved without approvals, and theirs to review


class Homes:
    """Reads Homes from the ledger: they open while the registry is away, too."""

    def __init__(self, context: Context) -> None:
        self._it = context

    def of(self, caller: Caller) -> HomeView:
        """Return what the Home of somebody shows now. Raises LedgerUnavailable."""
        with self._it.ledger.read() as reading:
            waiting = self._waiting(reading, caller)
            now, rules = self._it.clock.now(), self._it.rules
            freezes = [one for one in reading.freezes() if one.is_active(now)]
            standings = reading.standings()
            monitors = worst_first(
                MonitorRow(one, standings.get(one.id) or Standing(monitor=one.id)) for one in reading.monitors()
            )
            return HomeView(
                waiting=waiting[:WAITING_MOST],
                frozen=self._frozen(waiting, freezes),
                blocks=_blocks(reading, waiting[:WAITING_MOST]),
                more=max(0, len(waiting) - WAITING_MOST),
                mine=reading.requests(requester=actor_of(caller), most=MINE_MOST),
                serving=self._serving(reading, freezes),
                freezes=[one for one in freezes if one.model is None],
                monitors=monitors[:MONITORS_MOST],
                monitors_more=max(0, len(monitors) - MONITORS_MOST),
                armed=expected(one.monitor for one in monitors),
                lately=reading.latest(tags=LATELY, most=LATELY_MOST),
                hold=reading.hold(),
                policy=edit_words(rules.edit, rules.revision, now) if rules.edit else None,
                now=now,
                reviews=[one for one in reading.to_review() if self._can(caller, Act.REVIEW, one)][:WAITING_MOST],
            )

    def _waiting(self, reading: Reading, caller: Caller) -> list[Request]:
        """Return the pending requests that they may reject, so decide, and have not voted on; oldest first."""
        pending = reading.requests(states=[RequestState.PENDING], most=LOOKED_THROUGH)
        return [request for request in reversed(pending) if self._can_decide(reading, caller, request)]

    def _can_decide(self, reading: Reading, caller: Caller, request: Request) -> bool:
        if not self._can(caller, Act.REJECT, request):
            return False
        return actor_of(caller) not in {vote.voter for vote in reading.votes(request.id) if not vote.lapsed}

    def _frozen(self, waiting: list[Request], freezes: list[Freeze]) -> frozenset[str]:
        now, policy = self._it.clock.now(), self._it.policy
        return frozenset(
            one.id for one in waiting if one.target is Stage.PRODUCTION and frozen(one.model, freezes, policy, now)
        )

    def _can(self, caller: Caller, act: Act, request: Request) -> bool:
        subject = Subject(model=request.model, target=request.target, requester=request.requester)
        return bool(authorize(caller, act, subject, self._it.policy, self._it.clock.now()))

    def _serving(self, reading: Reading, freezes: list[Freeze]) -> list[Serving]:
        found = []
        for name, look in sorted(reading.looks().items()):
            production, staging = look.holders(Stage.PRODUCTION), look.holders(Stage.STAGING)
            if name == BASELINE or not (production or staging):
                continue
            stop = frozen(name, freezes, self._it.policy, self._it.clock.now())
            found.append(
                Serving(
                    model=name, production=tuple(production), staging=tuple(staging), stopped=stop.why if stop else None
                )
            )
        return found


def _blocks(reading: Reading, requests: Sequence[Request]) -> dict[str, Bar]:
    found = {one.id: blocks(reading, one.model, {one.version: one.identity}).get(one.version) for one in requests}
    return {request_id: block for request_id, block in found.items() if block}
