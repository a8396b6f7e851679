"""The policy file: who can do what, to which models."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Collection, Iterator
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from bot.domain.core.cron_windows import check_cron
from bot.domain.core.durations import Duration
from bot.domain.core.endpoint import Endpoint
from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.core.strict_model import StrictModel
from bot.domain.policy.callers.api_clients import ApiClient
from bot.domain.policy.callers.people import People, is_slack_id
from bot.domain.policy.callers.quotas import Quotas
from bot.domain.policy.gate_config import Gate, Integrity
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.policy.monitor_validation import find_config_problem
from bot.domain.registry.metric_catalog import MetricCatalog, MetricSettings
from bot.domain.registry.model import Stage

DEFAULT_CHECK_INTERVAL = timedelta(seconds=5)
DEFAULT_CHECK_TIMEOUT = timedelta(minutes=10)  # then the thread says that serving isn't confirmed


class FreezeWindow(StrictModel):
    """A recurring window in which no version can enter or leave Production."""

    cron: str  # when it begins: minute, hour, day of month, month, weekday
    lasts: Duration = Field(alias="for", gt=timedelta(0), le=timedelta(days=366))  # how long it lasts, such as 62h
    zone: str = "UTC"  # the time zone of cron, such as Europe/Berlin
    reason: str = ""  # the reason, shown in refusals

    @model_validator(mode="after")
    def _check_cron(self) -> FreezeWindow:
        check_cron(self.cron, self.zone)
        return self


_KEYS_WITHOUT_EFFECT_ON_DECISIONS = {
    "expires_after",
    "remind_after",
    "tell_approvers",
    "review_within",
}  # see Policy.fingerprint


class TargetRule(StrictModel):
    """The rules for promoting a version to one stage."""

    approvers: list[str] = Field(default_factory=list)  # roles, user IDs, or user groups
    # Strict: YAML's `yes` isn't a number of people.
    required: int = Field(default=1, ge=1, le=50, strict=True)  # how many different people must approve
    requester_may_approve: bool = False  # whether the requester can also approve
    # how long a request can wait until its version is moved, such as 30m, 24h, or 7d
    expires_after: Duration = Field(default=timedelta(days=7), gt=timedelta(0), le=timedelta(days=3650))
    remind_after: Duration | None = Field(default=None, gt=timedelta(0))  # when to remind the approvers
    # how approvers are notified of a request: mentioned on its card, messaged directly, or only named on the card
    tell_approvers: Literal["mention", "direct", "none"] = "mention"
    gates: list[Gate] = Field(default_factory=list)  # checks that a version must pass
    override: list[str] = Field(default_factory=list)  # who can override failed gates, with a reason
    # whether the version's files are hashed, so that a change is noticed: off, recorded in the background, or required
    # to be unchanged right before the version is moved
    integrity: Integrity = "recorded"
    # after a break-glass promotion, how long another person has to review it
    review_within: Duration = Field(default=timedelta(days=3), gt=timedelta(0), le=timedelta(days=3650))

    @field_validator("integrity", mode="before")
    @classmethod
    def _read_off(cls, value: object) -> object:
        return "off" if value is False else value  # to YAML, off is a boolean


class RollbackRule(StrictModel):
    """Who can roll back without approvals."""

    by: list[str]  # roles, user IDs, or user groups
    fast: bool = True  # always true: anyone who can roll back does so alone, and it takes effect immediately

    @model_validator(mode="after")
    def _check_fast(self) -> RollbackRule:
        if not self.fast:
            raise ValueError("a rollback by someone in `by` is always immediate; remove `fast: false`")
        return self


class ModelRules(StrictModel):
    """All rules for the models that match one pattern."""

    channel: str | None = None  # the channel for these models; if omitted, the file's channel
    staging: TargetRule | None = None  # the rule for Staging; if omitted, no one can promote there
    production: TargetRule | None = None  # the rule for Production; if omitted, no one can promote there
    rollback: RollbackRule | None = None  # who can roll back; if omitted, the approvers for Production
    # who is mentioned in alerts about these models, as in `approvers`; if omitted, the file's on_call
    on_call: list[str] | None = None
    # the monitors of the version in Production: docs/explanation/monitors.md
    monitors: list[MonitorConfig] = Field(default_factory=list)
    freeze: list[FreezeWindow] = Field(default_factory=list)  # recurring windows in which Production is frozen
    metrics: dict[str, MetricSettings] = Field(default_factory=dict)  # how to show and compare metrics, by name
    # which direction is better for each metric; you can also set it under `metrics`
    directions: dict[str, Literal["higher", "lower"]] = Field(default_factory=dict)

    def rule(self, target: Stage) -> TargetRule | None:
        """Return the rule for promotions to `target`. If it's None, no one can promote there."""
        return {Stage.STAGING: self.staging, Stage.PRODUCTION: self.production}.get(target)

    def integrity(self, target: Stage) -> Integrity:
        """Return the rule about files of versions that enter `target`: `off`, `recorded`, or `required`."""
        return (self.rule(target) or TargetRule()).integrity

    @property
    def rollback_names(self) -> list[str]:
        """The roles and IDs of those who can roll back without approvals."""
        return self.rollback.by if self.rollback else self.production.approvers if self.production else []


