"""The policy file: who can do what, to which models."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bot.domain.core.cron_windows import check_cron
from bot.domain.core.durations import Duration
from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.core.strict_model import StrictModel
from bot.domain.policy.gate_config import (
    Gate,
)
from bot.domain.policy.model_patterns import covers, is_literal
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.policy.monitor_validation import find_config_problem
from bot.domain.registry.model import Stage

DEFAULT_CHECK_INTERVAL = timedelta(seconds=5)
DEFAULT_CHECK_TIMEOUT = timedelta(minutes=10)  # then the thread says that it does not serve what the registry says


class FreezeWindow(StrictModel):
    """A time that comes again and again, in which nothing moves in Production. `cron` says when it begins."""

    cron: str  # when it begins: minute, hour, day, month, weekday
    lasts: Duration = Field(alias="for", gt=timedelta(0), le=timedelta(days=366))  # how long it lasts, such as 62h
    zone: str = "UTC"  # the time zone of cron, such as Europe/Berlin
    reason: str = ""  # why, for whoever is refused

    @model_validator(mode="after")
    def _check_cron(self) -> FreezeWindow:
        check_cron(self.cron, self.zone)
        return self


_KEYS_WITHOUT_EFFECT_ON_DECISIONS = {
    "expires_after",
    "remind_after",
    "tell_approvers",
    "review_within",
}  # keys of a rule: see Policy.fingerprint


class TargetRule(StrictModel):
    """What holds for moving a version into one stage."""

    approvers: list[str] = Field(default_factory=list)  # roles, user ids or user groups
    # Strict: `yes` is no number of people.
    required: int = Field(default=1, ge=1, le=50, strict=True)  # how many different people have to approve
    requester_may_approve: bool = False  # whether whoever asked may also decide
    # how long a request lasts, until its version is moved; durations are 30m, 24h, 7d
    expires_after: Duration = Field(default=timedelta(days=7), gt=timedelta(0), le=timedelta(days=3650))
    remind_after: Duration | None = Field(default=None, gt=timedelta(0))  # when those who can decide are reminded
    # how approvers hear of a request: mentioned on its card, messaged directly, or only named on the card
    tell_approvers: Literal["mention", "direct", "none"] = "mention"
    gates: list[Gate] = Field(default_factory=list)  # what a version must show
    override: list[str] = Field(default_factory=list)  # who may let failed gates pass, with a reason
    # how long after someone broke the glass another person has to review it
    review_within: Duration = Field(default=timedelta(days=3), gt=timedelta(0), le=timedelta(days=3650))


class RollbackRule(StrictModel):
    """Who may roll back alone."""

    by: list[str]  # roles, user ids or user groups
    fast: bool = True  # always true: whoever can roll back does so alone, and it takes effect immediately

    @model_validator(mode="after")
    def _check_fast(self) -> RollbackRule:
        if not self.fast:
            raise ValueError("a rollback by someone in `by` is always immediate; remove `fast: false`")
        return self


class ModelRules(StrictModel):
    """Everything that holds for the models of one pattern."""

    channel: str | None = None  # where these models are talked about; without: the file's channel
    staging: TargetRule | None = None  # the rule for moving into Staging; without: nobody may
    production: TargetRule | None = None  # the rule for moving into Production; without: nobody may
    rollback: RollbackRule | None = None  # who may roll back; without: those who approve for Production
    # what watches the version in Production: docs/monitoring.md
    monitors: list[MonitorConfig] = Field(default_factory=list)
    freeze: list[FreezeWindow] = Field(default_factory=list)  # times in which nothing moves in Production
    directions: dict[str, Literal["higher", "lower"]] = Field(default_factory=dict)  # which way a metric is better

    def rule(self, target: Stage) -> TargetRule | None:
        """Return the rule for moving into `target`, or None where the file has none: then nobody may."""
        return {Stage.STAGING: self.staging, Stage.PRODUCTION: self.production}.get(target)


class Source(BaseModel):
    """Where measurements come from. Further keys belong to the source's own type."""

    model_config = ConfigDict(extra="allow", frozen=True)
    type: str  # push, mlflow, prometheus, or that of a plug-in
    url: str | None = None  # where it is asked, for those that are

    @property
    def options(self) -> dict[str, Any]:
        """Return the keys that belong to the source's own type."""
        return dict(self.model_extra or {})


