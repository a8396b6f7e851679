"""Commands about models and versions."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from bot.domain.commands.base import (
    Argument,
    Command,
    ModelName,
    OptionalModelName,
    OptionalVersionArgument,
    QueryCommand,
    Reason,
    RegistryChange,
    TagsArgument,
    VersionArgument,
    parse_bump,
    parse_description,
    parse_each,
    parse_metric_names,
    parse_run_id,
)
from bot.domain.policy.authorization import Permission
from bot.domain.registry.model import VersionRef, parse_version_ref
from bot.domain.registry.semver import Bump

MAX_ARTIFACT_LENGTH = 1000  # characters of a model's path in a run


class ListModels(QueryCommand):
    """List the registered models."""

    verb = "list"
    summary = "List models and their stages"
    example = "list churn"
    text: Annotated[str, Argument("TEXT", "only models whose names contain this", flags=("--text",))] = ""
    page: Annotated[
        int, Field(ge=1, le=100_000), Argument("N", "the page number", positional=False, flags=("--page",))
    ] = 1


class ShowModel(QueryCommand):
    """Show a model, or one version of it."""

    verb = "show"
    summary = "Show a model or one version"
    example = "show churn 4"
    model: ModelName
    version: OptionalVersionArgument = None
    page: Annotated[
        int, Field(ge=1, le=100_000), Argument("N", "the page of versions", positional=False, flags=("--page",))
    ] = 1


class ShowStatus(QueryCommand):
    """Show what's in Production and Staging, with monitors, incidents, and freezes."""

    verb = "status"
    summary = "Show Production's health"
    details = "Shows the version in Production, its monitors, and what needs attention."
    example = "status churn"
    needs_ledger = True
    model: OptionalModelName = None
    page: Annotated[
        int, Field(ge=1, le=100_000), Argument("N", "the page number", positional=False, flags=("--page",))
    ] = 1


class Compare(QueryCommand):
    """Compare versions by their metrics."""

    verb = "compare"
    summary = "Compare versions' metrics"
    example = "compare churn 4 5 --metrics f1,latency_ms"
    quota = "comparisons"
    model: ModelName
    versions: Annotated[
        tuple[VersionRef, ...],
        BeforeValidator(
            parse_each(lambda word: word if isinstance(word, VersionRef) else parse_version_ref(str(word)))
        ),
        Argument("VERSION", "the versions to compare; default: all", flags=("--version",), takes_many=True),
    ] = ()
    metrics: Annotated[
        tuple[str, ...],
        BeforeValidator(parse_metric_names),
        Argument("A,B", "only these metrics", positional=False, flags=("--metrics",)),
    ] = ()
    last: Annotated[
        int | None,
        Field(ge=1, le=100_000),
        Argument("N", "only the N newest versions", positional=False, flags=("--last",)),
    ] = None


class FindBest(QueryCommand):
    """Find the version with the best value of a metric."""

    verb = "best"
    summary = "Find the best version by a metric"
    example = "best churn f1"
    quota = "comparisons"
    model: ModelName
    metric: Annotated[
        str,
        BeforeValidator(lambda text: str(text).strip()),
        Argument("METRIC", "the metric, such as f1", flags=("--metric",)),
    ]
    lowest: Annotated[bool, Argument("", "lower values are better", positional=False, flags=("--lowest",))] = False


class Register(RegistryChange):
    """Register an MLflow run as a new version."""

    verb = "register"
    summary = "Register a run's model"
    example = 'register 0a1b2c3d4e5f60718293a4b5c6d7e8f9 churn --description "wider trees"'
    permission = Permission.REGISTER
    needs_policy = False  # anyone who can write to the registry could also do this there
    run_id: Annotated[
        str, BeforeValidator(parse_run_id), Argument("RUN_ID", "the run that logged the model", flags=("--run-id",))
    ]
    model: ModelName
    bump: Annotated[
        Bump | None,
        BeforeValidator(parse_bump),
        Argument("PART", "major, minor, or patch; overrides the automatic choice", False, ("--bump",)),
    ] = None
    description: Annotated[
        str,
        BeforeValidator(parse_description),
        Argument("TEXT", "what's new", positional=False, flags=("--description",)),
    ] = ""
    tags: Annotated[TagsArgument, Argument("KEY=VALUE", "a tag; repeatable", False, ("--tag",), takes_many=True)] = ()
    artifact: Annotated[
        str,
        Field(max_length=MAX_ARTIFACT_LENGTH),
        Argument("NAME", "which of the run's models to use, if it logged several", False, ("--artifact",)),
    ] = ""


class Describe(RegistryChange):
    """Set the description of a model or a version."""

    verb = "describe"
    summary = "Set a description"
    example = 'describe churn 4 "trained on the spring campaign"'
    permission = Permission.DESCRIBE
    model: ModelName
    version: OptionalVersionArgument = None
    text: Annotated[str, BeforeValidator(parse_description), Argument("TEXT", "the description", flags=("--text",))]


class SetTags(RegistryChange):
    """Set or remove a version's tags."""

    verb = "tag"
    summary = "Set or remove a version's tags"
    example = "tag churn 4 owner=ann use_case=retention"
    permission = Permission.TAG
    model: ModelName
    version: VersionArgument
    tags: Annotated[
        TagsArgument, Argument("KEY=VALUE", "the tags to set; KEY= removes one", True, ("--tag",), takes_many=True)
    ]

    def values_by_key(self) -> dict[str, str | None]:
        """Return the tags by key; None means remove."""
        return {key: value or None for key, _, value in (tag.partition("=") for tag in self.tags)}


class Archive(RegistryChange):
    """Archive a version: transition it to the Archived stage."""

    verb = "archive"
    summary = "Archive a version"
    details = "A version in Production can't be archived."
    example = 'archive churn 2 --reason "trained on leaked labels"'
    permission = Permission.ARCHIVE
    model: ModelName
    version: VersionArgument
    reason: Reason = ""


COMMANDS: tuple[type[Command], ...] = (
    ListModels,
    ShowModel,
    ShowStatus,
    Register,
    Describe,
    SetTags,
    Archive,
    Compare,
    FindBest,
)
