"""The semantic version that is proposed for a new version, and the sentences that say why.

The rules compare two builds: what callers see (signature, algorithm, flavors) and how they were trained. What is not
known of a build is said and raises nothing: a missing signature is no proof of a break. Nothing here reads MLflow.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain

from semver import Version

from bot.domain.registry import Column, Signature, Stage
from bot.domain.text import Code, Say, say, short

FIRST = "1.0.0"
LISTED = 5  # names in one sentence; of more, the rest is counted
REASONS = 10  # sentences of one proposal; of more, the rest is counted
_LONGEST = 256  # characters of a semver, as in npm: beyond, it is no number that anybody meant
_NAME_MOST = 80  # characters of one name or type in a sentence


class Bump(Enum):
    """Which part of the number goes up, the weightiest first."""

    MAJOR = "major"  # callers may break, or it is another kind of model
    MINOR = "minor"  # callers go on as they did, and there is more or better
    PATCH = "patch"  # anything else: trained again, fixed, tidied


IsBetter = Callable[[str, float, float], bool]  # metric, new value, old value
Change = tuple[Bump, Say]


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What the rules look at. Empty means not known, but for `params` and `metrics`: a run may well log none."""

    signature: Signature | None = None
    flavors: frozenset[str] | tuple[str, ...] = ()
    algorithm: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What a new version is compared with: the one in Production, else the one with the highest semver."""

    version: int
    stage: Stage
    semver: str | None
    build: Build


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A semver and why: `reasons` is never empty and starts with what weighs most."""

    semver: str
    bump: Bump | None  # None for the first version
    reasons: tuple[Say, ...]
    against: int | None  # the version that it was compared with
    overridden: bool  # a person chose the bump, whether or not the rules agree


def parse_semver(text: str) -> Version | None:
    """Return the semver that `text` means, or None. Spaces around it and a leading `v` are allowed: people write both.

    A prerelease or build part is kept; parts missing (`1.2`) or written with leading zeros make it no semver.
    """
    word = text.strip()
    if len(word) > _LONGEST:
        return None
    try:
        return Version.parse(word[1:] if word[:1] in {"v", "V"} else word)
    except ValueError:
        return None


def highest(taken: Iterable[str]) -> str | None:
    """Return the highest semver among `taken` as it is written there, or None where none of them is a semver.

    MAJOR.MINOR.PATCH decides: `1.2.0-rc.1` holds the number 1.2.0 and is lower than 1.2.0 only.
    """
    known = [(_core(number), number, text) for text in taken if (number := parse_semver(text))]
    return max(known)[2] if known else None


def changes(new: Build, old: Build, is_better: IsBetter, *, called: object = "the version before") -> list[Change]:
    """Return what `new` changes over `old`, the weightiest first, and last what could not be compared (as PATCH).

    `is_better(metric, a, b)` tells whether `a` is better than `b`; it is never asked about NaN. `called` is what
    sentences call `old`. Two builds that are the same and fully known give an empty list.
    """
    gaps = [(Bump.PATCH, gap) for gap in _gaps(new, old, called)]
    return _found(new, old, is_better) + gaps


def propose(
    new: Build, base: Base | None, taken: Iterable[str], *, override: Bump | None = None, is_better: IsBetter
) -> Proposal:
    """Return the semver for `new`: the highest of `taken` and of the base's, raised by what changed over `base`.

    `override` is the bump a person chose; the reasons then tell what the rules say, too. Where nothing is taken it is
    1.0.0 in any case: there is no number to raise, and every model starts alike. See `changes` for `is_better`.
    """
    top = highest([*taken, *([base.semver] if base and base.semver else [])])
    if top is None:
        return _first(override)
    rule, reasons = _ruled(new, base, is_better)
    bump = override or rule
    if override:
        reasons.insert(0, _asked(override, rule))
    if base and _is_ahead(top, base):
        reasons.append(say("{top} is taken already, so the number goes on from there", top=Code(_plain(top))))
    return Proposal(
        semver=_raised(top, bump), bump=bump, reasons=_cut(reasons), against=base.version if base else None,
        overridden=override is not None,
    )  # fmt: skip


