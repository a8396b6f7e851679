"""Decide requests: check permissions and votes, then refuse the command, or approve or end the request."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from bot import logging_context
from bot.domain.audit.events import EventTag, canonical_time
from bot.domain.core.actors import Actor, Caller, Person, Profile, actor_id, actor_of
from bot.domain.core.errors import (
    AlreadyDecided,
    LedgerFileGone,
    LedgerUnavailable,
    LedgerUpgraded,
    Refused,
    SlackUnreachable,
)
from bot.domain.core.sentence import Sentence
from bot.domain.integrity.digest import DigestState
from bot.domain.policy.authorization import (
    AccessDecision,
    Permission,
    authorize,
    describe_caller,
    unknown_operator_decision,
)
from bot.domain.policy.authorship import slack_user_id
from bot.domain.policy.freezes import active_freeze
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.approvers import missing_requirement
from bot.domain.promotions.file_gate import FILES, digest_id_of, file_facts, not_hashed_refusal, with_file_gate
from bot.domain.promotions.gates import rule_changed_reason
from bot.domain.promotions.recorded_facts import pack_caller_facts
from bot.domain.promotions.request import Request, RequestState, check_reviewable, pack_snapshot
from bot.domain.promotions.votes import Vote, counting_approvals
from bot.domain.registry.model import VersionInfo, version_replaced_reason
from bot.domain.transitions import registry_tags, restore_messages
from bot.domain.transitions.changes_since_opened import change_since_opened
from bot.domain.transitions.transition import TransitionFacts, promotion_transition, superseded
from bot.ports import LedgerReader, LedgerTransaction, TagUpdate
from bot.services.core.access import recording_refusals
from bot.services.core.context import Context
from bot.services.core.outbox_messages import (
    card_message,
    end_messages,
    request_event,
    tag_update_for,
)

log = logging.getLogger(__name__)

PAGE_SIZE = 50  # transitions read at a time

NOT_RECORDED = "Registrar's ledger isn't responding, so nothing was recorded. Try again in a moment."

Profiles = Mapping[str, Profile]  # by user ID


class Voters:
    """Reads people's profiles outside a transaction, and checks votes against them inside one."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def profiles_before_decision(self, request_id: str, new_approvals: int) -> Profiles:
        """Return the approvers' profiles if `new_approvals` more would be enough, or else an empty mapping.

        It's also empty if Slack doesn't respond, because the executor waits for Slack and checks everyone before the
        transition. Raises UnknownRequest and LedgerUnavailable.
        """
        try:
            with self._context.ledger.read() as reader:
                request, votes = reader.request(request_id), counting_approvals(reader.votes(request_id))
        except (LedgerFileGone, LedgerUpgraded):
            raise
        except LedgerUnavailable as error:  # the caller is deciding, so say that nothing was recorded
            raise LedgerUnavailable(NOT_RECORDED) from error
        if request.state is not RequestState.PENDING or len(votes) + new_approvals < request.required:
            return {}
        try:
            return self.profiles([vote.voter for vote in votes])
        except SlackUnreachable as error:
            log.warning("request %s: earlier approvals will be checked before the transition: %s", request_id, error)
            return {}

    def profiles(self, people: Sequence[Actor]) -> Profiles:
        """Return the current profiles of these people, by user ID. Raises SlackUnreachable."""
        user_ids = [slack_user_id(user, self._context.policy) for user in people]
        persons = [
            actor if isinstance(actor, Person) else Person("", user)
            for actor, user in zip(people, user_ids, strict=True)
            if user
        ]
        return self._context.directory.current_profiles(persons) if persons else {}

    def mark_lapsed(
        self, tx: LedgerTransaction, request: Request, votes: Sequence[Vote], profiles: Profiles
    ) -> list[Vote]:
        """Mark the approvals whose voter can no longer approve, and return all current votes.

        A voter who isn't in `profiles` isn't checked.
        """
        return [self._mark_if_lapsed(tx, request, vote, profiles) for vote in votes]

    def _mark_if_lapsed(self, tx: LedgerTransaction, request: Request, vote: Vote, profiles: Profiles) -> Vote:
        if not vote.is_approval or vote.voter.user not in profiles:
            return vote
        decision = self.authorize_now(vote.voter, Permission.APPROVE, request, profiles)
        if decision:
            return vote
        lapsed = replace(vote, lapsed=decision.rule)
        tx.save_vote(lapsed)
        why = f"@{vote.voter.user}'s approval no longer counts: {promotion_messages.lapse_reason(decision.rule)}."
        facts = self.facts_now(vote.voter, decision, profiles)
        now, evidence = self._context.clock.now(), {"voter": vote.voter.user, "rule": decision.rule, "facts": facts}
        tx.add_audit_event(request_event(request, EventTag.VOTE_LAPSED, None, now, why=why, evidence=evidence))
        channel = self._context.policy.channel_for(request.model)
        tx.add_message(card_message(request, f"lapsed:{self._context.new_id()}", channel))
        return lapsed

    def authorize_now(
        self, actor: Actor, permission: Permission, request: Request, profiles: Profiles
    ) -> AccessDecision:
        """Decide whether someone still has a permission that they used on a request. Freezes are ignored."""
        user = slack_user_id(actor, self._context.policy)
        profile = profiles.get(user) if user else None
        if profile is None:
            return unknown_operator_decision(actor)
        return authorize(profile, permission, request.access_target, self._context.policy, self._context.clock.now())

    def facts_now(self, actor: Actor, decision: AccessDecision, profiles: Profiles) -> dict[str, Any]:
        """Return the facts behind a decision by `authorize_now`, for the audit log."""
        profile = profiles.get(slack_user_id(actor, self._context.policy) or "")
        return pack_caller_facts(profile, decision, self._context.active_policy.revision)


