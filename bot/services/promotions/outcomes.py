"""Write down what a request comes to: approved or ended, with its audit event, messages and tags."""

from __future__ import annotations

from typing import Any

from bot.domain.audit.events import Event, EventTag, canonical_time
from bot.domain.core.actors import Actor, Caller, actor_id
from bot.domain.core.sentence import Sentence
from bot.domain.policy.authorization import (
    describe_caller,
)
from bot.domain.promotions.gates import rule_changed_reason
from bot.domain.promotions.request import Request, RequestState, Vote
from bot.domain.promotions.request import counting_approvals as counted
from bot.domain.promotions.snapshot import pack_snapshot
from bot.domain.registry.model import VersionInfo, version_replaced_reason
from bot.domain.transitions.drift import RegistrySnapshot
from bot.domain.transitions.transition import (
    TransitionFacts,
    promotion_transition,
    superseded,
)
from bot.ports import LedgerReader, LedgerTransaction, OutboxMessage
from bot.services.core.context import Context
from bot.services.core.outbox_messages import (
    card_message,
    end_messages,
    request_event,
    request_thread_message,
)
from bot.services.promotions.final_tags import final_tag_update
from bot.services.promotions.voter_eligibility import changes_since_opened


class RequestDecisions:
    """Approves and ends requests in the caller's transaction. Shared by all services that decide about requests."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def approve(self, tx: LedgerTransaction, request: Request, last_vote: Vote) -> Request:
        """Approve a request and add its transition in one transaction, so that a crash loses neither."""
        now = self._context.clock.now()
        approved = request.with_state(RequestState.APPROVED, decided_at=now, decided_by=last_vote.voter)
        tx.save_request(approved)
        tx.add_transition(promotion_transition(approved, last_vote, now))
        evidence = _opening_evidence(approved) | ({"seen": pack_snapshot(approved.seen)} if approved.seen else {})
        evidence |= {"approvers": [actor_id(vote.voter) for vote in counted(tx.votes(request.id))]}
        tx.add_audit_event(
            self.request_event(
                approved, EventTag.APPROVED, last_vote.voter, before="pending", after="approved", evidence=evidence
            )
        )
        tx.add_message(self.card_message(approved, "approved"))
        return approved

    def end(
        self,
        tx: LedgerTransaction,
        request: Request,
        state: RequestState,
        tag: EventTag,
        decided_by: Actor | None,
        why: str,
        caller: Caller | None = None,
    ) -> Request:
        """End a request and return it as it is now.

        `decided_by` is who ended it, None for the clock; `why` is the outcome that people read. `caller` adds to the
        audit log which identity and role acted.
        """
        now = self._context.clock.now()
        ended = request.with_state(state, decided_at=now, decided_by=decided_by, outcome=why)
        tx.save_request(ended)
        evidence = _opening_evidence(ended) | ({"by": describe_caller(caller, self._context.policy)} if caller else {})
        tx.add_audit_event(
            self.request_event(
                ended, tag, decided_by, why=why, before=request.state.value, after=state.value, evidence=evidence
            )
        )
        for message in end_messages(ended, self._context.policy.channel_for(ended.model), ended_by=decided_by):
            tx.add_message(message)
        tx.add_tag_update(final_tag_update(tx, ended, now))
        return ended

    def why_outdated(self, reader: LedgerReader, request: Request) -> Sentence | None:
        """Return why a request is outdated as far as the ledger knows, or None. The registry isn't read."""
        if self._has_rule_changed(request):
            return rule_changed_reason(request)
        snapshot = reader.registry_snapshot(request.model)
        change = (
            None if snapshot is None or snapshot.at <= request.opened_at else _change_since_opened(request, snapshot)
        )
        return change or changes_since_opened(reader, request)

    def _has_rule_changed(self, request: Request) -> bool:
        if request.seen is None:  # opened by an older Registrar
            return False
        return request.seen.rule != self._context.policy.fingerprint(request.model, request.target)

    def card_message(self, request: Request, trigger: str) -> OutboxMessage:
        """Return the message that redraws the request's card; `trigger` makes its key unique."""
        return card_message(request, trigger, self._context.policy.channel_for(request.model))

    def thread_message(self, request: Request, trigger: str, sentence: Sentence) -> OutboxMessage:
        """Return a reply in the thread of the request's card; `trigger` makes its key unique."""
        return request_thread_message(request, trigger, sentence)

    def request_event(self, request: Request, tag: EventTag, actor: Actor | None, **fields: Any) -> Event:
        """Return an audit event about the request, at the present time."""
        return request_event(request, tag, actor, self._context.clock.now(), **fields)


def _change_since_opened(request: Request, snapshot: RegistrySnapshot) -> Sentence | None:
    """Return what a registry snapshot shows to have changed since the request was opened, or None."""
    if request.version in snapshot.stages and snapshot.holds_other_version(request.version, request.identity):
        return version_replaced_reason(request.model, request.version)
    return None if request.keep_existing else superseded(request, _as_facts(snapshot))


def _as_facts(snapshot: RegistrySnapshot) -> TransitionFacts:
    """Return the stages of a registry snapshot as facts for the transition rules."""
    return TransitionFacts(
        versions=tuple(
            VersionInfo(model=snapshot.model, version=number, stage=stage) for number, stage in snapshot.stages.items()
        )
    )


def _opening_evidence(request: Request) -> dict[str, Any]:
    return {"opened_at": canonical_time(request.opened_at)}