# --- The number


def _core(number: Version) -> tuple[int, int, int]:
    return number.major, number.minor, number.patch


def _plain(top: str) -> str:
    number = parse_semver(top)
    assert number is not None  # it is one that `highest` chose
    return str(Version(*_core(number)))


def _raised(top: str, bump: Bump) -> str:
    # From the core: a prerelease would be raised to its own release, and that number counts as taken.
    return str(Version.parse(_plain(top)).next_version(bump.value))


def _is_ahead(top: str, base: Base) -> bool:
    return base.semver is None or highest([base.semver]) is None or _plain(base.semver) != _plain(top)


# --- The proposal's reasons


def _first(override: Bump | None) -> Proposal:
    reasons = [say("no version of this model has a semver yet, and the first one is {first}", first=Code(FIRST))]
    if override:
        reasons.append(
            say("{bump} was asked for, but there is no number before this one to raise", bump=override.value)
        )
    return Proposal(semver=FIRST, bump=None, reasons=tuple(reasons), against=None, overridden=False)


def _ruled(new: Build, base: Base | None, is_better: IsBetter) -> tuple[Bump, list[Say]]:
    if base is None:
        return Bump.PATCH, [say("there is no version to compare it with")]
    called = _called(base)
    found = _found(new, base.build, is_better) or [(Bump.PATCH, _same(new, base.build, called))]
    return found[0][0], [*(sentence for _, sentence in found), *_gaps(new, base.build, called)]


def _asked(override: Bump, rule: Bump) -> Say:
    if override is rule:
        return say("{bump} was asked for, as the rules say", bump=override.value)
    return say("{bump} was asked for; the rules say {rule}", bump=override.value, rule=rule.value)


def _called(base: Base) -> object:
    v = Code(f"v{base.version}")
    return say("Production {v}", v=v) if base.stage is Stage.PRODUCTION else v


def _same(new: Build, old: Build, called: object) -> Say:
    facts = [what for what, ours, theirs in _facts(new, old) if ours and theirs]
    together = f"{', '.join(facts)} and parameters" if facts else "parameters"
    return say("{facts} are the same as in {old}", facts=together, old=called)


def _cut(reasons: Sequence[Say]) -> tuple[Say, ...]:
    if len(reasons) <= REASONS:
        return tuple(reasons)
    return (*reasons[:REASONS], say("and {n} more", n=len(reasons) - REASONS))


# --- What is not known


def _facts(new: Build, old: Build) -> list[tuple[str, object, object]]:
    """Return each fact that may be missing, of both sides. A signature may leave out its inputs or its outputs."""
    facts: list[tuple[str, object, object]] = [("signature", new.signature, old.signature)]
    if new.signature and old.signature:
        facts = [
            ("inputs", new.signature.inputs, old.signature.inputs),
            ("outputs", new.signature.outputs, old.signature.outputs),
        ]
    return [*facts, ("algorithm", new.algorithm, old.algorithm), ("flavors", new.flavors, old.flavors)]


def _gaps(new: Build, old: Build, called: object) -> Iterator[Say]:
    for what, ours, theirs in _facts(new, old):
        then = {"signature": "inputs and outputs", "algorithm": "algorithms"}.get(what, what)
        if not ours and not theirs:
            yield say("neither version logged any {what}, so {then} could not be compared", what=what, then=then)
        elif not ours or not theirs:
            who = called if ours else "the new version"
            yield say("{who} logged no {what}, so {then} could not be compared", who=who, what=what, then=then)


# --- What changed


def _found(new: Build, old: Build, is_better: IsBetter) -> list[Change]:
    found = [*_signature(new, old), *_kind(new, old), *_training(new, old, is_better)]
    weight = list(Bump).index
    return sorted(found, key=lambda change: weight(change[0]))


