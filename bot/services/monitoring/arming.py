"""Arms monitors after a successful dry run, and resets circuit breakers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot.domain.audit.events import Event, EventTag
from bot.domain.commands.monitoring import MonitorArm, MonitorReset
from bot.domain.core.actors import Actor, Caller, actor_of
from bot.domain.core.errors import BadInput, Refused
from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.monitoring import incident_messages
from bot.domain.monitoring import messages as monitor_messages
from bot.domain.monitoring.backtest import Backtest
from bot.domain.monitoring.incident import Incident, IncidentEnding, IncidentResolution, IncidentStatus
from bot.domain.monitoring.monitor import Monitor, MonitorStatus
from bot.domain.policy.authorization import describe_caller
from bot.ports import LedgerTransaction, OutboxMessage
from bot.services.core.context import Context
from bot.services.core.outbox_messages import (
    channel_message,
    incident_end_message,
    incident_message,
    thread_message,
)
from bot.services.monitoring.monitor_lookup import find_monitor, require_editable

BACKTEST_SPAN = timedelta(days=7)  # before a monitor can be armed, a backtest of this span must not fire
TRIAL_PERIOD = timedelta(hours=24)  # the dry run that a monitor needs since its last edit before it can be armed
MIN_MEASURED_SHARE = 0.5  # share of the dry run's checks that need a value: without data, it proves nothing

MAX_INCIDENTS = 100
ROLLBACK_UNDER_WAY = {
    IncidentStatus.INTENT,
    IncidentStatus.ROLLED_BACK,
    IncidentStatus.NOT_FOLLOWED,
}  # these incidents continue without their monitor

BacktestRunner = Callable[[Monitor, timedelta], Backtest]


class MonitorRecorder:
    """Writes audit events about monitors and announces changes in their model's channel."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def announce(self, tx: LedgerTransaction, monitor: Monitor, key_suffix: str, sentence: Sentence) -> str:
        """Post a sentence in the channel of the monitor's model; return the message's ordering key."""
        channel = self._context.policy.channel_for(monitor.model)
        note = channel_message(f"monitor:{monitor.id}:{key_suffix}", channel, sentence)
        tx.add_message(note)
        return note.lane

    def append_audit(
        self,
        tx: LedgerTransaction,
        tag: EventTag,
        caller: Caller,
        monitor: Monitor,
        origin: str,
        *,
        why: str = "",
        **evidence: Any,
    ) -> None:
        """Record in the audit log what `caller` did to a monitor; `evidence` adds keys to the event."""
        tx.add_audit_event(
            Event(
                at=self._context.clock.now(),
                actor=actor_of(caller),
                tag=tag,
                subject=f"{monitor.model} {monitor.name}",
                model=monitor.model,
                why=why,
                origin=origin,
                evidence={
                    "monitor": monitor.id,
                    "revision": monitor.revision,
                    **evidence,
                    "by": describe_caller(caller, self._context.policy),
                },
            )
        )

    def record(  # noqa: PLR0913 - the change, its monitors, who made it, and how it's announced
        self,
        tx: LedgerTransaction,
        tag: EventTag,
        caller: Caller,
        monitors: Sequence[Monitor],
        origin: str,
        sentence: Sentence,
        *,
        key_suffix: str = "",
        ending: IncidentEnding | None = None,
        why: str = "",
        **evidence: Any,
    ) -> Sentence:
        """Save what `caller` changed in one model's monitors, announce it in the model's channel, and audit it.

        If `ending` is given, also resolve the incidents that no other monitor watches. Returns the sentence.
        """
        key_suffix = key_suffix or f"{tag.value.rpartition(':')[2]}:{self._context.new_id()}"
        announced_in = self.announce(tx, monitors[0], key_suffix, sentence)
        for monitor in monitors:
            tx.save_monitor(monitor)
            if ending is not None:
                ended = self._end_incidents(tx, monitor, ending, actor_of(caller), announced_in, origin)
                evidence |= {"incidents": ended, "told_in": announced_in}
            self.append_audit(tx, tag, caller, monitor, origin, why=why, **evidence)
        return sentence

    def _end_incidents(
        self, tx: LedgerTransaction, monitor: Monitor, ending: IncidentEnding, by: Actor, announced_in: str, origin: str
    ) -> list[str]:
        """Resolve the open incidents that no other monitor watches; return their IDs."""
        resolution = IncidentResolution(
            ending=ending,
            sentence=incident_messages.unwatched(ending, monitor.name, by),
            by=by,
            announced_in=announced_in,
        )
        ended = []
        for incident in tx.incidents(model=monitor.model, open_only=True, limit=MAX_INCIDENTS):
            if set(incident.monitors) == {monitor.name} and incident.doing not in ROLLBACK_UNDER_WAY:
                resolved = incident.with_resolution(resolution, self._context.clock.now())
                tx.save_incident(resolved)
                self._post(tx, resolved, "resolved", incident_end_message(resolved, "resolved", resolution.sentence))
                tx.add_audit_event(
                    Event(
                        at=self._context.clock.now(),
                        actor=by,
                        tag=EventTag.INCIDENT_RESOLVED,
                        subject=resolved.id,
                        model=resolved.model,
                        why=str(resolution.sentence),
                        origin=origin,
                        evidence={"ending": ending.value},
                    )
                )
                ended.append(incident.id)
        return ended

    def post_to_thread(self, tx: LedgerTransaction, incident: Incident, key_suffix: str, sentence: Sentence) -> None:
        """Update an incident's message and post to its thread, unless no one was alerted about it."""
        self._post(tx, incident, key_suffix, thread_message(incident.id, key_suffix, sentence))

    def _post(self, tx: LedgerTransaction, incident: Incident, key_suffix: str, reply: OutboxMessage) -> None:
        if incident.doing in {IncidentStatus.LOGGED, IncidentStatus.SILENCED} and tx.message_ref(incident.id) is None:
            return
        tx.add_message(incident_message(incident, key_suffix, self._context.policy.channel_for(incident.model)), reply)


