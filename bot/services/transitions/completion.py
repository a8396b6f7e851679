"""Record the end of a transition, with its request, audit events, and messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.monitoring.incident import IncidentDecision
from bot.domain.monitoring.monitor import MonitorState, MonitorStatus
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.model import Stage
from bot.domain.transitions import messages, registry_tags
from bot.domain.transitions.transition import (
    Transition,
    TransitionKind,
    TransitionState,
)
from bot.ports import LedgerTransaction, TagUpdate
from bot.services.core.context import Context
from bot.services.core.outbox_messages import (
    CLOCK_ACTOR,
    channel_message,
    end_messages,
    notice_message,
    ordering_key_of,
    request_event,
    thread_message,
)
from bot.services.promotions.decisions import final_tag_update
from bot.services.transitions import passports, rollback_records, serving_checks

RequestEnd = tuple[RequestState, EventTag]  # the final state of a request, and its audit event


class Completion:
    """Ends transitions in the caller's transaction."""

    def __init__(self, context: Context, on_entry: Callable[[LedgerTransaction, Transition], object]) -> None:
        self._context = context
        self._on_entry = on_entry  # called in the transaction that puts a different version into Production

    def finish(
        self,
        tx: LedgerTransaction,
        transition: Transition,
        decision: IncidentDecision | None = None,
        request_end: RequestEnd | None = None,
        news: Sentence | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Record the end of `transition`, which is already in its final state, and everything that goes with it.

        `decision` is the outcome for a rollback's incident, and `request_end` is how the request ends; omit them to use
        the defaults for the state. `news` is anything else that the requester should know, and `facts` are the facts
        that the preconditions were checked against. Raises AlreadyDecided if the transition has already ended.
        """
        tx.finish_transition(transition)
        if transition.request:
            end = request_end or _REQUEST_ENDS[transition.state]
            self._end_request(tx, tx.lock_request(transition.request), transition, end, news, facts)
        else:
            self._finish_without_request(tx, transition, decision)
        serving_checks.schedule_serving_check(tx, self._context, transition, ordering_key_of(transition))
        is_other_version = transition.target is Stage.PRODUCTION and transition.kind is not TransitionKind.REPAIR
        if transition.state is TransitionState.DONE and is_other_version:
            restart_monitors(tx, transition)
            self._on_entry(tx, transition)
        passports.issue(tx, self._context, transition)  # last, since other transactions wait from then on

    def _finish_without_request(
        self, tx: LedgerTransaction, transition: Transition, decision: IncidentDecision | None
    ) -> None:
        """Add the audit event and messages for a transition without a request."""
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
            notice = tx.drift_notice(transition.finding)
            if transition.state is TransitionState.DONE:
                notice = replace(notice, mended_by=transition.actor, mended_at=transition.finished_at)
                tx.save_drift_notice(notice)
            else:  # the notice itself shows a repair
                tx.add_message(thread_message(notice.id, transition.id, messages.repair_failure(transition)))
            tx.add_message(notice_message(notice, transition.id, channel))

    def _end_request(
        self,
        tx: LedgerTransaction,
        request: Request,
        transition: Transition,
        request_end: RequestEnd,
        news: Sentence | None,
        facts: Mapping[str, Any] | None,
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
                evidence={"facts": dict(facts)} if facts else None,
            )
        )
        tx.add_message(*end_messages(ended, self._context.policy.channel_for(ended.model), ended_by=None, news=news))
        at, line, alias = transition.finished_at or transition.intended_at, "", ""
        if ended.state is RequestState.DONE:
            line = registry_tags.promotion_line(ended, tx.votes(ended.id), at)
            if ended.from_stage is Stage.STAGING and ended.target is not Stage.STAGING:
                alias = self._context.challenger
        tx.add_tag_update(final_tag_update(tx, ended, at, line=line, alias=alias))  # it's written later


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
        evidence=_transition_evidence(transition),
    )


def _transition_evidence(transition: Transition) -> dict[str, object]:
    return {
        "kind": transition.kind.value,
        "version": transition.version,
        "from": transition.from_stage.value,
        "to": transition.target.value,
        "state": transition.state.value,
        "reason": transition.reason,
        "forced": transition.is_forced,
        "incident": transition.incident,
    }


_EVENT_TAGS = {
    TransitionKind.PROMOTION: EventTag.TRANSITION_DONE,
    TransitionKind.OBSERVED: EventTag.TRANSITION_OBSERVED,
    TransitionKind.ARCHIVE: EventTag.ARCHIVED,
    TransitionKind.REPAIR: EventTag.STAGE_REPAIRED,
    TransitionKind.ROLLBACK: EventTag.ROLLED_BACK,
}


def restart_monitors(tx: LedgerTransaction, transition: Transition) -> None:
    """Restart the model's monitors, because their state belongs to another version."""
    why = say("No measurements for {v} yet.", v=Code(f"v{transition.version}"))
    for monitor in tx.monitors(transition.model):
        state = tx.monitor_state(monitor.id)
        tx.save_monitor_state(
            MonitorState(
                monitor=monitor.id,
                slot=state.slot,
                next_at=state.next_at,
                revision=monitor.revision,
                version=transition.version,
                move=transition.id,
                state=MonitorStatus.WARMUP,
                why=why,
                judged_at=state.judged_at,
            )
        )
