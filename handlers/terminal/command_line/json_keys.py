"""The keys of the JSON documents that the terminal's commands print."""

from __future__ import annotations

from collections.abc import Mapping

from bot.domain.audit.export import EVENT_KEYS
from bot.domain.commands.base import Change, Command, RegistryChange
from bot.domain.commands.monitoring import MonitorCheck
from bot.domain.commands.registry import Archive, Register
from bot.domain.commands.rollbacks import Rollback
from bot.domain.evidence.report import REPORT_KEYS
from handlers.api import schemas
from handlers.terminal import comparisons, monitors, queries
from handlers.terminal.command_line.terminal_only_commands import (
    AuditEvidence,
    AuditExport,
    AuditShow,
    AuditVerify,
    DbBackup,
    DbCopy,
    DbStatus,
    DbUpgrade,
    ImportHistory,
    KeysInit,
    KeysList,
    KeysRotate,
    PolicyCheck,
    PolicyShow,
    PromoteFromTerminal,
    Replay,
)

_REQUEST_KEYS = schemas.document_keys(schemas.RequestDocument)
_SENTENCE_KEY = {"sentence": "a human-readable message"}
_SCHEMA_KEYS = {
    "database": "the ledger's URL, without the password",
    "revision": "the revision of its tables, or null if it has none",
    "newest": "the revision that this version of Registrar needs",
    "state": "none, older, current, or newer",
}
_KEY_KEYS = {
    "key": "the ID of the new key",
    "public_key": "the file with its public key, for those who verify passports",
    "issued": "how many passports were issued; null with --folder",
    **_SENTENCE_KEY,
}
_COMMAND_KEY = {"ask": "the command's ID, which the audit log records as ask:ID"}
_TRANSITION_STATE_KEY = {
    "state": "the transition's state: done, failed, or `stale` (outdated); until then, intended or executing"
}


# The keys of each command's document, in order. They're a public interface: never rename or remove one.
DOCUMENT_KEYS: dict[type[Command], Mapping[str, str]] = {
    **queries.KEYS,
    **comparisons.KEYS,
    **monitors.KEYS,
    Register: schemas.document_keys(schemas.VersionDocument),
    PromoteFromTerminal: _REQUEST_KEYS,
    Archive: _COMMAND_KEY | _TRANSITION_STATE_KEY | _SENTENCE_KEY,
    Rollback: _COMMAND_KEY | _TRANSITION_STATE_KEY | _SENTENCE_KEY,
    MonitorCheck: {"state": "the monitor's state, as in registrar monitor show --json", **_SENTENCE_KEY},
    KeysInit: _KEY_KEYS,
    KeysRotate: _KEY_KEYS,
    KeysList: {
        "keys": "a list, oldest first: id, created_at, active (it signs now), can_sign (its private key is here), and "
        "public_key (the file)",
    },
    AuditShow: {
        "events": f"a list, newest first: {', '.join(list(EVENT_KEYS)[:-1])} (as in audit export), and sentence",
        "more": "whether there are older events",
        "unreviewed": "the IDs of break-glass promotions that no one has reviewed yet",
    },
    AuditVerify: {
        "whole": "whether the audit log is intact",
        "events": "the number of events, according to the head",
        "head": "the last event's hash",
        "anchors": "the number of anchors compared, or null without --anchor",
        "torn_lines": "a list of the anchor file's lines that were skipped because the write was interrupted",
        "unreviewed": "the IDs of break-glass promotions that no one has reviewed yet",
        "fault": "null, or an object: number, last (the last of the suspect entries, or null), kind (edited, missing, "
        "inserted, swapped, cut off, or rewritten), why",
        "sentence": "a human-readable message",
        "advice": "what to do next, or null",
    },
    AuditEvidence: REPORT_KEYS,
    AuditExport: EVENT_KEYS,
    Replay: {
        "request": "the request's ID",
        "agrees": "true if all steps agree, false if one differs, or null if details of some weren't recorded",
        "steps": "a list: event (its number), name, recorded, derived (or null), agrees (or null)",
    }
    | _SENTENCE_KEY,
    PolicyShow: {
        "model": "the model's name",
        "pattern": "the pattern that applies, or null",
        "channel": "its channel",
        "policy": "the revision: the beginning of the file's SHA-256",
        "sentences": "a list of the rules, in human-readable form",
    },
    PolicyCheck: {
        "file": "the file",
        "valid": "whether the file is valid",
        "policy": "its revision, or null",
        "faults": "a list of errors",
        "notices": "a list of notices about a valid file",
    },
    ImportHistory: {
        "file": "the file",
        "sha256": "its SHA-256, as in the audit log",
        "rows": "the number of rows in it",
        "added": "the number of rows added to the history",
    }
    | _SENTENCE_KEY,
    DbStatus: _SCHEMA_KEYS
    | _SENTENCE_KEY
    | {"advice": "what to do next, or null", "held": "why work is on hold after a restore, or null"},
    DbUpgrade: _SCHEMA_KEYS | {"before": "the tables' previous revision, or null"} | _SENTENCE_KEY,
    DbBackup: {
        "database": "the ledger's URL, without the password",
        "file": "the backup file",
        "bytes": "the backup's size in bytes",
        "events": "the number of audit events in it",
        "head": "the last event's hash",
        "whole": "whether its audit log is intact; otherwise the exit code is 1, and the file is kept",
    }
    | _SENTENCE_KEY,
    DbCopy: {
        "from": "the ledger's URL",
        "to": "the copy's URL, without the password",
        "dry_run": "whether this was a dry run, which was rolled back",
        "rows": "the number of copied rows, by table",
        "events": "the number of audit events among them",
        "head": "the last event's hash, the same in both",
        "whole": "whether the audit log is intact",
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
