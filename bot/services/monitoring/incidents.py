"""What follows from a check: incidents are opened, joined, told and ended; a rollback is written down, or why not."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.domain.audit.events import ChainedEvent, Event, EventTag
from bot.domain.core.actors import MONITOR_AUTOMATION, Automation, actor_id
from bot.domain.core.sentence import Sentence, join_sentences, say, truncate
from bot.domain.monitoring import incident_messages as words
from bot.domain.monitoring.incident import (
    COMMON_CAUSE_COUNT,
    ONE_DAY,
    REMINDER_INTERVAL,
    UPDATE_INTERVAL,
    DecisionInput,
    Incident,
    IncidentDecision,
    IncidentEnding,
    IncidentKind,
    IncidentResolution,
    IncidentStatus,
    TrippedBreaker,
    decide,
    is_common_cause,
)
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import CheckOutcome
from bot.domain.monitoring.state import BLIND_STATUSES, MonitorState, MonitorStatus, ProductionTerm
from bot.domain.monitoring.views import monitors_of_incident
from bot.domain.policy.freezes import active_freeze
from bot.domain.registry.model import TARGET_STAGES, Stage
from bot.domain.rollbacks.messages import loadability_unknown_to_monitor_reason
from bot.domain.rollbacks.rollback import (
    ServingPeriod,
    automatic_rollback_id,
    last_good_version,
    rollback_targets,
    rollback_transition,
    serving_periods,
)
from bot.domain.transitions import restore_messages
from bot.domain.transitions.serving_check import ServingCheckState
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from bot.ports import LedgerReader as Ledger
from bot.ports import LedgerTransaction
from bot.services.core.context import Context
from bot.services.core.outbox_messages import (
    card_chart_message,
    channel_message,
    chart_message,
    incident_message,
    ordering_key_of,
    thread_message,
)
from bot.services.monitoring.checks import CheckResult
from bot.services.rollbacks.rollbacks import MAX_TRANSITIONS, Rollbacks
from bot.services.transitions import rollback_records
from bot.services.transitions.loadability import LoadabilityChecks, LoadabilityReport, RollbackCandidate

log = logging.getLogger(__name__)

MAX_LINES = 8  # of an incident
RECENT_LIMIT = 50  # incidents or events of a model that are looked through for the one that matters
MAX_RESETS = 100  # of breakers in a day, that are looked at
# What may become more by itself while the monitor goes on failing: what held it back may be over.
RECONSIDERED_STATUSES = {
    IncidentStatus.SILENCED,
    IncidentStatus.FROZEN,
    IncidentStatus.COOLDOWN,
    IncidentStatus.HELD,
    IncidentStatus.TRIPPED,
    IncidentStatus.NOTIFIED,
}
MIN_SAMPLE = 50  # of a source's monitors, checked together: they speak for very many others
# What ends in a rollback, by itself or by a button: not to a version that may not load.
ROLLBACK_STATUSES = {
    IncidentStatus.INTENT,
    IncidentStatus.AWAITING_HUMAN,
    IncidentStatus.COOLDOWN,
    IncidentStatus.FROZEN,
    IncidentStatus.TRIPPED,
}
FAILING_STATUSES = {MonitorStatus.FAILED, MonitorStatus.PENDING}


@dataclass(slots=True)
class SuspectSources:
    """Sources of which many monitors fail together, and of which many say nothing together."""

    failing: set[str] = field(default_factory=set)
    blind: set[str] = field(default_factory=set)


@dataclass(slots=True)
class FollowUp:
    """What the transaction has led to: whether there is something to tell, and whose moves are to be made."""

    has_messages: bool = False
    models_to_transition: set[str] = field(default_factory=set)


class Incidents:
    """Opens incidents and ends them. All but `prepare` and `tend` happens in the transaction of the checks."""

    def __init__(self, context: Context, rollbacks: Rollbacks, loadability: LoadabilityChecks) -> None:
        self._context = context
        self._loadability = loadability
        self._rollbacks = rollbacks

    def check_rollback_targets(self, results: Sequence[CheckResult]) -> LoadabilityReport:
        """Look whether the versions may load that could be gone back to: nothing waits for the registry later."""
        return self._loadability.check_candidates(
            [one for one in map(self._rollback_candidate, results) if one is not None]
        )

    def _rollback_candidate(self, result: CheckResult) -> RollbackCandidate | None:
        """Return what a failing monitor may go back to, by itself or by a button."""
        is_failing = result.verdict.monitor_state.state in FAILING_STATUSES and result.monitor.effective_action not in {
            "dry_run",
            "notify",
        }
        if result.term is None or not is_failing:
            return None
        with self._context.ledger.read() as reading:
            served = self._rollbacks.serving_periods(reading, result.monitor.model)
            target = self.rollback_target(reading, result.monitor, served, result.at)
        return None if target is None else RollbackCandidate(result.monitor.model, target, result.term.version)

    def record(
        self, tx: LedgerTransaction, results: Sequence[CheckResult], loadability: LoadabilityReport
    ) -> tuple[bool, set[str]]:
        """Write down what follows; return whether there is something to tell, and whose moves are to be made."""
        done = FollowUp()
        news = [one for one in results if one.term and _is_reportable(one)]
        if news:
            tx.lock("incidents")  # two of one model that fail at the same time have one incident
        doubted = self.find_suspect_sources(tx, news, results)
        for one in filter(None, (_with_current_monitor(tx, one) for one in news)):
            assert one.term is not None
            if one.is_no_longer_blind:
                self.resolve_if_recovered(tx, one, IncidentKind.BLIND, done)
            if one.is_failing:
                self._handle_failure(tx, one, one.term, one.monitor.rule.source in doubted.failing, loadability, done)
            else:
                self._handle_other_change(tx, one, one.term, one.monitor.rule.source in doubted.blind, done)
        return done.has_messages, done.models_to_transition

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
        situation = self.build_decision_input(tx, result, term, has_common_cause)
        decided = decide(situation)
        decided = _hold_unless_loadable(decided, loadability, (result.monitor.model, situation.target or 0))
        if is_new:
            tx.add_audit_event(monitor_event(EventTag.MONITOR_FAILED, result, term, decided))
        if decided.status in {IncidentStatus.LOGGED, IncidentStatus.SILENCED}:
            return
        if has_common_cause:
            self.open_or_join(
                tx, result, IncidentKind.SOURCE, result.verdict.monitor_state.since or result.at, follow_up
            )
            return
        self._open_or_update(tx, incident, result, term, situation, decided, follow_up)

    def _find_open_of_term(
        self, tx: LedgerTransaction, result: CheckResult, term: ProductionTerm, follow_up: FollowUp
    ) -> Incident | None:
        """Return the open incident of the model's term; one of an earlier term is over."""
        incident = find_open_incident(tx, result.monitor.model, "", IncidentKind.FAILED)
        if incident is None or incident.move == term.transition_id:
            return incident
        self.resolve(tx, incident, self.resolution_by_transition(tx, incident), result.at, follow_up)
        return None

    def build_decision_input(
        self, tx: LedgerTransaction, result: CheckResult, term: ProductionTerm, has_common_cause: bool
    ) -> DecisionInput:
        model, now = result.monitor.model, result.at
        moves = tx.transitions(model, stage=Stage.PRODUCTION, limit=MAX_TRANSITIONS)
        served = serving_periods(moves)
        day = [
            move
            for move in tx.rollbacks(now - ONE_DAY)
            if isinstance(move.actor, Automation) and _counts_against_limit(move)
        ]
        reset = tx.latest_audit_events(tags=(EventTag.BREAKER_RESET,), since=now - ONE_DAY, limit=MAX_RESETS)
        day = [move for move in day if not _was_reset_since(move, reset)]
        back = [
            move.finished_at
            for move in moves
            if move.kind is TransitionKind.ROLLBACK and move.state is TransitionState.DONE
        ]
        request = next(filter(None, (tx.open_request(model, stage) for stage in TARGET_STAGES)), None)
        tripped = [one for one in tx.tripped_breakers() if one.model in {"", model}]
        target, nearest = self.rollback_target(tx, result.monitor, served, now), self._nearest_target(tx, model, served)
        return DecisionInput(
            monitor=result.monitor,
            model=model,
            version=term.version,
            transition_id=term.transition_id,
            now=now,
            serving_transition_id=served[0].started_by.id if served and served[0].until is None else None,
            last_rollback_at=next((at for at in back if at), None),
            auto_rollbacks_of_model=sum(move.model == model for move in day),
            auto_rollbacks_of_all=len(day),
            max_auto_rollbacks=self._context.policy.max_auto,
            breaker=tripped[0] if tripped else None,
            freeze=active_freeze(model, tx.freezes(), self._context.policy, now),
            open_request=request.id if request else None,
            hold_reason=restore_messages.automation_stopped_reason() if tx.active_hold() else None,
            target=target,
            skipped_target=nearest if nearest != target else None,
            has_common_cause=has_common_cause,
        )

    def rollback_target(
        self, reader: Ledger, monitor: Monitor, served: Sequence[ServingPeriod], now: datetime
    ) -> int | None:
        barred = {bar.version for bar in reader.rollback_blocks(monitor.model)}
        return last_good_version(served, barred, now, monitor.rule.min_served, reader.registry_snapshot(monitor.model))

    def _nearest_target(self, reader: Ledger, model: str, served: Sequence[ServingPeriod]) -> int | None:
        """Return the version before, however long it served."""
        barred = {bar.version for bar in reader.rollback_blocks(model)}
        return next(iter(rollback_targets(served, barred, reader.registry_snapshot(model))), None)

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
        """Open the incident or go on with it, and do what was decided."""
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
            tx.add_incident(incident)
            tx.add_message(incident_message(incident, "opened", self.channel_of(incident)))
            tx.add_message(thread_message(incident.id, "opened", words.opened(incident)))
            tx.add_message(chart_message(incident))
            tx.add_message(card_chart_message(incident))
            if situation.skipped_target is not None:
                least = words.target_skipped(situation.skipped_target, result.monitor.rule.min_served)
                tx.add_message(thread_message(incident.id, "passed-over", least))
            follow_up.has_messages = True
        elif result.monitor.name not in incident.monitors:
            incident = replace(
                incident, monitors=(*incident.monitors, result.monitor.name), lines=(*incident.lines, line)[:MAX_LINES]
            )
            tx.add_message(thread_message(incident.id, f"joined:{result.monitor.id}", words.monitor_joined(line)))
        if before is not None and not _is_escalation(decision, before):
            if incident != before:
                self.save(tx, incident, f"joined:{result.monitor.id}:{result.claim.slot}", follow_up)
            else:
                self._refresh_line(tx, incident, result, follow_up)
            return
        incident = replace(incident, doing=decision.status, why=decision.why, target=situation.target)
        if decision.trip_reason:
            self._trip_breaker(tx, result, decision.trip_reason, situation)
        if decision.status is IncidentStatus.INTENT:
            incident = self._begin_rollback(tx, incident, term, result, follow_up)
            if before is not None and _has_same_reason(incident, before):
                if incident != before:
                    self.save(tx, incident, f"joined:{result.monitor.id}:{result.claim.slot}", follow_up)
                return
        self.save(tx, incident, f"{incident.doing.value}:{result.claim.slot}:{result.monitor.id}", follow_up)
        tx.add_message(
            thread_message(incident.id, f"did:{result.monitor.id}:{result.claim.slot}", words.action_taken(incident))
        )

    def _begin_rollback(
        self, tx: LedgerTransaction, incident: Incident, term: ProductionTerm, result: CheckResult, follow_up: FollowUp
    ) -> Incident:
        """Write the rollback down; where the term had one before, which came to nothing, a person has to look."""
        assert incident.target is not None
        reason = truncate("; ".join(str(line) for line in incident.lines), 500)
        move = rollback_transition(
            automatic_rollback_id(incident.model, term.transition_id),
            incident.model,
            target=incident.target,
            incumbent=term.version,
            actor=MONITOR_AUTOMATION,
            now=result.at,
            reason=reason,
            identity=rollback_records.identity_when_served(tx, incident.model, incident.target),
        )
        if not rollback_records.begin_rollback(tx, self._context, replace(move, incident=incident.id)):
            why = say("A rollback was tried already for v{v}, and came to nothing.", v=term.version)
            return replace(incident, doing=IncidentStatus.HELD, why=why)
        follow_up.models_to_transition.add(incident.model)
        return replace(incident, rollback=move.id)

    def _refresh_line(
        self, tx: LedgerTransaction, incident: Incident, result: CheckResult, follow_up: FollowUp
    ) -> None:
        """Let the message have the latest figures, now and then."""
        if incident.told_at is not None and result.at - incident.told_at < UPDATE_INTERVAL:
            return
        at = incident.monitors.index(result.monitor.name)
        if at >= len(incident.lines):
            return
        lines = [*incident.lines]
        lines[at] = words.monitor_line(result.monitor, result.verdict.why)
        self.save(
            tx,
            replace(incident, lines=tuple(lines), told_at=result.at),
            f"figures:{result.claim.slot}:{result.monitor.id}",
            follow_up,
        )

    def _trip_breaker(
        self, tx: LedgerTransaction, result: CheckResult, why: Sentence, situation: DecisionInput
    ) -> None:
        whole = situation.auto_rollbacks_of_model < result.monitor.rule.max_auto
        breaker = TrippedBreaker(model="" if whole else situation.model, at=result.at, why=why)
        if not tx.trip_breaker(breaker):
            return
        channel = self._context.policy.channel if whole else self._context.policy.channel_for(situation.model)
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

    # -- a source in doubt -------------------------------------------------------------------------------------

    def find_suspect_sources(
        self, tx: LedgerTransaction, news: Sequence[CheckResult], results: Sequence[CheckResult]
    ) -> SuspectSources:
        """Return the sources of which so many monitors fail, or say nothing, that it is the source's own fault."""
        loud = [one for one in news if one.monitor.effective_action != "dry_run" and (one.is_failing or one.is_blind)]
        loud = [one for one in loud if not has_never_judged(one.monitor, one.verdict.monitor_state)]
        sources = {one.monitor.rule.source for one in loud}
        if not sources:
            return SuspectSources()
        standings = tx.monitor_states()
        there = [one for one in tx.monitors() if one.rule.source in sources and not one.is_paused]
        doubted = SuspectSources()
        for source in sources:
            mine = [(one, standings[one.id]) for one in there if one.rule.source == source and one.id in standings]
            watching = [
                (one.model, standing)
                for one, standing in mine
                if standing.state is not MonitorStatus.DISABLED and not has_never_judged(one, standing)
            ]
            sample = [one.verdict.monitor_state for one in results if one.monitor.rule.source == source]
            if _are_failing_together([one for _, one in watching]) or (
                len(sample) >= MIN_SAMPLE and _are_failing_together(sample)
            ):
                doubted.failing.add(source)
            since = min(
                (at for one in loud if one.monitor.rule.source == source for at in _gap_starts(one)), default=None
            )
            blind = [model for model, one in watching if one.is_blind or _has_missed_since(one, since)]
            # Of one model alone it is one alert anyway, and that one is its team's.
            if is_common_cause(len(blind), len(watching)) and len(set(blind)) >= COMMON_CAUSE_COUNT:
                doubted.blind.add(source)
        return doubted

    def open_or_join(
        self, tx: LedgerTransaction, result: CheckResult, kind: IncidentKind, since: datetime, follow_up: FollowUp
    ) -> None:
        """Open the incident of a check's source, or let it be one of its monitors."""
        source, line = result.monitor.rule.source, words.source_line(result.monitor, blind_reason(result))
        incident = find_open_incident(tx, "", source, kind)
        name = source_monitor_name(result.monitor)
        if incident is None:
            incident = Incident(
                id=self._context.new_id(),
                kind=kind,
                model="",
                source=source,
                version=None,
                move=None,
                monitors=(name,),
                opened_at=result.at,
                since=since,
                lines=(line,),
                doing=IncidentStatus.HELD,
                told_at=result.at,
            )
            tx.add_incident(incident)
            tx.add_message(incident_message(incident, "opened", self.channel_of(incident)))
            tx.add_message(thread_message(incident.id, "opened", words.opened(incident)))
            follow_up.has_messages = True
        elif kind is IncidentKind.BLIND or name not in incident.monitors:
            self.set_line(tx, incident, name, line, result, follow_up)

    def set_line(
        self,
        tx: LedgerTransaction,
        incident: Incident,
        name: str,
        line: Sentence,
        result: CheckResult,
        follow_up: FollowUp,
    ) -> None:
        """Let an open incident tell of one more monitor, or of another reason for one that it tells of."""
        told = incident.with_line(name, line, MAX_LINES)
        if told != incident:
            self.save(tx, told, f"joined:{result.monitor.id}:{result.claim.slot}", follow_up)

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
            self.resolve_if_recovered(tx, result, IncidentKind.FAILED, follow_up)
        if before is MonitorStatus.FAILED or (result.is_no_longer_blind and result.verdict.outcome is CheckOutcome.OK):
            tx.add_audit_event(monitor_event(EventTag.MONITOR_RECOVERED, result, term, None))
        if result.verdict.monitor_state.state is MonitorStatus.OK:
            self.confirm_recovery(tx, result, term, follow_up)

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
        of_source = find_open_incident(tx, "", result.monitor.rule.source, IncidentKind.BLIND)
        # Each is told of in one alert, and stays there also when others of its source come or go.
        is_mine = incident is not None and result.monitor.name in incident.monitors
        is_theirs = of_source is not None and source_monitor_name(result.monitor) in of_source.monitors
        if is_theirs or (has_common_cause and not is_mine):
            self.open_or_join(tx, result, IncidentKind.BLIND, result.at, follow_up)
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
            tx.add_incident(incident)
            tx.add_message(incident_message(incident, "opened", self.channel_of(incident)))
            tx.add_message(thread_message(incident.id, "opened", words.opened(incident)))
            follow_up.has_messages = True
        else:
            self.set_line(tx, incident, result.monitor.name, line, result, follow_up)

    def resolve_if_recovered(
        self, tx: LedgerTransaction, result: CheckResult, kind: IncidentKind, follow_up: FollowUp
    ) -> None:
        """End the incident where none of its monitors stands as it did."""
        of_source = find_open_incident(tx, "", result.monitor.rule.source, kind) if kind is IncidentKind.BLIND else None
        for incident in filter(None, (find_open_incident(tx, result.monitor.model, "", kind), of_source)):
            if self._has_monitor_in_status(tx, incident, kind):
                continue
            if kind is IncidentKind.BLIND:
                how = words.monitoring_is_back(incident.since, result.at)
            else:
                how = words.recovered(incident.version, incident.since, result.at)
            self.resolve(
                tx, incident, IncidentResolution(ending=IncidentEnding.RECOVERED, sentence=how), result.at, follow_up
            )

    def confirm_recovery(
        self, tx: LedgerTransaction, result: CheckResult, term: ProductionTerm, follow_up: FollowUp
    ) -> None:
        """Say of the incident whose rollback began this term that the restored version has passed its checks."""
        recent = tx.incidents(model=result.monitor.model, limit=RECENT_LIMIT)
        mine = [
            each for each in recent if each.rollback == term.transition_id and each.ending is IncidentEnding.RESTORED
        ]
        for incident in mine:
            watching = active_monitors(tx, incident)
            if watching and all(is_healthy(tx.monitor_state(each.id)) for each in watching):
                since = incident.resolved_at or result.at
                end = IncidentResolution(
                    ending=IncidentEnding.RECOVERED,
                    sentence=words.recovered_after_rollback(term.version, since, result.at),
                )
                self.save(tx, replace(incident, ending=end.ending, resolution=end.sentence), "recovered", follow_up)
                tx.add_message(thread_message(incident.id, "recovered", end.sentence))
                tx.add_audit_event(resolved_event(incident, end, result.at))

    def _has_monitor_in_status(self, reader: Ledger, incident: Incident, kind: IncidentKind) -> bool:
        bad = {MonitorStatus.FAILED} if kind is IncidentKind.FAILED else BLIND_STATUSES
        return any(reader.monitor_state(one.id).state in bad for one in active_monitors(reader, incident))

    # -- what time brings --------------------------------------------------------------------------------------

    def end_and_remind(self) -> bool:
        """End what is over, and remind of what nobody looks after; tell whether there is something to tell."""
        now, done = self._context.clock.now(), FollowUp()
        with self._context.ledger.read() as reading:
            still_open = reading.incidents(open_only=True, limit=1000)
            work = [
                one
                for one in still_open
                if self._find_resolution(reading, one, now) or _is_reminder_due(reading, one, now)
            ]
        if not work:
            return False
        with self._context.ledger.write() as tx:
            tx.lock("incidents")
            for one in work:
                incident = tx.incident(one.id)
                if not incident.is_open:
                    continue
                how = self._find_resolution(tx, incident, now)
                if how is not None:
                    self.resolve(tx, incident, how, now, done)
                elif _is_reminder_due(tx, incident, now):
                    told = replace(incident, repeated_at=now)
                    tx.add_message(
                        thread_message(told.id, f"repeated:{now.isoformat()}", words.reminder(incident, now))
                    )
                    self.save(tx, told, f"repeated:{now.isoformat()}", done)
        return done.has_messages

    def _find_resolution(self, reader: Ledger, incident: Incident, now: datetime) -> IncidentResolution | None:
        """Return how an open incident has ended; None where it goes on."""
        if incident.is_of_source:
            return self.find_source_resolution(reader, incident, now)
        served = self._rollbacks.serving_periods(reader, incident.model)
        serves = served[0] if served and served[0].until is None else None
        if incident.doing is IncidentStatus.ROLLED_BACK:
            if incident.rollback and _is_serving_check_pending(reader, incident.rollback):
                return None
            if serves and serves.started_by.id == incident.rollback:
                by = None if isinstance(serves.started_by.actor, Automation) else serves.started_by.actor
                if is_serving_denied(reader, incident.rollback):
                    return IncidentResolution(
                        ending=IncidentEnding.NOT_CONFIRMED, sentence=words.not_confirmed(serves.version), by=by
                    )
                how = words.restored(serves.version, serves.since, incident.version, by)
                return IncidentResolution(ending=IncidentEnding.RESTORED, sentence=how, by=by)
        if serves is None or serves.started_by.id != incident.move:
            return None if incident.doing is IncidentStatus.INTENT else self.resolution_by_transition(reader, incident)
        mine = active_monitors(reader, incident)
        if not mine:
            return unwatched_resolution(reader, incident)
        if incident.kind is IncidentKind.FAILED and all(is_healthy(reader.monitor_state(one.id)) for one in mine):
            how = words.recovered(incident.version, incident.since, now)  # by a rule that was changed meanwhile
            return IncidentResolution(ending=IncidentEnding.RECOVERED, sentence=how)
        return None

    def resolution_by_transition(self, reader: Ledger, incident: Incident) -> IncidentResolution:
        """Return how an incident ended whose version doesn't serve any more, or serves again."""
        served = self._rollbacks.serving_periods(reader, incident.model)
        began = served[0].started_by if served and served[0].until is None else None
        if began is None:
            return IncidentResolution(
                ending=IncidentEnding.OVERTAKEN, sentence=words.superseded(incident.version, None)
            )
        told_in = ordering_key_of(began)
        if began.kind is TransitionKind.ROLLBACK and not isinstance(began.actor, Automation):
            how, ending = words.rolled_back_manually(began), IncidentEnding.ROLLED_BACK
        else:
            how, ending = words.superseded(incident.version, began), IncidentEnding.OVERTAKEN
        return IncidentResolution(
            ending=ending, sentence=how, by=began.actor, announced_in="" if told_in == incident.id else told_in
        )

    def find_source_resolution(self, reader: Ledger, incident: Incident, now: datetime) -> IncidentResolution | None:
        if incident.kind is IncidentKind.BLIND:
            if not active_monitors(reader, incident):
                return unwatched_resolution(reader, incident)
            if self._has_monitor_in_status(reader, incident, IncidentKind.BLIND):
                return None
            # Its last one was judged with its own check, or Production has moved and it began anew.
            return IncidentResolution(
                ending=IncidentEnding.RECOVERED, sentence=words.monitoring_is_back(incident.since, now)
            )
        standings = reader.monitor_states()
        mine = [one for one in reader.monitors() if one.rule.source == incident.source and not one.is_paused]
        states = [standings[one.id].state for one in mine if one.id in standings]
        failing = sum(state in FAILING_STATUSES for state in states)
        if is_common_cause(failing, sum(state is not MonitorStatus.DISABLED for state in states)):
            return None
        return IncidentResolution(
            ending=IncidentEnding.RECOVERED, sentence=words.source_recovered(incident.source, incident.since, now)
        )

    # -- writing -----------------------------------------------------------------------------------------------

    def save(self, tx: LedgerTransaction, incident: Incident, key_suffix: str, follow_up: FollowUp) -> None:
        tx.save_incident(incident)
        tx.add_message(incident_message(incident, key_suffix, self.channel_of(incident)))
        follow_up.has_messages = True

    def resolve(
        self,
        tx: LedgerTransaction,
        incident: Incident,
        resolution: IncidentResolution,
        now: datetime,
        follow_up: FollowUp,
    ) -> None:
        ended = incident.with_resolution(resolution, now)
        if (
            incident.doing is IncidentStatus.ROLLED_BACK
            and incident.rollback
            and is_serving_denied(tx, incident.rollback)
        ):
            ended = replace(ended, doing=IncidentStatus.NOT_FOLLOWED)
        elif incident.doing is not IncidentStatus.ROLLED_BACK and resolution.ending in {
            IncidentEnding.OVERTAKEN,
            IncidentEnding.ROLLED_BACK,
        }:
            ended = replace(ended, doing=IncidentStatus.SUPERSEDED)
        self.save(tx, ended, "resolved", follow_up)
        tx.add_message(thread_message(ended.id, "resolved", resolution.sentence))
        tx.add_audit_event(resolved_event(ended, resolution, now))

    def channel_of(self, incident: Incident) -> str:
        policy = self._context.policy
        return policy.channel_for(incident.model) if incident.model else policy.channel


