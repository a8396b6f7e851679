"""The keys of the documents that the terminal's commands print."""

from __future__ import annotations

from collections.abc import Mapping

from bot.domain.commands.base import Change, Command, RegistryChange
from bot.domain.commands.monitoring import MonitorCheck
from bot.domain.commands.registry import Archive, Register
from bot.domain.commands.rollbacks import Rollback
from handlers.api import schemas
from handlers.terminal import comparisons, monitors, queries
from handlers.terminal.command_line.terminal_only_commands import (
    AuditExport,
    AuditShow,
    AuditVerify,
    DbBackup,
    DbCopy,
    DbStatus,
    DbUpgrade,
    ImportHistory,
    PolicyCheck,
    PolicyShow,
    PromoteFromTerminal,
)
from handlers.terminal.output.documents import EVENT_KEYS

_REQUEST_KEYS = schemas.document_keys(schemas.RequestDocument)
_SENTENCE_KEY = {"sentence": "what a person reads"}
_SCHEMA_KEYS = {
    "database": "where the ledger is, without its password",
    "revision": "that of its tables, or null where there are none",
    "newest": "the one that this Registrar wants",
    "state": "none, older, current or newer",
}
_COMMAND_KEY = {"ask": "the id of what you asked for, as in the audit: ask:ID"}
_TRANSITION_STATE_KEY = {"state": "of the move: done, failed or stale; intended or executing while it goes on"}


# The keys of each command's document, in order. They are an interface: none is renamed or removed.
DOCUMENT_KEYS: dict[type[Command], Mapping[str, str]] = {
    **queries.KEYS,
    **comparisons.KEYS,
    **monitors.KEYS,
    Register: schemas.document_keys(schemas.VersionDocument),
    PromoteFromTerminal: _REQUEST_KEYS,
    Archive: _COMMAND_KEY | _TRANSITION_STATE_KEY | _SENTENCE_KEY,
    Rollback: _COMMAND_KEY | _TRANSITION_STATE_KEY | _SENTENCE_KEY,
    MonitorCheck: {"state": "how it stands now, as in registrar monitor show --json", **_SENTENCE_KEY},
    AuditShow: {
        "events": f"a list, newest first: {', '.join(list(EVENT_KEYS)[:-1])} (as in audit export), and sentence",
        "more": "whether there are older ones",
        "unreviewed": "the ids of requests that were moved without approvals and that nobody has reviewed yet",
    },
    AuditVerify: {
        "whole": "whether it is",
        "events": "how many events there are by the head",
        "head": "the last one's hash",
        "anchors": "how many anchors were compared; null: none was asked for",
        "unreviewed": "the ids of requests that were moved without approvals and that nobody has reviewed yet",
        "fault": "null, or number, last (null, or the last of the rows of which it is one), kind (edited, missing, "
        "inserted, swapped, cut off or rewritten) and why",
        "sentence": "all that as a person reads it",
        "advice": "what to do, or null",
    },
    AuditExport: EVENT_KEYS,
    PolicyShow: {
        "model": "the model's name",
        "pattern": "the pattern that holds, or null",
        "channel": "its channel",
        "policy": "the revision: what the file's SHA-256 begins with",
        "sentences": "a list: what holds, as a person reads it",
    },
    PolicyCheck: {
        "file": "the file",
        "valid": "whether it can be used",
        "policy": "its revision, or null",
        "faults": "a list: everything that is wrong",
        "notices": "a list: what can be used, and is worth knowing",
    },
    ImportHistory: {
        "file": "the file",
        "sha256": "its SHA-256, as in the audit",
        "rows": "how many rows it has",
        "added": "how many of them are new to the history",
    }
    | _SENTENCE_KEY,
    DbStatus: _SCHEMA_KEYS
    | _SENTENCE_KEY
    | {"advice": "what to do, or null", "held": "why work is held after a restore, or null"},
    DbUpgrade: _SCHEMA_KEYS | {"before": "the revision that its tables had before, or null"} | _SENTENCE_KEY,
    DbBackup: {
        "database": "where the ledger is, without its password",
        "file": "the copy",
        "bytes": "how long it is",
        "events": "how many audit events are in it",
        "head": "the last one's hash",
        "whole": "whether its audit is whole; else the exit code is 1, and the copy is kept",
    }
    | _SENTENCE_KEY,
    DbCopy: {
        "from": "where the ledger is",
        "to": "where its copy is, without the password",
        "dry_run": "whether it was taken back",
        "rows": "how many rows were copied, by table",
        "events": "how many audit events are among them",
        "head": "the last one's hash, the same in both",
        "whole": "whether the audit is whole",
    }
    | _SENTENCE_KEY,
}


def document_keys(command: type[Command]) -> Mapping[str, str]:
    """Return the keys of a command's document, each with its description."""
    if command in DOCUMENT_KEYS:
        return DOCUMENT_KEYS[command]
    if issubclass(command, Change) and "request" in command.model_fields:
        return _REQUEST_KEYS
    return _COMMAND_KEY | _SENTENCE_KEY if issubclass(command, RegistryChange) else _SENTENCE_KEY
