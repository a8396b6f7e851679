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
from bot.process_identity import is_gone
from bot.services.audit.anchoring import Anchoring
from bot.services.core.access import Gatekeeper
from bot.services.core.admins import Admins
from bot.services.core.command_queue import Errands
from bot.services.core.context import Context
from bot.services.core.endpoint_outboxes import Endpoints
from bot.services.core.outbox import Outbox
from bot.services.home.home import Homes
from bot.services.monitoring.incidents import Incidents
from bot.services.monitoring.monitors import Monitors
from bot.services.monitoring.policy_monitors import FileMonitors
from bot.services.monitoring.scheduler import Monitoring
from bot.services.policy.freezes import Freezing
from bot.services.policy.reload import Policies
from bot.services.promotions.requests import Requests
from bot.services.promotions.reviews import Reviews
from bot.services.registry.comparisons import Comparisons
from bot.services.registry.edits import Tending
from bot.services.registry.queries import Lookups
from bot.services.rollbacks.history_import import Importing
from bot.services.rollbacks.rollbacks import Rollbacks
from bot.services.transitions.drift import Watch
from bot.services.transitions.executor import Moves
from bot.services.transitions.registry_tags import Mirror
from bot.services.transitions.restores import Restores
from bot.services.transitions.serving_checks import Servings
from bot.sources.plugins import Sources

log = logging.getLogger(__name__)


