"""The only executor of transitions, whatever caused them: one at a time per model, verified in the registry."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot import logging_context
from bot.domain.audit.events import EventTag
from bot.domain.core.actors import actor_id
from bot.domain.core.backoff import Backoff
from bot.domain.core.errors import (
    AlreadyDecided,
    RegistrarError,
    RegistryRefused,
    SlackNotConnected,
    SlackUnreachable,
    Unreachable,
)
from bot.domain.core.sentence import Sentence, say
from bot.domain.monitoring.incident import IncidentDecision, IncidentStatus
from bot.domain.promotions.request import RequestState
from bot.domain.transitions import messages, progress
from bot.domain.transitions.transition import (
    UNFINISHED_STATES,
    Transition,
    TransitionFacts,
    TransitionKind,
    TransitionPlan,
    TransitionState,
    TransitionStep,
    empties_staging,
    is_in_place,
    is_in_place_by_summary,
    plan_transition,
)
from bot.services.core.context import Context
from bot.services.core.outbox_messages import thread_message
from bot.services.transitions.completion import Completion, RequestEnd
from bot.services.transitions.preconditions import Preconditions
from bot.services.transitions.rollback_records import progress_messages

log = logging.getLogger(__name__)
LEASE = timedelta(seconds=60)  # longer than the timeouts of all registry calls of one transition
# When waiting for model files, Slack, or a bug fix. While the registry is unavailable, only the first delay is used: a
# probe comes before the retry (see `RegistryAvailability`).
BACKOFF = Backoff(timedelta(seconds=2), timedelta(minutes=1))
FROZEN_RETRY_DELAY = timedelta(seconds=10)  # while Production is frozen
# While the version's files are hashed: a small model takes a second, and a large one minutes.
FIRST_FILES_DELAY, FILES_RETRY_DELAY = timedelta(seconds=1), timedelta(seconds=5)
MAX_TRIES = 3  # attempts if the registry, read back, shows something else


class TransitionExecutor:
    """Executes the transitions that services have added to the ledger."""

    def __init__(self, context: Context, preconditions: Preconditions, completion: Completion) -> None:
        self._context = context
        self._preconditions = preconditions
        self._completion = completion
        self._interrupted: dict[str, Transition] = {}  # claimed by this process but interrupted by an error

    def execute_due(self, model: str) -> None:
        """Execute the model's due transitions, oldest first, until none is left or another process is executing one.

        If the registry doesn't respond, the transition is released and retried later.
        """
        for interrupted in list(self._interrupted.values()):  # otherwise, they'd wait until their lease ends
            self._release(interrupted, progress.RETRIED_AFTER_ERROR)
        while (transition := self._claim(model)) is not None:
            try:
                if not self._execute_claimed(transition):
                    return
            except Exception:
                self._interrupted[transition.id] = transition
                raise

    def end_expired(self, model: str) -> None:
        """End transitions whose request expired before the first write to the registry. Doesn't read it."""
        while (transition := self._claim(model)) is not None:
            with (
                logging_context.bound(move=transition.id, request=transition.request, model=transition.model),
                suppress(AlreadyDecided),
            ):
                if not self._end_if_expired(transition):
                    self._release(transition, progress.waiting_for_registry(transition), delay=BACKOFF.first)

    def _execute_claimed(self, transition: Transition) -> bool:
        """Execute a claimed transition and record its end, or release it.

        Return False if no other transition can be executed now, either, because the registry is unavailable or this
        process isn't connected to Slack.
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
                log.warning("transition %s: %s", transition.id, error)
            except SlackNotConnected:  # the bot can check the approvers, and runs within seconds
                with self._context.ledger.write() as tx:
                    if tx.release_transition(transition, self._context.clock.now()) and transition.request:
                        tx.save_request(tx.lock_request(transition.request).with_state(RequestState.APPROVED))
                return False
            except SlackUnreachable as error:
                log.warning("transition %s is waiting for Slack: %s", transition.id, error)
                self._release(transition, progress.WAITING_FOR_SLACK, trigger="waiting-for-slack")
            except Unreachable as error:
                log.warning("transition %s is waiting: %s", transition.id, error)
                is_lost = self._context.availability.note_failure(error)
                why = progress.waiting_for_registry(transition)
                self._release(transition, why, delay=BACKOFF.first if is_lost else None)
                return False
        return True

    def models_with_unfinished(self) -> list[str]:
        """Return the models that have unfinished transitions."""
        with self._context.ledger.read() as reader:
            return reader.models_with_transitions(UNFINISHED_STATES)

    def models_with_expired(self) -> list[str]:
        """Return the models that have transitions for `end_expired` to end."""
        with self._context.ledger.read() as reader:
            return reader.models_with_expired_transitions(self._context.clock.now())

    def _claim(self, model: str) -> Transition | None:
        if not self._context.startup_check.has_passed():
            return None
        with self._context.ledger.write() as tx:
            transition = tx.claim_transition(model, self._context.claim(LEASE))
            if transition and transition.request:
                request = tx.lock_request(transition.request)
                if request.state is RequestState.APPROVED:
                    tx.save_request(request.with_state(RequestState.EXECUTING))
        return transition

    def _execute_or_fail(self, transition: Transition) -> None:
        try:
            if not self._end_if_expired(transition):
                self._execute(transition)
        except (AlreadyDecided, Unreachable):
            raise
        except RegistrarError as error:
            self._finish(transition, TransitionState.FAILED, str(error.sentence))

    def _end_if_expired(self, transition: Transition) -> bool:
        expiry = self._preconditions.why_expired(transition)
        if expiry is not None:
            expired = RequestState.EXPIRED, EventTag.EXPIRED
            self._finish(transition, TransitionState.STALE, str(expiry), request_end=expired)
        return expiry is not None

    def _execute(self, transition: Transition) -> None:
        """Execute a transition to completion, or release it if Production is frozen and nothing is written yet.

        Finishes whatever an earlier attempt began, even during a freeze: sets the alias and reports the result.
        """
        checked: dict[str, Any] = {}
        for _ in range(MAX_TRIES):
            facts = self._preconditions.read_facts(transition)
            plan = plan_transition(transition, facts)
            why = plan.reason
            if plan.step is TransitionStep.SET_STAGE_AND_ALIAS:
                if self._is_stopped(transition) or self._is_waiting_for_files(transition, facts):
                    return
                why = self._preconditions.why_gates_fail(transition, facts, checked)
            if plan.step is not TransitionStep.NOTHING and why is None:
                why = self._preconditions.why_not_approved(transition, checked)
            if why is not None:
                self._finish(transition, TransitionState.STALE, str(why), facts=checked)
                return
            transition = replace(transition, identity=transition.identity or facts.identity(transition.version))
            transition, refused_alias = self._apply(transition, plan)
            news = messages.STAGING_EMPTY if empties_staging(transition, facts) else None
            if self._is_confirmed(transition, check_alias=not refused_alias):
                self._finish(transition, TransitionState.DONE, refused_alias, news=news, facts=checked)
                return
        if is_in_place(transition, self._context.registry.versions(transition.model)):
            alias = self._context.aliases[transition.target]
            why = say("Something else keeps moving the alias {alias}.", alias=alias)
            refused_alias = str(messages.alias_refused_notice(alias, why))
            self._finish(transition, TransitionState.DONE, refused_alias, news=news, facts=checked)
            return
        raise RegistryRefused(
            say("Something else kept changing {stage} during this transition.", stage=transition.target)
        )

    def _is_stopped(self, transition: Transition) -> bool:
        """Stop a frozen transition, or a rollback whose version can't be restored; return whether it was stopped.

        Ends a rollback; releases any other transition for a retry.
        """
        freeze = self._preconditions.active_freeze_for(transition)
        if freeze is not None and transition.kind is TransitionKind.ROLLBACK:
            decision = IncidentDecision(IncidentStatus.FROZEN, freeze.description)
            self._finish(transition, TransitionState.STALE, str(freeze.description), decision)
        elif (unsuitable := self._preconditions.why_not_restorable(transition)) is not None:
            decision = IncidentDecision(IncidentStatus.HELD, unsuitable)
            self._finish(transition, TransitionState.STALE, str(unsuitable), decision)
        elif freeze is not None:
            why = progress.waiting_for_freeze(freeze.description)
            self._release(transition, why, trigger="frozen", delay=FROZEN_RETRY_DELAY)
        else:
            return False
        return True

    def _is_waiting_for_files(self, transition: Transition, facts: TransitionFacts) -> bool:
        """Release a promotion whose files have yet to be hashed or compared; return whether it was released."""
        why = self._preconditions.why_files_unchecked(transition, facts)
        if why is not None:
            delay = min(transition.attempts * FIRST_FILES_DELAY, FILES_RETRY_DELAY)
            self._release(transition, why, trigger="files", delay=delay)
        return why is not None

    def _apply(self, transition: Transition, plan: TransitionPlan) -> tuple[Transition, str]:
        """Set the stage, then the alias; return the begun transition and, if MLflow rejected the alias, the reason.

        First records that the registry may have changed. If the alias is refused, the stage has already changed, so the
        refusal is reported and doesn't fail the transition. Raises AlreadyDecided if another process took over the
        transition.
        """
        registry, now = self._context.registry, self._context.clock.now()
        sets_stage = plan.step is TransitionStep.SET_STAGE_AND_ALIAS
        with self._context.ledger.write() as tx:
            if not tx.begin_transition(transition, now):
                self._preconditions.require_claim(tx, transition)
        transition = replace(transition, began_at=transition.began_at or now)
        if sets_stage:
            archive = transition.has_alias and not transition.keep_existing
            registry.transition_stage(transition.model, transition.version, transition.target, archive_existing=archive)
        if not transition.has_alias:
            return transition, ""
        alias = self._context.aliases[transition.target]
        if sets_stage:
            with self._context.ledger.read() as reader:
                self._preconditions.require_claim(reader, transition)
        try:
            registry.set_alias(transition.model, alias, transition.version)
        except RegistryRefused as error:
            return transition, str(messages.alias_refused_notice(alias, error.sentence))
        return transition, ""

    def _is_confirmed(self, transition: Transition, *, check_alias: bool) -> bool:
        """Return whether the registry shows the stage and, if `check_alias`, the alias. Makes one request.

        Doesn't use the model's summary if the former holder stays, because the summary names only the highest version
        in a stage, or for rollbacks, because reading it is slow if there are many versions.
        """
        wanted = self._context.aliases[transition.target] if check_alias and transition.has_alias else None
        if transition.has_alias and not transition.keep_existing and transition.kind is not TransitionKind.ROLLBACK:
            return is_in_place_by_summary(transition, self._context.registry.model(transition.model), wanted)
        version = self._context.registry.version(transition.model, transition.version)
        return version.stage is transition.target and (wanted is None or wanted in version.aliases)

    def _release(
        self, transition: Transition, why: Sentence, *, trigger: str = "waiting", delay: timedelta | None = None
    ) -> None:
        """Release the transition for a retry after `delay`, or when its request expires, if that's sooner.

        `why` says what it's waiting for. The transition's own message shows that, or if it's an incident's rollback,
        the incident's thread does, once per `trigger`.
        """
        retry_at = self._context.clock.now() + (delay or BACKOFF.delay(transition.attempts))
        with self._context.ledger.write() as tx:
            if transition.request and tx.transition(transition.id).began_at is None:
                retry_at = min(retry_at, tx.request(transition.request).expires_at)
            if tx.release_transition(replace(transition, why=str(why)), retry_at):
                if transition.request:
                    tx.save_request(tx.lock_request(transition.request).with_state(RequestState.APPROVED))
                if transition.incident:
                    tx.add_message(thread_message(transition.incident, f"{transition.id}:{trigger}", why))
                else:
                    tx.add_message(*progress_messages(tx, self._context, transition, trigger))
        self._interrupted.pop(transition.id, None)

    def _finish(
        self,
        transition: Transition,
        state: TransitionState,
        why: str,
        decision: IncidentDecision | None = None,
        *,
        request_end: RequestEnd | None = None,
        news: Sentence | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """In one transaction, record a transition's end and everything that goes with it; see `Completion.finish`."""
        now = self._context.clock.now()
        ended = replace(transition, state=state, why=why, finished_at=now)
        with self._context.ledger.write() as tx:
            self._completion.finish(tx, ended, decision, request_end, news, facts)