class _Shift(Enum):
    """What can happen to one column."""

    REMOVED = "removed"
    RETYPED = "retyped"
    REQUIRED = "required"  # it was optional
    OPTIONAL = "optional"  # it was required
    ADDED_REQUIRED = "added_required"
    ADDED = "added"


_Rules = Mapping[_Shift, tuple[Bump, str]]
_INPUTS: _Rules = {
    _Shift.REMOVED: (Bump.MAJOR, "{it} {was} removed"),
    _Shift.RETYPED: (Bump.MAJOR, "{it} changed from {old} to {new}"),
    _Shift.REQUIRED: (Bump.MAJOR, "{it} {be} required now"),
    # MLflow infers nearly every column as required; so would each new feature be MAJOR, and the number say little.
    _Shift.ADDED_REQUIRED: (Bump.MINOR, "{it} {was} added and {be} required"),
    _Shift.ADDED: (Bump.MINOR, "{it} {was} added"),
    _Shift.OPTIONAL: (Bump.PATCH, "{it} {be} optional now"),
}
_OUTPUTS: _Rules = {
    _Shift.REMOVED: (Bump.MAJOR, "{it} {was} removed"),
    _Shift.RETYPED: (Bump.MAJOR, "{it} changed from {old} to {new}"),
    _Shift.OPTIONAL: (Bump.MAJOR, "{it} may be missing now"),
    _Shift.ADDED_REQUIRED: (Bump.MAJOR, "{it} {was} added"),
    _Shift.ADDED: (Bump.MAJOR, "{it} {was} added"),
    _Shift.REQUIRED: (Bump.PATCH, "{it} {be} always there now"),  # what it gives is the same, and promised
}


def _signature(new: Build, old: Build) -> Iterator[Change]:
    ours, theirs = new.signature, old.signature
    if ours is None or theirs is None:
        return
    if ours.inputs and theirs.inputs:
        yield from _columns("input", ours.inputs, theirs.inputs, _INPUTS)
    if ours.outputs and theirs.outputs:
        yield from _columns("output", ours.outputs, theirs.outputs, _OUTPUTS)
    # Callers hand these over like inputs; none at all is a fact here, not a gap.
    yield from _columns("prediction parameter", ours.params, theirs.params, _INPUTS)


def breaks(new: Signature, old: Signature) -> list[Say]:
    """Return why callers of `old` cannot go on with `new`, one sentence each.

    An input that was added and is required breaks them too, although it raises the semver by MINOR only: the number
    tells what is new, this whether what was accepted still is.
    """
    found = [*_signature(Build(signature=new), Build(signature=old))]
    added = [*_columns("input", new.inputs, old.inputs, _NEEDED)] if new.inputs and old.inputs else []
    added += _columns("prediction parameter", new.params, old.params, _NEEDED)
    return [sentence for bump, sentence in [*found, *added] if bump is Bump.MAJOR]


_NEEDED: _Rules = {_Shift.ADDED_REQUIRED: (Bump.MAJOR, "{it} {was} added and {be} required")}


def _columns(kind: str, new: Sequence[Column], old: Sequence[Column], rules: _Rules) -> Iterator[Change]:
    """Yield one change for all columns that shifted alike, in the order of `rules`."""
    ours, theirs = _keyed(new), _keyed(old)
    is_alone = len(ours) == len(theirs) == 1
    alike: dict[tuple[_Shift, str, str], list[object]] = {}
    for key in dict.fromkeys(chain(theirs, ours)):
        for group in _shifts(ours.get(key), theirs.get(key)):
            alike.setdefault(group, []).append(_label(key, is_alone))
    for shift, (bump, template) in rules.items():
        for (what, before, after), labels in alike.items():
            if what is shift:
                yield bump, _column_sentence(template, kind, labels, before, after)


def _keyed(columns: Iterable[Column]) -> dict[tuple[str, int], Column]:
    """Return the columns by name and by how often it came before: so unnamed ones are compared by position."""
    uses: Counter[str] = Counter()
    keyed = {}
    for column in columns:
        keyed[column.name, uses[column.name]] = column
        uses[column.name] += 1
    return keyed