# Sources that need nothing to be said about them, so that a monitor can name them where the file names none.
BUILT_IN_SOURCES = {"push": Source(type="push"), "mlflow": Source(type="mlflow")}


class ApiClient(StrictModel):
    """A program that may use the HTTP API. Its token is read from the environment or a file, never from here."""

    token_env: str | None = None  # the variable that holds the token
    token_file: str | None = None  # or the file that does
    models: list[str] = Field(default_factory=lambda: ["*"])  # patterns of the models that it may speak of
    # push: send readings; request: request, register, and read or cancel its own requests; read: read every request
    may: list[Literal["request", "push", "read"]] = Field(default_factory=list)


class WebhookEndpoint(StrictModel):
    """Somebody who is told of every move."""

    url_env: str | None = Field(default=None, min_length=1)  # the variable that holds the address
    url: str | None = Field(default=None, min_length=1)  # or the address itself
    secret_env: str | None = Field(default=None, min_length=1)  # the variable with what events are signed with
    models: list[str] = Field(default_factory=lambda: ["*"])  # patterns of the models whose moves it hears of

    @model_validator(mode="after")
    def _check_one_address(self) -> WebhookEndpoint:
        if (self.url is None) == (self.url_env is None):
            raise ValueError("needs url_env or url, and not both")
        return self

    @property
    def key(self) -> str:
        """The word that tells it from the others: the variable's name, or what hides an address with a token in it."""
        return self.url_env or hashlib.sha256(str(self.url).encode()).hexdigest()[:12]

    @property
    def display_name(self) -> str:
        """What people call it: the variable's name, or the address's host."""
        return self.url_env or urlsplit(str(self.url)).hostname or self.key


class ServingProbe(StrictModel):
    """Where the version that really serves can be read: asked `every` so often, and no longer than `timeout`."""

    url: str = Field(min_length=1)  # where it is asked; {model} in it stands for the name
    json_path: str = Field(default="version", alias="json", min_length=1)  # the path to the version in the answer
    # when it is given up
    timeout: Duration = Field(default=DEFAULT_CHECK_TIMEOUT, gt=timedelta(0), le=timedelta(days=1))
    # how often it is asked
    every: Duration = Field(default=DEFAULT_CHECK_INTERVAL, ge=timedelta(seconds=1), le=timedelta(hours=1))


class AnchorConfig(StrictModel):
    """Where the audit chain's head is written down, out of the bot's reach."""

    file: str | None = Field(default=None, min_length=1)  # a file that is only ever added to
    channel: str | None = Field(default=None, min_length=1)  # a channel
    every: Duration = Field(default=timedelta(hours=1), gt=timedelta(0), le=timedelta(days=3650))  # how often

    @model_validator(mode="after")
    def _check_destination(self) -> AnchorConfig:
        if self.file is None and self.channel is None:
            raise ValueError("needs file, channel or both")
        return self


class EditRule(StrictModel):
    """How edits of this file apply while the bot runs."""

    # how long the file must stay unchanged before an edit that loosens a rule applies
    settle: Duration = Field(default=timedelta(seconds=30), ge=timedelta(0), le=timedelta(days=1))


