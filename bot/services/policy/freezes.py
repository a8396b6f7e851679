"""Freeze and unfreeze Production. It only needs the ledger, so it works while MLflow is unavailable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bot.domain.audit.events import Event, EventTag
from bot.domain.commands.policy import FreezeModel, UnfreezeModel
from bot.domain.core.actors import Caller, actor_of
from bot.domain.core.cron_windows import cron_window_at
from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import Name, Sentence, join_sentences, say
from bot.domain.policy import messages as policy_messages
from bot.domain.policy.authorization import describe_caller
from bot.domain.policy.freezes import ActiveFreeze, Freeze, active_freeze
from bot.domain.policy.policy import Policy
from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import Stage
from bot.ports import LedgerTransaction
from bot.services.core.commands import ChangeHandlers
from bot.services.core.context import Context
from bot.services.core.outbox_messages import card_message, channel_message

MAX_REDRAWN_CARDS = 500  # pending requests whose cards are redrawn


class Freezes:
    """Freezes and unfreezes models."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._last_redraw: tuple[Policy, datetime, object] | None = (
            None  # the policy, the time, and the freezes at the last `redraw_cards`
        )

    def handlers(self) -> ChangeHandlers:
        """Return the handlers for `freeze` and `unfreeze`."""
        return {FreezeModel: self.freeze, UnfreezeModel: self.unfreeze}

    def freeze(self, caller: Caller, command: FreezeModel, *, origin: str) -> Sentence:
        """Freeze Production for one model or all models, and return the answer.

        Raises BadInput and LedgerUnavailable.
        """
        model = _require_one_target(command.model, command.everywhere, "freeze")
        if not command.reason:
            raise BadInput('A freeze needs a reason. Add --reason "…".')
        now = self._context.clock.now()
        until = _end_time(command.until, now)
        freeze = Freeze(
            id=self._context.new_id(), model=model, by=actor_of(caller), reason=command.reason, at=now, until=until
        )
        with self._context.ledger.write() as tx:
            tx.add_freeze(freeze)
            tx.add_audit_event(self._freeze_event(EventTag.FROZEN, caller, freeze, command.reason, origin))
            self._announce(tx, freeze, policy_messages.freeze_announcement(freeze), "frozen")
        return policy_messages.freeze_confirmation(freeze)

    def unfreeze(self, caller: Caller, command: UnfreezeModel, *, origin: str) -> Sentence:
        """End the freezes that people set for one model or for all models, and return the answer.

        Raises BadInput if there's no such freeze, and LedgerUnavailable.
        """
        model = _require_one_target(command.model, command.everywhere, "unfreeze")
        by, now = actor_of(caller), self._context.clock.now()
        with self._context.ledger.write() as tx:
            lifted = [freeze for freeze in tx.freezes() if freeze.model == model and freeze.is_active(now)]
            for freeze in lifted:
                tx.save_freeze(replace(freeze, lifted_at=now, lifted_by=by))
                tx.add_audit_event(self._freeze_event(EventTag.UNFROZEN, caller, freeze, command.reason, origin))
                self._announce(
                    tx, freeze, policy_messages.unfreeze_announcement(freeze, by, command.reason), "unfrozen"
                )
            remaining = active_freeze(model, tx.freezes(), self._context.policy, now) if model else None
        if not lifted:
            raise BadInput(remaining.description if remaining else _nothing_to_unfreeze(model))
        announcement = policy_messages.unfreeze_announcement(lifted[0], by, command.reason)
        return (
            join_sentences([announcement, say("It's still frozen: {why}", why=remaining.description)], " ")
            if remaining
            else announcement
        )

    def active_freeze(self, model: str) -> ActiveFreeze | None:
        """Return the freeze that currently applies to a model's Production, or None if there isn't one."""
        with self._context.ledger.read() as reader:
            return active_freeze(model, reader.freezes(), self._context.policy, self._context.clock.now())

    def redraw_cards(self) -> int:
        """Redraw the cards of requests whose freeze has begun or ended since the last call; return how many.

        This covers freezes that begin or end as time passes, and edits to freeze windows; when people freeze or
        unfreeze, the cards are redrawn immediately. The first call compares with the time when each request was opened.
        """
        now, policy = self._context.clock.now(), self._context.policy
        with self._context.ledger.read() as reader:
            freezes = reader.freezes()
            state = _schedule_state(policy, freezes, now)
            if self._last_redraw and self._last_redraw[2] == state:
                return 0
            pending = reader.requests(states=[RequestState.PENDING], limit=MAX_REDRAWN_CARDS)
        cards = []
        for request in (request for request in pending if request.target is Stage.PRODUCTION):
            before, since, _ = self._last_redraw or (policy, request.opened_at, None)
            freeze_before, freeze_now = (
                _end_key(active_freeze(request.model, freezes, *policy_and_time))
                for policy_and_time in ((before, since), (policy, now))
            )
            if freeze_before != freeze_now:
                cards.append(
                    card_message(request, f"freeze:{freeze_before}:{freeze_now}", policy.channel_for(request.model))
                )
        with self._context.ledger.write() as tx:
            for message in cards:
                tx.add_message(message)
        self._last_redraw = (policy, now, state)
        return len(cards)

    def _announce(self, tx: LedgerTransaction, freeze: Freeze, sentence: Sentence, trigger: str) -> None:
        """Post the announcement in the channel, and redraw the cards of pending Production requests."""
        policy = self._context.policy
        channel = policy.channel_for(freeze.model or "")
        tx.add_message(channel_message(f"{trigger}:{freeze.id}", channel, sentence))
        for request in tx.requests(model=freeze.model, states=[RequestState.PENDING], limit=MAX_REDRAWN_CARDS):
            if request.target is Stage.PRODUCTION:
                tx.add_message(card_message(request, f"{trigger}:{freeze.id}", policy.channel_for(request.model)))

    def _freeze_event(self, tag: EventTag, caller: Caller, freeze: Freeze, why: str, origin: str) -> Event:
        evidence = {
            "until": freeze.until.isoformat() if freeze.until else None,
            "all": freeze.model is None,
            "by": describe_caller(caller, self._context.policy),
        }
        return Event(
            at=self._context.clock.now(),
            actor=actor_of(caller),
            tag=tag,
            subject=f"freeze:{freeze.id}",
            model=freeze.model,
            why=why,
            origin=origin,
            evidence=evidence,
        )


