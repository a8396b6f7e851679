"""Commands that change the registry or Production."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator

from bot.domain.commands.arguments import (
    OptionalVersionArgument,
    TagsArgument,
    VersionArgument,
    parse_bump,
    parse_description,
    parse_run_id,
)
from bot.domain.commands.base import AllModels, Argument, Command, ModelName, OptionalModelName, Reason
from bot.domain.commands.help_index import SUMMARIES
from bot.domain.core.relative_time import parse_moment
from bot.domain.registry.semver import Bump


class Register(Command):
    """Register an MLflow run as a new version."""

    verb = "register"
    summary = SUMMARIES[verb]
    example = 'register 0a1b2c3d4e5f60718293a4b5c6d7e8f9 churn --description "wider trees"'
    run_id: Annotated[
        str, BeforeValidator(parse_run_id), Argument("RUN_ID", "the run that logged the model", flags=("--run-id",))
    ]
    model: ModelName
    bump: Annotated[
        Bump | None,
        BeforeValidator(parse_bump),
        Argument("PART", "major, minor or patch, where you know better than the rules", False, ("--bump",)),
    ] = None
    description: Annotated[
        str,
        BeforeValidator(parse_description),
        Argument("TEXT", "what is new", positional=False, flags=("--description",)),
    ] = ""
    tags: Annotated[
        TagsArgument, Argument("KEY=VALUE", "a tag; can be given again", False, ("--tag",), takes_many=True)
    ] = ()
    artifact: Annotated[
        str, Argument("NAME", "which of the run's models, where it logged several", False, ("--artifact",))
    ] = ""


class Describe(Command):
    """Write the description of a model or a version."""

    verb = "describe"
    summary = SUMMARIES[verb]
    example = 'describe churn 4 "trained on the spring campaign"'
    model: ModelName
    version: OptionalVersionArgument = None
    text: Annotated[str, BeforeValidator(parse_description), Argument("TEXT", "the description", flags=("--text",))]


class SetTags(Command):
    """Set or remove tags of a version."""

    verb = "tag"
    summary = SUMMARIES[verb]
    example = "tag churn 4 owner=ann use_case=retention"
    model: ModelName
    version: VersionArgument
    tags: Annotated[
        TagsArgument, Argument("KEY=VALUE", "what to set; KEY= takes it away", True, ("--tag",), takes_many=True)
    ]

    def values_by_key(self) -> dict[str, str | None]:
        """Return the tags by key; None means remove."""
        return {key: value or None for key, _, value in (tag.partition("=") for tag in self.tags)}


class Archive(Command):
    """Archive a version: move it to the stage Archived."""

    verb = "archive"
    summary = SUMMARIES[verb]
    example = 'archive churn 2 --reason "trained on leaked labels"'
    model: ModelName
    version: VersionArgument
    reason: Reason = ""


class FreezeModel(Command):
    """Freeze Production of a model, or of all models."""

    verb = "freeze"
    summary = SUMMARIES[verb]
    example = 'freeze churn --until 48h --reason "end of the quarter"'
    model: OptionalModelName = None
    everywhere: AllModels = False
    until: Annotated[
        timedelta | datetime | None,
        BeforeValidator(parse_moment),
        Argument("TIME", "how long (48h), or until when (2026-12-01T18:00, UTC)", False, ("--until",)),
    ] = None
    reason: Reason


class UnfreezeModel(Command):
    """Unfreeze Production."""

    verb = "unfreeze"
    summary = SUMMARIES[verb]
    example = "unfreeze churn"
    model: OptionalModelName = None
    everywhere: AllModels = False
    reason: Reason = ""


class Rollback(Command):
    """Put a version that served before back into Production, without approvals."""

    verb = "rollback"
    summary = SUMMARIES[verb]
    example = 'rollback churn --reason "accuracy fell since v7"'
    model: ModelName
    version: OptionalVersionArgument = None
    force: Annotated[
        bool,
        Argument("", "also a version that may not load; the reason says why", positional=False, flags=("--force",)),
    ] = False
    reason: Reason


class Unblock(Command):
    """Allow promotions and rollbacks again to a version that was rolled back as bad."""

    verb = "unblock"
    summary = SUMMARIES[verb]
    example = 'unblock churn 7 --reason "it was the feature store"'
    model: ModelName
    version: VersionArgument
    reason: Reason
