"""Anchoring: now and then the audit chain's head is written down where the bot cannot take it back."""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime

from bot.domain.audit.anchors import write_anchor
from bot.domain.audit.events import Event, Head, Link, Tag
from bot.domain.core.actors import Automation
from bot.domain.core.errors import RegistrarError
from bot.domain.core.sentence import Code, Say, say
from bot.domain.policy.policy import Anchor
from bot.ports import AnchorFile, Reading
from bot.services.core.context import Context
from bot.services.core.outbox_messages import said_note

log = logging.getLogger(__name__)

ANCHORER = Automation("anchor")
PAGE = 50  # events that are looked at to see whether any of them is new


class Anchoring:
    """Writes the chain's head down, as often as the policy says.

    Several processes may do it over one ledger: a head that is written down twice does no harm.
    """

    def __init__(self, context: Context, file: AnchorFile) -> None:
        self._it = context
        self._file = file
        self._logged = ""  # the fault that was logged last: it is tried again every few seconds, and told once

    def anchor(self) -> bool:
        """Write the head down if its time has come and there are new events; return whether Slack has to hear of it.

        Raises LedgerUnavailable. A file that cannot be written is told, and tried again the next time.
        """
        anchor, now = self._it.policy.anchor, self._it.clock.now()
        if anchor is None:
            return False
        with self._it.ledger.read() as reading:
            last = next(iter(reading.latest(tags=[Tag.ANCHORED], most=1)), None)
            if not _is_due(anchor, last, now) or not _has_news(reading, last):
                return False
            head = reading.head()
        try:
            if anchor.file:
                self._file.append(anchor.file, write_anchor(head, now))
        except RegistrarError as error:
            return self._fail(anchor, last, error)
        self._logged = ""
        self._keep(anchor, head, now)
        return anchor.channel is not None

    def _keep(self, anchor: Anchor, head: Head, now: datetime) -> None:
        event = Event(
            at=now,
            actor=ANCHORER,
            tag=Tag.ANCHORED,
            subject=f"anchor:{head.number}",
            after=str(head.number),
            origin="job",
            evidence={"number": head.number, "hash": head.hash, "file": anchor.file},
        )
        with self._it.ledger.write() as tx:
            tx.append(event)
            if anchor.channel:
                tx.add_note(said_note(f"anchored:{head.number}:{head.hash[:12]}", anchor.channel, _told(head)))

    def _fail(self, anchor: Anchor, last: Link | None, error: RegistrarError) -> bool:
        """Tell what went wrong, once until it succeeds; return whether Slack has to hear of it."""
        fault = hashlib.sha256(f"{anchor.file}\n{error}".encode()).hexdigest()[:12]
        if fault == self._logged:
            return False
        self._logged = fault
        log.error("the audit is not anchored: %s", error)
        told = say(
            "⚠️ The audit's head cannot be written down. {why} It is tried again until it works.", why=error.sentence
        )
        with self._it.ledger.write() as tx:
            key = f"not-anchored:{fault}:{last.number if last else 0}"  # another process of ours tells of it, too
            tx.add_note(said_note(key, self._it.policy.channel, told))
        return True


def _is_due(anchor: Anchor, last: Link | None, now: datetime) -> bool:
    """Tell whether the time has come; a file that has none of our anchors yet does not wait for it."""
    return last is None or last.event.evidence.get("file") != anchor.file or now - last.event.at >= anchor.every


def _has_news(reading: Reading, last: Link | None) -> bool:
    """Tell whether anything but anchoring has happened since the head that was written down last."""
    after = last.event.evidence.get("number") if last else 0
    while links := reading.links(after=after if isinstance(after, int) else 0, most=PAGE):
        if any(link.event.tag is not Tag.ANCHORED for link in links):
            return True
        after = links[-1].number
    return False


def _told(head: Head) -> Say:
    return say("The audit ends with number {number} now; its hash is {hash}.", number=head.number, hash=Code(head.hash))
