"""The monitors' schedule: what is due is claimed, measured by source, judged, and written down in one transaction.

A check that hangs or raises stops nobody else: each batch has a thread of its own, and one that does not come back in
time is an ERROR of its monitors, which are checked again with their next slot.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from bot import story
from bot.domain.errors import BadInput, RegistrarError
from bot.domain.incidents import COMMON_COUNT
from bot.domain.monitors import (
    Answer,
    Measurement,
    Monitor,
    Outcome,
    Reading,
    Standing,
    State,
    Term,
    Verdict,
    assess,
    begin,
    is_warm,
)
from bot.domain.readings import measure
from bot.domain.registry import Stage
from bot.domain.rollbacks import stretches
from bot.domain.text import Say, say
from bot.ports import Query
from bot.ports import Reading as Ledger
from bot.services.context import Context
from bot.services.incidents import Checked, Due, Incidents
from bot.services.judging import judge, span

log = logging.getLogger(__name__)

BATCH = 100  # monitors of one source that are asked for, and written down, together
MARGIN = timedelta(seconds=5)  # beyond the source's own time limits, before a check counts as hung
HANGING_MOST = 8  # batches of one source that may hang; after that it is not asked again until one comes back
KEPT = timedelta(days=35)  # measurements: five weeks of the same hours
LEAVING = 3.0  # seconds that the end of the process waits for checks under way
STEP = timedelta(seconds=30)  # by which the clock may drift from the monotonic one before it counts as set anew
FRESH = timedelta(seconds=2)  # a check that is so recent need not be repeated to see whether others fail as well
MOVES = 40  # of Production, that tell who serves now


class SourceBook(Protocol):
    """The sources that the policy names, by their names."""

    def read(self, name: str, queries: Sequence[Query]) -> list[Answer]:
        """Return an answer to each query, in order. May raise Unreachable and Misconfigured."""
        ...

    def history(self, name: str, query: Query, step: timedelta) -> Answer:
        """Return the points that the source still knows."""
        ...


@dataclass(slots=True)
class _Batch:
    """Some checks of one source that are under way."""

    source: str
    checks: list[Due]
    deadline: float  # by the monotonic clock
    is_given_up: bool = False
    thread: threading.Thread | None = None


@dataclass(slots=True)
class _Running:
    """What is under way in this process."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    monitors: set[str] = field(default_factory=set)
    batches: list[_Batch] = field(default_factory=list)


