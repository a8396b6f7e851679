"""The one executor of moves. Whatever caused a move, it is made here: one at a time per model, and read back."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from bot import logging_context
from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Automation, actor_id
from bot.domain.core.errors import (
    AlreadyDecided,
    FilesUnreachable,
    RegistrarError,
    RegistryRefused,
    RegistryUnreachable,
    SlackNotConnected,
    SlackUnreachable,
    UnknownVersion,
    Unreachable,
)
from bot.domain.core.sentence import Sentence, say
from bot.domain.monitoring.incident import IncidentDecision, IncidentStatus
from bot.domain.policy.authorization import Permission
from bot.domain.policy.freezes import ActiveFreeze, active_freeze
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.gates import decision_basis_change
from bot.domain.promotions.request import Request, RequestState, Vote, counting_approvals
from bot.domain.registry.model import Stage
from bot.domain.rollbacks import messages as rollback_messages
from bot.domain.transitions import messages, registry_tags, restore_messages
from bot.domain.transitions.transition import (
    UNFINISHED_STATES,
    Transition,
    TransitionFacts,
    TransitionKind,
    TransitionPlan,
    TransitionState,
    TransitionStep,
    empties_staging,
    incumbent_replaced_reason,
    is_in_place,
    is_in_place_by_summary,
    plan_transition,
)
from bot.ports import LedgerReader, LedgerTransaction, TagUpdate
from bot.services.core.context import Context
from bot.services.core.outbox_messages import (
    CLOCK_ACTOR,
    card_message,
    channel_message,
    end_messages,
    notice_message,
    ordering_key_of,
    request_event,
    request_thread_message,
    thread_message,
)
from bot.services.promotions.final_tags import final_tag_update
from bot.services.promotions.gate_checks import GateChecks
from bot.services.promotions.voters import Profiles, Voters, changes_since_opened
from bot.services.transitions import rollback_records, serving_checks
from bot.services.transitions.loadability import LoadabilityChecks
from bot.services.transitions.rollback_records import rollback_ordering_key

log = logging.getLogger(__name__)

RequestEnd = tuple[RequestState, EventTag]  # what a request becomes, and the event that says so

LEASE = timedelta(seconds=60)  # longer than the registry's time limits for the few calls of one move together
# A move that waits for the registry is due again after this; one question for all of them comes first (reach.py).
RETRY_DELAY = timedelta(seconds=2)
MAX_RETRY_DELAY = timedelta(
    minutes=1
)  # of what waits for files, Slack, or the end of a fault: doubled with each attempt
FROZEN_RETRY_DELAY = timedelta(seconds=10)  # until it is looked again whether Production is still frozen
# What a freeze stops, beside all that an automation does. Whoever takes a version out of Production in an emergency is
# not kept from it.
STOPPED_BY_FREEZE = frozenset({TransitionKind.PROMOTION, TransitionKind.REPAIR})
MAX_TRIES = 3  # how often a move is made again when the registry, read back, says something else


class TransitionExecutor:
    """Makes the moves that were written down."""

    def __init__(self, context: Context, gate_checks: GateChecks, loadability: LoadabilityChecks) -> None:
        self._context = context
        self._loadability = loadability
        self._gate_checks = gate_checks
        self._voters = Voters(context)
        self._interrupted: dict[
            str, Transition
        ] = {}  # claimed, and dropped by an error: given back at the next occasion

    def execute_due(self, model: str) -> None:
        """Make the model's intended moves, oldest first, until none is due or somebody else holds the model.

        A registry that does not answer leaves a move intended, to be made when it is back.
        """
        self._release_interrupted()
        while (move := self._claim(model)) is not None:
            try:
                if not self._execute_claimed(move):
                    return
            except Exception:
                self._interrupted[move.id] = move
                raise

    def end_expired(self, model: str) -> None:
        """End the model's moves whose requests expired before anything was moved; the registry isn't asked."""
        while (move := self._claim(model)) is not None:
            if self._why_expired(move) is None:
                self._release(move, promotion_messages.waiting_for_registry_announcement(), delay=RETRY_DELAY)
                continue
            with logging_context.bound(move=move.id, request=move.request, model=move.model), suppress(AlreadyDecided):
                self._execute_or_fail(move)

    def _execute_claimed(self, transition: Transition) -> bool:
        """Make a claimed move and write its end, or give it back while Production is frozen.

        Return False where it was given back because the registry is away: then no other move can be made either.
        """
        with logging_context.bound(
            move=transition.id,
            request=transition.request,
            incident=transition.incident,
            model=transition.model,
            actor=actor_id(transition.actor),
        ):
            try:
                self._execute_or_fail(transition)
            except AlreadyDecided as error:
                log.warning("move %s: %s", transition.id, error)
            except SlackNotConnected:
                self._release_to_bot(transition)
                return False
            except SlackUnreachable as error:
                log.warning("move %s waits for Slack: %s", transition.id, error)
                self._release(
                    transition, promotion_messages.waiting_for_slack_announcement(), trigger="waiting-for-slack"
                )
            except Unreachable as error:
                log.warning("move %s waits: %s", transition.id, error)
                self._release(
                    transition,
                    promotion_messages.waiting_for_registry_announcement(),
                    delay=self._registry_retry_delay(error),
                )
                return False
        return True

    def _registry_retry_delay(self, error: Unreachable) -> timedelta | None:
        """Return when a move is due again that met this; where it was the registry, remember that it's lost."""
        if not isinstance(error, RegistryUnreachable) or isinstance(error, FilesUnreachable):
            return None
        self._context.availability.mark_unavailable()
        return RETRY_DELAY

    def _active_freeze(self, transition: Transition) -> ActiveFreeze | None:
        """Return what stops a move about Production now."""
        is_stopped = transition.kind in STOPPED_BY_FREEZE or isinstance(transition.actor, Automation)
        if not is_stopped or Stage.PRODUCTION not in {transition.from_stage, transition.target}:
            return None
        with self._context.ledger.read() as reading:
            freezes, hold = reading.freezes(), reading.active_hold()
        if hold and isinstance(transition.actor, Automation):
            return ActiveFreeze(restore_messages.automation_stopped_reason(), None)
        return active_freeze(transition.model, freezes, self._context.policy, self._context.clock.now())

    def models_with_unfinished(self) -> list[str]:
        """Return the models that have moves to be made."""
        with self._context.ledger.read() as reading:
            return reading.models_with_transitions(UNFINISHED_STATES)

    def models_with_expired(self) -> list[str]:
        """Return the models that have moves to be ended by `end_expired`."""
        with self._context.ledger.read() as reading:
            return reading.models_with_expired_transitions(self._context.clock.now())

    def _release_interrupted(self) -> None:
        """Let go of what this process still holds without working on it; else it would wait for the lease's end."""
        for move in list(self._interrupted.values()):
            self._release(move, promotion_messages.retry_announcement())

    def _claim(self, model: str) -> Transition | None:
        if not self._context.startup_check.has_passed():
            return None
        now = self._context.clock.now()
        with self._context.ledger.write() as tx:
            move = tx.claim_transition(model, self._context.owner, now, now + LEASE)
            if move and move.request:
                request = tx.lock_request(move.request)
                if request.state is RequestState.APPROVED:
                    tx.save_request(request.with_state(RequestState.EXECUTING))
        return move

    def _execute_or_fail(self, transition: Transition) -> None:
        try:
            if (late := self._why_expired(transition)) is not None:
                self._finish(
                    transition, TransitionState.STALE, str(late), request_end=(RequestState.EXPIRED, EventTag.EXPIRED)
                )
            else:
                self._execute(transition)
        except (AlreadyDecided, Unreachable):
            raise
        except RegistrarError as error:
            self._finish(transition, TransitionState.FAILED, str(error.sentence))

    def _execute(self, transition: Transition) -> None:
        """Bring the move to its end; or give it back where Production is frozen and nothing was moved yet.

        What an earlier try has moved is finished whatever is frozen: the alias follows, and people are told.
        """
        for _ in range(MAX_TRIES):
            facts = self._read_facts(transition)
            next_step = plan_transition(transition, facts)
            if next_step.step is TransitionStep.SET_STAGE_AND_ALIAS:
                stopped = self._active_freeze(transition)
                if stopped is not None and transition.kind is TransitionKind.ROLLBACK:
                    return self._finish(
                        transition,
                        TransitionState.STALE,
                        str(stopped.description),
                        IncidentDecision(IncidentStatus.FROZEN, stopped.description),
                    )
                if (unfit := self._why_not_a_target(transition) or self._why_not_loadable(transition)) is not None:
                    return self._finish(
                        transition, TransitionState.STALE, str(unfit), IncidentDecision(IncidentStatus.HELD, unfit)
                    )
                if stopped is not None:
                    why = promotion_messages.waiting_for_freeze_announcement(stopped.description)
                    return self._release(transition, why, trigger="frozen", delay=FROZEN_RETRY_DELAY)
                next_step = self._plan_if_gates_fail(transition, facts) or next_step
            if next_step.step is not TransitionStep.NOTHING:
                next_step = self._plan_if_approval_lapsed(transition) or next_step
            if next_step.step is TransitionStep.NOTHING:
                return self._finish(transition, TransitionState.STALE, str(next_step.reason))
            transition = self._mark_begun(
                replace(transition, identity=transition.identity or facts.identity(transition.version))
            )
            refused_alias = self._apply(transition, next_step)
            news = messages.staging_empty_announcement() if empties_staging(transition, facts) else None
            if self._is_confirmed(transition, check_alias=not refused_alias):
                return self._finish(transition, TransitionState.DONE, refused_alias, news=news)
        if is_in_place(transition, self._context.registry.versions(transition.model)):
            alias = self._context.aliases[transition.target]
            why = say("The alias {alias} does not stay on it: somebody else moves it.", alias=alias)
            return self._finish(
                transition, TransitionState.DONE, str(messages.alias_refused_notice(alias, why)), news=news
            )
        raise RegistryRefused(
            say("{stage} was changed by somebody else again and again while this was moved.", stage=transition.target)
        )

    def _read_facts(self, transition: Transition) -> TransitionFacts:
        """Read what the move is decided on: the model and all its versions, or for a rollback the two it is about.

        As long as the incumbent serves, a rollback needs to know nothing else, at any number of versions.
        """
        if transition.kind is TransitionKind.ROLLBACK:
            return self._read_rollback_facts(transition)
        versions = tuple(self._context.registry.versions(transition.model))
        model = self._context.registry.model(transition.model) if transition.request and versions else None
        return TransitionFacts(versions=versions, model=model)

    def _read_rollback_facts(self, transition: Transition) -> TransitionFacts:
        if transition.expected_incumbent is not None:
            with suppress(UnknownVersion):
                incumbent = self._context.registry.version(transition.model, transition.expected_incumbent)
                if incumbent.stage is transition.target:
                    return TransitionFacts(
                        versions=(incumbent, self._context.registry.version(transition.model, transition.version))
                    )
        return TransitionFacts(versions=tuple(self._context.registry.versions(transition.model)))

    def _why_not_a_target(self, transition: Transition) -> Sentence | None:
        """Return why a rollback isn't made: its version never served, or was blocked since the decision."""
        if transition.kind is not TransitionKind.ROLLBACK:
            return None
        with self._context.ledger.read() as reading:
            return rollback_records.why_not_a_target(reading, transition.model, transition.version)

    def _why_not_loadable(self, transition: Transition) -> Sentence | None:
        """Return why a rollback is not made that nobody forces: its version may not load.

        Mostly whoever decided has looked just now; a click has not, nor has a process that takes over. Of files that
        are away a person hears, who may force it; a monitor has looked before it decided, and waits.
        """
        if transition.kind is not TransitionKind.ROLLBACK or transition.is_forced:
            return None
        try:
            reasons = self._loadability.problems(transition.model, transition.version, transition.expected_incumbent)
        except FilesUnreachable as error:
            if isinstance(transition.actor, Automation):
                raise
            return rollback_messages.loadability_unknown_refusal(transition.model, transition.version, error.sentence)
        return (
            rollback_messages.may_not_load_refusal(transition.model, transition.version, reasons) if reasons else None
        )

    def _plan_if_gates_fail(self, transition: Transition, facts: TransitionFacts) -> TransitionPlan | None:
        """Return why a promotion can't be made as it was decided: the incumbent, its rule, its figures or a gate.

        Whoever breaks the glass goes past them all.
        """
        if transition.request is None or transition.kind is TransitionKind.BREAK_GLASS:
            return None
        with self._context.ledger.read() as reading:
            request = reading.request(transition.request)
        now = self._gate_checks.retake_snapshot(request, facts)
        why = incumbent_replaced_reason(request, facts) or (
            None if now is None else decision_basis_change(request, now)
        )
        return None if why is None else TransitionPlan(TransitionStep.NOTHING, why)

    def _why_expired(self, transition: Transition) -> Sentence | None:
        """Return why a move isn't made whose request expired before anything was moved. Nothing else is asked."""
        if transition.request is None or transition.began_at is not None:
            return None
        with self._context.ledger.read() as reading:
            request = reading.request(transition.request)
        return (
            promotion_messages.expired_after_approval_reason(request)
            if request.is_past_expiry(self._context.clock.now())
            else None
        )

    def _plan_if_approval_lapsed(self, transition: Transition) -> TransitionPlan | None:
        """Return why a request's move can't be made as it was decided, before its first write. None: it can.

        Its history since then, and the people who let it pass, are checked. Raises SlackUnreachable.
        """
        if transition.request is None or transition.began_at is not None:
            return None
        with self._context.ledger.read() as reading:
            request, votes = reading.request(transition.request), counting_approvals(reading.votes(transition.request))
            why = changes_since_opened(reading, request)
        why = why or self._why_no_longer_approved(transition, request, votes)
        return None if why is None else TransitionPlan(TransitionStep.NOTHING, why)

    def _why_no_longer_approved(self, transition: Transition, request: Request, votes: list[Vote]) -> Sentence | None:
        """Return which right is gone that let a request pass; approvals that no longer count are marked."""
        others = [request.requester] if request.breaks_glass else []
        others += [request.overridden_by] if request.overridden_by else []
        profiles = self._voters.profiles([*others, *(vote.voter for vote in votes)])
        if request.breaks_glass:
            allowed = self._voters.authorize_now(request.requester, Permission.BREAK_GLASS, request, profiles)
            return None if allowed else break_glass_messages.break_glass_lapsed_reason(allowed.rule)
        if request.overridden_by:
            allowed = self._voters.authorize_now(request.overridden_by, Permission.OVERRIDE, request, profiles)
            if not allowed:
                return promotion_messages.override_lapsed_reason(allowed.rule)
        if all(self._voters.authorize_now(vote.voter, Permission.APPROVE, request, profiles) for vote in votes):
            return None
        left = len(self._mark_lapsed_votes(transition, request, profiles))
        return promotion_messages.too_few_approvals_reason(request, left) if left < request.required else None

    def _mark_lapsed_votes(self, transition: Transition, request: Request, profiles: Profiles) -> list[Vote]:
        """Mark the approvals that no longer count; return those that do."""
        with self._context.ledger.write() as tx:
            self._require_claim(tx, transition)
            request = tx.lock_request(request.id)
            votes = self._voters.mark_lapsed(tx, request, tx.votes(request.id), profiles)
            tx.add_message(
                card_message(request, f"lapsed:{transition.attempts}", self._context.policy.channel_for(request.model))
            )
        return counting_approvals(votes)

    def _mark_begun(self, transition: Transition) -> Transition:
        """Record, right before the first write, that the registry may have changed from here on.

        Raises AlreadyDecided where we took so long that another process has taken the move over.
        """
        now = self._context.clock.now()
        with self._context.ledger.write() as tx:
            if not tx.begin_transition(transition, now):
                self._require_claim(tx, transition)
        return transition if transition.began_at else replace(transition, began_at=now)

    def _apply(self, transition: Transition, next_step: TransitionPlan) -> str:
        """Move the stage, then the alias; return why MLflow refused the alias, else nothing.

        Who holds the stage has changed by then, so a refused alias is told and cannot make the move a failed one.
        """
        if next_step.step is TransitionStep.SET_STAGE_AND_ALIAS:
            archive = transition.has_alias and not transition.keep_existing
            self._context.registry.transition_stage(
                transition.model, transition.version, transition.target, archive_existing=archive
            )
        if not transition.has_alias:
            return ""
        alias = self._context.aliases[transition.target]
        if next_step.step is TransitionStep.SET_STAGE_AND_ALIAS:
            with self._context.ledger.read() as reading:
                self._require_claim(reading, transition)
        try:
            self._context.registry.set_alias(transition.model, alias, transition.version)
        except RegistryRefused as error:
            return str(messages.alias_refused_notice(alias, error.sentence))
        return ""

    def _require_claim(self, reader: LedgerReader, transition: Transition) -> None:
        """Raise AlreadyDecided where we hung for so long that another process has taken the move over.

        It may have ended it, and made others since: what was read before is not true any more.
        """
        now = reader.transition(transition.id)
        if (now.state, now.attempts) != (TransitionState.EXECUTING, transition.attempts):
            raise AlreadyDecided(say("It was taken over and is {state} now.", state=now.state.value))

    def _is_confirmed(self, transition: Transition, *, check_alias: bool) -> bool:
        """Read stage and alias back in one request.

        Of a stage that keeps its former holder the summary of the model would name the higher number only; and it
        takes the longer the more versions there are, which a rollback does not wait for.
        """
        wanted = self._context.aliases[transition.target] if check_alias and transition.has_alias else None
        if transition.has_alias and not transition.keep_existing and transition.kind is not TransitionKind.ROLLBACK:
            return is_in_place_by_summary(transition, self._context.registry.model(transition.model), wanted)
        version = self._context.registry.version(transition.model, transition.version)
        return version.stage is transition.target and (wanted is None or wanted in version.aliases)

    def _release(
        self, transition: Transition, news: Sentence, *, trigger: str = "waiting", delay: timedelta | None = None
    ) -> None:
        """Let the move wait. The thread is told once, and the request is approved, not moving."""
        delay = delay or min(RETRY_DELAY * 2 ** min(transition.attempts - 1, 10), MAX_RETRY_DELAY)
        with self._context.ledger.write() as tx:
            is_ours = tx.release_transition(transition, self._retry_time(tx, transition, delay))
            if is_ours and transition.request:
                request = tx.lock_request(transition.request).with_state(RequestState.APPROVED)
                tx.save_request(request)
                tx.add_message(card_message(request, trigger, self._context.policy.channel_for(request.model)))
                tx.add_message(request_thread_message(request, trigger, news))
            elif is_ours and transition.kind is TransitionKind.ROLLBACK:
                tx.add_message(
                    thread_message(
                        rollback_ordering_key(transition),
                        f"{transition.id}:{trigger}",
                        rollback_messages.rollback_waiting_announcement(),
                    )
                )
        self._interrupted.pop(transition.id, None)

    def _retry_time(self, reader: LedgerReader, transition: Transition, delay: timedelta) -> datetime:
        """Return when a released move is due: after `pause`, but no later than its request expires."""
        at = self._context.clock.now() + delay
        if transition.request is None or reader.transition(transition.id).began_at is not None:
            return at
        return min(at, reader.request(transition.request).expires_at)

    def _release_to_bot(self, transition: Transition) -> None:
        """Leave a move to the bot beside, which can ask Slack about its approvers and is at it within seconds."""
        with self._context.ledger.write() as tx:
            if tx.release_transition(transition, self._context.clock.now()) and transition.request:
                tx.save_request(tx.lock_request(transition.request).with_state(RequestState.APPROVED))

    def _finish(
        self,
        transition: Transition,
        state: TransitionState,
        why: str,
        decision: IncidentDecision | None = None,
        *,
        request_end: RequestEnd | None = None,
        news: Sentence | None = None,
    ) -> None:
        """Write the end of the move, of its request and of its card in one transaction.

        `instead` is what the incident of a rollback comes to that was not made; `end` is the request's, if it isn't
        the one that goes with `state`; `news` is what its thread hears beside the end.
        """
        now = self._context.clock.now()
        ended = replace(transition, state=state, why=why, finished_at=now)
        with self._context.ledger.write() as tx:
            self.finish(tx, ended, decision, request_end)
            if news is not None:
                tx.add_message(thread_message(ordering_key_of(transition), f"besides:{transition.id}", news))

    def finish(
        self,
        tx: LedgerTransaction,
        transition: Transition,
        decision: IncidentDecision | None = None,
        request_end: RequestEnd | None = None,
    ) -> None:
        """Write the same in a transaction of the caller's. Raises AlreadyDecided where it has ended already."""
        tx.finish_transition(transition)
        if transition.request:
            self._end_request(
                tx, tx.lock_request(transition.request), transition, request_end or _REQUEST_ENDS[transition.state]
            )
        else:
            self._finish_without_request(tx, transition, decision)
        serving_checks.schedule_serving_check(tx, self._context, transition, ordering_key_of(transition))
        rollback_records.reset_monitors(tx, transition)

    def _finish_without_request(
        self, tx: LedgerTransaction, transition: Transition, decision: IncidentDecision | None
    ) -> None:
        """Write the event of a move without a request, and what is told of it."""
        tx.add_audit_event(_transition_event(transition))
        channel = self._context.policy.channel_for(transition.model)
        if transition.kind is TransitionKind.ROLLBACK:
            rollback_records.record_end(tx, self._context, transition, decision)
        if transition.kind is TransitionKind.ARCHIVE and transition.state is TransitionState.DONE:
            tx.add_message(channel_message(transition.id, channel, messages.archive_announcement(transition)))
            tx.add_tag_update(
                TagUpdate(
                    id=transition.id, model=transition.model, version=transition.version, alias=self._context.challenger
                )
            )
        if transition.finding:
            finding = tx.drift_notice(transition.finding)
            if transition.state is TransitionState.DONE:
                finding = replace(finding, mended_by=transition.actor, mended_at=transition.finished_at)
                tx.save_drift_notice(finding)
            tx.add_message(thread_message(finding.id, transition.id, messages.repair_announcement(transition)))
            tx.add_message(notice_message(finding, transition.id, channel))

    def _end_request(
        self, tx: LedgerTransaction, request: Request, transition: Transition, request_end: RequestEnd
    ) -> None:
        state, tag = request_end
        ended = request.with_state(state, outcome=transition.why)
        tx.save_request(ended)
        tx.add_audit_event(
            request_event(
                ended,
                tag,
                CLOCK_ACTOR if tag in {EventTag.STALE, EventTag.EXPIRED} else transition.actor,
                self._context.clock.now(),
                why=transition.why,
                before=_version_label(transition.expected_incumbent),
                after=_version_label(transition.version) if tag is EventTag.TRANSITION_DONE else None,
            )
        )
        for note in end_messages(ended, self._context.policy.channel_for(ended.model), ended_by=None):
            tx.add_message(note)
        if ended.state is RequestState.DONE and ended.seen and ended.seen.callers.no_rollback:
            tx.add_message(request_thread_message(ended, "way-back", say("{why}.", why=ended.seen.callers.no_rollback)))
        tx.add_tag_update(self._tag_update(tx, ended, transition))

    def _tag_update(self, tx: LedgerTransaction, request: Request, transition: Transition) -> TagUpdate:
        """Return what the version's tags and description say of the end; nothing waits for that."""
        at = transition.finished_at or transition.intended_at
        if request.state is not RequestState.DONE:
            return final_tag_update(tx, request, at)
        left_staging = request.from_stage is Stage.STAGING and request.target is not Stage.STAGING
        line, alias = (
            registry_tags.promotion_line(request, tx.votes(request.id), at),
            self._context.challenger if left_staging else "",
        )
        return final_tag_update(tx, request, at, line=line, alias=alias)


