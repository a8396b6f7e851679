"""Read what a person's App Home shows: reviews, incidents, requests, models, and recent activity."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bot.domain.core.actors import Caller, actor_of
from bot.domain.core.sentence import Sentence
from bot.domain.home.home_content import RECENT_EVENT_TAGS, HomeView, OwnRequest, PendingRequest, recent_activity
from bot.domain.monitoring.model_status import is_unattended
from bot.domain.monitoring.rules.false_rollbacks import estimate_false_rollbacks
from bot.domain.policy.authorization import Permission, authorize
from bot.domain.policy.freezes import Freeze, active_freeze
from bot.domain.policy.pending_edit import describe_pending_edit
from bot.domain.promotions.approvers import pending_approvers, waiting_for_approvers
from bot.domain.promotions.request import OPEN_STATES, Request, RequestState
from bot.domain.promotions.verdict import verdict
from bot.domain.promotions.votes import Vote
from bot.domain.registry.model import Stage
from bot.ports import LedgerReader, MessageRef
from bot.services.core.blocked_versions import blocks_by_version
from bot.services.core.context import Context
from bot.services.home.statuses import MAX_INCIDENTS, ModelStatuses

MAX_TO_DECIDE = 10  # requests with buttons; the others are counted
MAX_REVIEWS = 5
MAX_UNATTENDED = 5  # incidents with buttons; the others are counted
MAX_OWN_REQUESTS = 5  # pending ones, and as many that ended
MAX_RECENT_EVENTS = 10
MAX_SCANNED_EVENTS = 40  # events that the recent ones are chosen from
MAX_SCANNED_REQUESTS = 1000  # open requests searched for those that the person can decide
ENDED_STATES = tuple(state for state in RequestState if state not in OPEN_STATES)

LinkTo = Callable[[MessageRef], str]  # from a message to its link; empty if that isn't known


class Homes:
    """Reads App Homes from the ledger only, so they work while the registry is unavailable."""

    def __init__(self, context: Context, statuses: ModelStatuses) -> None:
        self._context = context
        self._statuses = statuses

    def view_for(self, caller: Caller, link_to: LinkTo = lambda ref: "") -> HomeView:
        """Return a person's App Home. Raises LedgerUnavailable."""
        with self._context.ledger.read() as reader:
            now, active_policy = self._context.clock.now(), self._context.active_policy
            freezes = [freeze for freeze in reader.freezes() if freeze.is_active(now)]
            incidents = reader.incidents(open_only=True, limit=MAX_INCIDENTS)
            unattended = [incident for incident in incidents if is_unattended(incident)]
            open_requests = reader.requests(states=OPEN_STATES, limit=MAX_SCANNED_REQUESTS)
            pending = self._requests_to_decide(reader, caller, open_requests)
            to_decide = [self._to_decide(reader, request, freezes) for request in pending[:MAX_TO_DECIDE]]
            own_requests = self._own_requests(reader, caller, open_requests)
            statuses = self._statuses.read_all(reader, [freeze for freeze in freezes if freeze.model], incidents)
            pending_edit = active_policy.pending_edit
            shown = [
                *(item.request.id for item in to_decide),
                *(item.request.id for item in own_requests),
                *(incident.id for incident in unattended[:MAX_UNATTENDED]),
            ]
            return HomeView(
                to_decide=to_decide,
                to_decide_more=max(0, len(pending) - MAX_TO_DECIDE),
                reviews=self._reviews(reader, caller),
                incidents=unattended[:MAX_UNATTENDED],
                incidents_more=max(0, len(unattended) - MAX_UNATTENDED),
                own_requests=own_requests,
                statuses=statuses,
                global_freezes=[freeze for freeze in freezes if freeze.model is None],
                expected_false_rollbacks=estimate_false_rollbacks(
                    row.monitor for status in statuses for row in status.monitors
                ),
                recent_events=recent_activity(
                    reader.latest_audit_events(tags=RECENT_EVENT_TAGS, limit=MAX_SCANNED_EVENTS), MAX_RECENT_EVENTS
                ),
                policy_notice=describe_pending_edit(pending_edit, active_policy.revision, now)
                if pending_edit
                else None,
                hold=reader.active_hold(),
                links={key: link for key, ref in reader.message_refs(shown).items() if (link := link_to(ref))},
            )

    def _requests_to_decide(
        self, reader: LedgerReader, caller: Caller, open_requests: Sequence[Request]
    ) -> list[Request]:
        """Return the pending requests that the caller can decide and hasn't voted on, oldest first."""
        pending = [
            request
            for request in reversed(open_requests)
            if request.state is RequestState.PENDING and self._is_authorized(caller, Permission.REJECT, request)
        ]
        votes = reader.votes_by_request([request.id for request in pending])
        voters = {key: {vote.voter for vote in cast if not vote.lapsed} for key, cast in votes.items()}
        return [request for request in pending if actor_of(caller) not in voters.get(request.id, ())]

    def _to_decide(self, reader: LedgerReader, request: Request, freezes: Iterable[Freeze]) -> PendingRequest:
        now, policy = self._context.clock.now(), self._context.policy
        blocks = blocks_by_version(reader, request.model, {request.version: request.identity})
        is_frozen = (
            request.target is Stage.PRODUCTION and active_freeze(request.model, freezes, policy, now) is not None
        )
        return PendingRequest(
            request=request,
            verdict=verdict(request, policy.metrics_for(request.model)),
            block=blocks.get(request.version),
            is_frozen=is_frozen,
        )

    def _reviews(self, reader: LedgerReader, caller: Caller) -> list[Request]:
        """Return the break-glass requests that the caller can review, earliest due date first."""
        waiting = reader.requests_to_review()
        return [one for one in waiting if self._is_authorized(caller, Permission.REVIEW, one)][:MAX_REVIEWS]

    def _own_requests(self, reader: LedgerReader, caller: Caller, open_requests: Sequence[Request]) -> list[OwnRequest]:
        """Return the caller's open requests, with who they're waiting for, then the latest ones that ended."""
        actor = actor_of(caller)
        mine = [request for request in open_requests if request.requester == actor][:MAX_OWN_REQUESTS]
        votes = reader.votes_by_request([request.id for request in mine])
        return [
            *(
                OwnRequest(request=request, waiting=self._waiting(request, votes.get(request.id, ())))
                for request in mine
            ),
            *(
                OwnRequest(request=request)
                for request in reader.requests(requester=actor, states=ENDED_STATES, limit=MAX_OWN_REQUESTS)
            ),
        ]

    def _waiting(self, request: Request, votes: Sequence[Vote]) -> Sentence | None:
        if request.state is not RequestState.PENDING:
            return None
        return waiting_for_approvers(pending_approvers(request, votes, self._context.policy), None)

    def _is_authorized(self, caller: Caller, permission: Permission, request: Request) -> bool:
        policy, now = self._context.policy, self._context.clock.now()
        return bool(authorize(caller, permission, request.access_target, policy, now))
