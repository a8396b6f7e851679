"""What follows from a check: incidents are opened, joined, told and ended; a rollback is written down, or why not."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.domain.audit.events import Event, Link, Tag
from bot.domain.core.actors import WATCH, Automation, actor_id
from bot.domain.core.sentence import Say, joined, say, short
from bot.domain.monitoring import incident_messages as words
from bot.domain.monitoring.incident import (
    COMMON_COUNT,
    ONE_DAY,
    REPEATED_EVERY,
    UPDATED_EVERY,
    Decided,
    Doing,
    End,
    Ending,
    Incident,
    IncidentKind,
    Situation,
    Tripped,
    decide,
    is_common_cause,
)
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import Outcome
from bot.domain.monitoring.state import BLIND, Standing, State, Term
from bot.domain.monitoring.views import of_incident
from bot.domain.policy.freezes import frozen
from bot.domain.registry.model import TARGETS, Stage
from bot.domain.rollbacks.messages import cannot_be_told
from bot.domain.rollbacks.rollback import Served, automatic_id, last_good, rolling_back, stretches, targets
from bot.domain.transitions import restore_messages
from bot.domain.transitions.serving_check import ServingState
from bot.domain.transitions.transition import Move, MoveKind, MoveState
from bot.ports import Reading as Ledger
from bot.ports import Writing
from bot.services.core.context import Context
from bot.services.core.outbox_messages import chart_note, charted_note, incident_note, lane_of, said_note, thread_note
from bot.services.monitoring.checks import Checked
from bot.services.rollbacks.rollbacks import MOVES, Rollbacks
from bot.services.transitions import rollback_records
from bot.services.transitions.loadability import Fitness, Looked, WayBack

log = logging.getLogger(__name__)

LINES_MOST = 8  # of an incident
RECENT = 50  # incidents or events of a model that are looked through for the one that matters
RESETS_MOST = 100  # of breakers in a day, that are looked at
# What may become more by itself while the monitor goes on failing: what held it back may be over.
HELD_BACK = {Doing.SILENCED, Doing.FROZEN, Doing.COOLDOWN, Doing.HELD, Doing.TRIPPED, Doing.NOTIFIED}
SAMPLE = 50  # of a source's monitors, checked together: they speak for very many others
# What ends in a rollback, by itself or by a button: not to a version that may not load.
ASKS_OR_ACTS = {Doing.INTENT, Doing.AWAITING_HUMAN, Doing.COOLDOWN, Doing.FROZEN, Doing.TRIPPED}
FAILING = {State.FAILED, State.PENDING}


@dataclass(slots=True)
class _Doubted:
    """Sources of which many monitors fail together, and of which many say nothing together."""

    failing: set[str] = field(default_factory=set)
    blind: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Written:
    """What the transaction has led to: whether there is something to tell, and whose moves are to be made."""

    tells: bool = False
    models: set[str] = field(default_factory=set)


class Incidents:
    """Opens incidents and ends them. All but `prepare` and `tend` happens in the transaction of the checks."""

    def __init__(self, context: Context, rollbacks: Rollbacks, fitness: Fitness) -> None:
        self._it = context
        self._fitness = fitness
        self._rollbacks = rollbacks

    def prepare(self, checked: Sequence[Checked]) -> Looked:
        """Look whether the versions may load that could be gone back to: nothing waits for the registry later."""
        return self._fitness.look([one for one in map(self._way_back, checked) if one is not None])

    def _way_back(self, one: Checked) -> WayBack | None:
        """Return what a failing monitor may go back to, by itself or by a button."""
        is_failing = one.verdict.standing.state in FAILING and one.monitor.acts not in {"dry_run", "notify"}
        if one.term is None or not is_failing:
            return None
        with self._it.ledger.read() as reading:
            served = self._rollbacks.served(reading, one.monitor.model)
            target = self._target(reading, one.monitor, served, one.at)
        return None if target is None else WayBack(one.monitor.model, target, one.term.version)

    def record(self, tx: Writing, written: Sequence[Checked], looked: Looked) -> tuple[bool, set[str]]:
        """Write down what follows; return whether there is something to tell, and whose moves are to be made."""
        done = _Written()
        news = [one for one in written if one.term and _is_news(one)]
        if news:
            tx.lock("incidents")  # two of one model that fail at the same time have one incident
        doubted = self._common_causes(tx, news, written)
        for one in filter(None, (_as_it_is_now(tx, one) for one in news)):
            assert one.term is not None
            if one.sees_again:
                self._over(tx, one, IncidentKind.BLIND, done)
            if one.has_failed:
                self._failed(tx, one, one.term, one.monitor.rule.source in doubted.failing, looked, done)
            else:
                self._changed(tx, one, one.term, one.monitor.rule.source in doubted.blind, done)
        return done.tells, done.models

    # -- failing -----------------------------------------------------------------------------------------------

    def _failed(self, tx: Writing, one: Checked, term: Term, is_common: bool, looked: Looked, done: _Written) -> None:
        incident = self._open_one(tx, one, term, done)
        is_new = one.verdict.has_failed
        joins = incident is not None and one.monitor.name not in incident.monitors
        if not (is_new or joins or incident is None or incident.doing in HELD_BACK or _waits_no_more(incident, one)):
            self._update(tx, incident, one, done)
            return
        situation = self._situation(tx, one, term, is_common)
        decided = decide(situation)
        decided = _if_it_loads(decided, looked, (one.monitor.model, situation.target or 0))
        if is_new:
            tx.append(_event(Tag.MONITOR_FAILED, one, term, decided))
        if decided.doing in {Doing.LOGGED, Doing.SILENCED}:
            return
        if is_common:
            self._of_source(tx, one, IncidentKind.SOURCE, one.verdict.standing.since or one.at, done)
            return
        self._alert(tx, incident, one, term, situation, decided, done)

    def _open_one(self, tx: Writing, one: Checked, term: Term, done: _Written) -> Incident | None:
        """Return the open incident of the model's term; one of an earlier term is over."""
        incident = _find(tx, one.monitor.model, "", IncidentKind.FAILED)
        if incident is None or incident.move == term.move:
            return incident
        self._resolve(tx, incident, self._moved_on(tx, incident), one.at, done)
        return None

    def _situation(self, tx: Writing, one: Checked, term: Term, is_common: bool) -> Situation:
        model, now = one.monitor.model, one.at
        moves = tx.moves(model, stage=Stage.PRODUCTION, most=MOVES)
        served = stretches(moves)
        day = [move for move in tx.rollbacks(now - ONE_DAY) if isinstance(move.actor, Automation) and _counts(move)]
        reset = tx.latest(tags=(Tag.BREAKER_RESET,), since=now - ONE_DAY, most=RESETS_MOST)
        day = [move for move in day if not _is_forgiven(move, reset)]
        back = [move.finished_at for move in moves if move.kind is MoveKind.ROLLBACK and move.state is MoveState.DONE]
        request = next(filter(None, (tx.open_request(model, stage) for stage in TARGETS)), None)
        tripped = [one for one in tx.breakers() if one.model in {"", model}]
        target, nearest = self._target(tx, one.monitor, served, now), self._nearest(tx, model, served)
        return Situation(
            monitor=one.monitor,
            model=model,
            version=term.version,
            move=term.move,
            now=now,
            now_serving=served[0].began.id if served and served[0].until is None else None,
            rolled_back_at=next((at for at in back if at), None),
            auto_of_model=sum(move.model == model for move in day),
            auto_of_all=len(day),
            auto_most=self._it.policy.max_auto,
            tripped=tripped[0] if tripped else None,
            frozen=frozen(model, tx.freezes(), self._it.policy, now),
            open_request=request.id if request else None,
            held=restore_messages.stops_automation() if tx.hold() else None,
            target=target,
            passed_over=nearest if nearest != target else None,
            is_common=is_common,
        )

    def _target(self, reading: Ledger, monitor: Monitor, served: Sequence[Served], now: datetime) -> int | None:
        barred = {bar.version for bar in reading.bars(monitor.model)}
        return last_good(served, barred, now, monitor.rule.min_served, reading.look(monitor.model))

    def _nearest(self, reading: Ledger, model: str, served: Sequence[Served]) -> int | None:
        """Return the version before, however long it served."""
        barred = {bar.version for bar in reading.bars(model)}
        return next(iter(targets(served, barred, reading.look(model))), None)

    def _alert(
        self,
        tx: Writing,
        incident: Incident | None,
        one: Checked,
        term: Term,
        situation: Situation,
        decided: Decided,
        done: _Written,
    ) -> None:
        """Open the incident or go on with it, and do what was decided."""
        line = words.line(one.monitor, one.verdict.why)
        before = incident
        if incident is None:
            incident = Incident(
                id=self._it.new_id(),
                kind=IncidentKind.FAILED,
                model=one.monitor.model,
                source="",
                version=term.version,
                move=term.move,
                monitors=(one.monitor.name,),
                opened_at=one.at,
                since=one.verdict.standing.since or one.at,
                lines=(line,),
                doing=decided.doing,
                why=decided.why,
                target=situation.target,
                told_at=one.at,
            )
            tx.add_incident(incident)
            tx.add_note(incident_note(incident, "opened", self._channel(incident)))
            tx.add_note(thread_note(incident.id, "opened", words.opened(incident)))
            tx.add_note(chart_note(incident))
            tx.add_note(charted_note(incident))
            if situation.passed_over is not None:
                least = words.passed_over(situation.passed_over, one.monitor.rule.min_served)
                tx.add_note(thread_note(incident.id, "passed-over", least))
            done.tells = True
        elif one.monitor.name not in incident.monitors:
            incident = replace(
                incident, monitors=(*incident.monitors, one.monitor.name), lines=(*incident.lines, line)[:LINES_MOST]
            )
            tx.add_note(thread_note(incident.id, f"joined:{one.monitor.id}", words.joined_by(line)))
        if before is not None and not _is_more(decided, before):
            if incident != before:
                self._save(tx, incident, f"joined:{one.monitor.id}:{one.due.slot}", done)
            else:
                self._update(tx, incident, one, done)
            return
        incident = replace(incident, doing=decided.doing, why=decided.why, target=situation.target)
        if decided.trips:
            self._trip(tx, one, decided.trips, situation)
        if decided.doing is Doing.INTENT:
            incident = self._begin(tx, incident, term, one, done)
            if before is not None and _says_the_same(incident, before):
                if incident != before:
                    self._save(tx, incident, f"joined:{one.monitor.id}:{one.due.slot}", done)
                return
        self._save(tx, incident, f"{incident.doing.value}:{one.due.slot}:{one.monitor.id}", done)
        tx.add_note(thread_note(incident.id, f"did:{one.monitor.id}:{one.due.slot}", words.acted(incident)))

    def _begin(self, tx: Writing, incident: Incident, term: Term, one: Checked, done: _Written) -> Incident:
        """Write the rollback down; where the term had one before, which came to nothing, a person has to look."""
        assert incident.target is not None
        reason = short("; ".join(str(line) for line in incident.lines), 500)
        move = rolling_back(
            automatic_id(incident.model, term.move),
            incident.model,
            target=incident.target,
            incumbent=term.version,
            actor=WATCH,
            now=one.at,
            reason=reason,
            identity=rollback_records.served_as(tx, incident.model, incident.target),
        )
        if not rollback_records.begin(tx, self._it, replace(move, incident=incident.id)):
            why = say("A rollback was tried already for v{v}, and came to nothing.", v=term.version)
            return replace(incident, doing=Doing.HELD, why=why)
        done.models.add(incident.model)
        return replace(incident, rollback=move.id)

    def _update(self, tx: Writing, incident: Incident, one: Checked, done: _Written) -> None:
        """Let the message have the latest figures, now and then."""
        if incident.told_at is not None and one.at - incident.told_at < UPDATED_EVERY:
            return
        at = incident.monitors.index(one.monitor.name)
        if at >= len(incident.lines):
            return
        lines = [*incident.lines]
        lines[at] = words.line(one.monitor, one.verdict.why)
        self._save(
            tx, replace(incident, lines=tuple(lines), told_at=one.at), f"figures:{one.due.slot}:{one.monitor.id}", done
        )

    def _trip(self, tx: Writing, one: Checked, why: Say, situation: Situation) -> None:
        whole = situation.auto_of_model < one.monitor.rule.max_auto
        breaker = Tripped(model="" if whole else situation.model, at=one.at, why=why)
        if not tx.trip(breaker):
            return
        channel = self._it.policy.channel if whole else self._it.policy.channel_for(situation.model)
        tx.add_note(said_note(f"tripped:{breaker.model}:{one.at.isoformat()}", channel, words.tripped(breaker)))
        tx.append(
            Event(
                at=one.at,
                actor=WATCH,
                tag=Tag.BREAKER_TRIPPED,
                subject=breaker.model or "all",
                model=breaker.model or None,
                why=str(why),
                origin="job",
            )
        )

    # -- a source in doubt -------------------------------------------------------------------------------------

    def _common_causes(self, tx: Writing, news: Sequence[Checked], written: Sequence[Checked]) -> _Doubted:
        """Return the sources of which so many monitors fail, or say nothing, that it is the source's own fault."""
        loud = [one for one in news if one.monitor.acts != "dry_run" and (one.has_failed or one.goes_blind)]
        loud = [one for one in loud if not _never_judged(one.monitor, one.verdict.standing)]
        sources = {one.monitor.rule.source for one in loud}
        if not sources:
            return _Doubted()
        standings = tx.standings()
        there = [one for one in tx.monitors() if one.rule.source in sources and not one.is_paused]
        doubted = _Doubted()
        for source in sources:
            mine = [(one, standings[one.id]) for one in there if one.rule.source == source and one.id in standings]
            watching = [
                (one.model, standing)
                for one, standing in mine
                if standing.state is not State.DISABLED and not _never_judged(one, standing)
            ]
            sample = [one.verdict.standing for one in written if one.monitor.rule.source == source]
            if _fail_together([one for _, one in watching]) or (len(sample) >= SAMPLE and _fail_together(sample)):
                doubted.failing.add(source)
            since = min((at for one in loud if one.monitor.rule.source == source for at in _gaps(one)), default=None)
            blind = [model for model, one in watching if one.is_blind or _missed(one, since)]
            # Of one model alone it is one alert anyway, and that one is its team's.
            if is_common_cause(len(blind), len(watching)) and len(set(blind)) >= COMMON_COUNT:
                doubted.blind.add(source)
        return doubted

    def _of_source(self, tx: Writing, one: Checked, kind: IncidentKind, since: datetime, done: _Written) -> None:
        """Open the incident of a check's source, or let it be one of its monitors."""
        source, line = one.monitor.rule.source, words.source_line(one.monitor, _line_of(one))
        incident = _find(tx, "", source, kind)
        name = _in_source(one.monitor)
        if incident is None:
            incident = Incident(
                id=self._it.new_id(),
                kind=kind,
                model="",
                source=source,
                version=None,
                move=None,
                monitors=(name,),
                opened_at=one.at,
                since=since,
                lines=(line,),
                doing=Doing.HELD,
                told_at=one.at,
            )
            tx.add_incident(incident)
            tx.add_note(incident_note(incident, "opened", self._channel(incident)))
            tx.add_note(thread_note(incident.id, "opened", words.opened(incident)))
            done.tells = True
        elif kind is IncidentKind.BLIND or name not in incident.monitors:
            self._tell_of(tx, incident, name, line, one, done)

    def _tell_of(self, tx: Writing, incident: Incident, name: str, line: Say, one: Checked, done: _Written) -> None:
        """Let an open incident tell of one more monitor, or of another reason for one that it tells of."""
        told = incident.telling(name, line, LINES_MOST)
        if told != incident:
            self._save(tx, told, f"joined:{one.monitor.id}:{one.due.slot}", done)

    # -- other changes -----------------------------------------------------------------------------------------

    def _changed(self, tx: Writing, one: Checked, term: Term, is_common: bool, done: _Written) -> None:
        before = one.verdict.before
        if one.goes_blind:
            self._blind(tx, one, term, is_common, done)
            return
        if before is State.FAILED:
            self._over(tx, one, IncidentKind.FAILED, done)
        if before is State.FAILED or (one.sees_again and one.verdict.outcome is Outcome.OK):
            tx.append(_event(Tag.MONITOR_WELL, one, term, None))
        if one.verdict.standing.state is State.OK:
            self._recovered_since(tx, one, term, done)

    def _blind(self, tx: Writing, one: Checked, term: Term, is_common: bool, done: _Written) -> None:
        tx.append(_event(Tag.MONITOR_BLIND, one, term, None))
        is_quiet = one.monitor.acts == "dry_run" or _never_judged(one.monitor, one.verdict.standing)
        if is_quiet or one.monitor.is_silenced(one.at):
            return
        incident = _find(tx, one.monitor.model, "", IncidentKind.BLIND)
        of_source = _find(tx, "", one.monitor.rule.source, IncidentKind.BLIND)
        # Each is told of in one alert, and stays there also when others of its source come or go.
        is_mine = incident is not None and one.monitor.name in incident.monitors
        is_theirs = of_source is not None and _in_source(one.monitor) in of_source.monitors
        if is_theirs or (is_common and not is_mine):
            self._of_source(tx, one, IncidentKind.BLIND, one.at, done)
            return
        line = words.line(one.monitor, _line_of(one))
        if incident is None:
            incident = Incident(
                id=self._it.new_id(),
                kind=IncidentKind.BLIND,
                model=one.monitor.model,
                source="",
                version=term.version,
                move=term.move,
                monitors=(one.monitor.name,),
                opened_at=one.at,
                since=one.at,
                lines=(line,),
                doing=Doing.NOTIFIED,
                told_at=one.at,
            )
            tx.add_incident(incident)
            tx.add_note(incident_note(incident, "opened", self._channel(incident)))
            tx.add_note(thread_note(incident.id, "opened", words.opened(incident)))
            done.tells = True
        else:
            self._tell_of(tx, incident, one.monitor.name, line, one, done)

    def _over(self, tx: Writing, one: Checked, kind: IncidentKind, done: _Written) -> None:
        """End the incident where none of its monitors stands as it did."""
        of_source = _find(tx, "", one.monitor.rule.source, kind) if kind is IncidentKind.BLIND else None
        for incident in filter(None, (_find(tx, one.monitor.model, "", kind), of_source)):
            if self._still(tx, incident, kind):
                continue
            if kind is IncidentKind.BLIND:
                how = words.sees_again(incident.since, one.at)
            else:
                how = words.recovered(incident.version, incident.since, one.at)
            self._resolve(tx, incident, End(ending=Ending.RECOVERED, how=how), one.at, done)

    def _recovered_since(self, tx: Writing, one: Checked, term: Term, done: _Written) -> None:
        """Say of the incident whose rollback began this term that the restored version has passed its checks."""
        recent = tx.incidents(model=one.monitor.model, most=RECENT)
        mine = [each for each in recent if each.rollback == term.move and each.ending is Ending.RESTORED]
        for incident in mine:
            watching = _watching(tx, incident)
            if watching and all(_is_well(tx.standing(each.id)) for each in watching):
                since = incident.resolved_at or one.at
                end = End(ending=Ending.RECOVERED, how=words.recovered_since(term.version, since, one.at))
                self._save(tx, replace(incident, ending=end.ending, resolution=end.how), "recovered", done)
                tx.add_note(thread_note(incident.id, "recovered", end.how))
                tx.append(_resolved(incident, end, one.at))

    def _still(self, reading: Ledger, incident: Incident, kind: IncidentKind) -> bool:
        bad = {State.FAILED} if kind is IncidentKind.FAILED else BLIND
        return any(reading.standing(one.id).state in bad for one in _watching(reading, incident))

    # -- what time brings --------------------------------------------------------------------------------------

    def tend(self) -> bool:
        """End what is over, and remind of what nobody looks after; tell whether there is something to tell."""
        now, done = self._it.clock.now(), _Written()
        with self._it.ledger.read() as reading:
            still_open = reading.incidents(is_open=True, most=1000)
            work = [one for one in still_open if self._how_it_ended(reading, one, now) or _is_due(reading, one, now)]
        if not work:
            return False
        with self._it.ledger.write() as tx:
            tx.lock("incidents")
            for one in work:
                incident = tx.incident(one.id)
                if not incident.is_open:
                    continue
                how = self._how_it_ended(tx, incident, now)
                if how is not None:
                    self._resolve(tx, incident, how, now, done)
                elif _is_due(tx, incident, now):
                    told = replace(incident, repeated_at=now)
                    tx.add_note(thread_note(told.id, f"repeated:{now.isoformat()}", words.repeated(incident, now)))
                    self._save(tx, told, f"repeated:{now.isoformat()}", done)
        return done.tells

    def _how_it_ended(self, reading: Ledger, incident: Incident, now: datetime) -> End | None:
        """Return how an open incident has ended; None where it goes on."""
        if incident.is_of_source:
            return self._source_ended(reading, incident, now)
        served = self._rollbacks.served(reading, incident.model)
        serves = served[0] if served and served[0].until is None else None
        if incident.doing is Doing.ROLLED_BACK:
            if incident.rollback and _is_asked(reading, incident.rollback):
                return None
            if serves and serves.began.id == incident.rollback:
                by = None if isinstance(serves.began.actor, Automation) else serves.began.actor
                if _is_denied(reading, incident.rollback):
                    return End(ending=Ending.NOT_CONFIRMED, how=words.not_followed(serves.version), by=by)
                how = words.restored(serves.version, serves.since, incident.version, by)
                return End(ending=Ending.RESTORED, how=how, by=by)
        if serves is None or serves.began.id != incident.move:
            return None if incident.doing is Doing.INTENT else self._moved_on(reading, incident)
        mine = _watching(reading, incident)
        if not mine:
            return _nobody_watches(reading, incident)
        if incident.kind is IncidentKind.FAILED and all(_is_well(reading.standing(one.id)) for one in mine):
            how = words.recovered(incident.version, incident.since, now)  # by a rule that was changed meanwhile
            return End(ending=Ending.RECOVERED, how=how)
        return None

    def _moved_on(self, reading: Ledger, incident: Incident) -> End:
        """Return how an incident ended whose version doesn't serve any more, or serves again."""
        served = self._rollbacks.served(reading, incident.model)
        began = served[0].began if served and served[0].until is None else None
        if began is None:
            return End(ending=Ending.OVERTAKEN, how=words.overtaken(incident.version, None))
        told_in = lane_of(began)
        if began.kind is MoveKind.ROLLBACK and not isinstance(began.actor, Automation):
            how, ending = words.rolled_back_by_hand(began), Ending.ROLLED_BACK
        else:
            how, ending = words.overtaken(incident.version, began), Ending.OVERTAKEN
        return End(ending=ending, how=how, by=began.actor, told_in="" if told_in == incident.id else told_in)

    def _source_ended(self, reading: Ledger, incident: Incident, now: datetime) -> End | None:
        if incident.kind is IncidentKind.BLIND:
            if not _watching(reading, incident):
                return _nobody_watches(reading, incident)
            if self._still(reading, incident, IncidentKind.BLIND):
                return None
            # Its last one was judged with its own check, or Production has moved and it began anew.
            return End(ending=Ending.RECOVERED, how=words.sees_again(incident.since, now))
        standings = reading.standings()
        mine = [one for one in reading.monitors() if one.rule.source == incident.source and not one.is_paused]
        states = [standings[one.id].state for one in mine if one.id in standings]
        failing = sum(state in FAILING for state in states)
        if is_common_cause(failing, sum(state is not State.DISABLED for state in states)):
            return None
        return End(ending=Ending.RECOVERED, how=words.source_is_well(incident.source, incident.since, now))

    # -- writing -----------------------------------------------------------------------------------------------

    def _save(self, tx: Writing, incident: Incident, because: str, done: _Written) -> None:
        tx.save_incident(incident)
        tx.add_note(incident_note(incident, because, self._channel(incident)))
        done.tells = True

    def _resolve(self, tx: Writing, incident: Incident, end: End, now: datetime, done: _Written) -> None:
        ended = incident.ended(end, now)
        if incident.doing is Doing.ROLLED_BACK and incident.rollback and _is_denied(tx, incident.rollback):
            ended = replace(ended, doing=Doing.NOT_FOLLOWED)
        elif incident.doing is not Doing.ROLLED_BACK and end.ending in {Ending.OVERTAKEN, Ending.ROLLED_BACK}:
            ended = replace(ended, doing=Doing.SUPERSEDED)
        self._save(tx, ended, "resolved", done)
        tx.add_note(thread_note(ended.id, "resolved", end.how))
        tx.append(_resolved(ended, end, now))

    def _channel(self, incident: Incident) -> str:
        policy = self._it.policy
        return policy.channel_for(incident.model) if incident.model else policy.channel


