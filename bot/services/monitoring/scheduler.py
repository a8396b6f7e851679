"""The monitors' schedule: what is due is claimed, measured by source, judged, and written down in one transaction.

A check that hangs or raises stops nobody else: each batch has a thread of its own, and one that does not come back in
time is an ERROR of its monitors, which are checked again with their next slot.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot import logging_context
from bot.domain.audit.events import Event, Tag
from bot.domain.core.actors import WATCH
from bot.domain.core.errors import BadInput, RegistrarError
from bot.domain.core.numbers import number
from bot.domain.core.sentence import Say, say
from bot.domain.monitoring import messages as monitor_messages
from bot.domain.monitoring.assessment import Judgement, Verdict, assess, due_from, is_warm
from bot.domain.monitoring.incident import COMMON_COUNT
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import Answer, Outcome, Reading
from bot.domain.monitoring.rules.aggregation import measure
from bot.domain.monitoring.rules.evaluation import judge
from bot.domain.monitoring.state import Standing, State, Term, begin
from bot.domain.monitoring.stored_baselines import FrozenBaseline
from bot.domain.policy.monitor_validation import KEPT
from bot.ports import Batch, Dispatcher, Query, Writing
from bot.ports import Reading as Ledger
from bot.services.core.context import Context
from bot.services.core.outbox_messages import said_note, thread_note
from bot.services.core.threads import thread_of
from bot.services.monitoring.checks import (
    Checked,
    Due,
    Known,
    SourceBook,
    _by_source,
    _delay,
    _due,
    _from_the_future,
    _is_open,
    _longest,
    _measurement,
    _query,
    _standing,
    present_term,
    span,
)
from bot.services.monitoring.evaluation import LedgerPast
from bot.services.monitoring.incidents import Incidents
from bot.services.monitoring.thread_dispatcher import Threads

log = logging.getLogger(__name__)

DUE_MOST = 1000  # checks that one tick begins
BATCH = 100  # monitors of one source that are asked for, and written down, together
MARGIN = timedelta(seconds=5)  # beyond the source's own time limits, before a check counts as hung
HANGING_MOST = 8  # batches of one source that may hang; after that it is not asked again until one comes back
STEP = timedelta(seconds=30)  # by which the clock may drift from the monotonic one before it counts as set anew
FRESH = timedelta(seconds=2)  # a check that is so recent need not be repeated to see whether others fail as well


@dataclass(slots=True)
class _Running:
    """Some checks of one source that are under way in this process."""

    source: str
    checks: list[Due]
    deadline: float  # by the monotonic clock
    is_given_up: bool = False


class Monitoring:
    """Checks monitors. `act` makes a model's moves, `tell` delivers the outbox; neither may be waited for by others.

    What is due is claimed here, and made by whoever the dispatcher gives it to: `work` is called there.
    """

    def __init__(
        self,
        context: Context,
        sources: SourceBook,
        incidents: Incidents,
        *,
        act: Callable[[str], object] = lambda model: None,
        tell: Callable[[], object] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._it = context
        self._sources = sources
        self._incidents = incidents
        self._act, self._tell = act, tell
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._under_way: list[_Running] = []
        self.dispatch_by(Threads())
        self._clocks = (context.clock.now(), monotonic())

    def let(self, act: Callable[[str], object], tell: Callable[[], object]) -> None:
        """Let moves be made, and messages delivered, by somebody else from now on."""
        self._act, self._tell = act, tell

    def dispatch_by(self, dispatcher: Dispatcher) -> None:
        """Have checks made by somebody else than threads of this process, from now on."""
        self._dispatcher = dispatcher
        dispatcher.use(self.work)

    def open(self) -> None:
        """Begin to make what is dispatched, here or elsewhere."""
        self._dispatcher.open()

    # -- the schedule ------------------------------------------------------------------------------------------

    def tick(self) -> int:
        """Claim every check that is due, and have it made; return how many there were."""
        self._mind_the_clock()
        self._give_up_what_hangs()
        begun = self._claim_due()
        if begun:
            self._dispatch(begun)
        return len(begun)

    def work(self, batch: Batch) -> None:
        """Make the checks of a batch, but for those that somebody else has taken over or nobody wants any more.

        It never raises: what could not be written down is checked anew when its claim is over.
        """
        with logging_context.about(source=batch.source):
            try:
                self._work(batch)
            except RegistrarError as error:
                log.warning("checks of %s could not be written down: %s", batch.source, error)
            except Exception:
                log.exception("checks of %s broke off", batch.source)

    def _work(self, batch: Batch) -> None:
        with self._it.ledger.read() as reading:
            claimed = reading.claimed(batch, self._it.clock.now())
        checks = [_due(monitor, standing, batch.owner) for monitor, standing in claimed]
        if not checks:
            return
        running = self._begin(batch.source, checks)
        with self._lock:
            hanging = sum(one.is_given_up for one in self._under_way if one.source == batch.source)
        if hanging >= HANGING_MOST:
            self._give_up(running, say("The source has not answered earlier checks yet."))
            self._forget(running)
        else:
            self._run(running)

    def check(self, monitor_id: str) -> Standing:
        """Check one monitor now, out of turn, and return where it stands then.

        Raises UnknownRequest for none, and BadInput where it is paused, or is being checked at this moment.
        """
        with self._it.ledger.read() as reading:
            monitor, standing = reading.monitor(monitor_id), reading.standing(monitor_id)
        if monitor.is_paused or monitor.removed_at:
            raise BadInput("It is paused, so it is not checked. Resume it first.")
        claimed = self._claim([(monitor, standing)])
        if not claimed:
            raise BadInput("It is being checked at this moment; look again in a few seconds.")
        self._run(self._begin(monitor.rule.source, claimed))
        with self._it.ledger.read() as reading:
            return reading.standing(monitor_id)

    def sweep(self, keep: timedelta) -> int:
        """Throw away what is older than `keep`, checks not before five weeks; return how many rows.

        What a baseline is made of stays. Where no check has made it yet, because the monitor is paused or its source is
        away, it's made first.
        """
        now = self._it.clock.now()
        with self._it.ledger.read() as reading:
            made = self._baselines(reading, now)
        with self._it.ledger.write() as tx:
            tx.save_baselines(made)
            return tx.sweep(measurements=now - max(keep, KEPT), readings=now - keep)

    def _baselines(self, reading: Ledger, now: datetime) -> list[FrozenBaseline]:
        """Return the baselines of the present terms that aren't in the ledger yet."""
        monitors = [one for one in reading.monitors() if one.rule.has_frozen_baseline]
        terms = self._terms(reading, {one.model for one in monitors})
        stored = reading.baselines([one.id for one in monitors])
        found = []
        for one in monitors:
            term = terms[one.model]
            if term is None or now < term.since:
                continue
            past = LedgerPast(reading, one, term, now, Reading(), stored=stored.get(one.id))
            try:
                past.frozen()
            except RegistrarError:
                raise  # the ledger is away: nothing can be swept either
            except Exception:  # of one monitor, which says so at its next check; old checks are removed anyway
                log.exception("the baseline of the monitor %s of %s can't be made", one.name, one.model)
            found += [past.made] if past.made else []
        return found

    def close(self) -> None:
        """Wait a moment for what is under way, and give up the rest: whoever is there later checks those slots."""
        self._dispatcher.close()
        with self._lock:
            for running in self._under_way:
                running.is_given_up = True

    def _claim_due(self) -> list[Due]:
        """Take what is due and nobody is at; of several processes one at a time does."""
        with self._it.ledger.read() as reading:
            due = reading.due_monitors(self._it.clock.now(), DUE_MOST)
        claimed: list[Due] = []
        for at in range(0, len(due), BATCH):  # a commit for every hundred keeps nobody waiting
            with self._it.ledger.write() as tx:
                if not tx.is_free("tick"):
                    break
                claimed += self._take(tx, due[at : at + BATCH])
        return claimed

    def _claim(self, due: Sequence[tuple[Monitor, Standing]]) -> list[Due]:
        """Take those of these checks that nobody else is at."""
        if not due:
            return []
        with self._it.ledger.write() as tx:
            return self._take(tx, due)

    def _take(self, tx: Writing, due: Sequence[tuple[Monitor, Standing]]) -> list[Due]:
        now, owner = self._it.clock.now(), self._it.owner
        checks = [_due(monitor, standing, owner) for monitor, standing in due]
        slots = {(one.monitor.id, one.slot): now + _longest(one.monitor) + 2 * MARGIN for one in checks}
        taken = tx.claim_slots(slots, owner, now)
        return [one for one in checks if (one.monitor.id, one.slot) in taken]

    def _dispatch(self, checks: Sequence[Due]) -> None:
        """Have claimed checks made, in batches by their source; where that fails their claims lapse."""
        batches = [
            Batch(source, self._it.owner, tuple((one.monitor.id, one.slot) for one in some[at : at + BATCH]))
            for source, some in _by_source(checks).items()
            for at in range(0, len(some), BATCH)
        ]
        self._dispatcher.dispatch(batches)

    def _begin(self, source: str, checks: list[Due]) -> _Running:
        running = _Running(source, checks, self._deadline(checks))
        with self._lock:
            self._under_way.append(running)
        return running

    def _deadline(self, checks: Iterable[Due]) -> float:
        return self._monotonic() + (max(_longest(one.monitor) for one in checks) + MARGIN).total_seconds()

    def _give_up_what_hangs(self) -> None:
        with self._lock:
            late = [one for one in self._under_way if not one.is_given_up and self._monotonic() > one.deadline]
        for running in late:
            log.warning("the source %s hangs: %s checks are given up", running.source, len(running.checks))
            self._give_up(running, say("The source did not answer in time."))

    def _give_up(self, running: _Running, why: Say) -> None:
        """Write the checks down as errors; what the hanging thread brings later finds its claim gone."""
        running.is_given_up = True
        answers = [Answer(outcome=Outcome.ERROR, why=why)] * len(running.checks)
        self._conclude(running.checks, answers)

    def _forget(self, running: _Running) -> None:
        with self._lock:
            self._under_way.remove(running)

    def _mind_the_clock(self) -> None:
        """Where somebody set the clock back, the next checks would be far away: they are brought back with it."""
        (wall, mono), now, ticks = self._clocks, self._it.clock.now(), self._monotonic()
        self._clocks = (now, ticks)
        stepped = (now - wall) - timedelta(seconds=ticks - mono)
        if stepped > -STEP:
            return  # set forward, everything is due at once, and once only
        log.warning("the clock was set back by %s: the checks go with it", -stepped)
        with self._it.ledger.write() as tx:
            standings = tx.standings()
            for monitor in tx.monitors():
                there, latest = standings.get(monitor.id), monitor.latest_check(now)
                # One that is not too far away was brought back by another process, or the step was small.
                if there is not None and there.next_at is not None and there.next_at > latest:
                    tx.save_standing(replace(there, next_at=there.next_at + stepped))

    # -- one batch ---------------------------------------------------------------------------------------------

    def _run(self, running: _Running) -> None:
        """Measure, judge and write down."""
        try:
            answers = self._ask(running.source, running.checks)
            if not running.is_given_up:
                self._conclude(running.checks, answers)
        finally:
            self._forget(running)

    def _ask(self, source: str, checks: Sequence[Due]) -> list[Answer]:
        """Return the source's answer to each check; those that failed are asked for again, as often as they may be."""
        now = self._it.clock.now()
        with self._it.ledger.read() as reading:
            terms = self._terms(reading, {one.monitor.model for one in checks})
        answers: dict[int, Answer] = {}
        queries: dict[int, Query] = {}
        for at, one in enumerate(checks):
            term = terms[one.monitor.model]
            if term is None:
                answers[at] = Answer()
            else:
                queries[at] = _query(one, term, now)
        for attempt in range(1 + max((one.monitor.rule.retries for one in checks), default=0)):
            left = [at for at in queries if _is_open(answers.get(at)) and attempt <= checks[at].monitor.rule.retries]
            if not left:
                break
            answers |= dict(zip(left, self._read(source, [queries[at] for at in left]), strict=True))
        return [answers[at] for at in range(len(checks))]

    def _read(self, source: str, queries: list[Query]) -> list[Answer]:
        try:
            answers = self._sources.read(source, queries)
            if len(answers) != len(queries):
                raise ValueError(f"{len(answers)} answers to {len(queries)} queries")
        except RegistrarError as error:
            answers = [Answer(outcome=Outcome.ERROR, why=error.sentence)] * len(queries)
        except Exception as error:  # a plug-in may raise what it likes
            log.exception("the source %s raised", source)
            why = say("The source raised an error ({kind}); the log has it.", kind=type(error).__name__)
            answers = [Answer(outcome=Outcome.ERROR, why=why)] * len(queries)
        return answers

    def _conclude(self, checks: Sequence[Due], answers: Sequence[Answer]) -> None:
        """Judge the answers, write everything down, and let what was decided be done."""
        checked = self._judge_all(checks, answers)
        beside = self._claim(self._beside(checked))
        if beside:
            checked += self._judge_all(beside, self._ask(beside[0].monitor.rule.source, beside))
        self._write(checked)

    def _beside(self, checked: Sequence[Checked]) -> list[tuple[Monitor, Standing]]:
        """Return the other monitors of a source of which one is about to roll back: do they fail as well?

        They are checked early, in the same transaction: where many fail together, it is the source. That is done once,
        when it has just failed, since each check counts for them as well. Of a source with very many monitors those are
        asked that were checked longest ago, as a sample.
        """
        about_to = {one.monitor.rule.source for one in checked if one.verdict.has_failed and one.monitor.is_armed}
        if not about_to:
            return []
        mine, now = {one.monitor.id for one in checked}, self._it.clock.now()
        with self._it.ledger.read() as reading:
            there = [one for one in reading.monitors() if one.rule.source in about_to and not one.is_paused]
            if len(there) < COMMON_COUNT:
                return []
            standings = reading.standings()
        others = [(one, standings[one.id]) for one in there if one.id not in mine and one.id in standings]
        stale = [(one, standing) for one, standing in others if standing.at is None or now - standing.at > FRESH]
        return sorted(stale, key=lambda pair: pair[1].at or pair[0].created_at)[:BATCH]

    def _judge_all(self, checks: Sequence[Due], answers: Sequence[Answer]) -> list[Checked]:
        now = self._it.clock.now()
        with self._it.ledger.read() as reading:
            terms = self._terms(reading, {one.monitor.model for one in checks})
            stored = reading.baselines([one.monitor.id for one in checks if one.monitor.rule.has_frozen_baseline])
            own = reading.baselines([one.monitor.id for one in checks if one.monitor.rule.rule == "default"], own=True)
            found = []
            for one, answer in zip(checks, answers, strict=True):
                known = stored.get(one.monitor.id), own.get(one.monitor.id)
                found.append(self._judge_one(reading, one, terms[one.monitor.model], answer, now, known))
            return found

    def _judge_one(
        self, reading: Ledger, one: Due, term: Term | None, answer: Answer, now: datetime, known: Known
    ) -> Checked:
        """Judge a check; where that raises, it is an error of this monitor and of no other."""
        try:
            return self._judge(reading, one, term, answer, now, known)
        except RegistrarError:
            raise  # the ledger is away: nothing can be written down
        except Exception as error:
            log.exception("the check of the monitor %s of %s raised", one.monitor.name, one.monitor.model)
            why = say("The check raised an error ({kind}); the log has it.", kind=type(error).__name__)
            return self._judge(reading, one, term, Answer(outcome=Outcome.ERROR, why=why), now, known)

    def _ruled(
        self, monitor: Monitor, standing: Standing, term: Term, found: Reading, now: datetime, past: LedgerPast
    ) -> Judgement | None:
        """Return what the rule says; where it raises, it can't judge."""
        try:
            return judge(monitor, standing, term, found, now, past)
        except RegistrarError:
            raise  # the ledger is away: nothing can be written down
        except Exception as error:
            log.exception("the rule of the monitor %s of %s raised", monitor.name, monitor.model)
            why = say("Its rule raised an error ({kind}); the log has it.", kind=type(error).__name__)
            return Judgement(is_worse=None, why=why)

    def _write(self, checked: Sequence[Checked]) -> None:
        prepared = self._incidents.prepare(checked)
        with self._it.ledger.write() as tx:
            ours = _finish(tx, checked)
            written = [one for one in checked if (one.monitor.id, one.due.slot) in ours]
            tx.save_standings([_standing(one) for one in written])
            tx.save_baselines([one.baseline for one in written if one.baseline is not None])
            tx.save_baselines([one.own.baseline for one in written if one.own is not None], own=True)
            for one in written:
                self._tell_better(tx, one)
            told, models = self._incidents.record(tx, written, prepared)
        for one in written:
            self._it.observer.checked(one.verdict.outcome, _delay(one))
        for model in models:
            self._act(model)
        if told:
            self._tell()

    def _tell_better(self, tx: Writing, one: Checked) -> None:
        """Say in the version's thread that it's now compared with its own days, since they're better."""
        own, term, monitor = one.own, one.term, one.monitor
        if own is None or own.before is None or term is None:
            return
        levels = own.before.level, own.baseline.summary.level
        tx.append(
            Event(
                at=one.at,
                actor=WATCH,
                tag=Tag.BASELINE_RAISED,
                model=monitor.model,
                subject=f"{monitor.model} {monitor.name}",
                before=number(levels[0]),
                after=number(levels[1]),
                origin="job",
                evidence={
                    "version": term.version,
                    "since": own.baseline.since.isoformat(),
                    "until": own.baseline.until.isoformat(),
                },
            )
        )
        if monitor.acts == "dry_run" or monitor.is_silenced(one.at):
            return
        said = monitor_messages.better(monitor, term, own.baseline, *levels)
        key, thread = f"better:{monitor.id}:{own.baseline.until.isoformat()}", thread_of(tx, monitor.model)
        channel = self._it.policy.channel_for(monitor.model)
        tx.add_note(thread_note(thread, key, said) if thread else said_note(key, channel, said))

    def _judge(
        self, reading: Ledger, one: Due, term: Term | None, answer: Answer, now: datetime, known: Known
    ) -> Checked:
        monitor = one.monitor
        standing = begin(replace(one.standing, slot=one.slot - 1), monitor, term)
        if term is None:
            why = say("Nothing is in Production.")
            idle = replace(standing, state=State.DISABLED, slot=one.slot, at=now, why=why)
            verdict = Verdict(outcome=Outcome.NO_DATA, before=one.standing.state, why=why, standing=idle)
            return Checked(
                due=one, term=None, reading=Reading(outcome=Outcome.NO_DATA, why=why), verdict=verdict, at=now
            )
        since, until = span(monitor, one.standing, term, now)
        if now < term.since:
            found = Reading(outcome=Outcome.NO_DATA, why=_from_the_future(term))
        else:
            found = measure(answer, monitor.rule, since=since, until=until, now=now, seen=standing.newest)
        warm = is_warm(monitor, term, now)
        past = LedgerPast(reading, monitor, term, now, found, stored=known[0], own=known[1])
        is_new = standing.points == 0 and now >= term.since and found.outcome is not Outcome.ERROR
        if is_new and monitor.rule.has_frozen_baseline:
            past.frozen()  # also where nothing is measured for weeks: what it's made of is still there now
        judgement = self._ruled(monitor, standing, term, found, now, past)
        verdict = assess(monitor, standing, found, judgement, now=now, warm=warm, due=due_from(monitor, term, now))
        return Checked(due=one, term=term, reading=found, verdict=verdict, at=now, baseline=past.made, own=past.kept)

    def _terms(self, reading: Ledger, models: Iterable[str]) -> dict[str, Term | None]:
        return {model: present_term(reading, model) for model in models}


def _finish(tx: Writing, checked: Sequence[Checked]) -> set[tuple[str, int]]:
    """Write checks down; return which of them were still claimed by whom they were claimed."""
    ours: set[tuple[str, int]] = set()
    for owner in {one.due.owner for one in checked}:
        ours |= tx.finish_slots([_measurement(one) for one in checked if one.due.owner == owner], owner)
    return ours