def _hold_unless_loadable(
    decision: IncidentDecision, loadability: LoadabilityReport, version: tuple[str, int]
) -> IncidentDecision:
    """Return what is done once it is known whether the version may load that is gone back to.

    Where that cannot be told, a person may still decide; the monitor waits, and looks again at each failing check.
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


def has_never_judged(monitor: Monitor, monitor_state: MonitorState) -> bool:
    """Tell whether it can't judge yet, and nobody relies on it: a new monitor whose baseline still has to grow."""
    return monitor_state.state is MonitorStatus.CANT_JUDGE and monitor_state.judged_at is None and not monitor.is_armed


def _gap_starts(result: CheckResult) -> Sequence[datetime]:
    """Return since when gaps may be why it can't judge, if it had any: those in its last window."""
    standing, since = result.verdict.monitor_state, result.at - 2 * result.monitor.rule.window
    return [since] if standing.state is MonitorStatus.CANT_JUDGE and _has_missed_since(standing, since) else []


def _has_missed_since(monitor_state: MonitorState, since: datetime | None) -> bool:
    """Tell whether it had a check without a figure since then.

    Of a source with gaps every window becomes incomplete, but each at its own time.
    """
    return since is not None and monitor_state.missed_at is not None and monitor_state.missed_at >= since


