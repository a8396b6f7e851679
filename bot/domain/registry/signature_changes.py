"""Compare two versions' signatures to find what changes for callers. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from typing import Any

from bot.domain.core.sentence import Code, Sentence, join_sentences, pack_sentence, say, truncate, unpack_sentence
from bot.domain.registry.model import ModelPackage, Signature, SignatureColumn

MAX_STORED_CHANGES = 20  # changes that a request stores; the rest are counted
MAX_LISTED_NAMES = 5  # names listed in one sentence; the rest are counted
MAX_LISTED_BREAKING_CHANGES = 3  # breaking changes that one sentence names
_MAX_NAME_LENGTH = 80  # characters of one name or type in a sentence


class CallerEffect(Enum):
    """The effect of a change on callers, worst first."""

    BREAKS = "breaks"  # calls that worked now fail or return something different
    ADDS = "adds"  # calls still work, and can send or receive more
    COMPATIBLE = "fits"  # calls still work


@dataclass(frozen=True, slots=True)
class CallerChange:
    """One change for callers, as a sentence without a final period."""

    effect: CallerEffect
    sentence: Sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerImpact:
    """What a transition changes for callers of the stage, as known when the request was opened.

    `omitted` counts the changes that aren't in `changes`. `not_compared` says why the signatures couldn't be compared,
    and `no_rollback` why no automatic rollback can undo the transition; each is None if it doesn't apply.
    """

    changes: tuple[CallerChange, ...] = ()
    omitted: int = 0
    not_compared: Sentence | None = None
    no_rollback: Sentence | None = None

    def sentences(self, *effects: CallerEffect) -> list[Sentence]:
        """Return the sentences for changes that have one of these effects."""
        return [change.sentence for change in self.changes if change.effect in effects]


def caller_impact(new: ModelPackage | None, old: ModelPackage | None, version: int, incumbent: int) -> CallerImpact:
    """Return what `version` changes for callers of `incumbent`, based on their packages.

    The result is empty if neither has a signature; if only one does, `not_compared` names the one that doesn't.
    """
    new_signature, old_signature = new.signature if new else None, old.signature if old else None
    if new_signature is None or old_signature is None:
        lacks = version if new_signature is None else incumbent
        is_one = new_signature is not None or old_signature is not None
        return CallerImpact(not_compared=say("{v} has no signature", v=Code(f"v{lacks}")) if is_one else None)
    changes = caller_changes(new_signature, old_signature)
    partial = [
        what
        for what, one, other in (
            ("inputs", new_signature.inputs, old_signature.inputs),
            ("outputs", new_signature.outputs, old_signature.outputs),
        )
        if bool(one) != bool(other)
    ]
    return CallerImpact(
        changes=tuple(changes[:MAX_STORED_CHANGES]),
        omitted=max(0, len(changes) - MAX_STORED_CHANGES),
        not_compared=say("only one version declares its {what}", what=partial) if partial else None,
    )


def no_rollback_reason(new: ModelPackage | None, old: ModelPackage | None, incumbent: int) -> Sentence | None:
    """Return why Registrar can't roll back automatically from `new` to the incumbent, or None if it can.

    `old` is the incumbent's package.
    """
    why = incompatibility_reason(old, new)
    return (
        None
        if why is None
        else say("No automatic rollback from this version to {v}: {why}", v=Code(f"v{incumbent}"), why=why)
    )


def no_earlier_version_reason() -> Sentence:
    """Return why no automatic rollback can undo the first transition to Production."""
    return say("No automatic rollback: there's no version to roll back to")


def pack_caller_impact(impact: CallerImpact) -> dict[str, Any]:
    """Return the impact as plain JSON values."""
    return {
        "changes": [
            {"effect": change.effect.value, "says": pack_sentence(change.sentence)} for change in impact.changes
        ],
        "more": impact.omitted,
        "unknown": pack_sentence(impact.not_compared) if impact.not_compared else None,
        "way_back": pack_sentence(impact.no_rollback) if impact.no_rollback else None,
    }


def unpack_caller_impact(data: Mapping[str, Any]) -> CallerImpact:
    """Return the impact that `pack_caller_impact` wrote."""
    return CallerImpact(
        changes=tuple(
            CallerChange(CallerEffect(change["effect"]), unpack_sentence(change["says"])) for change in data["changes"]
        ),
        omitted=data["more"],
        not_compared=unpack_sentence(data["unknown"]) if data["unknown"] else None,
        no_rollback=unpack_sentence(data["way_back"]) if data["way_back"] else None,
    )


def caller_changes(new: Signature, old: Signature) -> list[CallerChange]:
    """Return what `new` changes for callers of `old`, breaking changes first.

    Inputs or outputs that only one of them declares aren't compared.
    """
    changes: list[CallerChange] = []
    if new.inputs and old.inputs:
        changes += _compare_columns("input", new.inputs, old.inputs, _INPUT_RULES)
    if new.outputs and old.outputs:
        changes += _compare_columns("output", new.outputs, old.outputs, _OUTPUT_RULES)
    # Callers pass these like inputs. An empty list means that there are none, not that they're unknown.
    changes += _compare_columns("prediction parameter", new.params, old.params, _INPUT_RULES)
    return sorted(changes, key=lambda change: list(CallerEffect).index(change.effect))


def breaking_changes(new: Signature, old: Signature) -> list[Sentence]:
    """Return why callers of `old` can't call `new`, one sentence per change; empty if they can."""
    return [change.sentence for change in caller_changes(new, old) if change.effect is CallerEffect.BREAKS]


