"""Check gates: when a request is opened, right before its transition, or when someone only wants to know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from math import isnan

from bot.domain.commands.queries import Validate
from bot.domain.core.errors import LedgerUnavailable, Unreachable
from bot.domain.policy.gate_config import CardGate, Gate, SignatureGate
from bot.domain.policy.policy import TargetRule
from bot.domain.promotions import gates
from bot.domain.promotions.gates import GateFacts
from bot.domain.promotions.request import Request
from bot.domain.promotions.snapshot import GateResult, RequestSnapshot
from bot.domain.registry.model import ModelInfo, ModelPackage, RunInfo, Stage, VersionInfo, resolve_version
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.registry.signature_changes import (
    CallerEffect,
    CallerImpact,
    caller_impact,
    no_earlier_version_reason,
    no_rollback_reason,
)
from bot.domain.transitions.model_card_sources import ModelCardSources, fill_model_card
from bot.domain.transitions.transition import TransitionFacts, TransitionState, stage_incumbent
from bot.services.core.blocked_versions import blocks_for_gates
from bot.services.core.context import Context
from bot.services.registry.queries import RegistryQueries

_CARD_FIELDS_FROM_FILES = frozenset({"framework", "dependencies"})  # card fields that only model files provide


class _PackageCache:
    """The model files that one check needs, each read once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._packages: dict[int, ModelPackage | None] = {}

    def get(self, version: VersionInfo) -> ModelPackage | None:
        """Return a version's files. Raises Unreachable."""
        if version.version not in self._packages:
            self._packages[version.version] = self._context.package(version)
        return self._packages[version.version]


