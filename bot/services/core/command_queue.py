"""The command queue: commands are stored first, then executed, and retried while the registry is unavailable."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bot import logging_context
from bot.domain.audit.events import EventTag
from bot.domain.commands.base import Command, RegistryChange
from bot.domain.commands.parser import load_command
from bot.domain.commands.promotions import Promote
from bot.domain.core.actors import Caller, actor_id, actor_of
from bot.domain.core.ci_run import pack_ci_run
from bot.domain.core.errors import (
    BadInput,
    FilesUnreachable,
    GateFailed,
    Refused,
    RegistrarError,
    RegistryUnreachable,
    UnknownRequest,
    Unreachable,
)
from bot.domain.core.sentence import Sentence, say
from bot.domain.policy.authorization import AccessTarget, Permission, authorize, describe_caller
from bot.ports import LedgerReader, LedgerTransaction, QueuedCommand, QueuedCommandState
from bot.services.core.command_events import command_event, refused_tag, submitted_tag
from bot.services.core.commands import CommandResult, Origin, RegistryChangeHandlers
from bot.services.core.context import Context
from bot.services.core.outbox_messages import direct_message

log = logging.getLogger(__name__)

# The submitter executes a command at once. After this time, any process can take it over.
ATTEMPT_LEASE = timedelta(seconds=15)
RETRY_DELAY = timedelta(seconds=2)  # while the registry is unavailable
MAX_RETRY_DELAY = timedelta(minutes=1)


CANCELLED_ERROR = "CalledOff"  # stored in place of an error if the caller cancelled the command


class IdempotencyKeyReused(Refused):
    """The idempotency key was used before with different content."""


class CommandQueue:
    """Stores registry changes and executes each one with its handler."""

    def __init__(self, context: Context, handlers: RegistryChangeHandlers) -> None:
        self._context = context
        self._handlers = handlers

    def submit(self, caller: Caller, command: RegistryChange, origin: Origin) -> QueuedCommand:
        """Store a command for execution; the registry isn't read.

        With an idempotency key that the caller has used before, the earlier command is returned, whatever its state.
        Raises Refused (audited), IdempotencyKeyReused if the earlier command was a different one, BadInput, and
        LedgerUnavailable.
        """
        if isinstance(command, Promote) and command.break_glass and not command.reason:
            raise BadInput("Breaking the glass needs a reason: the channel reads it, and the audit keeps it.")
        queued = replace(
            self._new_command(caller, command.dump(), origin.channel, QueuedCommandState.WAITING),
            ci=origin.ci or None,
            key=origin.idempotency_key,
            digest=origin.digest,
        )
        logging_context.bind(request=queued.id)
        self._require_permission(caller, command, queued, origin.entry_point)
        with self._context.ledger.write() as tx:
            if not tx.add_queued_command(queued):
                return _require_same_command(tx.queued_command_with_key(queued.caller, queued.key or ""), queued)
            by, ci = describe_caller(caller, self._context.policy), pack_ci_run(queued.ci) if queued.ci else None
            tx.add_audit_event(
                command_event(queued, submitted_tag(queued), queued.at, origin=origin.entry_point, by=by, ci=ci)
            )
        return queued

    def cancel(self, caller: Caller, command_id: str, *, reason: str = "", origin: str) -> QueuedCommand:
        """Cancel the caller's command if it's still waiting, and return it; otherwise, return it unchanged.

        Raises UnknownRequest, also if someone else submitted it.
        """
        with self._context.ledger.write() as tx:
            queued = _get_draft(tx, command_id)
            if queued.caller != actor_of(caller):
                raise UnknownRequest("You asked for nothing with this id.")
            if queued.state is QueuedCommandState.WAITING:
                queued = replace(queued, state=QueuedCommandState.REFUSED, error=CANCELLED_ERROR, outcome=reason)
                tx.save_queued_command(queued)
                tx.add_audit_event(
                    command_event(
                        queued, EventTag.PROMOTION_CANCELLED, self._context.clock.now(), origin=origin, why=reason
                    )
                )
        return queued

    def create_draft(self, caller: Caller, arguments: Mapping[str, Any], *, channel: str) -> str:
        """Store a draft for a modal or a confirmation, and return its id.

        `arguments` are those typed so far; `channel` is where they came from. Raises Refused (audited) if the caller
        can't submit commands, and LedgerUnavailable.
        """
        queued = self._new_command(caller, dict(arguments), channel, QueuedCommandState.DRAFT)
        decision = authorize(
            caller, Permission.REQUEST, AccessTarget(), self._context.policy, self._context.clock.now()
        )
        if not decision:
            self._audit_refusal(queued, caller, decision.reason, "slack")
            raise Refused(decision.reason)
        with self._context.ledger.write() as tx:
            tx.add_queued_command(queued)
        return queued.id

    def get_draft(self, draft_id: str) -> QueuedCommand:
        """Return a draft, with its channel and arguments. Raises UnknownRequest."""
        with self._context.ledger.read() as reader:
            return _get_draft(reader, draft_id)

    def submit_draft(self, caller: Caller, draft_id: str, *, origin: str) -> QueuedCommand:
        """Submit a draft for execution, on behalf of its author.

        Raises UnknownRequest, Refused (audited, except if it has been submitted before), and LedgerUnavailable.
        """
        draft = self.get_draft(draft_id)
        command = load_command(draft.command)
        self._require_permission(caller, command, replace(draft, caller=actor_of(caller)), origin)
        if draft.caller != actor_of(caller):
            why = say("Only whoever typed the command can confirm it.")
            self._audit_refusal(replace(draft, caller=actor_of(caller)), caller, why, origin)
            raise Refused(why)
        with self._context.ledger.write() as tx:
            current = _get_draft(tx, draft_id)
            if current.state is not QueuedCommandState.DRAFT:
                raise Refused("That is under way already.")
            queued = replace(
                current,
                state=QueuedCommandState.WAITING,
                at=self._context.clock.now(),
                not_before=self._attempt_lease_end(),
            )
            tx.save_queued_command(queued)
            tx.add_audit_event(
                command_event(
                    queued,
                    submitted_tag(queued),
                    queued.at,
                    origin=origin,
                    by=describe_caller(caller, self._context.policy),
                )
            )
        return queued

    def execute(self, command_id: str, *, notify_caller: bool = False) -> CommandResult:
        """Execute a command and return its result; with `notify_caller`, send the answer as a direct message.

        Raises BadInput, Refused, or RegistryRefused if the command is refused (it has then ended, and the audit log
        says why), and Unreachable if it's to be retried by `execute_due`.
        """
        with self._context.ledger.read() as reader:
            queued = reader.queued_command(command_id)
            if queued.request:
                return CommandResult(request=reader.request(queued.request))
        with logging_context.bound(request=queued.id, actor=actor_id(queued.caller)):
            return self._execute(queued, notify_caller=notify_caller)

    def _execute(self, queued: QueuedCommand, *, notify_caller: bool) -> CommandResult:
        try:
            result = self._dispatch(queued)
        except Unreachable as error:
            self._retry_later(queued, error)
            raise
        except RegistrarError as error:
            existing = self._refuse(queued, error, notify_caller=notify_caller)
            if existing is None:
                raise
            return existing
        if notify_caller and result.answer:
            self._notify_caller(queued, result.answer)
        return result

    def execute_due(self) -> list[CommandResult]:
        """Retry all commands that are due, and send their callers the answers; return the results.

        Only one process at a time executes a command. If it dies or takes too long, another one takes over. Nothing
        is executed until the startup check has passed.
        """
        if not self._context.startup_check.has_passed():
            return []
        with self._context.ledger.read() as reader:
            due_ids = reader.due_command_ids(self._context.clock.now())
        results = []
        for command_id in due_ids:
            if not self._claim(command_id):
                continue
            try:
                results.append(self.execute(command_id, notify_caller=True))
            except Unreachable:
                break
            except RegistrarError:  # the caller got a message, and the audit log has the reason
                log.info("ask %s was refused", command_id)
            except Exception:  # one broken command must not block those behind it
                log.exception("ask %s cannot be carried out", command_id)
                with self._context.ledger.read() as reader:
                    queued = reader.queued_command(command_id)
                self._retry_later(queued, None)
        return results

    def _claim(self, command_id: str) -> bool:
        now = self._context.clock.now()
        with self._context.ledger.write() as tx:
            return tx.claim_queued_command(command_id, now, now + ATTEMPT_LEASE)

    def _dispatch(self, queued: QueuedCommand) -> CommandResult:
        command = load_command(queued.command)
        # For a promotion, the handler returns the request that exists or raises its own error.
        if queued.state is not QueuedCommandState.WAITING and not isinstance(command, Promote):
            raise Refused("This was done or refused already.")
        assert isinstance(command, RegistryChange)
        return self._handlers[type(command)](queued, command)

    def _require_permission(self, caller: Caller, command: Command, queued: QueuedCommand, origin: str) -> None:
        subject = AccessTarget(model=getattr(command, "model", None), target=getattr(command, "to", None))
        permission = command.required_permission
        assert permission is not None
        decision = authorize(caller, permission, subject, self._context.policy, self._context.clock.now())
        if not decision:
            self._audit_refusal(queued, caller, decision.reason, origin)
            raise Refused(decision.reason)

    def _audit_refusal(self, queued: QueuedCommand, caller: Caller, why: Sentence, origin: str) -> None:
        by, now = describe_caller(caller, self._context.policy), self._context.clock.now()
        with self._context.ledger.write() as tx:
            tx.add_audit_event(command_event(queued, refused_tag(queued), now, why=str(why), origin=origin, by=by))

    def _new_command(
        self, caller: Caller, command: dict[str, Any], channel: str, state: QueuedCommandState
    ) -> QueuedCommand:
        not_before = self._attempt_lease_end() if state is QueuedCommandState.WAITING else None
        return QueuedCommand(
            id=self._context.new_id(),
            caller=actor_of(caller),
            command=command,
            where=channel,
            at=self._context.clock.now(),
            state=state,
            not_before=not_before,
        )

    def _attempt_lease_end(self) -> datetime:
        return self._context.clock.now() + ATTEMPT_LEASE

    def _retry_later(self, queued: QueuedCommand, error: Unreachable | None) -> None:
        """Schedule a retry: soon if the registry is unavailable, since a probe comes first; else with backoff."""
        is_lost = isinstance(error, RegistryUnreachable) and not isinstance(error, FilesUnreachable)
        if is_lost:
            self._context.availability.mark_unavailable()
        delay = RETRY_DELAY if is_lost else min(RETRY_DELAY * 2 ** min(queued.attempts, 10), MAX_RETRY_DELAY)
        retried = replace(queued, attempts=queued.attempts + 1, not_before=self._context.clock.now() + delay)
        with self._context.ledger.write() as tx:
            if tx.queued_command(queued.id).state is QueuedCommandState.WAITING:
                tx.save_queued_command(retried)

    def _refuse(self, queued: QueuedCommand, error: RegistrarError, *, notify_caller: bool) -> CommandResult | None:
        """Refuse the command; but if another thread has opened its request in the meantime, return that."""
        with self._context.ledger.write() as tx:
            current = tx.queued_command(queued.id)
            if current.request:
                return CommandResult(request=tx.request(current.request))
            if current.state is not QueuedCommandState.WAITING:  # another thread has already refused it
                return None
            self.mark_refused(tx, queued, error, notify_caller=notify_caller)
        return None

    def mark_refused(
        self, tx: LedgerTransaction, queued: QueuedCommand, error: RegistrarError, *, notify_caller: bool
    ) -> None:
        """Record in the caller's transaction that a command is refused because of `error`; audit it."""
        why = str(error.sentence)
        tx.save_queued_command(
            replace(queued, state=QueuedCommandState.REFUSED, error=type(error).__name__, outcome=why)
        )
        seen = error.evidence if isinstance(error, GateFailed) else None
        evidence = {"error": type(error).__name__, "seen": seen}
        tx.add_audit_event(
            command_event(
                queued, refused_tag(queued), self._context.clock.now(), why=why, origin="registrar", **evidence
            )
        )
        self._add_reply(tx, queued, error.sentence, notify_caller)

    def _notify_caller(self, queued: QueuedCommand, answer: Sentence) -> None:
        with self._context.ledger.write() as tx:
            self._add_reply(tx, queued, answer, True)

    def _add_reply(self, tx: LedgerTransaction, queued: QueuedCommand, sentence: Sentence, notify_caller: bool) -> None:
        message = direct_message(f"ask:{queued.id}", f"direct:ask:{queued.id}", queued.caller, sentence)
        if notify_caller and message:
            tx.add_message(message)


def mark_done(tx: LedgerTransaction, queued: QueuedCommand, outcome: str = "") -> bool:
    """Mark a command as done with its `outcome`; return False if it isn't waiting any more."""
    if tx.queued_command(queued.id).state is not QueuedCommandState.WAITING:
        return False
    tx.save_queued_command(replace(queued, state=QueuedCommandState.DONE, outcome=outcome))
    return True


def _require_same_command(existing: QueuedCommand | None, queued: QueuedCommand) -> QueuedCommand:
    """Return the earlier command with this key. Raises IdempotencyKeyReused if it was a different one."""
    if existing is None or existing.digest != queued.digest:
        raise IdempotencyKeyReused("This key came with something else before; nothing was changed.")
    return existing


def _get_draft(reader: LedgerReader, draft_id: str) -> QueuedCommand:
    try:
        return reader.queued_command(draft_id)
    except KeyError:
        raise UnknownRequest("This form is from another time; open it again.") from None
