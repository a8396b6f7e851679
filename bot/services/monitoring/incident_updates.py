"""Opens and updates incidents from check results, and begins rollbacks, in the transaction that saves the checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import MONITOR_AUTOMATION
from bot.domain.core.sentence import Sentence, join_sentences, say, truncate
from bot.domain.monitoring import incident_messages as words
from bot.domain.monitoring.incident import (
    UPDATE_INTERVAL,
    DecisionInput,
    Incident,
    IncidentDecision,
    IncidentKind,
    IncidentStatus,
    TrippedBreaker,
    decide,
    is_escalation,
)
from bot.domain.monitoring.monitor import MonitorStatus
from bot.domain.monitoring.readings import CheckOutcome
from bot.domain.monitoring.reasons import Reason, reason_of
from bot.domain.registry.model import Stage
from bot.domain.rollbacks.messages import loadability_unknown_to_monitor_reason
from bot.domain.rollbacks.rollback_targets import automatic_rollback_id, rollback_transition, serving_periods
from bot.ports import LedgerTransaction
from bot.services.core.context import Context
from bot.services.core.outbox_messages import card_chart_message, channel_message, chart_message, incident_link
from bot.services.monitoring import incident_recovery_and_reminders
from bot.services.monitoring.checks import (
    FAILING_STATUSES,
    CheckResult,
    find_suspect_sources,
    has_never_judged,
    with_current_monitor,
)
from bot.services.monitoring.incident_writer import (
    IncidentWriter,
    build_decision_input,
    name_in_incident,
    rollback_target,
    with_line,
)
from bot.services.rollbacks.rollbacks import MAX_TRANSITIONS
from bot.services.transitions import rollback_records
from bot.services.transitions.loadability import LoadabilityChecks, LoadabilityReport, RollbackCandidate

# While the monitor keeps failing, incidents in these states are decided again: what blocked the rollback may be gone.
RECONSIDERED_STATUSES = {
    IncidentStatus.SILENCED,
    IncidentStatus.FROZEN,
    IncidentStatus.COOLDOWN,
    IncidentStatus.HELD,
    IncidentStatus.TRIPPED,
    IncidentStatus.NOTIFIED,
}
# These lead to a rollback, automatically or with a button, so the target must be able to load.
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

    def __init__(self, context: Context, loadability: LoadabilityChecks) -> None:
        self._context = context
        self._loadability = loadability

    def check_rollback_targets(self, results: Sequence[CheckResult]) -> LoadabilityReport:
        """Check whether the versions that failing monitors could roll back to would load.

        This reads MLflow, so call it before the transaction.
        """
        return self._loadability.check_candidates(filter(None, map(self._rollback_candidate, results)))

    def _rollback_candidate(self, result: CheckResult) -> RollbackCandidate | None:
        """Return the version a failing monitor could roll back to, or None if it isn't failing or can't roll back."""
        monitor, is_failing = result.monitor, result.verdict.monitor_state.state in FAILING_STATUSES
        if result.term is None or not is_failing or monitor.effective_action in {"dry_run", "notify"}:
            return None
        with self._context.ledger.read() as reader:
            transitions = reader.transitions(monitor.model, stage=Stage.PRODUCTION, limit=MAX_TRANSITIONS)
            target = rollback_target(reader, monitor, serving_periods(transitions), result.at)
        return None if target is None else RollbackCandidate(monitor.model, target, result.term.version)

    def record(
        self, tx: LedgerTransaction, results: Sequence[CheckResult], loadability: LoadabilityReport
    ) -> tuple[bool, set[str]]:
        """Record the consequences of checks that were saved in `tx`.

        `loadability` is the result of `check_rollback_targets`. Returns whether there are messages to deliver, and the
        models that have a transition to run.
        """
        writer = IncidentWriter(self._context, tx)
        reportable = [result for result in results if result.term and _is_reportable(result)]
        if reportable:
            tx.lock("incidents")  # two monitors of a model that fail at the same time share an incident
        suspects = find_suspect_sources(tx, reportable, results)
        for result in filter(None, (with_current_monitor(tx, result) for result in reportable)):
            source = result.monitor.rule.source
            if result.is_no_longer_blind:
                incident_recovery_and_reminders.resolve_if_recovered(writer, result, IncidentKind.BLIND)
            if result.is_failing:
                _handle_failure(writer, result, loadability, has_common_cause=source in suspects.failing)
            elif result.is_blind:
                _handle_blind(writer, result, has_common_cause=source in suspects.blind)
            else:
                _handle_verdict(writer, result)
        return writer.has_messages, writer.models_to_transition

    def end_and_remind(self) -> bool:
        """Resolve the incidents that are over and post reminders; return whether there are messages to deliver."""
        return incident_recovery_and_reminders.end_and_remind(self._context)


def _is_reportable(result: CheckResult) -> bool:
    return result.is_failing or result.verdict.has_changed or result.needs_late_alert or result.has_new_blind_reason


def _handle_verdict(writer: IncidentWriter, result: CheckResult) -> None:
    """Resolve the incidents that a passing check ends."""
    was_failed = result.verdict.previous_status is MonitorStatus.FAILED
    if was_failed:
        incident_recovery_and_reminders.resolve_if_recovered(writer, result, IncidentKind.FAILED)
    if was_failed or (result.is_no_longer_blind and result.verdict.outcome is CheckOutcome.OK):
        writer.audit(EventTag.MONITOR_RECOVERED, result)
    if result.verdict.monitor_state.state is MonitorStatus.OK:
        incident_recovery_and_reminders.confirm_recovery(writer, result)


def _handle_blind(writer: IncidentWriter, result: CheckResult, *, has_common_cause: bool) -> None:
    """Open or join the incident about a monitor without a verdict: the model's, or the source's if many are blind."""
    writer.audit(EventTag.MONITOR_NO_VERDICT, result)
    monitor = result.monitor
    is_quiet = monitor.effective_action == "dry_run" or has_never_judged(monitor, result.verdict.monitor_state)
    if is_quiet or monitor.is_silenced(result.at):
        return
    own, shared = (writer.find_open(result, IncidentKind.BLIND, of_source=of_source) for of_source in (False, True))
    # A monitor stays in the incident that it joined first, even when others of its source join or recover.
    is_in_own = own is not None and monitor.name in own.monitors
    is_in_shared = shared is not None and name_in_incident(monitor, shared) in shared.monitors
    of_source = is_in_shared or (has_common_cause and not is_in_own)
    if (incident := shared if of_source else own) is not None:
        writer.save_line(incident, result)
    else:
        decision = IncidentDecision(IncidentStatus.HELD if of_source else IncidentStatus.NOTIFIED)
        writer.open(result, IncidentKind.BLIND, decision, since=result.at, of_source=of_source)


# -- failing -----------------------------------------------------------------------------------------------------------


def _handle_failure(
    writer: IncidentWriter, result: CheckResult, loadability: LoadabilityReport, *, has_common_cause: bool
) -> None:
    """Decide what to do about a failing monitor: open its incident, join it, or escalate it."""
    incident = _find_open_of_term(writer, result)
    is_new = result.verdict.is_new_failure
    if incident is not None and not is_new and not _must_decide_again(incident, result):
        _refresh_line(writer, incident, result)
        return
    inputs = build_decision_input(writer.tx, writer.context.policy, result, has_common_cause)
    decision = _hold_unless_loadable(decide(inputs), loadability, (inputs.model, inputs.target or 0))
    if is_new:
        writer.audit(EventTag.MONITOR_FAILED, result, decision)
    if decision.status in {IncidentStatus.LOGGED, IncidentStatus.SILENCED}:
        return
    if has_common_cause:
        _report_source(writer, result)
        return
    before = incident
    if incident is None:
        incident = _open(writer, result, inputs, decision)
    elif result.monitor.name not in incident.monitors:
        incident = _join(writer, incident, result)
    if before is None or is_escalation(decision, before):
        _escalate(writer, incident, before, result, inputs, decision)
    elif incident != before:
        writer.save(incident, f"joined:{result.monitor.id}:{result.claim.slot}")
    else:
        _refresh_line(writer, incident, result)


def _find_open_of_term(writer: IncidentWriter, result: CheckResult) -> Incident | None:
    """Return the open incident of the version that serves now; resolve an incident about an earlier version."""
    incident = writer.find_open(result, IncidentKind.FAILED)
    if incident is None or (result.term and incident.move == result.term.transition_id):
        return incident
    writer.resolve(incident, incident_recovery_and_reminders.resolution_by_transition(writer.tx, incident), result.at)
    return None


def _must_decide_again(incident: Incident, result: CheckResult) -> bool:
    """Return whether to decide again: if the monitor isn't in the incident yet, or the rollback may be possible now.

    An armed monitor waits for a person only if a request was open, and that request may be closed by now.
    """
    is_waiting = incident.doing is IncidentStatus.AWAITING_HUMAN and result.monitor.effective_action == "auto"
    return is_waiting or result.monitor.name not in incident.monitors or incident.doing in RECONSIDERED_STATUSES


def _report_source(writer: IncidentWriter, result: CheckResult) -> None:
    """Open or join the incident about a source whose monitors fail together."""
    incident = writer.find_open(result, IncidentKind.SOURCE, of_source=True)
    if incident is None:
        since, held = result.verdict.monitor_state.since or result.at, IncidentDecision(IncidentStatus.HELD)
        writer.open(result, IncidentKind.SOURCE, held, since=since, of_source=True)
    elif name_in_incident(result.monitor, incident) not in incident.monitors:
        writer.save_line(incident, result)


def _open(writer: IncidentWriter, result: CheckResult, inputs: DecisionInput, decision: IncidentDecision) -> Incident:
    since = result.verdict.monitor_state.since or result.at
    incident = writer.open(result, IncidentKind.FAILED, decision, since=since, target=inputs.target)
    writer.tx.add_message(chart_message(incident))
    writer.tx.add_message(card_chart_message(incident))
    return incident


def _join(writer: IncidentWriter, incident: Incident, result: CheckResult) -> Incident:
    """Return the incident with another failing monitor added, and announce that in its thread."""
    line = words.monitor_line(result.monitor, result.verdict.why)
    writer.say(incident, f"joined:{result.monitor.id}", words.monitor_joined(line))
    return with_line(incident, result)


def _escalate(
    writer: IncidentWriter,
    incident: Incident,
    before: Incident | None,
    result: CheckResult,
    inputs: DecisionInput,
    decision: IncidentDecision,
) -> None:
    """Carry out a decision that's new or goes further than the incident `before`, if there was one."""
    incident = replace(incident, doing=decision.status, why=_why(decision, inputs, result), target=inputs.target)
    if decision.trip_reason:
        _trip_breaker(writer, incident, result, decision.trip_reason, inputs)
    if decision.status is IncidentStatus.INTENT:
        incident = _begin_rollback(writer, incident, result, inputs)
    slot, monitor_id = result.claim.slot, result.monitor.id
    if before and incident.doing is before.doing and reason_of(incident.why) == reason_of(before.why):
        if incident != before:
            writer.save(incident, f"joined:{monitor_id}:{slot}")
        return
    writer.save(incident, f"{incident.doing.value}:{slot}:{monitor_id}")
    if before:  # otherwise the alert, which is new, says the same
        writer.say(incident, f"did:{monitor_id}:{slot}", words.action_taken(incident))


