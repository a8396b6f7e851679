"""What a benchmark returns: its tables, and its figures by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Report:
    """The Markdown text of a part of docs/reference/benchmarks.md, and what's compared with other commits.

    `figures` are ratios, seconds, or megabytes by a short name, such as `lookup HTTP 1 ÷ bare Bolt`. Lower is better.
    """

    text: str
    figures: Mapping[str, float] = field(default_factory=dict)
