"""What changes for whoever calls a model: one version's signature beside another's. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from typing import Any

from bot.domain.core.sentence import Code, Say, joined, pack, say, short, unpack
from bot.domain.registry.model import Column, Package, Signature

KEPT = 20  # changes that a request keeps; of more, the rest is counted
LISTED = 5  # names in one sentence; of more, the rest is counted
BREAKS = 3  # breaking changes that one sentence names
_NAME_MOST = 80  # characters of one name or type in a sentence


class Effect(Enum):
    """What a change does to callers, the worst first."""

    BREAKS = "breaks"  # calls that worked fail, or get another answer than before
    ADDS = "adds"  # calls still work, and can say more
    FITS = "fits"  # calls still work


@dataclass(frozen=True, slots=True)
class CallerChange:
    """One change for callers, in a sentence without an end."""

    effect: Effect
    says: Say


@dataclass(frozen=True, slots=True, kw_only=True)
class ForCallers:
    """What a move changes for those who call the stage's version, as it was known when the request was opened.

    `more` counts the changes beyond `changes`. `unknown` says why they couldn't be compared, `way_back` why no
    automatic rollback can undo the move; both are None where there's nothing to say.
    """

    changes: tuple[CallerChange, ...] = ()
    more: int = 0
    unknown: Say | None = None
    way_back: Say | None = None

    def says(self, *effects: Effect) -> list[Say]:
        """Return the changes with one of these effects."""
        return [change.says for change in self.changes if change.effect in effects]


def for_callers(new: Package | None, old: Package | None, version: int, incumbent: int) -> ForCallers:
    """Return what `version` changes for callers of `incumbent`, as their files say; nothing if neither states any."""
    ours, theirs = (one.signature if one else None for one in (new, old))
    if ours is None or theirs is None:
        lacks = version if ours is None else incumbent
        is_one = ours is not None or theirs is not None
        return ForCallers(unknown=say("{v} has no signature", v=Code(f"v{lacks}")) if is_one else None)
    found = caller_changes(ours, theirs)
    partial = [
        what
        for what, one, other in (("inputs", ours.inputs, theirs.inputs), ("outputs", ours.outputs, theirs.outputs))
        if bool(one) != bool(other)
    ]
    return ForCallers(
        changes=tuple(found[:KEPT]),
        more=max(0, len(found) - KEPT),
        unknown=say("only one of them states its {what}", what=partial) if partial else None,
    )


def no_way_back(new: Package | None, old: Package | None, incumbent: int) -> Say | None:
    """Return why no automatic rollback from `new` to the incumbent, whose files are `old`, is possible. None: it is."""
    why = misfit(old, new)
    return None if why is None else say("No automatic rollback to {v}: {why}", v=Code(f"v{incumbent}"), why=why)


def nothing_before() -> Say:
    """Return why no automatic rollback can undo the first move into Production."""
    return say("No automatic rollback: there's no version to go back to")


def pack_callers(found: ForCallers) -> dict[str, Any]:
    """Return it as plain JSON values."""
    return {
        "changes": [{"effect": one.effect.value, "says": pack(one.says)} for one in found.changes],
        "more": found.more,
        "unknown": pack(found.unknown) if found.unknown else None,
        "way_back": pack(found.way_back) if found.way_back else None,
    }


def unpack_callers(data: Mapping[str, Any] | None) -> ForCallers:
    """Return what `pack_callers` wrote; nothing for what an older Registrar wrote."""
    if data is None:
        return ForCallers()
    return ForCallers(
        changes=tuple(CallerChange(Effect(one["effect"]), unpack(one["says"])) for one in data["changes"]),
        more=data["more"],
        unknown=unpack(data["unknown"]) if data["unknown"] else None,
        way_back=unpack(data["way_back"]) if data["way_back"] else None,
    )


def caller_changes(new: Signature, old: Signature) -> list[CallerChange]:
    """Return what `new` changes for callers of `old`, breaking changes first.

    Inputs or outputs that one of the two doesn't state are left out.
    """
    found: list[CallerChange] = []
    if new.inputs and old.inputs:
        found += _columns("input", new.inputs, old.inputs, _INPUTS)
    if new.outputs and old.outputs:
        found += _columns("output", new.outputs, old.outputs, _OUTPUTS)
    # Callers pass these like inputs; none at all is a fact here, not a gap.
    found += _columns("prediction parameter", new.params, old.params, _INPUTS)
    return sorted(found, key=lambda change: list(Effect).index(change.effect))


def breaks(new: Signature, old: Signature) -> list[Say]:
    """Return why callers of `old` can't call `new`, one sentence each; nothing if they can."""
    return [change.says for change in caller_changes(new, old) if change.effect is Effect.BREAKS]


