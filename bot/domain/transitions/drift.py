"""Drift: changes to the registry between two snapshots that weren't made through Registrar."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum

from bot.domain.core.actors import Actor
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Code, Name, Sentence, say, truncate
from bot.domain.registry.model import TARGET_STAGES, ModelInfo, Stage, VersionIdentity, VersionInfo
from bot.domain.transitions.registry_tags import tag_digest
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState, transition_time

REGISTRY_SEEN_KEY = ""  # not a model's name: its row records that Registrar has polled this registry before
MAX_LISTED_VERSIONS = 5  # versions named in one line; the others are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySnapshot:
    """A model at one point in time. `stages` has each version's stage; `after` is our last transition by then.

    `marks` has each version's `VersionIdentity.fingerprint` (None in snapshots from older releases). `tags` has a
    digest (see `tag_digest`) of each version's tags that only Registrar sets.
    """

    model: str
    at: datetime
    updated_at: datetime | None = None
    stages: Mapping[int, Stage] = field(default_factory=dict)
    aliases: Mapping[str, int] = field(default_factory=dict)
    after: str | None = None
    created_at: datetime | None = None  # when the model was created
    marks: Mapping[int, str] | None = None
    tags: Mapping[int, str] | None = None

    def holders(self, stage: Stage) -> list[int]:
        """Return the versions in `stage`, newest first."""
        return sorted((number for number, versions in self.stages.items() if versions is stage), reverse=True)

    def matches_summary(self, model: ModelInfo) -> bool:
        """Return whether the registry's summary of the model matches this snapshot.

        Transitions, new versions, and deletions change `updated_at`. Alias changes don't, but the summary includes the
        aliases. Snapshots from older releases have no fingerprints, so they never match.
        """
        return (
            self.marks is not None
            and (self.updated_at, self.created_at) == (model.updated_at, model.created_at)
            and dict(self.aliases) == dict(model.aliases)
            and all(self.marks.get(number) == identity.fingerprint for number, identity in model.identities.items())
        )

    def holds_other_version(self, version: int, identity: VersionIdentity | None) -> bool:
        """Return whether this snapshot has a different version, or none, under this number."""
        if self.marks is None or identity is None:
            return False
        is_another_model = None not in {self.created_at, identity.model_created_at} and (
            self.created_at != identity.model_created_at
        )
        return is_another_model or self.marks.get(version) != identity.fingerprint

    def has_moved_files(self, model: ModelInfo) -> bool | None:
        """Return whether the summary's versions differ from the snapshot's only in their source URIs.

        Return None if the summary or the snapshot has no identities, the model was recreated, or they share no version.
        """
        if not model.identities or self.marks is None or self.created_at not in {None, model.created_at}:
            return None
        return are_files_moved(
            self.marks, {number: version.fingerprint for number, version in model.identities.items()}
        )

    def with_sources_of(self, versions: Sequence[VersionInfo]) -> RegistrySnapshot:
        """Return this snapshot, updated with these versions' current source URIs."""
        marks = {
            version.version: version.identity().fingerprint
            for version in versions
            if version.version in (self.marks or {})
        }
        return replace(self, marks=marks)


class DriftNoticeKind(Enum):
    """What a drift notice is about."""

    REGISTERED = "registered"  # new versions, whoever made them
    CHANGED = "changed"  # changes to stages or aliases, or deletions, made outside Registrar


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftNotice:
    """A message about a model's drift. `mend` is the version that should hold the stage, if a click can repair it.

    `versions` are the new ones, newest first; `lines` describe the changes.
    """

    id: str
    kind: DriftNoticeKind
    model: str
    at: datetime
    versions: tuple[int, ...] = ()
    lines: tuple[Sentence, ...] = ()
    by: Actor | None = None  # who registered it, if that was done through Registrar
    mend: int | None = None
    stage: Stage = Stage.PRODUCTION  # the stage of `mend`
    mended_by: Actor | None = None
    mended_at: datetime | None = None

    @property
    def is_repairable(self) -> bool:
        """Whether the notice's repair button can still be used."""
        return self.mend is not None and self.mended_at is None


def take_snapshot(
    model: ModelInfo, versions: Sequence[VersionInfo], at: datetime, last_transition: str | None
) -> RegistrySnapshot:
    """Return the snapshot of a model and its versions, as read from the registry."""
    return RegistrySnapshot(
        model=model.name,
        at=at,
        updated_at=model.updated_at,
        after=last_transition,
        aliases=dict(model.aliases),
        stages={version.version: version.stage for version in versions},
        created_at=model.created_at,
        marks={version.version: version.identity().fingerprint for version in versions},
        tags={version.version: digest for version in versions if (digest := tag_digest(version.tags))},
    )


