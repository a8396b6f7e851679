"""Reading what gates look at, when a request is opened, right before its move, or when somebody only wants to know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from math import isnan

from bot.domain.core.errors import LedgerUnavailable, Unreachable
from bot.domain.policy.gate_config import CardGate, Gate, SignatureGate
from bot.domain.policy.policy import TargetRule
from bot.domain.promotions import gates
from bot.domain.promotions.gates import GateFacts
from bot.domain.promotions.request import Request
from bot.domain.promotions.snapshot import GateResult, Seen
from bot.domain.registry.model import ModelInfo, Package, RunInfo, Stage, VersionInfo
from bot.domain.registry.rollback_block import Bar
from bot.domain.registry.signature_changes import Effect, ForCallers, for_callers, no_way_back, nothing_before
from bot.domain.transitions.model_card_sources import Sources, fill
from bot.domain.transitions.transition import Facts, MoveState, incumbent
from bot.services.core.blocked_versions import blocks_to_decide
from bot.services.core.context import Context

_IN_FILES = frozenset({"framework", "dependencies"})  # fields of the card that only a model's files tell


class _Files:
    """The files of the versions of one look, each read once."""

    def __init__(self, it: Context) -> None:
        self._it = it
        self._read: dict[int, Package | None] = {}

    def of(self, version: VersionInfo) -> Package | None:
        """Return a version's files. Raises Unreachable."""
        if version.version not in self._read:
            self._read[version.version] = self._it.package(version)
        return self._read[version.version]


class Gating:
    """Puts a version in front of the gates of its target's rule."""

    def __init__(self, context: Context) -> None:
        self._it = context

    def look(
        self,
        model: ModelInfo,
        versions: Sequence[VersionInfo],
        version: VersionInfo,
        target: Stage,
        validation: Mapping[str, float],
        *,
        callers: bool = False,
    ) -> Seen:
        """Return what is seen of a version now. Raises Unreachable, also where the ledger can't tell what's blocked.

        One request for the runs, and where the rule asks for signatures or for what only files tell, those files. With
        `callers` both versions' files are read, to tell what changes for callers; files that are away are said to be.
        """
        rule = self._it.policy.rules_for(model.name).rule(target) or TargetRule()
        holder = _version(versions, incumbent(Facts(versions=tuple(versions)), target))
        runs = self._runs([version, holder])
        files = _Files(self._it)
        package = files.of(version) if _needs_files(rule.gates) else None
        before = files.of(holder) if _asks_for(rule.gates, SignatureGate) and holder else None
        facts = GateFacts(
            version=version,
            now=self._it.clock.now(),
            incumbent=holder.version if holder else None,
            block=self._block(version, versions),
            card=fill(Sources(version=version, model=model, run=_run_of(version, runs), package=package)),
            metrics=_figures(version, runs),
            against=_figures(holder, runs),
            validation=validation,
            directions=self._it.policy.directions_for(model.name),
            staged_since=self._staged_since(version),
            signature=package.signature if package else None,
            incumbent_signature=before.signature if before else None,
            has_mlmodel=package is not None,
        )
        seen = self._seen(model.name, target, facts, gates.check(rule.gates, facts))
        return replace(seen, callers=self._callers(version, holder, target, files)) if callers else seen

    def _block(self, version: VersionInfo, versions: Sequence[VersionInfo]) -> Bar | None:
        """Return what blocks a version: its own block, or else that of another number for the same files."""
        found = blocks_to_decide(self._it, [version, *(one for one in versions if version.has_files_of(one))])
        return found.get(version.version) or next(iter(found.values()), None)

    def _callers(self, version: VersionInfo, holder: VersionInfo | None, target: Stage, files: _Files) -> ForCallers:
        """Return what changes for callers. That no rollback undoes it is said if one could, or if callers break."""
        acts = target is Stage.PRODUCTION and self._rolls_back(version.model)
        if holder is None:
            return ForCallers(way_back=nothing_before() if acts else None)
        try:
            ours, theirs = files.of(version), files.of(holder)
        except Unreachable as error:
            return ForCallers(unknown=error.sentence)
        found = for_callers(ours, theirs, version.version, holder.version)
        is_told = target is Stage.PRODUCTION and (acts or found.says(Effect.BREAKS))
        return replace(found, way_back=no_way_back(ours, theirs, holder.version) if is_told else None)

    def _rolls_back(self, model: str) -> bool:
        """Tell whether a monitor of the model can roll back, alone or after a click."""
        try:
            with self._it.ledger.read() as reading:
                return any(one.rule.action in {"ask", "auto"} and not one.is_paused for one in reading.monitors(model))
        except LedgerUnavailable:
            return False

    def again(self, request: Request, facts: Facts) -> Seen | None:
        """Return what is seen of a request's version right before its move, or None where nothing was seen before.

        Every gate is checked again, on what `look` reads. Of a rule that has changed only that is said.
        """
        if request.seen is None:
            return None
        rule = self._it.policy.fingerprint(request.model, request.target)
        version = facts.version(request.version)
        if rule != request.seen.rule or version is None or facts.model is None:
            return Seen(rule=rule, policy=self._it.rules.revision)
        return self.look(facts.model, facts.versions, version, request.target, request.seen.validation)

    def _seen(self, model: str, target: Stage, facts: GateFacts, results: Iterable[GateResult]) -> Seen:
        return Seen(
            metrics=facts.metrics,
            against=facts.against,
            validation=facts.validation,
            gates=tuple(results),
            rule=self._it.policy.fingerprint(model, target),
            policy=self._it.rules.revision,
            blocked=facts.block.version if facts.block else None,
        )

    def _runs(self, versions: Iterable[VersionInfo | None]) -> Mapping[str, RunInfo]:
        ids = list(dict.fromkeys(one.run_id for one in versions if one and one.run_id))
        return self._it.registry.runs(ids) if ids else {}

    def _staged_since(self, version: VersionInfo) -> datetime | None:
        """Return since when the version is in Staging, as the ledger has it.

        Of one that somebody moved in MLflow the registry's last change is taken: it was there no later than then.
        """
        if version.stage is not Stage.STAGING:
            return None
        try:
            with self._it.ledger.read() as reading:
                moves = reading.moves(version.model, stage=Stage.STAGING)
        except LedgerUnavailable:  # a terminal that is not beside the bot has none
            moves = []
        done = [move for move in moves if move.state is MoveState.DONE and move.is_of(version)]
        if done and done[0].target is Stage.STAGING:
            return done[0].finished_at
        return version.changed_at


def _version(versions: Sequence[VersionInfo], number: int | None) -> VersionInfo | None:
    return next((one for one in versions if one.version == number), None)


def _run_of(version: VersionInfo, runs: Mapping[str, RunInfo]) -> RunInfo | None:
    return runs.get(version.run_id) if version.run_id else None


def _figures(version: VersionInfo | None, runs: Mapping[str, RunInfo]) -> dict[str, float]:
    run = _run_of(version, runs) if version else None
    return {name: value for name, value in sorted(run.metrics.items()) if not isnan(value)} if run else {}


def _asks_for(found: Sequence[Gate], kind: type[Gate]) -> bool:
    return any(isinstance(gate, kind) for gate in found)


def _names_files(found: Sequence[Gate]) -> bool:
    return any(isinstance(gate, CardGate) and not _IN_FILES.isdisjoint(gate.card) for gate in found)


def _needs_files(found: Sequence[Gate]) -> bool:
    return _asks_for(found, SignatureGate) or _names_files(found)