def _if_it_loads(decided: Decided, looked: Looked, version: tuple[str, int]) -> Decided:
    """Return what is done once it is known whether the version may load that is gone back to.

    Where that cannot be told, a person may still decide; the monitor waits, and looks again at each failing check.
    """
    if decided.doing in ASKS_OR_ACTS and version in looked.unfit:
        return Decided(Doing.HELD, looked.unfit[version], decided.trips)
    if decided.doing is not Doing.INTENT or version in looked.fit:
        return decided
    why = looked.unknown.get(version) or cannot_be_told(*version, say("Another one could be gone back to until now."))
    return Decided(Doing.HELD, why)


def _is_news(one: Checked) -> bool:
    return one.has_failed or one.verdict.is_news or one.is_told_late or one.is_blind_otherwise


def _never_judged(monitor: Monitor, standing: Standing) -> bool:
    """Tell whether it can't judge yet, and nobody relies on it: a new monitor whose baseline still has to grow."""
    return standing.state is State.CANT_JUDGE and standing.judged_at is None and not monitor.is_armed


def _gaps(one: Checked) -> Sequence[datetime]:
    """Return since when gaps may be why it can't judge, if it had any: those in its last window."""
    standing, since = one.verdict.standing, one.at - 2 * one.monitor.rule.window
    return [since] if standing.state is State.CANT_JUDGE and _missed(standing, since) else []