def misfit(new: Package | None, old: Package | None) -> Say | None:
    """Return why the files of `new` can't serve the callers of `old`; None if they can.

    What only one of them states can't be compared, and counts as a misfit. If `old` has no MLmodel file, anything fits.
    """
    if old is None:
        return None
    if new is None:
        return say("its MLmodel file is gone")
    if new.signature == old.signature:
        return None
    broken = breaks(new.signature, old.signature) if new.signature and old.signature else []
    if broken:
        more = [say("{n} more", n=len(broken) - BREAKS)] if len(broken) > BREAKS else []
        return say("its signature differs: {broken}", broken=joined([*broken[:BREAKS], *more], "; "))
    if new.signature is None or old.signature is None or _is_partial(new.signature, old.signature):
        return say("its signature differs from the incumbent's")
    return None


def _is_partial(new: Signature, old: Signature) -> bool:
    """Tell whether only one of the two states its inputs, or its outputs."""
    return bool(new.inputs) != bool(old.inputs) or bool(new.outputs) != bool(old.outputs)


class _Shift(Enum):
    """What can happen to one column."""

    REMOVED = "removed"
    RETYPED = "retyped"
    REQUIRED = "required"  # it was optional
    OPTIONAL = "optional"  # it was required
    ADDED_REQUIRED = "added_required"
    ADDED = "added"


_Rules = Mapping[_Shift, tuple[Effect, str]]
_INPUTS: _Rules = {
    _Shift.REMOVED: (Effect.BREAKS, "{it} {was} removed"),
    _Shift.RETYPED: (Effect.BREAKS, "{it} changed from {old} to {new}"),
    _Shift.REQUIRED: (Effect.BREAKS, "{it} {be} required now"),
    _Shift.ADDED_REQUIRED: (Effect.BREAKS, "{it} {was} added and {be} required"),
    _Shift.ADDED: (Effect.ADDS, "{it} {was} added"),
    _Shift.OPTIONAL: (Effect.FITS, "{it} {be} optional now"),
}
_OUTPUTS: _Rules = {
    _Shift.REMOVED: (Effect.BREAKS, "{it} {was} removed"),
    _Shift.RETYPED: (Effect.BREAKS, "{it} changed from {old} to {new}"),
    _Shift.OPTIONAL: (Effect.BREAKS, "{it} may be missing now"),
    _Shift.ADDED_REQUIRED: (Effect.BREAKS, "{it} {was} added"),
    _Shift.ADDED: (Effect.BREAKS, "{it} {was} added"),
    _Shift.REQUIRED: (Effect.FITS, "{it} {be} always there now"),  # what it gives is the same, and promised
}


def _columns(kind: str, new: Sequence[Column], old: Sequence[Column], rules: _Rules) -> Iterator[CallerChange]:
    """Yield one change for all columns that shifted alike, in the order of `rules`."""
    ours, theirs = _keyed(new), _keyed(old)
    is_alone = len(ours) == len(theirs) == 1
    alike: dict[tuple[_Shift, str, str], list[object]] = {}
    for key in dict.fromkeys(chain(theirs, ours)):
        for group in _shifts(ours.get(key), theirs.get(key)):
            alike.setdefault(group, []).append(_label(key, is_alone))
    for shift, (effect, template) in rules.items():
        for (what, before, after), labels in alike.items():
            if what is shift:
                yield CallerChange(effect, _column_sentence(template, kind, labels, before, after))


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
        return named(name)
    return "" if is_alone else str(nth + 1)


def _column_sentence(template: str, kind: str, labels: Sequence[object], before: str, after: str) -> Say:
    is_one = len(labels) == 1
    it: object = say("{kind} {these}", kind=kind if is_one else f"{kind}s", these=listed(labels))
    if labels == [""]:
        it = kind  # "output changed from double to long": there is only the one
    return say(
        template,
        it=it,
        was="was" if is_one else "were",
        be="is" if is_one else "are",
        old=word(before),
        new=word(after),
    )


# --- Words from outside, here and in the reasons of a semver


def named(name: str) -> Code:
    """Return a name as a value of a sentence."""
    return Code(short(name, _NAME_MOST))


def word(text: str) -> str:
    """Return MLflow's word as it is; set apart where it has signs that Slack could read as markup."""
    return text if text.isalnum() and len(text) <= _NAME_MOST else named(text)


def listed(items: Sequence[object]) -> object:
    """Return the first few items, and how many more there are."""
    if len(items) <= LISTED:
        return list(items)
    return say("{these} and {n} more", these=list(items[:LISTED]), n=len(items) - LISTED)
