"""The `monitor` commands. Their flags for rules come from the fields of MonitorConfig."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator
from pydantic.fields import FieldInfo

from bot.domain.commands.base import (
    AllModels,
    Argument,
    Change,
    Command,
    IncidentIdArgument,
    ModelName,
    OptionalModelName,
    QueryCommand,
    Reason,
)
from bot.domain.commands.rule_flags import build_rule, is_unset, rule_flags
from bot.domain.core.durations import parse_duration
from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import Code, Name, say
from bot.domain.monitoring.monitor import MAX_SILENCE
from bot.domain.policy.authorization import Permission
from bot.domain.policy.monitor_config import MonitorConfig, rule_of_bounds

GROUP = "monitor"


def _parse_name(text: object) -> str:
    word = str(text).strip()
    if not re.fullmatch(r"\w[\w.\-]{0,59}", word):
        raise BadInput(
            say(
                "Can't use {word} as a monitor's name. Use up to 60 letters, digits, {marks}, such as {like}.",
                word=Name(word[:80]),
                marks=[Code("_"), Code("."), Code("-")],
                like=Code("accuracy-live"),
            )
        )
    return word


def _parse_silence(text: object) -> timedelta:
    try:
        span = parse_duration(text)
    except ValueError:
        raise BadInput(
            say(
                "Can't read {word} as a duration. Try {a} or {b}.",
                word=Name(str(text)[:40]),
                a=Code("2h"),
                b=Code("30m"),
            )
        ) from None
    if not timedelta(0) < span <= MAX_SILENCE:
        raise BadInput("A monitor can be silenced for up to 72 hours. To stop it for longer, pause it.")
    return span


MonitorName = Annotated[str, BeforeValidator(_parse_name), Argument("NAME", "the monitor's name", flags=("--name",))]
OptionalName = Annotated[
    str | None,
    BeforeValidator(lambda text: None if text is None else _parse_name(text)),
    Argument("NAME", "the monitor's name", flags=("--name",)),
]
AllMonitors = Annotated[bool, Argument("", "all of the model's monitors", positional=False, flags=("--all",))]


# -- flags for a rule  -----------------------------------------------------------------------------------------------


class _RuleCommand(Change):
    """A command with flags for a rule. `settings` has the values of the flags that were typed, as text."""

    model: ModelName
    name: MonitorName
    settings: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _collect_settings(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        fields = {key: value for key, value in data.items() if key in cls.model_fields}
        typed = {key: value for key, value in data.items() if key not in fields}
        wrong = next((key for key in typed if key not in MonitorConfig.model_fields), None)
        if wrong is not None:
            raise BadInput(say("Monitors don't have a setting named {field}.", field=Name(str(wrong)[:60])))
        return fields | {"settings": dict(fields.get("settings") or {}) | typed}


class MonitorAdd(_RuleCommand):
    """Add a monitor that watches a model in Production."""

    verb = "monitor add"
    summary = "Watch a metric"
    details = "The monitor acts when the Production version gets worse."
    example = "monitor add churn accuracy --source push --greater-than 0.85 --every 5m --action notify"
    permission = Permission.EDIT_MONITOR

    @classmethod
    def arguments(cls) -> Iterator[tuple[str, FieldInfo, Argument]]:
        """Yield each field's name, the pydantic field, and how it's typed, including the rule's fields."""
        yield from super().arguments()
        yield from rule_flags(with_defaults=True)

    @classmethod
    def usage(cls) -> str:
        """Return the command's syntax, with the most common flags."""
        return (
            "monitor add MODEL NAME [--source SOURCE] [--query QUERY] [--greater-than X] [--less-than X] "
            "[--every TIME] [--action dry_run|notify|ask|auto] […]"
        )

    @model_validator(mode="after")
    def _check_rule(self) -> MonitorAdd:
        self.to_rule("push")
        return self

    def to_rule(self, source: str) -> MonitorConfig:
        """Return the rule. `source` is the metric source to use if none was typed. Raises BadInput."""
        settings = {field: value for field, value in self.settings.items() if not is_unset(value)}
        return build_rule({"source": source} | settings | {"name": self.name})


