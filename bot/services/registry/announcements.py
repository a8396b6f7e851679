"""Announce new versions in the channel."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from bot.domain.core.actors import Actor
from bot.domain.core.errors import RegistrarError
from bot.domain.core.sentence import Sentence
from bot.domain.registry.model import ModelInfo, RunInfo, Stage, VersionInfo
from bot.domain.registry.new_version_messages import describe_new_metrics, describe_new_version, list_new_versions
from bot.domain.transitions.drift import DriftNotice, DriftNoticeKind
from bot.ports import LedgerTransaction, OutboxMessage
from bot.services.core.context import Context
from bot.services.core.outbox_messages import channel_message, notice_message

log = logging.getLogger(__name__)

MAX_MODELS_ANNOUNCED = 5  # by one poll, with a message each in a channel; more models share one, as after an import


def shared_announcements(context: Context, models: Iterable[ModelInfo]) -> dict[str, OutboxMessage]:
    """Return a shared message about new versions for each channel with many of the `models`, by channel.

    A channel with at most `MAX_MODELS_ANNOUNCED` of the models has no shared message, because each of them gets its
    own.
    """
    by_channel: dict[str, list[ModelInfo]] = defaultdict(list)
    for model in models:
        by_channel[context.policy.channel_for(model.name)].append(model)
    messages = {}
    for channel, group in by_channel.items():
        if len(group) > MAX_MODELS_ANNOUNCED:
            newest = {model.name: max(model.identities) for model in sorted(group, key=lambda model: model.name)}
            times = "".join(f"{name}\n{number}\n" for name, number in newest.items())
            key = hashlib.sha256(f"{channel}\n{times}{max(str(model.updated_at) for model in group)}".encode())
            messages[channel] = channel_message(f"new:{key.hexdigest()[:15]}", channel, list_new_versions(newest))
    return messages


def describe_metrics(
    context: Context,
    announced: Sequence[VersionInfo],
    versions: Iterable[VersionInfo],
    known_runs: Mapping[str, RunInfo] = MappingProxyType({}),
) -> dict[int, Sentence]:
    """Return the metrics of the `announced` versions, by number, compared with the one of `versions` in Production.

    Runs that aren't in `known_runs` are read. If metrics can't be read, they're left out, because an announcement
    doesn't wait for them.
    """
    others = [version for version in versions if version not in announced]
    in_production = [version for version in others if version.stage is Stage.PRODUCTION]
    incumbent = max(in_production, key=lambda version: version.version, default=None)
    shown = [*announced, *filter(None, [incumbent])] if announced else []
    missing = [version.run_id for version in shown if version.run_id and version.run_id not in known_runs]
    try:
        runs = {**known_runs, **(context.tracker.runs(missing) if missing else {})}
    except RegistrarError as error:
        log.info("can't read the metrics of new versions: %s", error)
        return {}
    values = {version.version: runs[version.run_id].metrics for version in shown if version.run_id in runs}
    lines = {
        version.version: describe_new_metrics(
            context.policy.metrics_for(version.model),
            values.get(version.version, {}),
            incumbent.version if incumbent else None,
            values.get(incumbent.version, {}) if incumbent else {},
        )
        for version in announced
    }
    return {number: line for number, line in lines.items() if line}


def announce_versions(
    tx: LedgerTransaction,
    context: Context,
    version: VersionInfo,
    numbers: tuple[int, ...],
    *,
    registered_by: Actor | None,
    metrics: Sentence | None,
    shared: OutboxMessage | None = None,
) -> bool:
    """Announce new versions, of which `version` is the newest; return False if they were already announced.

    `metrics` is what `describe_metrics` returned for the newest one, if known. `shared` is the message, if any, that
    announces them together with other models' versions.
    """
    notice = DriftNotice(
        id=_announcement_id(version),
        kind=DriftNoticeKind.REGISTERED,
        model=version.model,
        at=context.clock.now(),
        versions=numbers,
        by=registered_by,
        lines=(*describe_new_version(version), *filter(None, [metrics])),
    )
    if not tx.add_drift_notice(notice):
        return False
    tx.add_message(shared or notice_message(notice, "new", context.policy.channel_for(version.model)))
    return True


def _announcement_id(version: VersionInfo) -> str:
    """Return an ID that's the same in every process but differs for a later version with the same number."""
    made = version.created_at.isoformat() if version.created_at else ""
    return "n" + hashlib.sha256(f"{version.model}\n{version.version}\n{made}".encode()).hexdigest()[:15]
