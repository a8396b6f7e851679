"""The command queue: commands are stored first, then executed, and retried while the registry is unavailable."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot import logging_context
from bot.domain.audit.events import Event, EventTag
from bot.domain.commands.base import Command, RegistryChange
from bot.domain.commands.parser import load_command
from bot.domain.commands.promotions import Promote
from bot.domain.core.actors import Caller, actor_id, actor_of
from bot.domain.core.agent import pack_agent
from bot.domain.core.backoff import Backoff
from bot.domain.core.ci_run import pack_ci_run
from bot.domain.core.errors import (
    BadInput,
    GateFailed,
    Refused,
    RegistrarError,
    UnknownRequest,
    Unreachable,
)
from bot.domain.core.sentence import Sentence
from bot.domain.policy.authorization import AccessTarget, Permission, authorize, describe_caller
from bot.domain.promotions.recorded_facts import pack_caller_facts
from bot.domain.promotions.request import Request
from bot.ports import LedgerReader, LedgerTransaction, QueuedCommand, QueuedCommandState
from bot.services.core.access import recording_refusals
from bot.services.core.commands import CommandResult, Origin, RegistryChangeHandlers
from bot.services.core.context import Context
from bot.services.core.outbox_messages import direct_message

log = logging.getLogger(__name__)

# The submitter executes a command at once. After this time, any process can take it over.
ATTEMPT_LEASE = timedelta(seconds=15)
BACKOFF = Backoff(timedelta(seconds=2), timedelta(minutes=1))

# The tags of audit events about promotions, and about other commands.
SUBMITTED = EventTag.PROMOTION_REQUESTED, EventTag.REGISTRY_CHANGE_REQUESTED
REFUSED = EventTag.PROMOTION_REFUSED, EventTag.REGISTRY_CHANGE_REFUSED
CANCELLED = EventTag.PROMOTION_CANCELLED, EventTag.PROMOTION_CANCELLED
FORM_EXPIRED = "This form has expired. Open it again."
CANCELLED_ERROR = "CalledOff"  # stored in place of an error if the caller canceled the command


class IdempotencyKeyReused(Refused):
    """The idempotency key was used before with different content."""


class CommandQueue:
    """Stores registry changes and executes each one with its handler."""

    def __init__(self, context: Context, handlers: RegistryChangeHandlers) -> None:
        self._context = context
        self._handlers = handlers

    def submit(self, caller: Caller, command: RegistryChange, origin: Origin) -> QueuedCommand:
        """Store a command for execution, without reading the registry.

        If the caller has used the idempotency key before, return the earlier command, whatever its state. Raises
        Refused (audited), IdempotencyKeyReused if the earlier command was a different one, BadInput, and
        LedgerUnavailable.
        """
        if isinstance(command, Promote) and command.break_glass and not command.reason:
            raise BadInput("Breaking glass needs a reason. It's posted in the channel and recorded in the audit log.")
        now = self._context.clock.now()
        queued = QueuedCommand(
            id=self._context.new_id(),
            caller=actor_of(caller),
            command=command.dump(),
            where=origin.channel,
            at=now,
            not_before=now + ATTEMPT_LEASE,
            ci=origin.ci or None,
            agent=origin.agent,
            key=origin.idempotency_key,
            digest=origin.digest,
        )
        logging_context.bind(request=queued.id)
        with self._recording_refusals(caller, queued, origin.entry_point) as tx:
            facts = self._require_permission(caller, command)
            is_new = tx.add_queued_command(queued)
            if is_new:
                tx.add_audit_event(
                    self._event(
                        queued,
                        SUBMITTED,
                        origin=origin.entry_point,
                        by=describe_caller(caller, self._context.policy),
                        ci=pack_ci_run(queued.ci) if queued.ci else None,
                        agent=pack_agent(queued.agent) if queued.agent else None,
                        facts=facts,
                    )
                )
            existing = queued if is_new else tx.queued_command_with_key(queued.caller, queued.key or "")
        return require_same_content(existing, queued.digest)

    def cancel(self, caller: Caller, command_id: str, *, reason: str = "", origin: str) -> QueuedCommand:
        """Cancel the caller's command if it's still waiting, and return it; otherwise, return it unchanged.

        Raises UnknownRequest, including for someone else's command.
        """
        with self._context.ledger.write() as tx:
            queued = _get_draft(tx, command_id)
            if queued.caller != actor_of(caller):
                raise UnknownRequest("You have no command with this ID.")
            if queued.state is QueuedCommandState.WAITING:
                queued = replace(queued, state=QueuedCommandState.REFUSED, error=CANCELLED_ERROR, outcome=reason)
                tx.save_queued_command(queued)
                tx.add_audit_event(self._event(queued, CANCELLED, origin=origin, why=reason))
        return queued

    def create_draft(self, caller: Caller, arguments: Mapping[str, Any], *, channel: str) -> str:
        """Store a draft for a modal or a confirmation, and return its ID.

        `arguments` are those typed so far; `channel` is where they came from. Raises Refused (audited) if the caller
        can't submit commands, and LedgerUnavailable.
        """
        draft = QueuedCommand(
            id=self._context.new_id(),
            caller=actor_of(caller),
            command=dict(arguments),
            where=channel,
            at=self._context.clock.now(),
            state=QueuedCommandState.DRAFT,
        )
        with self._recording_refusals(caller, draft, "slack") as tx:
            self._require_permission(caller, None)
            tx.add_queued_command(draft)
        return draft.id

    def get_draft(self, draft_id: str) -> QueuedCommand:
        """Return a draft, with its channel and arguments. Raises UnknownRequest, including for an agent's proposal."""
        with self._context.ledger.read() as reader:
            draft = _get_draft(reader, draft_id)
        if draft.agent is not None:
            raise UnknownRequest(FORM_EXPIRED)
        return draft

    def get_own_draft(self, caller: Caller, draft_id: str) -> QueuedCommand:
        """Return the caller's own draft or command.

        Raises UnknownRequest, and Refused (not audited) if it's someone else's.
        """
        draft = self.get_draft(draft_id)
        if draft.caller != actor_of(caller):
            raise Refused("Only the person who typed this can use it.")
        return draft

    def use_draft(self, caller: Caller, draft_id: str) -> QueuedCommand:
        """Return the caller's draft, and end it so that it's used only once. Raises UnknownRequest and Refused."""
        self.get_own_draft(caller, draft_id)
        with self._context.ledger.write() as tx:
            draft = _get_draft(tx, draft_id)
            if draft.state is not QueuedCommandState.DRAFT:
                raise Refused("That has already run. To run it again, type the command.")
            tx.save_queued_command(replace(draft, state=QueuedCommandState.DONE))
        return draft

    def update_draft(self, caller: Caller, draft_id: str, arguments: Mapping[str, Any]) -> None:
        """Update arguments of the caller's draft, unless it has been submitted. Raises UnknownRequest and Refused."""
        self.get_own_draft(caller, draft_id)
        with self._context.ledger.write() as tx:
            draft = _get_draft(tx, draft_id)
            if draft.state is QueuedCommandState.DRAFT:
                tx.save_queued_command(replace(draft, command=draft.command | dict(arguments)))

    def submit_draft(self, caller: Caller, draft_id: str, *, origin: str) -> QueuedCommand:
        """Submit a draft for execution, on behalf of its author.

        Raises UnknownRequest, Refused (audited, unless the draft has been submitted before), and LedgerUnavailable.
        """
        draft = self.get_draft(draft_id)
        command = load_command(draft.command)
        with self._recording_refusals(caller, replace(draft, caller=actor_of(caller)), origin) as tx:
            facts = self._require_permission(caller, command)
            if draft.caller != actor_of(caller):
                raise Refused("Only the person who typed this command can confirm it.")
            draft, now = _get_draft(tx, draft_id), self._context.clock.now()
            queued = replace(draft, state=QueuedCommandState.WAITING, at=now, not_before=now + ATTEMPT_LEASE)
            if draft.state is QueuedCommandState.DRAFT:
                tx.save_queued_command(queued)
                by = describe_caller(caller, self._context.policy)
                tx.add_audit_event(self._event(queued, SUBMITTED, origin=origin, by=by, facts=facts))
        if draft.state is not QueuedCommandState.DRAFT:
            raise Refused("That's already in progress.")
        return queued

    def _recording_refusals(
        self, caller: Caller, queued: QueuedCommand, origin: str
    ) -> AbstractContextManager[LedgerTransaction]:
        by = describe_caller(caller, self._context.policy)
        return recording_refusals(
            self._context.ledger,
            lambda error: self._event(queued, REFUSED, origin=origin, why=str(error.sentence), by=by),
        )

    def _require_permission(self, caller: Caller, command: Command | None) -> dict[str, Any]:
        """Raise Refused if the caller can't submit the command or, if it's None, any command.

        Return the facts that the decision is based on.
        """
        permission = (command.required_permission if command else None) or Permission.REQUEST
        target = AccessTarget(model=getattr(command, "model", None), target=getattr(command, "to", None))
        decision = authorize(caller, permission, target, self._context.policy, self._context.clock.now())
        if not decision:
            raise Refused(decision.reason)
        return pack_caller_facts(caller, decision, self._context.active_policy.revision)

    def execute(self, command_id: str, *, notify_caller: bool = False) -> CommandResult:
        """Execute a command and return its result; with `notify_caller`, send the answer as a direct message.

        Raises BadInput, Refused, or RegistryRefused if the command is refused, which ends it and records the reason in
        the audit log. Raises Unreachable if `execute_due` will retry it.
        """
        with self._context.ledger.read() as reader:
            queued = reader.queued_command(command_id)
            if queued.request:
                return CommandResult(request=reader.request(queued.request))
        with logging_context.bound(request=queued.id, actor=actor_id(queued.caller)):
            try:
                command = load_command(queued.command)
                # For a promotion, the handler returns the request that exists or raises its own error.
                if queued.state is not QueuedCommandState.WAITING and not isinstance(command, Promote):
                    raise Refused("This has already been done or refused.")
                assert isinstance(command, RegistryChange)
                result = self._handlers[type(command)](queued, command)
            except Unreachable as error:
                self._retry_later(queued, error)
                raise
            except RegistrarError as error:
                existing = self._refuse(queued, error, notify_caller=notify_caller)
                if existing is None:
                    raise
                return CommandResult(request=existing)
        if notify_caller and result.answer:
            with self._context.ledger.write() as tx:
                _add_reply(tx, queued, result.answer)
        return result

    def execute_due(self) -> list[CommandResult]:
        """Retry the commands that are due, send their callers the answers, and return the results.

        Stops at the first one that raises Unreachable. Only one process at a time executes a command. If it dies or
        takes too long, another one takes over. Nothing is executed until the startup check has passed.
        """
        if not self._context.startup_check.has_passed():
            return []
        with self._context.ledger.read() as reader:
            due_ids = reader.due_command_ids(self._context.clock.now())
        results = []
        for command_id in due_ids:
            with self._context.ledger.write() as tx:
                is_claimed = tx.claim(QueuedCommand, command_id, self._context.claim(ATTEMPT_LEASE))
            if not is_claimed:
                continue
            try:
                results.append(self.execute(command_id, notify_caller=True))
            except Unreachable:
                break
            except RegistrarError:  # the caller got a message, and the audit log has the reason
                log.info("command %s was refused", command_id)
            except Exception:  # one broken command must not block those behind it
                log.exception("command %s failed", command_id)
                with self._context.ledger.read() as reader:
                    queued = reader.queued_command(command_id)
                self._retry_later(queued, None)
        return results

    def _retry_later(self, queued: QueuedCommand, error: Unreachable | None) -> None:
        """Schedule a retry: soon if the registry is unavailable, since a probe comes first; otherwise, with backoff."""
        is_lost = self._context.availability.note_failure(error)
        delay = BACKOFF.delay(1 if is_lost else queued.attempts + 1)
        retried = replace(queued, attempts=queued.attempts + 1, not_before=self._context.clock.now() + delay)
        with self._context.ledger.write() as tx:
            if tx.queued_command(queued.id).state is QueuedCommandState.WAITING:
                tx.save_queued_command(retried)

    def _refuse(self, queued: QueuedCommand, error: RegistrarError, *, notify_caller: bool) -> Request | None:
        """Refuse the command, and return None; if another thread has opened its request by now, return that instead."""
        with self._context.ledger.write() as tx:
            current = tx.queued_command(queued.id)
            if current.request:
                return tx.request(current.request)
            if current.state is QueuedCommandState.WAITING:  # otherwise another thread has already refused it
                self.mark_refused(tx, queued, error, notify_caller=notify_caller)
        return None

    def mark_refused(
        self, tx: LedgerTransaction, queued: QueuedCommand, error: RegistrarError, *, notify_caller: bool
    ) -> None:
        """Record in `tx` that the command is refused because of `error`, and audit it."""
        why, kind = str(error.sentence), type(error).__name__
        tx.save_queued_command(replace(queued, state=QueuedCommandState.REFUSED, error=kind, outcome=why))
        seen = error.evidence if isinstance(error, GateFailed) else None
        tx.add_audit_event(self._event(queued, REFUSED, origin="registrar", why=why, error=kind, seen=seen))
        if notify_caller:
            _add_reply(tx, queued, error.sentence, command_id=queued.id if _has_form(queued) else "")

    def _event(
        self, queued: QueuedCommand, tags: tuple[EventTag, EventTag], *, origin: str, why: str = "", **evidence: object
    ) -> Event:
        """Return an audit event about a command.

        `tags` has the tag for promotions and the one for other commands. The event's evidence is the command's
        arguments and the `evidence` that isn't empty.
        """
        model = queued.command.get("model")
        is_promotion = str(queued.command.get("verb", Promote.verb)) == Promote.verb
        return Event(
            at=self._context.clock.now(),
            actor=queued.caller,
            tag=tags[0] if is_promotion else tags[1],
            subject=f"ask:{queued.id}",
            model=str(model) if model else None,
            why=why,
            origin=origin,
            evidence=queued.command | {key: value for key, value in evidence.items() if value},
        )


