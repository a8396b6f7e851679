"""What people ask of the registry: written down first, then done, and tried again while the registry is away."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bot import logging_context
from bot.domain.audit.events import Tag
from bot.domain.commands.base import Command
from bot.domain.commands.parser import load
from bot.domain.commands.requests import Promote
from bot.domain.core.actors import Caller, actor_id, actor_of
from bot.domain.core.ci_run import pack_ci
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
from bot.domain.core.sentence import Say, say
from bot.domain.policy.authorization import Act, Subject, authorize, standing
from bot.domain.transitions.transition import in_an_emergency
from bot.ports import Ask, AskState, Writing
from bot.services.core.command_events import _asked, _event, _refused
from bot.services.core.commands import CALLED_OFF, AnotherAsk, Done, Hand, Origin, act_of
from bot.services.core.context import Context
from bot.services.core.outbox_messages import direct_note
from bot.services.promotions.requests import Requests

log = logging.getLogger(__name__)

# Whoever wrote an ask down tries it at once; after this it is taken for lost, by this process or another one.
FIRST_TRY = timedelta(seconds=15)
ASK_RETRY = timedelta(seconds=2)  # how long an ask waits for a registry that did not answer
ASK_RETRY_MOST = timedelta(minutes=1)


class Errands:
    """The way from an ask to what comes of it."""

    def __init__(self, context: Context, requests: Requests, hands: Mapping[type[Command], Hand]) -> None:
        self._it = context
        self._requests = requests
        self._hands = hands

    def ask(self, caller: Caller, command: Command, *, where: str, origin: str, outside: Origin = Origin()) -> Ask:
        """Write down what somebody asks for; the registry is not read. `where` is the channel it came from.

        With a key that the caller used before, what was asked for then is returned, whatever has become of it.
        Raises Refused (kept in the audit), AnotherAsk where that was something else, BadInput and LedgerUnavailable.
        """
        _check_reason(command)
        ask = replace(
            self._new(caller, command.dump(), where, AskState.WAITING),
            ci=outside.ci or None,
            key=outside.key,
            digest=outside.digest,
        )
        logging_context.add(request=ask.id)
        self._admit(caller, command, ask, origin)
        with self._it.ledger.write() as tx:
            if not tx.add_ask(ask):
                return _same(tx.ask_with_key(ask.caller, ask.key or ""), ask)
            by, ci = standing(caller, self._it.policy), pack_ci(ask.ci) if ask.ci else None
            tx.append(_event(ask, _asked(ask), ask.at, origin=origin, by=by, ci=ci))
        return ask

    def call_off(self, caller: Caller, ask_id: str, *, reason: str = "", origin: str) -> Ask:
        """Take something back that nobody has carried out yet. Raises UnknownRequest, also for what others asked for.

        Returns the ask as it stands: one that was carried out meanwhile is left.
        """
        with self._it.ledger.write() as tx:
            ask = _found(tx, ask_id)
            if ask.caller != actor_of(caller):
                raise UnknownRequest("You asked for nothing with this id.")
            if ask.state is AskState.WAITING:
                ask = replace(ask, state=AskState.REFUSED, error=CALLED_OFF, outcome=reason)
                tx.save_ask(ask)
                tx.append(_event(ask, Tag.CALLED_OFF, self._it.clock.now(), origin=origin, why=reason))
        return ask

    def draft(self, caller: Caller, given: Mapping[str, Any], *, where: str) -> str:
        """Return the id of a fresh draft: a modal or a question keeps it and nothing else. Raises LedgerUnavailable.

        `given` is what was typed before, `where` the channel. Raises Refused (kept in the audit) for who may not ask
        for anything.
        """
        ask = self._new(caller, dict(given), where, AskState.DRAFT)
        decision = authorize(caller, Act.ASK, Subject(), self._it.policy, self._it.clock.now())
        if not decision:
            self._keep_refusal(ask, caller, decision.why, "slack")
            raise Refused(decision.why)
        with self._it.ledger.write() as tx:
            tx.add_ask(ask)
        return ask.id

    def drafted(self, draft: str) -> Ask:
        """Return a draft: where it came from, and what was typed before. Raises UnknownRequest."""
        with self._it.ledger.read() as reading:
            return _found(reading, draft)

    def confirm(self, caller: Caller, draft: str, *, origin: str) -> Ask:
        """Let a draft become what its author asks for; a second time finds it asked for already.

        Raises UnknownRequest, Refused (kept in the audit; also for whoever is not its author), LedgerUnavailable.
        """
        before = self.drafted(draft)
        self._admit(caller, load(before.command), replace(before, caller=actor_of(caller)), origin)
        if before.caller != actor_of(caller):
            why = say("Only whoever typed the command can confirm it.")
            self._keep_refusal(replace(before, caller=actor_of(caller)), caller, why, origin)
            raise Refused(why)
        with self._it.ledger.write() as tx:
            now = _found(tx, draft)
            if now.state is not AskState.DRAFT:
                raise Refused("That is under way already.")
            ask = replace(now, state=AskState.WAITING, at=self._it.clock.now(), not_before=self._first_try())
            tx.save_ask(ask)
            tx.append(_event(ask, _asked(ask), ask.at, origin=origin, by=standing(caller, self._it.policy)))
        return ask

    def carry_out(self, ask_id: str, *, tell: bool = False) -> Done:
        """Do what was asked for. With `tell`, whoever asked hears directly what came of it.

        Raises what stands against it (BadInput, Refused, RegistryRefused; the ask has then ended and the audit
        keeps why) and Unreachable (the ask still stands and is tried again by `carry_out_waiting`).
        """
        with self._it.ledger.read() as reading:
            ask = reading.ask(ask_id)
            if ask.request:
                return Done(request=reading.request(ask.request))
        with logging_context.about(request=ask.id, actor=actor_id(ask.caller)):
            return self._carry_out(ask, tell=tell)

    def _carry_out(self, ask: Ask, *, tell: bool) -> Done:
        try:
            done = self._do(ask)
        except Unreachable as error:
            self._wait(ask, error)
            raise
        except RegistrarError as error:
            opened = self._refuse(ask, error, tell=tell)
            if opened is None:
                raise
            return opened
        if tell and done.answer:
            self._tell(ask, done.answer)
        return done

    def carry_out_waiting(self) -> list[Done]:
        """Try every ask again whose time has come; who asked is told directly what came of it.

        Of several processes one tries it. Who dies at it, or takes too long, leaves it to the next one. What is held
        after a restore waits.
        """
        if not self._it.gate.is_open():
            return []
        with self._it.ledger.read() as reading:
            waiting = reading.waiting_asks(self._it.clock.now())
        done = []
        for ask_id in waiting:
            if not self._claim(ask_id):
                continue
            try:
                done.append(self.carry_out(ask_id, tell=True))
            except Unreachable:
                break
            except RegistrarError:  # who asked is told why, and the audit keeps it
                log.info("ask %s was refused", ask_id)
            except Exception:  # one ask with a fault must not hold all that stand behind it
                log.exception("ask %s cannot be carried out", ask_id)
                with self._it.ledger.read() as reading:
                    ask = reading.ask(ask_id)
                self._wait(ask, None)
        return done

    def _claim(self, ask_id: str) -> bool:
        now = self._it.clock.now()
        with self._it.ledger.write() as tx:
            return tx.claim_ask(ask_id, now, now + FIRST_TRY)

    def _do(self, ask: Ask) -> Done:
        command = load(ask.command)
        if isinstance(command, Promote):
            request = self._requests.open(ask, command)
            move = in_an_emergency(request, ask.at).id if request.breaks_glass else None
            return Done(request=request, move=move, model=request.model)
        if ask.state is not AskState.WAITING:
            raise Refused("This was done or refused already.")
        return self._hands[type(command)](ask, command)

    def _admit(self, caller: Caller, command: Command, ask: Ask, origin: str) -> None:
        subject = Subject(model=getattr(command, "model", None), target=getattr(command, "to", None))
        decision = authorize(caller, act_of(command), subject, self._it.policy, self._it.clock.now())
        if not decision:
            self._keep_refusal(ask, caller, decision.why, origin)
            raise Refused(decision.why)

    def _keep_refusal(self, ask: Ask, caller: Caller, why: Say, origin: str) -> None:
        by, now = standing(caller, self._it.policy), self._it.clock.now()
        with self._it.ledger.write() as tx:
            tx.append(_event(ask, _refused(ask), now, why=str(why), origin=origin, by=by))

    def _new(self, caller: Caller, command: dict[str, Any], where: str, state: AskState) -> Ask:
        soon = self._first_try() if state is AskState.WAITING else None
        return Ask(
            id=self._it.new_id(),
            caller=actor_of(caller),
            command=command,
            where=where,
            at=self._it.clock.now(),
            state=state,
            not_before=soon,
        )

    def _first_try(self) -> datetime:
        return self._it.clock.now() + FIRST_TRY

    def _wait(self, ask: Ask, error: Unreachable | None) -> None:
        """Let an ask be due again later: soon where it waits for the registry, of which one question is asked first."""
        is_lost = isinstance(error, RegistryUnreachable) and not isinstance(error, FilesUnreachable)
        if is_lost:
            self._it.reach.lost()
        pause = ASK_RETRY if is_lost else min(ASK_RETRY * 2 ** min(ask.attempts, 10), ASK_RETRY_MOST)
        later = replace(ask, attempts=ask.attempts + 1, not_before=self._it.clock.now() + pause)
        with self._it.ledger.write() as tx:
            if tx.ask(ask.id).state is AskState.WAITING:
                tx.save_ask(later)

    def _refuse(self, ask: Ask, error: RegistrarError, *, tell: bool) -> Done | None:
        """End the ask; but where another thread has opened a request of it meanwhile, return that."""
        with self._it.ledger.write() as tx:
            now = tx.ask(ask.id)
            if now.request:
                return Done(request=tx.request(now.request))
            if now.state is not AskState.WAITING:  # refused by another thread, which writes it down once
                return None
            self.end_refused(tx, ask, error, tell=tell)
        return None

    def end_refused(self, tx: Writing, ask: Ask, error: RegistrarError, *, tell: bool) -> None:
        """Write down that a waiting ask is refused, and why."""
        why = str(error.sentence)
        tx.save_ask(replace(ask, state=AskState.REFUSED, error=type(error).__name__, outcome=why))
        seen = error.evidence if isinstance(error, GateFailed) else None
        found = {"error": type(error).__name__, "seen": seen}
        tx.append(_event(ask, _refused(ask), self._it.clock.now(), why=why, origin="registrar", **found))
        self._note(tx, ask, error.sentence, tell)

    def _tell(self, ask: Ask, answer: Say) -> None:
        with self._it.ledger.write() as tx:
            self._note(tx, ask, answer, True)

    def _note(self, tx: Writing, ask: Ask, sentence: Say, tell: bool) -> None:
        note = direct_note(f"ask:{ask.id}", f"direct:ask:{ask.id}", ask.caller, sentence)
        if tell and note:
            tx.add_note(note)


def end(tx: Writing, ask: Ask, outcome: str = "") -> bool:
    """Write down that an ask is done, and what came of it; return False where another thread was faster."""
    if tx.ask(ask.id).state is not AskState.WAITING:
        return False
    tx.save_ask(replace(ask, state=AskState.DONE, outcome=outcome))
    return True


def _check_reason(command: Command) -> None:
    """Raise BadInput for an emergency that nobody explains."""
    if isinstance(command, Promote) and command.break_glass and not command.reason:
        raise BadInput("Breaking the glass needs a reason: the channel reads it, and the audit keeps it.")


def _same(before: Ask | None, ask: Ask) -> Ask:
    """Return what was asked for with the same key, if it was the same."""
    if before is None or before.digest != ask.digest:
        raise AnotherAsk("This key came with something else before; nothing was changed.")
    return before


def _found(reading: Any, draft: str) -> Ask:
    try:
        found: Ask = reading.ask(draft)
    except KeyError:
        raise UnknownRequest("This form is from another time; open it again.") from None
    return found
