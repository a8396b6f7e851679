"""Parses the policy file, with a readable message for each error."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from bot.domain.core.endpoint import Endpoint
from bot.domain.core.errors import Misconfigured, WrongPolicy
from bot.domain.core.sentence import say
from bot.domain.core.strict_model import error_message
from bot.domain.policy.callers.api_clients import ApiClient, OidcIdentity
from bot.domain.policy.callers.people import People
from bot.domain.policy.gate_config import (
    CardGate,
    InStagingGate,
    MetricGate,
    NotBlockedGate,
    SemverGate,
    SignatureGate,
)
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.policy.policy import (
    AnchorConfig,
    AuditConfig,
    EditRule,
    FreezeWindow,
    ModelRules,
    Policy,
    RollbackRule,
    ServingProbe,
    TargetRule,
    WebhookEndpoint,
)
from bot.domain.registry.metric_catalog import MetricSettings


def revision_of(text: str) -> str:
    """Return the revision of a policy's text: the first 12 digits of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def validate_policy(data: object) -> Policy:
    """Return the policy from the file's parsed YAML. Raises WrongPolicy with all errors, each with its path."""
    if not isinstance(data, Mapping):
        raise Misconfigured("The policy file must contain keys such as channel, roles, and models.")
    try:
        return Policy.model_validate(data)
    except ValidationError as error:
        faults = [fault for item in _validation_errors(data, error) for fault in _fault_sentences(item)]
        raise WrongPolicy(say("The policy file has errors. {faults}", faults=" ".join(faults)), faults) from error


def _validation_errors(data: Mapping[str, Any], error: ValidationError) -> list[Any]:
    """Return pydantic's errors; if all are about unknown keys, also return those found once these keys are removed."""
    errors: list[Any] = list(error.errors())
    if not errors or any(item["type"] != "extra_forbidden" for item in errors):
        return errors
    paths = [_file_path(item["loc"]) for item in errors]
    try:
        Policy.model_validate(_without_paths(data, paths))
    except ValidationError as more:
        beside = [
            tuple(error_path[:-1]) for error_path in paths if len(error_path) > 1
        ]  # the unknown key can be a typo of the missing one
        errors += [item for item in more.errors() if tuple(_file_path(item["loc"])) not in beside]
    return errors


def _without_paths(data: Any, paths: Sequence[Sequence[int | str]]) -> Any:
    """Return a copy of the file's data without the values at these paths."""
    if isinstance(data, Mapping):
        pairs = data.items()
    elif isinstance(data, list):
        pairs = enumerate(data)  # type: ignore[assignment]
    else:
        return data
    removed = {place[0] for place in paths if len(place) == 1}
    remaining = {
        key: _without_paths(value, [place[1:] for place in paths if len(place) > 1 and place[0] == key])
        for key, value in pairs
        if key not in removed
    }
    return remaining if isinstance(data, Mapping) else list(remaining.values())


def _fault_sentences(error: Any) -> list[str]:
    """Return the sentences for one pydantic error; one from Registrar's validators can contain several lines."""
    path = _file_path(error["loc"])
    where = ".".join(str(step) for step in path)
    if error["type"] == "extra_forbidden":
        known = _known_keys(path[:-1])
        near = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.5)
        return [f"{where}: unknown key; " + (f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}.")]
    lines = [line if line.endswith("?") else f"{line}." for line in error_message(error).split("\n")]
    return [f"{where}: {line[:1].lower()}{line[1:]}" if where else line for line in lines]


def _file_path(loc: tuple[int | str, ...]) -> list[int | str]:
    """Return the error's path without the step that pydantic adds for a gate's kind."""
    before = (None, None, *loc)
    steps = zip(loc, before, before[1:], strict=False)
    return [step for step, two, one in steps if not (two == "gates" and isinstance(one, int))]


_MODEL_BY_KEY: dict[str, type[BaseModel]] = {
    "staging": TargetRule,
    "production": TargetRule,
    "rollback": RollbackRule,
    "monitors": MonitorConfig,
    "clients": ApiClient,
    "oidc": OidcIdentity,
    "notify": WebhookEndpoint,
    "serving": ServingProbe,
    "anchor": AnchorConfig,
    "audit": AuditConfig,
    "stream": Endpoint,
    "models": ModelRules,
    "freeze": FreezeWindow,
    "metrics": MetricSettings,
    "policy": EditRule,
    "people": People,
}


def _known_keys(path: list[int | str]) -> list[str]:
    """Return the keys allowed at `path`, according to its innermost section."""
    if "gates" in path:
        gates = (MetricGate, CardGate, SignatureGate, SemverGate, NotBlockedGate, InStagingGate)
        return [name for gate in gates for name in gate.model_fields]
    section = next((_MODEL_BY_KEY[str(step)] for step in reversed(path) if step in _MODEL_BY_KEY), Policy)
    return [field.alias or name for name, field in section.model_fields.items()]
