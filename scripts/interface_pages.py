"""The generated parts of the pages about the policy file, metrics, and the HTTP API."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, cast

from pydantic import BaseModel

from bot.domain.core.durations import format_duration
from bot.domain.core.endpoint import Endpoint
from bot.domain.policy.callers.api_clients import ApiClient, OidcIdentity
from bot.domain.policy.callers.people import People
from bot.domain.policy.callers.quotas import Quotas
from bot.domain.policy.gate_config import CardGate, InStagingGate, MetricGate, NotBlockedGate, SemverGate, SignatureGate
from bot.domain.policy.policy import (
    AnchorConfig,
    AuditConfig,
    EditRule,
    FreezeWindow,
    ModelRules,
    Policy,
    RollbackRule,
    ServingProbe,
    Source,
    TargetRule,
    WebhookEndpoint,
)
from bot.domain.registry.metric_catalog import MetricSettings
from bot.metrics.definitions import LEDGER_METRICS, METRIC_DEFINITIONS
from bot.registrar import Registrar
from handlers.api.calls import ApiServices
from handlers.web.app import create_app
from scripts.markdown import MADE, as_sentence, replace_between, table


def policy(page: str) -> str:
    """Return docs/reference/policy.md: the prose of `page`, with every key of the file between its marks."""
    head = ["key", "default", "meaning"]
    parts = [
        f"**{where}** {(part.__doc__ or '').strip().splitlines()[0]}\n\n{table(head, _keys(part))}"
        for where, part in POLICY_PARTS.items()
    ]
    return replace_between(page, "keys", "\n\n".join(parts))


POLICY_PARTS: dict[str, type[BaseModel]] = {
    "Top level.": Policy,
    "`models`, for each pattern.": ModelRules,
    "`staging`, `production`.": TargetRule,
    "`gates`: metric.": MetricGate,
    "`gates`: metadata card.": CardGate,
    "`gates`: signature.": SignatureGate,
    "`gates`: semver.": SemverGate,
    "`gates`: blocked versions.": NotBlockedGate,
    "`gates`: time in Staging.": InStagingGate,
    "`rollback`.": RollbackRule,
    "`metrics`, for each metric.": MetricSettings,
    "`freeze`.": FreezeWindow,
    "`sources`.": Source,
    "`clients`.": ApiClient,
    "`oidc`, for each client.": OidcIdentity,
    "`people`.": People,
    "`notify`.": WebhookEndpoint,
    "`serving`.": ServingProbe,
    "`anchor`.": AnchorConfig,
    "`audit`.": AuditConfig,
    "`audit.stream`.": Endpoint,
    "`policy`.": EditRule,
    "`quotas`.": Quotas,
}


def _keys(part: type[BaseModel]) -> list[list[str]]:
    """Return a row for each key of a part of the policy file, with the comment after or above it as its meaning."""
    source = "".join(inspect.getsource(each) for each in part.__mro__ if each.__module__.startswith("bot."))
    rows = []
    for name, field in part.model_fields.items():
        found = re.search(rf"^(?:    # (?P<above>.*)\n)?    {name}: .*?(?:  # (?P<behind>.*))?$", source, re.MULTILINE)
        said = found and (found["behind"] or found["above"])
        assert said, f"{part.__name__}.{name} needs a comment"
        default = field.get_default(call_default_factory=True)
        shown = "required" if field.is_required() else _field_default_of(default)
        rows.append([f"`{field.alias or name}`", shown, as_sentence(said)])
    return rows


def _field_default_of(value: Any) -> str:
    if value is None or value in ("", [], {}) or isinstance(value, BaseModel):
        return "not set"
    if isinstance(value, timedelta):
        return f"`{format_duration(value)}`"
    return f"`{json.dumps(value)}`" if isinstance(value, bool | list) else f"`{value}`"


def metrics() -> str:
    """Return docs/reference/metrics.md."""
    rows = [
        [
            f"`{shape.name}`",
            shape.type.__name__.lower(),
            "ledger" if shape.name in LEDGER_METRICS else "process",
            shape.description,
            "; ".join(f"`{label}`: {values}" for label, values in shape.labels.items()),
        ]
        for shape in METRIC_DEFINITIONS
    ]
    return f"""{MADE}

# Metrics

Metrics with the source *process* count what happened in one process: across several replicas, take the `sum`. Metrics
with the source *ledger* are read from the ledger at each scrape, and every replica reports the same: take the `max`.
[Metrics, alerts, and logs](../operations/metrics.md) says which ones to watch.

{table(["metric", "type", "source", "meaning", "labels"], rows)}
"""


def api(page: str) -> str:
    """Return docs/reference/api.md: `page`'s text, with the reference from the OpenAPI document between its marks."""
    nothing: Any = None
    programs = ApiServices(
        ledger=nothing, policy=nothing, requires_signature=nothing, clock=nothing, registrar=cast(Registrar, object())
    )
    paths = create_app(nothing, None, on_model_changed=print, api_services=programs).openapi()["paths"]
    told = [
        _operation(path, method, one)
        for path, methods in paths.items()
        if path.startswith("/v1/")
        for method, one in methods.items()
    ]
    return replace_between(page, "reference", "\n\n".join(told))


def _operation(path: str, method: str, one: Any) -> str:
    """Return one call's fields and responses."""
    parts = [f"**{method.upper()} {path}** {one['summary']}."]
    if "requestBody" in one:
        schema = one["requestBody"]["content"]["application/json"]["schema"]
        parts.append(table(["field", "required", "description"], _fields(schema)))
    answers = [[status, as_sentence(answer["description"])] for status, answer in sorted(one["responses"].items())]
    return "\n\n".join([*parts, table(["status", "when"], answers)])


def _fields(schema: Any, before: str = "") -> Iterator[list[str]]:
    """Yield a row for each field of a body; an object's fields are prefixed with its name."""
    for name, field in schema["properties"].items():
        must = "yes" if name in schema.get("required", []) else ""
        yield [f"`{before}{name}`", must, as_sentence(field.get("description", name).rstrip("."))]
        inner = field.get("items", field)
        if "properties" in inner:
            yield from _fields(inner, f"{before}{name}.")
