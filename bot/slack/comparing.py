"""A comparison as a message: the sentence, the table, and what was left out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from bot.domain.comparison import Comparison
from bot.domain.comparison_words import sentence
from bot.domain.numbers import delta, number
from bot.domain.text import clean, short
from bot.slack.blocks import Blocks, Message, dicts, section, small
from bot.slack.texts import TEXT_MOST, code, cut, mrkdwn

ROWS, COLUMNS = 100, 20  # what Slack's table holds; the first row is the heading
CHARACTERS = 9_000  # of all cells together; Slack takes 10,000
FIXED = 3  # columns in front of the metrics
NOTHING = "–"  # a cell may not be empty
BEST, BLOCKED = "★", "⛔"


@dataclass(frozen=True, slots=True)
class Compared:
    """The message, and whether its table leaves something out, so that the whole is wanted as CSV."""

    message: Message
    is_cut: bool


def comparison(found: Comparison) -> Compared:
    """Return a comparison as Slack can show it: at most 99 versions and 17 metrics, in as many letters as it takes."""
    text = mrkdwn(sentence(found))
    heading = f"*{code(short(found.model, 120))}*  {text}"
    metrics = found.metrics[: COLUMNS - FIXED]
    rows = _rows(found, metrics)
    is_cut = len(rows) - 1 < len(found.versions) or len(metrics) < len(found.metrics)
    blocks: Blocks = dicts([section(cut(heading, TEXT_MOST))])
    if len(rows) > 1:
        blocks.append(_table(rows))
    if found.versions:
        blocks += dicts([small(_legend(found, len(rows) - 1, len(metrics)))])
    return Compared(Message(f"{code(short(found.model, 120))}: {text}", blocks), is_cut)


def _rows(found: Comparison, metrics: Sequence[str]) -> list[list[str]]:
    """Return heading and versions, as many as fit. The one in Production is always among them."""
    heading = ["Version", "Semver", "Stage", *(short(_shown(metric), 60) for metric in metrics)]
    rows, room = [heading], CHARACTERS - sum(map(len, heading))
    incumbent = found.incumbent_row
    order = [
        *([incumbent] if incumbent is not None else []),
        *(at for at in range(len(found.frame)) if at != incumbent),
    ]
    fitting = []
    for at in order[: ROWS - 1]:
        row = _row(found, at, metrics)
        room -= sum(map(len, row))
        if room < 0:
            break
        fitting.append((at, row))
    return rows + [row for _, row in sorted(fitting, key=lambda each: each[0])]


def _row(found: Comparison, at: int, metrics: Sequence[str]) -> list[str]:
    version = found.versions[at]
    semver, stage = found.frame["semver"].iloc[at], found.frame["stage"].iloc[at]
    values, gaps = found.row(at), found.gaps(at)
    return [
        f"v{version} {BLOCKED}" if version in found.blocked else f"v{version}",
        short(_shown(str(semver)), 40) if semver else NOTHING,
        NOTHING if stage == "None" else str(stage),
        *(_cell(values[metric], gaps[metric], is_best=found.best.get(metric) == version) for metric in metrics),
    ]


def _cell(value: float, gap: float, *, is_best: bool) -> str:
    if isnan(value):
        return NOTHING
    parts = [number(value)]
    if not isnan(gap) and gap != 0:
        parts.append(f"({delta(gap)})")
    return " ".join([*parts, *([BEST] if is_best else [])])


def _shown(text: str) -> str:
    return clean(text).strip() or NOTHING


def _table(rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Return the table block; slack_sdk knows none yet."""
    right = {"align": "right"}
    return {
        "type": "table",
        "column_settings": [{}] * FIXED + [right] * (len(rows[0]) - FIXED),
        "rows": [[{"type": "raw_text", "text": cell} for cell in row] for row in rows],
    }


def _legend(found: Comparison, versions: int, metrics: int) -> str:
    parts = [f"{BEST} best"]
    if found.incumbent is not None:
        parts.append(f"in brackets the difference to {code(f'v{found.incumbent}')} in Production")
    left_out = [f"{n} more {what}" for n, what in (
        (len(found.versions) - versions, "versions"), (len(found.metrics) - metrics, "metrics")
    ) if n > 0]  # fmt: skip
    if left_out:
        parts.append(f"{' and '.join(left_out)} in the CSV below")
    return "  ·  ".join(parts)