def changes_since_opened(reader: LedgerReader, request: Request) -> Sentence | None:
    """Return the change in the ledger that makes a request outdated, or None if there isn't one.

    Transitions are read page by page, back to when the request was opened.
    """
    transitions = reader.transitions(request.model, limit=PAGE_SIZE)
    page = transitions
    while len(page) == PAGE_SIZE and page[-1].intended_at > request.opened_at:
        page = reader.transitions(request.model, before_id=page[-1].id, limit=PAGE_SIZE)
        transitions = transitions + page
    return change_since_opened(request, transitions, reader.rollback_blocks(request.model))


# Refused on a request that's outdated according to the ledger. It can still be canceled, and votes withdrawn.
_REFUSED_WHEN_OUTDATED = frozenset({Permission.APPROVE, Permission.OVERRIDE})
_REFUSED_WHEN_HELD = _REFUSED_WHEN_OUTDATED | {Permission.REJECT}  # on a request that is held after a restore


class RequestDecisions:
    """Approves and ends requests in the caller's transaction. Shared by all services that decide requests."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @contextmanager
    def change(
        self, caller: Caller, permission: Permission, request_id: str, origin: str
    ) -> Iterator[tuple[LedgerTransaction, Request, dict[str, Any]]]:
        """Open the transaction in which `caller` changes a request, lock the request, and check the permission.

        Yields the transaction, the request, and the evidence for the change's audit event: who the caller is, and the
        facts that the permission decision was based on.

        Refused and AlreadyDecided are audited with `permission` and `origin` and then raised, including those that the
        body of the `with` statement raises. Also raises UnknownRequest and LedgerUnavailable.
        """
        with recording_refusals(
            self._context.ledger,
            lambda error: request_event(
                request,
                EventTag.REQUEST_COMMAND_REFUSED,
                actor_of(caller),
                self._context.clock.now(),
                why=str(error.sentence),
                origin=origin,
                evidence={
                    "act": permission.value,
                    "error": type(error).__name__,
                    "by": describe_caller(caller, self._context.policy),
                },
            ),
        ) as tx:
            request = self._with_file_gate(tx, tx.lock_request(request_id))
            logging_context.bind(request=request.id, model=request.model)
            facts = self._require_allowed(tx, caller, permission, request)
            if request.seen and (files := request.seen.facts.get(FILES)):
                facts[FILES] = files
            yield tx, request, {"by": describe_caller(caller, self._context.policy), "facts": facts}

    def _with_file_gate(self, tx: LedgerTransaction, request: Request) -> Request:
        """Return the request with the current result of the `integrity` gate, which is saved if it's new."""
        if self._context.policy.rules_for(request.model).integrity(request.target) != "required":
            return request
        current = with_file_gate(request, file_facts(tx.digest(digest_id_of(request))))
        if current != request:
            tx.save_request(current)
        return current

    def require_hashed(self, reader: LedgerReader, request: Request) -> None:
        """Raise Refused if the rule requires unchanged files and they're still being hashed."""
        if self._context.policy.rules_for(request.model).integrity(request.target) == "required":
            digest = reader.digest(digest_id_of(request))
            if digest and digest.state is DigestState.WAITING:
                raise Refused(not_hashed_refusal(digest))

    def require_allowed(self, caller: Caller, request_id: str, permission: Permission) -> Request:
        """Return the request if `caller` has `permission` on it now, for example before a modal opens.

        The permission is checked again when they act. Raises the same errors as `change`.
        """
        with self.change(caller, permission, request_id, "slack") as (_, request, _evidence):
            pass
        return request

    def _require_allowed(
        self, tx: LedgerTransaction, caller: Caller, permission: Permission, request: Request
    ) -> dict[str, Any]:
        """Check the permission, and that the request can still be changed; end it if it's expired or outdated.

        Return the facts that the decision on the permission was based on.
        """
        now, policy = self._context.clock.now(), self._context.policy
        revision = self._context.active_policy.revision
        target = replace(request.access_target, frozen=active_freeze(request.model, tx.freezes(), policy, now))
        decision = authorize(caller, permission, target, policy, now)
        facts = pack_caller_facts(caller, decision, revision, target.frozen)
        if decision.is_outsider or (not decision and permission is Permission.REVIEW):
            raise Refused(decision.reason)
        if permission is Permission.REVIEW:
            check_reviewable(request)
            return facts
        if request.is_pending_past_expiry(now):
            raise AlreadyDecided(promotion_messages.outcome_announcement(self.expire(tx, request)))
        if request.state is not RequestState.PENDING:
            raise AlreadyDecided(promotion_messages.already_decided_reason(request))
        if decision and permission in _REFUSED_WHEN_HELD and tx.is_request_held(request.id):
            raise Refused(restore_messages.held_request_refusal())
        if permission in _REFUSED_WHEN_OUTDATED and (ended := self.end_if_outdated(tx, request)) is not None:
            raise AlreadyDecided(promotion_messages.outcome_announcement(ended))
        if not decision:
            raise Refused(decision.reason)
        return facts

    def approve(self, tx: LedgerTransaction, request: Request, approvals: Sequence[Vote]) -> Request:
        """Approve a request and add its transition, in one transaction so that a crash loses neither.

        `approvals` are the ones that count, oldest first; the last one decided the request.
        """
        now, last_vote = self._context.clock.now(), approvals[-1]
        approved = request.with_state(RequestState.APPROVED, decided_at=now, decided_by=last_vote.voter)
        tx.save_request(approved)
        tx.add_transition(promotion_transition(approved, last_vote.voter, now))
        evidence: dict[str, Any] = {
            "opened_at": canonical_time(approved.opened_at),
            "approvers": [actor_id(vote.voter) for vote in approvals],
            "facts": {"policy": self._context.active_policy.revision},
        }
        evidence |= {"seen": pack_snapshot(approved.seen)} if approved.seen else {}
        self.record(
            tx, approved, EventTag.APPROVED, last_vote.voter, before="pending", after="approved", evidence=evidence
        )
        self.redraw(tx, approved, "approved")
        return approved

    def end(
        self,
        tx: LedgerTransaction,
        request: Request,
        state: RequestState,
        tag: EventTag,
        decided_by: Actor | None,
        why: str,
        evidence: Mapping[str, Any] | None = None,
    ) -> Request:
        """End a request, and return it with its new state.

        `decided_by` is who ended it, or None if Registrar did. `why` is the outcome that people read. `evidence` is
        what the audit log records about who ended it.
        """
        now = self._context.clock.now()
        ended = request.with_state(state, decided_at=now, decided_by=decided_by, outcome=why)
        tx.save_request(ended)
        details = {
            "opened_at": canonical_time(ended.opened_at),
            "facts": {"policy": self._context.active_policy.revision},
        }
        details |= evidence or {}
        self.record(
            tx, ended, tag, decided_by, why=why, before=request.state.value, after=state.value, evidence=details
        )
        tx.add_message(*end_messages(ended, self._context.policy.channel_for(ended.model), ended_by=decided_by))
        tx.add_tag_update(final_tag_update(tx, ended, now))
        return ended

    def expire(self, tx: LedgerTransaction, request: Request) -> Request:
        """End a pending request that is past its expiry, and return it with its new state."""
        return self.end(tx, request, RequestState.EXPIRED, EventTag.EXPIRED, None, "No one decided in time.")

    def end_if_outdated(self, tx: LedgerTransaction, request: Request) -> Request | None:
        """End and return a pending request if the ledger shows that it's outdated; otherwise, return None."""
        why = self.why_outdated(tx, request)
        return None if why is None else self.end(tx, request, RequestState.STALE, EventTag.STALE, None, str(why))

    def why_outdated(self, reader: LedgerReader, request: Request) -> Sentence | None:
        """Return why a request is outdated according to the ledger, or None if it isn't. The registry isn't read."""
        # An older version of Registrar recorded no rule.
        if request.seen and request.seen.rule != self._context.policy.fingerprint(request.model, request.target):
            return rule_changed_reason(request)
        if (why := missing_requirement(request, self._context.policy)) is not None:
            return why
        snapshot = reader.registry_snapshot(request.model)
        if snapshot is not None and snapshot.at > request.opened_at:
            if request.version in snapshot.stages and snapshot.holds_other_version(request.version, request.identity):
                return version_replaced_reason(request.model, request.version)
            versions = tuple(
                VersionInfo(model=request.model, version=number, stage=stage)
                for number, stage in snapshot.stages.items()
            )
            if not request.keep_existing and (why := superseded(request, TransitionFacts(versions=versions))):
                return why
        return changes_since_opened(reader, request)

    def record(
        self, tx: LedgerTransaction, request: Request, tag: EventTag, actor: Actor | None, **fields: Any
    ) -> None:
        """Add an audit event about the request; `fields` are passed to `request_event`."""
        tx.add_audit_event(request_event(request, tag, actor, self._context.clock.now(), **fields))

    def redraw(self, tx: LedgerTransaction, request: Request, trigger: str) -> None:
        """Add the message that redraws the request's card; `trigger` makes its key unique."""
        tx.add_message(card_message(request, trigger, self._context.policy.channel_for(request.model)))