class Monitoring:
    """Checks monitors. `act` makes a model's moves, `tell` delivers the outbox; neither may be waited for by others."""

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
        self._running = _Running()
        self._clocks = (context.clock.now(), monotonic())

    def let(self, act: Callable[[str], object], tell: Callable[[], object]) -> None:
        """Let moves be made, and messages delivered, by somebody else from now on."""
        self._act, self._tell = act, tell

    # -- the schedule ------------------------------------------------------------------------------------------

    def tick(self) -> int:
        """Begin every check that is due, each source's on threads of their own; return how many were begun."""
        self._mind_the_clock()
        self._give_up_what_hangs()
        begun = self._claim(self._due())
        for source, checks in _by_source(begun).items():
            for at in range(0, len(checks), BATCH):
                self._start(source, checks[at : at + BATCH])
        return len(begun)

    def check(self, monitor_id: str) -> Verdict:
        """Check one monitor now, out of turn, and return what it came to.

        Raises UnknownRequest for none, and BadInput where it is paused, or is being checked at this moment.
        """
        with self._it.ledger.read() as reading:
            monitor, standing = reading.monitor(monitor_id), reading.standing(monitor_id)
        if monitor.is_paused or monitor.removed_at:
            raise BadInput("It is paused, so it is not checked. Resume it first.")
        claimed = self._claim([(monitor, standing)])
        if not claimed:
            raise BadInput("It is being checked at this moment; look again in a few seconds.")
        batch = _Batch(monitor.rule.source, claimed, self._deadline(claimed))
        with self._running.lock:
            self._running.batches.append(batch)
        self._run(batch)
        with self._it.ledger.read() as reading:
            now = reading.standing(monitor_id)
        outcome = Outcome.FAILED if now.state in {State.FAILED, State.PENDING} else Outcome.OK
        return Verdict(outcome=outcome, standing=now, before=standing.state, why=now.why or say("Checked."))

    def sweep(self, keep: timedelta) -> int:
        """Throw away what is older than `keep`, checks not before five weeks; return how many rows."""
        now = self._it.clock.now()
        with self._it.ledger.write() as tx:
            return tx.sweep(measurements=now - max(keep, KEPT), readings=now - keep)

    def close(self) -> None:
        """Give up what is under way, and wait a moment for it: its slots are checked by whoever is there later."""
        with self._running.lock:
            batches = list(self._running.batches)
            for batch in batches:
                batch.is_given_up = True
        until = time.monotonic() + LEAVING
        for batch in batches:
            if batch.thread is not None:
                batch.thread.join(max(0.0, until - time.monotonic()))

    def _due(self) -> list[tuple[Monitor, Standing]]:
        with self._it.ledger.read() as reading:
            due = reading.due_monitors(self._it.clock.now())
        with self._running.lock:
            return [(monitor, standing) for monitor, standing in due if monitor.id not in self._running.monitors]

    def _claim(self, due: Sequence[tuple[Monitor, Standing]]) -> list[Due]:
        """Take the checks that nobody else is at; a commit for every hundred keeps nobody waiting."""
        claimed = []
        for at in range(0, len(due), BATCH):
            now = self._it.clock.now()
            with self._it.ledger.write() as tx:
                for monitor, standing in due[at : at + BATCH]:
                    slot = standing.slot + 1
                    until = now + _longest(monitor) + 2 * MARGIN
                    if tx.claim_slot(monitor.id, slot, self._it.owner, now, until):
                        claimed.append(Due(monitor=monitor, standing=standing, slot=slot))
        with self._running.lock:
            self._running.monitors |= {one.monitor.id for one in claimed}
        return claimed

    def _start(self, source: str, checks: list[Due]) -> None:
        batch = _Batch(source, checks, self._deadline(checks))
        with self._running.lock:
            hanging = sum(one.is_given_up for one in self._running.batches if one.source == source)
            self._running.batches.append(batch)
        if hanging >= HANGING_MOST:
            self._give_up(batch, say("The source has not answered earlier checks yet."))
            self._forget(batch)
            return
        batch.thread = threading.Thread(target=self._quietly, args=(batch,), name=f"checks of {source}", daemon=True)
        batch.thread.start()

    def _deadline(self, checks: Iterable[Due]) -> float:
        return self._monotonic() + (max(_longest(one.monitor) for one in checks) + MARGIN).total_seconds()

    def _give_up_what_hangs(self) -> None:
        with self._running.lock:
            late = [one for one in self._running.batches if not one.is_given_up and self._monotonic() > one.deadline]
        for batch in late:
            log.warning("the source %s hangs: %s checks are given up", batch.source, len(batch.checks))
            self._give_up(batch, say("The source did not answer in time."))

    def _give_up(self, batch: _Batch, why: Say) -> None:
        """Write the checks down as errors; what the hanging thread brings later finds its claim gone."""
        with self._running.lock:
            batch.is_given_up = True
            self._running.monitors -= {one.monitor.id for one in batch.checks}
        answers = [Answer(outcome=Outcome.ERROR, why=why)] * len(batch.checks)
        self._conclude(batch.checks, answers)

    def _forget(self, batch: _Batch) -> None:
        with self._running.lock:
            self._running.batches.remove(batch)
            if not batch.is_given_up:
                self._running.monitors -= {one.monitor.id for one in batch.checks}

    def _mind_the_clock(self) -> None:
        """Where somebody set the clock back, the next checks would be far away: they are brought back with it."""
        (wall, mono), now, ticks = self._clocks, self._it.clock.now(), self._monotonic()
        self._clocks = (now, ticks)
        stepped = (now - wall) - timedelta(seconds=ticks - mono)
        if stepped > -STEP:
            return  # set forward, everything is due at once, and once only
        log.warning("the clock was set back by %s: the checks go with it", -stepped)
        with self._it.ledger.write() as tx:
            for standing in tx.standings().values():
                if standing.next_at is not None:
                    tx.save_standing(replace(standing, next_at=standing.next_at + stepped))

    # -- one batch ---------------------------------------------------------------------------------------------

    def _quietly(self, batch: _Batch) -> None:
        with story.about(source=batch.source):
            try:
                self._run(batch)
            except RegistrarError as error:
                log.warning("checks of %s could not be written down: %s", batch.source, error)
            except Exception:
                log.exception("checks of %s broke off", batch.source)

    def _run(self, batch: _Batch) -> None:
        """Measure, judge and write down; whatever happens, the monitors are free again at the end."""
        try:
            answers = self._ask(batch.source, batch.checks)
            if not batch.is_given_up:
                self._conclude(batch.checks, answers)
        finally:
            self._forget(batch)

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
        try:
            if beside:
                checked += self._judge_all(beside, self._ask(beside[0].monitor.rule.source, beside))
            self._write(checked)
        finally:
            with self._running.lock:
                self._running.monitors -= {one.monitor.id for one in beside}

    def _beside(self, checked: Sequence[Checked]) -> list[tuple[Monitor, Standing]]:
        """Return the other monitors of a source of which one is about to roll back: do they fail as well?

        They are checked early, in the same transaction: where many fail together, it is the source. That is done once,
        when it has just failed, since each check counts for them as well. Of a source with very many monitors what they
        said last has to do.
        """
        about_to = {one.monitor.rule.source for one in checked if one.verdict.has_failed and one.monitor.is_armed}
        if not about_to:
            return []
        mine, now = {one.monitor.id for one in checked}, self._it.clock.now()
        with self._it.ledger.read() as reading:
            there = [one for one in reading.monitors() if one.rule.source in about_to and not one.is_paused]
            if not COMMON_COUNT <= len(there) <= BATCH:
                return []
            others = [(one, reading.standing(one.id)) for one in there if one.id not in mine]
        with self._running.lock:
            running = set(self._running.monitors)
        return [(one, at) for one, at in others if one.id not in running and (at.at is None or now - at.at > FRESH)]

    def _judge_all(self, checks: Sequence[Due], answers: Sequence[Answer]) -> list[Checked]:
        now = self._it.clock.now()
        with self._it.ledger.read() as reading:
            terms = self._terms(reading, {one.monitor.model for one in checks})
            return [self._judge(reading, one, terms[one.monitor.model], answer, now)
                    for one, answer in zip(checks, answers, strict=True)]  # fmt: skip

    def _write(self, checked: Sequence[Checked]) -> None:
        prepared = self._incidents.prepare(checked)
        with self._it.ledger.write() as tx:
            written = [one for one in checked if tx.finish_slot(_measurement(one), self._it.owner)]
            for one in written:
                next_at = one.monitor.next_check(one.at, one.due.slot)
                tx.save_standing(replace(one.verdict.standing, slot=one.due.slot, next_at=next_at))
            told, models = self._incidents.record(tx, written, prepared)
        for one in written:
            self._it.observer.checked(one.verdict.outcome, _delay(one))
        for model in models:
            self._act(model)
        if told:
            self._tell()

    def _judge(self, reading: Ledger, one: Due, term: Term | None, answer: Answer, now: datetime) -> Checked:
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
        found = measure(answer, monitor.rule, since=since, until=until, now=now)
        warm = is_warm(monitor, term, now)
        judgement = None
        if warm and found.outcome is Outcome.OK:
            judgement = judge(reading, monitor, standing, term, found, now)
        verdict = assess(monitor, standing, found, judgement, now=now, warm=warm)
        return Checked(due=one, term=term, reading=found, verdict=verdict, at=now)

    def _terms(self, reading: Ledger, models: Iterable[str]) -> dict[str, Term | None]:
        return {model: present_term(reading, model) for model in models}


