"""Check gates: when a request is opened, right before its transition, and for `validate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from math import isnan

from bot.domain.commands.base import results_by_metric
from bot.domain.commands.promotions import Validate
from bot.domain.core.errors import LedgerUnavailable, NoLedgerHere, Unreachable
from bot.domain.integrity.digest import digest_id
from bot.domain.policy.gate_config import CardGate, InStagingGate, SignatureGate
from bot.domain.policy.policy import TargetRule
from bot.domain.promotions import gates
from bot.domain.promotions.file_gate import FileFacts, file_facts
from bot.domain.promotions.gates import GateFacts
from bot.domain.promotions.recorded_facts import pack_gate_facts
from bot.domain.promotions.request import Request, RequestSnapshot
from bot.domain.registry.model import ModelInfo, ModelPackage, RunInfo, Stage, VersionInfo, resolve_version
from bot.domain.registry.model_card import CARD_FIELDS_FROM_FILES
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
from bot.services.core.commands import QueryHandlers
from bot.services.core.context import Context
from bot.services.registry.queries import RegistryQueries


class GateChecks:
    """Checks a version against the policy's gates for a stage."""

    def __init__(self, context: Context, queries: RegistryQueries) -> None:
        self._context = context
        self._queries = queries

    def handlers(self) -> QueryHandlers:
        """Return the handler for `validate`."""
        return {Validate: self.validate_gates}

    def validate_gates(self, command: Validate) -> tuple[VersionInfo, RequestSnapshot]:
        """Return a version and its gate results for a stage. Raises UnknownModel and UnknownVersion."""
        model, versions = self._queries.model_and_versions(command.model)
        version = resolve_version(command.version, model, versions)
        return version, self.take_snapshot(model, versions, version, command.to, results_by_metric(command.validation))

    def take_snapshot(
        self,
        model: ModelInfo,
        versions: Sequence[VersionInfo],
        version: VersionInfo,
        target: Stage,
        validation: Mapping[str, float],
        *,
        with_callers: bool = False,
        changed_files: Sequence[str] = (),
    ) -> RequestSnapshot:
        """Return a snapshot of a version with its gate results.

        `validation` holds metrics that the requester reports. All runs are read with one request. Model files are read
        only if a gate needs them, or if `with_callers` is set, to compare signatures for callers. `changed_files` are
        paths that differ from what was recorded; if there are any, they replace those that the ledger knows. Raises
        Unreachable, including when blocks can't be read from the ledger.
        """
        context, rule = self._context, self._context.policy.rules_for(model.name).rule(target) or TargetRule()
        incumbent = stage_incumbent(TransitionFacts(versions=tuple(versions)), target)
        holder = next((other for other in versions if other.version == incumbent), None)
        compared = {one.version: one for one in (version, holder) if one}
        read_package = cache(lambda number: context.package(compared[number]))
        run_ids = [one.run_id for one in compared.values() if one.run_id]
        runs = context.tracker.runs(list(dict.fromkeys(run_ids))) if run_ids else {}
        kinds = {type(gate) for gate in rule.gates}
        needs_files = SignatureGate in kinds or any(
            isinstance(gate, CardGate) and not CARD_FIELDS_FROM_FILES.isdisjoint(gate.card) for gate in rule.gates
        )
        package = read_package(version.version) if needs_files else None
        incumbent_package = read_package(holder.version) if holder and SignatureGate in kinds else None
        run = runs.get(version.run_id) if version.run_id else None
        facts = GateFacts(
            version=version,
            now=context.clock.now(),
            incumbent=incumbent,
            block=self._blocked_by(version, versions),
            missing=fill_model_card(ModelCardSources(version=version, model=model, run=run, package=package)).missing()
            if CardGate in kinds
            else None,
            metrics=_metric_values(run),
            incumbent_metrics=_metric_values(runs.get(holder.run_id) if holder and holder.run_id else None),
            validation=validation,
            directions=context.policy.metrics_for(model.name).directions,
            staged_since=self._staged_since(version) if InStagingGate in kinds else None,
            signature=package.signature if package else None,
            incumbent_signature=incumbent_package.signature if incumbent_package else None,
            has_mlmodel=package is not None,
            files=self._file_facts(version, changed_files) if rule.integrity == "required" else None,
        )
        return RequestSnapshot(
            metrics=facts.metrics,
            against=facts.incumbent_metrics,
            validation=validation,
            facts=pack_gate_facts(facts),
            gates=gates.check_gates(rule.gates, facts),
            rule=context.policy.fingerprint(model.name, target),
            policy=context.active_policy.revision,
            blocked=facts.block.version if facts.block else None,
            callers=self._caller_impact(version, holder, target, read_package) if with_callers else CallerImpact(),
        )

    def _file_facts(self, version: VersionInfo, changed_files: Sequence[str]) -> FileFacts | None:
        """Return what the `integrity` gate reads, or None at a terminal on another machine, which has no ledger."""
        try:
            with self._context.ledger.read() as reader:
                digest = reader.digest(digest_id(version))
        except NoLedgerHere:
            return None
        if digest is not None and changed_files:
            digest = replace(digest, changed=tuple(changed_files))
        return file_facts(digest)

    def _blocked_by(self, version: VersionInfo, versions: Sequence[VersionInfo]) -> RollbackBlock | None:
        """Return the block on a version or, if it has none, on another version with the same files; else None."""
        blocks = blocks_for_gates(
            self._context, [version, *(other for other in versions if version.has_same_files_as(other))]
        )
        return blocks.get(version.version) or next(iter(blocks.values()), None)

    def _caller_impact(
        self,
        version: VersionInfo,
        holder: VersionInfo | None,
        target: Stage,
        read_package: Callable[[int], ModelPackage | None],
    ) -> CallerImpact:
        """Return what changes for callers and, if it matters for this transition, why a rollback couldn't undo it."""
        can_roll_back = target is Stage.PRODUCTION and self._has_rollback_monitor(version.model)
        if holder is None:
            return CallerImpact(no_rollback=no_earlier_version_reason() if can_roll_back else None)
        try:
            package, incumbent_package = read_package(version.version), read_package(holder.version)
        except Unreachable as error:
            return CallerImpact(not_compared=error.sentence)
        impact = caller_impact(package, incumbent_package, version.version, holder.version)
        is_relevant = target is Stage.PRODUCTION and (can_roll_back or impact.sentences(CallerEffect.BREAKS))
        return replace(
            impact, no_rollback=no_rollback_reason(package, incumbent_package, holder.version) if is_relevant else None
        )

    def _has_rollback_monitor(self, model: str) -> bool:
        """Return whether a monitor of the model can roll back, automatically or after a click."""
        try:
            with self._context.ledger.read() as reader:
                return any(
                    monitor.rule.action in {"ask", "auto"} and not monitor.is_paused
                    for monitor in reader.monitors(model)
                )
        except LedgerUnavailable:
            return False

    def retake_snapshot(
        self, request: Request, facts: TransitionFacts, changed_files: Sequence[str]
    ) -> RequestSnapshot | None:
        """Check all gates of a request again, right before its transition.

        `changed_files` are the files that were added, removed, or resized since they were recorded. Return None if the
        request has no snapshot to compare with. If the policy rule has changed or the model or version is gone, return
        a snapshot with only the current rule and policy revision.
        """
        if request.seen is None:
            return None
        rule = self._context.policy.fingerprint(request.model, request.target)
        version = facts.version(request.version)
        if rule != request.seen.rule or version is None or facts.model is None:
            return RequestSnapshot(rule=rule, policy=self._context.active_policy.revision)
        return self.take_snapshot(
            facts.model,
            facts.versions,
            version,
            request.target,
            request.seen.validation,
            changed_files=changed_files,
        )

    def _staged_since(self, version: VersionInfo) -> datetime | None:
        """Return when the version entered Staging, according to the ledger, or None if it isn't in Staging.

        If someone put it there in MLflow, return when the registry last changed it; it's been there at least since
        then.
        """
        if version.stage is not Stage.STAGING:
            return None
        try:
            with self._context.ledger.read() as reader:
                transitions = reader.transitions(version.model, stage=Stage.STAGING)
        except LedgerUnavailable:  # a terminal on a different machine has no ledger
            transitions = []
        done = [each for each in transitions if each.state is TransitionState.DONE and each.is_about(version)]
        if done and done[0].target is Stage.STAGING:
            return done[0].finished_at
        return version.changed_at


def _metric_values(run: RunInfo | None) -> dict[str, float]:
    return {name: value for name, value in sorted(run.metrics.items()) if not isnan(value)} if run else {}