def expected_snapshot(
    before: RegistrySnapshot, transitions: Sequence[Transition], aliases: Mapping[Stage, str]
) -> RegistrySnapshot:
    """Return the snapshot expected after our own finished transitions (oldest first) since `before`."""
    now = before
    for transition in transitions:
        if transition.state is TransitionState.DONE and transition.kind not in {
            TransitionKind.OBSERVED,
            TransitionKind.IMPORTED,
        }:
            now = snapshot_after(now, transition, aliases)
    return now


def transitions_since(transitions: Sequence[Transition], snapshot: RegistrySnapshot) -> list[Transition]:
    """Return the transitions that the snapshot doesn't include, oldest first. `transitions` is newest first.

    They're those after `snapshot.after`, and earlier ones that finished after the snapshot was taken.
    """
    index = next((at for at, transition in enumerate(transitions) if transition.id == snapshot.after), len(transitions))
    fresh, finished_later = (
        list(transitions[:index]),
        [
            transition
            for transition in transitions[index + 1 :]
            if (transition.finished_at or snapshot.at) > snapshot.at
        ],
    )
    fresh.reverse()
    return sorted([*finished_later, *fresh], key=transition_time) if finished_later else fresh


def snapshot_after(
    snapshot: RegistrySnapshot, transition: Transition, aliases: Mapping[Stage, str]
) -> RegistrySnapshot:
    """Return the snapshot expected after the transition."""
    stages, names = dict(snapshot.stages), dict(snapshot.aliases)
    if transition.target in TARGET_STAGES:
        if not transition.keep_existing:
            stages |= dict.fromkeys(snapshot.holders(transition.target), Stage.ARCHIVED)
        names[aliases[transition.target]] = transition.version
    stages[transition.version] = transition.target
    return replace(snapshot, stages=stages, aliases=names)


def drift_lines(
    before: RegistrySnapshot, expected: RegistrySnapshot, current: RegistrySnapshot, aliases: Mapping[Stage, str]
) -> list[Sentence]:
    """Return sentences about the changes that weren't made through Registrar.

    `expected` is `before` with our own transitions applied. An alias that was removed because its version left Staging
    is our own cleanup, so it isn't reported.
    """
    replaced = replaced_versions(before, current)
    lines = [_replaced_line(replaced)] if replaced else []
    for number, stage in sorted(current.stages.items()):
        old_stage = expected.stages.get(number, Stage.NONE)
        if stage is not old_stage:
            was, now = stage_label(old_stage), stage_label(stage)
            lines.append(say("{v} moved from {was} to {now}.", v=Code(f"v{number}"), was=was, now=now))
    lost = sorted(set(before.stages) - set(current.stages))
    lines += [_deleted_line(before, lost)] if lost else []
    for alias in sorted(set(expected.aliases) | set(current.aliases)):
        old, new = expected.aliases.get(alias), current.aliases.get(alias)
        if old != new and not _is_alias_cleanup(alias, old, new, current, aliases):
            was, now = _version_label(old), _version_label(new)
            lines.append(say("{alias} moved from {was} to {now}.", alias=Code(f"@{alias}"), was=was, now=now))
    if expected.holders(Stage.PRODUCTION) and not current.holders(Stage.PRODUCTION):
        lines.append(say("Production is empty now. Request a promotion: {how}", how=Code("/model promote")))
    return lines


def production_alias_change(
    expected: RegistrySnapshot, current: RegistrySnapshot, aliases: Mapping[Stage, str]
) -> dict[str, object]:
    """Return what the audit log records if Production's alias isn't where Registrar left it, or else an empty dict."""
    old, new = (snapshot.aliases.get(aliases[Stage.PRODUCTION]) for snapshot in (expected, current))
    return {} if old == new else {"production_alias": {"before": old, "after": new}}


def replaced_versions(before: RegistrySnapshot, current: RegistrySnapshot) -> list[int]:
    """Return the numbers that now belong to a different version."""
    old_fingerprints, new_fingerprints = before.marks or {}, current.marks or {}
    is_another_model = None not in {before.created_at, current.created_at} and before.created_at != current.created_at
    return sorted(
        number
        for number in old_fingerprints.keys() & new_fingerprints.keys()
        if is_another_model or old_fingerprints[number] != new_fingerprints[number]
    )


def _replaced_line(numbers: list[int]) -> Sentence:
    words = (
        "{which} isn't the same version anymore. It was recreated, its model was renamed, or its files moved."
        if len(numbers) == 1
        else "{which} aren't the same versions anymore. They were recreated, their model was renamed, or their "
        "files moved."
    )
    return say(words, which=_list_versions([f"v{number}" for number in numbers]))


def are_files_moved(old_fingerprints: Mapping[int, str], new_fingerprints: Mapping[int, str]) -> bool | None:
    """Return whether every version in both differs only in its source; None if they have no version in common.

    See `VersionIdentity.fingerprint`.
    """
    pairs = [
        (old_fingerprints[number].split("."), new_fingerprints[number].split("."))
        for number in old_fingerprints.keys() & new_fingerprints.keys()
    ]
    return all(old[0] == new[0] and old != new for old, new in pairs) if pairs else None


