"""An assessment of a registry before Registrar is set up: its versions in Production, and what's wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Code, Name, Sentence, say, truncate
from bot.domain.registry.model import ModelInfo, RunInfo, Stage, VersionInfo
from bot.domain.registry.model_card import ModelCard


class ProblemKind(Enum):
    """The kinds of problems, worst first: each one's code and heading, and what it means or what to do about it."""

    SEVERAL_HOLDERS = (
        "several_holders",
        "More than one version in Production",
        "Callers can't tell which version to use. Archive all but one.",
    )
    ALIAS_DISAGREES = (
        "alias_disagrees",
        "Alias disagrees with the stage",
        "Callers that load the alias get a different version than those that load the stage. Move one of them.",
    )
    FAILED_GATE = (
        "failed_gate",
        "Fails the policy's gates for Production",
        "This version couldn't be promoted today. Fix the version, or change the gate.",
    )
    NO_RULE = (
        "no_rule",
        "No rule for Production in the policy",
        "No one could promote these models. Add a pattern that matches them.",
    )
    RUN_GONE = (
        "run_gone",
        "Run was deleted",
        "No one can reproduce the version. Restore the run if it's still in the trash.",
    )
    NO_RUN = (
        "no_run",
        "No run",
        "The version's metrics, data, and code are unknown. Register the next one from a run.",
    )
    NO_SIGNATURE = (
        "no_signature",
        "No signature",
        "Breaking changes can't be detected. Log the next model with a signature.",
    )
    NO_DATASET = (
        "no_dataset",
        "No dataset",
        "Log the training data with mlflow.log_input, or set the run's tag dataset_version.",
    )
    NO_OWNER = (
        "no_owner",
        "No owner",
        "There's no one to ask about the version. Set the tag owner of the version or the model.",
    )

    def __init__(self, code: str, heading: str, advice: str) -> None:
        self.code, self.heading, self.advice = code, heading, advice


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryProblem:
    """A problem with a model or one of its versions."""

    kind: ProblemKind
    model: str
    version: int | None
    sentence: Sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderGates:
    """How a version fares against a policy's rule for Production.

    `unchecked` lists the gates that can't be checked with the registry alone, with the reason for each.
    """

    has_rule: bool
    failed: tuple[Sentence, ...] = ()
    unchecked: tuple[Sentence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductionHolder:
    """A version in Production, with its aliases and what's known about it.

    `by_alias` is True if its model has no stages, so an alias marks it as being in Production. `has_signature` is None
    if the version's files weren't read.
    """

    version: VersionInfo
    by_alias: bool = False
    run: RunInfo | None = None
    card: ModelCard
    has_signature: bool | None = None
    gates: HolderGates | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryAssessment:
    """The result of an assessment. `unread` says which files couldn't be read, and why."""

    models: int
    versions: int
    holders: tuple[ProductionHolder, ...]
    problems: tuple[RegistryProblem, ...]
    unread: tuple[Sentence, ...] = ()

    @property
    def unrecorded(self) -> tuple[Sentence, ...]:
        """What the registry doesn't record about the versions in Production."""
        sentences = [
            say("{product} doesn't record who put a version into Production, or why."),
            say("It records when a version's stage or description last changed, but not which of them changed."),
        ]
        if by_alias := sum(holder.by_alias for holder in self.holders):
            template = "{n} without stages count as Production because of their alias; when it was set isn't recorded."
            sentences.append(say(template, n=pluralize(by_alias, "version")))
        return tuple(sentences)

    @property
    def unchecked(self) -> tuple[Sentence, ...]:
        """The policy's gates that can't be checked, without duplicates."""
        checks = [holder.gates for holder in self.holders if holder.gates]
        return tuple({str(gate): gate for check in checks for gate in check.unchecked}.values())

    @property
    def has_failed_gates(self) -> bool:
        """Whether any version in Production fails the policy's gates or matches none of its rules."""
        return any(holder.gates and (holder.gates.failed or not holder.gates.has_rule) for holder in self.holders)

    @property
    def held_models(self) -> int:
        """The number of models that have a version in Production."""
        return len({holder.version.model for holder in self.holders})

    def of_kind(self, kind: ProblemKind) -> list[RegistryProblem]:
        """Return the problems of one kind."""
        return [problem for problem in self.problems if problem.kind is kind]


def versions_in_production(
    model: ModelInfo, versions: Sequence[VersionInfo], alias: str
) -> tuple[list[VersionInfo], bool]:
    """Return the versions in Production (newest first, with aliases), and whether `alias` is what puts them there.

    It is if no version of the model has a stage.
    """
    by_alias = all(version.stage is Stage.NONE for version in versions)
    numbers = (
        {model.aliases.get(alias)}
        if by_alias
        else {version.version for version in versions if version.stage is Stage.PRODUCTION}
    )
    newest_first = sorted(versions, key=lambda version: version.version, reverse=True)
    return [_with_aliases(version, model) for version in newest_first if version.version in numbers], by_alias


def find_model_problems(
    model: ModelInfo, versions: Sequence[VersionInfo], stage_by_alias: Mapping[str, Stage]
) -> Iterator[RegistryProblem]:
    """Yield the problems with a model's stages and aliases. `stage_by_alias` has the aliases that stand for a stage."""
    stages = {version.version: version.stage for version in versions}
    holders = sorted((number for number, stage in stages.items() if stage is Stage.PRODUCTION), reverse=True)
    if len(holders) > 1:
        yield RegistryProblem(
            kind=ProblemKind.SEVERAL_HOLDERS,
            model=model.name,
            version=holders[0],
            sentence=say(
                "{model}: {versions} are in Production.",
                model=Name(model.name),
                versions=[f"v{number}" for number in holders],
            ),
        )
    if all(stage is Stage.NONE for stage in stages.values()):
        return
    for alias, stage in stage_by_alias.items():
        number = model.aliases.get(alias)
        if number is not None and not _agrees(number, stage, stages):
            yield _alias_problem(model.name, alias, number, stage, stages)


def find_holder_problems(holder: ProductionHolder) -> Iterator[RegistryProblem]:
    """Yield the problems with a version in Production, such as failed gates, a deleted run, or no owner."""
    version, run_id = holder.version, holder.version.run_id
    names = {"model": Name(version.model), "v": f"v{version.version}"}

    def problem(kind: ProblemKind, sentence: Sentence) -> RegistryProblem:
        return RegistryProblem(kind=kind, model=version.model, version=version.version, sentence=sentence)

    if holder.gates:
        for gate in holder.gates.failed:
            yield problem(ProblemKind.FAILED_GATE, say("{model} {v}: {gate}.", gate=gate, **names))
        if not holder.gates.has_rule:
            yield problem(ProblemKind.NO_RULE, say("{model} {v} matches no rule.", **names))
    if run_id is None:
        yield problem(ProblemKind.NO_RUN, say("{model} {v} has no run.", **names))
    elif holder.run is None or holder.run.is_deleted:
        template = "{model} {v}: run {run} is in the trash." if holder.run else "{model} {v}: run {run} doesn't exist."
        yield problem(ProblemKind.RUN_GONE, say(template, run=Code(truncate(run_id, 80)), **names))
    if holder.has_signature is False:
        yield problem(ProblemKind.NO_SIGNATURE, say("{model} {v} has no signature.", **names))
    missing = holder.card.missing()
    if "dataset_version" in missing:
        yield problem(ProblemKind.NO_DATASET, say("{model} {v} has no dataset.", **names))
    if "owner" in missing:
        yield problem(ProblemKind.NO_OWNER, say("{model} {v} has no owner.", **names))


def sort_problems(problems: Iterable[RegistryProblem]) -> tuple[RegistryProblem, ...]:
    """Return the problems sorted by kind (worst first), then by model, then by version (newest first)."""
    order = {kind: at for at, kind in enumerate(ProblemKind)}
    return tuple(sorted(problems, key=lambda one: (order[one.kind], one.model, -(one.version or 0))))


def _with_aliases(version: VersionInfo, model: ModelInfo) -> VersionInfo:
    aliases = sorted(alias for alias, number in model.aliases.items() if number == version.version)
    return replace(version, aliases=tuple(aliases))


def _agrees(number: int, stage: Stage, stages: Mapping[int, Stage]) -> bool:
    """Return whether an alias that stands for `stage` can point to this version.

    If a team uses an alias instead of Staging, no version is in Staging, so the alias can point to a version without a
    stage.
    """
    is_staging_unused = stage is Stage.STAGING and stage not in stages.values()
    return stages.get(number) is stage or (is_staging_unused and stages.get(number) is Stage.NONE)


def _alias_problem(model: str, alias: str, number: int, stage: Stage, stages: Mapping[int, Stage]) -> RegistryProblem:
    found = stages.get(number)
    holders = [f"v{other}" for other in sorted(stages, reverse=True) if stages[other] is stage]
    template = (
        "{model}: {alias} is {v}, which doesn't exist."
        if found is None
        else "{model}: {alias} is {v} ({found}), but {stage} is {holders}."
    )
    sentence = say(
        template,
        model=Name(model),
        alias=Code(f"@{alias}"),
        v=f"v{number}",
        found="no stage" if found is Stage.NONE else found,
        stage=stage,
        holders=holders or "empty",
    )
    return RegistryProblem(kind=ProblemKind.ALIAS_DISAGREES, model=model, version=number, sentence=sentence)
