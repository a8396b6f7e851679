"""TODO bot.services.registry.announcements"""

from __future__ import annotations

import hashlib

from bot.domain.core.actors import Actor
from bot.domain.registry.model import VersionInfo
from bot.domain.transitions import drift
from bot.domain.transitions.drift import Finding, FindingKind
from bot.ports import Writing
from bot.services.core.context import Context
from bot.services.core.outbox_messages import notice_note


def announce(tx: Writing, it: Context, version: VersionInfo, numbers: tuple[int, ...], *, by: Actor | None) -> bool:
    """Let the channel hear of new versions, `version` the newest of them; return False where it has heard already."""
    finding = Finding(
        id=_announcement_id(version),
        kind=FindingKind.REGISTERED,
        model=version.model,
        at=it.clock.now(),
        versions=numbers,
        by=by,
        lines=tuple(drift.about(version)),
    )
    if not tx.add_finding(finding):
        return False
    tx.add_note(notice_note(finding, "new", it.policy.channel_for(version.model)))
    return True


def _announcement_id(version: VersionInfo) -> str:
    """Return the same id whoever finds the version; another one for one of that number after a deletion."""
    made = version.created_at.isoformat() if version.created_at else ""
    return "n" + hashlib.sha256(f"{version.model}\n{version.version}\n{made}".encode()).hexdigest()[:15]