_REQUEST_ENDS = {
    TransitionState.DONE: (RequestState.DONE, EventTag.TRANSITION_DONE),
    TransitionState.STALE: (RequestState.STALE, EventTag.STALE),
    TransitionState.FAILED: (RequestState.FAILED, EventTag.FAILED),
}


def _version_label(version: int | None) -> str | None:
    return None if version is None else f"v{version}"


def _transition_event(transition: Transition) -> Event:
    return Event(
        at=transition.finished_at or transition.intended_at,
        actor=transition.actor,
        tag=_EVENT_TAGS[transition.kind] if transition.state is TransitionState.DONE else EventTag.TRANSITION_NOT_MADE,
        subject=transition.id,
        model=transition.model,
        before=_version_label(transition.expected_incumbent),
        after=_version_label(transition.version),
        why=transition.why or transition.reason,
        origin="registrar",
        evidence={
            "kind": transition.kind.value,
            "version": transition.version,
            "from": transition.from_stage.value,
            "to": transition.target.value,
            "state": transition.state.value,
            "reason": transition.reason,
            "forced": transition.is_forced,
            "incident": transition.incident,
        },
    )


_EVENT_TAGS = {
    TransitionKind.PROMOTION: EventTag.TRANSITION_DONE,
    TransitionKind.OBSERVED: EventTag.TRANSITION_OBSERVED,
    TransitionKind.ARCHIVE: EventTag.ARCHIVED,
    TransitionKind.REPAIR: EventTag.STAGE_REPAIRED,
    TransitionKind.ROLLBACK: EventTag.ROLLED_BACK,
}
