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
from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import MONITOR_AUTOMATION
from bot.domain.core.errors import BadInput, RegistrarError
from bot.domain.core.numbers import format_number
from bot.domain.core.sentence import Sentence, say
from bot.domain.monitoring import messages as monitor_messages
from bot.domain.monitoring.assessment import RuleResult, Verdict, assess, is_warmed_up, verdicts_due_since
from bot.domain.monitoring.incident import COMMON_CAUSE_COUNT
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import Answer, CheckOutcome, Reading
from bot.domain.monitoring.rules.aggregation import measure
from bot.domain.monitoring.rules.evaluation import evaluate_rule
from bot.domain.monitoring.state import MonitorState, MonitorStatus, ProductionTerm, state_for_term
from bot.domain.monitoring.stored_baselines import FrozenBaseline
from bot.domain.policy.monitor_validation import CHECK_RETENTION
from bot.ports import CheckBatch, Dispatcher, LedgerTransaction, Query
from bot.ports import LedgerReader as Ledger
from bot.services.core.context import Context
from bot.services.core.outbox_messages import channel_message, thread_message
from bot.services.core.threads import production_thread
from bot.services.monitoring.checks import (
    CheckResult,
    ClaimedCheck,
    SourceReader,
    StoredBaselines,
    _future_term_reason,
    _group_by_source,
    _needs_query,
    build_query,
    check_delay,
    current_term,
    max_duration,
    next_state,
    query_span,
    to_claimed_check,
    to_measurement,
)
from bot.services.monitoring.evaluation import LedgerMonitorHistory
from bot.services.monitoring.incidents import Incidents
from bot.services.monitoring.thread_dispatcher import ThreadDispatcher

log = logging.getLogger(__name__)

MAX_DUE_CHECKS = 1000  # checks that one tick begins
BATCH_SIZE = 100  # monitors of one source that are asked for, and written down, together
TIMEOUT_MARGIN = timedelta(seconds=5)  # beyond the source's own time limits, before a check counts as hung
MAX_HANGING_BATCHES = 8  # batches of one source that may hang; after that it is not asked again until one comes back
CLOCK_TOLERANCE = timedelta(
    seconds=30
)  # by which the clock may drift from the monotonic one before it counts as set anew
RECENT_CHECK_AGE = timedelta(
    seconds=2
)  # a check that is so recent need not be repeated to see whether others fail as well


@dataclass(slots=True)
class _RunningBatch:
    """Some checks of one source that are under way in this process."""

    source: str
    checks: list[ClaimedCheck]
    deadline: float  # by the monotonic clock
    is_abandoned: bool = False


