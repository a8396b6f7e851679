"""Importing what was in Production before Registrar: rows of a file, put before the history that the ledger has."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby

from bot.domain.audit.events import Event, Tag
from bot.domain.core.actors import Caller, actor_of
from bot.domain.core.errors import BadInput, UnknownModel
from bot.domain.core.sentence import say
from bot.domain.policy.authorization import Act, standing
from bot.domain.registry.model import Identity, Stage
from bot.domain.rollbacks.imported_history import Term, moves_of, read_terms
from bot.domain.transitions.transition import Move, time_of
from bot.ports import Writing
from bot.services.core.access import Gatekeeper
from bot.services.core.context import Context
from bot.services.registry.queries import Lookups


@dataclass(frozen=True, slots=True)
class Imported:
    """How many rows the file has, and how many of them are new to the history."""

    rows: int
    added: int


class Importing:
    """Adds earlier terms of Production to the history."""

    def __init__(self, context: Context, lookups: Lookups, gatekeeper: Gatekeeper) -> None:
        self._it = context
        self._lookups = lookups
        self._gatekeeper = gatekeeper

    def take(self, caller: Caller, text: str, *, digest: str, reason: str, origin: str) -> Imported:
        """Import the rows of a file whose SHA-256 is `digest`: all of them or none; rows from before add nothing.

        Raises Refused (kept in the audit), BadInput that names the wrong row, Unreachable.
        """
        if not reason:
            raise BadInput("An import needs a reason: the audit log keeps it.")
        self._gatekeeper.admit(caller, Act.IMPORT_HISTORY, origin=origin)
        terms = sorted(read_terms(text), key=lambda term: term.model)
        by_model = {model: list(mine) for model, mine in groupby(terms, key=lambda term: term.model)}
        identities = {model: self._identities(mine[0]) for model, mine in by_model.items()}
        added = 0
        with self._it.ledger.write() as tx:
            tx.lock("history import")
            for model, mine in by_model.items():
                new = list(_new(tx, mine))
                if not new:
                    continue
                tx.add_earlier(self._moves(tx, caller, new, reason, identities[model]))
                evidence = {"rows": len(new), "sha256": digest, "by": standing(caller, self._it.policy)}
                tx.append(
                    Event(
                        at=self._it.clock.now(),
                        actor=actor_of(caller),
                        tag=Tag.HISTORY_IMPORTED,
                        subject=model,
                        model=model,
                        why=reason,
                        origin=origin,
                        evidence=evidence,
                    )
                )
                added += len(new)
        return Imported(len(terms), added)

    def _identities(self, term: Term) -> dict[int, Identity]:
        """Return what the versions of a model are that the registry has today."""
        try:
            model, versions = self._lookups.model_and_versions(term.model)
        except UnknownModel as error:
            raise BadInput(say("{place}: {why}", place=term.place, why=error.sentence)) from error
        return {one.version: one.identity(model.created_at) for one in versions}

    def _moves(
        self, tx: Writing, caller: Caller, terms: list[Term], reason: str, identities: dict[int, Identity]
    ) -> list[Move]:
        first = tx.first_move(terms[0].model, Stage.PRODUCTION)
        return moves_of(
            terms,
            time_of(first) if first else None,
            now=self._it.clock.now(),
            actor=actor_of(caller),
            reason=reason,
            identities=identities,
        )


def _new(tx: Writing, terms: Iterable[Term]) -> Iterable[Term]:
    """Yield the terms that the history doesn't have yet, each once."""
    for term in {term.id: term for term in terms}.values():
        with suppress(KeyError):
            tx.move(term.id)
            continue
        yield term
