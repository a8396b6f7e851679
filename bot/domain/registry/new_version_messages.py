"""The announcement of a new version."""

from __future__ import annotations

from bot.domain.core.sentence import Code, Sentence, say, truncate
from bot.domain.registry.model import VersionInfo


def describe_new_version(version: VersionInfo) -> list[Sentence]:
    """Return lines about a new version: its semver, run, and description, if known."""
    lines = []
    if version.semver:
        lines.append(say("Semver {semver}", semver=Code(version.semver)))
    if version.run_id:
        lines.append(say("Run {run}", run=Code(version.run_id)))
    if version.description.strip():
        lines.append(say("{text}", text=truncate(version.description.strip(), 500)))
    return lines
