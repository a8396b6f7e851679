"""The verbs, one pydantic model each. Slack's text, its modals, the terminal and the help all come from here."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, get_args

from pydantic import BeforeValidator, Field

from bot.domain.commands import monitoring
from bot.domain.commands.arguments import (
    EVENTS_MOST,
    Day,
    OptionalVersion,
    RequestId,
    Results,
    Tags,
    Target,
    Version,
    begin,
    day_or_moment,
    each_of,
    moment,
    past,
    results,
    to_bump,
    to_description,
    to_metric_names,
    to_run_id,
)
from bot.domain.commands.base import Arg, Command, Everywhere, Model, OptionalModel, Reason
from bot.domain.commands.help_index import SUMMARIES
from bot.domain.registry.model import Stage, VersionRef, parse_version
from bot.domain.registry.semver import Bump


class Help(Command):
    """Explain the verbs, or one of them."""

    verb = "help"
    summary = SUMMARIES[verb]
    example = "help promote"
    about: Annotated[
        str,
        BeforeValidator(lambda words: words if isinstance(words, str) else " ".join(words).lower()),
        Arg("VERB", "the verb to explain; some have two words", many=True),
    ] = ""


class List(Command):
    """List the registered models."""

    verb = "list"
    summary = SUMMARIES[verb]
    example = "list churn"
    text: Annotated[str, Arg("TEXT", "only models whose name holds this", flags=("--text",))] = ""
    page: Annotated[int, Field(ge=1, le=100_000), Arg("N", "which page", positional=False, flags=("--page",))] = 1


class Show(Command):
    """Show a model, or one version of it."""

    verb = "show"
    summary = SUMMARIES[verb]
    example = "show churn 4"
    model: Model
    version: OptionalVersion = None
    page: Annotated[
        int, Field(ge=1, le=100_000), Arg("N", "which page of the versions", positional=False, flags=("--page",))
    ] = 1


class Register(Command):
    """Make a new version out of a run."""

    verb = "register"
    summary = SUMMARIES[verb]
    example = 'register 0a1b2c3d4e5f60718293a4b5c6d7e8f9 churn --description "wider trees"'
    run_id: Annotated[
        str, BeforeValidator(to_run_id), Arg("RUN_ID", "the run that logged the model", flags=("--run-id",))
    ]
    model: Model
    bump: Annotated[
        Bump | None,
        BeforeValidator(to_bump),
        Arg("PART", "major, minor or patch, where you know better than the rules", False, ("--bump",)),
    ] = None
    description: Annotated[
        str, BeforeValidator(to_description), Arg("TEXT", "what is new", positional=False, flags=("--description",))
    ] = ""
    tags: Annotated[Tags, Arg("KEY=VALUE", "a tag; can be given again", False, ("--tag",), many=True)] = ()
    artifact: Annotated[
        str, Arg("NAME", "which of the run's models, where it logged several", False, ("--artifact",))
    ] = ""


class Describe(Command):
    """Write what a model or a version is."""

    verb = "describe"
    summary = SUMMARIES[verb]
    example = 'describe churn 4 "trained on the spring campaign"'
    model: Model
    version: OptionalVersion = None
    text: Annotated[str, BeforeValidator(to_description), Arg("TEXT", "the description", flags=("--text",))]


class SetTags(Command):
    """Set tags of a version, or take them away."""

    verb = "tag"
    summary = SUMMARIES[verb]
    example = "tag churn 4 owner=ann use_case=retention"
    model: Model
    version: Version
    tags: Annotated[Tags, Arg("KEY=VALUE", "what to set; KEY= takes it away", True, ("--tag",), many=True)]

    def pairs(self) -> dict[str, str | None]:
        """Return the tags; None is one to be taken away."""
        return {key: value or None for key, _, value in (tag.partition("=") for tag in self.tags)}


class Archive(Command):
    """Take a version aside."""

    verb = "archive"
    summary = SUMMARIES[verb]
    example = 'archive churn 2 --reason "trained on leaked labels"'
    model: Model
    version: Version
    reason: Reason = ""


class Compare(Command):
    """Compare versions by their metrics."""

    verb = "compare"
    summary = SUMMARIES[verb]
    example = "compare churn 4 5 --metrics f1,latency_ms"
    model: Model
    versions: Annotated[
        tuple[VersionRef, ...],
        BeforeValidator(each_of(lambda word: word if isinstance(word, VersionRef) else parse_version(str(word)))),
        Arg("VERSION", "which; without any, all", flags=("--version",), many=True),
    ] = ()
    metrics: Annotated[
        tuple[str, ...],
        BeforeValidator(to_metric_names),
        Arg("A,B", "only these metrics", positional=False, flags=("--metrics",)),
    ] = ()
    last: Annotated[
        int | None, Field(ge=1, le=100_000), Arg("N", "only the newest N", positional=False, flags=("--last",))
    ] = None


class Best(Command):
    """Find the version with the best value of a metric."""

    verb = "best"
    summary = SUMMARIES[verb]
    example = "best churn f1"
    model: Model
    metric: Annotated[
        str, BeforeValidator(lambda text: str(text).strip()), Arg("METRIC", "such as f1", flags=("--metric",))
    ]
    lowest: Annotated[bool, Arg("", "the lowest value wins", positional=False, flags=("--lowest",))] = False


class Promote(Command):
    """Ask that a version move to Staging or Production."""

    verb = "promote"
    summary = SUMMARIES[verb]
    example = 'promote churn 4 production --reason "better f1"'
    model: Model
    version: Version
    to: Target
    reason: Reason = ""
    keep_existing: Annotated[
        bool, Arg("", "let the present holder stay in the stage", positional=False, flags=("--keep-existing",))
    ] = False
    break_glass: Annotated[
        bool,
        Arg(
            "",
            "admins: move it now, past approvals, gates and freezes; the channel is alarmed",
            positional=False,
            flags=("--break-glass",),
        ),
    ] = False
    validation: Results = ()

    def results(self) -> dict[str, float]:
        """Return the results that the asker handed over, by metric."""
        return results(self.validation)


class Validate(Command):
    """Look at a version through the gates of a stage, without asking for anything."""

    verb = "validate"
    summary = SUMMARIES[verb]
    example = "validate churn 4"
    model: Model
    version: Version
    to: Annotated[
        Stage,
        get_args(Target)[1],
        Arg("STAGE", "whose gates: staging or production", flags=("--to",)),
    ] = Stage.PRODUCTION
    validation: Results = ()

    def results(self) -> dict[str, float]:
        """Return the results that were handed over, by metric."""
        return results(self.validation)


class Approve(Command):
    """Approve a request."""

    verb = "approve"
    summary = SUMMARIES[verb]
    example = "approve r4k7q"
    request: RequestId


class Reject(Command):
    """Reject a request."""

    verb = "reject"
    summary = SUMMARIES[verb]
    example = 'reject r4k7q --reason "latency too high"'
    request: RequestId
    reason: Reason


class Withdraw(Command):
    """Take one's vote back."""

    verb = "withdraw"
    summary = SUMMARIES[verb]
    example = "withdraw r4k7q"
    request: RequestId


