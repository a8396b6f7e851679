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
from datetime import timedelta

from bot import logging_context
from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import MONITOR_AUTOMATION
from bot.domain.core.errors import BadInput, RegistrarError
from bot.domain.core.numbers import format_number
from bot.domain.core.sentence import Sentence, say
from bot.domain.monitoring import messages as monitor_messages
from bot.domain.monitoring.incident import COMMON_CAUSE_COUNT
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import Answer, CheckOutcome
from bot.domain.monitoring.state import MonitorState
from bot.domain.policy.monitor_validation import CHECK_RETENTION
from bot.ports import CheckBatch, Dispatcher, LedgerTransaction
from bot.services.core.context import Context
from bot.services.core.outbox_messages import channel_message, thread_message
from bot.services.core.threads import production_thread
from bot.services.monitoring.checks import (
    CheckResult,
    ClaimedCheck,
    SourceReader,
    check_delay,
    group_by_source,
    max_duration,
    next_state,
    to_claimed_check,
    to_measurement,
)
from bot.services.monitoring.evaluation import CheckEvaluator
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
        self._evaluator = CheckEvaluator(context, sources)
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
            made = self._evaluator.missing_baselines(reading, now)
        with self._context.ledger.write() as tx:
            tx.save_baselines(made)
            return tx.purge(measurements_before=now - max(retention, CHECK_RETENTION), readings_before=now - retention)

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
            for source, some in group_by_source(checks).items()
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
            answers = self._evaluator.query_source(running.source, running.checks)
            if not running.is_abandoned:
                self._judge_and_record(running.checks, answers)
        finally:
            self._remove_running(running)

    def _judge_and_record(self, checks: Sequence[ClaimedCheck], answers: Sequence[Answer]) -> None:
        """Judge the answers, write everything down, and let what was decided be done."""
        checked = self._evaluator.judge_all(checks, answers)
        beside = self._claim(self._related_checks(checked))
        if beside:
            checked += self._evaluator.judge_all(
                beside, self._evaluator.query_source(beside[0].monitor.rule.source, beside)
            )
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


def _finish_slots(tx: LedgerTransaction, results: Sequence[CheckResult]) -> set[tuple[str, int]]:
    """Write checks down; return which of them were still claimed by whom they were claimed."""
    ours: set[tuple[str, int]] = set()
    for owner in {one.claim.owner for one in results}:
        ours |= tx.finish_slots([to_measurement(one) for one in results if one.claim.owner == owner], owner)
    return ours