class Policy(StrictModel):
    """The whole file. See docs/policy.md."""

    ADMIN_ROLE: ClassVar[str] = "admin"  # the role that may do what is nobody's daily business

    channel: str = "#ml-models"  # the default: a name with `#`, or a channel's id
    roles: dict[str, list[str]] = Field(default_factory=dict)  # names for user ids and user groups; admin is known
    models: dict[str, ModelRules]  # by pattern: its own name, else the longest that matches, holds whole
    # which way a metric is better, where a model says nothing else
    directions: dict[str, Literal["higher", "lower"]] = Field(default_factory=dict)
    sources: dict[str, Source] = Field(default_factory=dict)  # where monitors get their figures from, by name
    clients: dict[str, ApiClient] = Field(default_factory=dict)  # programs that may use the HTTP API, by name
    operators: dict[str, str] = Field(default_factory=dict)  # users of the bot's machine: who they are in Slack
    notify: list[WebhookEndpoint] = Field(default_factory=list)  # who is told of every move of Production
    serving: dict[str, ServingProbe] = Field(default_factory=dict)  # by pattern: where it is read what serves
    anchor: AnchorConfig | None = None  # where the audit's head is written down
    freeze: list[FreezeWindow] = Field(default_factory=list)  # for every model, beside its own windows
    max_auto: int = Field(default=3, ge=0, le=1000)  # automatic rollbacks of all models together in 24 hours
    edits: EditRule = Field(default_factory=EditRule, alias="policy")  # how edits of this file apply

    @model_validator(mode="after")
    def _check_names(self) -> Policy:
        if faults := [*_name_errors(self), *_monitor_errors(self)]:
            raise ValueError("\n".join(faults))
        return self

    def rules_for(self, model: str) -> ModelRules:
        """Return what holds for `model`: the longest matching pattern wins whole; none matching is no rule at all."""
        pattern = self.pattern_for(model)
        return ModelRules() if pattern is None else self.models[pattern]

    def pattern_for(self, model: str) -> str | None:
        """Return the pattern that holds for `model`: its own name, else the longest that matches; None for none."""
        matching = [pattern for pattern in self.models if pattern == model or fnmatchcase(model, pattern)]
        return max(matching, key=lambda one: (one == model, len(one))) if matching else None

    def channel_for(self, model: str) -> str:
        """Return the channel where `model` is talked about."""
        return self.rules_for(model).channel or self.channel

    def directions_for(self, model: str) -> dict[str, Literal["higher", "lower"]]:
        """Return which metrics of `model` are better higher or lower, where the file says so."""
        return self.directions | self.rules_for(model).directions

    def source(self, name: str) -> Source | None:
        """Return the source of that name, one that needs nothing to be said included; None where there is none."""
        return self.sources.get(name) or BUILT_IN_SOURCES.get(name)

    def total_refusal(self, rule: MonitorConfig) -> Sentence | None:
        """Return why a monitor can't have `of`, since pushed readings bring their own total; None if it can."""
        source = self.source(rule.source)
        if rule.of is None or source is None or source.type != "push":
            return None
        return say(
            "{source} takes pushed readings, each with its own total. Push {of} with each reading instead.",
            source=Code(rule.source),
            of=Code("of"),
        )

    def probe_for(self, model: str) -> ServingProbe | None:
        """Return where the version that serves can be read: of the longest matching pattern; None for nowhere."""
        matching = [pattern for pattern in self.serving if pattern == model or fnmatchcase(model, pattern)]
        best = max(matching, key=lambda one: (one == model, len(one)), default=None)
        return None if best is None else self.serving[best]

    def endpoints_for(self, model: str) -> list[WebhookEndpoint]:
        """Return who is told of the moves of `model`, each address once."""
        told = {one.key: one for one in reversed(self.notify) if any(fnmatchcase(model, name) for name in one.models)}
        return list(reversed(told.values()))

    def endpoint(self, key: str) -> WebhookEndpoint | None:
        """Return the endpoint with this key; None where the file names it no more."""
        return next((one for one in self.notify if one.key == key), None)

    def windows_for(self, model: str) -> list[FreezeWindow]:
        """Return the windows in which nothing of `model` moves in Production."""
        return [*self.freeze, *self.rules_for(model).freeze]

    def fingerprint(self, model: str, target: Stage) -> str:
        """Return a word that changes with whatever a decision about `model` and `target` rests on.

        Roles count as the ids that they stand for. How long a request lives and how people hear of it decides
        nothing, and is left out: requests that are pending stay so when that is edited, or when a key is new.
        """
        rule = self.rules_for(model).rule(target)
        if rule is None:
            return ""
        said = rule.model_dump(mode="json", exclude=_KEYS_WITHOUT_EFFECT_ON_DECISIONS)
        people = {key: sorted(self.expand_roles(getattr(rule, key))) for key in ("approvers", "override")}
        return hashlib.sha256(json.dumps(said | people, sort_keys=True).encode()).hexdigest()[:16]

    def expand_roles(self, names: list[str]) -> frozenset[str]:
        """Return the user and group ids that role names and ids stand for."""
        return frozenset(one for name in names for one in self.roles.get(name, [name]))

    def all_slack_ids(self) -> frozenset[str]:
        """Return every user and user group that the file names."""
        named = [name for _, names in _people_by_path(self) for name in names]
        return self.expand_roles(named + list(self.roles)) | set(self.operators.values())

    def user_groups(self) -> frozenset[str]:
        """Return every user group that the file names."""
        return frozenset(one for one in self.all_slack_ids() if one.startswith("S"))


