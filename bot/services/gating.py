"""Reading what gates look at, when a request is opened, right before its move, or when somebody only wants to know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import isnan

from bot.domain import gates
from bot.domain.approvals import Request
from bot.domain.card import ModelCard, Sources, fill
from bot.domain.errors import LedgerUnavailable
from bot.domain.evidence import GateResult, Seen
from bot.domain.gates import GateFacts
from bot.domain.moves import Facts, MoveState, incumbent
from bot.domain.policy import CardGate, Gate, SignatureGate, TargetRule
from bot.domain.registry import ModelInfo, Package, RunInfo, Stage, VersionInfo
from bot.services.context import Context

_IN_FILES = frozenset({"framework", "dependencies"})  # fields of the card that only a model's files tell


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
    ) -> Seen:
        """Return what is seen of a version now. Raises Unreachable.

        One request for the runs, and where the rule asks for signatures or for what only files tell, those files.
        """
        rule = self._it.policy.rules_for(model.name).rule(target) or TargetRule()
        holder = _version(versions, incumbent(Facts(versions=tuple(versions)), target))
        runs = self._runs([version, holder])
        package = self._it.package(version) if _needs_files(rule.gates) else None
        before = self._it.package(holder) if _asks_for(rule.gates, SignatureGate) and holder else None
        facts = GateFacts(
            version=version, now=self._it.clock.now(), incumbent=holder.version if holder else None,
            card=fill(Sources(version=version, model=model, run=_run_of(version, runs), package=package)),
            metrics=_figures(version, runs), against=_figures(holder, runs), validation=validation,
            directions=self._it.policy.directions_for(model.name), staged_since=self._staged_since(version),
            signature=package.signature if package else None, incumbent_signature=before.signature if before else None,
        )  # fmt: skip
        return self._seen(model.name, target, facts, gates.check(rule.gates, facts))

    def again(self, request: Request, versions: Sequence[VersionInfo]) -> Seen | None:
        """Return what is seen of a request's version right before its move, or None where nothing was seen before.

        One request for the runs; another one only where a field of the metadata card is missing but for the model's
        own tags. The files of a version do not change, so its signature is not read a second time.
        """
        if request.seen is None:
            return None
        policy = self._it.policy
        if policy.fingerprint(request.model, request.target) != request.seen.rule:
            return Seen(rule=policy.fingerprint(request.model, request.target), policy=self._it.rules.revision)
        rule = policy.rules_for(request.model).rule(request.target) or TargetRule()
        version = _version(versions, request.version)
        if version is None:
            return request.seen
        facts = self._facts_again(request, rule, versions, version)
        fresh = gates.check([gate for gate in rule.gates if not isinstance(gate, SignatureGate)], facts)
        if any(gate.name == gates.CARD and not gate.passed for gate in fresh):
            facts = self._facts_again(request, rule, versions, version, self._it.registry.model(request.model))
            fresh = gates.check([gate for gate in rule.gates if not isinstance(gate, SignatureGate)], facts)
        kept = [gate for gate in request.seen.gates if gate.name == gates.SIGNATURE]
        return self._seen(request.model, request.target, facts, [*fresh, *kept])

    def _facts_again(
        self,
        request: Request,
        rule: TargetRule,
        versions: Sequence[VersionInfo],
        version: VersionInfo,
        model: ModelInfo | None = None,
    ) -> GateFacts:
        assert request.seen is not None
        holder = _version(versions, request.incumbent)
        runs = self._runs([version, holder])
        package = self._it.package(version) if _names_files(rule.gates) else None
        return GateFacts(
            version=version, now=self._it.clock.now(), incumbent=request.incumbent,
            card=self._card(version, model or ModelInfo(name=request.model), runs, package),
            metrics=_figures(version, runs), against=_figures(holder, runs), validation=request.seen.validation,
            directions=self._it.policy.directions_for(request.model), staged_since=self._staged_since(version),
        )  # fmt: skip

    def _card(
        self, version: VersionInfo, model: ModelInfo, runs: Mapping[str, RunInfo], package: Package | None
    ) -> ModelCard:
        return fill(Sources(version=version, model=model, run=_run_of(version, runs), package=package))

    def _seen(self, model: str, target: Stage, facts: GateFacts, results: Iterable[GateResult]) -> Seen:
        return Seen(
            metrics=facts.metrics, against=facts.against, validation=facts.validation, gates=tuple(results),
            rule=self._it.policy.fingerprint(model, target), policy=self._it.rules.revision,
        )  # fmt: skip

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
        done = [move for move in moves if move.version == version.version and move.state is MoveState.DONE]
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