class Source(BaseModel):
    """Where monitors get their metrics. Additional keys depend on the source's type."""

    model_config = ConfigDict(extra="allow", frozen=True)
    type: str  # push, mlflow, prometheus, or a plugin's type
    url: str | None = None  # its URL, for types that have one

    @property
    def options(self) -> dict[str, Any]:
        """The keys specific to the source's type."""
        return dict(self.model_extra or {})


# Sources that need no configuration: a monitor can name them even if the file doesn't list them.
BUILT_IN_SOURCES = {"push": Source(type="push"), "mlflow": Source(type="mlflow")}


class WebhookEndpoint(Endpoint):
    """An endpoint that receives an event for every transition."""

    models: list[str] = Field(default_factory=lambda: ["*"])  # patterns of the models it receives events about


class ServingProbe(StrictModel):
    """Where to read which version is actually serving. It's polled at the interval `every`, for at most `timeout`."""

    url: str = Field(min_length=1)  # its URL; {model} stands for the model's name
    json_path: str = Field(default="version", alias="json", min_length=1)  # the path to the version in the answer
    # when to give up
    timeout: Duration = Field(default=DEFAULT_CHECK_TIMEOUT, gt=timedelta(0), le=timedelta(days=1))
    # how often to poll
    every: Duration = Field(default=DEFAULT_CHECK_INTERVAL, ge=timedelta(seconds=1), le=timedelta(hours=1))


class AnchorConfig(StrictModel):
    """Where the head of the audit log is recorded, out of the bot's reach."""

    file: str | None = Field(default=None, min_length=1)  # an append-only file
    channel: str | None = Field(default=None, min_length=1)  # a channel to post it in
    every: Duration = Field(default=timedelta(hours=1), gt=timedelta(0), le=timedelta(days=3650))  # how often

    @model_validator(mode="after")
    def _check_destination(self) -> AnchorConfig:
        if self.file is None and self.channel is None:
            raise ValueError("needs file, channel, or both")
        return self


class AuditConfig(StrictModel):
    """Where audit events are sent as they're recorded."""

    # the endpoint that receives every audit event: url_env or url, and secret_env; or only the variable or URL
    stream: Endpoint | None = None

    @field_validator("stream", mode="before")
    @classmethod
    def _expand_shorthand(cls, value: object) -> object:
        return {"url" if "://" in value else "url_env": value} if isinstance(value, str) else value


class EditRule(StrictModel):
    """How edits to this file take effect while the bot runs."""

    # how long the file must stay unchanged before an edit that loosens a rule takes effect
    settle: Duration = Field(default=timedelta(seconds=30), ge=timedelta(0), le=timedelta(days=1))