def require_same_content(existing: QueuedCommand | None, digest: str | None) -> QueuedCommand:
    """Return `existing`, the command with the caller's idempotency key.

    Raises IdempotencyKeyReused if it's a different one.
    """
    if existing is None or existing.digest != digest:
        raise IdempotencyKeyReused(
            "This idempotency key was already used for a different command, so nothing changed. Use a new key."
        )
    return existing


def mark_done(tx: LedgerTransaction, queued: QueuedCommand, outcome: str = "") -> bool:
    """Mark a waiting command as done with its `outcome`; return False if it isn't waiting."""
    if tx.queued_command(queued.id).state is not QueuedCommandState.WAITING:
        return False
    tx.save_queued_command(replace(queued, state=QueuedCommandState.DONE, outcome=outcome))
    return True


def _add_reply(tx: LedgerTransaction, queued: QueuedCommand, sentence: Sentence, command_id: str = "") -> None:
    tx.add_message(*direct_message(f"ask:{queued.id}", f"direct:ask:{queued.id}", queued.caller, sentence, command_id))


def _has_form(queued: QueuedCommand) -> bool:
    try:
        return load_command(queued.command).has_form
    except BadInput:  # that's what's wrong with it
        return False


def _get_draft(reader: LedgerReader, draft_id: str) -> QueuedCommand:
    try:
        return reader.queued_command(draft_id)
    except KeyError:
        raise UnknownRequest(FORM_EXPIRED) from None
