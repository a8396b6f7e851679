"""Freezing Production and letting it move again: in the ledger only, so that it works while MLflow is away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bot.domain.audit.events import Event, Tag
from bot.domain.commands.changes import FreezeModel, UnfreezeModel
from bot.domain.core.actors import Actor, Caller, actor_of
from bot.domain.core.cron_windows import window_at
from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import Name, Say, joined, say
from bot.domain.policy import messages as policy_messages
from bot.domain.policy.authorization import Act, standing
from bot.domain.policy.freezes import Freeze, Frozen, frozen
from bot.domain.policy.policy import Policy
from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import Stage
from bot.ports import Writing
from bot.services.core.access import Gatekeeper
from bot.services.core.context import Context
from bot.services.core.outbox_messages import card_note, said_note

REQUESTS_MOST = 500  # open requests whose cards are drawn anew


class Freezing:
    """Makes and lifts freezes."""

    def __init__(self, context: Context, gatekeeper: Gatekeeper) -> None:
        self._it = context
        self._gatekeeper = gatekeeper
        self._drawn: tuple[Policy, datetime, object] | None = None  # under what, when, and for which freezes: `redraw`

    def freeze(self, caller: Caller, command: FreezeModel, *, origin: str) -> Say:
        """Let nothing move in Production from now on, and return the answer.

        Raises Refused (kept in the audit), BadInput and LedgerUnavailable.
        """
        model = _subject(command.model, command.everywhere, "freeze")
        if not command.reason:
            raise BadInput("A freeze needs a reason: whoever wants to promote gets to read it.")
        now = self._it.clock.now()
        until = _end(command.until, now)
        self._gatekeeper.admit(caller, Act.FREEZE, model=model, origin=origin)
        freeze = Freeze(
            id=self._it.new_id(), model=model, by=actor_of(caller), reason=command.reason, at=now, until=until
        )
        with self._it.ledger.write() as tx:
            tx.add_freeze(freeze)
            tx.append(self._event(Tag.FROZEN, caller, freeze, command.reason, origin))
            self._tell(tx, freeze, policy_messages.froze(freeze), "frozen")
        return policy_messages.frozen_by_you(freeze)

    def unfreeze(self, caller: Caller, command: UnfreezeModel, *, origin: str) -> Say:
        """Lift what people froze of this model, or with `--all` of every model at once, and return the answer.

        Raises Refused (kept in the audit), BadInput where nothing of the kind is frozen, and LedgerUnavailable.
        """
        model = _subject(command.model, command.everywhere, "unfreeze")
        self._gatekeeper.admit(caller, Act.UNFREEZE, model=model, origin=origin)
        by, now = actor_of(caller), self._it.clock.now()
        with self._it.ledger.write() as tx:
            lifted = [one for one in tx.freezes() if one.model == model and one.is_active(now)]
            for freeze in lifted:
                self._lift(tx, freeze, by, now)
                tx.append(self._event(Tag.UNFROZEN, caller, freeze, command.reason, origin))
                self._tell(tx, freeze, policy_messages.unfroze(freeze, by, command.reason), "unfrozen")
            left = self._left(tx, model, now)
        if not lifted:
            raise BadInput(left.why if left else _nothing_frozen(model))
        said = policy_messages.unfroze(lifted[0], by, command.reason)
        return joined([said, say("It stays frozen all the same. {why}", why=left.why)], " ") if left else said

    def stops(self, model: str) -> Frozen | None:
        """Return what stops Production of a model now."""
        with self._it.ledger.read() as reading:
            return frozen(model, reading.freezes(), self._it.policy, self._it.clock.now())

    def redraw(self) -> int:
        """Draw the cards again whose Production froze or thawed by the clock since the last call; return how many.

        Since they were opened, at the first call. An edit of the policy's windows counts as well; what people freeze
        or unfreeze is drawn as they do it.
        """
        now, policy = self._it.clock.now(), self._it.policy
        with self._it.ledger.read() as reading:
            freezes = reading.freezes()
            state = _by_the_clock(policy, freezes, now)
            if self._drawn and self._drawn[2] == state:
                return 0
            pending = reading.requests(states=[RequestState.PENDING], most=REQUESTS_MOST)
        changed = []
        for request in (one for one in pending if one.target is Stage.PRODUCTION):
            before, then, _ = self._drawn or (policy, request.opened_at, None)
            was, stop = (_mark(frozen(request.model, freezes, *at)) for at in ((before, then), (policy, now)))
            if was != stop:
                changed.append(card_note(request, f"freeze:{was}:{stop}", policy.channel_for(request.model)))
        with self._it.ledger.write() as tx:
            for note in changed:
                tx.add_note(note)
        self._drawn = (policy, now, state)
        return len(changed)

    def _left(self, tx: Writing, model: str | None, now: datetime) -> Frozen | None:
        return frozen(model, tx.freezes(), self._it.policy, now) if model else None

    def _lift(self, tx: Writing, freeze: Freeze, by: Actor, now: datetime) -> None:
        tx.save_freeze(replace(freeze, lifted_at=now, lifted_by=by))

    def _tell(self, tx: Writing, freeze: Freeze, sentence: Say, what: str) -> None:
        """Tell the channel, and let the cards of open requests say it."""
        policy = self._it.policy
        channel = policy.channel_for(freeze.model) if freeze.model else policy.channel
        tx.add_note(said_note(f"{what}:{freeze.id}", channel, sentence))
        for request in tx.requests(model=freeze.model, states=[RequestState.PENDING], most=REQUESTS_MOST):
            if request.target is Stage.PRODUCTION:
                tx.add_note(card_note(request, f"{what}:{freeze.id}", policy.channel_for(request.model)))

    def _event(self, tag: Tag, caller: Caller, freeze: Freeze, why: str, origin: str) -> Event:
        evidence = {
            "until": freeze.until.isoformat() if freeze.until else None,
            "all": freeze.model is None,
            "by": standing(caller, self._it.policy),
        }
        return Event(
            at=self._it.clock.now(),
            actor=actor_of(caller),
            tag=tag,
            subject=f"freeze:{freeze.id}",
            model=freeze.model,
            why=why,
            origin=origin,
            evidence=evidence,
        )


def _by_the_clock(policy: Policy, freezes: Sequence[Freeze], now: datetime) -> object:
    """Return what changes when a freeze begins or ends by the clock."""
    windows = [*policy.freeze, *(window for rules in policy.models.values() for window in rules.freeze)]
    spans = [window_at(one.cron, one.lasts, one.zone, now) for one in windows]
    return spans, [one.id for one in freezes if one.is_active(now)]


def _mark(stop: Frozen | None) -> str:
    """Return what tells a freeze from others that the clock begins or ends: its own end."""
    if stop is None:
        return "none"
    return stop.until.isoformat() if stop.until else "open"


def _subject(model: str | None, everywhere: bool, verb: str) -> str | None:
    """Return the model that is meant, None for every model. Raises BadInput where both or neither is named."""
    if (model is None) is not everywhere:
        raise BadInput(f"Name one model, or write {verb} --all for every model.")
    return model


def _end(until: timedelta | datetime | None, now: datetime) -> datetime | None:
    try:
        end = now + until if isinstance(until, timedelta) else until
    except OverflowError:
        raise BadInput(
            "That is longer than the calendar goes; leave --until away, and lift it when it is over."
        ) from None
    if end is not None and end <= now:
        raise BadInput(say("{when} is over already; name a time to come.", when=end))
    return end


def _nothing_frozen(model: str | None) -> Say:
    if model is None:
        return say("No freeze of every model is there to lift. One model's is lifted by its name.")
    return say("Nobody froze Production of {model}.", model=Name(model))