def incompatibility_reason(new: ModelPackage | None, old: ModelPackage | None) -> Sentence | None:
    """Return why the package `new` can't serve the callers of `old`; None if it can.

    Inputs or outputs that only one of them declares can't be compared and count as incompatible. If `old` has no
    MLmodel file, anything is compatible.
    """
    if old is None:
        return None
    if new is None:
        return say("its MLmodel file is missing")
    if new.signature == old.signature:
        return None
    broken = breaking_changes(new.signature, old.signature) if new.signature and old.signature else []
    if broken:
        omitted = (
            [say("{n} more", n=len(broken) - MAX_LISTED_BREAKING_CHANGES)]
            if len(broken) > MAX_LISTED_BREAKING_CHANGES
            else []
        )
        return say(
            "its signature differs: {broken}",
            broken=join_sentences([*broken[:MAX_LISTED_BREAKING_CHANGES], *omitted], "; "),
        )
    if new.signature is None or old.signature is None or _is_only_one_stated(new.signature, old.signature):
        return say("its signature can't be compared with the other version's")
    return None


def _is_only_one_stated(new: Signature, old: Signature) -> bool:
    """Return whether only one signature declares inputs, or only one declares outputs."""
    return bool(new.inputs) != bool(old.inputs) or bool(new.outputs) != bool(old.outputs)


class _ColumnChange(Enum):
    """How one column changed."""

    REMOVED = "removed"
    RETYPED = "retyped"
    REQUIRED = "required"  # it was optional
    OPTIONAL = "optional"  # it was required
    ADDED_REQUIRED = "added_required"
    ADDED = "added"


_ColumnRules = Mapping[_ColumnChange, tuple[CallerEffect, str]]
_INPUT_RULES: _ColumnRules = {
    _ColumnChange.REMOVED: (CallerEffect.BREAKS, "{it} {was} removed"),
    _ColumnChange.RETYPED: (CallerEffect.BREAKS, "{it} changed from {old} to {new}"),
    _ColumnChange.REQUIRED: (CallerEffect.BREAKS, "{it} {be} now required"),
    _ColumnChange.ADDED_REQUIRED: (CallerEffect.BREAKS, "{it} {was} added and {be} required"),
    _ColumnChange.ADDED: (CallerEffect.ADDS, "{it} {was} added and {be} optional"),
    _ColumnChange.OPTIONAL: (CallerEffect.COMPATIBLE, "{it} {be} now optional"),
}
_OUTPUT_RULES: _ColumnRules = {
    _ColumnChange.REMOVED: (CallerEffect.BREAKS, "{it} {was} removed"),
    _ColumnChange.RETYPED: (CallerEffect.BREAKS, "{it} changed from {old} to {new}"),
    _ColumnChange.OPTIONAL: (CallerEffect.BREAKS, "{it} can now be missing"),
    _ColumnChange.ADDED_REQUIRED: (CallerEffect.BREAKS, "{it} {was} added"),
    _ColumnChange.ADDED: (CallerEffect.BREAKS, "{it} {was} added"),
    _ColumnChange.REQUIRED: (
        CallerEffect.COMPATIBLE,
        "{it} {be} now always present",
    ),  # the values are unchanged; only the guarantee is new
}


