"""Generate docs/reference/policy.md from the classes that read the policy file."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

from pydantic import BaseModel

from bot.domain.core.durations import format_duration
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
from scripts.markdown import DOCS, MADE, as_sentence, table

# A complete file. tests/project/test_docs.py parses it.
EXAMPLE = """\
channel: "#ml-models"                 # where cards are posted; invite the bot there
roles:                                # names for users (U…, W…) and user groups (S…)
  lead: [U02BOB, S01LEADS]
  admin: [U05ANN]                     # can cancel anyone's request, roll back, and use break glass
on_call: [S01ONCALL]                  # mentioned in alerts
models:
  "*":                                # every model without a more specific pattern
    staging: {approvers: [lead], requester_may_approve: true}
    production: {approvers: [lead], required: 2, expires_after: 24h}
  "churn*":                           # only the exact name or the longest matching pattern applies
    channel: "#churn"
    staging: {approvers: [lead]}
    production:
      approvers: [lead, U07EVE]
      required: 2
      remind_after: 4h
      gates:
        - {metric: accuracy, at_least: 0.85}
        - {metric: f1, not_worse_than_incumbent_by: 0.01}
        - {card: [owner, dataset_version]}
        - {signature: compatible}
        - {semver: set}
        - {in_staging_for: 24h}
      override: [admin]
    rollback: {by: [lead, S01ONCALL]}
    monitors:
      - {name: accuracy-live, source: push, query: accuracy, rule: threshold, less_than: 0.8, action: notify}
    freeze:
      - {cron: "0 18 * * 5", for: 62h, zone: Europe/Berlin, reason: weekend}
metrics:
  latency_ms: {unit: ms, decimals: 0, direction: lower}
operators: {ann: U05ANN}              # users of the bot's machine
people: {github: {octocat: U02BOB}}   # who starts CI jobs
clients:
  github-churn:
    oidc:
      issuer: https://token.actions.githubusercontent.com
      audience: registrar
      claims: {repository: acme/churn}
    models: ["churn*"]
    may: [request]
notify:
  - {url_env: DEPLOY_HOOK_URL, secret_env: DEPLOY_HOOK_SECRET, models: ["churn*"]}
serving:
  "churn*": {url: "http://churn.internal/version"}
anchor: {file: /var/lib/registrar/anchor.jsonl, every: 1h}
audit: {stream: {url_env: AUDIT_STREAM_URL, secret_env: AUDIT_STREAM_SECRET}}
"""


GATES = "Gates"


class Section(NamedTuple):
    """A section of the page: its heading, what its tables don't say, and each table's class by the path of its key."""

    heading: str
    text: str
    parts: dict[str, type[BaseModel]]


SECTIONS = (
    Section("Top level", "", {"": Policy}),
    Section(
        "Models",
        "Only one pattern applies to a model: its exact name, or else the longest match. `registrar policy show MODEL` "
        "prints what applies.",
        {"models.PATTERN": ModelRules},
    ),
    Section(
        "Approvals",
        "One rejection ends a request. If a rule changes, its pending requests become outdated; `expires_after`, "
        "`remind_after`, `tell_approvers`, and `review_within` are exceptions. See "
        "[Require two approvers](../how-to/require-two-approvers.md).",
        {"models.PATTERN.staging, models.PATTERN.production": TargetRule},
    ),
    Section(
        GATES,
        "Each gate in the list `gates` has `metric` with at least one bound, or one of the other keys. A missing value "
        "fails. If nothing is in Production, gates that compare with it pass. See "
        "[Add a gate](../how-to/add-a-gate.md).",
        {
            "metric": MetricGate,
            "card": CardGate,
            "signature": SignatureGate,
            "semver": SemverGate,
            "not_blocked": NotBlockedGate,
            "in_staging_for": InStagingGate,
        },
    ),
    Section(
        "Rollbacks",
        "Admins can always roll back. Whoever can roll back can also archive versions, freeze Production, and repair "
        "stages.",
        {"models.PATTERN.rollback": RollbackRule},
    ),
    Section(
        "Metrics",
        "The default noise of a proportion p is √(p(1−p)/n), if the run logged the number of examples n as `METRIC_n`, "
        "`METRIC_count`, or `METRIC_total` (for an accuracy, also as `example_count`).",
        {"metrics.METRIC": MetricSettings},
    ),
    Section(
        "Freezes",
        "[Freeze promotions](../how-to/freeze-promotions.md) says what's still possible during a freeze.",
        {"freeze": FreezeWindow},
    ),
    Section("Sources", "[Metric sources](sources.md) lists each type's keys.", {"sources.NAME": Source}),
    Section(
        "Clients",
        "[The HTTP API](api.md) describes the calls.",
        {"clients.NAME": ApiClient, "clients.NAME.oidc": OidcIdentity},
    ),
    Section(
        "CI jobs",
        "[Who started the job](../how-to/promote-from-ci.md#who-started-the-job) says what this changes.",
        {"people": People},
    ),
    Section(
        "The serving side",
        "[Confirm what's serving](../how-to/confirm-what-is-serving.md) shows the events.",
        {"notify": WebhookEndpoint, "serving.PATTERN": ServingProbe},
    ),
    Section(
        "The audit log",
        "[The audit log](../operations/audit-log.md) says where to keep the anchor.",
        {"anchor": AnchorConfig, "audit": AuditConfig},
    ),
    Section(
        "Edits",
        "[Edit the policy](../how-to/edit-the-policy.md) lists the edits that loosen a rule.",
        {"policy": EditRule},
    ),
    Section(
        "Quotas",
        "A used quota comes back one use at a time: with 60, one a minute. Changes made in Slack, in the terminal on "
        "the bot's machine, or by automations have none. Each process counts separately.",
        {"quotas": Quotas},
    ),
)


def policy() -> str:
    """Return docs/reference/policy.md."""
    sections = "\n\n".join(_section(each) for each in SECTIONS)
    return f"""{MADE}