class Override(Command):
    """Let failed gates pass."""

    verb = "override"
    summary = SUMMARIES[verb]
    example = 'override r4k7q --reason "the metric is measured anew tomorrow"'
    request: RequestId
    reason: Reason


class Cancel(Command):
    """Take a request back."""

    verb = "cancel"
    summary = SUMMARIES[verb]
    example = "cancel r4k7q"
    request: RequestId
    reason: Reason = ""


class Review(Command):
    """Follow up on a broken glass."""

    verb = "review"
    summary = SUMMARIES[verb]
    example = 'review r4k7q --reason "v3 was down; the gates passed afterwards"'
    request: RequestId
    reason: Reason


class Requests(Command):
    """List the requests that wait."""

    verb = "requests"
    summary = SUMMARIES[verb]
    example = "requests churn"
    model: OptionalModel = None


class ShowPolicy(Command):
    """Tell what the policy says of a model."""

    verb = "policy"
    summary = SUMMARIES[verb]
    example = "policy churn"
    model: Model


class FreezeModel(Command):
    """Let nothing move in Production."""

    verb = "freeze"
    summary = SUMMARIES[verb]
    example = 'freeze churn --until 48h --reason "end of the quarter"'
    model: OptionalModel = None
    everywhere: Everywhere = False
    until: Annotated[
        timedelta | datetime | None,
        BeforeValidator(moment),
        Arg("TIME", "how long (48h), or until when (2026-12-01T18:00, UTC)", False, ("--until",)),
    ] = None
    reason: Reason


