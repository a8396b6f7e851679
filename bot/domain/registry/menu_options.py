"""The choices that a form's menus offer as someone types: models, versions, and metrics. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.registry.metric_direction import Direction
from bot.domain.registry.model import Stage, VersionInfo
from bot.domain.registry.rollback_block import RollbackBlock

MAX_CHOICES = 100  # that Slack shows
MAX_VALUE_LENGTH = 150  # characters of a value that Slack stores


@dataclass(frozen=True, slots=True)
class Choice:
    """A menu entry: the value that's submitted, and the label that people read."""

    value: str
    label: str


def matching_choices(choices: Iterable[Choice], typed: str, is_valid: Callable[[str], bool]) -> list[Choice]:
    """Return the choices that contain the typed text: exact matches first, then those that start with it.

    If no choice equals the text and `is_valid` accepts it, the text itself is the last choice, so people can choose
    something that isn't listed.
    """
    text = typed.strip()
    choices = [choice for choice in choices if 0 < len(choice.value) <= MAX_VALUE_LENGTH]
    ranked = [(rank, choice) for choice in choices if (rank := _rank(choice, text.casefold())) is not None]
    found = [choice for _, choice in sorted(ranked, key=lambda pair: pair[0])]
    is_offered = any(text in {choice.value, f"v{choice.value}"} for choice in found)
    if not text or is_offered or len(text) > MAX_VALUE_LENGTH or not is_valid(text):
        return found[:MAX_CHOICES]
    return [*found[: MAX_CHOICES - 1], Choice(text, f"{text} (as typed)")]


def _rank(choice: Choice, typed: str) -> int | None:
    """Return 0 for an exact match, 1 if the choice starts with the typed text, 2 if it contains it, or None."""
    value, label = choice.value.casefold(), choice.label.casefold()
    if typed in {value, f"v{value}"}:
        return 0
    if value.startswith(typed) or label.startswith(typed):
        return 1
    return 2 if typed in label else None


def version_choices(
    versions: Iterable[VersionInfo], blocks: Mapping[int, RollbackBlock], notes: Mapping[int, str], now: datetime
) -> list[Choice]:
    """Return a choice for each version, labeled with its number, stage, semver, blocking rollback, and note."""
    return [Choice(str(version.version), _version_label(version, blocks, notes, now)) for version in versions]


def _version_label(
    version: VersionInfo, blocks: Mapping[int, RollbackBlock], notes: Mapping[int, str], now: datetime
) -> str:
    block = blocks.get(version.version)
    parts = [
        f"v{version.version}",
        "" if version.stage is Stage.NONE else str(version.stage),
        version.semver,
        f"⛔ rolled back {_ago(now - block.at)}" if block else "",
        notes.get(version.version),
    ]
    return " · ".join(part for part in parts if part)


def _ago(elapsed: timedelta) -> str:
    """Return how long ago something happened, in its largest unit: `3 d ago`, `5 min ago`, or `just now`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if elapsed.total_seconds() >= size:
            return f"{int(elapsed.total_seconds() // size)} {unit} ago"
    return "just now"


def best_by_metric(
    metric: str, direction: Direction, metrics_by_version: Mapping[int, Mapping[str, float]]
) -> int | None:
    """Return the version with the best value of `metric`, the newest if tied, or None if no version logged it."""
    values = {
        version: value * direction.sign
        for version, metrics in metrics_by_version.items()
        for name, value in metrics.items()
        if name.casefold() == metric.casefold() and math.isfinite(value)
    }
    return max(values, key=lambda version: (values[version], version), default=None)