class GateChecks:
    """Checks a version against the gates that the policy sets for a stage."""

    def __init__(self, context: Context, queries: RegistryQueries) -> None:
        self._context = context
        self._queries = queries

    def validate_gates(self, command: Validate) -> tuple[VersionInfo, RequestSnapshot]:
        """Return a version and its gate results for a stage. Raises UnknownModel, UnknownVersion."""
        model, versions = self._queries.model_and_versions(command.model)
        version = resolve_version(command.version, model, versions)
        return version, self.take_snapshot(model, versions, version, command.to, command.results())

    def take_snapshot(
        self,
        model: ModelInfo,
        versions: Sequence[VersionInfo],
        version: VersionInfo,
        target: Stage,
        validation: Mapping[str, float],
        *,
        with_callers: bool = False,
    ) -> RequestSnapshot:
        """Return a snapshot of a version with its gate results.

        `validation` holds metrics that the requester reports. Runs are read with one request, model files only if a
        gate needs them or, to compare signatures for callers, `with_callers` is set. Raises Unreachable, also if the
        ledger can't tell what's blocked.
        """
        rule = self._context.policy.rules_for(model.name).rule(target) or TargetRule()
        holder = _find_version(versions, stage_incumbent(TransitionFacts(versions=tuple(versions)), target))
        runs = self._fetch_runs([version, holder])
        files = _PackageCache(self._context)
        package = files.get(version) if _needs_files(rule.gates) else None
        incumbent_package = files.get(holder) if _has_gate(rule.gates, SignatureGate) and holder else None
        facts = GateFacts(
            version=version,
            now=self._context.clock.now(),
            incumbent=holder.version if holder else None,
            block=self._blocked_by(version, versions),
            card=fill_model_card(
                ModelCardSources(version=version, model=model, run=_run_of(version, runs), package=package)
            ),
            metrics=_metric_values(version, runs),
            incumbent_metrics=_metric_values(holder, runs),
            validation=validation,
            directions=self._context.policy.directions_for(model.name),
            staged_since=self._staged_since(version),
            signature=package.signature if package else None,
            incumbent_signature=incumbent_package.signature if incumbent_package else None,
            has_mlmodel=package is not None,
        )
        snapshot = self._snapshot(model.name, target, facts, gates.check_gates(rule.gates, facts))
        return (
            replace(snapshot, callers=self._caller_effects(version, holder, target, files))
            if with_callers
            else snapshot
        )

    def _blocked_by(self, version: VersionInfo, versions: Sequence[VersionInfo]) -> RollbackBlock | None:
        """Return what blocks a version: its own block, or that of another version with the same files."""
        blocks = blocks_for_gates(
            self._context, [version, *(other for other in versions if version.has_same_files_as(other))]
        )
        return blocks.get(version.version) or next(iter(blocks.values()), None)

    def _caller_effects(
        self, version: VersionInfo, holder: VersionInfo | None, target: Stage, packages: _PackageCache
    ) -> CallerImpact:
        """Return what changes for callers, and why no rollback could undo it if that matters for this transition."""
        can_roll_back = target is Stage.PRODUCTION and self._has_rollback_monitor(version.model)
        if holder is None:
            return CallerImpact(no_rollback=no_earlier_version_reason() if can_roll_back else None)
        try:
            package, incumbent_package = packages.get(version), packages.get(holder)
        except Unreachable as error:
            return CallerImpact(not_compared=error.sentence)
        impact = caller_impact(package, incumbent_package, version.version, holder.version)
        is_relevant = target is Stage.PRODUCTION and (can_roll_back or impact.sentences(CallerEffect.BREAKS))
        return replace(
            impact, no_rollback=no_rollback_reason(package, incumbent_package, holder.version) if is_relevant else None
        )

    def _has_rollback_monitor(self, model: str) -> bool:
        """Tell whether a monitor of the model can roll back, automatically or after a click."""
        try:
            with self._context.ledger.read() as reader:
                return any(
                    monitor.rule.action in {"ask", "auto"} and not monitor.is_paused
                    for monitor in reader.monitors(model)
                )
        except LedgerUnavailable:
            return False

    def retake_snapshot(self, request: Request, facts: TransitionFacts) -> RequestSnapshot | None:
        """Check all gates of a request again right before its transition; None if it has no snapshot to compare with.

        If the policy rule has changed, the snapshot names only the new rule.
        """
        if request.seen is None:
            return None
        rule = self._context.policy.fingerprint(request.model, request.target)
        version = facts.version(request.version)
        if rule != request.seen.rule or version is None or facts.model is None:
            return RequestSnapshot(rule=rule, policy=self._context.active_policy.revision)
        return self.take_snapshot(facts.model, facts.versions, version, request.target, request.seen.validation)

    def _snapshot(self, model: str, target: Stage, facts: GateFacts, results: Iterable[GateResult]) -> RequestSnapshot:
        return RequestSnapshot(
            metrics=facts.metrics,
            against=facts.incumbent_metrics,
            validation=facts.validation,
            gates=tuple(results),
            rule=self._context.policy.fingerprint(model, target),
            policy=self._context.active_policy.revision,
            blocked=facts.block.version if facts.block else None,
        )

    def _fetch_runs(self, versions: Iterable[VersionInfo | None]) -> Mapping[str, RunInfo]:
        ids = list(dict.fromkeys(version.run_id for version in versions if version and version.run_id))
        return self._context.tracker.runs(ids) if ids else {}

    def _staged_since(self, version: VersionInfo) -> datetime | None:
        """Return since when the version has been in Staging, according to the ledger.

        If someone moved it in MLflow, that's the registry's last change: it has been there at least since then.
        """
        if version.stage is not Stage.STAGING:
            return None
        try:
            with self._context.ledger.read() as reader:
                transitions = reader.transitions(version.model, stage=Stage.STAGING)
        except LedgerUnavailable:  # a terminal away from the bot has no ledger
            transitions = []
        done = [
            transition
            for transition in transitions
            if transition.state is TransitionState.DONE and transition.is_about(version)
        ]
        if done and done[0].target is Stage.STAGING:
            return done[0].finished_at
        return version.changed_at


def _find_version(versions: Sequence[VersionInfo], number: int | None) -> VersionInfo | None:
    return next((version for version in versions if version.version == number), None)


def _run_of(version: VersionInfo, runs: Mapping[str, RunInfo]) -> RunInfo | None:
    return runs.get(version.run_id) if version.run_id else None


def _metric_values(version: VersionInfo | None, runs: Mapping[str, RunInfo]) -> dict[str, float]:
    run = _run_of(version, runs) if version else None
    return {name: value for name, value in sorted(run.metrics.items()) if not isnan(value)} if run else {}


def _has_gate(configured: Sequence[Gate], kind: type[Gate]) -> bool:
    return any(isinstance(gate, kind) for gate in configured)


def _has_card_gate_on_files(configured: Sequence[Gate]) -> bool:
    return any(isinstance(gate, CardGate) and not _CARD_FIELDS_FROM_FILES.isdisjoint(gate.card) for gate in configured)


def _needs_files(configured: Sequence[Gate]) -> bool:
    return _has_gate(configured, SignatureGate) or _has_card_gate_on_files(configured)