class Policy(StrictModel):
    """The whole policy file. See docs/reference/policy.md."""

    ADMIN_ROLE: ClassVar[str] = "admin"  # the role for exceptional actions

    channel: str = "#ml-models"  # the default channel: a name with `#`, or a channel ID
    # names for sets of user IDs and user groups; the role admin always exists
    roles: dict[str, list[str]] = Field(default_factory=dict)
    models: dict[str, ModelRules]  # the rules, by pattern
    # how to show and compare metrics, by name; a model can have its own settings for a metric
    metrics: dict[str, MetricSettings] = Field(default_factory=dict)
    # which direction is better for each metric; you can also set it under `metrics`
    directions: dict[str, Literal["higher", "lower"]] = Field(default_factory=dict)
    sources: dict[str, Source] = Field(default_factory=dict)  # where monitors get their metrics, by name
    clients: dict[str, ApiClient] = Field(default_factory=dict)  # programs that can use the HTTP API, by name
    operators: dict[str, str] = Field(default_factory=dict)  # users of the bot's machine, with their Slack IDs
    people: People = Field(default_factory=People)  # people who start CI jobs, with their Slack IDs
    notify: list[WebhookEndpoint] = Field(default_factory=list)  # endpoints that receive every transition of Production
    serving: dict[str, ServingProbe] = Field(default_factory=dict)  # by pattern: where to read which version serves
    anchor: AnchorConfig | None = None  # where the head of the audit log is recorded
    audit: AuditConfig = Field(default_factory=AuditConfig)  # where audit events are sent as they're recorded
    freeze: list[FreezeWindow] = Field(default_factory=list)  # freeze windows for all models, in addition to their own
    quotas: Quotas = Field(default_factory=Quotas)  # hourly limits on the most expensive work
    max_auto: int = Field(default=3, ge=0, le=1000)  # maximum automatic rollbacks in 24 hours, over all models
    on_call: list[str] = Field(default_factory=list)  # roles, user IDs, or user groups to mention in alerts
    edits: EditRule = Field(default_factory=EditRule, alias="policy")  # how edits of this file take effect

    @model_validator(mode="after")
    def _check_names(self) -> Policy:
        if faults := [*_name_errors(self), *_monitor_errors(self)]:
            raise ValueError("\n".join(faults))
        return self

    def rules_for(self, model: str) -> ModelRules:
        """Return the rules of the one pattern that applies to `model` (see `pattern_for`); empty if there's none."""
        pattern = _longest_match(self.models, model)
        return ModelRules() if pattern is None else self.models[pattern]

    def pattern_for(self, model: str) -> str | None:
        """Return the pattern that applies to `model`: its own name, or else the longest match, or None."""
        return _longest_match(self.models, model)

    def channel_for(self, model: str) -> str:
        """Return the channel for `model`, or the default channel if the name is empty."""
        return (self.rules_for(model).channel if model else None) or self.channel

    def on_call_for(self, model: str) -> list[str]:
        """Return the roles and IDs to mention in alerts about `model`, or about a source if `model` is empty."""
        own = self.rules_for(model).on_call
        return self.on_call if own is None else own

    def on_call_ids(self, model: str) -> list[str]:
        """Return the sorted IDs of the users and user groups to mention in alerts about `model` (see `on_call_for`)."""
        return sorted(self.expand_roles(self.on_call_for(model)))

    def metrics_for(self, model: str) -> MetricCatalog:
        """Return the policy's settings for the metrics of `model`."""
        return self.metrics_under(self.rules_for(model))

    def metrics_under(self, rules: ModelRules) -> MetricCatalog:
        """Return the metric settings for models with these rules; the rules' settings override the file's defaults."""
        directions: dict[str, str] = {}
        for level in (self, rules):
            of_settings = {name: one.direction for name, one in level.metrics.items() if one.direction}
            directions |= {name.casefold(): way for name, way in (level.directions | of_settings).items()}
        own, general = ({name.casefold(): one for name, one in level.metrics.items()} for level in (rules, self))
        merged = {name: general[name].updated_by(one) if name in general else one for name, one in own.items()}
        return MetricCatalog(
            settings=merged | {n: one for n, one in general.items() if n not in own}, directions=directions
        )

    def source(self, name: str) -> Source | None:
        """Return the source with that name, including built-in ones, or None."""
        return self.sources.get(name) or BUILT_IN_SOURCES.get(name)

    def total_refusal(self, rule: MonitorConfig) -> Sentence | None:
        """Return why a monitor can't set `of` (pushed readings include their own total), or None if it can."""
        source = self.source(rule.source)
        if rule.of is None or source is None or source.type != "push":
            return None
        return say(
            "{source} accepts pushed readings, each with its own total. Push {of} with each reading instead.",
            source=Code(rule.source),
            of=Code("of"),
        )

    def probe_for(self, model: str) -> ServingProbe | None:
        """Return the serving probe of the longest matching pattern, or None."""
        return self.serving.get(_longest_match(self.serving, model) or "")

    def endpoints(self) -> list[tuple[str, Endpoint]]:
        """Return every endpoint as a pair: its path in the file, and the endpoint."""
        stream = [("audit.stream", self.audit.stream)] if self.audit.stream else []
        return [*((f"notify.{at}", endpoint) for at, endpoint in enumerate(self.notify)), *stream]

    def endpoints_for(self, model: str) -> list[WebhookEndpoint]:
        """Return the endpoints for transitions of `model`, without duplicate addresses."""
        endpoints_by_key = {
            endpoint.key: endpoint
            for endpoint in reversed(self.notify)
            if any(fnmatchcase(model, name) for name in endpoint.models)
        }
        return list(reversed(endpoints_by_key.values()))

    def endpoint(self, key: str) -> WebhookEndpoint | None:
        """Return the endpoint with this key, or None if the file no longer names it."""
        return next((endpoint for endpoint in self.notify if endpoint.key == key), None)

    def windows_for(self, model: str) -> list[FreezeWindow]:
        """Return the freeze windows for `model`."""
        return [*self.freeze, *self.rules_for(model).freeze]

    def fingerprint(self, model: str, target: Stage) -> str:
        """Return a hash that changes with every rule that a decision about `model` and `target` depends on.

        Roles are replaced by the IDs in them. How long a request lasts, how people are notified, and when a break-glass
        promotion must be reviewed don't affect decisions, so they're left out: neither editing them nor adding such a
        key makes pending requests outdated. For `integrity`, only `required` affects decisions.
        """
        rule = self.rules_for(model).rule(target)
        if rule is None:
            return ""
        without = _KEYS_WITHOUT_EFFECT_ON_DECISIONS | ({"integrity"} if rule.integrity != "required" else set())
        settings = rule.model_dump(mode="json", exclude=without)
        people = {key: sorted(self.expand_roles(getattr(rule, key))) for key in ("approvers", "override")}
        return hashlib.sha256(json.dumps(settings | people, sort_keys=True).encode()).hexdigest()[:16]

    def expand_roles(self, names: list[str]) -> frozenset[str]:
        """Return the user and group IDs that these role names and IDs stand for."""
        return frozenset(slack_id for name in names for slack_id in self.roles.get(name, [name]))

    def all_slack_ids(self) -> frozenset[str]:
        """Return every user and user group that the file names."""
        names_in_use = [name for _, names in _people_by_path(self) for name in names]
        named = self.expand_roles(names_in_use + list(self.roles))
        agents = {client.acts_for for client in self.clients.values() if client.acts_for}
        return named | agents | set(self.operators.values()) | self.people.user_ids

    def user_groups(self) -> frozenset[str]:
        """Return every user group that the file names."""
        return frozenset(slack_id for slack_id in self.all_slack_ids() if slack_id.startswith("S"))


