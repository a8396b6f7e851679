"""The pages about metrics and the HTTP API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

from bot.metrics.definitions import LEDGER_METRICS, METRIC_DEFINITIONS
from bot.registrar import Registrar
from handlers.api.calls import ApiServices
from handlers.web.app import create_app
from scripts.markdown import MADE, as_sentence, replace_between, table


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
    """Return docs/reference/api.md: `page` with the reference from the OpenAPI document between its markers."""
    nothing: Any = None
    programs = ApiServices(
        ledger=nothing, policy=nothing, requires_signature=nothing, clock=nothing, registrar=cast(Registrar, object())
    )
    paths = create_app(nothing, None, on_model_changed=print, api_services=programs).openapi()["paths"]
    operations = [
        (path, method, operation)
        for path, methods in paths.items()
        if path.startswith("/v1/")
        for method, operation in methods.items()
    ]
    uses = Counter(answer for _, _, operation in operations for answer in _answers(operation))
    common = sorted(answer for answer, count in uses.items() if count >= COMMON_FROM)
    shared = "**Every call** can return these statuses; 415 is only for calls with a body."
    calls = [_operation(path, method, operation, common) for path, method, operation in operations]
    return replace_between(page, "reference", "\n\n".join([shared, table(["status", "when"], common), *calls]))


COMMON_FROM = 3  # calls that give an answer for the same reason, for it to be listed once


def _answers(operation: Any) -> list[tuple[str, str]]:
    """Return a call's response statuses, each with its reason."""
    return [(status, as_sentence(answer["description"])) for status, answer in sorted(operation["responses"].items())]


def _operation(path: str, method: str, operation: Any, common: list[tuple[str, str]]) -> str:
    """Return one call as Markdown: its fields, and its responses other than the common ones."""
    parts = [f"**{method.upper()} {path}** {operation['summary']}."]
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        parts.append(table(["field", "required", "description"], _fields(schema)))
    own = [answer for answer in _answers(operation) if answer not in common]
    return "\n\n".join([*parts, table(["status", "when"], own)])


def _fields(schema: Any, before: str = "") -> Iterator[list[str]]:
    """Yield a row for each field of a body; an object's fields are prefixed with its name."""
    for name, field in schema["properties"].items():
        must = "yes" if name in schema.get("required", []) else ""
        yield [f"`{before}{name}`", must, as_sentence(field.get("description", name).rstrip("."))]
        inner = field.get("items", field)
        if "properties" in inner:
            yield from _fields(inner, f"{before}{name}.")