def _schedule_state(policy: Policy, freezes: Sequence[Freeze], now: datetime) -> object:
    """Return a value that changes whenever a freeze begins or ends."""
    windows = [*policy.freeze, *(window for rules in policy.models.values() for window in rules.freeze)]
    spans = [cron_window_at(one.cron, one.lasts, one.zone, now) for one in windows]
    return spans, [freeze.id for freeze in freezes if freeze.is_active(now)]


def _end_key(freeze: ActiveFreeze | None) -> str:
    """Return a key for a freeze: its end time, `open` if it has none, or `none` if there's no freeze."""
    if freeze is None:
        return "none"
    return freeze.until.isoformat() if freeze.until else "open"


def _require_one_target(model: str | None, all_models: bool, verb: str) -> str | None:
    """Return the model, or None for all models. Raises BadInput if both or neither is given."""
    if (model is None) is not all_models:
        raise BadInput(f"Name one model, or {verb} all models with --all.")
    return model


def _end_time(until: timedelta | datetime | None, now: datetime) -> datetime | None:
    try:
        end = now + until if isinstance(until, timedelta) else until
    except OverflowError:
        raise BadInput("--until is too far in the future. Leave it out, and unfreeze when you're done.") from None
    if end is not None and end <= now:
        raise BadInput(say("{when} is in the past. Use a time in the future.", when=end))
    return end


def _nothing_to_unfreeze(model: str | None) -> Sentence:
    if model is None:
        return say("There's no freeze for all models. To unfreeze one model, name it.")
    return say("{model} isn't frozen.", model=Name(model))
