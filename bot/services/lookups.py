"""Looking things up: models, versions, requests, history. Nothing here changes anything."""

from __future__ import annotations

import difflib
import logging
from dataclasses import dataclass, replace

from bot.domain.approvals import Request, RequestState, Vote
from bot.domain.card import ModelCard, Sources, deployed, fill
from bot.domain.commands import ShowAudit, Validate, begin
from bot.domain.errors import RegistrarError, UnknownModel
from bot.domain.events import Link
from bot.domain.evidence import Seen
from bot.domain.freezes import frozen
from bot.domain.moves import Move, MoveKind, MoveState
from bot.domain.policy_words import what_holds
from bot.domain.registry import ModelInfo, Package, RunInfo, Stage, VersionInfo, VersionRef, find_version
from bot.domain.text import Name, Say, say
from bot.services.context import Context
from bot.services.gating import Gating

log = logging.getLogger(__name__)

AUDIT_PAGE = 20  # events in one answer
WAITING = (RequestState.PENDING, RequestState.APPROVED, RequestState.EXECUTING)


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model with all its versions, newest first, each with its aliases, and the requests that wait."""

    model: ModelInfo
    versions: list[VersionInfo]
    requests: list[Request]


@dataclass(frozen=True, slots=True, kw_only=True)
class CardView:
    """A version's metadata card, with the version and the run that it was filled from."""

    version: VersionInfo
    run: RunInfo | None
    card: ModelCard


@dataclass(frozen=True, slots=True)
class Term:
    """One stretch of Production: the move that began it, and the one that ended it if it has ended."""

    began: Move
    ended: Move | None


class Lookups:
    """Reads of the registry and the ledger, for people."""

    def __init__(self, context: Context, gating: Gating) -> None:
        self._it = context
        self._gating = gating

    def models(self, text: str = "") -> list[ModelInfo]:
        """Return the models whose name holds `text`."""
        return self._it.registry.models(text)

    def model_and_versions(self, name: str) -> tuple[ModelInfo, list[VersionInfo]]:
        """Return a model and its versions, newest first: two requests. Raises UnknownModel, with a near one."""
        try:
            return self._it.registry.model(name), self._it.registry.versions(name)
        except UnknownModel as error:
            raise UnknownModel(self._nearest(name)) from error

    def show(self, name: str) -> ModelView:
        """Return everything about a model. Raises UnknownModel."""
        model, versions = self.model_and_versions(name)
        with self._it.ledger.read() as reading:
            return ModelView(
                model, [_named(one, model) for one in versions], reading.requests(model=name, states=WAITING)
            )

    def version(self, name: str, ref: VersionRef) -> VersionInfo:
        """Return one version. Raises UnknownModel, UnknownVersion."""
        model, versions = self.model_and_versions(name)
        return _named(find_version(ref, model, versions), model)

    def card(self, name: str, ref: VersionRef) -> CardView:
        """Return the metadata card of one version. Raises UnknownModel, UnknownVersion.

        What lies beside the model's files is left out where it cannot be read; everything else is asked for.
        """
        model, versions = self.model_and_versions(name)
        version = _named(find_version(ref, model, versions), model)
        run = self._it.registry.runs([version.run_id]).get(version.run_id) if version.run_id else None
        with self._it.ledger.read() as reading:
            request = next(iter(reading.requests(model=name, version=version.version, most=1)), None)
            votes = tuple(reading.votes(request.id)) if request else ()
            moves = reading.moves(name, stage=Stage.PRODUCTION)
        sources = Sources(
            version=version, model=model, run=run, package=self._package(version), request=request, votes=votes,
            deployed=deployed(moves, version.version),
        )  # fmt: skip
        return CardView(version=version, run=run, card=fill(sources))

    def _package(self, version: VersionInfo) -> Package | None:
        try:
            return self._it.registry.package(version)
        except RegistrarError as error:
            log.info("the files of %s v%s cannot be read: %s", version.model, version.version, error)
            return None

    def requests(self, model: str | None = None) -> list[Request]:
        """Return the requests that wait, newest first."""
        with self._it.ledger.read() as reading:
            return reading.requests(model=model, states=WAITING)

    def request(self, request_id: str) -> tuple[Request, list[Vote]]:
        """Return a request and its votes. Raises UnknownRequest."""
        with self._it.ledger.read() as reading:
            return reading.request(request_id), reading.votes(request_id)

    def validate(self, command: Validate) -> tuple[VersionInfo, Seen]:
        """Return a version with what the gates of a stage say of it. Raises UnknownModel, UnknownVersion."""
        model, versions = self.model_and_versions(command.model)
        version = find_version(command.version, model, versions)
        return version, self._gating.look(model, versions, version, command.to, command.results())

    def policy(self, model: str) -> list[Say]:
        """Return what the policy says of a model and whether its Production is frozen now."""
        policy = self._it.policy
        lines = what_holds(policy, model, self._it.rules.revision)
        with self._it.ledger.read() as reading:
            stop = frozen(model, reading.freezes(), policy, self._it.clock.now())
        return lines + ([stop.why] if stop else [])

    def audit(self, command: ShowAudit) -> list[Link]:
        """Return a model's audit events, newest first, one more than a page holds where there are more."""
        now = self._it.clock.now()
        since = begin(command.since, now)
        with self._it.ledger.read() as reading:
            return reading.latest(model=command.model, since=since, before=command.before, most=AUDIT_PAGE + 1)

    def history(self, name: str, most: int) -> list[Term]:
        """Return who was in Production, the present one first. Raises UnknownModel for one that nobody has heard of."""
        with self._it.ledger.read() as reading:
            moves = reading.moves(name, stage=Stage.PRODUCTION, most=3 * most)
        if not moves:
            self.model_and_versions(name)
        return terms(moves)[:most]

    def _nearest(self, name: str) -> Say:
        names = [model.name for model in self._it.registry.models()]
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        if near:
            return say("MLflow has no model {name}. Did you mean {near}?", name=Name(name), near=Name(near[0]))
        return say("MLflow has no model {name}.", name=Name(name))


def terms(moves: list[Move]) -> list[Term]:
    """Return the stretches of Production that the moves (newest first) tell of, newest first.

    Mending leaves the version that serves where it is, and begins no stretch of its own.
    """
    found: list[Term] = []
    ended: Move | None = None
    for move in (one for one in moves if one.state is MoveState.DONE):
        if move.target is Stage.PRODUCTION:
            if ended and ended.kind is MoveKind.MEND and ended.version == move.version:
                found[-1] = replace(found[-1], began=move)
            else:
                found.append(Term(move, ended))
            ended = move
        elif move.from_stage is Stage.PRODUCTION:
            ended = move
    return found


def _named(version: VersionInfo, model: ModelInfo) -> VersionInfo:
    return replace(
        version, aliases=tuple(sorted(a for a, number in model.aliases.items() if number == version.version))
    )
