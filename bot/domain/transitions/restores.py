"""Restored backups: how to detect that the ledger and registry are from different times, and what to hold."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from bot.domain.audit.anchors import AnchoredHead
from bot.domain.core.actors import Actor, Automation
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.registry.model import ModelInfo, Stage, VersionInfo
from bot.domain.transitions import drift
from bot.domain.transitions.drift import RegistrySnapshot
from bot.domain.transitions.registry_tags import ledger_tags, tag_fingerprints
from bot.domain.transitions.transition import UNFINISHED_STATES, Transition

RESTORE_CHECKER = Automation("restore-check")
MAX_STORED_LINES = 50  # discrepancies that a hold stores as sentences; the others are counted
_NO_FINGERPRINTS: frozenset[str] = frozenset()


class HoldKind(Enum):
    """Why work is held."""

    LEDGER_RESTORED = "ledger_restored"  # MLflow or an anchor has something that the ledger lacks
    REGISTRY_RESTORED = "registry_restored"  # MLflow lacks something that the ledger has
    UNEXPLAINED = "unexplained"  # only stages differ, and work was pending
    REGISTRY_MIGRATED = "registry_migrated"  # every source URI changed at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A hold on pending work, because the ledger and registry disagree. Until it's lifted, no earlier work runs.

    `lines` describe the discrepancies; `keys` identify them, so a restart doesn't report them again.
    """

    id: str
    kind: HoldKind
    at: datetime
    lines: tuple[Sentence, ...] = ()
    keys: tuple[str, ...] = ()
    lifted_at: datetime | None = None
    lifted_by: Actor | None = None
    outcome: str = ""  # "accepted" or "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """A fact that the ledger can't explain. `since` is when the ledger last recorded a snapshot of the model.

    A strong discrepancy is evidence on its own. A weak one (a stage) can also be a change that someone made in MLflow.
    """

    key: str
    kind: HoldKind
    sentence: Sentence
    since: datetime | None = None

    @property
    def is_strong(self) -> bool:
        """Whether this is evidence on its own."""
        return self.kind is not HoldKind.UNEXPLAINED


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreFacts:
    """One model: its last snapshot, its registry state now, our transitions (newest first), and the tags we wrote.

    `model` is None if the registry has no such model. `written_fingerprints` has the fingerprints (see
    `tag_fingerprints`) of the tags we wrote, by version.
    """

    snapshot: RegistrySnapshot
    model: ModelInfo | None
    versions: Sequence[VersionInfo]
    transitions: Sequence[Transition]
    written_fingerprints: Mapping[int, Collection[str]]


def find_discrepancies(facts: RestoreFacts, aliases: Mapping[Stage, str]) -> list[Discrepancy]:
    """Return one model's discrepancies, strong evidence first."""
    return [*_tag_discrepancies(facts), *_time_discrepancies(facts), *_stage_discrepancies(facts, aliases)]


def _tag_discrepancies(facts: RestoreFacts) -> Iterator[Discrepancy]:
    """Yield a discrepancy for each version that has tags of ours the ledger never wrote. Missing tags prove nothing."""
    seen_tags, name = facts.snapshot.tags, facts.snapshot.model
    if seen_tags is None:  # a snapshot of an older release
        return
    for version in facts.versions:
        written = facts.written_fingerprints.get(version.version, _NO_FINGERPRINTS)
        known_fingerprints = {*seen_tags.get(version.version, "").split(), *written}
        prints = tag_fingerprints(ledger_tags(version.tags))
        if strange := {key: prints[key] for key in sorted(prints) if prints[key] not in known_fingerprints}:
            line = say(
                "{model} {v} has tags in {product} that this ledger never wrote: {tags}.",
                model=Name(name),
                v=Code(f"v{version.version}"),
                tags=[Code(key) for key in strange],
            )
            key = f"tags:{name}:{version.version}:{','.join(sorted(strange.values()))}"
            yield Discrepancy(key=key, kind=HoldKind.LEDGER_RESTORED, sentence=line, since=facts.snapshot.at)