def source_monitor_name(monitor: Monitor) -> str:
    """Return what an incident of a source calls a monitor."""
    return f"{monitor.model} {monitor.name}"


def blind_reason(result: CheckResult) -> Sentence:
    return words.blind_reason(result.monitor, result.verdict.monitor_state.state, result.why)


def _are_failing_together(monitor_states: Sequence[MonitorState]) -> bool:
    """Tell whether so many of a source's monitors fail that the source is in doubt."""
    return is_common_cause(sum(one.state in FAILING_STATUSES for one in monitor_states), len(monitor_states))


def active_monitors(reader: Ledger, incident: Incident) -> list[Monitor]:
    """Return those of an incident's monitors that are there and not paused."""
    return [one for one in monitors_of_incident(incident, reader.monitors(incident.model or None)) if not one.is_paused]


def unwatched_resolution(reader: Ledger, incident: Incident) -> IncidentResolution:
    """Return how an incident ended whose monitors are all paused or gone: what happened to one of them last, and who.

    It's read from the audit, where whoever pauses, changes, or removes a monitor writes it in the same transaction.
    """
    names = {one if incident.is_of_source else f"{incident.model} {one}" for one in incident.monitors}
    found = reader.latest_audit_events(model=incident.model or None, tags=tuple(_ENDINGS_BY_TAG), limit=RECENT_LIMIT)
    event = next((one.event for one in found if one.event.subject in names), None)
    if event is None:
        ending, name, by, told_in = IncidentEnding.UNWATCHED, incident.monitors[0], None, ""
    else:
        ending, name = _ENDINGS_BY_TAG[event.tag], event.subject.rpartition(" ")[2]
        if event.tag is EventTag.POLICY_MONITORS_LOADED and event.after is None:
            ending = IncidentEnding.REMOVED
        by, told_in = event.actor, str(event.evidence.get("told_in", ""))
    return IncidentResolution(ending=ending, sentence=words.unwatched(ending, name, by), by=by, announced_in=told_in)


