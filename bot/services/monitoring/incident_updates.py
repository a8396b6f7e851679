"""Opens and updates incidents from check results, and begins rollbacks, in the transaction that saves the checks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import MONITOR_AUTOMATION
from bot.domain.core.sentence import Sentence, say, truncate
from bot.domain.monitoring import incident_messages as words
from bot.domain.monitoring.incident import UPDATE_INTERVAL, Incident, IncidentKind, IncidentStatus, TrippedBreaker
from bot.domain.monitoring.incident_decision import (
    DecisionInput,
    IncidentDecision,
    decide,
    has_same_reason,
    is_escalation,
)
from bot.domain.monitoring.readings import CheckOutcome
from bot.domain.monitoring.state import MonitorStatus, ProductionTerm
from bot.domain.rollbacks.messages import loadability_unknown_to_monitor_reason
from bot.domain.rollbacks.rollback import automatic_rollback_id, rollback_transition
from bot.ports import LedgerTransaction
from bot.services.core.context import Context
from bot.services.core.outbox_messages import card_chart_message, channel_message, chart_message, thread_message
from bot.services.monitoring.checks import CheckResult, with_current_monitor
from bot.services.monitoring.incident_decision_input import build_decision_input, rollback_target
from bot.services.monitoring.incident_end import IncidentUpkeep
from bot.services.monitoring.incident_writer import (
    MAX_LINES,
    FollowUp,
    IncidentWriter,
    find_open_incident,
    monitor_event,
)
from bot.services.monitoring.source_outages import (
    FAILING_STATUSES,
    SourceOutages,
    blind_reason,
    find_suspect_sources,
    has_never_judged,
    source_monitor_name,
)
from bot.services.rollbacks.rollbacks import Rollbacks
from bot.services.transitions import rollback_records
from bot.services.transitions.loadability import LoadabilityChecks, LoadabilityReport, RollbackCandidate

log = logging.getLogger(__name__)

# While the monitor keeps failing, these are decided again: what held the rollback back may be over.
RECONSIDERED_STATUSES = {
    IncidentStatus.SILENCED,
    IncidentStatus.FROZEN,
    IncidentStatus.COOLDOWN,
    IncidentStatus.HELD,
    IncidentStatus.TRIPPED,
    IncidentStatus.NOTIFIED,
}
# These lead to a rollback, automatic or by a button, so the target must be able to load.
ROLLBACK_STATUSES = {
    IncidentStatus.INTENT,
    IncidentStatus.AWAITING_HUMAN,
    IncidentStatus.COOLDOWN,
    IncidentStatus.FROZEN,
    IncidentStatus.TRIPPED,
}


class Incidents:
    """Opens, updates, and resolves incidents.

    `record` runs in the transaction that saves the checks. Call `check_rollback_targets` before it.
    """

    def __init__(self, context: Context, rollbacks: Rollbacks, loadability: LoadabilityChecks) -> None:
        self._context = context
        self._loadability = loadability
        self._rollbacks = rollbacks
        self._writer = IncidentWriter(context)
        self._outages = SourceOutages(context, self._writer)
        self._upkeep = IncidentUpkeep(context, rollbacks, self._writer, self._outages)

    def check_rollback_targets(self, results: Sequence[CheckResult]) -> LoadabilityReport:
        """Check whether the versions that failing monitors could roll back to would load.

        It reads MLflow, so call it before the transaction.
        """
        return self._loadability.check_candidates(
            [candidate for candidate in map(self._rollback_candidate, results) if candidate is not None]
        )

    def _rollback_candidate(self, result: CheckResult) -> RollbackCandidate | None:
        """Return the version that a failing monitor could roll back to; None if it doesn't fail or only notifies."""
        is_failing = result.verdict.monitor_state.state in FAILING_STATUSES and result.monitor.effective_action not in {
            "dry_run",
            "notify",
        }
        if result.term is None or not is_failing:
            return None
        with self._context.ledger.read() as reader:
            served = self._rollbacks.serving_periods(reader, result.monitor.model)
            target = rollback_target(reader, result.monitor, served, result.at)
        return None if target is None else RollbackCandidate(result.monitor.model, target, result.term.version)

    def record(
        self, tx: LedgerTransaction, results: Sequence[CheckResult], loadability: LoadabilityReport
    ) -> tuple[bool, set[str]]:
        """Record what follows from checks that were saved in `tx`.

        `loadability` is what `check_rollback_targets` returned. Returns whether there are messages to deliver, and the
        models that have a transition to run.
        """
        follow_up = FollowUp()
        reportable = [result for result in results if result.term and _is_reportable(result)]
        if reportable:
            tx.lock("incidents")  # two monitors of a model that fail at the same time share an incident
        suspects = find_suspect_sources(tx, reportable, results)
        for result in filter(None, (with_current_monitor(tx, result) for result in reportable)):
            assert result.term is not None
            if result.is_no_longer_blind:
                self._upkeep.resolve_if_recovered(tx, result, IncidentKind.BLIND, follow_up)
            if result.is_failing:
                self._handle_failure(
                    tx, result, result.term, result.monitor.rule.source in suspects.failing, loadability, follow_up
                )
            else:
                self._handle_other_change(
                    tx, result, result.term, result.monitor.rule.source in suspects.blind, follow_up
                )
        return follow_up.has_messages, follow_up.models_to_transition

    # -- failing -----------------------------------------------------------------------------------------------

    def _handle_failure(
        self,
        tx: LedgerTransaction,
        result: CheckResult,
        term: ProductionTerm,
        has_common_cause: bool,
        loadability: LoadabilityReport,
        follow_up: FollowUp,
    ) -> None:
        incident = self._find_open_of_term(tx, result, term, follow_up)
        is_new = result.verdict.is_new_failure
        joins = incident is not None and result.monitor.name not in incident.monitors
        if not (
            is_new
            or joins
            or incident is None
            or incident.doing in RECONSIDERED_STATUSES
            or _must_decide_again(incident, result)
        ):
            self._refresh_line(tx, incident, result, follow_up)
            return
        decision_input = build_decision_input(tx, self._context.policy, result, term, has_common_cause)
        decision = decide(decision_input)
        decision = _hold_unless_loadable(decision, loadability, (result.monitor.model, decision_input.target or 0))
        if is_new:
            tx.add_audit_event(monitor_event(EventTag.MONITOR_FAILED, result, term, decision))
        if decision.status in {IncidentStatus.LOGGED, IncidentStatus.SILENCED}:
            return
        if has_common_cause:
            self._outages.open_or_join(
                tx, result, IncidentKind.SOURCE, result.verdict.monitor_state.since or result.at, follow_up
            )
            return
        self._open_or_update(tx, incident, result, term, decision_input, decision, follow_up)

    def _find_open_of_term(
        self, tx: LedgerTransaction, result: CheckResult, term: ProductionTerm, follow_up: FollowUp
    ) -> Incident | None:
        """Return the open incident of the version that serves now; resolve one that is about an earlier version."""
        incident = find_open_incident(tx, result.monitor.model, "", IncidentKind.FAILED)
        if incident is None or incident.move == term.transition_id:
            return incident
        self._writer.resolve(tx, incident, self._upkeep.resolution_by_transition(tx, incident), result.at, follow_up)
        return None

    def _open_or_update(
        self,
        tx: LedgerTransaction,
        incident: Incident | None,
        result: CheckResult,
        term: ProductionTerm,
        situation: DecisionInput,
        decision: IncidentDecision,
        follow_up: FollowUp,
    ) -> None:
        """Open or update the incident, and carry out the decision."""
        line = words.monitor_line(result.monitor, result.verdict.why)
        before = incident
        if incident is None:
            incident = Incident(
                id=self._context.new_id(),
                kind=IncidentKind.FAILED,
                model=result.monitor.model,
                source="",
                version=term.version,
                move=term.transition_id,
                monitors=(result.monitor.name,),
                opened_at=result.at,
                since=result.verdict.monitor_state.since or result.at,
                lines=(line,),
                doing=decision.status,
                why=decision.why,
                target=situation.target,
                told_at=result.at,
            )
            self._writer.open(tx, incident, follow_up)
            tx.add_message(chart_message(incident))
            tx.add_message(card_chart_message(incident))
            if situation.skipped_target is not None:
                skipped = words.target_skipped(situation.skipped_target, result.monitor.rule.min_served)
                tx.add_message(thread_message(incident.id, "passed-over", skipped))
        elif result.monitor.name not in incident.monitors:
            incident = replace(
                incident, monitors=(*incident.monitors, result.monitor.name), lines=(*incident.lines, line)[:MAX_LINES]
            )
            tx.add_message(thread_message(incident.id, f"joined:{result.monitor.id}", words.monitor_joined(line)))
        if before is not None and not is_escalation(decision, before):
            if incident != before:
                self._writer.save(tx, incident, f"joined:{result.monitor.id}:{result.claim.slot}", follow_up)
            else:
                self._refresh_line(tx, incident, result, follow_up)
            return
        incident = replace(incident, doing=decision.status, why=decision.why, target=situation.target)
        if decision.trip_reason:
            self._trip_breaker(tx, result, decision.trip_reason, situation)
        if decision.status is IncidentStatus.INTENT:
            incident = self._begin_rollback(tx, incident, term, result, follow_up)
            if before is not None and has_same_reason(incident, before):
                if incident != before:
                    self._writer.save(tx, incident, f"joined:{result.monitor.id}:{result.claim.slot}", follow_up)
                return
        self._writer.save(tx, incident, f"{incident.doing.value}:{result.claim.slot}:{result.monitor.id}", follow_up)
        tx.add_message(
            thread_message(incident.id, f"did:{result.monitor.id}:{result.claim.slot}", words.action_taken(incident))
        )

    def _begin_rollback(
        self, tx: LedgerTransaction, incident: Incident, term: ProductionTerm, result: CheckResult, follow_up: FollowUp
    ) -> Incident:
        """Begin the rollback; if one was tried in this term and failed, hold the incident for a person instead."""
        assert incident.target is not None
        reason = truncate("; ".join(str(line) for line in incident.lines), 500)
        transition = rollback_transition(
            automatic_rollback_id(incident.model, term.transition_id),
            incident.model,
            target=incident.target,
            incumbent=term.version,
            actor=MONITOR_AUTOMATION,
            now=result.at,
            reason=reason,
            identity=rollback_records.identity_when_served(tx, incident.model, incident.target),
        )
        if not rollback_records.begin_rollback(tx, self._context, replace(transition, incident=incident.id)):
            why = say("A rollback was tried already for v{v}, and came to nothing.", v=term.version)
            return replace(incident, doing=IncidentStatus.HELD, why=why)
        follow_up.models_to_transition.add(incident.model)
        return replace(incident, rollback=transition.id)

    def _refresh_line(
        self, tx: LedgerTransaction, incident: Incident, result: CheckResult, follow_up: FollowUp
    ) -> None:
        """Update the value in the incident's message, at most every `UPDATE_INTERVAL`."""
        if incident.told_at is not None and result.at - incident.told_at < UPDATE_INTERVAL:
            return
        at = incident.monitors.index(result.monitor.name)
        if at >= len(incident.lines):
            return
        lines = [*incident.lines]
        lines[at] = words.monitor_line(result.monitor, result.verdict.why)
        self._writer.save(
            tx,
            replace(incident, lines=tuple(lines), told_at=result.at),
            f"figures:{result.claim.slot}:{result.monitor.id}",
            follow_up,
        )

    def _trip_breaker(
        self, tx: LedgerTransaction, result: CheckResult, why: Sentence, situation: DecisionInput
    ) -> None:
        is_of_all = situation.auto_rollbacks_of_model < result.monitor.rule.max_auto
        breaker = TrippedBreaker(model="" if is_of_all else situation.model, at=result.at, why=why)
        if not tx.trip_breaker(breaker):
            return
        channel = self._context.policy.channel if is_of_all else self._context.policy.channel_for(situation.model)
        tx.add_message(
            channel_message(f"tripped:{breaker.model}:{result.at.isoformat()}", channel, words.breaker_tripped(breaker))
        )
        tx.add_audit_event(
            Event(
                at=result.at,
                actor=MONITOR_AUTOMATION,
                tag=EventTag.BREAKER_TRIPPED,
                subject=breaker.model or "all",
                model=breaker.model or None,
                why=str(why),
                origin="job",
            )
        )

    # -- other changes -----------------------------------------------------------------------------------------

    def _handle_other_change(
        self,
        tx: LedgerTransaction,
        result: CheckResult,
        term: ProductionTerm,
        has_common_cause: bool,
        follow_up: FollowUp,
    ) -> None:
        before = result.verdict.previous_status
        if result.is_blind:
            self._handle_blind(tx, result, term, has_common_cause, follow_up)
            return
        if before is MonitorStatus.FAILED:
            self._upkeep.resolve_if_recovered(tx, result, IncidentKind.FAILED, follow_up)
        if before is MonitorStatus.FAILED or (result.is_no_longer_blind and result.verdict.outcome is CheckOutcome.OK):
            tx.add_audit_event(monitor_event(EventTag.MONITOR_RECOVERED, result, term, None))
        if result.verdict.monitor_state.state is MonitorStatus.OK:
            self._upkeep.confirm_recovery(tx, result, term, follow_up)

    def _handle_blind(
        self,
        tx: LedgerTransaction,
        result: CheckResult,
        term: ProductionTerm,
        has_common_cause: bool,
        follow_up: FollowUp,
    ) -> None:
        tx.add_audit_event(monitor_event(EventTag.MONITOR_NO_VERDICT, result, term, None))
        is_quiet = result.monitor.effective_action == "dry_run" or has_never_judged(
            result.monitor, result.verdict.monitor_state
        )
        if is_quiet or result.monitor.is_silenced(result.at):
            return
        incident = find_open_incident(tx, result.monitor.model, "", IncidentKind.BLIND)
        source_incident = find_open_incident(tx, "", result.monitor.rule.source, IncidentKind.BLIND)
        # A monitor stays in the incident that it joined first, also when others of its source join or recover.
        is_in_own = incident is not None and result.monitor.name in incident.monitors
        is_in_source = source_incident is not None and source_monitor_name(result.monitor) in source_incident.monitors
        if is_in_source or (has_common_cause and not is_in_own):
            self._outages.open_or_join(tx, result, IncidentKind.BLIND, result.at, follow_up)
            return
        line = words.monitor_line(result.monitor, blind_reason(result))
        if incident is None:
            incident = Incident(
                id=self._context.new_id(),
                kind=IncidentKind.BLIND,
                model=result.monitor.model,
                source="",
                version=term.version,
                move=term.transition_id,
                monitors=(result.monitor.name,),
                opened_at=result.at,
                since=result.at,
                lines=(line,),
                doing=IncidentStatus.NOTIFIED,
                told_at=result.at,
            )
            self._writer.open(tx, incident, follow_up)
        else:
            self._writer.set_line(tx, incident, result.monitor.name, line, result, follow_up)

    def end_and_remind(self) -> bool:
        """Resolve what is over and post reminders; return whether there are messages to deliver."""
        return self._upkeep.end_and_remind()


def _hold_unless_loadable(
    decision: IncidentDecision, loadability: LoadabilityReport, version: tuple[str, int]
) -> IncidentDecision:
    """Return the decision, or HELD if the target version wouldn't load.

    If that's unknown, a person can still decide; an automatic rollback waits, and each failing check tries again.
    """
    if decision.status in ROLLBACK_STATUSES and version in loadability.not_loadable:
        return IncidentDecision(IncidentStatus.HELD, loadability.not_loadable[version], decision.trip_reason)
    if decision.status is not IncidentStatus.INTENT or version in loadability.loadable:
        return decision
    why = loadability.unknown.get(version) or loadability_unknown_to_monitor_reason(
        *version, say("Another one could be gone back to until now.")
    )
    return IncidentDecision(IncidentStatus.HELD, why)


def _is_reportable(result: CheckResult) -> bool:
    return result.is_failing or result.verdict.has_changed or result.needs_late_alert or result.has_new_blind_reason


def _must_decide_again(incident: Incident, result: CheckResult) -> bool:
    """Tell whether an armed monitor only waits for a person because a request was open: it may be closed by now."""
    return incident.doing is IncidentStatus.AWAITING_HUMAN and result.monitor.effective_action == "auto"
