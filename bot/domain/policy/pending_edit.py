"""TODO bot.domain.policy.pending_edit"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from bot.domain.core.durations import show_duration
from bot.domain.core.numbers import counted
from bot.domain.core.sentence import Code, Say, joined, say
from bot.domain.policy.policy import Policy
from bot.domain.policy.rule_changes import Change, ChangeKind

QUIET = timedelta(seconds=2)  # how long the file must stay unchanged before any edit applies


LINES_MOST = 10  # lines about changes in one message; the rest is counted


PATHS_MOST = 3  # places in the file that one line names


class EditState(Enum):
    """Why the policy in force isn't the one on disk."""

    SETTLING = "settling"  # the edit waits until the file has been unchanged for long enough
    BROKEN = "broken"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class FileEdit:
    """The policy file where it isn't the policy in force; `applies_at` is there where the edit is settling."""

    state: EditState
    applies_at: datetime | None = None


def loosens(changes: Iterable[Change]) -> bool:
    """Tell whether any of the changes loosens a rule."""
    return any(change.loosens for change in changes)


def waits(changes: Iterable[Change], in_force: Policy) -> timedelta:
    """Return how long the file must stay unchanged before these changes apply to the policy in force."""
    return max(QUIET, in_force.edits.settle) if loosens(changes) else QUIET


def change_lines(changes: Iterable[Change]) -> Say:
    """Return the changes as a list, what is said of several places in one line."""
    places: dict[tuple[ChangeKind, str], tuple[Say, list[str]]] = {}
    for change in changes:
        places.setdefault((change.kind, str(change.says)), (change.says, []))[1].append(change.path)
    lines = [say("• {paths}: {says}", paths=_paths(paths), says=says) for says, paths in places.values()]
    if more := len(lines) - LINES_MOST:
        lines = [*lines[:LINES_MOST], say("• and {n}", n=counted(more, "more change"))] if more > 0 else lines
    return joined(lines, "\n") if lines else say("• No rule changes.")


def edit_words(edit: FileEdit, revision: str, now: datetime) -> Say:
    """Return why the policy file isn't the policy in force, which is `revision`."""
    old = Code(revision or "none")
    if edit.state is EditState.MISSING:
        return say("The policy file is missing or can't be read. Revision {old} stays in force.", old=old)
    if edit.state is EditState.BROKEN:
        return say("The policy file has errors. Revision {old} stays in force.", old=old)
    if edit.applies_at is None or edit.applies_at <= now:
        return say(
            "The policy file changed; the edit applies in a moment. Until then, revision {old} is in force.", old=old
        )
    return say(
        "The policy file changed; the edit applies at {when} (in {left}) unless the file changes again. "
        "Until then, revision {old} is in force.",
        when=edit.applies_at,
        left=show_duration(edit.applies_at - now),
        old=old,
    )


def _paths(paths: list[str]) -> list[object]:
    more = len(paths) - PATHS_MOST
    return [*(Code(path) for path in paths[:PATHS_MOST]), *([counted(more, "more place")] if more > 0 else [])]
