"""Looking things up: models, versions, requests, history. Nothing here changes anything."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.domain.audit.events import ChainedEvent
from bot.domain.commands.queries import ShowAudit, ShowHistory, Validate
from bot.domain.core.errors import LedgerUnavailable, RegistrarError, UnknownModel
from bot.domain.core.relative_time import resolve_start
from bot.domain.core.sentence import Sentence
from bot.domain.policy.freezes import active_freeze
from bot.domain.policy.messages import describe_rules
from bot.domain.promotions import break_glass_messages
from bot.domain.promotions.request import Request, RequestState, Vote, counting_approvals
from bot.domain.promotions.snapshot import RequestSnapshot
from bot.domain.registry.model import (
    ModelInfo,
    ModelPackage,
    RunInfo,
    Stage,
    VersionInfo,
    VersionRef,
    check_exact_name,
    resolve_version,
    unknown_model_message,
)
from bot.domain.registry.model_card import ModelCard
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.rollbacks.history import Timeline, TimeWindow, periods_in_window, resolve_window
from bot.domain.rollbacks.rollback import ServingPeriod, serving_periods
from bot.domain.transitions.drift import REGISTRY_SEEN_KEY
from bot.domain.transitions.model_card_sources import ModelCardSources, fill_model_card, last_deployment
from bot.domain.transitions.transition import Transition, transition_time
from bot.ports import LedgerReader
from bot.services.core.blocked_versions import blocks_for_display
from bot.services.core.context import Context
from bot.services.promotions.gate_checks import GateChecks

log = logging.getLogger(__name__)

AUDIT_PAGE_SIZE = 20  # events in one answer
MAX_CHART_PERIODS = 50  # stretches in a picture
TRANSITIONS_PAGE_SIZE = 100  # moves of one model's Production that are read at first
OPEN_STATES = (RequestState.PENDING, RequestState.APPROVED, RequestState.EXECUTING)


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model with all its versions, newest first, each with its aliases, the requests that wait, and the blocks."""

    model: ModelInfo
    versions: list[VersionInfo]
    requests: list[Request]
    blocks: Mapping[int, RollbackBlock] = field(default_factory=dict)  # by version


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionCard:
    """A version's metadata card, with the version and the run that it was filled from."""

    version: VersionInfo
    run: RunInfo | None
    card: ModelCard
    block: RollbackBlock | None = None


