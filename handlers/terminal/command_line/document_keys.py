"""The keys of the documents that the terminal's commands print."""

from __future__ import annotations

from collections.abc import Mapping

from bot.domain.commands.base import Command
from bot.domain.commands.monitoring import MonitorCheck, MonitorList, MonitorShow
from bot.domain.commands.promotions import Approve, Cancel, ListRequests, Override, Reject, Review, Validate, Withdraw
from bot.domain.commands.registry import Archive, Compare, Describe, FindBest, ListModels, Register, SetTags, ShowModel
from bot.domain.commands.rollbacks import Rollback, ShowHistory
from handlers.api import schemas
from handlers.terminal.command_line.commands import (
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

_EVENT_KEYS = {
    "number": "its place in the chain",
    "at": "when (ISO 8601, UTC)",
    "actor": "who: slack:TEAM/USER, client:NAME, operator:NAME or automation:NAME",
    "tag": "what, as source:subject:action",
    "subject": "on what",
    "model": "of which model, or null",
    "before": "what was, or null",
    "after": "what is since, or null",
    "why": "the reason",
    "origin": "where it came from: slack, terminal, api or job",
    "evidence": "what it was decided on, an object",
    "previous": "the hash of the event before it",
    "hash": "its own: SHA-256 of previous, a line end and body",
}
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
    Register: schemas.document_keys(schemas.VersionDocument),
    Describe: _COMMAND_KEY | _SENTENCE_KEY,
    SetTags: _COMMAND_KEY | _SENTENCE_KEY,
    Archive: _COMMAND_KEY | _TRANSITION_STATE_KEY | _SENTENCE_KEY,
    Rollback: _COMMAND_KEY | _TRANSITION_STATE_KEY | _SENTENCE_KEY,
    **dict.fromkeys((PromoteFromTerminal, Approve, Reject, Withdraw, Override, Cancel, Review), _REQUEST_KEYS),
    ListModels: {
        "models": "a list: model, production and staging (a version's number, or null), aliases (number by name)",
        "all": "how many there are",
        "page": "which page this is",
    },
    ShowModel: {
        "model": "the model's name; with a version stands here instead every field of its card as its value or null, "
        "then missing (the names of the empty ones), completeness (0 to 1), and blocked (as below)",
        "description": "the model's description",
        "versions": "a list, newest first, of all: version, semver, stage, aliases, status, run_id, created_at, "
        "description, blocked (why it's blocked, or null)",
        "requests": "a list of those that are open, each as registrar promote --json prints it",
    },
    ListRequests: {"requests": "a list of requests that wait, each as registrar promote --json prints it"},
    ShowHistory: {
        "model": "the model's name",
        "served": "a list, newest first: version, since, until (null: serves now), cause, move, request, "
        "sentence, and of a request: requested_by, approved_by (a list), overridden_by (or null) and override_reason",
        "watched": "since when Registrar knows of it",
        "sentence": "with --at: who served then",
    },
    MonitorList: {
        "monitors": "a list, the worst first, each as registrar monitor show --json prints it",
        "false_rollbacks": "what to expect of armed monitors, or null if none is armed: armed, counted (how many of "
        "them have a figure), per_month (the most rollbacks without a cause to expect of those counted), "
        "thresholds, hard_limits and others (how many have no figure), sentence",
    },
    MonitorCheck: {"state": "how it stands now, as in registrar monitor show --json", **_SENTENCE_KEY},
    MonitorShow: {
        "model": "the model's name",
        "name": "the monitor's name",
        "state": "disabled, warmup, ok, pending, failed, no data, error, or can't judge",
        "is_paused": "whether it is paused",
        "version": "the version that it judges, or null",
        "value": "the last value, or null; for counts, the proportion",
        "total": "for counts, the total of the last value; otherwise null",
        "bound": "what it was judged against, or null",
        "at": "when it was checked last, or null",
        "judged_at": "when it last gave a verdict, or null",
        "why": "what the last check came to, such as why it can't judge; or null",
        "does": "what a failure does now: dry_run, notify, ask or auto",
        "rule": "everything that it was told",
        "sentence": "how it stands, as a person reads it",
    },
    Validate: {
        "model": "the model's name",
        "version": "the version's number",
        "semver": "its semver, or null",
        "to": "whose gates: Staging or Production",
        "passed": "whether every gate passes",
        "gates": "a list, in the policy's order: name, bound (what has to be), value, passed, note",
        "validation": "the results that were handed over, by metric",
        "sentence": "all that as a person reads it",
    },
    Compare: {
        "model": "the model's name",
        "incumbent": "the number of the version in Production, or null",
        "metrics": "a list, in order: name, direction (higher or lower is better), best (a version's number, or null)",
        "versions": "a list, newest first: version, semver, stage, run_id, created_at (ISO 8601, UTC), metrics (value "
        "by name), deltas (value minus the incumbent's, by name), and blocked (why it's blocked, or null)",
        "sentence": "what a person would say of it",
    },
    FindBest: {
        "model": "the model's name",
        "metric": "the metric",
        "direction": "the end of the scale that wins: higher or lower",
        "version": "the winner's number",
        "stage": "its stage: None, Staging, Production or Archived",
        "semver": "its semver, or null",
        "run_id": "its run, or null",
        "value": "its value",
        "runner_up": "the number of the best of the others, or null",
        "lead": "how far ahead of the runner-up, never negative, or null",
        "incumbent": "the number of the version in Production, or null",
        "margin": "how far ahead of the incumbent; null where it is the winner itself, or has no value",
        "blocked": "why the winner is blocked, or null",
        "sentence": "all that as a person reads it",
    },
    AuditShow: {
        "events": f"a list, newest first: {', '.join(_EVENT_KEYS)} (as in audit export), and sentence",
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
    AuditExport: _EVENT_KEYS | {"body": "the event exactly as it was hashed"},
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
    return DOCUMENT_KEYS.get(command, _SENTENCE_KEY)
