"""Read what a person's App Home shows: reviews, requests, stage holders, monitors, and recent activity."""

from __future__ import annotations

from collections.abc import Sequence

from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Caller, actor_of
from bot.domain.home.views import HomeView, StageHolders
from bot.domain.monitoring.monitor import MonitorState
from bot.domain.monitoring.rules.false_rollbacks import estimate_false_rollbacks
from bot.domain.monitoring.views import MonitorRow, worst_first
from bot.domain.policy.authorization import AccessTarget, Permission, authorize
from bot.domain.policy.freezes import Freeze, active_freeze
from bot.domain.policy.pending_edit import describe_pending_edit
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.model import Stage
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.transitions.drift import REGISTRY_SEEN_KEY
from bot.ports import LedgerReader
from bot.services.core.blocked_versions import blocks_by_version
from bot.services.core.context import Context

MAX_TO_DECIDE = 15  # requests with buttons; the others are counted
MAX_OWN_REQUESTS = 10
MAX_RECENT_EVENTS = 10
MAX_MONITORS = 20
MAX_SCANNED_REQUESTS = 1000  # pending requests searched for those that the person can decide

# Recent activity shows decisions and outcomes, not every vote.
RECENT_EVENT_TAGS = (
    EventTag.TRANSITION_DONE,
    EventTag.REJECTED,
    EventTag.STALE,
    EventTag.EXPIRED,
    EventTag.FAILED,
    EventTag.GATES_OVERRIDDEN,
    EventTag.FROZEN,
    EventTag.UNFROZEN,
    EventTag.TRANSITION_OBSERVED,
    EventTag.ROLLED_BACK,
    EventTag.BREAKER_TRIPPED,
    EventTag.STAGE_REPAIRED,
    EventTag.ARCHIVED,
    EventTag.REGISTERED,
    EventTag.POLICY_LOADED,
    EventTag.POLICY_INVALID,
    EventTag.SERVING_CONFIRMED,
    EventTag.SERVING_TIMED_OUT,
    EventTag.WEBHOOK_GIVEN_UP,
    EventTag.MONITOR_ARMED,
    EventTag.BREAKER_RESET,
    EventTag.WORK_HELD,
    EventTag.HOLD_ACCEPTED,
    EventTag.HOLD_DROPPED,
    EventTag.REVIEWED,
    EventTag.REVIEW_OVERDUE,
)


class Homes:
    """Reads App Homes from the ledger only, so they work while the registry is unavailable."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def view_for(self, caller: Caller) -> HomeView:
        """Return a person's App Home. Raises LedgerUnavailable."""
        with self._context.ledger.read() as reader:
            to_decide = self._requests_to_decide(reader, caller)
            now, active_policy = self._context.clock.now(), self._context.active_policy
            freezes = [freeze for freeze in reader.freezes() if freeze.is_active(now)]
            monitor_states = reader.monitor_states()
            monitors = worst_first(
                MonitorRow(monitor, monitor_states.get(monitor.id) or MonitorState(monitor=monitor.id))
                for monitor in reader.monitors()
            )
            return HomeView(
                to_decide=to_decide[:MAX_TO_DECIDE],
                frozen_ids=self._frozen_ids(to_decide, freezes),
                blocks=_blocks_by_request(reader, to_decide[:MAX_TO_DECIDE]),
                to_decide_more=max(0, len(to_decide) - MAX_TO_DECIDE),
                own_requests=reader.requests(requester=actor_of(caller), limit=MAX_OWN_REQUESTS),
                stage_holders=self._stage_holders(reader, freezes),
                global_freezes=[freeze for freeze in freezes if freeze.model is None],
                monitors=monitors[:MAX_MONITORS],
                monitors_more=max(0, len(monitors) - MAX_MONITORS),
                expected_false_rollbacks=estimate_false_rollbacks(monitor.monitor for monitor in monitors),
                recent_events=reader.latest_audit_events(tags=RECENT_EVENT_TAGS, limit=MAX_RECENT_EVENTS),
                hold=reader.active_hold(),
                policy_notice=describe_pending_edit(active_policy.pending_edit, active_policy.revision, now)
                if active_policy.pending_edit
                else None,
                now=now,
                reviews=[
                    request
                    for request in reader.requests_to_review()
                    if self._is_authorized(caller, Permission.REVIEW, request)
                ][:MAX_TO_DECIDE],
            )

    def _requests_to_decide(self, reader: LedgerReader, caller: Caller) -> list[Request]:
        """Return the pending requests that the caller can decide and hasn't voted on, oldest first."""
        pending = reader.requests(states=[RequestState.PENDING], limit=MAX_SCANNED_REQUESTS)
        return [
            request
            for request in reversed(pending)
            if self._is_authorized(caller, Permission.REJECT, request)
            and actor_of(caller) not in {vote.voter for vote in reader.votes(request.id) if not vote.lapsed}
        ]

    def _frozen_ids(self, requests: list[Request], freezes: list[Freeze]) -> frozenset[str]:
        now, policy = self._context.clock.now(), self._context.policy
        return frozenset(
            request.id
            for request in requests
            if request.target is Stage.PRODUCTION and active_freeze(request.model, freezes, policy, now)
        )

    def _is_authorized(self, caller: Caller, permission: Permission, request: Request) -> bool:
        subject = AccessTarget(model=request.model, target=request.target, requester=request.requester)
        return bool(authorize(caller, permission, subject, self._context.policy, self._context.clock.now()))

    def _stage_holders(self, reader: LedgerReader, freezes: list[Freeze]) -> list[StageHolders]:
        rows = []
        for name, snapshot in sorted(reader.registry_snapshots().items()):
            production, staging = snapshot.holders(Stage.PRODUCTION), snapshot.holders(Stage.STAGING)
            if name == REGISTRY_SEEN_KEY or not (production or staging):
                continue
            freeze = active_freeze(name, freezes, self._context.policy, self._context.clock.now())
            rows.append(
                StageHolders(
                    model=name,
                    production=tuple(production),
                    staging=tuple(staging),
                    freeze_reason=freeze.description if freeze else None,
                )
            )
        return rows


def _blocks_by_request(reader: LedgerReader, requests: Sequence[Request]) -> dict[str, RollbackBlock]:
    blocks = {
        request.id: blocks_by_version(reader, request.model, {request.version: request.identity}).get(request.version)
        for request in requests
    }
    return {request_id: block for request_id, block in blocks.items() if block}