# The policy file

`registrar.yml` says who can do what, to which models. This page has an example, and every key.

- `registrar setup` and `registrar init` create the file. `REGISTRAR_POLICY` sets a different path.
- `registrar policy check` lists every error, with the nearest known key, and warns about patterns that never apply. It
  needs no running bot, and exits with 2 if there's an error.
- The bot doesn't start with an invalid file. While it runs, it rejects an invalid edit and keeps the previous revision.
- People are Slack user IDs, user groups, or names under `roles`. Durations are `30s`, `5m`, `24h`, or `7d`.

```yaml
{EXAMPLE}```

{sections}
"""


def _section(section: Section) -> str:
    parts = [f"## {section.heading}", section.text]
    if section.heading == GATES:  # they have one key each, so they share one table
        return "\n\n".join([*parts, _table([row for gate in section.parts.values() for row in _gate_rows(gate)])])
    for path, part in section.parts.items():
        parts.append(f"**{_code(path)}**" if path else "")
        parts.append(_table(_keys(part)))
    return "\n\n".join(filter(None, parts))


def _gate_rows(gate: type[BaseModel]) -> Iterator[list[str]]:
    """Yield a row for each of a gate's keys.

    The first key selects the gate, so it has no default, and its meaning starts with what the gate requires.
    """
    for at, (key, default, meaning) in enumerate(_keys(gate)):
        yield [key, default, meaning] if at else [key, "–", f"{_summary(gate)} {meaning}"]


def _summary(part: type[BaseModel]) -> str:
    return (part.__doc__ or "").strip().splitlines()[0]


def _table(rows: list[list[str]]) -> str:
    return table(["key", "default", "meaning"], rows)


def _code(paths: str) -> str:
    return ", ".join(f"`{path}`" for path in paths.split(", "))


def _keys(part: type[BaseModel]) -> list[list[str]]:
    """Return a row for each key in a part of the policy file; its meaning is the comment after or above the key."""
    source = "".join(inspect.getsource(each) for each in part.__mro__ if each.__module__.startswith("bot."))
    rows = []
    for name, field in part.model_fields.items():
        found = re.search(rf"^(?:    # (?P<above>.*)\n)?    {name}: .*?(?:  # (?P<behind>.*))?$", source, re.MULTILINE)
        said = found and (found["behind"] or found["above"])
        assert said, f"{part.__name__}.{name} needs a comment"
        default = field.get_default(call_default_factory=True)
        shown = "required" if field.is_required() else _field_default_of(default)
        rows.append([f"`{field.alias or name}`", shown, with_links(as_sentence(said))])
    return rows


def with_links(text: str) -> str:
    """Return the text with each path of another docs page replaced by a link with that page's title."""
    return re.sub(r"docs/([\w-]+)/([\w-]+\.md)", _link, text)


def _link(path: re.Match[str]) -> str:
    folder, name = path.groups()
    title = (DOCS / folder / name).read_text(encoding="utf-8").partition("# ")[2].partition("\n")[0]
    return f"[{title}]({name if folder == 'reference' else f'../{folder}/{name}'})"


def _field_default_of(value: Any) -> str:
    if value is None or value in ("", [], {}) or isinstance(value, BaseModel):
        return "not set"
    if isinstance(value, timedelta):
        return f"`{format_duration(value)}`"
    return f"`{json.dumps(value)}`" if isinstance(value, bool | list) else f"`{value}`"