def _missed(standing: Standing, since: datetime | None) -> bool:
    """Tell whether it had a check without a figure since then.

    Of a source with gaps every window becomes incomplete, but each at its own time.
    """
    return since is not None and standing.missed_at is not None and standing.missed_at >= since


def _in_source(monitor: Monitor) -> str:
    """Return what an incident of a source calls a monitor."""
    return f"{monitor.model} {monitor.name}"


def _line_of(one: Checked) -> Say:
    return words.blind(one.monitor, one.verdict.standing.state, one.why)


def _fail_together(standings: Sequence[Standing]) -> bool:
    """Tell whether so many of a source's monitors fail that the source is in doubt."""
    return is_common_cause(sum(one.state in FAILING for one in standings), len(standings))


def _watching(reading: Ledger, incident: Incident) -> list[Monitor]:
    """Return those of an incident's monitors that are there and not paused."""
    return [one for one in of_incident(incident, reading.monitors(incident.model or None)) if not one.is_paused]


def _nobody_watches(reading: Ledger, incident: Incident) -> End:
    """Return how an incident ended whose monitors are all paused or gone: what happened to one of them last, and who.

    It's read from the audit, where whoever pauses, changes, or removes a monitor writes it in the same transaction.
    """
    names = {one if incident.is_of_source else f"{incident.model} {one}" for one in incident.monitors}
    found = reading.latest(model=incident.model or None, tags=tuple(_UNWATCHING), most=RECENT)
    event = next((one.event for one in found if one.event.subject in names), None)
    if event is None:
        ending, name, by, told_in = Ending.UNWATCHED, incident.monitors[0], None, ""
    else:
        ending, name = _UNWATCHING[event.tag], event.subject.rpartition(" ")[2]
        if event.tag is Tag.MONITORS_TAKEN and event.after is None:
            ending = Ending.REMOVED
        by, told_in = event.actor, str(event.evidence.get("told_in", ""))
    return End(ending=ending, how=words.unwatched(ending, name, by), by=by, told_in=told_in)


