"""An edit to the policy file that isn't in effect yet, and messages about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from bot.domain.core.durations import format_duration
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Code, Sentence, join_sentences, say
from bot.domain.policy.policy import Policy
from bot.domain.policy.rule_changes import ChangeKind, PolicyChange

MIN_SETTLE = timedelta(seconds=2)  # how long the file must stay unchanged before any edit takes effect
MAX_CHANGES = 12  # listed in one message; the rest are counted
MAX_PLACES = 3  # listed in one line


class PolicyEditState(Enum):
    """Why the policy in effect isn't the one on disk."""

    SETTLING = "settling"  # the edit takes effect once the file has been unchanged for long enough
    BROKEN = "broken"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class PendingPolicyEdit:
    """A policy file that isn't in effect. `applies_at` is set while the edit settles."""

    state: PolicyEditState
    applies_at: datetime | None = None


def loosens_any_rule(changes: Iterable[PolicyChange]) -> bool:
    """Return whether any of the changes loosens a rule."""
    return any(change.loosens for change in changes)


def settle_duration(changes: Iterable[PolicyChange], active_policy: Policy) -> timedelta:
    """Return how long the file must stay unchanged before these changes take effect."""
    return max(MIN_SETTLE, active_policy.edits.settle) if loosens_any_rule(changes) else MIN_SETTLE


def describe_policy_changes(changes: Iterable[PolicyChange]) -> Sentence:
    """Return the changes as a list with one line per place; places with the same changes share a line."""
    places: dict[tuple[ChangeKind, str], tuple[Sentence, dict[str, Sentence | None]]] = {}
    for change in changes:
        found = places.setdefault((change.kind, str(change.sentence)), (change.sentence, {}))
        found[1][str(change.place or "")] = change.place
    lines: dict[object, tuple[list[Sentence], list[Sentence]]] = {}
    for number, (sentence, named) in enumerate(list(places.values())[:MAX_CHANGES]):
        where = tuple(named) if any(named) else number  # a change of the whole file has its own line
        lines.setdefault(where, ([place for place in named.values() if place], []))[1].append(sentence)
    listed = [_describe_line(*line) for line in lines.values()]
    if (omitted := len(places) - MAX_CHANGES) > 0:
        listed.append(say("• and {n}", n=pluralize(omitted, "more change")))
    return join_sentences(listed, "\n") if listed else say("• No rule changes.")


def _describe_line(places: list[Sentence], sentences: list[Sentence]) -> Sentence:
    changes = join_sentences(sentences, "; ")
    if not places:
        return say("• {changes}", changes=changes)
    omitted = len(places) - MAX_PLACES
    more = [pluralize(omitted, "more place")] if omitted > 0 else []
    return say("• {places}: {changes}", places=[*places[:MAX_PLACES], *more], changes=changes)


def describe_pending_edit(edit: PendingPolicyEdit, revision: str, now: datetime) -> Sentence:
    """Return why the policy file isn't in effect. `revision` identifies the policy that's in effect instead."""
    old = Code(revision or "none")
    if edit.state is PolicyEditState.MISSING:
        return say("The policy file is missing or can't be read. Revision {old} stays in effect.", old=old)
    if edit.state is PolicyEditState.BROKEN:
        return say("The policy file has errors. Revision {old} stays in effect.", old=old)
    if edit.applies_at is None or edit.applies_at <= now:
        return say(
            "The policy file changed, and the edit takes effect shortly. Until then, revision {old} stays in effect.",
            old=old,
        )
    return say(
        "The policy file changed. The edit takes effect at {when} (in {left}) unless the file changes again. "
        "Until then, revision {old} stays in effect.",
        when=edit.applies_at,
        left=format_duration(edit.applies_at - now),
        old=old,
    )
