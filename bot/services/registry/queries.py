"""Looking things up: models, versions, requests, history. Nothing here changes anything."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.domain.audit.events import Link
from bot.domain.commands.queries import History, ShowAudit, Validate
from bot.domain.core.errors import LedgerUnavailable, RegistrarError, UnknownModel
from bot.domain.core.relative_time import begin
from bot.domain.core.sentence import Say
from bot.domain.policy.freezes import frozen
from bot.domain.policy.messages import what_holds
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions.request import Request, RequestState, Vote, approvals
from bot.domain.promotions.snapshot import Seen
from bot.domain.registry.model import (
    ModelInfo,
    Package,
    RunInfo,
    Stage,
    VersionInfo,
    VersionRef,
    check_spelling,
    find_version,
    not_that_model,
)
from bot.domain.registry.model_card import ModelCard
from bot.domain.registry.rollback_block import Bar
from bot.domain.rollbacks.history import Timeline, Window, overlapping, window
from bot.domain.rollbacks.rollback import Served, stretches
from bot.domain.transitions.drift import BASELINE
from bot.domain.transitions.model_card_sources import Sources, deployed, fill
from bot.domain.transitions.transition import Move, time_of
from bot.ports import Reading
from bot.services.core.blocked_versions import blocks_now
from bot.services.core.context import Context
from bot.services.promotions.gate_checks import Gating

log = logging.getLogger(__name__)

AUDIT_PAGE = 20  # events in one answer
DRAWN_MOST = 50  # stretches in a picture
MOVES_PAGE = 100  # moves of one model's Production that are read at first
WAITING = (RequestState.PENDING, RequestState.APPROVED, RequestState.EXECUTING)


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model with all its versions, newest first, each with its aliases, the requests that wait, and the blocks."""

    model: ModelInfo
    versions: list[VersionInfo]
    requests: list[Request]
    blocks: Mapping[int, Bar] = field(default_factory=dict)  # by version


@dataclass(frozen=True, slots=True, kw_only=True)
class CardView:
    """A version's metadata card, with the version and the run that it was filled from."""

    version: VersionInfo
    run: RunInfo | None
    card: ModelCard
    block: Bar | None = None


