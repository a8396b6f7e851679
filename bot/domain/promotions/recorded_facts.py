"""The facts behind decisions, as the audit log records them: only what a decision used, without names. Pure."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from bot.domain.core.actors import Caller, Profile
from bot.domain.policy.authorization import AccessDecision
from bot.domain.policy.freezes import ActiveFreeze
from bot.domain.promotions.gates import GateFacts
from bot.domain.promotions.request import RequestSnapshot, pack_snapshot
from bot.domain.registry.model import SEMVER_TAG, VersionInfo

TOO_LARGE = "too_large"  # the fact that the signatures weren't recorded, so that an event stays small
MAX_SIGNATURES_LENGTH = 6000  # characters of JSON
# `validate_python` reads what these functions wrote. It raises ValueError if someone edited it into something else.
GATE_FACTS = TypeAdapter(GateFacts)
PROFILE = TypeAdapter(Profile)


def pack_gate_facts(facts: GateFacts) -> dict[str, Any]:
    """Return what gates read, except the metrics (which are in the snapshot), as plain JSON values."""
    tags = {key: tag for key, tag in facts.version.tags.items() if key == SEMVER_TAG}
    version = VersionInfo(
        model=facts.version.model, version=facts.version.version, stage=facts.version.stage, tags=tags
    )
    read = replace(facts, version=version, metrics={}, incumbent_metrics={}, validation={}, directions={})
    packed: dict[str, Any] = GATE_FACTS.dump_python(read, mode="json", exclude_defaults=True)
    signatures = {key: packed[key] for key in ("signature", "incumbent_signature") if key in packed}
    if len(json.dumps(signatures)) > MAX_SIGNATURES_LENGTH:
        packed = {key: value for key, value in packed.items() if key not in signatures} | {TOO_LARGE: True}
    return packed


def changed_facts(opened: RequestSnapshot, current: RequestSnapshot) -> dict[str, Any]:
    """Return the facts, metrics, and gate results of `current` that differ from those when the request was opened.

    It's empty if the rule has changed, because then `current` has only the new rule.
    """
    before, after = ({**pack_snapshot(snapshot), **snapshot.facts} for snapshot in (opened, current))
    return {
        key: after.get(key)
        for key in {"metrics", "against", "gates", *opened.facts, *current.facts}
        if opened.rule == current.rule and before.get(key) != after.get(key)
    }


def pack_caller_facts(
    caller: Caller | None, decision: AccessDecision, revision: str, frozen: ActiveFreeze | None = None
) -> dict[str, Any]:
    """Return what `authorize` read to decide about `caller`, and the rule that decided, as plain JSON values.

    `revision` is the policy's. `caller` is None if the policy no longer lists the operator.
    """
    facts: dict[str, Any] = {"policy": revision, "rule": decision.rule}
    facts |= {"frozen": str(frozen.description)} if frozen else {}
    if isinstance(caller, Profile):
        profile = PROFILE.dump_python(caller, mode="json", exclude={"name", "operator"})
        facts["profile"] = profile | {"groups": sorted(caller.groups)}
    return facts