_ENDINGS_BY_TAG = {
    EventTag.MONITOR_PAUSED: IncidentEnding.PAUSED,
    EventTag.MONITOR_EDITED: IncidentEnding.EDITED,
    EventTag.MONITOR_REMOVED: IncidentEnding.REMOVED,
    EventTag.POLICY_MONITORS_LOADED: IncidentEnding.EDITED,
}


def resolved_event(incident: Incident, resolution: IncidentResolution, now: datetime) -> Event:
    evidence = {"ending": resolution.ending.value} | ({"ended_by": actor_id(resolution.by)} if resolution.by else {})
    return Event(
        at=now,
        actor=MONITOR_AUTOMATION,
        tag=EventTag.INCIDENT_RESOLVED,
        subject=incident.id,
        model=incident.model or None,
        why=str(resolution.sentence),
        origin="job",
        evidence=evidence,
    )


def _with_current_monitor(tx: LedgerTransaction, result: CheckResult) -> CheckResult | None:
    """Return a check with its monitor as it is at this moment; None where nothing follows from the check any more.

    While the source was asked somebody may have changed, paused or removed it: then its next check counts, if there is
    one. That it was silenced meanwhile, armed or disarmed, holds for this one. Nothing is locked: whoever changes it at
    this very moment comes after the check.
    """
    monitor = next((each for each in tx.monitors(result.monitor.model) if each.id == result.monitor.id), None)
    if monitor is None or monitor.is_paused or monitor.revision != result.monitor.revision:
        return None
    return replace(result, claim=replace(result.claim, monitor=monitor))


