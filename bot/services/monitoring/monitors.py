"""Commands about monitors and incidents. They need only the ledger, so they work while MLflow is down.

bot/services/monitoring/scheduler.py runs the monitors' checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot.domain.audit.events import Event, EventTag
from bot.domain.commands.monitoring import (
    MonitorAdd,
    MonitorArm,
    MonitorBacktest,
    MonitorEdit,
    MonitorList,
    MonitorPause,
    MonitorRemove,
    MonitorReset,
    MonitorResume,
    MonitorReview,
    MonitorShow,
    MonitorSilence,
    MonitorUnsilence,
)
from bot.domain.core.actors import Caller, actor_of
from bot.domain.core.errors import AlreadyDecided, BadInput, UnknownRequest
from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.monitoring import incident_messages
from bot.domain.monitoring import messages as monitor_messages
from bot.domain.monitoring.incident import Incident, IncidentEnding, MonitorChart
from bot.domain.monitoring.incident_review import IncidentReview, review
from bot.domain.monitoring.monitor import Monitor, MonitorState, state_after_resume
from bot.domain.monitoring.monitor_overview import MonitorRow, MonitorView, worst_first
from bot.domain.policy.authorization import Permission, describe_caller
from bot.domain.policy.policy import BUILT_IN_SOURCES
from bot.ports import LedgerTransaction, read_incident_facts, read_monitor_chart
from bot.services.core.access import AccessControl
from bot.services.core.commands import ChangeHandlers, CommandResult, QueryHandlers
from bot.services.core.context import Context
from bot.services.monitoring.arming import BacktestRunner, MonitorArming, MonitorRecorder
from bot.services.monitoring.monitor_lookup import (
    check_model_known,
    check_source,
    default_source,
    find_monitor,
    incident_monitors,
    name_taken,
    require_editable,
    require_present,
    select_monitors,
)

MAX_RECENT_CHECKS = 10  # checks shown for a monitor


class Monitors:
    """Adds, changes, silences, and arms monitors, and acknowledges incidents.

    `caller` sent the command, and `origin` says where it came from (for the audit log). Commands return the answer to
    show. The dispatcher has already checked permission for commands; methods that only buttons call check it
    themselves.
    """

    def __init__(self, context: Context, access: AccessControl, run_backtest: BacktestRunner) -> None:
        self._context = context
        self._access = access
        self._run_backtest = run_backtest
        self._recorder = MonitorRecorder(context)
        self._arming = MonitorArming(context, run_backtest, self._recorder)

    def query_handlers(self) -> QueryHandlers:
        """Return the handlers for the queries."""
        return {
            MonitorList: lambda command: self.list_rows(command.model),
            MonitorShow: self._show,
            MonitorBacktest: lambda command: self._run_backtest(
                self.find(command.model, command.name), timedelta(days=command.days)
            ),
            MonitorReview: lambda command: self.review(command.incident),
        }

    def change_handlers(self) -> ChangeHandlers:
        """Return the handlers for the changes."""
        return {
            MonitorAdd: self._execute_add,
            MonitorEdit: self.edit,
            MonitorRemove: self.remove,
            MonitorPause: self.pause,
            MonitorResume: self.resume,
            MonitorSilence: self.silence,
            MonitorUnsilence: self.unsilence,
            MonitorArm: self._arming.arm,
            MonitorReset: self._arming.reset,
        }

    def _execute_add(self, caller: Caller, command: MonitorAdd, *, origin: str) -> CommandResult:
        answer = self.add(caller, command, origin=origin)
        return CommandResult(answer=answer, view=self.find(command.model, command.name))

    # -- queries -------------------------------------------------------------------------------------------------------

    def _show(self, command: MonitorShow) -> MonitorView:
        monitor_id = self.find(command.model, command.name).id
        return replace(self.view(monitor_id), chart=self.chart(monitor_id))

    def list_rows(self, model: str | None = None) -> list[MonitorRow]:
        """Return the monitors with their states, worst first. Raises UnknownModel, which suggests the nearest name."""
        with self._context.ledger.read() as reader:
            monitor_states, monitors = reader.monitor_states(), reader.monitors(model)
            if model is not None and not monitors:
                check_model_known(reader, model)
        return worst_first(
            MonitorRow(monitor, monitor_states.get(monitor.id) or MonitorState(monitor=monitor.id))
            for monitor in monitors
        )

    def find(self, model: str, name: str) -> Monitor:
        """Return a monitor by name. Raises UnknownRequest, which suggests the nearest name, and UnknownModel."""
        with self._context.ledger.read() as reader:
            return find_monitor(reader, model, name)

    def monitor(self, monitor_id: str) -> Monitor:
        """Return a monitor by ID. Raises UnknownRequest if it doesn't exist or was removed."""
        with self._context.ledger.read() as reader:
            return require_present(reader.monitor(monitor_id))

    def view(self, monitor_id: str) -> MonitorView:
        """Return everything to show about a monitor. Raises UnknownRequest."""
        with self._context.ledger.read() as reader:
            monitor = require_present(reader.monitor(monitor_id))
            incidents = reader.incidents(model=monitor.model, open_only=True)
            tripped = [breaker for breaker in reader.tripped_breakers() if breaker.model in {monitor.model, ""}]
            return MonitorView(
                monitor=monitor,
                monitor_state=reader.monitor_state(monitor_id),
                recent_measurements=reader.measurements(
                    monitor_id, from_revision=monitor.measured_from, limit=MAX_RECENT_CHECKS
                ),
                incident=next((incident for incident in incidents if monitor.name in incident.monitors), None),
                breaker=tripped[0] if tripped else None,
                now=self._context.clock.now(),
            )

    def chart(self, monitor_id: str) -> MonitorChart:
        """Return the chart of a monitor's latest checks. Raises UnknownRequest."""
        with self._context.ledger.read() as reader:
            monitor = require_present(reader.monitor(monitor_id))
            return read_monitor_chart(reader, monitor, self._context.policy.metrics_for(monitor.model))

    def incident(self, incident_id: str) -> tuple[Incident, list[Monitor]]:
        """Return an incident and those of its monitors that still exist. Raises UnknownRequest."""
        with self._context.ledger.read() as reader:
            incident = reader.incident(incident_id)
            return incident, incident_monitors(reader, incident)

    def review(self, incident_id: str) -> IncidentReview:
        """Return an incident's review; if it's still open, what's known so far. Raises UnknownRequest."""
        try:
            with self._context.ledger.read() as reader:
                return review(read_incident_facts(reader, incident_id))
        except UnknownRequest:
            raise UnknownRequest(
                say("There's no incident {id}. Copy the ID from its alert.", id=Code(incident_id))
            ) from None

    def sources(self) -> list[str]:
        """Return the names of the sources that a monitor can use, starting with the policy's."""
        policy = self._context.policy
        return [*policy.sources, *(name for name in BUILT_IN_SOURCES if name not in policy.sources)]

    # -- add, edit, remove ---------------------------------------------------------------------------------------------

    def add(self, caller: Caller, command: MonitorAdd, *, origin: str) -> Sentence:
        """Add a monitor to a model. Raises BadInput and UnknownModel."""
        monitor = self.to_monitor(caller, command)
        with self._context.ledger.write() as tx:
            return self.add_within(tx, caller, monitor, origin=origin)

    def to_monitor(self, caller: Caller, command: MonitorAdd) -> Monitor:
        """Return the monitor that the command adds, without adding it. Raises BadInput."""
        rule = command.to_rule("" if "source" in command.settings else default_source(self._context.policy))
        check_source(rule, self._context.policy)
        return Monitor(
            id=f"m{self._context.new_id()}",
            model=command.model,
            rule=rule,
            created_at=self._context.clock.now(),
            created_by=actor_of(caller),
        )

    def add_within(
        self, tx: LedgerTransaction, caller: Caller, monitor: Monitor, *, origin: str, **evidence: Any
    ) -> Sentence:
        """Add the monitor in the caller's transaction, and return the answer; `evidence` is for the audit log.

        Raises BadInput and UnknownModel.
        """
        first, rule = monitor.first_check_at(monitor.created_at), monitor.rule
        check_model_known(tx, monitor.model)
        if not tx.add_monitor(monitor):
            raise BadInput(name_taken(find_monitor(tx, monitor.model, monitor.name)), "name")
        tx.save_monitor_state(MonitorState(monitor=monitor.id, next_at=first))
        self._recorder.append_audit(
            tx, EventTag.MONITOR_ADDED, caller, monitor, origin, after=rule.model_dump(mode="json"), **evidence
        )
        self._recorder.announce(tx, monitor, "added", monitor_messages.added(monitor, actor_of(caller)))
        return monitor_messages.added_answer(monitor, first)

    def edit(self, caller: Caller, command: MonitorEdit, *, origin: str) -> Sentence:
        """Change a monitor. Its counts start over, and it must be armed again.

        Raises Refused, BadInput, and UnknownRequest.
        """
        now, by = self._context.clock.now(), actor_of(caller)
        with self._context.ledger.write() as tx:
            before = require_editable(find_monitor(tx, command.model, command.name))
            rule = command.apply_to(before.rule)
            check_source(rule, self._context.policy)
            if rule == before.rule:
                raise BadInput(say("{it} already has these settings.", it=monitor_messages.qualified_name(before)))
            # Arming depends on who last changed the monitor, and when.
            after = replace(before.with_rule(rule), created_by=by, created_at=now, armed_at=None, armed_by=None)
            tx.save_monitor_state(replace(tx.monitor_state(after.id), next_at=after.first_check_at(now)))
            return self._recorder.record(
                tx,
                EventTag.MONITOR_EDITED,
                caller,
                [after],
                origin,
                monitor_messages.edited(after, by, was_armed=before.armed_at is not None),
                key_suffix=f"edited:{after.revision}",
                ending=IncidentEnding.EDITED,
                before=before.rule.model_dump(mode="json"),
                after=rule.model_dump(mode="json"),
            )

    def remove(self, caller: Caller, command: MonitorRemove, *, origin: str) -> Sentence:
        """Remove a monitor and resolve incidents that no other monitor watches. Raises Refused and UnknownRequest."""
        with self._context.ledger.write() as tx:
            monitor = require_editable(find_monitor(tx, command.model, command.name))
            monitor = replace(monitor, removed_at=self._context.clock.now())
            sentence, ending = monitor_messages.removed(monitor, actor_of(caller)), IncidentEnding.REMOVED
            return self._recorder.record(
                tx, EventTag.MONITOR_REMOVED, caller, [monitor], origin, sentence, key_suffix="removed", ending=ending
            )

    # -- pause and silence ---------------------------------------------------------------------------------------------

    def pause(self, caller: Caller, command: MonitorPause, *, origin: str) -> Sentence:
        """Pause a monitor and resolve incidents that only it watches. Raises Refused, BadInput, and UnknownRequest."""
        with self._context.ledger.write() as tx:
            monitor = find_monitor(tx, command.model, command.name)
            if monitor.is_paused:
                raise BadInput(say("{it} is already paused.", it=monitor_messages.qualified_name(monitor)))
            monitor = replace(monitor, is_paused=True)
            sentence, ending = monitor_messages.paused(monitor, actor_of(caller)), IncidentEnding.PAUSED
            return self._recorder.record(
                tx, EventTag.MONITOR_PAUSED, caller, [monitor], origin, sentence, ending=ending
            )

    def resume(self, caller: Caller, command: MonitorResume, *, origin: str) -> Sentence:
        """Resume a paused monitor. Raises the same errors as `pause`."""
        with self._context.ledger.write() as tx:
            monitor = find_monitor(tx, command.model, command.name)
            if not monitor.is_paused:
                raise BadInput(say("{it} isn't paused.", it=monitor_messages.qualified_name(monitor)))
            monitor = replace(monitor, is_paused=False)
            tx.save_monitor_state(state_after_resume(tx.monitor_state(monitor.id), monitor, self._context.clock.now()))
            sentence = monitor_messages.resumed(monitor, actor_of(caller))
            return self._recorder.record(tx, EventTag.MONITOR_RESUMED, caller, [monitor], origin, sentence)

    def silence(self, caller: Caller, command: MonitorSilence, *, origin: str) -> Sentence:
        """Silence one or all of a model's monitors for a while: no alerts, no rollbacks.

        Raises the same errors as `pause`.
        """
        with self._context.ledger.write() as tx:
            monitors = select_monitors(tx, command.model, command.name, all_monitors=command.every_one)
            return self._silence(tx, caller, monitors, command.span, command.reason, origin)

    def silence_incident(self, caller: Caller, incident_id: str, span: timedelta, *, origin: str) -> Sentence:
        """Silence every monitor of an incident for `span`. Raises the same errors as `pause`."""
        incident, monitors = self.incident(incident_id)
        if not monitors:
            raise BadInput("This incident's monitors were removed, so there's nothing to silence.")
        for model in sorted({monitor.model for monitor in monitors}):
            self._access.require_permission(caller, Permission.SILENCE_MONITOR, model=model, origin=origin)
        with self._context.ledger.write() as tx:
            reason = f"investigating incident {incident.id}"
            answer = self._silence(tx, caller, incident_monitors(tx, incident), span, reason, origin)
            sentence = incident_messages.silenced(actor_of(caller), self._context.clock.now() + span)
            self._recorder.post_to_thread(tx, incident, f"silenced:{self._context.new_id()}", sentence)
        return answer

    def unsilence(self, caller: Caller, command: MonitorUnsilence, *, origin: str) -> Sentence:
        """End a silence. The next check sends any alert that was held back. Raises the same errors as `pause`."""
        now = self._context.clock.now()
        with self._context.ledger.write() as tx:
            monitors = select_monitors(tx, command.model, command.name, all_monitors=command.every_one)
            ended = [
                replace(monitor, silenced_until=now, silenced_by=None, silence_reason="")
                for monitor in monitors
                if monitor.is_silenced(now)
            ]
            if not ended:
                raise BadInput("Nothing to unsilence: no matching monitor is silenced.")
            sentence = monitor_messages.unsilenced(ended, actor_of(caller))
            return self._recorder.record(tx, EventTag.MONITOR_UNSILENCED, caller, ended, origin, sentence)

    def _silence(
        self,
        tx: LedgerTransaction,
        caller: Caller,
        monitors: Sequence[Monitor],
        span: timedelta,
        reason: str,
        origin: str,
    ) -> Sentence:
        by, until = actor_of(caller), self._context.clock.now() + span
        silenced = [
            replace(monitor, silenced_until=until, silenced_by=by, silence_reason=reason) for monitor in monitors
        ]
        sentence = monitor_messages.silenced(silenced, by, until, reason)
        return self._recorder.record(
            tx, EventTag.MONITOR_SILENCED, caller, silenced, origin, sentence, why=reason, until=until.isoformat()
        )

    # -- incidents -----------------------------------------------------------------------------------------------------

    def acknowledge(self, caller: Caller, incident_id: str, *, origin: str) -> Sentence:
        """Acknowledge an incident. Raises Refused, AlreadyDecided, and UnknownRequest."""
        with self._context.ledger.read() as reader:
            model = reader.incident(incident_id).model
        self._access.require_permission(caller, Permission.ACKNOWLEDGE_INCIDENT, model=model or None, origin=origin)
        now, by = self._context.clock.now(), actor_of(caller)
        with self._context.ledger.write() as tx:
            incident = tx.incident(incident_id)
            if not incident.is_open:
                raise AlreadyDecided("This incident is already resolved. No action needed.")
            if incident.acknowledged_by is not None:
                raise AlreadyDecided(incident_messages.acknowledged_before(incident, now))
            incident = replace(incident, acknowledged_by=by, acknowledged_at=now)
            tx.save_incident(incident)
            tx.add_audit_event(
                Event(
                    at=now,
                    actor=by,
                    tag=EventTag.INCIDENT_ACKNOWLEDGED,
                    subject=incident.id,
                    model=incident.model or None,
                    origin=origin,
                    evidence={"by": describe_caller(caller, self._context.policy)},
                )
            )
            self._recorder.post_to_thread(tx, incident, "acknowledged", incident_messages.acknowledged(by))
        return monitor_messages.acknowledged_answer()