class MonitorEdit(_RuleCommand):
    """Change a monitor's settings."""

    verb = "monitor edit"
    summary = "Edit a monitor's settings"
    details = "If it can roll back automatically, it must be armed again."
    example = "monitor edit churn accuracy --greater-than 0.9 --fail-after 3"
    permission = Permission.EDIT_MONITOR

    @classmethod
    def arguments(cls) -> Iterator[tuple[str, FieldInfo, Argument]]:
        """Yield each field's name, the pydantic field, and how it's typed, including the rule's fields."""
        yield from super().arguments()
        yield from rule_flags(with_defaults=False)

    @classmethod
    def usage(cls) -> str:
        """Return the command's syntax, with the most common flags."""
        return "monitor edit MODEL NAME [--greater-than X] [--every TIME] [--action dry_run|notify|ask|auto] […]"

    @model_validator(mode="after")
    def _require_change(self) -> MonitorEdit:
        if not self.settings:
            raise BadInput(
                say(
                    "Specify what to change, such as {like}. To clear a setting, use {none}.",
                    like=Code(f"/model {self.example}"),
                    none=Code("--hard-limit none"),
                )
            )
        return self

    def apply_to(self, rule: MonitorConfig) -> MonitorConfig:
        """Return the changed rule. Setting a bound switches to the rule that has that bound."""
        current = {field: value for field in MonitorConfig.model_fields if (value := getattr(rule, field)) is not None}
        changed = {field: value for field, value in self.settings.items() if not is_unset(value)}
        if "rule" not in changed and (implied := rule_of_bounds(changed)):
            changed["rule"] = implied
        new_rule = str(changed.get("rule", rule.rule))
        current = {field: value for field, value in current.items() if rule_of_bounds({field}) in {None, new_rule}}
        unset = {field for field, value in self.settings.items() if is_unset(value)}
        return build_rule(
            {field: value for field, value in (current | changed).items() if field not in unset} | {"name": rule.name}
        )


# -- the other verbs ---------------------------------------------------------------------------------------------------


class _MonitorCommand(Command):
    model: ModelName
    name: MonitorName


class MonitorList(QueryCommand):
    """List the monitors."""

    verb = "monitor list"
    summary = "List monitors, worst first"
    example = "monitor list churn"
    needs_ledger = True
    model: OptionalModelName = None


class MonitorShow(_MonitorCommand, QueryCommand):
    """Show a monitor."""

    verb = "monitor show"
    summary = "Show a monitor's state"
    example = "monitor show churn accuracy"
    needs_ledger = True


class MonitorCheck(_MonitorCommand, Change):
    """Run a monitor's check now."""

    verb = "monitor check"
    summary = "Run a check now"
    example = "monitor check churn accuracy"
    permission = Permission.CHECK_MONITOR
    is_slow = True


class MonitorPause(_MonitorCommand, Change):
    """Pause a monitor."""

    verb = "monitor pause"
    summary = "Pause a monitor"
    example = "monitor pause churn accuracy"
    permission = Permission.PAUSE_MONITOR


class MonitorResume(_MonitorCommand, Change):
    """Resume a monitor."""

    verb = "monitor resume"
    summary = "Resume a monitor"
    example = "monitor resume churn accuracy"
    permission = Permission.PAUSE_MONITOR


class MonitorRemove(_MonitorCommand, Change):
    """Remove a monitor."""

    verb = "monitor remove"
    summary = "Remove a monitor"
    details = "Its measurements are kept."
    example = "monitor remove churn accuracy"
    permission = Permission.EDIT_MONITOR


class MonitorBacktest(_MonitorCommand, QueryCommand):
    """Replay a monitor over past metrics."""

    verb = "monitor backtest"
    summary = "Replay past metrics"
    details = "Shows when the monitor would have fired; in Slack, with a chart."
    example = "monitor backtest churn accuracy --days 30"
    quota = "backtests"
    needs_ledger = True
    days: Annotated[
        int, Field(ge=1, le=366), Argument("N", "how many days back", positional=False, flags=("--days",))
    ] = 30


class MonitorReview(QueryCommand):
    """Review an incident."""

    verb = "monitor review"
    summary = "Show an incident review"
    details = "Shows what happened, how long it took, who did what, and what to follow up on."
    example = "monitor review i4k7q"
    needs_ledger = True
    incident: IncidentIdArgument


