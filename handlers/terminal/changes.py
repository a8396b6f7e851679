"""Execute commands that make changes, using the local services, as the current operator."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot.domain.audit.events import EventTag
from bot.domain.commands.base import Command
from bot.domain.commands.monitoring import MonitorCheck
from bot.domain.commands.promotions import Approve, Cancel
from bot.domain.commands.registry import Register
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
    Unreachable,
)
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Code, Mention, Name, say
from bot.domain.monitoring.monitor import MonitorStatus
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.model import product
from bot.domain.rollbacks import messages as rollback_messages
from bot.domain.transitions import messages
from bot.domain.transitions.transition import TransitionKind, TransitionState
from bot.ports import QueuedCommand, QueuedCommandState
from bot.services.core.commands import CommandResult
from handlers.api import request_json
from handlers.terminal.command_line.terminal_only_commands import ImportHistory, PromoteFromTerminal
from handlers.terminal.output import styles
from handlers.terminal.output.command_output import CommandOutput, OutputFormat, json_output, sentence_output
from handlers.terminal.session import TERMINAL_ORIGIN, TerminalSession, current_operator
from handlers.terminal.waiting import STATE_EXIT_CODES, document_output, wait_until_final


def execute_change(session: TerminalSession, command: Command, output_format: OutputFormat) -> CommandOutput:
    """Execute a command that makes a change, and the work that it makes due. Return the output.

    Raises BadInput, Refused, RegistryRefused, RegistryUnreachable, and LedgerUnavailable.
    """
    if (execute := _SPECIAL.get(type(command))) is not None:
        return execute(session, command, output_format)
    caller = session.caller()
    if command.required_permission is None and not isinstance(command, Cancel) and not isinstance(caller, Profile):
        raise _unknown_operator("decide")
    if isinstance(command, MonitorCheck):
        with suppress(Unreachable):  # no bot may have checked for a long time, or ever
            session.registrar.drift_detector.check_model(command.model)
    result = session.registrar.commands.execute(caller, command, TERMINAL_ORIGIN)
    fields = dict(result.fields)
    if (queued := result.queued) is not None:
        result, fields = _execute_queued(session, queued), {"ask": queued.id}
    elif result.due_model:
        session.registrar.transition_executor.execute_due(result.due_model)
    if result.transition_id:
        return _transition_output(session, result.transition_id, output_format, fields)
    if result.request:
        return _request_output(session, result, result.request, output_format)
    style = styles.style_of(MonitorStatus(fields["state"])) if "state" in fields else ""
    return sentence_output(result.answer or say("Done."), output_format, style=style, **fields)


def _transition_output(
    session: TerminalSession, transition_id: str, output_format: OutputFormat, fields: dict[str, Any]
) -> CommandOutput:
    with session.registrar.context.ledger.read() as reading:
        transition = reading.transition(transition_id)
    is_rollback = transition.kind is TransitionKind.ROLLBACK
    confirm = rollback_messages.rollback_confirmation if is_rollback else messages.archive_confirmation
    code = {TransitionState.DONE: 0, TransitionState.FAILED: 1, TransitionState.STALE: 4}.get(
        transition.state, RegistryUnreachable.exit_code
    )
    style = styles.style_of(transition.state)
    return sentence_output(
        confirm(transition), output_format, code, style=style, **fields, state=transition.state.value
    )


def _request_output(
    session: TerminalSession, result: CommandResult, request: Request, output_format: OutputFormat
) -> CommandOutput:
    """Return a request's outcome, or what was recorded about it. The JSON has the request's current state."""
    sentence, code, context = result.answer, 0, session.registrar.context
    with context.ledger.read() as reading:
        votes = reading.votes(request.id)
        request = reading.request(request.id)
    if result.due_model:
        sentence = sentence if request.state.is_open else promotion_messages.outcome_announcement(request)
        code = STATE_EXIT_CODES.get(request.state.value, 0)
    document = request_json.request_document(request, votes, context.policy)
    style = styles.style_of(request.state)
    return sentence_output(sentence or say("Done."), output_format, code, style=style, **document)


def _execute_queued(session: TerminalSession, queued: QueuedCommand) -> CommandResult:
    """Execute a recorded command, and the transitions that it makes due.

    Raises the command's refusal. If something is unreachable, the error says what happens next.
    """
    try:
        result = session.registrar.command_queue.execute(queued.id)
    except (RegistryUnreachable, LedgerUnavailable) as error:
        # The ledger's own sentence says that nothing was recorded, but the command was recorded.
        is_ledger = isinstance(error, LedgerUnavailable)
        error.sentence = say(
            "{why} Your command is recorded ({ask}), so don't repeat it. "
            "The bot will run it as soon as {who} responds.",
            why=say("Registrar's ledger stopped responding.") if is_ledger else error.sentence,
            ask=Code(queued.id),
            who="it" if is_ledger else product().name,
        )
        raise
    if result.due_model:
        session.registrar.transition_executor.execute_due(result.due_model)
    return result


# -- special commands --------------------------------------------------------------------------------------------------


def _promote(session: TerminalSession, command: PromoteFromTerminal, output_format: OutputFormat) -> CommandOutput:
    context, caller = session.registrar.context, session.caller()
    if command.approver:
        _require_operator_is(session, command.approver)
    queued = _open_request(session, caller, command)

    def look(voter: Caller | None = None) -> dict[str, Any]:
        document = request_json.find_document(context, queued.id)
        if (
            not command.approver
            or document["state"] != RequestState.PENDING.value
            or any(str(vote["by"]).endswith(f"/{command.approver}") for vote in document["votes"])
        ):
            return document
        _approve_own_request(session, voter or session.caller(), queued.id)
        return request_json.find_document(context, queued.id)

    document = look(caller)
    if not command.wait:
        return document_output(document, output_format)
    document, code = wait_until_final(look, document, command.timeout, session.show_status)
    return document_output(document, output_format, code)


def _open_request(session: TerminalSession, caller: Caller, command: PromoteFromTerminal) -> QueuedCommand:
    """Submit the promotion and open its request. With `--wait`, tolerate an unreachable MLflow. Raises a refusal."""
    plain, ci = command.plain_command(), detect_ci_run(os.environ)
    _require_bot(session, is_job=bool(ci))
    origin = replace(
        TERMINAL_ORIGIN,
        ci=ci,
        idempotency_key=command.idempotency_key_for(ci) or None,
        digest=hashlib.sha256(json.dumps(plain.dump(), sort_keys=True).encode()).hexdigest(),
    )
    queued = session.registrar.commands.execute(caller, plain, origin).queued
    assert queued is not None
    if queued.state is QueuedCommandState.WAITING:
        with suppress(RegistryUnreachable) if command.wait else nullcontext():
            _execute_queued(session, queued)
    return queued


def _require_bot(session: TerminalSession, *, is_job: bool) -> None:
    """Warn if no bot has ever used this ledger, since no one would see the card. Raises Misconfigured in a CI job."""
    with session.registrar.context.ledger.read() as reading:
        if reading.latest_audit_events(tags=[EventTag.POLICY_LOADED], limit=1):
            return
    home = Code(session.settings.home)
    if is_job:
        raise Misconfigured(
            say(
                "No bot has ever used the ledger in {where}, so no one would see the card. If the bot runs elsewhere, "
                "set {url} and {token}.",
                where=home,
                url=Code("REGISTRAR_URL"),
                token=Code("REGISTRAR_TOKEN"),
            )
        )
    print(
        say(
            "No bot has used the ledger in {where} yet. To have the card posted, start one: {run}",
            where=home,
            run=Code("registrar run"),
        ),
        file=sys.stderr,
    )


def _approve_own_request(session: TerminalSession, caller: Caller, request_id: str) -> None:
    """Approve the request that was just opened.

    Raises Refused. Unless the request has already been decided, the error says that it's still open.
    """
    try:
        result = session.registrar.commands.execute(caller, Approve(request=request_id), TERMINAL_ORIGIN)
    except Refused as error:
        if not isinstance(error, AlreadyDecided):
            error.sentence = say("{why} Request {id} is still open.", why=error.sentence, id=Code(request_id))
        raise
    if result.due_model:
        session.registrar.transition_executor.execute_due(result.due_model)


def _require_operator_is(session: TerminalSession, user: str) -> None:
    """Raise Refused unless the policy maps the current operator to `user`, a Slack user ID."""
    me = current_operator().name
    mapped = session.registrar.context.policy.operators.get(me)
    if mapped is None:
        raise _unknown_operator("approve")
    if mapped != user:
        raise Refused(
            say(
                "The policy's {key} maps {me} to {user}, so you can approve only as them.",
                key=Code("operators"),
                me=Code(me),
                user=Mention(mapped),
            )
        )


def _unknown_operator(act: str) -> Refused:
    return Refused(
        say(
            "The policy's {key} doesn't map {me} to a Slack user, so you can't {act} from here.",
            key=Code("operators"),
            me=Code(current_operator().name),
            act=act,
        )
    )


def _register(session: TerminalSession, command: Register, output_format: OutputFormat) -> CommandOutput:
    # Import MLflow first. It takes seconds, and a running bot would take over a recorded command in that time.
    with suppress(RegistrarError):
        session.registrar.context.registry.versions(command.model)
    queued = session.registrar.commands.execute(current_operator(), command, TERMINAL_ORIGIN).queued
    assert queued is not None
    sentence = _execute_queued(session, queued).answer or say("Registered.")
    if output_format is not OutputFormat.JSON:
        return CommandOutput(f"{sentence}\n")
    return json_output(request_json.version_document(session.registrar.context.ledger, queued, str(sentence)))


def _import_history(session: TerminalSession, command: ImportHistory, output_format: OutputFormat) -> CommandOutput:
    """Import Production history from a file. Raises BadInput for an unreadable file or an invalid row."""
    try:
        raw = Path(command.file).read_bytes()
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it isn't UTF-8 text"
        raise BadInput(say("Can't read {file}: {why}.", file=Name(command.file), why=why)) from error
    digest = hashlib.sha256(raw).hexdigest()
    done = session.registrar.history_import.import_rows(
        session.caller(), text, digest=digest, reason=command.reason, origin=TERMINAL_ORIGIN.entry_point
    )
    rows = pluralize(done.rows, "row")
    sentence = say("Imported {rows}.", rows=rows)
    if done.added < done.rows:
        sentence = say("Imported {added} of {rows}. The history already has the rest.", added=done.added, rows=rows)
    return sentence_output(sentence, output_format, file=command.file, sha256=digest, rows=done.rows, added=done.added)


_SPECIAL: dict[type[Command], Callable[[TerminalSession, Any, OutputFormat], CommandOutput]] = {
    PromoteFromTerminal: _promote,
    Register: _register,
    ImportHistory: _import_history,
}