class Lookups:
    """Reads of the registry and the ledger, for people."""

    def __init__(self, context: Context, gating: Gating) -> None:
        self._it = context
        self._gating = gating

    def models(self, text: str = "") -> list[ModelInfo]:
        """Return the models whose name holds `text`."""
        return self._it.registry.models(text)

    def model_and_versions(self, name: str) -> tuple[ModelInfo, list[VersionInfo]]:
        """Return a model and its versions, newest first: two requests.

        Raises UnknownModel, with a near one; also for a name in another letter case, which some databases find: the
        policy's rules go by the exact name.
        """
        try:
            model, versions = self._it.registry.model(name), self._it.registry.versions(name)
        except UnknownModel as error:
            raise UnknownModel(self._nearest(name)) from error
        check_spelling(name, model.name)
        return model, versions

    def show(self, name: str) -> ModelView:
        """Return everything about a model, without the requests where no ledger answers. Raises UnknownModel."""
        model, versions = self.model_and_versions(name)
        waiting: list[Request] = []
        with suppress(LedgerUnavailable), self._it.ledger.read() as reading:
            waiting = reading.requests(model=name, states=WAITING)
        named, blocked = [_named(one, model) for one in versions], blocks_now(self._it, versions)
        return ModelView(model, named, waiting, blocked)

    def version(self, name: str, ref: VersionRef) -> VersionInfo:
        """Return one version. Raises UnknownModel, UnknownVersion."""
        model, versions = self.model_and_versions(name)
        return _named(find_version(ref, model, versions), model)

    def card(self, name: str, ref: VersionRef) -> CardView:
        """Return the metadata card of one version. Raises UnknownModel, UnknownVersion.

        What lies beside the model's files, and what only the ledger knows, is left out where it cannot be read;
        everything else is asked for.
        """
        model, versions = self.model_and_versions(name)
        version = _named(find_version(ref, model, versions), model)
        run = self._it.registry.runs([version.run_id]).get(version.run_id) if version.run_id else None
        request: Request | None = None
        votes: tuple[Vote, ...] = ()
        brought: Move | None = None
        deciders: tuple[Vote, ...] = ()
        with suppress(LedgerUnavailable), self._it.ledger.read() as reading:
            request = next(iter(reading.requests(model=name, version=version.version, most=1)), None)
            request = request if request and request.is_of(version) else None
            votes = tuple(reading.votes(request.id)) if request else ()
            moves = reading.moves(name, stage=Stage.PRODUCTION)
            brought = deployed(moves, version)
            deciders = tuple(reading.votes(brought.request)) if brought and brought.request else ()
        package = self._package(version)
        sources = Sources(
            version=version,
            model=model,
            run=run,
            package=package,
            algorithm=self._algorithm(version, run, package),
            request=request,
            votes=votes,
            deployed=brought,
            deciders=deciders,
        )
        block = blocks_now(self._it, [version]).get(version.version)
        return CardView(version=version, run=run, card=fill(sources), block=block)

    def _package(self, version: VersionInfo) -> Package | None:
        try:
            return self._it.registry.package(version)
        except RegistrarError as error:
            log.info("the files of %s v%s cannot be read: %s", version.model, version.version, error)
            return None

    def _algorithm(self, version: VersionInfo, run: RunInfo | None, package: Package | None) -> str | None:
        try:
            return self._it.algorithm(version, run or RunInfo(id=""), package)
        except RegistrarError as error:
            log.info("the model file of %s v%s cannot be read: %s", version.model, version.version, error)
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

    def audit(self, command: ShowAudit) -> tuple[list[Link], Say | None]:
        """Return a model's audit events, newest first, one more than a page holds where there are more.

        With how many of its broken glasses nobody has reviewed, where there are any.
        """
        now = self._it.clock.now()
        since = begin(command.since, now)
        with self._it.ledger.read() as reading:
            links = reading.latest(model=command.model, since=since, before=command.before, most=AUDIT_PAGE + 1)
            return links, break_glass_messages.unreviewed(reading.to_review(command.model), now)

    def history(self, name: str, most: int) -> list[Served]:
        """Return who was in Production, the present one first. Raises UnknownModel for one that nobody has heard of."""
        return list(self.timeline(History(model=name, last=most)).served)

    def timeline(self, command: History) -> Timeline:
        """Return who was in Production, the last ones or those at a time. Raises UnknownModel and BadInput.

        All that is asked of the registry is whether there is a model that the ledger does not know.
        """
        now = self._it.clock.now()
        asked = None if command.at is None else window(command.at, now)
        with self._it.ledger.read() as reading:
            lately = _lately(reading, command.model, command.last if asked is None else DRAWN_MOST)
            found = lately if asked is None else _about(reading, command.model, asked)
            first, first_look = reading.first_move(command.model, Stage.PRODUCTION), reading.look(BASELINE)
            shown = tuple(found[: command.last]) if asked is None else overlapping(found, asked)
            requests = {one.began.request: reading.request(one.began.request) for one in shown if one.began.request}
            approvers = {one: tuple(vote.voter for vote in approvals(reading.votes(one))) for one in requests}
            is_known = bool(reading.moves(command.model, stage=Stage.PRODUCTION, most=1))
        if not is_known:
            self.model_and_versions(command.model)
        known = [time_of(first)] if first else []
        known += [first_look.at] if first_look else []
        return Timeline(
            model=command.model,
            served=shown,
            now=now,
            watched=min(known, default=None),
            requests=requests,
            approvers=approvers,
            drawn=tuple(lately[: command.last if asked is None else DRAWN_MOST]),
            has_more=asked is None and len(found) > len(shown),
            window=asked,
            **_around(found, asked),
        )

    def _nearest(self, name: str) -> Say:
        names = [model.name for model in self._it.registry.models()]
        same = [one for one in names if one.casefold() == name.casefold()]
        near = same or difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        return not_that_model(name, near[0] if near else None)


def _lately(reading: Reading, model: str, most: int) -> list[Served]:
    """Return the last stretches of Production, newest first: so many and one more, where there are more."""
    return _read(reading, model, lambda found: len(found) > most)


def _about(reading: Reading, model: str, asked: Window) -> list[Served]:
    """Return the stretches of Production, newest first, from those soon behind a window to the last one before it."""
    end = asked.end or asked.begin
    found = _read(reading, model, lambda found: _reaches(found, asked.begin), until=end)
    if sum(one.since > end for one in found) < 2:
        # What came next decides how long the newest one here served, so that there has to be one between them.
        return _read(reading, model, lambda found: _reaches(found, asked.begin))
    return found


def _reaches(found: Sequence[Served], begin: datetime) -> bool:
    """Tell whether one that began before is among them, and known whole: of the last one the beginning may be older."""
    return len(found) > 1 and found[-2].since <= begin


def _read(
    reading: Reading, model: str, is_enough: Callable[[list[Served]], bool], until: datetime | None = None
) -> list[Served]:
    """Return the stretches of Production that the newest moves tell of, read page by page until it is enough."""
    moves: list[Move] = []
    while True:
        most = max(MOVES_PAGE, len(moves))  # twice as many each time, so that many are not gone through many times
        last = moves[-1].id if moves else None
        page = reading.moves(model, stage=Stage.PRODUCTION, most=most, before=last, until=until)
        moves += page
        found = stretches(moves)
        if is_enough(found) or len(page) < most:
            return found


def _around(found: Sequence[Served], asked: Window | None) -> dict[str, Served | None]:
    """Return the last one that began before the window, and the first one behind it."""
    if asked is None:
        return {}
    end = asked.end or asked.begin
    return {
        "before": next((one for one in found if one.since <= asked.begin), None),
        "after": next((one for one in reversed(found) if one.since > end), None),
    }


def _named(version: VersionInfo, model: ModelInfo) -> VersionInfo:
    return replace(
        version, aliases=tuple(sorted(a for a, number in model.aliases.items() if number == version.version))
    )