_UNWATCHING = {
    Tag.MONITOR_PAUSED: Ending.PAUSED,
    Tag.MONITOR_EDITED: Ending.EDITED,
    Tag.MONITOR_REMOVED: Ending.REMOVED,
    Tag.MONITORS_TAKEN: Ending.EDITED,
}


def _resolved(incident: Incident, end: End, now: datetime) -> Event:
    evidence = {"ending": end.ending.value} | ({"ended_by": actor_id(end.by)} if end.by else {})
    return Event(
        at=now,
        actor=WATCH,
        tag=Tag.INCIDENT_RESOLVED,
        subject=incident.id,
        model=incident.model or None,
        why=str(end.how),
        origin="job",
        evidence=evidence,
    )


def _as_it_is_now(tx: Writing, one: Checked) -> Checked | None:
    """Return a check with its monitor as it is at this moment; None where nothing follows from the check any more.

    While the source was asked somebody may have changed, paused or removed it: then its next check counts, if there is
    one. That it was silenced meanwhile, armed or disarmed, holds for this one. Nothing is locked: whoever changes it at
    this very moment comes after the check.
    """
    monitor = next((each for each in tx.monitors(one.monitor.model) if each.id == one.monitor.id), None)
    if monitor is None or monitor.is_paused or monitor.revision != one.monitor.revision:
        return None
    return replace(one, due=replace(one.due, monitor=monitor))


