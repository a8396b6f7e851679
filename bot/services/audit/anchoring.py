"""Anchoring: from time to time, copy the audit chain's head to where the bot can't change it."""

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
    """Writes the chain's head to a file or a channel, as often as the policy says.

    Several processes on one ledger can do it at once: a head that is written twice does no harm.
    """

    def __init__(self, context: Context, file: AnchorFile) -> None:
        self._context = context
        self._file = file
        self._reported_fault = ""  # the last reported error: retries come every few seconds, and it's reported once

    def anchor_if_due(self) -> bool:
        """Anchor the head if it's due and there are new events; return whether there are messages to deliver.

        A file that can't be written is reported and retried at the next call. Raises LedgerUnavailable.
        """
        anchor, now = self._context.policy.anchor, self._context.clock.now()
        if anchor is None:
            return False
        with self._context.ledger.read() as reader:
            last = next(iter(reader.latest_audit_events(tags=[EventTag.ANCHORED], limit=1)), None)
            is_same_file = last is not None and last.event.evidence.get("file") == anchor.file  # else it's due at once
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
        """Report an error once, until it succeeds; return whether there are messages to deliver."""
        fault = hashlib.sha256(f"{anchor.file}\n{error}".encode()).hexdigest()[:12]
        if fault == self._reported_fault:
            return False
        self._reported_fault = fault
        log.error("the audit is not anchored: %s", error)
        notice = say(
            "⚠️ The audit's head cannot be written down. {why} It is tried again until it works.", why=error.sentence
        )
        with self._context.ledger.write() as tx:
            key = f"not-anchored:{fault}:{last.number if last else 0}"  # shared with other processes that fail, too
            tx.add_message(channel_message(key, self._context.policy.channel, notice))
        return True


def _has_new_events(reader: LedgerReader, last: ChainedEvent | None) -> bool:
    """Tell whether there are events since the last anchor, other than anchoring itself."""
    after_number = last.event.evidence.get("number") if last else 0
    while events := reader.audit_events(
        after_number=after_number if isinstance(after_number, int) else 0, limit=PAGE_SIZE
    ):
        if any(event.event.tag is not EventTag.ANCHORED for event in events):
            return True
        after_number = events[-1].number
    return False


def _anchored_message(head: ChainHead) -> Sentence:
    return say("The audit ends with number {number} now; its hash is {hash}.", number=head.number, hash=Code(head.hash))
