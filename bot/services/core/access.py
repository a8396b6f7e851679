"""May they? The question in front of every act that is not about a request; a refusal is kept in the audit."""

from __future__ import annotations

from bot.domain.audit.events import Event, Tag
from bot.domain.core.actors import Caller, actor_of
from bot.domain.core.errors import Refused, UnknownModel
from bot.domain.policy.authorization import TABLE, Act, Subject, authorize, standing
from bot.domain.policy.freezes import frozen
from bot.domain.registry.model import Stage, not_that_model
from bot.services.core.context import Context


class Gatekeeper:
    """Asks `authorize`, and writes refusals down."""

    def __init__(self, context: Context) -> None:
        self._it = context

    def admit(
        self, caller: Caller, act: Act, *, model: str | None = None, target: Stage | None = None, origin: str
    ) -> None:
        """Return if `caller` may do `act` now. Raises Refused with the sentence that says why not.

        Raises UnknownModel for a model that Registrar knows in another letter case.
        """
        now = self._it.clock.now()
        decision = authorize(caller, act, self._subject(act, model, target), self._it.policy, now)
        if decision:
            return self._check_spelling(model)
        event = Event(
            at=now,
            actor=actor_of(caller),
            tag=Tag.REFUSED,
            subject=model or "registry",
            model=model,
            why=str(decision.why),
            origin=origin,
            evidence={"act": act.value, "by": standing(caller, self._it.policy)},
        )
        with self._it.ledger.write() as tx:
            tx.append(event)
        raise Refused(decision.why)

    def _check_spelling(self, model: str | None) -> None:
        """Raise UnknownModel for a name that only differs in its letter case: a freeze of `Churn` stops nothing."""
        if model is None:
            return
        with self._it.ledger.read() as reading:
            near = reading.seen_as(model)
        if near is not None:
            raise UnknownModel(not_that_model(model, near))

    def _subject(self, act: Act, model: str | None, target: Stage | None) -> Subject:
        if model is None or not TABLE[act].freezes:
            return Subject(model=model, target=target)
        with self._it.ledger.read() as reading:
            stop = frozen(model, reading.freezes(), self._it.policy, self._it.clock.now())
        return Subject(model=model, target=target, frozen=stop)
