"""Announce new versions in the channel."""

from __future__ import annotations

import hashlib

from bot.domain.core.actors import Actor
from bot.domain.registry.model import VersionInfo
from bot.domain.registry.new_version_messages import describe_new_version
from bot.domain.transitions.drift import DriftNotice, DriftNoticeKind
from bot.ports import LedgerTransaction
from bot.services.core.context import Context
from bot.services.core.outbox_messages import notice_message


def announce_versions(
    tx: LedgerTransaction,
    context: Context,
    version: VersionInfo,
    numbers: tuple[int, ...],
    *,
    registered_by: Actor | None,
) -> bool:
    """Announce new versions, of which `version` is the newest; return False if they were already announced."""
    notice = DriftNotice(
        id=_announcement_id(version),
        kind=DriftNoticeKind.REGISTERED,
        model=version.model,
        at=context.clock.now(),
        versions=numbers,
        by=registered_by,
        lines=tuple(describe_new_version(version)),
    )
    if not tx.add_drift_notice(notice):
        return False
    tx.add_message(notice_message(notice, "new", context.policy.channel_for(version.model)))
    return True


def _announcement_id(version: VersionInfo) -> str:
    """Return an ID that's the same in every process but differs for a later version with the same number."""
    made = version.created_at.isoformat() if version.created_at else ""
    return "n" + hashlib.sha256(f"{version.model}\n{version.version}\n{made}".encode()).hexdigest()[:15]
