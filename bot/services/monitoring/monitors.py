"""What people do to monitors and incidents: in the ledger only, so that it works while MLflow and the sources are away.

What a monitor measures and does by itself is elsewhere: bot/services/monitoring/scheduler.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot.domain.audit.events import Event, Tag
from bot.domain.commands.monitoring import (
    MonitorAdd,
    MonitorArm,
    MonitorEdit,
    MonitorReset,
    MonitorSilence,
    MonitorUnsilence,
)
from bot.domain.core.actors import Actor, Caller, actor_of, shown
from bot.domain.core.errors import AlreadyDecided, BadInput, Refused
from bot.domain.core.sentence import Code, Say, say
from bot.domain.monitoring import incident_messages
from bot.domain.monitoring import messages as monitor_messages
from bot.domain.monitoring.backtest import Backtest
from bot.domain.monitoring.incident import Chart, Doing, End, Ending, Incident
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.state import Standing, State, resumed
from bot.domain.monitoring.views import MonitorRow, MonitorView, chart_of, worst_first
from bot.domain.policy.authorization import Act, standing
from bot.domain.policy.policy import BUILT_IN
from bot.domain.registry.model import Stage
from bot.ports import Writing
from bot.services.core.access import Gatekeeper
from bot.services.core.context import Context
from bot.services.core.outbox_messages import incident_note, said_note, thread_note
from bot.services.monitoring.monitor_lookup import (
    _changeable,
    _check_model,
    _check_source,
    _find,
    _meant,
    _of,
    _only_source,
    _taken,
    _there,
)

BACKTESTED = timedelta(days=7)  # without a firing, before somebody arms a monitor
TRIED_OUT = timedelta(hours=24)  # measured as it is now, before somebody arms it
MEASURED = 0.5  # of the checks of that time, that must have come to a value: a monitor that slept has tried out nothing
RECENT_MOST = 10  # checks that are shown of a monitor
CHART_MOST = 500  # checks that a picture is made of
INCIDENTS_MOST = 100
UNDER_WAY = {Doing.INTENT, Doing.ROLLED_BACK, Doing.NOT_FOLLOWED}  # what ends without its monitor

Replay = Callable[[Monitor, timedelta], Backtest]


class Monitors:
    """Adds, changes, silences and arms monitors, and looks after incidents. Every act asks first whether one may."""

    def __init__(self, context: Context, gatekeeper: Gatekeeper, backtest: Replay) -> None:
        self._it = context
        self._gatekeeper = gatekeeper
        self._replay = backtest

    # -- looking -------------------------------------------------------------------------------------------------------

    def rows(self, model: str | None = None) -> list[MonitorRow]:
        """Return the monitors and how they stand, the worst first. Raises UnknownModel with the nearest one."""
        with self._it.ledger.read() as reading:
            standings, monitors = reading.standings(), reading.monitors(model)
            if model is not None and not monitors:
                _check_model(reading, model)
        return worst_first(MonitorRow(one, standings.get(one.id) or Standing(monitor=one.id)) for one in monitors)

    def find(self, model: str, name: str) -> Monitor:
        """Return a monitor. Raises UnknownRequest with the nearest one, and UnknownModel."""
        with self._it.ledger.read() as reading:
            return _find(reading, model, name)

    def monitor(self, monitor_id: str) -> Monitor:
        """Return the monitor that a button is about. Raises UnknownRequest, also where it was removed."""
        with self._it.ledger.read() as reading:
            return _there(reading.monitor(monitor_id))

    def view(self, monitor_id: str) -> MonitorView:
        """Return all that is told of a monitor. Raises UnknownRequest."""
        with self._it.ledger.read() as reading:
            monitor = _there(reading.monitor(monitor_id))
            incidents = reading.incidents(model=monitor.model, is_open=True)
            tripped = [one for one in reading.breakers() if one.model in {monitor.model, ""}]
            return MonitorView(
                monitor=monitor,
                standing=reading.standing(monitor_id),
                recent=reading.measurements(monitor_id, revision=monitor.measured_from, most=RECENT_MOST),
                incident=next((one for one in incidents if monitor.name in one.monitors), None),
                tripped=tripped[0] if tripped else None,
                now=self._it.clock.now(),
            )

    def chart(self, monitor_id: str) -> Chart:
        """Return the picture of a monitor's last checks. Raises UnknownRequest."""
        with self._it.ledger.read() as reading:
            monitor = _there(reading.monitor(monitor_id))
            return chart_of(
                monitor,
                reading.standing(monitor_id),
                reading.measurements(monitor_id, revision=monitor.measured_from, most=CHART_MOST),
                reading.moves(monitor.model, stage=Stage.PRODUCTION),
            )

    def backtest(self, monitor: Monitor, span: timedelta) -> Backtest:
        """Return what a monitor's rule would have said of the past. Raises what its source raises."""
        return self._replay(monitor, span)

    def incident(self, incident_id: str) -> tuple[Incident, list[Monitor]]:
        """Return an incident, and those of its monitors that are still there. Raises UnknownRequest."""
        with self._it.ledger.read() as reading:
            incident = reading.incident(incident_id)
            return incident, _of(reading, incident)

    def sources(self) -> list[str]:
        """Return the sources that a monitor can name, the policy's first."""
        policy = self._it.policy
        return [*policy.sources, *(name for name in BUILT_IN if name not in policy.sources)]

    def may_check(self, caller: Caller, model: str, *, origin: str) -> None:
        """Return if somebody may have a monitor checked out of turn: each check counts. Raises Refused."""
        self._gatekeeper.admit(caller, Act.CHECK, model=model, origin=origin)

    # -- what it is ----------------------------------------------------------------------------------------------------

    def add(self, caller: Caller, command: MonitorAdd, *, origin: str) -> Say:
        """Let a monitor watch a model from now on, and return the answer.

        Raises Refused (kept in the audit), BadInput and UnknownModel.
        """
        self._gatekeeper.admit(caller, Act.EDIT_MONITOR, model=command.model, origin=origin)
        policy, now, by = self._it.policy, self._it.clock.now(), actor_of(caller)
        rule = command.rule("" if "source" in command.settings else _only_source(policy))
        _check_source(rule, policy)
        monitor = Monitor(id=f"m{self._it.new_id()}", model=command.model, rule=rule, created_at=now, created_by=by)
        first = monitor.first_check(now)
        with self._it.ledger.write() as tx:
            _check_model(tx, command.model)
            if not tx.add_monitor(monitor):
                raise BadInput(_taken(_find(tx, command.model, command.name)))
            tx.save_standing(Standing(monitor=monitor.id, next_at=first))
            self._keep(tx, Tag.MONITOR_ADDED, caller, monitor, origin, after=rule.model_dump(mode="json"))
            self._say(tx, monitor, "added", monitor_messages.added(monitor, by))
        return monitor_messages.added_by_you(monitor, first)

    def edit(self, caller: Caller, command: MonitorEdit, *, origin: str) -> Say:
        """Change a monitor, and return the answer. It counts anew, and has to be armed again.

        Raises Refused (kept in the audit), BadInput and UnknownRequest.
        """
        self._gatekeeper.admit(caller, Act.EDIT_MONITOR, model=command.model, origin=origin)
        now, by = self._it.clock.now(), actor_of(caller)
        with self._it.ledger.write() as tx:
            before = _changeable(_find(tx, command.model, command.name))
            rule = command.applied(before.rule)
            _check_source(rule, self._it.policy)
            if rule == before.rule:
                raise BadInput(say("{it} is like that already.", it=monitor_messages.which(before)))
            # Who changed it last wrote what it is now, and since when: that is what arming asks about.
            after = replace(before.changed(rule), created_by=by, created_at=now, armed_at=None, armed_by=None)
            tx.save_monitor(after)
            tx.save_standing(replace(tx.standing(after.id), next_at=after.first_check(now)))
            said = monitor_messages.edited(after, by, was_armed=before.armed_at is not None)
            told_in = self._say(tx, after, f"edited:{after.revision}", said)
            ended = self._end_incidents(tx, after, Ending.EDITED, by, told_in, origin)
            self._keep(
                tx,
                Tag.MONITOR_EDITED,
                caller,
                after,
                origin,
                before=before.rule.model_dump(mode="json"),
                after=rule.model_dump(mode="json"),
                incidents=ended,
                told_in=told_in,
            )
        return said

    def remove(self, caller: Caller, model: str, name: str, *, origin: str) -> Say:
        """Take a monitor away, and return the answer. Raises Refused (kept in the audit) and UnknownRequest."""
        self._gatekeeper.admit(caller, Act.EDIT_MONITOR, model=model, origin=origin)
        by = actor_of(caller)
        with self._it.ledger.write() as tx:
            monitor = replace(_changeable(_find(tx, model, name)), removed_at=self._it.clock.now())
            tx.save_monitor(monitor)
            told_in = self._say(tx, monitor, "removed", monitor_messages.removed(monitor, by))
            ended = self._end_incidents(tx, monitor, Ending.REMOVED, by, told_in, origin)
            self._keep(tx, Tag.MONITOR_REMOVED, caller, monitor, origin, incidents=ended, told_in=told_in)
        return monitor_messages.removed(monitor, by)

    # -- whether it checks, posts and acts -----------------------------------------------------------------------------

    def pause(self, caller: Caller, model: str, name: str, *, origin: str) -> Say:
        """Stop a monitor's checks, and return the answer. Raises Refused (kept in the audit) and UnknownRequest."""
        self._gatekeeper.admit(caller, Act.PAUSE, model=model, origin=origin)
        by = actor_of(caller)
        with self._it.ledger.write() as tx:
            monitor = _find(tx, model, name)
            if monitor.is_paused:
                raise BadInput(say("{it} is paused already.", it=monitor_messages.which(monitor)))
            monitor = replace(monitor, is_paused=True)
            tx.save_monitor(monitor)
            told_in = self._say(tx, monitor, f"paused:{self._it.new_id()}", monitor_messages.paused(monitor, by))
            ended = self._end_incidents(tx, monitor, Ending.PAUSED, by, told_in, origin)
            self._keep(tx, Tag.MONITOR_PAUSED, caller, monitor, origin, incidents=ended, told_in=told_in)
        return monitor_messages.paused(monitor, by)

    def resume(self, caller: Caller, model: str, name: str, *, origin: str) -> Say:
        """Let a monitor be checked again, and return the answer. Raises like `pause`."""
        self._gatekeeper.admit(caller, Act.PAUSE, model=model, origin=origin)
        by = actor_of(caller)
        with self._it.ledger.write() as tx:
            monitor = _find(tx, model, name)
            if not monitor.is_paused:
                raise BadInput(say("{it} is not paused.", it=monitor_messages.which(monitor)))
            monitor = replace(monitor, is_paused=False)
            tx.save_monitor(monitor)
            tx.save_standing(resumed(tx.standing(monitor.id), monitor, self._it.clock.now()))
            self._keep(tx, Tag.MONITOR_RESUMED, caller, monitor, origin)
            self._say(tx, monitor, f"resumed:{self._it.new_id()}", monitor_messages.resumed(monitor, by))
        return monitor_messages.resumed(monitor, by)

    def silence(self, caller: Caller, command: MonitorSilence, *, origin: str) -> Say:
        """Hold back what monitors post and do, and return the answer. Raises like `pause`, and BadInput."""
        self._gatekeeper.admit(caller, Act.SILENCE, model=command.model, origin=origin)
        with self._it.ledger.write() as tx:
            meant = _meant(tx, command.model, command.name, everyone=command.every_one)
            return self._silence(tx, caller, meant, command.span, command.reason, origin)

    def silence_incident(self, caller: Caller, incident_id: str, span: timedelta, *, origin: str) -> Say:
        """Silence every monitor of an incident, and return the answer. Raises like `pause`."""
        incident, monitors = self.incident(incident_id)
        if not monitors:
            raise BadInput("Its monitors are gone, so there is nothing to silence.")
        for model in sorted({one.model for one in monitors}):
            self._gatekeeper.admit(caller, Act.SILENCE, model=model, origin=origin)
        by, until = actor_of(caller), self._it.clock.now() + span
        with self._it.ledger.write() as tx:
            reason = f"incident {incident.id} is looked at"
            said = self._silence(tx, caller, _of(tx, incident), span, reason, origin)
            news = incident_messages.silenced(by, until)
            self._tell_thread(tx, incident, f"silenced:{self._it.new_id()}", news)
        return said

    def unsilence(self, caller: Caller, command: MonitorUnsilence, *, origin: str) -> Say:
        """Let monitors post and act again, and return the answer. Raises like `pause`, and BadInput."""
        self._gatekeeper.admit(caller, Act.SILENCE, model=command.model, origin=origin)
        by, now = actor_of(caller), self._it.clock.now()
        with self._it.ledger.write() as tx:
            meant = _meant(tx, command.model, command.name, everyone=command.every_one)
            silent = [one for one in meant if one.is_silenced(now)]
            if not silent:
                raise BadInput("Nothing of that is silenced.")
            for one in silent:
                loud = replace(
                    one, silenced_until=now, silenced_by=None, silence_reason=""
                )  # what was held back is told
                tx.save_monitor(loud)
                self._keep(tx, Tag.MONITOR_UNSILENCED, caller, loud, origin)
            said = monitor_messages.unsilenced(silent, by)
            self._say(tx, silent[0], f"unsilenced:{self._it.new_id()}", said)
        return said

    def _silence(
        self, tx: Writing, caller: Caller, monitors: Sequence[Monitor], span: timedelta, reason: str, origin: str
    ) -> Say:
        by, until = actor_of(caller), self._it.clock.now() + span
        for one in monitors:
            silent = replace(one, silenced_until=until, silenced_by=by, silence_reason=reason)
            tx.save_monitor(silent)
            self._keep(tx, Tag.MONITOR_SILENCED, caller, silent, origin, why=reason, until=until.isoformat())
        said = monitor_messages.silenced(list(monitors), by, until, reason)
        self._say(tx, monitors[0], f"silenced:{self._it.new_id()}", said)
        return said

    # -- acting by itself ----------------------------------------------------------------------------------------------

    def arm(self, caller: Caller, command: MonitorArm, *, origin: str) -> Say:
        """Let a monitor roll back by itself, and return the answer.

        It must be another person's, have measured for 24 hours as it is now, and not fire in a backtest of 7 days; an
        admin may pass over all that with a reason. Raises Refused (kept in the audit where the rules say so), BadInput,
        UnknownRequest, and what the backtest raises.
        """
        if command.override and not command.reason:
            raise BadInput("To arm what has not tried itself out needs a reason: --reason, in quotes.")
        act = Act.ARM_UNTRIED if command.override else Act.ARM
        self._gatekeeper.admit(caller, act, model=command.model, origin=origin)
        monitor = _changeable(self.find(command.model, command.name))
        _check_can_be_armed(monitor)
        evidence: dict[str, Any] = {"untried": command.override}
        if not command.override:
            evidence |= self._tried_out(actor_of(caller), monitor)
        with self._it.ledger.write() as tx:
            if tx.monitor(monitor.id).revision != monitor.revision:
                raise Refused("Somebody changed it meanwhile; look at it again.")
            by, now = actor_of(caller), self._it.clock.now()
            armed = replace(tx.monitor(monitor.id), armed_at=now, armed_by=by)
            tx.save_monitor(armed)
            self._keep(tx, Tag.MONITOR_ARMED, caller, armed, origin, why=command.reason, **evidence)
            said = monitor_messages.armed(armed, by, command.reason if command.override else "")
            self._say(tx, armed, f"armed:{armed.revision}:{self._it.new_id()}", said)
        return said

    def _tried_out(self, by: Actor, monitor: Monitor) -> dict[str, Any]:
        """Return what speaks for arming it. Raises Refused."""
        now = self._it.clock.now()
        if by == monitor.created_by:
            raise Refused(monitor_messages.not_armed_by_its_author(monitor))
        if now < monitor.created_at + TRIED_OUT:
            raise Refused(monitor_messages.too_young(monitor, monitor.created_at + TRIED_OUT))
        with self._it.ledger.read() as reading:
            values = len(reading.series(monitor, since=max(monitor.created_at, now - TRIED_OUT), until=now))
            stands = reading.standing(monitor.id)
        wanted = max(1, math.floor(MEASURED * (TRIED_OUT / monitor.rule.every)))
        if values < wanted:
            raise Refused(monitor_messages.not_measured(monitor, values, wanted))
        if stands.state is State.CANT_JUDGE:  # whatever its source's history would have let it judge
            raise Refused(monitor_messages.not_armed_blind(monitor, stands))
        found = self._replay(monitor, BACKTESTED)
        if found.has_failed or not found.is_judged:
            raise Refused(monitor_messages.backtest_forbids(monitor, found.sentence))
        return {
            "backtest": {
                "since": found.since.isoformat(),
                "until": found.until.isoformat(),
                "values": len(found.points),
                "hours": found.hours,
                "hours_judged": found.hours_judged,
            }
        }

    def reset(self, caller: Caller, command: MonitorReset, *, origin: str) -> Say:
        """Let automatic rollbacks go on, and return the answer. Raises Refused (kept in the audit) and BadInput."""
        if (command.model is None) is not command.everywhere:
            raise BadInput("Name one model, or write monitor reset --all for the breaker of all models together.")
        model, by = command.model or "", actor_of(caller)
        self._gatekeeper.admit(caller, Act.RESET_BREAKER, model=command.model, origin=origin)
        with self._it.ledger.write() as tx:
            if not tx.reset_breaker(model):
                raise BadInput("Automatic rollbacks have not stopped; nothing was changed.")
            policy = self._it.policy
            tx.append(
                Event(
                    at=self._it.clock.now(),
                    actor=by,
                    tag=Tag.BREAKER_RESET,
                    subject=model or "all models",
                    model=command.model,
                    origin=origin,
                    evidence={"by": standing(caller, policy)},
                )
            )
            said = incident_messages.breaker_reset(model, by)
            tx.add_note(said_note(f"breaker:{self._it.new_id()}", self._channel(model), said))
        return said

    # -- incidents -----------------------------------------------------------------------------------------------------

    def acknowledge(self, caller: Caller, incident_id: str, *, origin: str) -> Say:
        """Write down that somebody looks after an incident, and return the answer.

        Raises Refused (kept in the audit), AlreadyDecided and UnknownRequest.
        """
        with self._it.ledger.read() as reading:
            model = reading.incident(incident_id).model
        self._gatekeeper.admit(caller, Act.ACKNOWLEDGE, model=model or None, origin=origin)
        now, by = self._it.clock.now(), actor_of(caller)
        with self._it.ledger.write() as tx:
            incident = tx.incident(incident_id)
            if not incident.is_open:
                raise AlreadyDecided("It is over already; nobody has to look after it.")
            if incident.acknowledged_by is not None:
                raise AlreadyDecided(say("{who} looks after it already.", who=shown(incident.acknowledged_by)))
            incident = replace(incident, acknowledged_by=by, acknowledged_at=now)
            tx.save_incident(incident)
            tx.append(
                Event(
                    at=now,
                    actor=by,
                    tag=Tag.INCIDENT_ACKNOWLEDGED,
                    subject=incident.id,
                    model=incident.model or None,
                    origin=origin,
                    evidence={"by": standing(caller, self._it.policy)},
                )
            )
            self._tell_thread(tx, incident, "acknowledged", incident_messages.acknowledged(incident))
        return monitor_messages.acknowledged_by_you()

    def _end_incidents(
        self, tx: Writing, monitor: Monitor, ending: Ending, by: Actor, told_in: str, origin: str
    ) -> list[str]:
        """End the open incidents that nobody would watch any more; return their ids."""
        end = End(ending=ending, how=incident_messages.unwatched(ending, monitor.name, by), by=by, told_in=told_in)
        ended = []
        for incident in tx.incidents(model=monitor.model, is_open=True, most=INCIDENTS_MOST):
            if set(incident.monitors) == {monitor.name} and incident.doing not in UNDER_WAY:
                over = incident.ended(end, self._it.clock.now())
                tx.save_incident(over)
                self._tell_thread(tx, over, "resolved", incident_messages.resolved(over))
                tx.append(
                    Event(
                        at=self._it.clock.now(),
                        actor=by,
                        tag=Tag.INCIDENT_RESOLVED,
                        subject=over.id,
                        model=over.model,
                        why=str(end.how),
                        origin=origin,
                        evidence={"ending": ending.value},
                    )
                )
                ended.append(incident.id)
        return ended

    def _tell_thread(self, tx: Writing, incident: Incident, because: str, news: Say) -> None:
        """Draw an incident's message anew and tell its thread; of one that nobody was alerted of, nothing is told."""
        if incident.doing in {Doing.LOGGED, Doing.SILENCED} and tx.posting(incident.id) is None:
            return
        tx.add_note(incident_note(incident, because, self._channel(incident.model)))
        tx.add_note(thread_note(incident.id, because, news))

    # -- what goes with each -------------------------------------------------------------------------------------------

    def _channel(self, model: str) -> str:
        return self._it.policy.channel_for(model) if model else self._it.policy.channel

    def _say(self, tx: Writing, monitor: Monitor, what: str, sentence: Say) -> str:
        """Let the channel hear it; return the lane of that message."""
        note = said_note(f"monitor:{monitor.id}:{what}", self._channel(monitor.model), sentence)
        tx.add_note(note)
        return note.lane

    def _keep(
        self, tx: Writing, tag: Tag, caller: Caller, monitor: Monitor, origin: str, *, why: str = "", **evidence: Any
    ) -> None:
        tx.append(
            Event(
                at=self._it.clock.now(),
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
                    "by": standing(caller, self._it.policy),
                },
            )
        )


# -- what is meant, and whether it can be ------------------------------------------------------------------------------


def _check_can_be_armed(monitor: Monitor) -> None:
    if monitor.rule.action != "auto":
        edit = Code(f"/model monitor edit {monitor.model} {monitor.name} --action auto")
        raise BadInput(
            say(
                "{it} has the action {action}; only auto is armed. First: {edit}",
                it=monitor_messages.which(monitor),
                action=Code(monitor.rule.action),
                edit=edit,
            )
        )
    if monitor.is_armed:
        raise BadInput(say("{it} is armed already.", it=monitor_messages.which(monitor)))
