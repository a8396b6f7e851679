"""After a Production transition, notify endpoints and check that they serve the new version."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot import logging_context
from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Automation
from bot.domain.core.errors import RegistrarError, Unreachable
from bot.domain.core.sentence import Sentence
from bot.domain.policy.policy import DEFAULT_CHECK_INTERVAL, WebhookEndpoint
from bot.domain.registry.model import Stage
from bot.domain.rollbacks.rollback_targets import BEFORE_REGISTRAR
from bot.domain.transitions import serving_messages as words
from bot.domain.transitions.serving_check import (
    ServingCheck,
    ServingCheckState,
    ServingReport,
    apply_report,
    start_serving_check,
    transition_event,
)
from bot.domain.transitions.transition import Transition, TransitionState
from bot.ports import LedgerTransaction, MessageKind, OutboxMessage, ServingProbes
from bot.services.core.context import Context
from bot.services.core.outbox_messages import thread_message
from bot.services.transitions.rollback_records import progress_messages

log = logging.getLogger(__name__)

EVENT_MAX_AGE = timedelta(hours=24)  # how long delivery to an endpoint is retried
EVENT_CONCURRENCY = 4  # models whose events go to one endpoint at the same time
CLAIM_LEASE = timedelta(seconds=30)  # longer than a probe takes; then another process can take over
PROBE_CONCURRENCY = 8  # probes at the same time, so that one that hangs doesn't delay the others
PROBE_ACTOR = Automation("serving-probe")
NOTIFY_ACTOR = Automation("notify")


def schedule_serving_check(tx: LedgerTransaction, context: Context, transition: Transition, ordering_key: str) -> None:
    """Queue events about a finished Production transition for its endpoints, and start a serving check.

    Call this in the transaction that ends the transition. Does nothing for other transitions, or for versions that were
    in Production before Registrar. `ordering_key` names the thread for results; empty for none.
    """
    is_of_production = Stage.PRODUCTION in {transition.target, transition.from_stage}
    if transition.state is not TransitionState.DONE or not is_of_production or transition.why == BEFORE_REGISTRAR:
        return
    for endpoint in context.policy.endpoints_for(transition.model):
        tx.add_message(_event_message(tx, context, transition, endpoint, ordering_key))
    previous = tx.latest_serving_check(transition.model)
    is_pending = previous is not None and previous.state is ServingCheckState.PENDING
    if previous and is_pending and previous.move != transition.id:  # its result no longer matters
        superseded = replace(previous, state=ServingCheckState.SUPERSEDED, next_at=None)
        if tx.save_serving_check(superseded):
            _announce(tx, context, superseded, words.serving_superseded_announcement(previous))
    probe = context.policy.probe_for(transition.model)
    if probe and transition.target is Stage.PRODUCTION:
        check = start_serving_check(transition, ordering_key, context.clock.now(), probe.timeout)
        tx.save_serving_check(check)
        if not progress_messages(tx, context, transition, ""):  # the message about the transition's end shows it, too
            _announce(tx, context, check, words.serving_pending_announcement(transition))


def _announce(tx: LedgerTransaction, context: Context, check: ServingCheck, sentence: Sentence) -> None:
    """Show a check's new state in its transition's message, and in a thread if it has none or people must act.

    An incident reports its result when it ends, so a timeout isn't repeated in its thread.
    """
    transition = tx.transition(check.move)
    redraws = progress_messages(tx, context, transition, f"serving-{check.state.value}")
    tx.add_message(*redraws)
    is_problem = check.state is ServingCheckState.TIMED_OUT and not transition.incident
    if check.lane and (is_problem or not redraws):
        tx.add_message(thread_message(check.lane, f"{check.state.value}:{check.move}", sentence))


def _event_message(
    tx: LedgerTransaction, context: Context, transition: Transition, endpoint: WebhookEndpoint, ordering_key: str
) -> OutboxMessage:
    """Return the message for an endpoint. The body is built once, here, so every retry sends the same one."""
    request = tx.request(transition.request) if transition.request else None
    event = transition_event(
        transition, request.reason if request else transition.reason, request, tx.votes(request.id) if request else ()
    )
    body = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return OutboxMessage(
        key=f"event:{transition.id}:{endpoint.key}",
        lane=f"event:{endpoint.key}:{transition.model}",
        kind=MessageKind.EVENT,
        to=endpoint.key,
        created_at=context.clock.now(),
        data={
            "body": body,
            "thread": ordering_key,
            "model": transition.model,
            "version": transition.version,
            "shown": endpoint.display_name,
        },
    )


def record_undelivered_event(
    tx: LedgerTransaction, context: Context, message: OutboxMessage, why: str, limit: timedelta | None
) -> None:
    """Record an undelivered event in the audit log and the thread; `limit` is the maximum age, if it was exceeded.

    Does nothing for audit streams, because their events are dropped only if the policy doesn't have the stream anymore,
    which the audit log already shows.
    """
    if message.kind is not MessageKind.EVENT:
        return
    announcement = words.webhook_given_up_announcement(message.data["shown"], why, limit=limit)
    tx.add_audit_event(
        Event(
            at=context.clock.now(),
            actor=NOTIFY_ACTOR,
            tag=EventTag.WEBHOOK_GIVEN_UP,
            subject=message.data["shown"],
            model=message.data["model"],
            after=f"v{message.data['version']}",
            why=why,
            origin="job",
            evidence={"event": message.key},
        )
    )
    if message.data["thread"]:
        tx.add_message(thread_message(message.data["thread"], message.key, announcement))


class ServingChecks:
    """Polls endpoints until they report the registry's version, or the check times out."""

    def __init__(self, context: Context, probes: ServingProbes) -> None:
        self._context = context
        self._probes = probes

    def run_due(self) -> int:
        """Run all due checks in parallel; return how many have ended.

        An error in one check doesn't affect the others; that check is retried until it times out.
        """
        with self._context.ledger.read() as reader:
            due = reader.due_serving_checks(self._context.clock.now())
        if not due:
            return 0
        with ThreadPoolExecutor(min(PROBE_CONCURRENCY, len(due)), thread_name_prefix="probe") as pool:
            return sum(pool.map(self._run_and_log, due))

    def _run_and_log(self, check: ServingCheck) -> bool:
        with logging_context.bound(move=check.move, model=check.model):
            try:
                return self._run(check)
            except RegistrarError as error:
                log.warning("can't confirm that v%s of %s is serving: %s", check.version, check.model, error)
            except Exception:  # a bug with one check must not stop the others
                log.exception("can't check whether v%s of %s is serving", check.version, check.model)
        return False

    def _run(self, check: ServingCheck) -> bool:
        with self._context.ledger.write() as tx:
            if not tx.claim(ServingCheck, check.move, self._context.claim(CLAIM_LEASE)):
                return False
        report, interval = self._probe(check)
        with self._context.ledger.write() as tx:
            return self._record_result(tx, apply_report(check, report, self._context.clock.now(), interval), report)

    def _probe(self, check: ServingCheck) -> tuple[ServingReport, timedelta]:
        """Return the report and the interval until the next probe. Any error becomes a report without a version."""
        probe = self._context.policy.probe_for(check.model)
        if probe is None:
            return ServingReport(None, "the policy no longer says where to check"), DEFAULT_CHECK_INTERVAL
        try:
            return ServingReport(self._probes.serving_version(probe, check.model)), probe.every
        except Unreachable as error:
            return ServingReport(None, str(error.sentence)), probe.every
        except Exception as error:  # whatever a third-party probe raises
            log.exception("can't check which version of %s is serving", check.model)
            return ServingReport(None, type(error).__name__), probe.every

    def _record_result(self, tx: LedgerTransaction, check: ServingCheck, report: ServingReport) -> bool:
        """Save the check; if it has ended, record that in the audit log and the thread. Return whether it has ended."""
        if not tx.save_serving_check(check) or check.state is ServingCheckState.PENDING:
            return False
        is_confirmed = check.state is ServingCheckState.CONFIRMED
        tag = EventTag.SERVING_CONFIRMED if is_confirmed else EventTag.SERVING_TIMED_OUT
        sentence = (
            words.serving_confirmed_announcement(check)
            if is_confirmed
            else words.serving_timed_out_announcement(check, report)
        )
        evidence: dict[str, Any] = {"move": check.move, "version": check.version, "seen": check.seen}
        tx.add_audit_event(
            Event(
                at=self._context.clock.now(),
                actor=PROBE_ACTOR,
                tag=tag,
                subject=check.move,
                model=check.model,
                after=f"v{check.version}",
                why="" if is_confirmed else str(sentence),
                origin="job",
                evidence=evidence,
            )
        )
        _announce(tx, self._context, check, sentence)
        return True
