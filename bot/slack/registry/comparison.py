"""A comparison as a message: the sentence, the table, and what was left out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from bot.domain.core.numbers import delta, number
from bot.domain.core.sentence import clean, short
from bot.domain.registry.comparison import Comparison
from bot.domain.registry.messages import sentence
from bot.slack.core.blocks import BLOCKS_MOST, Message, dicts, message, section, size, small
from bot.slack.core.mrkdwn import TEXT_MOST, code, cut, mrkdwn

ROWS, COLUMNS = 100, 20  # what Slack's table holds; the first row is the heading
VERSIONS_LEAST, METRICS_LEAST, FEWER = 20, 5, 4  # metrics are left out, a few at a time, until that many versions fit
LEGEND_MOST = 700  # characters of what's below the table
FIXED = 3  # columns in front of the metrics
NOTHING = "–"  # a cell may not be empty
BEST, BLOCKED = "★", "⛔"

Cell = dict[str, str]


@dataclass(frozen=True, slots=True)
class Compared:
    """The message, and whether its table leaves something out, so that the whole is wanted as CSV."""

    message: Message
    is_cut: bool


def comparison(found: Comparison) -> Compared:
    """Return a comparison for Slack: as many as fit of 99 versions and 17 metrics."""
    text = mrkdwn(sentence(found))
    heading = f"*{code(found.model, 120)}*  {text}"
    top = dicts([section(cut(heading, TEXT_MOST))])
    rows = _rows(found, found.metrics[: COLUMNS - FIXED], BLOCKS_MOST - LEGEND_MOST - size(top))
    versions, metrics = len(rows) - 1, len(rows[0]) - FIXED
    is_cut = versions < len(found.versions) or metrics < len(found.metrics)
    table = [_table(rows)] if versions else []
    legend = [small(_legend(found, versions, metrics))] if found.versions else []
    return Compared(message(f"{code(found.model, 120)}: {text}", [*top, *table, *legend]), is_cut)


def _rows(found: Comparison, metrics: Sequence[str], most: int) -> list[list[Cell]]:
    """Return the heading and versions in `most` characters, with fewer metrics if too few versions would fit."""
    rows = _fitting(found, metrics, most)
    if len(rows) > min(VERSIONS_LEAST, len(found.versions)) or len(metrics) <= METRICS_LEAST:
        return rows
    return _rows(found, metrics[:-FEWER], most)


def _fitting(found: Comparison, metrics: Sequence[str], most: int) -> list[list[Cell]]:
    """Return the heading and as many versions as fit in `most` characters, always with the one in Production."""
    incumbent = found.incumbent_row
    order = sorted(range(len(found.frame)), key=lambda at: at != incumbent)[: ROWS - 1]
    heading = _cells(["Version", "Semver", "Stage", *(short(_shown(metric), 60) for metric in metrics)])
    fitting, room = {}, most - size(_table([heading]))
    for at in order:
        row = _cells(_row(found, at, metrics))
        room -= size(row)
        if room < 0:
            break
        fitting[at] = row
    return [heading, *(fitting[at] for at in sorted(fitting))]


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


def _cells(texts: Sequence[str]) -> list[Cell]:
    return [{"type": "raw_text", "text": text} for text in texts]


def _table(rows: Sequence[Sequence[Cell]]) -> dict[str, Any]:
    """Return the table block; slack_sdk knows none yet."""
    right = {"align": "right"}
    return {"type": "table", "column_settings": [{}] * FIXED + [right] * (len(rows[0]) - FIXED), "rows": list(rows)}


def _legend(found: Comparison, versions: int, metrics: int) -> str:
    parts = [f"{BEST} best"]
    if found.incumbent is not None:
        parts.append(f"in brackets the difference to {code(f'v{found.incumbent}')} in Production")
    left_out = [
        f"{n} more {what}"
        for n, what in ((len(found.versions) - versions, "versions"), (len(found.metrics) - metrics, "metrics"))
        if n > 0
    ]
    if left_out:
        parts.append(f"{' and '.join(left_out)} in the CSV below")
    return "  ·  ".join(parts)