def _time_discrepancies(facts: RestoreFacts) -> Iterator[Discrepancy]:
    """Yield a discrepancy if the model's last change in MLflow is older than one that Registrar has already seen."""
    now, seen = facts.model.updated_at if facts.model else None, facts.snapshot.updated_at
    if now is None or seen is None or now >= seen:
        return
    line = say(
        "{product} says {model} last changed at {now}, but Registrar has seen a later change, at {seen}.",
        model=Name(facts.snapshot.model),
        now=now,
        seen=seen,
    )
    key = f"time:{facts.snapshot.model}:{seen.isoformat()}"
    yield Discrepancy(key=key, kind=HoldKind.REGISTRY_RESTORED, sentence=line, since=facts.snapshot.at)


def _stage_discrepancies(facts: RestoreFacts, aliases: Mapping[Stage, str]) -> Iterator[Discrepancy]:
    """Yield a discrepancy for each version whose stage our finished or interrupted transitions don't explain.

    If the registry doesn't have the model, yield a single discrepancy.
    """
    snapshot, current_stages = facts.snapshot, {version.version: version.stage for version in facts.versions}
    if facts.model is None:
        line = say("The model {model} isn't in {product}.", model=Name(snapshot.model))
        yield Discrepancy(key=f"gone:{snapshot.model}", kind=HoldKind.UNEXPLAINED, sentence=line, since=snapshot.at)
        return
    expected = drift.expected_snapshot(snapshot, drift.transitions_since(facts.transitions, snapshot), aliases)
    halfway = [
        drift.snapshot_after(expected, transition, aliases).stages
        for transition in facts.transitions
        if transition.state in UNFINISHED_STATES and transition.began_at is not None  # an interrupted attempt
    ]
    for number in sorted({*expected.stages, *current_stages}):
        expected_stage, now = expected.stages.get(number, Stage.NONE), current_stages.get(number)
        if now is expected_stage or any(stages.get(number) is now for stages in halfway):
            continue
        where = (
            say("isn't in {product}")
            if now is None
            else say("is in {stage} in {product}", stage=drift.stage_label(now))
        )
        line = say(
            "{model} {v} {where}, but this ledger has it in {was}.",
            model=Name(snapshot.model),
            v=Code(f"v{number}"),
            where=where,
            was=drift.stage_label(expected_stage),
        )
        key = f"stage:{snapshot.model}:{number}:{expected_stage.value}:{now.value if now else 'gone'}"
        yield Discrepancy(key=key, kind=HoldKind.UNEXPLAINED, sentence=line, since=snapshot.at)


def anchor_discrepancy(anchored_head: AnchoredHead, known_hash: str | None) -> Discrepancy | None:
    """Return a discrepancy if the audit log lacks the anchored event; `known_hash` is its hash at that number."""
    if known_hash == anchored_head.hash:
        return None
    line = say(
        "The anchor file ends with audit event {number} (hash {hash}), which this ledger doesn't have.",
        number=anchored_head.number,
        hash=Code(anchored_head.hash[:12]),
    )
    return Discrepancy(
        key=f"anchor:{anchored_head.number}:{anchored_head.hash}", kind=HoldKind.LEDGER_RESTORED, sentence=line
    )


def new_discrepancies(
    discrepancies: Sequence[Discrepancy], holds: Sequence[Hold], *, has_pending_work: bool
) -> list[Discrepancy]:
    """Return the discrepancies that justify a hold, except those that an earlier hold reported.

    Weak ones justify a hold only if there's also a strong one, or if `has_pending_work`: work that would run without a
    person. A hold older than the model's last snapshot doesn't count, because what it reported has been reviewed since.
    """
    fresh = [
        found
        for found in discrepancies
        if not any(found.key in hold.keys and (found.since is None or hold.at >= found.since) for hold in holds)
    ]
    return fresh if has_pending_work or any(discrepancy.is_strong for discrepancy in fresh) else []


def hold_kind(discrepancies: Sequence[Discrepancy]) -> HoldKind:
    """Return the kind of the first strong discrepancy, or `UNEXPLAINED` if there is none."""
    return next((discrepancy.kind for discrepancy in discrepancies if discrepancy.is_strong), HoldKind.UNEXPLAINED)


def is_rolled_back_in_registry(version: VersionInfo, written_fingerprints: Collection[str]) -> bool:
    """Return whether MLflow's tags record a rollback of this version that the ledger doesn't have.

    It doesn't count if the version was promoted or restored to Production after that rollback.
    """
    date = version.tags.get("rollback_date")
    if date is None or tag_fingerprints({"rollback_date": date})["rollback_date"] in written_fingerprints:
        return False
    return all(version.tags.get(key, "") <= date for key in ("production_date", "restoration_date"))