def present_term(reading: Ledger, model: str) -> Term | None:
    """Return who is in Production now, as the ledger has it; None where nobody is."""
    served = stretches(reading.moves(model, stage=Stage.PRODUCTION, most=MOVES))
    if not served or served[0].until is not None:
        return None
    return Term(move=served[0].began.id, version=served[0].version, since=served[0].since)


def _delay(one: Checked) -> timedelta | None:
    """Return how long after its time a check was judged; None for one that was made before its time."""
    due = one.due.standing.next_at
    return one.at - due if due is not None and one.at >= due else None


def _measurement(one: Checked) -> Measurement:
    term = one.term
    has_value = one.reading.outcome is Outcome.OK
    return Measurement(
        monitor=one.due.monitor.id, slot=one.due.slot, at=one.at, revision=one.due.monitor.revision,
        version=term.version if term else None, move=term.move if term else None, outcome=one.verdict.outcome,
        value=one.reading.value if has_value else None, points=one.reading.points, why=one.verdict.why,
    )  # fmt: skip


def _query(one: Due, term: Term, now: datetime) -> Query:
    since, until = span(one.monitor, one.standing, term, now)
    rule = one.monitor.rule
    return Query(
        monitor=one.monitor.id, source=rule.source, model=one.monitor.model, version=term.version, query=rule.query,
        since=since, until=until, timeout=rule.timeout,
    )  # fmt: skip


def _is_open(answer: Answer | None) -> bool:
    return answer is None or answer.outcome is Outcome.ERROR


def _longest(monitor: Monitor) -> timedelta:
    return monitor.rule.timeout * (1 + monitor.rule.retries)


def _by_source(due: Sequence[Due]) -> dict[str, list[Due]]:
    found: dict[str, list[Due]] = defaultdict(list)
    for one in due:
        found[one.monitor.rule.source].append(one)
    return found
