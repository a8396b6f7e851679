"""Check permissions, and record refusals in the audit log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Caller, Client, Person, actor_id, actor_of
from bot.domain.core.errors import QuotaExceeded, Refused
from bot.domain.policy.authorization import PERMISSION_RULES, AccessTarget, Permission, authorize, describe_caller
from bot.domain.policy.callers.quotas import Quota, QuotaMeter
from bot.domain.policy.freezes import active_freeze
from bot.domain.registry.model import Stage, unknown_model_error
from bot.ports import Ledger, LedgerTransaction
from bot.services.core.context import Context


@contextmanager
def recording_refusals(ledger: Ledger, describe: Callable[[Refused], Event]) -> Iterator[LedgerTransaction]:
    """Open the transaction in which a person's command locks, checks, and then acts or raises Refused.

    A refusal is recorded as the event that `describe` returns, together with what was written before, and is then
    raised. After any other error, nothing is recorded. Raises LedgerUnavailable.
    """
    refusal: Refused | None = None
    with ledger.write() as tx:
        try:
            yield tx
        except Refused as error:
            refusal = error
            tx.add_audit_event(describe(error))
    if refusal is not None:
        raise refusal


class AccessControl:
    """Enforces the policy's permissions for everything that isn't about a request, and records refusals."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._meter = QuotaMeter()

    def spend_quota(self, caller: Caller, quota: Quota, *, origin: str) -> None:
        """Count a permitted action against a person's or client's quota. Operators at the terminal aren't limited.

        Raises QuotaExceeded, which is audited once an hour for each caller and quota, with `origin`.
        """
        actor, now = actor_of(caller), self._context.clock.now()
        if not isinstance(actor, Person | Client):
            return
        try:
            # A user ID belongs to one person, in whatever workspace of an Enterprise Grid they act.
            who = actor.user if isinstance(actor, Person) else actor_id(actor)
            self._meter.spend(who, quota, self._context.policy.quotas, now)
        except QuotaExceeded as error:
            if error.is_new:
                event = Event(
                    at=now,
                    actor=actor,
                    tag=EventTag.API_REFUSED if origin in {"api", "mcp"} else EventTag.PERMISSION_REFUSED,
                    subject="quotas",
                    why=str(error.sentence),
                    origin=origin,
                    evidence={
                        "act": f"exceed the quota of {quota}",
                        "by": describe_caller(caller, self._context.policy),
                    },
                )
                with self._context.ledger.write() as tx:
                    tx.add_audit_event(event)
            raise

    def allows(self, caller: Caller, permission: Permission) -> bool:
        """Return whether `caller` has `permission`, regardless of the model; nothing is recorded."""
        return bool(authorize(caller, permission, AccessTarget(), self._context.policy, self._context.clock.now()))

    def require_permission(
        self,
        caller: Caller,
        permission: Permission,
        *,
        model: str | None = None,
        target: Stage | None = None,
        origin: str,
    ) -> None:
        """Require that `caller` has `permission` now, for `model` and stage `target` if given.

        Raises Refused with the reason (audited, with `origin`). Raises UnknownModel if Registrar knows the model by a
        name that differs only in case, because a freeze of `Churn` wouldn't stop `churn`.
        """
        now, policy, frozen, known_name = self._context.clock.now(), self._context.policy, None, None
        if model is not None:
            with self._context.ledger.read() as reader:
                known_name = reader.model_with_other_case(model)
                if PERMISSION_RULES[permission].stopped_by_freeze:
                    frozen = active_freeze(model, reader.freezes(), policy, now)
        decision = authorize(caller, permission, AccessTarget(model=model, target=target, frozen=frozen), policy, now)
        if not decision:
            event = Event(
                at=now,
                actor=actor_of(caller),
                tag=EventTag.PERMISSION_REFUSED,
                subject=model or "registry",
                model=model,
                why=str(decision.reason),
                origin=origin,
                evidence={"act": permission.value, "by": describe_caller(caller, policy)},
            )
            with recording_refusals(self._context.ledger, lambda _: event):
                raise Refused(decision.reason)
        if model is not None and known_name is not None:
            raise unknown_model_error(model, known_name)
