"""Commands that change something, executed by the local services as the current operator."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from bot.domain.audit.events import EventTag
from bot.domain.commands.base import Command
from bot.domain.commands.changes import (
    Archive,
    Describe,
    FreezeModel,
    Register,
    Rollback,
    SetTags,
    Unblock,
    UnfreezeModel,
)
from bot.domain.commands.requests import Approve, Cancel, Override, Promote, Reject, Review, Withdraw
from bot.domain.core.actors import Caller, Profile
from bot.domain.core.ci_run import detect_ci_run
from bot.domain.core.errors import (
    AlreadyDecided,
    BadInput,
    LedgerUnavailable,
    Misconfigured,
    Refused,
    RegistrarError,
    RegistryUnreachable,
)
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Code, Mention, Name, Sentence, say
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.request import Request, RequestState, VoteChoice
from bot.domain.registry.model import product
from bot.domain.rollbacks import messages as rollback_messages
from bot.domain.transitions import messages
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from bot.ports import QueuedCommand, QueuedCommandState
from bot.services.core.commands import ClientContext, CommandResult
from handlers.api import documents
from handlers.terminal.command_line.commands import ImportHistory, PromoteFromTerminal
from handlers.terminal.command_line.grammar import OutputFormat
from handlers.terminal.output.command_output import CommandOutput, json_output, sentence_output
from handlers.terminal.session import TerminalSession, current_operator
from handlers.terminal.waiting import STATE_EXIT_CODES, document_output, wait_until_final

POLICY_OPTIONAL_COMMANDS: frozenset[type[Command]] = frozenset(
    {Register}
)  # whoever can write to MLflow could do it there as well


def _promote(session: TerminalSession, command: PromoteFromTerminal, output_format: OutputFormat) -> CommandOutput:
    registrar, caller = session.registrar, session.caller()
    if command.approver:
        _require_operator_is(session, command.approver)
    plain = command.plain_command()
    ci = detect_ci_run(os.environ)
    _require_bot(session, is_job=bool(ci))
    outside = ClientContext(
        ci=ci,
        idempotency_key=command.idempotency_key_for(ci) or None,
        digest=hashlib.sha256(json.dumps(plain.dump(), sort_keys=True).encode()).hexdigest(),
    )
    queued = registrar.command_queue.submit(caller, plain, channel="", origin="terminal", client=outside)
    if queued.state is QueuedCommandState.WAITING:
        _open_request(session, queued, is_waiting=command.wait)

    def look(reader: Caller | None = None) -> dict[str, Any]:
        document = documents.find_document(registrar.context.ledger, registrar.context.policy, queued.id)
        if (
            not command.approver
            or document["state"] != RequestState.PENDING.value
            or _has_voted(document, command.approver)
        ):
            return document
        _approve_own_request(session, reader or session.caller(), queued.id)
        return documents.find_document(registrar.context.ledger, registrar.context.policy, queued.id)

    document = look(caller)
    if command.wait:
        document, code = wait_until_final(look, document, command.timeout, session.show_status)
        return (
            json_output(document, code)
            if output_format is OutputFormat.JSON
            else CommandOutput(f"{document['sentence']}\n", code)
        )
    return document_output(document, output_format)


def _require_bot(session: TerminalSession, *, is_job: bool) -> None:
    """Warn if no bot has ever used this ledger: no one would see the card. Raises Misconfigured for a CI job."""
    with session.registrar.context.ledger.read() as reading:
        if reading.latest_audit_events(tags=[EventTag.POLICY_LOADED], limit=1):
            return
    home = Code(session.settings.home)
    if is_job:
        raise Misconfigured(
            say(
                "No bot has ever worked on the ledger in {where}, so nobody would see the card. Where the bot is "
                "elsewhere, set {url} and {token}.",
                where=home,
                url=Code("REGISTRAR_URL"),
                token=Code("REGISTRAR_TOKEN"),
            )
        )
    print(
        say(
            "No bot has worked on the ledger in {where} yet; the card comes when one does: {run}",
            where=home,
            run=Code("registrar run"),
        ),
        file=sys.stderr,
    )


def _open_request(session: TerminalSession, queued_command: QueuedCommand, *, is_waiting: bool) -> None:
    """Open the request; a refusal is raised. With `is_waiting`, keep waiting for MLflow."""
    try:
        done = _execute(session, queued_command)
    except RegistryUnreachable:
        if not is_waiting:
            raise
        return
    if done.transition_id:
        session.registrar.transition_executor.execute_due(done.model)


def _approve_own_request(session: TerminalSession, caller: Caller, request_id: str) -> None:
    """Approve the request that was just opened. Raises Refused, whose sentence says that the request remains open."""
    try:
        counted = session.registrar.requests.vote(caller, request_id, VoteChoice.APPROVE, origin="terminal")
    except AlreadyDecided:
        raise
    except Refused as error:
        error.sentence = say("{why} Request {id} is open all the same.", why=error.sentence, id=Code(request_id))
        raise
    if counted.request.state is not RequestState.PENDING:
        session.registrar.transition_executor.execute_due(counted.request.model)


def _has_voted(document: dict[str, Any], user: str) -> bool:
    """Return whether the person has voted, so that repeating the command asks for nothing more."""
    return any(str(vote["by"]).endswith(f"/{user}") for vote in document["votes"])


def _require_operator_is(session: TerminalSession, user: str) -> None:
    """Raise Refused unless the policy maps the current operator to that person."""
    me = current_operator().name
    mapped = session.registrar.context.policy.operators.get(me)
    if mapped == user:
        return
    if mapped is None:
        raise Refused(
            say(
                "The policy's {key} does not say who {me} is in Slack, so you cannot approve from here.",
                key=Code("operators"),
                me=Code(me),
            )
        )
    raise Refused(
        say(
            "The policy's {key} says that {me} is {user}, and nobody else.",
            key=Code("operators"),
            me=Code(me),
            user=Mention(mapped),
        )
    )


def _register(session: TerminalSession, command: Register, output_format: OutputFormat) -> CommandOutput:
    # MLflow is imported first, which takes seconds: a running bot executes recorded commands that wait longer.
    with suppress(RegistrarError):
        session.registrar.context.registry.versions(command.model)
    queued = session.registrar.command_queue.submit(current_operator(), command, channel="", origin="terminal")
    sentence = _execute(session, queued).answer or say("Registered.")
    if output_format is not OutputFormat.JSON:
        return CommandOutput(f"{sentence}\n")
    return json_output(documents.version_document(session.registrar.context.ledger, queued, str(sentence)))


def _run_queued_command(session: TerminalSession, command: Command, output_format: OutputFormat) -> CommandOutput:
    """Record a command and execute it: describe, tag, archive, roll back."""
    queued = session.registrar.command_queue.submit(session.caller(), command, channel="", origin="terminal")
    done = _execute(session, queued)
    if not done.transition_id:
        return sentence_output(done.answer or say("Done."), output_format, ask=queued.id)
    session.registrar.transition_executor.execute_due(done.model)
    with session.registrar.context.ledger.read() as reading:
        transition: Transition = reading.transition(done.transition_id)
    sentence = (
        rollback_messages.rollback_confirmation(transition)
        if transition.kind is TransitionKind.ROLLBACK
        else messages.archive_confirmation(transition)
    )
    code = {TransitionState.DONE: 0, TransitionState.FAILED: 1, TransitionState.STALE: 4}.get(
        transition.state, RegistryUnreachable.exit_code
    )
    return sentence_output(sentence, output_format, code, ask=queued.id, state=transition.state.value)


def _execute(session: TerminalSession, queued_command: QueuedCommand) -> CommandResult:
    """Execute a recorded command. Raises its refusal; if something is unreachable, the error says what happens next."""
    try:
        return session.registrar.command_queue.execute(queued_command.id)
    except RegistryUnreachable as error:
        raise RegistryUnreachable(_will_be_done_sentence(error.sentence, product().name, queued_command)) from error
    except LedgerUnavailable as error:  # its own sentence says that nothing was recorded, but the command was
        raise LedgerUnavailable(
            _will_be_done_sentence(say("Registrar's ledger fell silent."), "it", queued_command)
        ) from error


def _will_be_done_sentence(reason: Sentence, service: str, queued_command: QueuedCommand) -> Sentence:
    return say(
        "{why} What you asked for is written down ({ask}): do not ask again, the bot does it as soon as {who} answers.",
        why=reason,
        ask=Code(queued_command.id),
        who=service,
    )


# -- deciding ----------------------------------------------------------------------------------------------------------


def _approve(session: TerminalSession, command: Approve, output_format: OutputFormat) -> CommandOutput:
    counted = session.registrar.requests.vote(
        _require_person(session), command.request, VoteChoice.APPROVE, origin="terminal"
    )
    return _finish_decision(
        session,
        counted.request,
        promotion_messages.approval_confirmation(counted.request, counted.approvals),
        output_format,
    )


def _reject(session: TerminalSession, command: Reject, output_format: OutputFormat) -> CommandOutput:
    if not command.reason:
        raise BadInput("A rejection needs a reason: the requester gets to read it.")
    counted = session.registrar.requests.vote(
        _require_person(session), command.request, VoteChoice.REJECT, reason=command.reason, origin="terminal"
    )
    return _request_output(
        session, counted.request, promotion_messages.rejection_confirmation(counted.request), output_format
    )


def _withdraw(session: TerminalSession, command: Withdraw, output_format: OutputFormat) -> CommandOutput:
    counted = session.registrar.requests.withdraw_vote(_require_person(session), command.request, origin="terminal")
    return _request_output(
        session,
        counted.request,
        promotion_messages.withdrawal_confirmation(counted.request, counted.approvals),
        output_format,
    )


def _override(session: TerminalSession, command: Override, output_format: OutputFormat) -> CommandOutput:
    if not command.reason:
        raise BadInput("Letting a gate pass needs a reason: the card shows it, and the audit keeps it.")
    counted = session.registrar.requests.override_gates(
        _require_person(session), command.request, reason=command.reason, origin="terminal"
    )
    return _finish_decision(
        session,
        counted.request,
        promotion_messages.override_confirmation(counted.request, counted.approvals),
        output_format,
    )


def _cancel(session: TerminalSession, command: Cancel, output_format: OutputFormat) -> CommandOutput:
    request = session.registrar.requests.cancel(
        session.caller(), command.request, reason=command.reason, origin="terminal"
    )
    return _request_output(session, request, promotion_messages.cancellation_confirmation(request), output_format)


def _review(session: TerminalSession, command: Review, output_format: OutputFormat) -> CommandOutput:
    request = session.registrar.reviews.review(
        _require_person(session), command.request, reason=command.reason, origin="terminal"
    )
    return _request_output(session, request, break_glass_messages.review_confirmation(request), output_format)


def _finish_decision(
    session: TerminalSession, request: Request, sentence: Sentence, output_format: OutputFormat
) -> CommandOutput:
    """Execute the transition if this decided the request, and report how it ended; else report what was recorded."""
    if request.state is RequestState.PENDING:
        return _request_output(session, request, sentence, output_format)
    session.registrar.transition_executor.execute_due(request.model)
    with session.registrar.context.ledger.read() as reading:
        request = reading.request(request.id)
    return _request_output(
        session,
        request,
        sentence if request.state.is_open else promotion_messages.outcome_announcement(request),
        output_format,
        STATE_EXIT_CODES.get(request.state.value, 0),
    )


def _request_output(
    session: TerminalSession, request: Request, sentence: Sentence, output_format: OutputFormat, exit_code: int = 0
) -> CommandOutput:
    """Return a sentence, and for programs the request's current status."""
    with session.registrar.context.ledger.read() as reading:
        votes = reading.votes(request.id)
    return sentence_output(
        sentence,
        output_format,
        exit_code,
        **documents.request_document(request, votes, session.registrar.context.policy),
    )


