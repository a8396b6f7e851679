"""Records refused calls in the audit log, with limits so that no one can fill it or crowd out others' refusals."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from ipaddress import ip_address

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Client
from bot.domain.core.errors import LedgerUnavailable
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Sentence, sanitize_text, say, truncate
from bot.ports import Clock, Ledger
from handlers.recent_keys import RecentKeys

log = logging.getLogger(__name__)

REFUSAL_PAUSE = 60.0  # seconds in which only one refusal of a client or an address is recorded
MAX_REFUSED_ADDRESSES = 100  # addresses of unknown callers recorded per minute
UNKNOWN_CALLER = "?"  # an unauthenticated caller, in the audit log


class RefusalLog:
    """Records refusals, at most one a minute for each client and for each unknown caller's address.

    Clients and unknown callers don't share a limit. `monotonic`: the clock for the limits, in seconds.
    """

    def __init__(self, ledger: Ledger, clock: Clock, monotonic: Callable[[], float]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._clients = RecentKeys(REFUSAL_PAUSE, monotonic)  # the policy limits their number
        self._addresses = RecentKeys(REFUSAL_PAUSE, monotonic, MAX_REFUSED_ADDRESSES)
        self._reports = RecentKeys(REFUSAL_PAUSE, monotonic)
        self._lock = threading.Lock()
        self._unrecorded = 0

    def record(self, client: Client, address: str, tag: EventTag, why: Sentence) -> None:
        """Record a refusal, at most once a minute for each caller, and how many others weren't recorded."""
        events = []
        if self._admits(address) if client.name == UNKNOWN_CALLER else self._clients.is_new(client.name):
            events.append(self._event(client, tag, why, address=truncate(sanitize_text(address), 100)))
        if count := self._take_unrecorded():
            told = say(
                "{n} from other addresses. Only {most} addresses are recorded per minute.",
                n=pluralize(count, "more refusal"),
                most=MAX_REFUSED_ADDRESSES,
            )
            events.append(self._event(Client(UNKNOWN_CALLER), tag, told, unrecorded=count))
        if not events:
            return
        try:
            with self._ledger.write() as tx:
                for event in events:
                    tx.add_audit_event(event)
        except LedgerUnavailable as error:  # the call is refused even if that can't be recorded
            log.warning("couldn't record the refusal of a call: %s", error)

    def _admits(self, address: str) -> bool:
        """Return whether to record an unknown caller's refusal; if there are too many addresses, count it instead."""
        network = _network(address)
        with self._lock:
            is_new = self._addresses.is_new(network)
            self._unrecorded += not is_new and not self._addresses.has(network)
        return is_new

    def _take_unrecorded(self) -> int:
        """Return how many refusals weren't recorded since the last report because there were too many addresses.

        Returns 0 within a minute of the last report.
        """
        with self._lock:
            if not self._unrecorded or not self._reports.is_new(""):
                return 0
            count, self._unrecorded = self._unrecorded, 0
        return count

    def _event(self, client: Client, tag: EventTag, why: Sentence, **evidence: object) -> Event:
        return Event(
            at=self._clock.now(),
            actor=client,
            tag=tag,
            subject="api",
            why=str(why),
            origin="api",
            evidence=evidence,
        )


def _network(address: str) -> str:
    """Return the network that one caller controls: an IPv4 address, or the 64-bit prefix of an IPv6 address."""
    try:
        ip = ip_address(address)
    except ValueError:  # a Unix socket has no address
        return address
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return str(ip) if ip.version == 4 else ip.packed[:8].hex()
