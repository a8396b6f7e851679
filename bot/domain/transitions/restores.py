"""Ledger and registry from different times: how a restored backup shows, and what's held until a person decides."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from bot.domain.audit.anchors import AnchoredHead
from bot.domain.core.actors import Actor, Automation
from bot.domain.core.sentence import Code, Name, Say, say
from bot.domain.registry.model import ModelInfo, Stage, VersionInfo
from bot.domain.transitions import drift
from bot.domain.transitions.drift import Look
from bot.domain.transitions.registry_tags import fingerprints, ours
from bot.domain.transitions.transition import UNFINISHED, Move

CHECKER = Automation("restore-check")
LINES_MOST = 50  # findings that a hold keeps as sentences; of more, the rest is counted
_NOTHING: frozenset[str] = frozenset()


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
    lines: tuple[Say, ...] = ()
    keys: tuple[str, ...] = ()
    lifted_at: datetime | None = None
    lifted_by: Actor | None = None
    outcome: str = ""  # "accepted" or "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One thing that no row of the ledger explains. `since`: when the ledger last recorded how the model looked.

    Strong traces are evidence by themselves. A weak one (a stage) can also come from somebody working in MLflow.
    """

    key: str
    kind: HoldKind
    line: Say
    since: datetime | None = None

    @property
    def is_strong(self) -> bool:
        """Tell whether this is evidence by itself."""
        return self.kind is not HoldKind.UNEXPLAINED


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One model: the last look at it, what the registry says now, our moves (newest first), and the tags we wrote.

    `info` is None where the registry has no such model. `written` has fingerprints by version (`mirror.fingerprints`).
    """

    look: Look
    info: ModelInfo | None
    versions: Sequence[VersionInfo]
    moves: Sequence[Move]
    written: Mapping[int, Collection[str]]


def traces(facts: Facts, aliases: Mapping[Stage, str]) -> list[Trace]:
    """Return what the registry shows of one model and the ledger can't explain, strong evidence first."""
    return [*_of_tags(facts), *_of_time(facts), *_of_stages(facts, aliases)]


def _of_tags(facts: Facts) -> Iterator[Trace]:
    """Yield one trace for each version with tags of ours that the ledger never wrote. Missing tags prove nothing."""
    seen, name = facts.look.tags, facts.look.model
    if seen is None:  # an older Registrar took this look
        return
    for version in facts.versions:
        known = {*seen.get(version.version, "").split(), *facts.written.get(version.version, _NOTHING)}
        prints = fingerprints(ours(version.tags))
        strange = {key: prints[key] for key in sorted(prints) if prints[key] not in known}
        if strange:
            line = say(
                "{model} {v} has tags in MLflow that this ledger never wrote: {tags}.",
                model=Name(name),
                v=Code(f"v{version.version}"),
                tags=[Code(key) for key in strange],
            )
            key = f"tags:{name}:{version.version}:{','.join(sorted(strange.values()))}"
            yield Trace(key=key, kind=HoldKind.LEDGER_RESTORED, line=line, since=facts.look.at)


def _of_time(facts: Facts) -> Iterator[Trace]:
    """Yield a trace where MLflow's last change of the model is older than one that was already seen."""
    now, seen = facts.info.updated_at if facts.info else None, facts.look.updated_at
    if now is None or seen is None or now >= seen:
        return
    line = say(
        "MLflow's last change of {model} is from {now}, but Registrar has already seen one from {seen}.",
        model=Name(facts.look.model),
        now=now,
        seen=seen,
    )
    key = f"time:{facts.look.model}:{seen.isoformat()}"
    yield Trace(key=key, kind=HoldKind.REGISTRY_RESTORED, line=line, since=facts.look.at)


def _of_stages(facts: Facts, aliases: Mapping[Stage, str]) -> Iterator[Trace]:
    """Yield a trace for each version in a stage that neither finished nor interrupted moves of ours explain."""
    look, there = facts.look, {one.version: one.stage for one in facts.versions}
    if facts.info is None:
        line = say("The model {model} isn't in MLflow.", model=Name(look.model))
        yield Trace(key=f"gone:{look.model}", kind=HoldKind.UNEXPLAINED, line=line, since=look.at)
        return
    expected = drift.expected(look, drift.since(facts.moves, look), aliases)
    halfway = [drift.after(expected, move, aliases).stages for move in facts.moves if _may_have_moved(move)]
    for number in sorted({*expected.stages, *there}):
        was, now = expected.stages.get(number, Stage.NONE), there.get(number)
        if now is was or any(stages.get(number) is now for stages in halfway):
            continue
        where = say("isn't in MLflow") if now is None else say("is in {stage} in MLflow", stage=_or_none(now))
        line = say(
            "{model} {v} {where}; by this ledger it's in {was}.",
            model=Name(look.model),
            v=Code(f"v{number}"),
            where=where,
            was=_or_none(was),
        )
        key = f"stage:{look.model}:{number}:{was.value}:{now.value if now else 'gone'}"
        yield Trace(key=key, kind=HoldKind.UNEXPLAINED, line=line, since=look.at)


def _may_have_moved(move: Move) -> bool:
    """Tell whether an interrupted try of an unfinished move may have reached the registry."""
    return move.state in UNFINISHED and move.began_at is not None


def _or_none(stage: Stage) -> str:
    return "no stage" if stage is Stage.NONE else str(stage)


def of_anchor(last: AnchoredHead, known: str | None) -> Trace | None:
    """Return a trace where the audit lacks the anchored event; `known` is the hash that it has at that number."""
    if known == last.hash:
        return None
    line = say(
        "The anchor file ends with audit event {number} (hash {hash}), which this ledger doesn't have.",
        number=last.number,
        hash=Code(last.hash[:12]),
    )
    return Trace(key=f"anchor:{last.number}:{last.hash}", kind=HoldKind.LEDGER_RESTORED, line=line)


def news(found: Sequence[Trace], holds: Sequence[Hold], *, has_work: bool) -> list[Trace]:
    """Return the traces that call for a hold: none that an earlier hold reported, and weak ones only with others.

    A hold that is older than the last look at the model says nothing: what it reported was looked at since.
    `has_work`: something waits that would be executed without a person.
    """
    fresh = [one for one in found if not any(_reports(hold, one) for hold in holds)]
    return fresh if has_work or any(one.is_strong for one in fresh) else []


def _reports(hold: Hold, trace: Trace) -> bool:
    return trace.key in hold.keys and (trace.since is None or hold.at >= trace.since)


def kind_of(found: Sequence[Trace]) -> HoldKind:
    """Return what the traces point to: the first strong one decides."""
    return next((one.kind for one in found if one.is_strong), HoldKind.UNEXPLAINED)


def is_known_bad(version: VersionInfo, written: Collection[str]) -> bool:
    """Tell whether MLflow's tags say that the version was rolled back, by a rollback that the ledger doesn't have.

    One that was put into Production again after that isn't bad.
    """
    date = version.tags.get("rollback_date")
    if date is None or fingerprints({"rollback_date": date})["rollback_date"] in written:
        return False
    return all(version.tags.get(key, "") <= date for key in ("production_date", "restoration_date"))