class UnfreezeModel(Command):
    """Let Production move again."""

    verb = "unfreeze"
    summary = SUMMARIES[verb]
    example = "unfreeze churn"
    model: OptionalModel = None
    everywhere: Everywhere = False
    reason: Reason = ""


class Rollback(Command):
    """Put a version back into Production that served before."""

    verb = "rollback"
    summary = SUMMARIES[verb]
    example = 'rollback churn --reason "accuracy fell since v7"'
    model: Model
    version: OptionalVersion = None
    force: Annotated[
        bool, Arg("", "also a version that may not load; the reason says why", positional=False, flags=("--force",))
    ] = False
    reason: Reason


class Unblock(Command):
    """Unblock a version that was rolled back as bad."""

    verb = "unblock"
    summary = SUMMARIES[verb]
    example = 'unblock churn 7 --reason "it was the feature store"'
    model: Model
    version: Version
    reason: Reason


class ShowAudit(Command):
    """Tell what happened to a model."""

    verb = "audit"
    summary = SUMMARIES[verb]
    example = "audit churn --since 30d"
    model: Model
    since: Annotated[
        timedelta | datetime | Day,
        BeforeValidator(past),
        Arg("TIME", "how far back (30d), or from when (yesterday, 2026-11-01; in UTC)", False, ("--since",)),
    ] = timedelta(days=30)
    before: Annotated[
        int | None,
        Field(ge=1, le=EVENTS_MOST),
        Arg("N", "only events before this number", positional=False, flags=("--before",)),
    ] = None


class History(Command):
    """Tell what was in Production, when, and why."""

    verb = "history"
    summary = SUMMARIES[verb]
    example = "history churn --at 2026-03-03"
    model: Model
    last: Annotated[int, Field(ge=1, le=50), Arg("N", "how many", positional=False, flags=("--last",))] = 10
    at: Annotated[
        timedelta | datetime | date | Day | None,
        BeforeValidator(day_or_moment),
        Arg(
            "TIME",
            "who served on a day (2026-03-03, yesterday) or at a moment (2026-03-03T14:00), in UTC; or 2h ago",
            False,
            ("--at",),
        ),
    ] = None

    def at_a_moment(self, now: datetime) -> History:
        """Return the command so that it means the same later: the moment or the day, not how long ago it was."""
        if isinstance(self.at, Day):
            return self.model_copy(update={"at": self.at.at(now)})
        return self.model_copy(update={"at": begin(self.at, now)}) if isinstance(self.at, timedelta) else self


VERBS: dict[str, type[Command]] = {
    verb.verb: verb
    for verb in (
        Help,
        List,
        Show,
        Register,
        Describe,
        SetTags,
        Archive,
        Compare,
        Best,
        Promote,
        Validate,
        Approve,
        Reject,
        Withdraw,
        Override,
        Cancel,
        Review,
        Requests,
        History,
        Rollback,
        Unblock,
        ShowPolicy,
        FreezeModel,
        UnfreezeModel,
        ShowAudit,
    )
} | {verb.verb: verb for verb in monitoring.VERBS}
ALIASES = {"clear": Unblock.verb}  # earlier names, which people, scripts, and stored commands still use
