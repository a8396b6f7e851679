"""What the services need from the world, in our words. Every plug of a port passes the same contract suite."""

from bot.ports.ledger import Dispatcher, Ledger
from bot.ports.outside import (
    UNOBSERVED,
    AnchorFile,
    Clock,
    Directory,
    MetricSource,
    Notifier,
    Observer,
    PolicyFile,
    ServingProbes,
    Unobserved,
)
from bot.ports.reading import Reading
from bot.ports.records import (
    Ask,
    AskState,
    Backlog,
    Batch,
    Call,
    Copy,
    Delivery,
    Note,
    NoteKind,
    Outcome,
    Posting,
    Query,
    Waiting,
)
from bot.ports.registry import Registry
from bot.ports.writing import Writing

__all__ = [
    "UNOBSERVED",
    "AnchorFile",
    "Ask",
    "AskState",
    "Backlog",
    "Batch",
    "Call",
    "Clock",
    "Copy",
    "Delivery",
    "Directory",
    "Dispatcher",
    "Ledger",
    "MetricSource",
    "Note",
    "NoteKind",
    "Notifier",
    "Observer",
    "Outcome",
    "PolicyFile",
    "Posting",
    "Query",
    "Reading",
    "Registry",
    "ServingProbes",
    "Unobserved",
    "Waiting",
    "Writing",
]
