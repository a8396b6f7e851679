"""Check permissions for everything that isn't about a request; refusals are audited."""

from __future__ import annotations

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Caller, actor_of
from bot.domain.core.errors import Refused, UnknownModel
from bot.domain.policy.authorization import PERMISSION_RULES, AccessTarget, Permission, authorize, describe_caller
from bot.domain.policy.freezes import active_freeze
from bot.domain.registry.model import Stage, unknown_model_message
from bot.services.core.context import Context


class AccessControl:
    """Enforces the policy's permissions, and audits refusals."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def require_permission(
        self,
        caller: Caller,
        permission: Permission,
        *,
        model: str | None = None,
        target: Stage | None = None,
        origin: str,
    ) -> None:
        """Return if `caller` has `permission` now, on `model` and stage `target` if given.

        Raises Refused with the reason (audited, with `origin`), and UnknownModel for a model that Registrar knows in
        another letter case.
        """
        now = self._context.clock.now()
        decision = authorize(caller, permission, self._subject(permission, model, target), self._context.policy, now)
        if decision:
            return self._require_exact_name(model)
        event = Event(
            at=now,
            actor=actor_of(caller),
            tag=EventTag.PERMISSION_REFUSED,
            subject=model or "registry",
            model=model,
            why=str(decision.reason),
            origin=origin,
            evidence={"act": permission.value, "by": describe_caller(caller, self._context.policy)},
        )
        with self._context.ledger.write() as tx:
            tx.add_audit_event(event)
        raise Refused(decision.reason)

    def _require_exact_name(self, model: str | None) -> None:
        """Raise UnknownModel if a name differs only in letter case: a freeze of `Churn` wouldn't stop `churn`."""
        if model is None:
            return
        with self._context.ledger.read() as reader:
            known_name = reader.model_with_other_case(model)
        if known_name is not None:
            raise UnknownModel(unknown_model_message(model, known_name))

    def _subject(self, permission: Permission, model: str | None, target: Stage | None) -> AccessTarget:
        if model is None or not PERMISSION_RULES[permission].stopped_by_freeze:
            return AccessTarget(model=model, target=target)
        with self._context.ledger.read() as reader:
            freeze = active_freeze(model, reader.freezes(), self._context.policy, self._context.clock.now())
        return AccessTarget(model=model, target=target, frozen=freeze)