class RegistryQueries:
    """Reads of the registry and the ledger, for people."""

    def __init__(self, context: Context, gate_checks: GateChecks) -> None:
        self._context = context
        self._gate_checks = gate_checks

    def models(self, text: str = "") -> list[ModelInfo]:
        """Return the models whose name holds `text`."""
        return self._context.registry.models(text)

    def model_and_versions(self, name: str) -> tuple[ModelInfo, list[VersionInfo]]:
        """Return a model and its versions, newest first: two requests.

        Raises UnknownModel, with a near one; also for a name in another letter case, which some databases find: the
        policy's rules go by the exact name.
        """
        try:
            model, versions = self._context.registry.model(name), self._context.registry.versions(name)
        except UnknownModel as error:
            raise UnknownModel(self._unknown_model(name)) from error
        check_exact_name(name, model.name)
        return model, versions

    def model_view(self, name: str) -> ModelView:
        """Return everything about a model, without the requests where no ledger answers. Raises UnknownModel."""
        model, versions = self.model_and_versions(name)
        waiting: list[Request] = []
        with suppress(LedgerUnavailable), self._context.ledger.read() as reading:
            waiting = reading.requests(model=name, states=OPEN_STATES)
        named, blocked = [_with_aliases(one, model) for one in versions], blocks_for_display(self._context, versions)
        return ModelView(model, named, waiting, blocked)

    def version(self, name: str, ref: VersionRef) -> VersionInfo:
        """Return one version. Raises UnknownModel, UnknownVersion."""
        model, versions = self.model_and_versions(name)
        return _with_aliases(resolve_version(ref, model, versions), model)

    def version_card(self, name: str, ref: VersionRef) -> VersionCard:
        """Return the metadata card of one version. Raises UnknownModel, UnknownVersion.

        What lies beside the model's files, and what only the ledger knows, is left out where it cannot be read;
        everything else is asked for.
        """
        model, versions = self.model_and_versions(name)
        version = _with_aliases(resolve_version(ref, model, versions), model)
        run = self._context.registry.runs([version.run_id]).get(version.run_id) if version.run_id else None
        request: Request | None = None
        votes: tuple[Vote, ...] = ()
        brought: Transition | None = None
        deciders: tuple[Vote, ...] = ()
        with suppress(LedgerUnavailable), self._context.ledger.read() as reading:
            request = next(iter(reading.requests(model=name, version=version.version, limit=1)), None)
            request = request if request and request.is_about(version) else None
            votes = tuple(reading.votes(request.id)) if request else ()
            moves = reading.transitions(name, stage=Stage.PRODUCTION)
            brought = last_deployment(moves, version)
            deciders = tuple(reading.votes(brought.request)) if brought and brought.request else ()
        package = self._package(version)
        sources = ModelCardSources(
            version=version,
            model=model,
            run=run,
            package=package,
            algorithm=self._algorithm(version, run, package),
            request=request,
            votes=votes,
            deployment=brought,
            deployment_votes=deciders,
        )
        block = blocks_for_display(self._context, [version]).get(version.version)
        return VersionCard(version=version, run=run, card=fill_model_card(sources), block=block)

    def _package(self, version: VersionInfo) -> ModelPackage | None:
        try:
            return self._context.registry.package(version)
        except RegistrarError as error:
            log.info("the files of %s v%s cannot be read: %s", version.model, version.version, error)
            return None

    def _algorithm(self, version: VersionInfo, run: RunInfo | None, package: ModelPackage | None) -> str | None:
        try:
            return self._context.algorithm(version, run or RunInfo(id=""), package)
        except RegistrarError as error:
            log.info("the model file of %s v%s cannot be read: %s", version.model, version.version, error)
            return None

    def open_requests(self, model: str | None = None) -> list[Request]:
        """Return the requests that wait, newest first."""
        with self._context.ledger.read() as reading:
            return reading.requests(model=model, states=OPEN_STATES)

    def request_with_votes(self, request_id: str) -> tuple[Request, list[Vote]]:
        """Return a request and its votes. Raises UnknownRequest."""
        with self._context.ledger.read() as reading:
            return reading.request(request_id), reading.votes(request_id)

    def validate_gates(self, command: Validate) -> tuple[VersionInfo, RequestSnapshot]:
        """Return a version with what the gates of a stage say of it. Raises UnknownModel, UnknownVersion."""
        model, versions = self.model_and_versions(command.model)
        version = resolve_version(command.version, model, versions)
        return version, self._gate_checks.take_snapshot(model, versions, version, command.to, command.results())

    def policy_summary(self, model: str) -> list[Sentence]:
        """Return what the policy says of a model and whether its Production is frozen now."""
        policy = self._context.policy
        lines = describe_rules(policy, model, self._context.active_policy.revision)
        with self._context.ledger.read() as reading:
            stop = active_freeze(model, reading.freezes(), policy, self._context.clock.now())
        return lines + ([stop.description] if stop else [])

    def audit_page(self, command: ShowAudit) -> tuple[list[ChainedEvent], Sentence | None]:
        """Return a model's audit events, newest first, one more than a page holds where there are more.

        With how many of its broken glasses nobody has reviewed, where there are any.
        """
        now = self._context.clock.now()
        since = resolve_start(command.since, now)
        with self._context.ledger.read() as reading:
            links = reading.latest_audit_events(
                model=command.model, since=since, before_number=command.before, limit=AUDIT_PAGE_SIZE + 1
            )
            return links, break_glass_messages.unreviewed_summary(reading.requests_to_review(command.model), now)

    def serving_periods(self, name: str, limit: int) -> list[ServingPeriod]:
        """Return who was in Production, the present one first. Raises UnknownModel for one that nobody has heard of."""
        return list(self.timeline(ShowHistory(model=name, last=limit)).periods)

    def timeline(self, command: ShowHistory) -> Timeline:
        """Return who was in Production, the last ones or those at a time. Raises UnknownModel and BadInput.

        All that is asked of the registry is whether there is a model that the ledger does not know.
        """
        now = self._context.clock.now()
        asked = None if command.at is None else resolve_window(command.at, now)
        with self._context.ledger.read() as reading:
            lately = _recent_periods(reading, command.model, command.last if asked is None else MAX_CHART_PERIODS)
            found = lately if asked is None else _periods_around(reading, command.model, asked)
            first, first_look = (
                reading.first_transition(command.model, Stage.PRODUCTION),
                reading.registry_snapshot(REGISTRY_SEEN_KEY),
            )
            shown = tuple(found[: command.last]) if asked is None else periods_in_window(found, asked)
            requests = {
                one.started_by.request: reading.request(one.started_by.request)
                for one in shown
                if one.started_by.request
            }
            approvers = {one: tuple(vote.voter for vote in counting_approvals(reading.votes(one))) for one in requests}
            is_known = bool(reading.transitions(command.model, stage=Stage.PRODUCTION, limit=1))
        if not is_known:
            self.model_and_versions(command.model)
        known = [transition_time(first)] if first else []
        known += [first_look.at] if first_look else []
        return Timeline(
            model=command.model,
            periods=shown,
            now=now,
            watched_since=min(known, default=None),
            requests=requests,
            approvers=approvers,
            chart_periods=tuple(lately[: command.last if asked is None else MAX_CHART_PERIODS]),
            has_older=asked is None and len(found) > len(shown),
            window=asked,
            **_neighbors(found, asked),
        )

    def _unknown_model(self, name: str) -> Sentence:
        names = [model.name for model in self._context.registry.models()]
        same = [one for one in names if one.casefold() == name.casefold()]
        near = same or difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        return unknown_model_message(name, near[0] if near else None)