def _longest_match(patterns: Collection[str], name: str) -> str | None:
    """Return the pattern that equals the name, or else the longest one that matches it, or None."""
    if name in patterns:
        return name
    return max([pattern for pattern in patterns if fnmatchcase(name, pattern)], key=len, default=None)


def unsigned_endpoints(policy: Policy) -> list[str]:
    """Return the endpoints that get unsigned events, and so can't verify the sender."""
    return [f"{path} ({endpoint.display_name})" for path, endpoint in policy.endpoints() if endpoint.secret_env is None]


def _name_hint(name: str, kind: str, known: Collection[str]) -> str:
    """Return a hint: the known name that's closest to a wrong one, or all known names if none is close."""
    close_matches = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close_matches[0]}?" if close_matches else f"known {kind}: {', '.join(known) or 'none'}"


def _name_errors(policy: Policy) -> Iterator[str]:
    """Yield the errors in the names of people and roles."""
    for path, names in _people_by_path(policy):
        for name in names:
            if name not in policy.roles and not is_slack_id(name):
                yield f"{path}: {name!r} is neither a role nor a Slack ID; {_name_hint(name, 'roles', policy.roles)}"
    for role, ids in policy.roles.items():
        if is_slack_id(role):
            yield f"roles.{role}: a role's name can't look like a Slack ID"
        yield from (
            f"roles.{role}: {slack_id!r} isn't a Slack ID (U…, W…, or S…)"
            for slack_id in ids
            if not is_slack_id(slack_id)
        )
    for name, user in policy.operators.items():
        if not is_slack_id(user):
            yield f"operators.{name}: {user!r} isn't a Slack ID (U… or W…)"


def _monitor_errors(policy: Policy) -> Iterator[str]:
    """Yield the errors in monitors: names, sources, and rules that could never reach a verdict."""
    for pattern, rules in policy.models.items():
        seen_names: set[str] = set()
        for at, monitor in enumerate(rules.monitors):
            path = f"models.{pattern}.monitors.{at}"
            if monitor.name in seen_names:
                yield f"{path}.name: {monitor.name!r} is already the name of another monitor for this pattern"
            seen_names.add(monitor.name)
            if policy.source(monitor.source) is None:
                hint = _name_hint(monitor.source, "sources", sorted({*policy.sources, *BUILT_IN_SOURCES}))
                yield f"{path}.source: {monitor.source!r} isn't a source; {hint}"
            if why_not := policy.total_refusal(monitor):
                yield f"{path}.of: {str(why_not).removesuffix('.')}"
            if problem := find_config_problem(monitor):
                why = str(problem.reason).removesuffix(".")
                yield f"{path}.{problem.field}: {why[:1].lower()}{why[1:]}"


def _people_by_path(policy: Policy) -> Iterator[tuple[str, list[str]]]:
    yield "on_call", policy.on_call
    for pattern, rules in policy.models.items():
        for target in ("staging", "production"):
            rule: TargetRule | None = getattr(rules, target)
            if rule:
                yield f"models.{pattern}.{target}.approvers", rule.approvers
                yield f"models.{pattern}.{target}.override", rule.override
        if rules.rollback:
            yield f"models.{pattern}.rollback.by", rules.rollback.by
        yield f"models.{pattern}.on_call", rules.on_call or []