def _why(decision: IncidentDecision, inputs: DecisionInput, result: CheckResult) -> Sentence | None:
    """Return why nothing more was done, and which version the rollback skips, if any."""
    if inputs.skipped_target is None:
        return decision.why
    skipped = words.target_skipped(inputs.skipped_target, result.monitor.rule.min_served)
    if decision.why is None:
        return skipped.with_code(Reason.TARGET_SKIPPED)
    return join_sentences([decision.why, skipped], " ").with_code(reason_of(decision.why))


def _begin_rollback(writer: IncidentWriter, incident: Incident, result: CheckResult, inputs: DecisionInput) -> Incident:
    """Begin the rollback; if one has already failed in this term, hold the incident for a person instead."""
    assert inputs.target is not None
    transition = rollback_transition(
        automatic_rollback_id(incident.model, inputs.transition_id),
        incident.model,
        target=inputs.target,
        incumbent=inputs.version,
        actor=MONITOR_AUTOMATION,
        now=result.at,
        reason=truncate("; ".join(str(line) for line in incident.lines), 500),
        identity=rollback_records.identity_when_served(writer.tx, incident.model, inputs.target),
    )
    if not rollback_records.begin_rollback(writer.tx, writer.context, replace(transition, incident=incident.id)):
        why = say("A rollback from v{v} was already tried and failed.", v=inputs.version)
        return replace(incident, doing=IncidentStatus.HELD, why=why.with_code(Reason.ALREADY_TRIED))
    writer.models_to_transition.add(incident.model)
    return replace(incident, rollback=transition.id)