def _recent_periods(reader: LedgerReader, model: str, limit: int) -> list[ServingPeriod]:
    """Return the last stretches of Production, newest first: so many and one more, where there are more."""
    return _read_periods(reader, model, lambda found: len(found) > limit)


def _periods_around(reader: LedgerReader, model: str, requested: TimeWindow) -> list[ServingPeriod]:
    """Return the stretches of Production, newest first, from those soon behind a window to the last one before it."""
    end = requested.end or requested.start
    found = _read_periods(reader, model, lambda found: _reaches_back_to(found, requested.start), until=end)
    if sum(one.since > end for one in found) < 2:
        # What came next decides how long the newest one here served, so that there has to be one between them.
        return _read_periods(reader, model, lambda found: _reaches_back_to(found, requested.start))
    return found


def _reaches_back_to(periods: Sequence[ServingPeriod], time: datetime) -> bool:
    """Tell whether one that began before is among them, and known whole: of the last one the beginning may be older."""
    return len(periods) > 1 and periods[-2].since <= time


def _read_periods(
    reader: LedgerReader, model: str, is_enough: Callable[[list[ServingPeriod]], bool], until: datetime | None = None
) -> list[ServingPeriod]:
    """Return the stretches of Production that the newest moves tell of, read page by page until it is enough."""
    moves: list[Transition] = []
    while True:
        most = max(
            TRANSITIONS_PAGE_SIZE, len(moves)
        )  # twice as many each time, so that many are not gone through many times
        last = moves[-1].id if moves else None
        page = reader.transitions(model, stage=Stage.PRODUCTION, limit=most, before_id=last, until=until)
        moves += page
        found = serving_periods(moves)
        if is_enough(found) or len(page) < most:
            return found


def _neighbors(periods: Sequence[ServingPeriod], requested: TimeWindow | None) -> dict[str, ServingPeriod | None]:
    """Return the last one that began before the window, and the first one behind it."""
    if requested is None:
        return {}
    end = requested.end or requested.start
    return {
        "before": next((one for one in periods if one.since <= requested.start), None),
        "after": next((one for one in reversed(periods) if one.since > end), None),
    }


def _with_aliases(version: VersionInfo, model: ModelInfo) -> VersionInfo:
    return replace(
        version, aliases=tuple(sorted(a for a, number in model.aliases.items() if number == version.version))
    )
