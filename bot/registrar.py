"""Registrar as one thing: its services, the threads that work for them, and what its jobs do with both."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from bot import logging_context
from bot.domain.core.errors import RegistrarError
from bot.ports import Directory
from bot.process_identity import is_process_gone
from bot.services.audit.anchoring import Anchoring
from bot.services.audit.queries import AuditQueries
from bot.services.core.access import AccessControl
from bot.services.core.admins import AdminAlerts
from bot.services.core.command_queue import CommandQueue
from bot.services.core.context import Context
from bot.services.core.endpoint_outboxes import EndpointOutboxes
from bot.services.core.outbox import Outbox
from bot.services.home.home import Homes
from bot.services.monitoring.incidents import Incidents
from bot.services.monitoring.monitors import Monitors
from bot.services.monitoring.policy_monitors import PolicyMonitors
from bot.services.monitoring.scheduler import MonitorScheduler
from bot.services.policy.freezes import Freezes
from bot.services.policy.queries import PolicyQueries
from bot.services.policy.reload import PolicyReloader
from bot.services.promotions.gate_checks import GateChecks
from bot.services.promotions.queries import RequestQueries
from bot.services.promotions.requests import Requests
from bot.services.promotions.reviews import Reviews
from bot.services.promotions.upkeep import RequestUpkeep
from bot.services.registry.comparisons import Comparisons
from bot.services.registry.edits import RegistryEdits
from bot.services.registry.queries import RegistryQueries
from bot.services.rollbacks.history import ProductionHistory
from bot.services.rollbacks.history_import import HistoryImporter
from bot.services.rollbacks.rollbacks import Rollbacks
from bot.services.transitions.drift import DriftDetector
from bot.services.transitions.executor import TransitionExecutor
from bot.services.transitions.registry_tags import TagWriter
from bot.services.transitions.restores import Restores
from bot.services.transitions.serving_checks import ServingChecks
from bot.sources.plugins import MetricSources

log = logging.getLogger(__name__)


class NullOutbox:
    """The outbox of a terminal: what people must hear is written down, and the bot beside delivers it."""

    def deliver(self, *, patience: float = 0.0) -> None:
        """Leave it."""

    def wait_until_due(self, timeout: float) -> None:
        """Return immediately."""

    def wake(self) -> None:
        """Do nothing: no thread rests."""

    def take_turn(self, channel: str) -> float:
        """Return 0: nothing has to wait."""
        return 0.0

    def end_turn(self, channel: str) -> None:
        """Do nothing: nothing waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registrar:
    """The services, and the threads that work for them."""

    context: Context
    access_control: AccessControl
    registry_queries: RegistryQueries
    request_queries: RequestQueries
    policy_queries: PolicyQueries
    audit_queries: AuditQueries
    history: ProductionHistory
    gate_checks: GateChecks
    homes: Homes
    comparisons: Comparisons
    command_queue: CommandQueue
    requests: Requests
    request_upkeep: RequestUpkeep
    reviews: Reviews
    rollbacks: Rollbacks
    history_import: HistoryImporter
    edits: RegistryEdits
    freezes: Freezes
    anchoring: Anchoring
    policy_reloader: PolicyReloader | None  # None where the policy is given and in no file
    monitors: Monitors
    monitoring: MonitorScheduler
    incidents: Incidents
    policy_monitors: PolicyMonitors
    sources: MetricSources
    transition_executor: TransitionExecutor
    restores: Restores
    tag_writer: TagWriter
    drift_detector: DriftDetector
    outbox: Outbox | NullOutbox  # to Slack
    endpoint_outboxes: EndpointOutboxes  # to the endpoints that the policy names
    serving_checks: ServingChecks
    directory: Directory
    admins: AdminAlerts
    worker_pool: ThreadPoolExecutor
    query_pool: ThreadPoolExecutor

    def submit(self, task: Callable[[], object]) -> Future[None]:
        """Do something on a thread of ours. A failure that nobody handled is logged, never lost."""
        return _submit_or_run(self.worker_pool, partial(self.run_logged, task))

    def submit_query(self, task: Callable[[], object]) -> Future[None]:
        """Look something up on one of a few threads: many that compute would keep acknowledgements waiting."""
        return _submit_or_run(self.query_pool, partial(self.run_logged, task))

    def run_logged(self, task: Callable[[], object]) -> None:
        """Do something that nobody waits for: what goes wrong is logged, and never stops the next one."""
        with logging_context.bound():
            try:
                task()
            except RegistrarError as error:
                log.warning("%s", error)
            except Exception:
                log.exception("something that nobody foresaw")

    def execute_transitions(self, model: str) -> None:
        """Make the model's moves and tell of them."""
        logging_context.bind(model=model)
        self.schedule_delivery()
        self.transition_executor.execute_due(model)
        self.outbox.deliver()
        self.submit(partial(self.refresh_model, model))

    def refresh_model(self, model: str) -> None:
        """Look at a model after a move or at a hint of MLflow's, write its tags, and tell what was found."""
        logging_context.bind(model=model)
        if self.context.startup_check.has_passed():  # a look would write over what shows that a backup was restored
            self.tag_writer.write_due()
            self.drift_detector.check_model(model)
        self.request_upkeep.end_outdated()
        self.outbox.deliver()

    def schedule_refresh(self, model: str) -> None:
        """Look at a model soon, as MLflow says that it changed."""
        self.submit_query(partial(self.refresh_model, model))

    def schedule_delivery(self) -> None:
        """Deliver what waits, on another thread."""
        self.submit(self.outbox.deliver)

    def recover(self) -> None:
        """Take up what was left: moves of processes that are gone, asks and messages that wait.

        While the registry is lost, it gets one question at a time; the first answer lets everything be tried. What
        expires meanwhile ends without it.
        """
        if not self.context.availability.is_available(self.context.registry):
            for model in self.transition_executor.models_with_expired():
                self.submit(partial(self.transition_executor.end_expired, model))
        elif self.context.startup_check.has_passed():
            for model in self.transition_executor.models_with_unfinished():
                self.submit(partial(self._resume_transitions, model))
            for done in self.command_queue.execute_due():
                if done.transition_id:
                    self.submit(partial(self.execute_transitions, done.model))
        self.outbox.deliver()

    def _resume_transitions(self, model: str) -> None:
        """Make the model's moves, unless another one has just found the registry lost."""
        if not self.context.availability.is_unavailable:
            self.execute_transitions(model)

    def expire_requests(self) -> None:
        """End what nobody decided in time, let cards say what froze or thawed by the clock, and tell."""
        if self.request_upkeep.expire_overdue() + self.freezes.redraw_cards():
            self.outbox.deliver()

    def send_reminders(self) -> None:
        """Remind those who can decide of what waits for long, and those who can review of broken glass."""
        members = self.directory.member_ids
        if self.request_upkeep.remind_approvers(members) + self.reviews.remind_reviewers(members):
            self.outbox.deliver()

    def poll_registry(self) -> None:
        """Look at the registry for what others did, and tell; models that are new get the monitors of the file."""
        if not self.context.startup_check.has_passed():
            return
        found = self.drift_detector.poll() + self.request_upkeep.end_outdated()
        self.policy_monitors.sync()
        if found:
            self.outbox.deliver()

    def end_and_remind_incidents(self) -> None:
        """End incidents that are over, and remind of those that nobody looks after."""
        if self.incidents.end_and_remind():
            self.outbox.deliver()

    def delete_old_measurements(self) -> None:
        """Throw away measurements and pushed readings that are too old to be of use."""
        self.monitoring.purge(self.sources.retention())

    def reload_policy(self) -> None:
        """Let an edited policy file hold; what was asked for under another rule ends as out of date."""
        if self.policy_reloader and self.policy_reloader.reload():
            self.request_upkeep.end_outdated()
            self.policy_monitors.sync()
            self.outbox.deliver()

    def anchor_audit(self) -> None:
        """Write the audit's head down where the policy says, if it is time."""
        if self.context.startup_check.has_passed() and self.anchoring.anchor_if_due():
            self.outbox.deliver()

    def release_dead_leases(self) -> None:
        """End the leases of processes of this machine that are gone, so that their moves need not wait."""
        with self.context.ledger.write() as tx:
            for owner in tx.lease_owners():
                if is_process_gone(owner, self.context.owner):
                    tx.release_leases(owner)

    def drain(self) -> None:
        """Finish what is being worked on, and tell what came of it."""
        self.monitoring.close()
        self.query_pool.shutdown(wait=True)
        self.worker_pool.shutdown(wait=True)
        self.run_logged(self.outbox.deliver)
        self.run_logged(self.endpoint_outboxes.deliver)
        self.endpoint_outboxes.close()

    def close(self) -> None:
        """Finish what is being worked on, and let go of the ledger."""
        self.monitoring.close()
        self.query_pool.shutdown(wait=True)
        self.worker_pool.shutdown(wait=True)
        self.endpoint_outboxes.close()
        self.sources.close()
        self.context.ledger.close()
        getattr(self.context.registry, "close", lambda: None)()  # only one over a wire or a database has what to close


def _submit_or_run(pool: ThreadPoolExecutor, task: Callable[[], None]) -> Future[None]:
    """Let a thread of the pool do it. At the end, when it takes nothing more, whoever has begun it goes on himself."""
    task = logging_context.with_context(task)
    try:
        return pool.submit(task)
    except RuntimeError:
        done: Future[None] = Future()
        task()
        done.set_result(None)
        return done