def final_tag_update(tx: LedgerReader, request: Request, at: datetime, *, line: str = "", alias: str = "") -> TagUpdate:
    """Return the tag update for a version whose request ends in this transaction.

    `line` is appended to the version's description. `alias`, if set, is removed from the version. Tags that were
    written after the request was opened are kept.
    """
    tags = registry_tags.ended_tags(request, tx.votes(request.id), at)
    if registry_tags.reverts_tags(request):
        others = tx.requests(model=request.model, version=request.version)
        tags = registry_tags.reverted_tags(request, others, _tags_written_since(tx, request, others))
    return tag_update_for(request, request.state.value, tags, line=line, alias=alias)


def _tags_written_since(tx: LedgerReader, request: Request, others: Sequence[Request]) -> set[str]:
    """Return the tags that were written after the request was opened, or are about to be written.

    Tags that their own request has reverted aren't included.
    """
    tag_updates = tx.tag_updates(request.model, version=request.version)
    opened = next((update.number for update in tag_updates if update.id == f"{request.id}:opened"), None)
    reverted_ids = {request.id for request in others if registry_tags.reverts_tags(request)}
    later_updates = [update for update in tag_updates if opened is not None and update.number > opened]
    return {key for one in later_updates if one.id.partition(":")[0] not in reverted_ids for key in one.tags}