def find_open_incident(reader: Ledger, model: str, source: str, kind: IncidentKind) -> Incident | None:
    mine = reader.incidents(model=model, open_only=True)
    return next((one for one in mine if one.kind is kind and one.source == source), None)


def _must_decide_again(incident: Incident, result: CheckResult) -> bool:
    """Tell whether a person was only asked because a request was open: then it is looked whether that still is so."""
    return incident.doing is IncidentStatus.AWAITING_HUMAN and result.monitor.effective_action == "auto"


def _is_serving_check_pending(reader: Ledger, move: str) -> bool:
    serving = reader.serving_check(move)
    return serving is not None and serving.state is ServingCheckState.PENDING


def is_serving_denied(reader: Ledger, move: str) -> bool:
    """Tell whether the serving side was asked after a move, and did not follow in time."""
    serving = reader.serving_check(move)
    return serving is not None and serving.state is ServingCheckState.TIMED_OUT


def is_healthy(monitor_state: MonitorState) -> bool:
    """Tell whether a monitor was measured, and is well: nothing is known of one that begins anew."""
    return monitor_state.state is MonitorStatus.OK and monitor_state.value is not None


def _is_reminder_due(reader: Ledger, incident: Incident, now: datetime) -> bool:
    """Tell whether people are to be reminded: nobody looks after it, and somebody of its monitors is not silenced."""
    last = incident.repeated_at or incident.opened_at
    if incident.acknowledged_at is not None or now - last < REMINDER_INTERVAL:
        return False
    mine = monitors_of_incident(incident, reader.monitors(incident.model or None))
    return not mine or any(not one.is_silenced(now) for one in mine)


