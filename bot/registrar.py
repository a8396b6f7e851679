"""The Registrar object: all services, the worker that executes their decisions, and its jobs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from bot import logging_context
from bot.domain.core.errors import RegistrarError
from bot.fair_pool import FairPool
from bot.ports import Directory, DueWork
from bot.process_identity import is_process_gone
from bot.services.audit.anchoring import Anchoring
from bot.services.audit.streaming import AuditStream
from bot.services.core.access import AccessControl
from bot.services.core.admins import AdminAlerts
from bot.services.core.command_queue import CommandQueue
from bot.services.core.commands import CommandDispatcher
from bot.services.core.context import Context
from bot.services.core.endpoint_outboxes import EndpointOutboxes
from bot.services.core.outbox import Outbox
from bot.services.home.home import Homes
from bot.services.integrity.digests import Digests
from bot.services.monitoring.incident_updates import Incidents
from bot.services.monitoring.monitors import Monitors
from bot.services.monitoring.policy_monitors import PolicyMonitors
from bot.services.monitoring.proposals import MonitorProposals
from bot.services.monitoring.scheduler import MonitorScheduler
from bot.services.policy.freezes import Freezes
from bot.services.policy.reload import PolicyReloader
from bot.services.promotions.decisions import RequestDecisions
from bot.services.promotions.expiry_and_reminders import RequestUpkeep
from bot.services.promotions.reviews import Reviews
from bot.services.registry.edits import RegistryEdits
from bot.services.registry.queries import RegistryQueries
from bot.services.registry.suggestions import Suggestions
from bot.services.rollbacks.history_import import HistoryImporter
from bot.services.rollbacks.rollbacks import Rollbacks
from bot.services.transitions.drift import DriftDetector
from bot.services.transitions.executor import TransitionExecutor
from bot.services.transitions.passports import Passports
from bot.services.transitions.registry_tags import TagWriter
from bot.services.transitions.restores import Restores
from bot.services.transitions.serving_checks import ServingChecks
from bot.sources.plugins import MetricSources

T = TypeVar("T")

log = logging.getLogger(__name__)


class NullOutbox:
    """A terminal's outbox. It delivers nothing, because the bot delivers the messages in the ledger."""

    def deliver(self, *, patience: float = 0.0) -> None:
        """Do nothing."""

    def wait_until_due(self, timeout: float) -> None:
        """Return immediately."""

    def wake(self) -> None:
        """Do nothing, because no thread is waiting."""

    def take_turn(self, channel: str) -> float:
        """Return 0.0, because nothing has to wait."""
        return 0.0

    def end_turn(self, channel: str) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """Executes transitions and delivers messages about them, on the threads of this process."""

    context: Context
    outbox: Outbox | NullOutbox  # to Slack
    transition_executor: TransitionExecutor
    tag_writer: TagWriter
    drift_detector: DriftDetector
    request_upkeep: RequestUpkeep
    listener_pool: FairPool
    worker_pool: FairPool
    query_pool: FairPool

    def submit(self, task: Callable[[], object], owner: str = "") -> Future[None]:
        """Run a task on a worker thread, on behalf of the person `owner`, if any. Logs errors."""
        return _submit_or_run(self.worker_pool, partial(self.run_logged, task), owner)

    def submit_query(self, task: Callable[[], object], owner: str = "") -> Future[None]:
        """Run a query on one of a few threads for queries, so that many queries can't delay acknowledgments."""
        return _submit_or_run(self.query_pool, partial(self.run_logged, task), owner)

    def submit_listener(self, listener: Callable[[], T], owner: str) -> Future[T]:
        """Run a listener, which acknowledges a person's command."""
        return _submit_or_run(self.listener_pool, listener, owner)

    def in_progress(self, owner: str) -> int:
        """Return how many of a person's tasks are waiting or running."""
        return sum(pool.in_progress(owner) for pool in (self.listener_pool, self.worker_pool, self.query_pool))

    @staticmethod
    def run_logged(task: Callable[[], object]) -> None:
        """Run a task without returning its result. Logs errors."""
        with logging_context.bound():
            try:
                task()
            except RegistrarError as error:
                log.warning("%s", error)
            except Exception:
                log.exception("unexpected error")

    def execute_transitions(self, model: str) -> None:
        """Execute the model's due transitions and deliver messages about them."""
        logging_context.bind(model=model)
        self.schedule_delivery()
        self.transition_executor.execute_due(model)
        self.outbox.deliver()
        self.submit(partial(self.refresh_model, model))

    def refresh_model(self, model: str) -> None:
        """Write due tags, check the model for drift, and end outdated requests.

        Runs after a transition or a webhook from MLflow.
        """
        logging_context.bind(model=model)
        if self.context.startup_check.has_passed():  # before that, a new snapshot could hide a restored backup
            self.tag_writer.write_due()
            self.drift_detector.check_model(model)
        self.request_upkeep.end_outdated()
        self.outbox.deliver()

    def schedule_refresh(self, model: str) -> None:
        """Refresh a model soon, because MLflow reported a change."""
        self.submit_query(partial(self.refresh_model, model))

    def schedule_delivery(self) -> None:
        """Deliver waiting messages on a worker thread."""
        self.submit(self.outbox.deliver)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registrar(Worker):
    """The services, and the methods that the jobs call."""

    access_control: AccessControl
    commands: CommandDispatcher
    registry_queries: RegistryQueries
    suggestions: Suggestions
    homes: Homes
    command_queue: CommandQueue
    request_decisions: RequestDecisions
    reviews: Reviews
    rollbacks: Rollbacks
    history_import: HistoryImporter
    edits: RegistryEdits
    freezes: Freezes
    anchoring: Anchoring
    audit_stream: AuditStream
    policy_reloader: PolicyReloader | None  # None if the policy isn't in a file
    monitors: Monitors
    proposals: MonitorProposals
    monitoring: MonitorScheduler
    incidents: Incidents
    policy_monitors: PolicyMonitors
    sources: MetricSources
    restores: Restores
    passports: Passports
    endpoint_outboxes: EndpointOutboxes  # to webhook endpoints
    serving_checks: ServingChecks
    digests: Digests
    directory: Directory
    admins: AdminAlerts

    def due_work(self) -> frozenset[DueWork]:
        """Return the kinds of work that may be due now. Raises LedgerUnavailable."""
        with self.context.ledger.read() as reader:
            due = reader.due_work(self.context.clock.now())
        return due | {DueWork.RECOVERY} if self.context.availability.is_unavailable else due

    def recover(self) -> None:
        """Resume waiting work: unfinished transitions, commands, and messages.

        While the registry is unavailable, only probes it, ends expired transitions, and delivers messages. Everything
        resumes once the registry responds.
        """
        executor = self.transition_executor
        if not self.context.availability.is_available(self.context.registry):
            for model in executor.models_with_expired():
                self.submit(partial(executor.end_expired, model))
        elif self.context.startup_check.has_passed():
            for model in executor.models_with_unfinished():
                self.submit(partial(self._resume_transitions, model))
            for done in self.command_queue.execute_due():
                if done.due_model:
                    self.submit(partial(self.execute_transitions, done.due_model))
        self.outbox.deliver()

    def _resume_transitions(self, model: str) -> None:
        """Execute the model's transitions, unless the registry has become unavailable."""
        if not self.context.availability.is_unavailable:
            self.execute_transitions(model)

    def expire_requests(self) -> None:
        """Expire overdue requests, and redraw cards whose freeze window has begun or ended."""
        if self.request_upkeep.expire_overdue() + self.freezes.redraw_cards():
            self.outbox.deliver()

    def send_reminders(self) -> None:
        """Remind approvers of pending requests, and reviewers of break-glass requests."""
        members = self.directory.member_ids
        if self.request_upkeep.remind_approvers(members) + self.reviews.remind_reviewers(members):
            self.outbox.deliver()

    def poll_registry(self) -> None:
        """Poll the registry for outside changes, and add the policy file's monitors to new models."""
        if not self.context.startup_check.has_passed():
            return
        changes = self.drift_detector.poll() + self.request_upkeep.end_outdated()
        self.policy_monitors.sync()
        if changes:
            self.outbox.deliver()

    def end_and_remind_incidents(self) -> None:
        """End incidents that are over, and remind people of unacknowledged ones."""
        if self.incidents.end_and_remind():
            self.outbox.deliver()

    def delete_old_measurements(self) -> None:
        """Delete measurements and pushed readings that are past their retention."""
        self.monitoring.purge(self.sources.retention())

    def reload_policy(self) -> None:
        """Apply an edited policy file; requests whose rules changed become outdated."""
        if self.policy_reloader and self.policy_reloader.reload():
            self.request_upkeep.end_outdated()
            self.policy_monitors.sync()
            self.outbox.deliver()

    def anchor_audit(self) -> None:
        """Anchor the audit log if that's due under the policy."""
        if self.context.startup_check.has_passed() and self.anchoring.anchor_if_due():
            self.outbox.deliver()

    def stream_audit(self) -> None:
        """Send the next events of the audit log to the policy's audit stream."""
        if self.audit_stream.enqueue_next():
            self.endpoint_outboxes.deliver()

    def release_dead_leases(self) -> None:
        """Release the leases of dead processes on this machine, so that their transitions don't wait."""
        with self.context.ledger.write() as tx:
            for owner in tx.lease_owners():
                if is_process_gone(owner, self.context.owner):
                    tx.release_leases(owner)

    def drain(self) -> None:
        """Finish running work, and deliver the messages about it."""
        self._finish_work()
        self.run_logged(self.outbox.deliver)
        self.run_logged(self.endpoint_outboxes.deliver)
        self.endpoint_outboxes.close()

    def close(self) -> None:
        """Finish running work, and close the ledger, the registry, and all other connections."""
        self._finish_work()
        self.endpoint_outboxes.close()
        self.sources.close()
        self.context.ledger.close()
        self.context.registry.close()
        self.context.tracker.close()

    def _finish_work(self) -> None:
        self.monitoring.close()
        self.listener_pool.shutdown(wait=True)  # first: it gives the others work
        self.query_pool.shutdown(wait=True)
        self.worker_pool.shutdown(wait=True)


def _submit_or_run(pool: FairPool, task: Callable[[], T], owner: str) -> Future[T]:
    """Run the task on the pool, or on this thread if the pool is shutting down."""
    task = logging_context.with_context(task)
    try:
        return pool.submit_for(owner, task) if owner else pool.submit(task)
    except RuntimeError:
        done: Future[T] = Future()
        done.set_result(task())
        return done