class MonitorArm(_MonitorCommand, Change):
    """Arm a monitor: let it roll back automatically."""

    verb = "monitor arm"
    summary = "Arm automatic rollback"
    details = "This takes a second person."
    example = "monitor arm churn accuracy"
    is_slow = True
    override: Annotated[bool, Argument("", "admins only: skip the dry run; needs a reason", False, ("--override",))] = (
        False
    )
    reason: Reason = ""

    @property
    def required_permission(self) -> Permission:
        """The permission that the caller needs; skipping the dry run needs a different one."""
        return Permission.ARM_WITHOUT_DRY_RUN if self.override else Permission.ARM_MONITOR


class MonitorSilence(Change):
    """Silence a monitor: hold back its alerts and rollbacks for a while."""

    verb = "monitor silence"
    summary = "Silence a monitor"
    details = "It keeps checking but doesn't post or act, for up to 72h."
    example = 'monitor silence churn accuracy 2h --reason "migrating the feature store"'
    permission = Permission.SILENCE_MONITOR
    model: ModelName
    name: OptionalName = None
    span: Annotated[
        timedelta, BeforeValidator(_parse_silence), Argument("TIME", "how long, such as 2h", flags=("--for",))
    ]
    every_one: AllMonitors = False
    reason: Reason = ""


class MonitorUnsilence(Change):
    """Unsilence a monitor."""

    verb = "monitor unsilence"
    summary = "Unsilence a monitor"
    example = "monitor unsilence churn accuracy"
    permission = Permission.SILENCE_MONITOR
    model: ModelName
    name: OptionalName = None
    every_one: AllMonitors = False


class MonitorReset(Change):
    """Reset the circuit breaker: allow automatic rollbacks again."""

    verb = "monitor reset"
    summary = "Reset the circuit breaker"
    details = "Automatic rollbacks resume."
    example = "monitor reset churn"
    permission = Permission.RESET_BREAKER
    model: OptionalModelName = None
    everywhere: AllModels = False


COMMANDS: tuple[type[Command], ...] = (
    MonitorAdd,
    MonitorList,
    MonitorShow,
    MonitorCheck,
    MonitorBacktest,
    MonitorReview,
    MonitorEdit,
    MonitorPause,
    MonitorResume,
    MonitorSilence,
    MonitorUnsilence,
    MonitorArm,
    MonitorReset,
    MonitorRemove,
)
_COMMANDS_BY_WORD = {verb.verb.removeprefix(f"{GROUP} "): verb for verb in COMMANDS}


def find_command(words: Sequence[str]) -> tuple[type[Command], Sequence[str]]:
    """Return the command named by the words after `monitor`, and the remaining words.

    Without a verb, or with a model's name instead of one, return MonitorList. Raises BadInput with the closest verb.
    """
    if not words or words[0].startswith("-"):
        return MonitorList, words
    word = words[0].lower()
    if word in _COMMANDS_BY_WORD:
        return _COMMANDS_BY_WORD[word], words[1:]
    close_matches = difflib.get_close_matches(word, _COMMANDS_BY_WORD, n=1, cutoff=0.6)
    if close_matches and len(words) > 1:
        raise BadInput(
            say(
                "Unknown command {word}. Did you mean {near}?",
                word=Name(f"{GROUP} {word[:60]}"),
                near=Code(f"/model {GROUP} {close_matches[0]}"),
            ),
            typo=words[0],
            suggestion=close_matches[0],
        )
    if close_matches and close_matches[0] != words[0]:
        raise BadInput(
            say(
                "Unknown command {word}. Did you mean {near}, or {list} for a model with that name?",
                word=Name(f"{GROUP} {word[:60]}"),
                near=Code(f"/model {GROUP} {close_matches[0]}"),
                list=Code(f"/model {MonitorList.verb} {words[0][:60]}"),
            )
        )
    if len(words) > 1:
        raise BadInput(
            say(
                "Unknown command {word}. Try {help}.",
                word=Name(f"{GROUP} {word[:60]}"),
                help=Code(f"/model help {GROUP}"),
            )
        )
    return MonitorList, words