def _find(reading: Ledger, model: str, source: str, kind: IncidentKind) -> Incident | None:
    mine = reading.incidents(model=model, is_open=True)
    return next((one for one in mine if one.kind is kind and one.source == source), None)


def _waits_no_more(incident: Incident, one: Checked) -> bool:
    """Tell whether a person was only asked because a request was open: then it is looked whether that still is so."""
    return incident.doing is Doing.AWAITING_HUMAN and one.monitor.acts == "auto"


def _is_asked(reading: Ledger, move: str) -> bool:
    serving = reading.serving(move)
    return serving is not None and serving.state is ServingState.ASKED


def _is_denied(reading: Ledger, move: str) -> bool:
    """Tell whether the serving side was asked after a move, and did not follow in time."""
    serving = reading.serving(move)
    return serving is not None and serving.state is ServingState.DENIED


def _is_well(standing: Standing) -> bool:
    """Tell whether a monitor was measured, and is well: nothing is known of one that begins anew."""
    return standing.state is State.OK and standing.value is not None


def _is_due(reading: Ledger, incident: Incident, now: datetime) -> bool:
    """Tell whether people are to be reminded: nobody looks after it, and somebody of its monitors is not silenced."""
    last = incident.repeated_at or incident.opened_at
    if incident.acknowledged_at is not None or now - last < REPEATED_EVERY:
        return False
    mine = of_incident(incident, reading.monitors(incident.model or None))
    return not mine or any(not one.is_silenced(now) for one in mine)


