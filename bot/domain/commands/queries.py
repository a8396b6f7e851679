"""Commands that only read."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, get_args

from pydantic import BeforeValidator, Field

from bot.domain.commands.arguments import (
    MAX_EVENT_NUMBER,
    OptionalVersionArgument,
    ResultsArgument,
    TargetArgument,
    VersionArgument,
    parse_each,
    parse_metric_names,
    results_by_metric,
)
from bot.domain.commands.base import Argument, Command, ModelName, OptionalModelName
from bot.domain.commands.help_index import SUMMARIES
from bot.domain.core.relative_time import RelativeDay, parse_day_or_moment, parse_past, resolve_start
from bot.domain.registry.model import Stage, VersionRef, parse_version_ref


class Help(Command):
    """Explain the commands, or one of them."""

    verb = "help"
    summary = SUMMARIES[verb]
    example = "help promote"
    about: Annotated[
        str,
        BeforeValidator(lambda words: words if isinstance(words, str) else " ".join(words).lower()),
        Argument("VERB", "the verb to explain; some have two words", takes_many=True),
    ] = ""


class ListModels(Command):
    """List the registered models."""

    verb = "list"
    summary = SUMMARIES[verb]
    example = "list churn"
    text: Annotated[str, Argument("TEXT", "only models whose name holds this", flags=("--text",))] = ""
    page: Annotated[int, Field(ge=1, le=100_000), Argument("N", "which page", positional=False, flags=("--page",))] = 1


class ShowModel(Command):
    """Show a model, or one version of it."""

    verb = "show"
    summary = SUMMARIES[verb]
    example = "show churn 4"
    model: ModelName
    version: OptionalVersionArgument = None
    page: Annotated[
        int, Field(ge=1, le=100_000), Argument("N", "which page of the versions", positional=False, flags=("--page",))
    ] = 1


class Compare(Command):
    """Compare versions by their metrics."""

    verb = "compare"
    summary = SUMMARIES[verb]
    example = "compare churn 4 5 --metrics f1,latency_ms"
    model: ModelName
    versions: Annotated[
        tuple[VersionRef, ...],
        BeforeValidator(
            parse_each(lambda word: word if isinstance(word, VersionRef) else parse_version_ref(str(word)))
        ),
        Argument("VERSION", "which; without any, all", flags=("--version",), takes_many=True),
    ] = ()
    metrics: Annotated[
        tuple[str, ...],
        BeforeValidator(parse_metric_names),
        Argument("A,B", "only these metrics", positional=False, flags=("--metrics",)),
    ] = ()
    last: Annotated[
        int | None, Field(ge=1, le=100_000), Argument("N", "only the newest N", positional=False, flags=("--last",))
    ] = None


class FindBest(Command):
    """Find the version with the best value of a metric."""

    verb = "best"
    summary = SUMMARIES[verb]
    example = "best churn f1"
    model: ModelName
    metric: Annotated[
        str, BeforeValidator(lambda text: str(text).strip()), Argument("METRIC", "such as f1", flags=("--metric",))
    ]
    lowest: Annotated[bool, Argument("", "the lowest value wins", positional=False, flags=("--lowest",))] = False


class Validate(Command):
    """Check a version against the gates of a stage, without opening a request."""

    verb = "validate"
    summary = SUMMARIES[verb]
    example = "validate churn 4"
    model: ModelName
    version: VersionArgument
    to: Annotated[
        Stage,
        get_args(TargetArgument)[1],
        Argument("STAGE", "whose gates: staging or production", flags=("--to",)),
    ] = Stage.PRODUCTION
    validation: ResultsArgument = ()

    def results(self) -> dict[str, float]:
        """Return the reported results by metric."""
        return results_by_metric(self.validation)


class ListRequests(Command):
    """List the pending requests."""

    verb = "requests"
    summary = SUMMARIES[verb]
    example = "requests churn"
    model: OptionalModelName = None


class ShowPolicy(Command):
    """Show the policy's rules for a model."""

    verb = "policy"
    summary = SUMMARIES[verb]
    example = "policy churn"
    model: ModelName


class ShowAudit(Command):
    """Show what happened to a model, from the audit log."""

    verb = "audit"
    summary = SUMMARIES[verb]
    example = "audit churn --since 30d"
    model: ModelName
    since: Annotated[
        timedelta | datetime | RelativeDay,
        BeforeValidator(parse_past),
        Argument("TIME", "how far back (30d), or from when (yesterday, 2026-11-01; in UTC)", False, ("--since",)),
    ] = timedelta(days=30)
    before: Annotated[
        int | None,
        Field(ge=1, le=MAX_EVENT_NUMBER),
        Argument("N", "only events before this number", positional=False, flags=("--before",)),
    ] = None


class ShowHistory(Command):
    """Show what was in Production, when, and why."""

    verb = "history"
    summary = SUMMARIES[verb]
    example = "history churn --at 2026-03-03"
    model: ModelName
    last: Annotated[int, Field(ge=1, le=50), Argument("N", "how many", positional=False, flags=("--last",))] = 10
    at: Annotated[
        timedelta | datetime | date | RelativeDay | None,
        BeforeValidator(parse_day_or_moment),
        Argument(
            "TIME",
            "who served on a day (2026-03-03, yesterday) or at a moment (2026-03-03T14:00), in UTC; or 2h ago",
            False,
            ("--at",),
        ),
    ] = None

    def with_absolute_time(self, now: datetime) -> ShowHistory:
        """Return the command with an absolute time, so that it means the same later."""
        if isinstance(self.at, RelativeDay):
            return self.model_copy(update={"at": self.at.date_at(now)})
        return self.model_copy(update={"at": resolve_start(self.at, now)}) if isinstance(self.at, timedelta) else self