class MonitorArming:
    """Arms monitors for automatic rollbacks, and resets circuit breakers so that rollbacks can resume."""

    def __init__(self, context: Context, run_backtest: BacktestRunner, recorder: MonitorRecorder) -> None:
        self._context = context
        self._run_backtest = run_backtest
        self._recorder = recorder

    def arm(self, caller: Caller, command: MonitorArm, *, origin: str) -> Sentence:
        """Arm a monitor, so that it rolls back automatically, and return the answer.

        The caller can't be the monitor's author. The monitor needs a 24-hour dry run since its last edit, and a
        backtest of the last 7 days must not fire. An admin can override these conditions with a reason. Raises Refused
        (recorded in the audit log if permission is missing), BadInput, UnknownRequest, and whatever the backtest
        raises.
        """
        if command.override and not command.reason:
            raise BadInput('Arming a monitor before its dry run ends needs a reason. Add --reason "…".')
        with self._context.ledger.read() as reader:
            monitor = require_editable(find_monitor(reader, command.model, command.name))
        _check_can_be_armed(monitor)
        evidence: dict[str, Any] = {"untried": command.override}
        if not command.override:
            evidence |= self._require_trial(actor_of(caller), monitor)
        with self._context.ledger.write() as tx:
            if tx.monitor(monitor.id).revision != monitor.revision:
                raise Refused("Someone just changed this monitor. Check the new settings and try again.")
            by, now = actor_of(caller), self._context.clock.now()
            armed = replace(tx.monitor(monitor.id), armed_at=now, armed_by=by)
            sentence = monitor_messages.armed(armed, by, command.reason if command.override else "")
            return self._recorder.record(
                tx, EventTag.MONITOR_ARMED, caller, [armed], origin, sentence, why=command.reason, **evidence
            )

    def _require_trial(self, by: Actor, monitor: Monitor) -> dict[str, Any]:
        """Return the evidence that this person can arm the monitor. Raises Refused if they can't."""
        now = self._context.clock.now()
        if by == monitor.created_by:
            raise Refused(monitor_messages.author_cannot_arm(monitor))
        if now < monitor.created_at + TRIAL_PERIOD:
            raise Refused(monitor_messages.measured_too_briefly(monitor, monitor.created_at + TRIAL_PERIOD))
        with self._context.ledger.read() as reader:
            values = len(reader.series(monitor, since=max(monitor.created_at, now - TRIAL_PERIOD), until=now))
            monitor_state = reader.monitor_state(monitor.id)
        required = max(1, math.floor(MIN_MEASURED_SHARE * (TRIAL_PERIOD / monitor.rule.every)))
        if values < required:
            raise Refused(monitor_messages.measured_too_little(monitor, values, required))
        if monitor_state.state is MonitorStatus.CANT_JUDGE:  # even if a backtest could reach a verdict
            raise Refused(monitor_messages.cannot_arm_unjudged(monitor, monitor_state))
        backtest = self._run_backtest(monitor, BACKTEST_SPAN)
        if backtest.has_failed or not backtest.is_judged:
            raise Refused(monitor_messages.backtest_prevents_arming(monitor, backtest.sentence))
        return {"backtest": backtest.facts}

    def reset(self, caller: Caller, command: MonitorReset, *, origin: str) -> Sentence:
        """Reset a circuit breaker, and return the answer. Raises Refused (recorded in the audit log) and BadInput."""
        if (command.model is None) is not command.everywhere:
            raise BadInput("Name a model, or use --all to reset the circuit breaker that all models share.")
        model, by = command.model or "", actor_of(caller)
        with self._context.ledger.write() as tx:
            if not tx.reset_breaker(model):
                raise BadInput("This circuit breaker isn't tripped, so there's nothing to reset.")
            policy = self._context.policy
            tx.add_audit_event(
                Event(
                    at=self._context.clock.now(),
                    actor=by,
                    tag=EventTag.BREAKER_RESET,
                    subject=model or "all models",
                    model=command.model,
                    origin=origin,
                    evidence={"by": describe_caller(caller, policy)},
                )
            )
            sentence = incident_messages.breaker_reset(model, by)
            tx.add_message(channel_message(f"breaker:{self._context.new_id()}", policy.channel_for(model), sentence))
        return sentence


def _check_can_be_armed(monitor: Monitor) -> None:
    if monitor.rule.action != "auto":
        edit = Code(f"/model monitor edit {monitor.model} {monitor.name} --action auto")
        raise BadInput(
            say(
                "{it} can't be armed with the action {action}. First run {edit}.",
                it=monitor_messages.qualified_name(monitor),
                action=Code(monitor.rule.action),
                edit=edit,
            )
        )
    if monitor.is_armed:
        raise BadInput(say("{it} is already armed.", it=monitor_messages.qualified_name(monitor)))
