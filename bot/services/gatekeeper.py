"""May they? The question in front of every act that is not about a request; a refusal is kept in the audit."""

from __future__ import annotations

from bot.domain.authority import Act, Subject, authorize
from bot.domain.errors import Refused
from bot.domain.events import Event, Tag
from bot.domain.people import Caller, actor_of
from bot.services.context import Context


class Gatekeeper:
    """Asks `authorize`, and writes refusals down."""

    def __init__(self, context: Context) -> None:
        self._it = context

    def admit(self, caller: Caller, act: Act, *, model: str | None = None, origin: str) -> None:
        """Return if `caller` may do `act` now. Raises Refused with the sentence that says why not."""
        now = self._it.clock.now()
        decision = authorize(caller, act, Subject(model=model), self._it.policy, now)
        if decision:
            return
        event = Event(
            at=now, actor=actor_of(caller), tag=Tag.REFUSED, subject=model or "registry", model=model,
            why=str(decision.why), origin=origin, evidence={"act": act.value},
        )  # fmt: skip
        with self._it.ledger.write() as tx:
            tx.append(event)
        raise Refused(decision.why)