class Unsent:
    """The outbox of a terminal: what people must hear is written down, and the bot beside delivers it."""

    def deliver(self, *, wait: float = 0.0) -> None:
        """Leave it."""

    def rest(self, most: float) -> None:
        """Return immediately."""

    def wake(self) -> None:
        """Do nothing: no thread rests."""

    def begin_turn(self, channel: str) -> float:
        """Return 0: nothing has to wait."""
        return 0.0

    def end_turn(self, channel: str) -> None:
        """Do nothing: nothing waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registrar:
    """The services, and the threads that work for them."""

    context: Context
    gatekeeper: Gatekeeper
    lookups: Lookups
    homes: Homes
    comparisons: Comparisons
    errands: Errands
    requests: Requests
    reviews: Reviews
    rollbacks: Rollbacks
    importing: Importing
    tending: Tending
    freezing: Freezing
    anchoring: Anchoring
    policies: Policies | None  # None where the policy is given and in no file
    monitors: Monitors
    monitoring: Monitoring
    incidents: Incidents
    file_monitors: FileMonitors
    sources: Sources
    moves: Moves
    restores: Restores
    mirror: Mirror
    watch: Watch
    outbox: Outbox | Unsent  # to Slack
    events: Endpoints  # to the endpoints that the policy names
    servings: Servings
    directory: Directory
    admins: Admins
    work: ThreadPoolExecutor
    looking: ThreadPoolExecutor

    def later(self, task: Callable[[], object]) -> Future[None]:
        """Do something on a thread of ours. A failure that nobody handled is logged, never lost."""
        return _hand_over(self.work, partial(self.quietly, task))

    def look(self, task: Callable[[], object]) -> Future[None]:
        """Look something up on one of a few threads: many that compute would keep acknowledgements waiting."""
        return _hand_over(self.looking, partial(self.quietly, task))

    def quietly(self, task: Callable[[], object]) -> None:
        """Do something that nobody waits for: what goes wrong is logged, and never stops the next one."""
        with logging_context.about():
            try:
                task()
            except RegistrarError as error:
                log.warning("%s", error)
            except Exception:
                log.exception("something that nobody foresaw")

    def move(self, model: str) -> None:
        """Make the model's moves and tell of them."""
        logging_context.add(model=model)
        self.outbox_soon()
        self.moves.run(model)
        self.outbox.deliver()
        self.later(partial(self.look_again, model))

    def look_again(self, model: str) -> None:
        """Look at a model after a move or at a hint of MLflow's, write its tags, and tell what was found."""
        logging_context.add(model=model)
        if self.context.gate.is_open():  # a look would write over what shows that a backup was restored
            self.mirror.write()
            self.watch.look_at(model)
        self.requests.refresh()
        self.outbox.deliver()

    def changed(self, model: str) -> None:
        """Look at a model soon, as MLflow says that it changed."""
        self.look(partial(self.look_again, model))

    def outbox_soon(self) -> None:
        """Deliver what waits, on another thread."""
        self.later(self.outbox.deliver)

    def recover(self) -> None:
        """Take up what was left: moves of processes that are gone, asks and messages that wait.

        While the registry is lost, it gets one question at a time; the first answer lets everything be tried. What
        expires meanwhile ends without it.
        """
        if not self.context.reach.is_back(self.context.registry):
            for model in self.moves.expired():
                self.later(partial(self.moves.end_expired, model))
        elif self.context.gate.is_open():
            for model in self.moves.unfinished():
                self.later(partial(self._take_up, model))
            for done in self.errands.carry_out_waiting():
                if done.move:
                    self.later(partial(self.move, done.model))
        self.outbox.deliver()

    def _take_up(self, model: str) -> None:
        """Make the model's moves, unless another one has just found the registry lost."""
        if not self.context.reach.is_lost:
            self.move(model)

    def expire(self) -> None:
        """End what nobody decided in time, let cards say what froze or thawed by the clock, and tell."""
        if self.requests.expire() + self.freezing.redraw():
            self.outbox.deliver()

    def remind(self) -> None:
        """Remind those who can decide of what waits for long, and those who can review of broken glass."""
        members = self.directory.members
        if self.requests.remind(members) + self.reviews.remind(members):
            self.outbox.deliver()

    def poll(self) -> None:
        """Look at the registry for what others did, and tell; models that are new get the monitors of the file."""
        if not self.context.gate.is_open():
            return
        found = self.watch.poll() + self.requests.refresh()
        self.file_monitors.sync()
        if found:
            self.outbox.deliver()

    def tend(self) -> None:
        """End incidents that are over, and remind of those that nobody looks after."""
        if self.incidents.tend():
            self.outbox.deliver()

    def sweep(self) -> None:
        """Throw away measurements and pushed readings that are too old to be of use."""
        self.monitoring.sweep(self.sources.keep())

    def take_up_policy(self) -> None:
        """Let an edited policy file hold; what was asked for under another rule ends as out of date."""
        if self.policies and self.policies.take_up():
            self.requests.refresh()
            self.file_monitors.sync()
            self.outbox.deliver()

    def anchor(self) -> None:
        """Write the audit's head down where the policy says, if it is time."""
        if self.context.gate.is_open() and self.anchoring.anchor():
            self.outbox.deliver()

    def take_over(self) -> None:
        """End the leases of processes of this machine that are gone, so that their moves need not wait."""
        with self.context.ledger.write() as tx:
            for owner in tx.owners():
                if is_gone(owner, self.context.owner):
                    tx.disown(owner)

    def drain(self) -> None:
        """Finish what is being worked on, and tell what came of it."""
        self.monitoring.close()
        self.looking.shutdown(wait=True)
        self.work.shutdown(wait=True)
        self.quietly(self.outbox.deliver)
        self.quietly(self.events.deliver)
        self.events.close()

    def close(self) -> None:
        """Finish what is being worked on, and let go of the ledger."""
        self.monitoring.close()
        self.looking.shutdown(wait=True)
        self.work.shutdown(wait=True)
        self.events.close()
        self.sources.close()
        self.context.ledger.close()
        getattr(self.context.registry, "close", lambda: None)()  # only one over a wire or a database has what to close


def _hand_over(pool: ThreadPoolExecutor, task: Callable[[], None]) -> Future[None]:
    """Let a thread of the pool do it. At the end, when it takes nothing more, whoever has begun it goes on himself."""
    task = logging_context.carried(task)
    try:
        return pool.submit(task)
    except RuntimeError:
        done: Future[None] = Future()
        task()
        done.set_result(None)
        return done