def _freeze(session: TerminalSession, command: FreezeModel, output_format: OutputFormat) -> CommandOutput:
    return sentence_output(
        session.registrar.freezes.freeze(session.caller(), command, origin="terminal"), output_format
    )


def _unfreeze(session: TerminalSession, command: UnfreezeModel, output_format: OutputFormat) -> CommandOutput:
    return sentence_output(
        session.registrar.freezes.unfreeze(session.caller(), command, origin="terminal"), output_format
    )


def _unblock(session: TerminalSession, command: Unblock, output_format: OutputFormat) -> CommandOutput:
    sentence = session.registrar.rollbacks.unblock(session.caller(), command, origin="terminal")
    session.registrar.transition_executor.execute_due(command.model)
    return sentence_output(sentence, output_format)


def _import_history(session: TerminalSession, command: ImportHistory, output_format: OutputFormat) -> CommandOutput:
    """Import a file of earlier terms. Raises BadInput for a file that can't be read, and for a wrong row."""
    try:
        raw = Path(command.file).read_bytes()
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it isn't UTF-8 text"
        raise BadInput(say("Can't read {file}: {why}.", file=Name(command.file), why=why)) from error
    digest = hashlib.sha256(raw).hexdigest()
    done = session.registrar.history_import.import_rows(
        session.caller(), text, digest=digest, reason=command.reason, origin="terminal"
    )
    rows = pluralize(done.rows, "row")
    sentence = say("Imported {rows}.", rows=rows)
    if done.added < done.rows:
        sentence = say("Imported {added} of {rows}. The history already has the rest.", added=done.added, rows=rows)
    return sentence_output(sentence, output_format, file=command.file, sha256=digest, rows=done.rows, added=done.added)


def _require_person(session: TerminalSession) -> Profile:
    """Return the person behind the current operator. Raises Refused if the policy doesn't map them to a Slack user."""
    caller = session.caller()
    if not isinstance(caller, Profile):
        raise Refused(
            say(
                "The policy's {key} does not say who {me} is in Slack, so you cannot decide from here.",
                key=Code("operators"),
                me=Code(current_operator().name),
            )
        )
    return caller


HANDLERS: dict[type[Command], Callable[[TerminalSession, Any, OutputFormat], CommandOutput]] = {
    PromoteFromTerminal: _promote,
    Promote: _promote,
    Register: _register,
    Describe: _run_queued_command,
    SetTags: _run_queued_command,
    Archive: _run_queued_command,
    Rollback: _run_queued_command,
    Approve: _approve,
    Reject: _reject,
    Withdraw: _withdraw,
    Override: _override,
    Cancel: _cancel,
    FreezeModel: _freeze,
    UnfreezeModel: _unfreeze,
    Unblock: _unblock,
    Review: _review,
    ImportHistory: _import_history,
}
