"""Import Production history from before Registrar, and prepend it to the ledger's history."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Caller, actor_of
from bot.domain.core.errors import BadInput, UnknownModel
from bot.domain.core.sentence import say
from bot.domain.policy.authorization import Permission, describe_caller
from bot.domain.registry.model import Stage, VersionIdentity
from bot.domain.rollbacks.imported_history import ImportedPeriod, imported_transitions, parse_imported_periods
from bot.domain.transitions.transition import Transition, transition_time
from bot.ports import LedgerTransaction
from bot.services.core.access import AccessControl
from bot.services.core.context import Context
from bot.services.registry.queries import RegistryQueries


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The number of rows in the file, and how many of them were added."""

    rows: int
    added: int


class HistoryImporter:
    """Adds earlier serving periods to the history."""

    def __init__(self, context: Context, queries: RegistryQueries, access: AccessControl) -> None:
        self._context = context
        self._queries = queries
        self._access = access

    def import_rows(self, caller: Caller, text: str, *, digest: str, reason: str, origin: str) -> ImportResult:
        """Import all rows of a file or none; skip rows that have already been imported.

        `text` is the file's text, and `digest` its SHA-256. Raises Refused (audited), BadInput that names the invalid
        row, and Unreachable.
        """
        if not reason:
            raise BadInput("An import needs a reason for the audit log.")
        self._access.require_permission(caller, Permission.IMPORT_HISTORY, origin=origin)
        periods = sorted(parse_imported_periods(text), key=lambda period: period.model)
        by_model = {
            model: list(model_periods) for model, model_periods in groupby(periods, key=lambda period: period.model)
        }
        identities = {model: self._identities(model_periods[0]) for model, model_periods in by_model.items()}
        added = 0
        with self._context.ledger.write() as tx:
            tx.lock("history import")
            for model, model_periods in by_model.items():
                new = list(_new_terms(tx, model_periods))
                if not new:
                    continue
                tx.prepend_transitions(self._transitions(tx, caller, new, reason, identities[model]))
                evidence = {"rows": len(new), "sha256": digest, "by": describe_caller(caller, self._context.policy)}
                tx.add_audit_event(
                    Event(
                        at=self._context.clock.now(),
                        actor=actor_of(caller),
                        tag=EventTag.HISTORY_IMPORTED,
                        subject=model,
                        model=model,
                        why=reason,
                        origin=origin,
                        evidence=evidence,
                    )
                )
                added += len(new)
        return ImportResult(len(periods), added)

    def _identities(self, term: ImportedPeriod) -> dict[int, VersionIdentity]:
        """Return the identities of the model's versions in the registry. Raises BadInput if the model is unknown."""
        try:
            model, versions = self._queries.model_and_versions(term.model)
        except UnknownModel as error:
            raise BadInput(say("{place}: {why}", place=term.location, why=error.sentence)) from error
        return {version.version: version.identity(model.created_at) for version in versions}

    def _transitions(
        self,
        tx: LedgerTransaction,
        caller: Caller,
        terms: list[ImportedPeriod],
        reason: str,
        identities: dict[int, VersionIdentity],
    ) -> list[Transition]:
        first = tx.first_transition(terms[0].model, Stage.PRODUCTION)
        return imported_transitions(
            terms,
            transition_time(first) if first else None,
            now=self._context.clock.now(),
            actor=actor_of(caller),
            reason=reason,
            identities=identities,
        )


def _new_terms(tx: LedgerTransaction, terms: Iterable[ImportedPeriod]) -> Iterable[ImportedPeriod]:
    """Yield the periods that aren't in the history yet, without duplicates."""
    for period in {period.id: period for period in terms}.values():
        with suppress(KeyError):
            tx.transition(period.id)
            continue
        yield period
