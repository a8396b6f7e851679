"""Anchoring: periodically copy the audit chain's head to a place where the bot can't change it."""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime

from bot.domain.audit.anchors import serialize_anchor
from bot.domain.audit.events import ChainedEvent, ChainHead, Event, EventTag
from bot.domain.core.actors import Automation
from bot.domain.core.errors import RegistrarError
from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.policy.policy import AnchorConfig
from bot.ports import AnchorFile, LedgerReader
from bot.services.core.context import Context
from bot.services.core.outbox_messages import channel_message

log = logging.getLogger(__name__)

ANCHOR_ACTOR = Automation("anchor")
PAGE_SIZE = 50  # events per page when looking for new ones


class Anchoring:
    """Writes the chain's head to a file or a channel at the interval in the policy.

    Several processes that share a ledger can do this at the same time; writing a head twice is harmless.
    """

    def __init__(self, context: Context, file: AnchorFile) -> None:
        self._context = context
        self._file = file
        self._reported_fault = ""  # the last reported error, so that retries every few seconds report it only once

    def anchor_if_due(self) -> bool:
        """Anchor the head if it's due and there are new events; return whether there are messages to deliver.

        If the file can't be written, report it; the next call tries again. Raises LedgerUnavailable.
        """
        anchor, now = self._context.policy.anchor, self._context.clock.now()
        if anchor is None:
            return False
        with self._context.ledger.read() as reader:
            last = next(iter(reader.latest_audit_events(tags=[EventTag.ANCHORED], limit=1)), None)
            is_same_file = (
                last is not None and last.event.evidence.get("file") == anchor.file
            )  # else it's due immediately
            if (last and is_same_file and now - last.event.at < anchor.every) or not _has_new_events(reader, last):
                return False
            head = reader.audit_head()
        try:
            if anchor.file:
                self._file.append_line(anchor.file, serialize_anchor(head, now))
        except RegistrarError as error:
            return self._report_failure(anchor, last, error)
        self._reported_fault = ""
        self._record(anchor, head, now)
        return anchor.channel is not None

    def _record(self, anchor: AnchorConfig, head: ChainHead, now: datetime) -> None:
        event = Event(
            at=now,
            actor=ANCHOR_ACTOR,
            tag=EventTag.ANCHORED,
            subject=f"anchor:{head.number}",
            after=str(head.number),
            origin="job",
            evidence={"number": head.number, "hash": head.hash, "file": anchor.file},
        )
        with self._context.ledger.write() as tx:
            tx.add_audit_event(event)
            if anchor.channel:
                tx.add_message(
                    channel_message(f"anchored:{head.number}:{head.hash[:12]}", anchor.channel, _anchored_message(head))
                )

    def _report_failure(self, anchor: AnchorConfig, last: ChainedEvent | None, error: RegistrarError) -> bool:
        """Report an error once until anchoring works again; return whether there are messages to deliver."""
        fault = hashlib.sha256(f"{anchor.file}\n{error}".encode()).hexdigest()[:12]
        if fault == self._reported_fault:
            return False
        self._reported_fault = fault
        log.error("can't anchor the audit log: %s", error)
        notice = say("⚠️ Can't anchor the audit log. {why} I'll keep trying.", why=error.sentence)
        with self._context.ledger.write() as tx:
            key = f"not-anchored:{fault}:{last.number if last else 0}"  # the same in other processes that fail
            tx.add_message(channel_message(key, self._context.policy.channel, notice))
        return True


def _has_new_events(reader: LedgerReader, last: ChainedEvent | None) -> bool:
    """Return whether there are events since the last anchor, other than anchoring events."""
    after_number = last.event.evidence.get("number") if last else 0
    while events := reader.audit_events(
        after_number=after_number if isinstance(after_number, int) else 0, limit=PAGE_SIZE
    ):
        if any(event.event.tag is not EventTag.ANCHORED for event in events):
            return True
        after_number = events[-1].number
    return False


def _anchored_message(head: ChainHead) -> Sentence:
    return say("The audit log ends at event {number}; its hash is {hash}.", number=head.number, hash=Code(head.hash))