def _refresh_line(writer: IncidentWriter, incident: Incident, result: CheckResult) -> None:
    """Update the value in the incident's message, at most every `UPDATE_INTERVAL`."""
    is_listed = incident.monitors.index(result.monitor.name) < len(incident.lines)
    if is_listed and (incident.told_at is None or result.at - incident.told_at >= UPDATE_INTERVAL):
        told = replace(with_line(incident, result), told_at=result.at)
        writer.save(told, f"figures:{result.claim.slot}:{result.monitor.id}")


def _trip_breaker(
    writer: IncidentWriter, incident: Incident, result: CheckResult, why: Sentence, inputs: DecisionInput
) -> None:
    is_of_all = inputs.auto_rollbacks_of_model < result.monitor.rule.max_auto
    breaker = TrippedBreaker(model="" if is_of_all else inputs.model, at=result.at, why=why)
    if not writer.tx.trip_breaker(breaker):
        return
    key, channel = f"tripped:{breaker.model}:{result.at.isoformat()}", writer.context.policy.channel_for(breaker.model)
    message = words.breaker_tripped(breaker, incident_link(incident, channel, "See the incident"))
    writer.tx.add_message(channel_message(key, channel, message))
    writer.tx.add_audit_event(
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


def _hold_unless_loadable(
    decision: IncidentDecision, loadability: LoadabilityReport, version: tuple[str, int]
) -> IncidentDecision:
    """Return the decision, or HELD if the target version wouldn't load.

    If that's unknown, a person can still decide to roll back, but an automatic rollback is held, and each failing check
    tries again.
    """
    if decision.status in ROLLBACK_STATUSES and version in loadability.not_loadable:
        why = loadability.not_loadable[version].with_code(Reason.MAY_NOT_LOAD)
        return IncidentDecision(IncidentStatus.HELD, why, decision.trip_reason)
    if decision.status is not IncidentStatus.INTENT or version in loadability.loadable:
        return decision
    why = loadability.unknown.get(version) or loadability_unknown_to_monitor_reason(
        *version, say("The version to roll back to has just changed.")
    )
    return IncidentDecision(IncidentStatus.HELD, why.with_code(Reason.LOADABILITY_UNKNOWN))