def _counts_against_limit(move: Transition) -> bool:
    """Tell whether an automatic rollback counts against the limit: one that was made, or is being made."""
    return move.state not in {TransitionState.STALE, TransitionState.FAILED}


_ESCALATION_LEVELS = {
    IncidentStatus.NOTIFIED: 1,
    IncidentStatus.HELD: 2,
    IncidentStatus.FROZEN: 2,
    IncidentStatus.COOLDOWN: 2,
    IncidentStatus.TRIPPED: 2,
    IncidentStatus.SUPERSEDED: 2,
    IncidentStatus.AWAITING_HUMAN: 3,
    IncidentStatus.INTENT: 4,
}


def _is_escalation(decision: IncidentDecision, old: Incident) -> bool:
    """Tell whether what a later check decided goes further than what was done before, or says another reason."""
    if decision.status is old.doing:
        return decision.status is IncidentStatus.HELD and _reason_code(decision.why) != _reason_code(old.why)
    return _ESCALATION_LEVELS.get(decision.status, 0) >= _ESCALATION_LEVELS.get(old.doing, 9)


def _has_same_reason(new: Incident, old: Incident) -> bool:
    return new.doing is old.doing and _reason_code(new.why) == _reason_code(old.why)


def _reason_code(why: Sentence | None) -> str:
    """Return what sort of reason it is, whatever figures and errors it names."""
    return why.template if why else ""


def _was_reset_since(move: Transition, resets: Sequence[ChainedEvent]) -> bool:
    """Tell whether an admin has reset the breaker since: what was before does not count against the limit any more."""
    mine = [one.event for one in resets if one.event.model in {None, move.model}]
    return any(event.at >= move.intended_at for event in mine)


def monitor_event(tag: EventTag, result: CheckResult, term: ProductionTerm, decision: IncidentDecision | None) -> Event:
    monitor, standing = result.monitor, result.verdict.monitor_state
    evidence = {
        "monitor": monitor.id,
        "revision": monitor.revision,
        "version": term.version,
        "move": term.transition_id,
        "value": standing.value,
        "total": standing.total,
        "bound": standing.bound,
        "rule": monitor.rule.rule,
        "action": monitor.effective_action,
        "doing": decision.status.value if decision else None,
    }
    why = (
        result.verdict.why
        if decision is None or decision.why is None
        else join_sentences([result.verdict.why, decision.why], " ")
    )
    return Event(
        at=result.at,
        actor=MONITOR_AUTOMATION,
        tag=tag,
        subject=f"{monitor.model} {monitor.name}",
        model=monitor.model,
        after=f"v{term.version}",
        why=str(why),
        origin="job",
        evidence=evidence,
    )
