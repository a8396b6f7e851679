"""What the registry looked like at one moment, and what has changed since that nobody asked us for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum

from bot.domain.core.actors import Actor
from bot.domain.core.numbers import counted
from bot.domain.core.sentence import Code, Name, Say, say, short
from bot.domain.registry.model import TARGETS, Identity, ModelInfo, Stage, VersionInfo
from bot.domain.transitions.registry_tags import digest
from bot.domain.transitions.transition import Move, MoveKind, MoveState, time_of

BASELINE = ""  # no model is called so: its row says that Registrar has looked at this registry before
NAMED = 5  # versions named in one line; of more, the rest is counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One model as it was seen. `stages` says where each version stood; `after` is our last move known then.

    `marks` says what each version was (`Identity.mark`), None in a look by an older Registrar; `tags` holds a digest of
    each version's tags that only Registrar sets (`mirror.digest`).
    """

    model: str
    at: datetime
    updated_at: datetime | None = None
    stages: Mapping[int, Stage] = field(default_factory=dict)
    aliases: Mapping[str, int] = field(default_factory=dict)
    after: str | None = None
    created_at: datetime | None = None  # the model
    marks: Mapping[int, str] | None = None
    tags: Mapping[int, str] | None = None

    def holders(self, stage: Stage) -> list[int]:
        """Return the versions in `stage`, newest first."""
        return sorted((number for number, held in self.stages.items() if held is stage), reverse=True)

    def is_as(self, model: ModelInfo) -> bool:
        """Tell whether the registry's summary of the model is the one that was seen here.

        Moves, new versions and deletions change `updated_at`; aliases do not, but the summary holds them. A look by an
        older Registrar didn't see what the versions were.
        """
        return (
            self.marks is not None
            and (self.updated_at, self.created_at) == (model.updated_at, model.created_at)
            and dict(self.aliases) == dict(model.aliases)
            and all(self.marks.get(number) == identity.mark for number, identity in model.identities.items())
        )

    def has_replaced(self, version: int, identity: Identity | None) -> bool:
        """Tell whether something else than this version was seen under its number: another one, or none."""
        if self.marks is None or identity is None:
            return False
        is_another_model = None not in {self.created_at, identity.model_created_at} and (
            self.created_at != identity.model_created_at
        )
        return is_another_model or self.marks.get(version) != identity.mark

    def has_moved(self, model: ModelInfo) -> bool | None:
        """Tell whether the files of the versions in the summary lie elsewhere, and nothing else about them changed.

        None where the summary or the look doesn't tell what the versions are.
        """
        if not model.identities or self.marks is None or self.created_at not in {None, model.created_at}:
            return None
        return are_elsewhere(self.marks, {number: one.mark for number, one in model.identities.items()})

    def elsewhere(self, versions: Sequence[VersionInfo]) -> Look:
        """Return the same look as if it had seen where the files of these versions lie now."""
        marks = {one.version: one.identity().mark for one in versions if one.version in (self.marks or {})}
        return replace(self, marks=marks)


