"""What changes something: asked of the services beside, as whoever sits here."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from bot.domain import rollback_words, words
from bot.domain.approvals import Choice, RequestState
from bot.domain.ci import ci_around
from bot.domain.commands import (
    Approve,
    Archive,
    Cancel,
    Clear,
    Command,
    Describe,
    FreezeModel,
    Override,
    Promote,
    Register,
    Reject,
    Rollback,
    SetTags,
    UnfreezeModel,
    Withdraw,
)
from bot.domain.errors import BadInput, LedgerUnavailable, Refused, RegistrarError, RegistryUnreachable
from bot.domain.moves import Move, MoveKind, MoveState
from bot.domain.people import Profile
from bot.domain.text import Code, Mention, Say, say
from bot.ports import Ask, AskState
from bot.services.errands import Done, Origin
from handlers import asked
from handlers.terminal.answer import Answer, as_json, told
from handlers.terminal.counter import Counter, operator
from handlers.terminal.grammar import Form
from handlers.terminal.verbs import PromoteHere
from handlers.terminal.waiting import follow, summed_up

WITHOUT_POLICY: frozenset[type[Command]] = frozenset({Register})  # whoever may write to MLflow may do it there as well


def _promote(counter: Counter, command: PromoteHere, form: Form) -> Answer:
    registrar, caller = counter.registrar, counter.caller()
    if command.approver:
        _check_is_me(counter, command.approver)
    plain = command.asked()
    outside = Origin(
        ci=ci_around(os.environ), key=command.idempotency_key or None,
        digest=hashlib.sha256(json.dumps(plain.dump(), sort_keys=True).encode()).hexdigest(),
    )  # fmt: skip
    ask = registrar.errands.ask(caller, plain, where="", origin="terminal", outside=outside)
    if ask.state is AskState.WAITING:
        _open(counter, ask, waits=command.wait)

    def look() -> dict[str, Any]:
        return asked.find(registrar.context.ledger, registrar.context.policy, ask.id)

    document = look()
    if command.approver and document["state"] == RequestState.PENDING.value:
        counted = registrar.requests.vote(caller, ask.id, Choice.APPROVE, origin="terminal")
        if counted.request.state is not RequestState.PENDING:
            registrar.moves.run(command.model)
        document = look()
    if command.wait:
        document, code = follow(look, document, command.timeout, counter.status)
        return as_json(document, code) if form is Form.JSON else Answer(f"{document['sentence']}\n", code)
    return summed_up(document, form)


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


def _check_is_me(counter: Counter, user: str) -> None:
    """Raise Refused unless the policy says that whoever sits here is that person."""
    me = operator().name
    mapped = counter.registrar.context.policy.operators.get(me)
    if mapped == user:
        return
    if mapped is None:
        raise Refused(say("The policy's {key} does not say who {me} is in Slack, so you cannot approve from here.",
                          key=Code("operators"), me=Code(me)))  # fmt: skip
    raise Refused(say("The policy's {key} says that {me} is {user}, and nobody else.", key=Code("operators"),
                      me=Code(me), user=Mention(mapped)))  # fmt: skip


def _register(counter: Counter, command: Register, form: Form) -> Answer:
    # MLflow is loaded first, which takes seconds: a running bot takes up whatever is written down and not done soon.
    with suppress(RegistrarError):
        counter.registrar.context.registry.versions(command.model)
    ask = counter.registrar.errands.ask(operator(), command, where="", origin="terminal")
    said = _carry_out(counter, ask).answer or say("Registered.")
    if form is not Form.JSON:
        return Answer(f"{said}\n")
    return as_json(asked.registered(counter.registrar.context.ledger, ask, str(said)))


def _have_done(counter: Counter, command: Command, form: Form) -> Answer:
    """Have something done that is written down first: describe, tag, archive, roll back."""
    ask = counter.registrar.errands.ask(counter.caller(), command, where="", origin="terminal")
    done = _carry_out(counter, ask)
    if not done.move:
        return told(done.answer or say("Done."), form, ask=ask.id)
    counter.registrar.moves.run(done.model)
    with counter.registrar.context.ledger.read() as reading:
        move: Move = reading.move(done.move)
    said = rollback_words.answer(move) if move.kind is MoveKind.ROLLBACK else words.archiving_ended(move)
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
        why=why, ask=Code(ask.id), who=who,
    )  # fmt: skip


# -- deciding ----------------------------------------------------------------------------------------------------------


def _approve(counter: Counter, command: Approve, form: Form) -> Answer:
    counted = counter.registrar.requests.vote(_person(counter), command.request, Choice.APPROVE, origin="terminal")
    if counted.request.state is not RequestState.PENDING:
        counter.registrar.moves.run(counted.request.model)
    return told(words.vote_counted(counted.request, counted.approvals), form, request=command.request)


def _reject(counter: Counter, command: Reject, form: Form) -> Answer:
    if not command.reason:
        raise BadInput("A rejection needs a reason: the requester gets to read it.")
    counted = counter.registrar.requests.vote(
        _person(counter), command.request, Choice.REJECT, reason=command.reason, origin="terminal"
    )
    return told(words.rejection_counted(counted.request), form, request=command.request)


def _withdraw(counter: Counter, command: Withdraw, form: Form) -> Answer:
    counted = counter.registrar.requests.withdraw(_person(counter), command.request, origin="terminal")
    return told(words.withdrawal_counted(counted.request, counted.approvals), form, request=command.request)


def _override(counter: Counter, command: Override, form: Form) -> Answer:
    if not command.reason:
        raise BadInput("Letting a gate pass needs a reason: the card shows it, and the audit keeps it.")
    counted = counter.registrar.requests.override(
        _person(counter), command.request, reason=command.reason, origin="terminal"
    )
    if counted.request.state is not RequestState.PENDING:
        counter.registrar.moves.run(counted.request.model)
    return told(words.override_counted(counted.request, counted.approvals), form, request=command.request)


def _cancel(counter: Counter, command: Cancel, form: Form) -> Answer:
    request = counter.registrar.requests.cancel(
        counter.caller(), command.request, reason=command.reason, origin="terminal"
    )
    return told(words.cancelled(request), form, request=command.request)


def _freeze(counter: Counter, command: FreezeModel, form: Form) -> Answer:
    return told(counter.registrar.freezing.freeze(counter.caller(), command, origin="terminal"), form)


def _unfreeze(counter: Counter, command: UnfreezeModel, form: Form) -> Answer:
    return told(counter.registrar.freezing.unfreeze(counter.caller(), command, origin="terminal"), form)


def _clear(counter: Counter, command: Clear, form: Form) -> Answer:
    return told(counter.registrar.rollbacks.clear(counter.caller(), command, origin="terminal"), form)


def _person(counter: Counter) -> Profile:
    """Return the person who sits here. Raises Refused where the policy does not say who they are in Slack."""
    caller = counter.caller()
    if not isinstance(caller, Profile):
        raise Refused(say("The policy's {key} does not say who {me} is in Slack, so you cannot decide from here.",
                          key=Code("operators"), me=Code(operator().name)))  # fmt: skip
    return caller


ACTS: dict[type[Command], Callable[[Counter, Any, Form], Answer]] = {
    PromoteHere: _promote, Promote: _promote, Register: _register, Describe: _have_done, SetTags: _have_done,
    Archive: _have_done, Rollback: _have_done, Approve: _approve, Reject: _reject, Withdraw: _withdraw,
    Override: _override, Cancel: _cancel, FreezeModel: _freeze, UnfreezeModel: _unfreeze, Clear: _clear,
}  # fmt: skip