def _counts(move: Move) -> bool:
    """Tell whether an automatic rollback counts against the limit: one that was made, or is being made."""
    return move.state not in {MoveState.STALE, MoveState.FAILED}


_WEIGHT = {
    Doing.NOTIFIED: 1,
    Doing.HELD: 2,
    Doing.FROZEN: 2,
    Doing.COOLDOWN: 2,
    Doing.TRIPPED: 2,
    Doing.SUPERSEDED: 2,
    Doing.AWAITING_HUMAN: 3,
    Doing.INTENT: 4,
}


def _is_more(new: Decided, old: Incident) -> bool:
    """Tell whether what a later check decided goes further than what was done before, or says another reason."""
    if new.doing is old.doing:
        return new.doing is Doing.HELD and _kind_of(new.why) != _kind_of(old.why)
    return _WEIGHT.get(new.doing, 0) >= _WEIGHT.get(old.doing, 9)


def _says_the_same(new: Incident, old: Incident) -> bool:
    return new.doing is old.doing and _kind_of(new.why) == _kind_of(old.why)


def _kind_of(why: Say | None) -> str:
    """Return what sort of reason it is, whatever figures and errors it names."""
    return why.template if why else ""


def _is_forgiven(move: Move, resets: Sequence[Link]) -> bool:
    """Tell whether an admin has reset the breaker since: what was before does not count against the limit any more."""
    mine = [one.event for one in resets if one.event.model in {None, move.model}]
    return any(event.at >= move.intended_at for event in mine)


def _event(tag: Tag, one: Checked, term: Term, decided: Decided | None) -> Event:
    monitor, standing = one.monitor, one.verdict.standing
    evidence = {
        "monitor": monitor.id,
        "revision": monitor.revision,
        "version": term.version,
        "move": term.move,
        "value": standing.value,
        "total": standing.total,
        "bound": standing.bound,
        "rule": monitor.rule.rule,
        "action": monitor.acts,
        "doing": decided.doing.value if decided else None,
    }
    why = one.verdict.why if decided is None or decided.why is None else joined([one.verdict.why, decided.why], " ")
    return Event(
        at=one.at,
        actor=WATCH,
        tag=tag,
        subject=f"{monitor.model} {monitor.name}",
        model=monitor.model,
        after=f"v{term.version}",
        why=str(why),
        origin="job",
        evidence=evidence,
    )