def is_slack_id(text: str) -> bool:
    """Tell whether this is a user's (U, W) or a user group's (S) id. Slack writes them in capitals and digits."""
    return len(text) > 1 and text[0] in "UWS" and text.isascii() and text.isalnum() and text.upper() == text


def unsigned_endpoints(policy: Policy) -> list[str]:
    """Return who is told of moves without a signature, so that they cannot know who tells them."""
    return [f"notify.{at} ({one.display_name})" for at, one in enumerate(policy.notify) if one.secret_env is None]


def shadowed_patterns(policy: Policy) -> list[str]:
    """Return the patterns that hold for no model, since another one wins wherever they match, each with that one."""
    found, order = [], list(policy.models)
    for at, pattern in enumerate(order):
        for other in order:
            is_before = (len(other), -order.index(other)) > (len(pattern), -at)
            if other != pattern and is_before and not is_literal(pattern) and covers(other, pattern):
                found.append(f"models.{pattern} ({other} wins)")
                break
    return found


def _name_errors(policy: Policy) -> Iterator[str]:
    """Yield what is wrong with the names of people and roles."""
    for path, names in _people_by_path(policy):
        for name in names:
            if name not in policy.roles and not is_slack_id(name):
                near = difflib.get_close_matches(name, policy.roles, n=1)
                hint = f"did you mean {near[0]}?" if near else f"roles are: {', '.join(policy.roles) or 'none'}"
                yield f"{path}: {name!r} is neither a role nor a Slack id; {hint}"
    for role, ids in policy.roles.items():
        if is_slack_id(role):
            yield f"roles.{role}: a role cannot be called like a Slack id"
        yield from (f"roles.{role}: {one!r} is no Slack id (U…, W… or S…)" for one in ids if not is_slack_id(one))
    for name, user in policy.operators.items():
        if not is_slack_id(user):
            yield f"operators.{name}: {user!r} is no Slack id (U… or W…)"


def _monitor_errors(policy: Policy) -> Iterator[str]:
    """Yield what is wrong with the names of monitors and of their sources, and which could never judge."""
    for pattern, rules in policy.models.items():
        seen: set[str] = set()
        for at, monitor in enumerate(rules.monitors):
            path = f"models.{pattern}.monitors.{at}"
            if monitor.name in seen:
                yield f"{path}.name: {monitor.name!r} is the name of another monitor of this pattern"
            seen.add(monitor.name)
            if policy.source(monitor.source) is None:
                known = sorted({*policy.sources, *BUILT_IN_SOURCES})
                near = difflib.get_close_matches(monitor.source, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"sources are: {', '.join(known)}"
                yield f"{path}.source: {monitor.source!r} is no source; {hint}"
            if why_not := policy.total_refusal(monitor):
                yield f"{path}.of: {str(why_not).removesuffix('.')}"
            if found := find_config_problem(monitor):
                why = str(found.reason).removesuffix(".")
                yield f"{path}.{found.field}: {why[:1].lower()}{why[1:]}"


def _people_by_path(policy: Policy) -> Iterator[tuple[str, list[str]]]:
    for pattern, rules in policy.models.items():
        for target in ("staging", "production"):
            rule: TargetRule | None = getattr(rules, target)
            if rule:
                yield f"models.{pattern}.{target}.approvers", rule.approvers
                yield f"models.{pattern}.{target}.override", rule.override
        if rules.rollback:
            yield f"models.{pattern}.rollback.by", rules.rollback.by
