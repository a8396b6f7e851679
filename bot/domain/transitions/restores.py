"""Ledger and registry from different times: how a restored backup shows, and what's held until a person decides."""

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
MAX_STORED_LINES = 50  # findings that a hold keeps as sentences; of more, the rest is counted
_NO_FINGERPRINTS: frozenset[str] = frozenset()


class HoldKind(Enum):
    """Why work is held."""

    LEDGER_RESTORED = "ledger_restored"  # MLflow or the anchor knows what the ledger doesn't
    REGISTRY_RESTORED = "registry_restored"  # MLflow has forgotten what the ledger has seen
    UNEXPLAINED = "unexplained"  # only stages differ, and work was waiting
    REGISTRY_MIGRATED = "registry_migrated"  # every source URI changed at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A discrepancy between ledger and registry. Until it's lifted, no work from before it is executed.

    `lines` say what was found; `keys` identify the same findings, so that a restart doesn't report them again.
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
    """One thing that no row of the ledger explains. `since`: when the ledger last recorded how the model looked.

    Strong traces are evidence by themselves. A weak one (a stage) can also come from somebody working in MLflow.
    """

    key: str
    kind: HoldKind
    sentence: Sentence
    since: datetime | None = None

    @property
    def is_strong(self) -> bool:
        """Tell whether this is evidence by itself."""
        return self.kind is not HoldKind.UNEXPLAINED


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreFacts:
    """One model: the last look at it, what the registry says now, our moves (newest first), and the tags we wrote.

    `info` is None where the registry has no such model. `written` has fingerprints by version (`mirror.fingerprints`).
    """

    snapshot: RegistrySnapshot
    model: ModelInfo | None
    versions: Sequence[VersionInfo]
    transitions: Sequence[Transition]
    written_fingerprints: Mapping[int, Collection[str]]


def find_discrepancies(facts: RestoreFacts, aliases: Mapping[Stage, str]) -> list[Discrepancy]:
    """Return what the registry shows of one model and the ledger can't explain, strong evidence first."""
    return [*_tag_discrepancies(facts), *_time_discrepancies(facts), *_stage_discrepancies(facts, aliases)]


def _tag_discrepancies(facts: RestoreFacts) -> Iterator[Discrepancy]:
    """Yield one trace for each version with tags of ours that the ledger never wrote. Missing tags prove nothing."""
    seen, name = facts.snapshot.tags, facts.snapshot.model
    if seen is None:  # an older Registrar took this look
        return
    for version in facts.versions:
        known = {
            *seen.get(version.version, "").split(),
            *facts.written_fingerprints.get(version.version, _NO_FINGERPRINTS),
        }
        prints = tag_fingerprints(ledger_tags(version.tags))
        strange = {key: prints[key] for key in sorted(prints) if prints[key] not in known}
        if strange:
            line = say(
                "{model} {v} has tags in MLflow that this ledger never wrote: {tags}.",
                model=Name(name),
                v=Code(f"v{version.version}"),
                tags=[Code(key) for key in strange],
            )
            key = f"tags:{name}:{version.version}:{','.join(sorted(strange.values()))}"
            yield Discrepancy(key=key, kind=HoldKind.LEDGER_RESTORED, sentence=line, since=facts.snapshot.at)


def _time_discrepancies(facts: RestoreFacts) -> Iterator[Discrepancy]:
    """Yield a trace where MLflow's last change of the model is older than one that was already seen."""
    now, seen = facts.model.updated_at if facts.model else None, facts.snapshot.updated_at
    if now is None or seen is None or now >= seen:
        return
    line = say(
        "MLflow's last change of {model} is from {now}, but Registrar has already seen one from {seen}.",
        model=Name(facts.snapshot.model),
        now=now,
        seen=seen,
    )
    key = f"time:{facts.snapshot.model}:{seen.isoformat()}"
    yield Discrepancy(key=key, kind=HoldKind.REGISTRY_RESTORED, sentence=line, since=facts.snapshot.at)


def _stage_discrepancies(facts: RestoreFacts, aliases: Mapping[Stage, str]) -> Iterator[Discrepancy]:
    """Yield a trace for each version in a stage that neither finished nor interrupted moves of ours explain."""
    look, there = facts.snapshot, {one.version: one.stage for one in facts.versions}
    if facts.model is None:
        line = say("The model {model} isn't in MLflow.", model=Name(look.model))
        yield Discrepancy(key=f"gone:{look.model}", kind=HoldKind.UNEXPLAINED, sentence=line, since=look.at)
        return
    expected = drift.expected_snapshot(look, drift.transitions_since(facts.transitions, look), aliases)
    halfway = [
        drift.snapshot_after(expected, move, aliases).stages
        for move in facts.transitions
        if _may_have_reached_registry(move)
    ]
    for number in sorted({*expected.stages, *there}):
        was, now = expected.stages.get(number, Stage.NONE), there.get(number)
        if now is was or any(stages.get(number) is now for stages in halfway):
            continue
        where = say("isn't in MLflow") if now is None else say("is in {stage} in MLflow", stage=_stage_label(now))
        line = say(
            "{model} {v} {where}; by this ledger it's in {was}.",
            model=Name(look.model),
            v=Code(f"v{number}"),
            where=where,
            was=_stage_label(was),
        )
        key = f"stage:{look.model}:{number}:{was.value}:{now.value if now else 'gone'}"
        yield Discrepancy(key=key, kind=HoldKind.UNEXPLAINED, sentence=line, since=look.at)


def _may_have_reached_registry(transition: Transition) -> bool:
    """Tell whether an interrupted try of an unfinished move may have reached the registry."""
    return transition.state in UNFINISHED_STATES and transition.began_at is not None


def _stage_label(stage: Stage) -> str:
    return "no stage" if stage is Stage.NONE else str(stage)


def anchor_discrepancy(anchored_head: AnchoredHead, known_hash: str | None) -> Discrepancy | None:
    """Return a trace where the audit lacks the anchored event; `known` is the hash that it has at that number."""
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
    """Return the traces that call for a hold: none that an earlier hold reported, and weak ones only with others.

    A hold that is older than the last look at the model says nothing: what it reported was looked at since.
    `has_work`: something waits that would be executed without a person.
    """
    fresh = [one for one in discrepancies if not any(_is_reported_by(hold, one) for hold in holds)]
    return fresh if has_pending_work or any(one.is_strong for one in fresh) else []


def _is_reported_by(hold: Hold, discrepancy: Discrepancy) -> bool:
    return discrepancy.key in hold.keys and (discrepancy.since is None or hold.at >= discrepancy.since)


def hold_kind(discrepancies: Sequence[Discrepancy]) -> HoldKind:
    """Return what the traces point to: the first strong one decides."""
    return next((one.kind for one in discrepancies if one.is_strong), HoldKind.UNEXPLAINED)


def is_rolled_back_in_registry(version: VersionInfo, written_fingerprints: Collection[str]) -> bool:
    """Tell whether MLflow's tags say that the version was rolled back, by a rollback that the ledger doesn't have.

    One that was put into Production again after that isn't bad.
    """
    date = version.tags.get("rollback_date")
    if date is None or tag_fingerprints({"rollback_date": date})["rollback_date"] in written_fingerprints:
        return False
    return all(version.tags.get(key, "") <= date for key in ("production_date", "restoration_date"))