class MonitorScheduler:
    """Checks monitors. `act` makes a model's moves, `tell` delivers the outbox; neither may be waited for by others.

    What is due is claimed here, and made by whoever the dispatcher gives it to: `work` is called there.
    """

    def __init__(
        self,
        context: Context,
        sources: SourceReader,
        incidents: Incidents,
        *,
        run_transitions: Callable[[str], object] = lambda model: None,
        deliver_messages: Callable[[], object] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self._sources = sources
        self._incidents = incidents
        self._run_transitions, self._deliver_messages = run_transitions, deliver_messages
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._running: list[_RunningBatch] = []
        self.use_dispatcher(ThreadDispatcher())
        self._last_times = (context.clock.now(), monotonic())

    def set_callbacks(self, run_transitions: Callable[[str], object], deliver_messages: Callable[[], object]) -> None:
        """Let moves be made, and messages delivered, by somebody else from now on."""
        self._run_transitions, self._deliver_messages = run_transitions, deliver_messages

    def use_dispatcher(self, dispatcher: Dispatcher) -> None:
        """Have checks made by somebody else than threads of this process, from now on."""
        self._dispatcher = dispatcher
        dispatcher.set_handler(self.run_batch)

    def start(self) -> None:
        """Begin to make what is dispatched, here or elsewhere."""
        self._dispatcher.start()

    # -- the schedule ------------------------------------------------------------------------------------------

    def tick(self) -> int:
        """Claim every check that is due, and have it made; return how many there were."""
        self._handle_clock_step()
        self._abandon_hanging()
        begun = self._claim_due()
        if begun:
            self._dispatch(begun)
        return len(begun)

    def run_batch(self, batch: CheckBatch) -> None:
        """Make the checks of a batch, but for those that somebody else has taken over or nobody wants any more.

        It never raises: what could not be written down is checked anew when its claim is over.
        """
        with logging_context.bound(source=batch.source):
            try:
                self._run_claimed(batch)
            except RegistrarError as error:
                log.warning("checks of %s could not be written down: %s", batch.source, error)
            except Exception:
                log.exception("checks of %s broke off", batch.source)

    def _run_claimed(self, batch: CheckBatch) -> None:
        with self._context.ledger.read() as reading:
            claimed = reading.claimed_monitors(batch, self._context.clock.now())
        checks = [to_claimed_check(monitor, standing, batch.owner) for monitor, standing in claimed]
        if not checks:
            return
        running = self._add_running(batch.source, checks)
        with self._lock:
            hanging = sum(one.is_abandoned for one in self._running if one.source == batch.source)
        if hanging >= MAX_HANGING_BATCHES:
            self._abandon(running, say("The source has not answered earlier checks yet."))
            self._remove_running(running)
        else:
            self._run(running)

    def check_now(self, monitor_id: str) -> MonitorState:
        """Check one monitor now, out of turn, and return where it stands then.

        Raises UnknownRequest for none, and BadInput where it is paused, or is being checked at this moment.
        """
        with self._context.ledger.read() as reading:
            monitor, standing = reading.monitor(monitor_id), reading.monitor_state(monitor_id)
        if monitor.is_paused or monitor.removed_at:
            raise BadInput("It is paused, so it is not checked. Resume it first.")
        claimed = self._claim([(monitor, standing)])
        if not claimed:
            raise BadInput("It is being checked at this moment; look again in a few seconds.")
        self._run(self._add_running(monitor.rule.source, claimed))
        with self._context.ledger.read() as reading:
            return reading.monitor_state(monitor_id)

    def purge(self, retention: timedelta) -> int:
        """Throw away what is older than `keep`, checks not before five weeks; return how many rows.

        What a baseline is made of stays. Where no check has made it yet, because the monitor is paused or its source is
        away, it's made first.
        """
        now = self._context.clock.now()
        with self._context.ledger.read() as reading:
            made = self._missing_baselines(reading, now)
        with self._context.ledger.write() as tx:
            tx.save_baselines(made)
            return tx.purge(measurements_before=now - max(retention, CHECK_RETENTION), readings_before=now - retention)

    def _missing_baselines(self, reader: Ledger, now: datetime) -> list[FrozenBaseline]:
        """Return the baselines of the present terms that aren't in the ledger yet."""
        monitors = [one for one in reader.monitors() if one.rule.uses_frozen_baseline]
        terms = self.current_terms(reader, {one.model for one in monitors})
        stored = reader.baselines([one.id for one in monitors])
        found = []
        for one in monitors:
            term = terms[one.model]
            if term is None or now < term.since:
                continue
            past = LedgerMonitorHistory(reader, one, term, now, Reading(), stored=stored.get(one.id))
            try:
                past.frozen_baseline()
            except RegistrarError:
                raise  # the ledger is away: nothing can be swept either
            except Exception:  # of one monitor, which says so at its next check; old checks are removed anyway
                log.exception("the baseline of the monitor %s of %s can't be made", one.name, one.model)
            found += [past.new_baseline] if past.new_baseline else []
        return found

    def close(self) -> None:
        """Wait a moment for what is under way, and give up the rest: whoever is there later checks those slots."""
        self._dispatcher.close()
        with self._lock:
            for running in self._running:
                running.is_abandoned = True

    def _claim_due(self) -> list[ClaimedCheck]:
        """Take what is due and nobody is at; of several processes one at a time does."""
        with self._context.ledger.read() as reading:
            due = reading.due_monitors(self._context.clock.now(), MAX_DUE_CHECKS)
        claimed: list[ClaimedCheck] = []
        for at in range(0, len(due), BATCH_SIZE):  # a commit for every hundred keeps nobody waiting
            with self._context.ledger.write() as tx:
                if not tx.try_lock("tick"):
                    break
                claimed += self._claim_slots(tx, due[at : at + BATCH_SIZE])
        return claimed

    def _claim(self, due: Sequence[tuple[Monitor, MonitorState]]) -> list[ClaimedCheck]:
        """Take those of these checks that nobody else is at."""
        if not due:
            return []
        with self._context.ledger.write() as tx:
            return self._claim_slots(tx, due)

    def _claim_slots(self, tx: LedgerTransaction, due: Sequence[tuple[Monitor, MonitorState]]) -> list[ClaimedCheck]:
        now, owner = self._context.clock.now(), self._context.owner
        checks = [to_claimed_check(monitor, standing, owner) for monitor, standing in due]
        slots = {(one.monitor.id, one.slot): now + max_duration(one.monitor) + 2 * TIMEOUT_MARGIN for one in checks}
        taken = tx.claim_slots(slots, owner, now)
        return [one for one in checks if (one.monitor.id, one.slot) in taken]

    def _dispatch(self, checks: Sequence[ClaimedCheck]) -> None:
        """Have claimed checks made, in batches by their source; where that fails their claims lapse."""
        batches = [
            CheckBatch(
                source, self._context.owner, tuple((one.monitor.id, one.slot) for one in some[at : at + BATCH_SIZE])
            )
            for source, some in _group_by_source(checks).items()
            for at in range(0, len(some), BATCH_SIZE)
        ]
        self._dispatcher.dispatch(batches)

    def _add_running(self, source: str, checks: list[ClaimedCheck]) -> _RunningBatch:
        running = _RunningBatch(source, checks, self._deadline(checks))
        with self._lock:
            self._running.append(running)
        return running

    def _deadline(self, checks: Iterable[ClaimedCheck]) -> float:
        return self._monotonic() + (max(max_duration(one.monitor) for one in checks) + TIMEOUT_MARGIN).total_seconds()

    def _abandon_hanging(self) -> None:
        with self._lock:
            late = [one for one in self._running if not one.is_abandoned and self._monotonic() > one.deadline]
        for running in late:
            log.warning("the source %s hangs: %s checks are given up", running.source, len(running.checks))
            self._abandon(running, say("The source did not answer in time."))

    def _abandon(self, running: _RunningBatch, why: Sentence) -> None:
        """Write the checks down as errors; what the hanging thread brings later finds its claim gone."""
        running.is_abandoned = True
        answers = [Answer(outcome=CheckOutcome.ERROR, why=why)] * len(running.checks)
        self._judge_and_record(running.checks, answers)

    def _remove_running(self, running: _RunningBatch) -> None:
        with self._lock:
            self._running.remove(running)

    def _handle_clock_step(self) -> None:
        """Where somebody set the clock back, the next checks would be far away: they are brought back with it."""
        (wall, mono), now, ticks = self._last_times, self._context.clock.now(), self._monotonic()
        self._last_times = (now, ticks)
        stepped = (now - wall) - timedelta(seconds=ticks - mono)
        if stepped > -CLOCK_TOLERANCE:
            return  # set forward, everything is due at once, and once only
        log.warning("the clock was set back by %s: the checks go with it", -stepped)
        with self._context.ledger.write() as tx:
            standings = tx.monitor_states()
            for monitor in tx.monitors():
                there, latest = standings.get(monitor.id), monitor.latest_check_at(now)
                # One that is not too far away was brought back by another process, or the step was small.
                if there is not None and there.next_at is not None and there.next_at > latest:
                    tx.save_monitor_state(replace(there, next_at=there.next_at + stepped))

    # -- one batch ---------------------------------------------------------------------------------------------

    def _run(self, running: _RunningBatch) -> None:
        """Measure, judge and write down."""
        try:
            answers = self.query_source(running.source, running.checks)
            if not running.is_abandoned:
                self._judge_and_record(running.checks, answers)
        finally:
            self._remove_running(running)

    def query_source(self, source: str, checks: Sequence[ClaimedCheck]) -> list[Answer]:
        """Return the source's answer to each check; those that failed are asked for again, as often as they may be."""
        now = self._context.clock.now()
        with self._context.ledger.read() as reading:
            terms = self.current_terms(reading, {one.monitor.model for one in checks})
        answers: dict[int, Answer] = {}
        queries: dict[int, Query] = {}
        for at, one in enumerate(checks):
            term = terms[one.monitor.model]
            if term is None:
                answers[at] = Answer()
            else:
                queries[at] = build_query(one, term, now)
        for attempt in range(1 + max((one.monitor.rule.retries for one in checks), default=0)):
            left = [
                at for at in queries if _needs_query(answers.get(at)) and attempt <= checks[at].monitor.rule.retries
            ]
            if not left:
                break
            answers |= dict(zip(left, self._read_source(source, [queries[at] for at in left]), strict=True))
        return [answers[at] for at in range(len(checks))]

    def _read_source(self, source: str, queries: list[Query]) -> list[Answer]:
        try:
            answers = self._sources.read(source, queries)
            if len(answers) != len(queries):
                raise ValueError(f"{len(answers)} answers to {len(queries)} queries")
        except RegistrarError as error:
            answers = [Answer(outcome=CheckOutcome.ERROR, why=error.sentence)] * len(queries)
        except Exception as error:  # a plug-in may raise what it likes
            log.exception("the source %s raised", source)
            why = say("The source raised an error ({kind}); the log has it.", kind=type(error).__name__)
            answers = [Answer(outcome=CheckOutcome.ERROR, why=why)] * len(queries)
        return answers

    def _judge_and_record(self, checks: Sequence[ClaimedCheck], answers: Sequence[Answer]) -> None:
        """Judge the answers, write everything down, and let what was decided be done."""
        checked = self.judge_all(checks, answers)
        beside = self._claim(self._related_checks(checked))
        if beside:
            checked += self.judge_all(beside, self.query_source(beside[0].monitor.rule.source, beside))
        self._record(checked)

    def _related_checks(self, results: Sequence[CheckResult]) -> list[tuple[Monitor, MonitorState]]:
        """Return the other monitors of a source of which one is about to roll back: do they fail as well?

        They are checked early, in the same transaction: where many fail together, it is the source. That is done once,
        when it has just failed, since each check counts for them as well. Of a source with very many monitors those are
        asked that were checked longest ago, as a sample.
        """
        about_to = {one.monitor.rule.source for one in results if one.verdict.is_new_failure and one.monitor.is_armed}
        if not about_to:
            return []
        mine, now = {one.monitor.id for one in results}, self._context.clock.now()
        with self._context.ledger.read() as reading:
            there = [one for one in reading.monitors() if one.rule.source in about_to and not one.is_paused]
            if len(there) < COMMON_CAUSE_COUNT:
                return []
            standings = reading.monitor_states()
        others = [(one, standings[one.id]) for one in there if one.id not in mine and one.id in standings]
        stale = [
            (one, standing) for one, standing in others if standing.at is None or now - standing.at > RECENT_CHECK_AGE
        ]
        return sorted(stale, key=lambda pair: pair[1].at or pair[0].created_at)[:BATCH_SIZE]

    def judge_all(self, checks: Sequence[ClaimedCheck], answers: Sequence[Answer]) -> list[CheckResult]:
        now = self._context.clock.now()
        with self._context.ledger.read() as reading:
            terms = self.current_terms(reading, {one.monitor.model for one in checks})
            stored = reading.baselines([one.monitor.id for one in checks if one.monitor.rule.uses_frozen_baseline])
            own = reading.baselines([one.monitor.id for one in checks if one.monitor.rule.rule == "default"], own=True)
            found = []
            for one, answer in zip(checks, answers, strict=True):
                known = stored.get(one.monitor.id), own.get(one.monitor.id)
                found.append(self._judge_one(reading, one, terms[one.monitor.model], answer, now, known))
            return found

    def _judge_one(
        self,
        reader: Ledger,
        check: ClaimedCheck,
        term: ProductionTerm | None,
        answer: Answer,
        now: datetime,
        stored: StoredBaselines,
    ) -> CheckResult:
        """Judge a check; where that raises, it is an error of this monitor and of no other."""
        try:
            return self._judge(reader, check, term, answer, now, stored)
        except RegistrarError:
            raise  # the ledger is away: nothing can be written down
        except Exception as error:
            log.exception("the check of the monitor %s of %s raised", check.monitor.name, check.monitor.model)
            why = say("The check raised an error ({kind}); the log has it.", kind=type(error).__name__)
            return self._judge(reader, check, term, Answer(outcome=CheckOutcome.ERROR, why=why), now, stored)

    def _evaluate_rule(
        self,
        monitor: Monitor,
        monitor_state: MonitorState,
        term: ProductionTerm,
        reading: Reading,
        now: datetime,
        history: LedgerMonitorHistory,
    ) -> RuleResult | None:
        """Return what the rule says; where it raises, it can't judge."""
        try:
            return evaluate_rule(monitor, monitor_state, term, reading, now, history)
        except RegistrarError:
            raise  # the ledger is away: nothing can be written down
        except Exception as error:
            log.exception("the rule of the monitor %s of %s raised", monitor.name, monitor.model)
            why = say("Its rule raised an error ({kind}); the log has it.", kind=type(error).__name__)
            return RuleResult(is_worse=None, why=why)

    def _record(self, results: Sequence[CheckResult]) -> None:
        prepared = self._incidents.check_rollback_targets(results)
        with self._context.ledger.write() as tx:
            ours = _finish_slots(tx, results)
            written = [one for one in results if (one.monitor.id, one.claim.slot) in ours]
            tx.save_monitor_states([next_state(one) for one in written])
            tx.save_baselines([one.new_baseline for one in written if one.new_baseline is not None])
            tx.save_baselines(
                [one.baseline_replacement.baseline for one in written if one.baseline_replacement is not None], own=True
            )
            for one in written:
                self._announce_better_baseline(tx, one)
            told, models = self._incidents.record(tx, written, prepared)
        for one in written:
            self._context.observer.check_finished(one.verdict.outcome, check_delay(one))
        for model in models:
            self._run_transitions(model)
        if told:
            self._deliver_messages()

    def _announce_better_baseline(self, tx: LedgerTransaction, result: CheckResult) -> None:
        """Say in the version's thread that it's now compared with its own days, since they're better."""
        own, term, monitor = result.baseline_replacement, result.term, result.monitor
        if own is None or own.replaced is None or term is None:
            return
        levels = own.replaced.level, own.baseline.summary.level
        tx.add_audit_event(
            Event(
                at=result.at,
                actor=MONITOR_AUTOMATION,
                tag=EventTag.BASELINE_RATCHETED,
                model=monitor.model,
                subject=f"{monitor.model} {monitor.name}",
                before=format_number(levels[0]),
                after=format_number(levels[1]),
                origin="job",
                evidence={
                    "version": term.version,
                    "since": own.baseline.since.isoformat(),
                    "until": own.baseline.until.isoformat(),
                },
            )
        )
        if monitor.effective_action == "dry_run" or monitor.is_silenced(result.at):
            return
        said = monitor_messages.baseline_improved(monitor, term, own.baseline, *levels)
        key, thread = f"better:{monitor.id}:{own.baseline.until.isoformat()}", production_thread(tx, monitor.model)
        channel = self._context.policy.channel_for(monitor.model)
        tx.add_message(thread_message(thread, key, said) if thread else channel_message(key, channel, said))

    def _judge(
        self,
        reader: Ledger,
        check: ClaimedCheck,
        term: ProductionTerm | None,
        answer: Answer,
        now: datetime,
        stored: StoredBaselines,
    ) -> CheckResult:
        monitor = check.monitor
        standing = state_for_term(replace(check.monitor_state, slot=check.slot - 1), monitor, term)
        if term is None:
            why = say("Nothing is in Production.")
            idle = replace(standing, state=MonitorStatus.DISABLED, slot=check.slot, at=now, why=why)
            verdict = Verdict(
                outcome=CheckOutcome.NO_DATA, previous_status=check.monitor_state.state, why=why, monitor_state=idle
            )
            return CheckResult(
                claim=check, term=None, reading=Reading(outcome=CheckOutcome.NO_DATA, why=why), verdict=verdict, at=now
            )
        since, until = query_span(monitor, check.monitor_state, term, now)
        if now < term.since:
            found = Reading(outcome=CheckOutcome.NO_DATA, why=_future_term_reason(term))
        else:
            found = measure(answer, monitor.rule, since=since, until=until, now=now, newest_seen=standing.newest)
        warm = is_warmed_up(monitor, term, now)
        past = LedgerMonitorHistory(reader, monitor, term, now, found, stored=stored[0], own_baseline=stored[1])
        is_new = standing.points == 0 and now >= term.since and found.outcome is not CheckOutcome.ERROR
        if is_new and monitor.rule.uses_frozen_baseline:
            past.frozen_baseline()  # also where nothing is measured for weeks: what it's made of is still there now
        judgement = self._evaluate_rule(monitor, standing, term, found, now, past)
        verdict = assess(
            monitor,
            standing,
            found,
            judgement,
            now=now,
            warmed_up=warm,
            due_since=verdicts_due_since(monitor, term, now),
        )
        return CheckResult(
            claim=check,
            term=term,
            reading=found,
            verdict=verdict,
            at=now,
            new_baseline=past.new_baseline,
            baseline_replacement=past.baseline_replacement,
        )

    def current_terms(self, reader: Ledger, models: Iterable[str]) -> dict[str, ProductionTerm | None]:
        return {model: current_term(reader, model) for model in models}


def _finish_slots(tx: LedgerTransaction, results: Sequence[CheckResult]) -> set[tuple[str, int]]:
    """Write checks down; return which of them were still claimed by whom they were claimed."""
    ours: set[tuple[str, int]] = set()
    for owner in {one.claim.owner for one in results}:
        ours |= tx.finish_slots([to_measurement(one) for one in results if one.claim.owner == owner], owner)
    return ours
