"""The verbs about monitors, of two words each. The flags of a rule are made of its fields, wherever those stand."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator
from pydantic.fields import FieldInfo

from bot.domain.commands.base import Arg, Command, Everywhere, Model, OptionalModel, Reason
from bot.domain.commands.rule_flags import _flags, _is_none, rule_of
from bot.domain.core.durations import parse_duration
from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import Code, Name, say
from bot.domain.monitoring.monitor import longest_silence
from bot.domain.policy.monitor_config import MonitorRule

GROUP = "monitor"


def _name(text: object) -> str:
    word = str(text).strip()
    if not re.fullmatch(r"\w[\w.\-]{0,59}", word):
        raise BadInput(
            say(
                "{word} is no name for a monitor. Use at most 60 letters, digits and _ . - such as {like}.",
                word=Name(word[:80]),
                like=Code("accuracy-live"),
            )
        )
    return word


def _silence(text: object) -> timedelta:
    try:
        span = parse_duration(text)
    except ValueError:
        raise BadInput(
            say(
                "{word} is no time to be silent. Write one like {a} or {b}.",
                word=Name(str(text)[:40]),
                a=Code("2h"),
                b=Code("30m"),
            )
        ) from None
    if not timedelta(0) < span <= longest_silence():
        raise BadInput("A monitor can be silenced for 72 hours at most. Pause it for longer.")
    return span


MonitorName = Annotated[str, BeforeValidator(_name), Arg("NAME", "the monitor's name", flags=("--name",))]
OptionalName = Annotated[
    str | None,
    BeforeValidator(lambda text: None if text is None else _name(text)),
    Arg("NAME", "the monitor's name", flags=("--name",)),
]
AllOfModel = Annotated[bool, Arg("", "every monitor of the model", positional=False, flags=("--all",))]


# -- the flags of a rule -----------------------------------------------------------------------------------------------


class _Ruled(Command):
    """A verb with the flags of a rule; `settings` are those that were typed, as they were typed."""

    model: Model
    name: MonitorName
    settings: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        own = {key: value for key, value in data.items() if key in cls.model_fields}
        typed = {key: value for key, value in data.items() if key not in own}
        wrong = next((key for key in typed if key not in MonitorRule.model_fields), None)
        if wrong is not None:
            raise BadInput(say("A monitor has no {field}.", field=Name(str(wrong)[:60])))
        return own | {"settings": dict(own.get("settings") or {}) | typed}


class MonitorAdd(_Ruled):
    """Let a monitor watch a model in Production."""

    verb = "monitor add"
    summary = "Watch the version in Production: against a bound, or against the previous version"
    example = "monitor add churn accuracy --source push --greater-than 0.85 --every 5m --action notify"

    @classmethod
    def args(cls) -> Iterator[tuple[str, FieldInfo, Arg]]:
        """Yield each field with how it is typed, those of the rule among them."""
        yield from (one for one in _own_args(cls) if one[0] != "settings")
        yield from _flags(with_defaults=True)

    @classmethod
    def usage(cls) -> str:
        """Return how it is typed; of the flags those that are used most."""
        return (
            "monitor add MODEL NAME [--source SOURCE] [--query QUERY] [--greater-than X] [--less-than X] "
            "[--every TIME] [--action dry_run|notify|ask|auto] […]"
        )

    @model_validator(mode="after")
    def _makes_sense(self) -> MonitorAdd:
        self.rule("push")
        return self

    def rule(self, source: str) -> MonitorRule:
        """Return the rule; `source` is where the figures come from, if nothing was said. Raises BadInput."""
        said = {field: value for field, value in self.settings.items() if not _is_none(value)}
        return rule_of({"source": source} | said | {"name": self.name})


class MonitorEdit(_Ruled):
    """Change what a monitor watches."""

    verb = "monitor edit"
    summary = "Change a monitor; one that can roll back automatically has to be armed again"
    example = "monitor edit churn accuracy --greater-than 0.9 --fail-after 3"

    @classmethod
    def args(cls) -> Iterator[tuple[str, FieldInfo, Arg]]:
        """Yield each field with how it is typed, those of the rule among them."""
        yield from (one for one in _own_args(cls) if one[0] != "settings")
        yield from _flags(with_defaults=False)

    @classmethod
    def usage(cls) -> str:
        """Return how it is typed; of the flags those that are used most."""
        return "monitor edit MODEL NAME [--greater-than X] [--every TIME] [--action dry_run|notify|ask|auto] […]"

    @model_validator(mode="after")
    def _changes_something(self) -> MonitorEdit:
        if not self.settings:
            raise BadInput(
                say(
                    "Say what to change, such as {like}. To take something away: {none}.",
                    like=Code(f"/model {self.example}"),
                    none=Code("--hard-limit none"),
                )
            )
        return self

    def applied(self, rule: MonitorRule) -> MonitorRule:
        """Return the rule with the changes. A bound that is given to another kind of rule makes it a threshold."""
        kept = {field: value for field in MonitorRule.model_fields if (value := getattr(rule, field)) is not None}
        said = {field: value for field, value in self.settings.items() if not _is_none(value)}
        if {"greater_than", "less_than"} & set(said) and "rule" not in said:
            said["rule"] = "threshold"
        if str(said.get("rule", rule.rule)) != "threshold":
            kept = {field: value for field, value in kept.items() if field not in {"greater_than", "less_than"}}
        gone = {field for field, value in self.settings.items() if _is_none(value)}
        return rule_of(
            {field: value for field, value in (kept | said).items() if field not in gone} | {"name": rule.name}
        )


def _own_args(verb: type[Command]) -> Iterator[tuple[str, FieldInfo, Arg]]:
    for name, field in verb.model_fields.items():
        for arg in field.metadata:
            if isinstance(arg, Arg):
                yield name, field, arg


# -- the other verbs ---------------------------------------------------------------------------------------------------


class _OfOne(Command):
    model: Model
    name: MonitorName


class MonitorList(Command):
    """List the monitors."""

    verb = "monitor list"
    summary = "List monitors and their state, worst first"
    example = "monitor list churn"
    model: OptionalModel = None


class MonitorShow(_OfOne):
    """Show a monitor."""

    verb = "monitor show"
    summary = "Show a monitor's state, last value, rule, action, and last checks"
    example = "monitor show churn accuracy"


class MonitorCheck(_OfOne):
    """Check now."""

    verb = "monitor check"
    summary = "Check now, without waiting for the next scheduled check"
    example = "monitor check churn accuracy"


class MonitorPause(_OfOne):
    """Stop checking."""

    verb = "monitor pause"
    summary = "Pause a monitor until someone resumes it"
    example = "monitor pause churn accuracy"


class MonitorResume(_OfOne):
    """Check again."""

    verb = "monitor resume"
    summary = "Resume a paused monitor"
    example = "monitor resume churn accuracy"


class MonitorRemove(_OfOne):
    """Take a monitor away."""

    verb = "monitor remove"
    summary = "Remove a monitor; its measurements stay"
    example = "monitor remove churn accuracy"


class MonitorBacktest(_OfOne):
    """Replay the past."""

    verb = "monitor backtest"
    summary = "Find when a monitor would have failed in the past: a sentence and a chart, in the channel"
    example = "monitor backtest churn accuracy --days 30"
    days: Annotated[int, Field(ge=1, le=366), Arg("N", "how far back", positional=False, flags=("--days",))] = 30


class MonitorArm(_OfOne):
    """Let a monitor roll back by itself."""

    verb = "monitor arm"
    summary = "Arm a monitor with the action auto, so that it can roll back; a second person does this"
    example = "monitor arm churn accuracy"
    override: Annotated[
        bool, Arg("", "an admin's: although it has not tried itself out; needs a reason", False, ("--override",))
    ] = False
    reason: Reason = ""


class MonitorSilence(Command):
    """Hold back what a monitor would post and do."""

    verb = "monitor silence"
    summary = "Silence a monitor for a while, 72h at most: it measures, but doesn't post or act"
    example = 'monitor silence churn accuracy 2h --reason "the feature store is being moved"'
    model: Model
    name: OptionalName = None
    span: Annotated[timedelta, BeforeValidator(_silence), Arg("TIME", "how long, such as 2h", flags=("--for",))]
    every_one: AllOfModel = False
    reason: Reason = ""


class MonitorUnsilence(Command):
    """Let a monitor post and act again."""

    verb = "monitor unsilence"
    summary = "Let a silenced monitor post and act again"
    example = "monitor unsilence churn accuracy"
    model: Model
    name: OptionalName = None
    every_one: AllOfModel = False


class MonitorReset(Command):
    """Let automatic rollbacks go on."""

    verb = "monitor reset"
    summary = "Reset the circuit breaker, so that automatic rollbacks run again, for one model or for all"
    example = "monitor reset churn"
    model: OptionalModel = None
    everywhere: Everywhere = False


VERBS: tuple[type[Command], ...] = (
    MonitorAdd,
    MonitorList,
    MonitorShow,
    MonitorCheck,
    MonitorBacktest,
    MonitorEdit,
    MonitorPause,
    MonitorResume,
    MonitorSilence,
    MonitorUnsilence,
    MonitorArm,
    MonitorReset,
    MonitorRemove,
)
_BY_WORD = {verb.verb.removeprefix(f"{GROUP} "): verb for verb in VERBS}


def find(words: Sequence[str]) -> tuple[type[Command], Sequence[str]]:
    """Return the verb that the words behind `monitor` mean, and the words behind the verb.

    Without a second word, or with a model's name in its place, they are listed. Raises BadInput with the nearest one.
    """
    if not words or words[0].startswith("-"):
        return MonitorList, words
    word = words[0].lower()
    if word in _BY_WORD:
        return _BY_WORD[word], words[1:]
    near = difflib.get_close_matches(word, _BY_WORD, n=1, cutoff=0.6)
    if near and len(words) > 1:
        raise BadInput(
            say(
                "I know no {word}. Did you mean {near}?",
                word=Name(f"{GROUP} {word[:60]}"),
                near=Code(f"{GROUP} {near[0]}"),
            )
        )
    if near and near[0] != words[0]:
        raise BadInput(
            say(
                "I know no {word}. Did you mean {near}? For a model of that name it is {list}.",
                word=Name(f"{GROUP} {word[:60]}"),
                near=Code(f"{GROUP} {near[0]}"),
                list=Code(f"{MonitorList.verb} {words[0][:60]}"),
            )
        )
    if len(words) > 1:
        raise BadInput(
            say("I know no {word}. Try {help}.", word=Name(f"{GROUP} {word[:60]}"), help=Code(f"help {GROUP}"))
        )
    return MonitorList, words
