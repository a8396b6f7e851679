"""What changes something: asked of the services beside, as whoever sits here."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from bot.domain.audit.events import Tag
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
from bot.domain.core.ci_run import ci_around
from bot.domain.core.errors import (
    AlreadyDecided,
    BadInput,
    LedgerUnavailable,
    Misconfigured,
    Refused,
    RegistrarError,
    RegistryUnreachable,
)
from bot.domain.core.numbers import counted
from bot.domain.core.sentence import Code, Mention, Name, Say, say
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions import messages as promotion_messages
from bot.domain.promotions.request import Choice, Request, RequestState
from bot.domain.rollbacks import messages as rollback_messages
from bot.domain.transitions import messages
from bot.domain.transitions.transition import Move, MoveKind, MoveState
from bot.ports import Ask, AskState
from bot.services.core.commands import Done, Origin
from handlers.api import documents
from handlers.terminal.command_line.commands import HistoryImport, PromoteHere
from handlers.terminal.command_line.grammar import Form
from handlers.terminal.output.command_output import Answer, as_json, told
from handlers.terminal.session import Counter, operator
from handlers.terminal.waiting import EXIT, follow, summed_up

WITHOUT_POLICY: frozenset[type[Command]] = frozenset({Register})  # whoever may write to MLflow may do it there as well


def _promote(counter: Counter, command: PromoteHere, form: Form) -> Answer:
    registrar, caller = counter.registrar, counter.caller()
    if command.approver:
        _check_is_me(counter, command.approver)
    plain = command.asked()
    ci = ci_around(os.environ)
    _check_somebody_reads(counter, is_job=bool(ci))
    outside = Origin(
        ci=ci,
        key=command.key_in(ci) or None,
        digest=hashlib.sha256(json.dumps(plain.dump(), sort_keys=True).encode()).hexdigest(),
    )
    ask = registrar.errands.ask(caller, plain, where="", origin="terminal", outside=outside)
    if ask.state is AskState.WAITING:
        _open(counter, ask, waits=command.wait)

    def look(who: Caller | None = None) -> dict[str, Any]:
        found = documents.find(registrar.context.ledger, registrar.context.policy, ask.id)
        if not command.approver or found["state"] != RequestState.PENDING.value or _has_voted(found, command.approver):
            return found
        _approve_too(counter, who or counter.caller(), ask.id)
        return documents.find(registrar.context.ledger, registrar.context.policy, ask.id)

    document = look(caller)
    if command.wait:
        document, code = follow(look, document, command.timeout, counter.status)
        return as_json(document, code) if form is Form.JSON else Answer(f"{document['sentence']}\n", code)
    return summed_up(document, form)


def _check_somebody_reads(counter: Counter, *, is_job: bool) -> None:
    """Say so where no bot has ever worked on this ledger: nobody would see the card. Raises Misconfigured for a job."""
    with counter.registrar.context.ledger.read() as reading:
        if reading.latest(tags=[Tag.POLICY_TAKEN], most=1):
            return
    where = Code(counter.settings.home)
    if is_job:
        raise Misconfigured(
            say(
                "No bot has ever worked on the ledger in {where}, so nobody would see the card. Where the bot is "
                "elsewhere, set {url} and {token}.",
                where=where,
                url=Code("REGISTRAR_URL"),
                token=Code("REGISTRAR_TOKEN"),
            )
        )
    print(
        say(
            "No bot has worked on the ledger in {where} yet; the card comes when one does: {run}",
            where=where,
            run=Code("registrar run"),
        ),
        file=sys.stderr,
    )


def _open(counter: Counter, ask: Ask, *, waits: bool) -> None:
    """Have the request opened; what stands against it is raised. Whoever waits goes on waiting for MLflow."""
    try:
        done = _carry_out(counter, ask)
    except RegistryUnreachable:
        if not waits:
            raise
        return
    if done.move:
        counter.registrar.moves.run(done.model)


def _approve_too(counter: Counter, caller: Caller, request: str) -> None:
    """Approve what was just asked for. Raises Refused, which says that the request stays: somebody else can decide."""
    try:
        counted = counter.registrar.requests.vote(caller, request, Choice.APPROVE, origin="terminal")
    except AlreadyDecided:
        raise
    except Refused as error:
        error.sentence = say("{why} Request {id} is open all the same.", why=error.sentence, id=Code(request))
        raise
    if counted.request.state is not RequestState.PENDING:
        counter.registrar.moves.run(counted.request.model)


def _has_voted(document: dict[str, Any], user: str) -> bool:
    """Tell whether that person has, so that the same command typed again asks for nothing more."""
    return any(str(vote["by"]).endswith(f"/{user}") for vote in document["votes"])


def _check_is_me(counter: Counter, user: str) -> None:
    """Raise Refused unless the policy says that whoever sits here is that person."""
    me = operator().name
    mapped = counter.registrar.context.policy.operators.get(me)
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


def _register(counter: Counter, command: Register, form: Form) -> Answer:
    # MLflow is loaded first, which takes seconds: a running bot takes up whatever is written down and not done soon.
    with suppress(RegistrarError):
        counter.registrar.context.registry.versions(command.model)
    ask = counter.registrar.errands.ask(operator(), command, where="", origin="terminal")
    said = _carry_out(counter, ask).answer or say("Registered.")
    if form is not Form.JSON:
        return Answer(f"{said}\n")
    return as_json(documents.registered(counter.registrar.context.ledger, ask, str(said)))


def _have_done(counter: Counter, command: Command, form: Form) -> Answer:
    """Have something done that is written down first: describe, tag, archive, roll back."""
    ask = counter.registrar.errands.ask(counter.caller(), command, where="", origin="terminal")
    done = _carry_out(counter, ask)
    if not done.move:
        return told(done.answer or say("Done."), form, ask=ask.id)
    counter.registrar.moves.run(done.model)
    with counter.registrar.context.ledger.read() as reading:
        move: Move = reading.move(done.move)
    said = rollback_messages.answer(move) if move.kind is MoveKind.ROLLBACK else messages.archiving_ended(move)
    code = {MoveState.DONE: 0, MoveState.FAILED: 1, MoveState.STALE: 4}.get(move.state, RegistryUnreachable.exit_code)
    return told(said, form, code, ask=ask.id, state=move.state.value)


def _carry_out(counter: Counter, ask: Ask) -> Done:
    """Do what was written down. Raises what stands against it; of what does not answer also what becomes of it."""
    try:
        return counter.registrar.errands.carry_out(ask.id)
    except RegistryUnreachable as error:
        raise RegistryUnreachable(_later(error.sentence, "MLflow", ask)) from error
    except LedgerUnavailable as error:  # whose own sentence says that nothing was recorded: the ask was
        raise LedgerUnavailable(_later(say("Registrar's ledger fell silent."), "it", ask)) from error


def _later(why: Say, who: str, ask: Ask) -> Say:
    return say(
        "{why} What you asked for is written down ({ask}): do not ask again, the bot does it as soon as {who} answers.",
        why=why,
        ask=Code(ask.id),
        who=who,
    )


# -- deciding ----------------------------------------------------------------------------------------------------------


def _approve(counter: Counter, command: Approve, form: Form) -> Answer:
    counted = counter.registrar.requests.vote(_person(counter), command.request, Choice.APPROVE, origin="terminal")
    return _decided(counter, counted.request, promotion_messages.vote_counted(counted.request, counted.approvals), form)


def _reject(counter: Counter, command: Reject, form: Form) -> Answer:
    if not command.reason:
        raise BadInput("A rejection needs a reason: the requester gets to read it.")
    counted = counter.registrar.requests.vote(
        _person(counter), command.request, Choice.REJECT, reason=command.reason, origin="terminal"
    )
    return _stands(counter, counted.request, promotion_messages.rejection_counted(counted.request), form)


def _withdraw(counter: Counter, command: Withdraw, form: Form) -> Answer:
    counted = counter.registrar.requests.withdraw(_person(counter), command.request, origin="terminal")
    return _stands(
        counter, counted.request, promotion_messages.withdrawal_counted(counted.request, counted.approvals), form
    )


def _override(counter: Counter, command: Override, form: Form) -> Answer:
    if not command.reason:
        raise BadInput("Letting a gate pass needs a reason: the card shows it, and the audit keeps it.")
    counted = counter.registrar.requests.override(
        _person(counter), command.request, reason=command.reason, origin="terminal"
    )
    return _decided(
        counter, counted.request, promotion_messages.override_counted(counted.request, counted.approvals), form
    )


def _cancel(counter: Counter, command: Cancel, form: Form) -> Answer:
    request = counter.registrar.requests.cancel(
        counter.caller(), command.request, reason=command.reason, origin="terminal"
    )
    return _stands(counter, request, promotion_messages.cancelled(request), form)


def _review(counter: Counter, command: Review, form: Form) -> Answer:
    request = counter.registrar.reviews.review(
        _person(counter), command.request, reason=command.reason, origin="terminal"
    )
    return _stands(counter, request, break_glass_messages.review_counted(request), form)


def _decided(counter: Counter, request: Request, said: Say, form: Form) -> Answer:
    """Make the move where that decided the request, and tell how it ended; else what was recorded."""
    if request.state is RequestState.PENDING:
        return _stands(counter, request, said, form)
    counter.registrar.moves.run(request.model)
    with counter.registrar.context.ledger.read() as reading:
        request = reading.request(request.id)
    return _stands(
        counter,
        request,
        said if request.state.is_open else promotion_messages.ended(request),
        form,
        EXIT.get(request.state.value, 0),
    )


def _stands(counter: Counter, request: Request, said: Say, form: Form, code: int = 0) -> Answer:
    """Return a sentence, and for programs how the request stands now."""
    with counter.registrar.context.ledger.read() as reading:
        votes = reading.votes(request.id)
    return told(said, form, code, **documents.of_request(request, votes, counter.registrar.context.policy))


def _freeze(counter: Counter, command: FreezeModel, form: Form) -> Answer:
    return told(counter.registrar.freezing.freeze(counter.caller(), command, origin="terminal"), form)


def _unfreeze(counter: Counter, command: UnfreezeModel, form: Form) -> Answer:
    return told(counter.registrar.freezing.unfreeze(counter.caller(), command, origin="terminal"), form)


def _unblock(counter: Counter, command: Unblock, form: Form) -> Answer:
    said = counter.registrar.rollbacks.unblock(counter.caller(), command, origin="terminal")
    counter.registrar.moves.run(command.model)
    return told(said, form)


def _import(counter: Counter, command: HistoryImport, form: Form) -> Answer:
    """Import a file of earlier terms. Raises BadInput for a file that can't be read, and for a wrong row."""
    try:
        raw = Path(command.file).read_bytes()
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it isn't UTF-8 text"
        raise BadInput(say("Can't read {file}: {why}.", file=Name(command.file), why=why)) from error
    digest = hashlib.sha256(raw).hexdigest()
    done = counter.registrar.importing.take(
        counter.caller(), text, digest=digest, reason=command.reason, origin="terminal"
    )
    rows = counted(done.rows, "row")
    said = say("Imported {rows}.", rows=rows)
    if done.added < done.rows:
        said = say("Imported {added} of {rows}. The history already has the rest.", added=done.added, rows=rows)
    return told(said, form, file=command.file, sha256=digest, rows=done.rows, added=done.added)


def _person(counter: Counter) -> Profile:
    """Return the person who sits here. Raises Refused where the policy does not say who they are in Slack."""
    caller = counter.caller()
    if not isinstance(caller, Profile):
        raise Refused(
            say(
                "The policy's {key} does not say who {me} is in Slack, so you cannot decide from here.",
                key=Code("operators"),
                me=Code(operator().name),
            )
        )
    return caller


ACTS: dict[type[Command], Callable[[Counter, Any, Form], Answer]] = {
    PromoteHere: _promote,
    Promote: _promote,
    Register: _register,
    Describe: _have_done,
    SetTags: _have_done,
    Archive: _have_done,
    Rollback: _have_done,
    Approve: _approve,
    Reject: _reject,
    Withdraw: _withdraw,
    Override: _override,
    Cancel: _cancel,
    FreezeModel: _freeze,
    UnfreezeModel: _unfreeze,
    Unblock: _unblock,
    Review: _review,
    HistoryImport: _import,
}