def is_registry_migrated(snapshots: Mapping[str, RegistrySnapshot], models: Iterable[ModelInfo]) -> bool:
    """Return whether the whole registry was migrated in place: all source URIs changed, and nothing else."""
    moved = [snapshot.has_moved_files(model) for model in models if (snapshot := snapshots.get(model.name))]
    return any(moved) and False not in moved


def registry_migrated_line(models: Sequence[ModelInfo]) -> Sentence:
    """Return the sentence for a migrated registry, with one version as an example."""
    source = next(iter(models[0].identities.values())).source
    return say(
        "The files of {n} moved, for example to {source}.",
        n=pluralize(len(models), "model"),
        source=Code(truncate(source, 200)),
    )


def _deleted_line(before: RegistrySnapshot, deleted: list[int]) -> Sentence:
    stages = [before.stages[number] for number in deleted]
    which = [
        f"v{n}" + (f" (in {stage})" if stage in TARGET_STAGES else "") for n, stage in zip(deleted, stages, strict=True)
    ]
    return say("{which} was deleted." if len(deleted) == 1 else "{which} were deleted.", which=_list_versions(which))


def _is_alias_cleanup(
    alias: str,
    old_version: int | None,
    new_version: int | None,
    current: RegistrySnapshot,
    aliases: Mapping[Stage, str],
) -> bool:
    """Return whether an alias disappeared only because its version left Staging or was deleted."""
    if new_version is not None or old_version is None:
        return False
    return old_version not in current.stages or (
        alias == aliases[Stage.STAGING] and current.stages[old_version] is not Stage.STAGING
    )


@dataclass(frozen=True, slots=True)
class StageConflict:
    """A stage with several versions or a misplaced alias: the message, and the version to keep in it."""

    stage: Stage
    sentence: Sentence
    holder: int


def stage_conflicts(
    snapshot: RegistrySnapshot, kept: Mapping[Stage, frozenset[int]], aliases: Mapping[Stage, str]
) -> list[StageConflict]:
    """Return a conflict for each stage that has several versions, unless requested, or whose alias points elsewhere.

    `kept` has the versions that requests with keep-existing left in each stage on purpose.
    """
    conflicts = []
    for stage in (Stage.PRODUCTION, Stage.STAGING):
        holders, alias = snapshot.holders(stage), aliases[stage]
        alias_version = snapshot.aliases.get(alias)
        unmeant = [number for number in holders if number not in kept.get(stage, frozenset())]
        if len(unmeant) > 1:
            holder = alias_version if alias_version in unmeant else unmeant[0]
            line = say(
                "{stage} has {n} versions: {which}. It should have only one.",
                stage=stage,
                n=len(holders),
                which=_list_versions([f"v{number}" for number in holders]),
            )
            conflicts.append(StageConflict(stage, line, holder))
        elif holders and alias_version is not None and alias_version not in holders:
            holder = (unmeant or holders)[0]
            line = say(
                "{alias} points to {named}, but {holder} is in {stage}.",
                alias=Code(f"@{alias}"),
                named=Code(f"v{alias_version}"),
                holder=Code(f"v{holder}"),
                stage=stage,
            )
            conflicts.append(StageConflict(stage, line, holder))
    return conflicts


def kept_holders(transitions: Iterable[Transition]) -> dict[Stage, frozenset[int]]:
    """Return the versions that our finished transitions (oldest first) left in a stage on purpose, by stage."""
    kept: dict[Stage, frozenset[int]] = {}
    holder: dict[Stage, int] = {}
    for transition in transitions:
        if transition.state is not TransitionState.DONE or transition.target not in TARGET_STAGES:
            continue
        before = kept.get(transition.target, frozenset())
        stays = holder.get(transition.target, transition.expected_incumbent) if transition.keep_existing else None
        kept[transition.target] = before | {stays} if transition.keep_existing and stays is not None else frozenset()
        holder[transition.target] = transition.version
    return kept


def stage_label(stage: Stage) -> str:
    """Name a stage in a sentence about a move."""
    return "no stage" if stage is Stage.NONE else str(stage)


def _version_label(number: int | None) -> Code | str:
    return "no version" if number is None else Code(f"v{number}")


def _list_versions(words: list[str]) -> list[str]:
    omitted = [f"{len(words) - MAX_LISTED_VERSIONS} more"] if len(words) > MAX_LISTED_VERSIONS else []
    return [*(Code(word) for word in words[:MAX_LISTED_VERSIONS]), *omitted]


def model_gone_message(model: str) -> Sentence:
    """Return the message about a deleted or renamed model."""
    return say("The model {model} was deleted or renamed in {product}.", model=Name(model))
