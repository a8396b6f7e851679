"""Runs monitors' checks: claims those that are due, evaluates them by source, and saves the results.

A check that hangs or raises doesn't stop others, because each batch has its own thread. If a batch exceeds its time
limit, its checks end with ERROR, and the monitors are checked again in their next slot.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from bot import logging_context
from bot.domain.audit.events import Event, EventTag
from bot.domain.commands.monitoring import MonitorCheck
from bot.domain.core.actors import MONITOR_AUTOMATION, Caller
from bot.domain.core.errors import BadInput, RegistrarError
from bot.domain.core.numbers import format_number
from bot.domain.core.sentence import Sentence, say
from bot.domain.monitoring import messages as monitor_messages
from bot.domain.monitoring.incident import COMMON_CAUSE_COUNT
from bot.domain.monitoring.monitor import JITTER, MAX_EARLY, Monitor, MonitorState, with_soon_due
from bot.domain.monitoring.readings import Answer, CheckOutcome
from bot.domain.policy.monitor_validation import CHECK_RETENTION
from bot.ports import CheckBatch, Dispatcher, LedgerTransaction
from bot.services.core.commands import ChangeHandlers, CommandResult
from bot.services.core.context import Context
from bot.services.core.outbox_messages import channel_message, production_thread, thread_message
from bot.services.monitoring.check_evaluation import CheckEvaluator
from bot.services.monitoring.checks import CheckResult, ClaimedCheck, SourceReader
from bot.services.monitoring.incident_updates import Incidents
from bot.services.monitoring.monitor_lookup import find_monitor
from bot.services.monitoring.thread_dispatcher import ThreadDispatcher

log = logging.getLogger(__name__)

MAX_DUE_CHECKS = 1000  # most checks that one tick claims
BATCH_SIZE = 100  # checks of one source that are queried and saved together
TIMEOUT_MARGIN = timedelta(seconds=5)  # added to the source's own time limits before a check counts as hung
MAX_HANGING_BATCHES = 8  # for one source; it isn't queried again until one of them returns
CLOCK_TOLERANCE = timedelta(seconds=30)  # drift between wall and monotonic clock that isn't a clock change
RECENT_CHECK_AGE = timedelta(seconds=2)  # a check this recent isn't repeated when looking for a common cause


@dataclass(slots=True)
class _RunningBatch:
    """Checks of one source that are running in this process. `deadline` is in seconds on the monotonic clock."""

    source: str
    checks: list[ClaimedCheck]
    deadline: float
    is_abandoned: bool = False


class MonitorScheduler:
    """Checks monitors on schedule. It claims due checks; the dispatcher calls `run_batch` to run them.

    `run_transitions` runs a model's pending transitions, and `deliver_messages` sends what's in the outbox; both are
    called after a transaction. Without a dispatcher, threads of this process run the checks. `monotonic` returns
    seconds, unaffected by wall-clock changes.
    """

    def __init__(
        self,
        context: Context,
        sources: SourceReader,
        incidents: Incidents,
        *,
        dispatcher: Dispatcher | None = None,
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
        self._dispatcher = dispatcher or ThreadDispatcher()
        self._dispatcher.set_handler(self.run_batch)
        self._last_times = (context.clock.now(), monotonic())

    def start(self) -> None:
        """Start running dispatched batches."""
        self._dispatcher.start()

    # -- the schedule ------------------------------------------------------------------------------------------

    def tick(self) -> int:
        """Claim and dispatch every check that's due; return how many were claimed."""
        self._handle_clock_step()
        self._abandon_hanging()
        claimed = self._claim_due()
        if claimed:
            self._dispatch(claimed)
        return len(claimed)

    def run_batch(self, batch: CheckBatch) -> None:
        """Run the checks of a batch, except those whose claim is lost or whose monitor was paused or removed.

        Never raises; a check that couldn't be saved runs again after its claim expires.
        """
        with logging_context.bound(source=batch.source):
            try:
                self._run_claimed(batch)
            except RegistrarError as error:
                log.warning("checks of %s couldn't be saved: %s", batch.source, error)
            except Exception:
                log.exception("checks of %s failed", batch.source)

    def _run_claimed(self, batch: CheckBatch) -> None:
        with self._context.ledger.read() as reader:
            claimed = reader.claimed_monitors(batch, self._context.clock.now())
        checks = [ClaimedCheck(monitor, monitor_state, batch.owner) for monitor, monitor_state in claimed]
        if not checks:
            return
        with self._running_batch(batch.source, checks) as running:
            with self._lock:
                hanging = sum(other.is_abandoned for other in self._running if other.source == batch.source)
            if hanging >= MAX_HANGING_BATCHES:
                self._abandon(running, say("The source hasn't answered earlier checks yet."))
            else:
                self._run(running)

    def handlers(self) -> ChangeHandlers:
        """Return the handler for `monitor check`."""
        return {MonitorCheck: self._check}

    def _check(self, caller: Caller, command: MonitorCheck, *, origin: str) -> CommandResult:
        with self._context.ledger.read() as reader:
            monitor = find_monitor(reader, command.model, command.name)
        monitor_state = self.check_now(monitor.id)
        return CommandResult(
            answer=monitor_messages.checked_answer(monitor, monitor_state), fields={"state": monitor_state.state.value}
        )

    def check_now(self, monitor_id: str) -> MonitorState:
        """Check one monitor now, regardless of its schedule, and return its state afterward.

        Raises UnknownRequest for an unknown ID, and BadInput if the monitor is paused, removed, or being checked right
        now.
        """
        with self._context.ledger.read() as reader:
            monitor, monitor_state = reader.monitor(monitor_id), reader.monitor_state(monitor_id)
        if monitor.is_paused or monitor.removed_at:
            raise BadInput("This monitor is paused. Resume it, then check it again.")
        claimed = self._claim([(monitor, monitor_state)])
        if not claimed:
            raise BadInput("This monitor is being checked right now. Try again in a few seconds.")
        with self._running_batch(monitor.rule.source, claimed) as running:
            self._run(running)
        with self._context.ledger.read() as reader:
            return reader.monitor_state(monitor_id)

    def purge(self, retention: timedelta) -> int:
        """Delete old readings, idempotent calls, and checks, and expired nonces; return the number of deleted rows.

        Readings and calls are old after `retention`, and checks after the longer of `retention` and `CHECK_RETENTION`.
        Checks that a frozen baseline uses are kept. If no check has made a monitor's baseline yet, because the monitor
        is paused or its source is down, the baseline is made first.
        """
        now = self._context.clock.now()
        with self._context.ledger.read() as reader:
            missing = self._evaluator.missing_baselines(reader, now)
        with self._context.ledger.write() as tx:
            tx.save_baselines(missing)
            return tx.purge(
                measurements_before=now - max(retention, CHECK_RETENTION), readings_before=now - retention, now=now
            )

    def close(self) -> None:
        """Wait briefly for running batches and abandon the rest; those checks run again after their claims expire."""
        self._dispatcher.close()
        with self._lock:
            for running in self._running:
                running.is_abandoned = True

    def _claim_due(self) -> list[ClaimedCheck]:
        """Claim checks that are due, along with those due soon; only one process does this at a time."""
        now = self._context.clock.now()
        with self._context.ledger.read() as reader:
            due = with_soon_due(reader.due_monitors(now + MAX_EARLY, MAX_DUE_CHECKS), now)
        claimed: list[ClaimedCheck] = []
        for at in range(0, len(due), BATCH_SIZE):  # short transactions
            with self._context.ledger.write() as tx:
                if not tx.try_lock("tick"):
                    break
                claimed += self._claim_slots(tx, due[at : at + BATCH_SIZE])
        return claimed

    def _claim(self, due: Sequence[tuple[Monitor, MonitorState]]) -> list[ClaimedCheck]:
        """Claim the checks that no other process has claimed, and return them."""
        if not due:
            return []
        with self._context.ledger.write() as tx:
            return self._claim_slots(tx, due)

    def _claim_slots(self, tx: LedgerTransaction, due: Sequence[tuple[Monitor, MonitorState]]) -> list[ClaimedCheck]:
        checks = [ClaimedCheck(monitor, monitor_state, self._context.owner) for monitor, monitor_state in due]
        claims = {check.key: self._context.claim(check.max_duration + 2 * TIMEOUT_MARGIN) for check in checks}
        claimed = tx.claim_slots(claims)
        return [check for check in checks if check.key in claimed]

    def _dispatch(self, checks: Sequence[ClaimedCheck]) -> None:
        """Dispatch claimed checks in batches by source; if that fails, their claims expire."""
        by_source: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for check in checks:
            by_source[check.monitor.rule.source].append(check.key)
        self._dispatcher.dispatch(
            [
                CheckBatch(source, self._context.owner, tuple(keys[at : at + BATCH_SIZE]))
                for source, keys in by_source.items()
                for at in range(0, len(keys), BATCH_SIZE)
            ]
        )

    @contextmanager
    def _running_batch(self, source: str, checks: list[ClaimedCheck]) -> Iterator[_RunningBatch]:
        """Register the checks as running for the duration of the context."""
        longest = max(check.max_duration for check in checks) + TIMEOUT_MARGIN
        running = _RunningBatch(source, checks, self._monotonic() + longest.total_seconds())
        with self._lock:
            self._running.append(running)
        try:
            yield running
        finally:
            with self._lock:
                self._running.remove(running)

    def _abandon_hanging(self) -> None:
        with self._lock:
            late = [batch for batch in self._running if not batch.is_abandoned and self._monotonic() > batch.deadline]
        for running in late:
            log.warning("source %s isn't responding: abandoned %s checks", running.source, len(running.checks))
            self._abandon(running, say("The source didn't answer in time."))

    def _abandon(self, running: _RunningBatch, why: Sentence) -> None:
        """Record the checks as errors; if the thread finishes later, its claims are gone."""
        running.is_abandoned = True
        answers = [Answer(outcome=CheckOutcome.ERROR, why=why)] * len(running.checks)
        self._judge_and_record(running.checks, answers)

    def _handle_clock_step(self) -> None:
        """If the clock was set back, move the next checks back with it; otherwise, they'd be too far in the future."""
        (wall, mono), now, ticks = self._last_times, self._context.clock.now(), self._monotonic()
        self._last_times = (now, ticks)
        stepped = (now - wall) - timedelta(seconds=ticks - mono)
        if stepped > -CLOCK_TOLERANCE:
            return  # if the clock was set forward, every check is due once
        log.warning("the clock was set back by %s; checks are rescheduled", -stepped)
        with self._context.ledger.write() as tx:
            monitor_states = tx.monitor_states()
            for monitor in tx.monitors():
                state = monitor_states.get(monitor.id)
                # If the check is near enough, another process has already moved it, or the step was small.
                if state is not None and state.next_at and state.next_at > now + monitor.rule.every * (1 + JITTER):
                    tx.save_monitor_state(replace(state, next_at=state.next_at + stepped))

    # -- one batch ---------------------------------------------------------------------------------------------

    def _run(self, running: _RunningBatch) -> None:
        """Query the source, evaluate its answers, and record the results, unless the batch has been abandoned."""
        answers = self._evaluator.query_source(running.source, running.checks)
        if not running.is_abandoned:
            self._judge_and_record(running.checks, answers)

    def _judge_and_record(self, checks: Sequence[ClaimedCheck], answers: Sequence[Answer]) -> None:
        """Evaluate the answers, record the results, and start the resulting actions."""
        results = self._evaluator.judge_all(checks, answers)
        related = self._claim(self._related_checks(results))
        if related:
            results += self._evaluator.judge_all(
                related, self._evaluator.query_source(related[0].monitor.rule.source, related)
            )
        self._record(results)

    def _related_checks(self, results: Sequence[CheckResult]) -> list[tuple[Monitor, MonitorState]]:
        """Return the other monitors of each source that has an armed monitor with a new failure.

        They're checked early and recorded in the same transaction, because a source is suspect if many of its monitors
        fail together. This is done only right after the failure, because it counts as a regular check of those
        monitors. Monitors that were checked recently are left out. If very many remain, only those that were checked
        longest ago are returned, as a sample.
        """
        sources = {
            result.monitor.rule.source
            for result in results
            if result.verdict.is_new_failure and result.monitor.is_armed
        }
        if not sources:
            return []
        own_ids, now = {result.monitor.id for result in results}, self._context.clock.now()
        with self._context.ledger.read() as reader:
            monitors = [
                monitor for monitor in reader.monitors() if monitor.rule.source in sources and not monitor.is_paused
            ]
            if len(monitors) < COMMON_CAUSE_COUNT:
                return []
            monitor_states = reader.monitor_states()
        others = [
            (monitor, monitor_states[monitor.id])
            for monitor in monitors
            if monitor.id not in own_ids and monitor.id in monitor_states
        ]
        stale = [
            (monitor, monitor_state)
            for monitor, monitor_state in others
            if monitor_state.at is None or now - monitor_state.at > RECENT_CHECK_AGE
        ]
        return sorted(stale, key=lambda pair: pair[1].at or pair[0].created_at)[:BATCH_SIZE]

    def _record(self, results: Sequence[CheckResult]) -> None:
        loadability = self._incidents.check_rollback_targets(results)
        with self._context.ledger.write() as tx:
            finished: set[tuple[str, int]] = set()
            for owner in {result.claim.owner for result in results}:
                finished |= tx.finish_slots(
                    [result.measurement for result in results if result.claim.owner == owner], owner
                )
            written = [result for result in results if result.claim.key in finished]
            tx.save_monitor_state(*(result.next_state for result in written))
            tx.save_baselines([result.new_baseline for result in written if result.new_baseline is not None])
            tx.save_baselines(
                [result.baseline_replacement.baseline for result in written if result.baseline_replacement is not None],
                own=True,
            )
            for result in written:
                self._announce_better_baseline(tx, result)
            has_messages, models = self._incidents.record(tx, written, loadability)
        for result in written:
            self._context.observer.check_finished(result.verdict.outcome, result.delay)
        for model in models:
            self._run_transitions(model)
        if has_messages:
            self._deliver_messages()

    def _announce_better_baseline(self, tx: LedgerTransaction, result: CheckResult) -> None:
        """Announce in the version's thread that a better baseline, from its own past days, replaces the old one."""
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
        sentence = monitor_messages.baseline_improved(monitor, term, own.baseline, *levels)
        key, thread = f"better:{monitor.id}:{own.baseline.until.isoformat()}", production_thread(tx, monitor.model)
        channel = self._context.policy.channel_for(monitor.model)
        tx.add_message(thread_message(thread, key, sentence) if thread else channel_message(key, channel, sentence))