class FindingKind(Enum):
    """What is told in the channel, in a message of its own."""

    REGISTERED = "registered"  # new versions, whoever made them
    CHANGED = "changed"  # stages, aliases or deletions that nobody asked us for


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something to tell of a model. `mend` names the version that should hold Production, where one click mends it.

    `versions` are the new ones, newest first; `lines` say what changed.
    """

    id: str
    kind: FindingKind
    model: str
    at: datetime
    versions: tuple[int, ...] = ()
    lines: tuple[Say, ...] = ()
    by: Actor | None = None  # who registered it, where it was done here
    mend: int | None = None
    stage: Stage = Stage.PRODUCTION  # what `mend` is about
    mended_by: Actor | None = None
    mended_at: datetime | None = None

    @property
    def can_be_mended(self) -> bool:
        """Tell whether its button still means something."""
        return self.mend is not None and self.mended_at is None


def seen(model: ModelInfo, versions: Sequence[VersionInfo], at: datetime, after: str | None) -> Look:
    """Return the look at a model that a reading of it and its versions gives."""
    return Look(
        model=model.name,
        at=at,
        updated_at=model.updated_at,
        after=after,
        aliases=dict(model.aliases),
        stages={one.version: one.stage for one in versions},
        created_at=model.created_at,
        marks={one.version: one.identity().mark for one in versions},
        tags={one.version: told for one in versions if (told := digest(one.tags))},
    )


def expected(before: Look, moves: Sequence[Move], aliases: Mapping[Stage, str]) -> Look:
    """Return what the model looks like after our own finished moves (oldest first) since `before`."""
    now = before
    for move in moves:
        if move.state is MoveState.DONE and move.kind not in {MoveKind.OBSERVED, MoveKind.IMPORTED}:
            now = after(now, move, aliases)
    return now


def since(moves: Sequence[Move], look: Look) -> list[Move]:
    """Return the moves (newest first) that the look doesn't include, oldest first.

    That's all after `look.after`, and earlier ones that were still waiting then and have finished since.
    """
    place = next((at for at, move in enumerate(moves) if move.id == look.after), len(moves))
    fresh, late = list(moves[:place]), [move for move in moves[place + 1 :] if (move.finished_at or look.at) > look.at]
    fresh.reverse()
    return sorted([*late, *fresh], key=time_of) if late else fresh


def after(look: Look, move: Move, aliases: Mapping[Stage, str]) -> Look:
    """Return what the model looks like when the move is made."""
    stages, names = dict(look.stages), dict(look.aliases)
    if move.target in TARGETS:
        if not move.keep_existing:
            stages |= dict.fromkeys(look.holders(move.target), Stage.ARCHIVED)
        names[aliases[move.target]] = move.version
    stages[move.version] = move.target
    return replace(look, stages=stages, aliases=names)


def new_versions(before: Look, now: Look) -> tuple[int, ...]:
    """Return the versions that were not there before, newest first."""
    return tuple(sorted(set(now.stages) - set(before.stages), reverse=True))


def changes(before: Look, ours: Look, now: Look, aliases: Mapping[Stage, str]) -> list[Say]:
    """Return what is different from before and is not our own doing, one sentence each.

    `ours` is what our moves made of `before`. An alias of Staging that went with its version is our own tidying.
    """
    replaced = other_versions(before, now)
    lines = [_replaced(replaced)] if replaced else []
    for number, stage in sorted(now.stages.items()):
        was = ours.stages.get(number, Stage.NONE)
        lines += [_moved(number, was, stage)] if stage is not was else []
    lost = sorted(set(before.stages) - set(now.stages))
    lines += [_deleted(before, lost)] if lost else []
    lines += _alias_changes(ours, now, aliases)
    if ours.holders(Stage.PRODUCTION) and not now.holders(Stage.PRODUCTION):
        lines.append(say("Nothing is in Production now. Ask for a version: {how}", how=Code("/model promote")))
    return lines


def other_versions(before: Look, now: Look) -> list[int]:
    """Return the numbers under which another version is found than before."""
    was, found = before.marks or {}, now.marks or {}
    is_another_model = None not in {before.created_at, now.created_at} and before.created_at != now.created_at
    return sorted(number for number in was.keys() & found.keys() if is_another_model or was[number] != found[number])


def _replaced(numbers: list[int]) -> Say:
    words = (
        "{which} isn't the same version any more: it was deleted and created again, its model was renamed, or its "
        "files are somewhere else."
        if len(numbers) == 1
        else "{which} aren't the same versions any more: they were deleted and created again, their model was renamed, "
        "or their files are somewhere else."
    )
    return say(words, which=_few([f"v{number}" for number in numbers]))


def are_elsewhere(was: Mapping[int, str], now: Mapping[int, str]) -> bool | None:
    """Tell whether all versions in both have other sources now, and are the same otherwise; None where none is in both.

    Both are marks: see `Identity.mark`.
    """
    pairs = [(was[number].split("."), now[number].split(".")) for number in was.keys() & now.keys()]
    return all(old[0] == new[0] and old != new for old, new in pairs) if pairs else None


def have_moved(looks: Mapping[str, Look], models: Iterable[ModelInfo]) -> bool:
    """Tell whether the whole registry was migrated in place: all files lie elsewhere, and nothing else has changed."""
    said = [look.has_moved(model) for model in models if (look := looks.get(model.name))]
    return any(said) and False not in said


def migrated(models: Sequence[ModelInfo]) -> Say:
    """Return what changed where the sources of all versions did; one of them is an example."""
    source = next(iter(models[0].identities.values())).source
    return say(
        "The files of {n} are somewhere else now, for example {source}.",
        n=counted(len(models), "model"),
        source=Code(short(source, 200)),
    )


def _deleted(before: Look, lost: list[int]) -> Say:
    stages = [before.stages[number] for number in lost]
    which = [f"v{n}" + (f" (in {stage})" if stage in TARGETS else "") for n, stage in zip(lost, stages, strict=True)]
    return say("{which} was deleted." if len(lost) == 1 else "{which} were deleted.", which=_few(which))


def _moved(number: int, was: Stage, now: Stage) -> Say:
    return say("{v} went from {was} to {now}.", v=Code(f"v{number}"), was=_standing(was), now=_standing(now))


def _alias_changes(ours: Look, now: Look, aliases: Mapping[Stage, str]) -> list[Say]:
    lines = []
    for alias in sorted(set(ours.aliases) | set(now.aliases)):
        was, now_at = ours.aliases.get(alias), now.aliases.get(alias)
        if was == now_at or _is_tidied(alias, was, now_at, now, aliases):
            continue
        name = Code(f"@{alias}")
        lines.append(say("{alias} went from {was} to {now}.", alias=name, was=_version(was), now=_version(now_at)))
    return lines


def _is_tidied(alias: str, was: int | None, now_at: int | None, now: Look, aliases: Mapping[Stage, str]) -> bool:
    """Tell whether an alias just went with its version: out of Staging, or out of the registry."""
    if now_at is not None or was is None:
        return False
    return was not in now.stages or (alias == aliases[Stage.STAGING] and now.stages[was] is not Stage.STAGING)


@dataclass(frozen=True, slots=True)
class Disorder:
    """A stage whose holders or alias contradict each other, what to say of it, and who should be its one holder."""

    stage: Stage
    line: Say
    holder: int


def disorders(now: Look, kept: Mapping[Stage, frozenset[int]], aliases: Mapping[Stage, str]) -> list[Disorder]:
    """Return the stages with several holders, or with an alias elsewhere, that nobody asked for.

    `kept` are the versions that a request with keep-existing left in a stage: those are meant.
    """
    found = [
        _disorder(now, stage, kept.get(stage, frozenset()), aliases[stage])
        for stage in (Stage.PRODUCTION, Stage.STAGING)
    ]
    return [one for one in found if one]


def _disorder(now: Look, stage: Stage, kept: frozenset[int], alias: str) -> Disorder | None:
    holders, named = now.holders(stage), now.aliases.get(alias)
    if not holders:
        return None
    unmeant = [number for number in holders if number not in kept]
    if len(unmeant) > 1:
        holder = named if named in unmeant else unmeant[0]
        line = say(
            "{stage} has {n} holders: {which}. It should have one.",
            stage=stage,
            n=len(holders),
            which=_few([f"v{number}" for number in holders]),
        )
        return Disorder(stage, line, holder)
    if named is not None and named not in holders:
        holder = (unmeant or holders)[0]
        line = say(
            "{alias} names {named}, but {holder} is in {stage}.",
            alias=Code(f"@{alias}"),
            named=Code(f"v{named}"),
            holder=Code(f"v{holder}"),
            stage=stage,
        )
        return Disorder(stage, line, holder)
    return None


def kept_holders(moves: Iterable[Move]) -> dict[Stage, frozenset[int]]:
    """Return the versions that were left in a stage on purpose, by our finished moves (oldest first)."""
    kept: dict[Stage, frozenset[int]] = {}
    holder: dict[Stage, int] = {}
    for move in moves:
        if move.state is not MoveState.DONE or move.target not in TARGETS:
            continue
        before = kept.get(move.target, frozenset())
        stays = holder.get(move.target, move.expected_incumbent) if move.keep_existing else None
        kept[move.target] = before | {stays} if move.keep_existing and stays is not None else frozenset()
        holder[move.target] = move.version
    return kept


def _standing(stage: Stage) -> str:
    return "no stage" if stage is Stage.NONE else str(stage)


def _version(number: int | None) -> Code | str:
    return "nothing" if number is None else Code(f"v{number}")


def _few(words: list[str]) -> list[str]:
    more = [f"{len(words) - NAMED} more"] if len(words) > NAMED else []
    return [*(Code(word) for word in words[:NAMED]), *more]


def about(version: VersionInfo) -> list[Say]:
    """Return what is told of a new version: its semver, its run and its description, as far as they are known."""
    lines = []
    if version.semver:
        lines.append(say("Semver {semver}", semver=Code(version.semver)))
    if version.run_id:
        lines.append(say("Run {run}", run=Code(version.run_id)))
    if version.description.strip():
        lines.append(say("{text}", text=short(version.description.strip(), 500)))
    return lines


def gone(model: str) -> Say:
    """Return what is told of a model that the registry has no more."""
    return say("The model {model} was deleted or renamed in MLflow.", model=Name(model))
