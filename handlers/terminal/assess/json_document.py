"""The assessment as a JSON document."""

from __future__ import annotations

from typing import Any

from bot.domain.registry.assessment import ProblemKind, ProductionHolder
from handlers.terminal.assess.result import AssessedRegistry

# The keys are a public interface: never rename or remove one. docs/how-to/adopt-a-registry.md lists them.
KEYS = {
    "registry": "its URL, without credentials",
    "assessed_at": "when it was read, in UTC",
    "policy_file": "the policy used, or null",
    "models": "the number of models",
    "versions": "the number of versions",
    "models_in_production": "the number of models with a version in Production",
    "problem_counts": "the number of problems of each kind, the worst kind first",
    "problems": "a list: kind, model, version, and sentence",
    "production": "a list of the versions in Production",
    "limits": "a list of sentences: what MLflow doesn't record, and what wasn't read or checked",
}
HOLDER_KEYS = {
    "model": "the model's name",
    "version": "its number",
    "semver": "its semver, or null",
    "aliases": "a list of its aliases",
    "decided_by": "stage, or alias if no version of the model has a stage",
    "run_id": "the run's ID, or null",
    "run": "found, deleted, missing, or none",
    "has_signature": "whether its files have a signature, or null if they weren't read",
    "dataset": "the dataset's version, or null",
    "owner": "the owner, or null",
    "last_changed": "when its stage or description last changed, or null if that's unknown",
    "failed_gates": "a list of sentences, or null without --policy",
    "unchecked_gates": "a list of sentences, or null without --policy",
    "has_rule": "whether the policy has a rule for it, or null without --policy",
}


def assessment_document(result: AssessedRegistry) -> dict[str, Any]:
    """Return the document; its keys are KEYS."""
    found = result.assessment
    return {
        "registry": result.address,
        "assessed_at": f"{result.assessed_at:%Y-%m-%dT%H:%M:%SZ}",
        "policy_file": str(result.policy_file) if result.policy_file else None,
        "models": found.models,
        "versions": found.versions,
        "models_in_production": found.held_models,
        "problem_counts": {kind.code: len(found.of_kind(kind)) for kind in ProblemKind},
        "problems": [
            {
                "kind": problem.kind.code,
                "model": problem.model,
                "version": problem.version,
                "sentence": str(problem.sentence),
            }
            for problem in found.problems
        ],
        "production": [_holder_document(holder) for holder in found.holders],
        "limits": [str(limit) for limit in result.limits],
    }


def run_state(holder: ProductionHolder) -> str:
    """Return the state of the version's run: found, deleted, missing, or none."""
    if holder.version.run_id is None:
        return "none"
    if holder.run is None:
        return "missing"
    return "deleted" if holder.run.is_deleted else "found"


def _holder_document(holder: ProductionHolder) -> dict[str, Any]:
    version, card, gates = holder.version, holder.card, holder.gates
    changed_at = None if holder.by_alias else version.changed_at
    return {
        "model": version.model,
        "version": version.version,
        "semver": version.semver,
        "aliases": list(version.aliases),
        "decided_by": "alias" if holder.by_alias else "stage",
        "run_id": version.run_id,
        "run": run_state(holder),
        "has_signature": holder.has_signature,
        "dataset": card.dataset_version,
        "owner": card.owner,
        "last_changed": f"{changed_at:%Y-%m-%dT%H:%M:%SZ}" if changed_at else None,
        "failed_gates": [str(gate) for gate in gates.failed] if gates else None,
        "unchecked_gates": [str(gate) for gate in gates.unchecked] if gates else None,
        "has_rule": gates.has_rule if gates else None,
    }