def _shifts(new: Column | None, old: Column | None) -> Iterator[tuple[_Shift, str, str]]:
    if old is None:
        assert new is not None
        yield (_Shift.ADDED_REQUIRED if new.required else _Shift.ADDED), "", ""
    elif new is None:
        yield _Shift.REMOVED, "", ""
    else:
        if new.type != old.type:
            yield _Shift.RETYPED, old.type, new.type
        if new.required != old.required:
            yield (_Shift.REQUIRED if new.required else _Shift.OPTIONAL), "", ""


def _label(key: tuple[str, int], is_alone: bool) -> object:
    name, nth = key
    if name:
        return _code(name)
    return "" if is_alone else str(nth + 1)


def _column_sentence(template: str, kind: str, labels: Sequence[object], before: str, after: str) -> Say:
    is_one = len(labels) == 1
    it: object = say("{kind} {these}", kind=kind if is_one else f"{kind}s", these=_listed(labels))
    if labels == [""]:
        it = kind  # "output changed from double to long": there is only the one
    return say(template, it=it, was="was" if is_one else "were", be="is" if is_one else "are",
               old=_word(before), new=_word(after))  # fmt: skip


def _kind(new: Build, old: Build) -> Iterator[Change]:
    if new.algorithm and old.algorithm and new.algorithm != old.algorithm:
        yield (
            Bump.MAJOR,
            say("algorithm changed from {old} to {new}", old=_word(old.algorithm), new=_word(new.algorithm)),
        )
    ours, theirs = sorted(set(new.flavors)), sorted(set(old.flavors))
    if ours and theirs and ours != theirs:
        what = "flavor" if len(ours) == len(theirs) == 1 else "flavors"
        before, after = (_listed([_word(one) for one in side]) for side in (theirs, ours))
        yield Bump.MAJOR, say("{what} changed from {old} to {new}", what=what, old=before, new=after)


def _training(new: Build, old: Build, is_better: IsBetter) -> Iterator[Change]:
    names = sorted(key for key in {*new.params, *old.params} if new.params.get(key) != old.params.get(key))
    if not names:
        return
    what, these = "parameter" if len(names) == 1 else "parameters", _listed([_code(name) for name in names])
    if better := _improved(new.metrics, old.metrics, is_better):
        yield Bump.MINOR, say("{what} {these} changed and {gain}", what=what, these=these, gain=_listed(better))
    elif new.metrics.keys() & old.metrics.keys():
        yield Bump.PATCH, say("{what} {these} changed and no metric improved", what=what, these=these)
    else:
        yield Bump.PATCH, say("{what} {these} changed, and no metric could be compared", what=what, these=these)


def _improved(new: Mapping[str, float], old: Mapping[str, float], is_better: IsBetter) -> list[Say]:
    better = []
    for metric in sorted(new.keys() & old.keys()):
        ours, theirs = new[metric], old[metric]
        # Equal values are asked about no more than NaN: "rose from 0.8 to 0.8" is no reason.
        if not (math.isnan(ours) or math.isnan(theirs) or ours == theirs) and is_better(metric, ours, theirs):
            better.append(_moved(metric, ours, theirs))
    return better


def _moved(metric: str, new: float, old: float) -> Say:
    before, after = f"{old:.6g}", f"{new:.6g}"
    if before == after:  # they differ, so that has to be seen
        before, after = repr(float(old)), repr(float(new))
    verb = "rose" if new > old else "fell"
    return say("{metric} {verb} from {old} to {new}", metric=_code(metric), verb=verb, old=before, new=after)


# --- Words from outside


def _code(name: str) -> Code:
    return Code(short(name, _NAME_MOST))


def _word(text: str) -> str:
    """Return MLflow's word as it is; set apart where it has signs that Slack could read as markup."""
    return text if text.isalnum() and len(text) <= _NAME_MOST else _code(text)


def _listed(items: Sequence[object]) -> object:
    if len(items) <= LISTED:
        return list(items)
    return say("{these} and {n} more", these=list(items[:LISTED]), n=len(items) - LISTED)