def _compare_columns(
    kind: str, new: Sequence[SignatureColumn], old: Sequence[SignatureColumn], rules: _ColumnRules
) -> Iterator[CallerChange]:
    """Yield one change for each set of columns that changed the same way, in the order of `rules`."""
    new_columns, old_columns = _index_columns(new), _index_columns(old)
    is_alone = len(new_columns) == len(old_columns) == 1
    alike: dict[tuple[_ColumnChange, str, str], list[object]] = {}
    for key in dict.fromkeys(chain(old_columns, new_columns)):
        for group in _column_changes(new_columns.get(key), old_columns.get(key)):
            alike.setdefault(group, []).append(_column_label(key, is_alone))
    for shift, (effect, template) in rules.items():
        for (what, before, after), labels in alike.items():
            if what is shift:
                yield CallerChange(effect, _column_sentence(template, kind, labels, before, after))


def _index_columns(columns: Iterable[SignatureColumn]) -> dict[tuple[str, int], SignatureColumn]:
    """Return the columns by name and by how many earlier ones have that name; unnamed ones thus match by position."""
    uses: Counter[str] = Counter()
    keyed = {}
    for column in columns:
        keyed[column.name, uses[column.name]] = column
        uses[column.name] += 1
    return keyed


def _column_changes(
    new: SignatureColumn | None, old: SignatureColumn | None
) -> Iterator[tuple[_ColumnChange, str, str]]:
    if old is None:
        assert new is not None
        yield (_ColumnChange.ADDED_REQUIRED if new.required else _ColumnChange.ADDED), "", ""
    elif new is None:
        yield _ColumnChange.REMOVED, "", ""
    else:
        if new.type != old.type:
            yield _ColumnChange.RETYPED, old.type, new.type
        if new.required != old.required:
            yield (_ColumnChange.REQUIRED if new.required else _ColumnChange.OPTIONAL), "", ""


def _column_label(key: tuple[str, int], is_only_column: bool) -> object:
    name, nth = key
    if name:
        return quote_name(name)
    return "" if is_only_column else str(nth + 1)


def _column_sentence(template: str, kind: str, labels: Sequence[object], before: str, after: str) -> Sentence:
    is_one = len(labels) == 1
    subject: object = say("{kind} {these}", kind=kind if is_one else f"{kind}s", these=list_some(labels))
    if labels == [""]:
        subject = kind  # "output changed from double to long": it's the only output
    return say(
        template,
        it=subject,
        was="was" if is_one else "were",
        be="is" if is_one else "are",
        old=quote_if_needed(before),
        new=quote_if_needed(after),
    )


# --- Names from outside, used here and in semver reasons


def quote_name(name: str) -> Code:
    """Return a name, truncated, as a value for a sentence."""
    return Code(truncate(name, _MAX_NAME_LENGTH))


def quote_if_needed(text: str) -> str:
    """Return MLflow's word unchanged, or quoted if it's long or has characters that Slack could read as markup."""
    return text if text.isalnum() and len(text) <= _MAX_NAME_LENGTH else quote_name(text)


def list_some(items: Sequence[object]) -> object:
    """Return the items, or the first few and how many more there are."""
    if len(items) <= MAX_LISTED_NAMES:
        return list(items)
    return say("{these}, and {n} more", these=list(items[:MAX_LISTED_NAMES]), n=len(items) - MAX_LISTED_NAMES)
