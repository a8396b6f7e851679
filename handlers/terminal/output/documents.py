"""What the terminal's verbs print for programs: one JSON document, or CSV. Light: the help lists the keys from here."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Any

from bot.domain.audit.events import Head
from bot.domain.commands.base import Command
from bot.domain.commands.catalog import (
    Approve,
    Archive,
    Best,
    Cancel,
    Compare,
    Describe,
    History,
    List,
    Override,
    Register,
    Reject,
    Requests,
    Review,
    Rollback,
    SetTags,
    Show,
    Validate,
    Withdraw,
)
from bot.domain.commands.monitoring import MonitorCheck, MonitorList, MonitorShow
from handlers.terminal.command_line.commands import (
    AuditExport,
    AuditShow,
    AuditVerify,
    DbBackup,
    DbCopy,
    DbStatus,
    DbUpgrade,
    HistoryImport,
    PolicyCheck,
    PolicyShow,
    PromoteHere,
)

if TYPE_CHECKING:  # pandas takes a second, and the help needs none
    from bot.domain.core.sentence import Say
    from bot.domain.promotions.snapshot import Seen
    from bot.domain.registry import comparison as compared
    from bot.domain.registry.model import VersionInfo
    from bot.ledger.audit_chain import Fault, Record

_EVENT = {
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

# What the HTTP API answers as well (handlers/api/documents.py makes them).
REQUEST = {
    "id": "the short id: it stands on the card, and /model approve takes it",
    "state": "asked, then pending, approved, executing; at the end done, rejected, cancelled, expired, stale, failed "
    "or refused",
    "is_final": "whether nothing can happen to it any more",
    "model": "the model's name",
    "version": "the version's number; null while it is only asked",
    "semver": "its semver, or null",
    "from": "the stage in which it was",
    "to": "the stage that is asked for",
    "incumbent": "the number of the version that held that stage when it was opened, or null",
    "requester": "who asked, as in the audit",
    "reason": "why",
    "required": "how many different people have to approve",
    "votes": "a list: by, choice (approve or reject), reason, at, counts (false once the voter can no longer vote)",
    "gates": "a list: name, bound (what has to be), value, passed, note",
    "is_blocked": "whether a failed gate stands in the way that nobody has let pass",
    "opened_at": "when its card was written, ISO 8601 in UTC",
    "expires_at": "when it ends if nobody decides",
    "decided_at": "when it was decided, or null",
    "decided_by": "who decided it, or null",
    "outcome": "why it ended so, where there is something to say",
    "review": "of one moved without approvals: due_at, by, at, reason; else null",
    "channel": "where its card is",
    "ci": "the run in which a program asked: repository, run, commit, url",
    "error": "of a refused one the kind: UnknownModel, UnknownVersion, BadInput, GateFailed, AlreadyOpen, Refused, …; "
    "else null",
    "sentence": "how it stands, as a person reads it",
}

VERSION = {
    "model": "the model's name",
    "version": "the new version's number",
    "semver": "its semver",
    "run_id": "the run that it was made of",
    "against": "the number of the version that it was compared with for its semver; null: none",
    "overridden": "whether --bump said the semver's step",
    "why": "why that semver",
    "ask": "the id of what you asked for, as in the audit: ask:ID",
    "sentence": "all that as a person reads it",
}

_SENTENCE = {"sentence": "what a person reads"}
_SCHEMA = {
    "database": "where the ledger is, without its password",
    "revision": "that of its tables, or null where there are none",
    "newest": "the one that this Registrar wants",
    "state": "none, older, current or newer",
}
_ASK = {"ask": "the id of what you asked for, as in the audit: ask:ID"}
_MOVED = {"state": "of the move: done, failed or stale; intended or executing while it goes on"}

# The keys of each verb's document, in their order. They are an interface: none is renamed or taken away.
KEYS: dict[type[Command], dict[str, str]] = {
    Register: VERSION,
    Describe: _ASK | _SENTENCE,
    SetTags: _ASK | _SENTENCE,
    Archive: _ASK | _MOVED | _SENTENCE,
    Rollback: _ASK | _MOVED | _SENTENCE,
    **dict.fromkeys((PromoteHere, Approve, Reject, Withdraw, Override, Cancel, Review), REQUEST),
    List: {
        "models": "a list: model, production and staging (a version's number, or null), aliases (number by name)",
        "all": "how many there are",
        "page": "which page this is",
    },
    Show: {
        "model": "the model's name; with a version stands here instead every field of its card as its value or null, "
        "then missing (the names of the empty ones), completeness (0 to 1), and blocked (as below)",
        "description": "the model's description",
        "versions": "a list, newest first, of all: version, semver, stage, aliases, status, run_id, created_at, "
        "description, blocked (why it's blocked, or null)",
        "requests": "a list of those that are open, each as registrar promote --json prints it",
    },
    Requests: {"requests": "a list of requests that wait, each as registrar promote --json prints it"},
    History: {
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
    MonitorCheck: {"state": "how it stands now, as in registrar monitor show --json", **_SENTENCE},
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
    Best: {
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
        "events": f"a list, newest first: {', '.join(_EVENT)} (as in audit export), and sentence",
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
    AuditExport: _EVENT | {"body": "the event exactly as it was hashed"},
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
    HistoryImport: {
        "file": "the file",
        "sha256": "its SHA-256, as in the audit",
        "rows": "how many rows it has",
        "added": "how many of them are new to the history",
    }
    | _SENTENCE,
    DbStatus: _SCHEMA
    | _SENTENCE
    | {"advice": "what to do, or null", "held": "why work is held after a restore, or null"},
    DbUpgrade: _SCHEMA | {"before": "the revision that its tables had before, or null"} | _SENTENCE,
    DbBackup: {
        "database": "where the ledger is, without its password",
        "file": "the copy",
        "bytes": "how long it is",
        "events": "how many audit events are in it",
        "head": "the last one's hash",
        "whole": "whether its audit is whole; else the exit code is 1, and the copy is kept",
    }
    | _SENTENCE,
    DbCopy: {
        "from": "where the ledger is",
        "to": "where its copy is, without the password",
        "dry_run": "whether it was taken back",
        "rows": "how many rows were copied, by table",
        "events": "how many audit events are among them",
        "head": "the last one's hash, the same in both",
        "whole": "whether the audit is whole",
    }
    | _SENTENCE,
}


def keys_of(verb: type[Command]) -> Mapping[str, str]:
    """Return the keys of a verb's document, each with what it holds."""
    return KEYS.get(verb, _SENTENCE)


def to_json(document: Mapping[str, Any], encoding: str = "utf-8") -> str:
    """Return the document as text for an output of that encoding; what it cannot hold is escaped."""
    return json.dumps(document, ensure_ascii=not _can_hold_all(encoding), allow_nan=False, indent=2) + "\n"


def comparison(found: compared.Comparison, sentence: Say) -> dict[str, Any]:
    """Return the document of a comparison: every version and metric, numbers as exact as floats are."""
    return {
        "model": found.model,
        "incumbent": found.incumbent,
        "metrics": [
            {"name": name, "direction": found.directions[name].value, "best": found.best.get(name)}
            for name in found.metrics
        ],
        "versions": [_version(found, row) for row in range(len(found.frame))],
        "sentence": str(sentence),
    }


def validated(version: VersionInfo, target: str, seen: Seen, sentence: Say) -> dict[str, Any]:
    """Return the document of what the gates say of a version."""
    return {
        "model": version.model,
        "version": version.version,
        "semver": version.semver,
        "to": target,
        "passed": not seen.failed,
        "gates": [
            {"name": gate.name, "bound": gate.bound, "value": gate.value, "passed": gate.passed, "note": gate.note}
            for gate in seen.gates
        ],
        "validation": _numbers(seen.validation),
        "sentence": str(sentence),
    }


def event(record: Record) -> dict[str, Any]:
    """Return an audit row as it is exported: its event, its place in the chain, and the text that was hashed.

    Of a text that is no event only what the row's columns say is there.
    """
    try:
        said = json.loads(record.body)
        said = said if isinstance(said, dict) else {}
    except ValueError:
        said = {}
    row = {"at": record.at, "actor": record.actor, "tag": record.tag, "model": record.model} | said
    own = {"number": record.number, "previous": record.previous, "hash": record.hash, "body": record.body}
    return {key: own[key] if key in own else row.get(key) for key in KEYS[AuditExport]}


def event_line(record: Record, encoding: str = "utf-8") -> str:
    """Return an audit row as a line of JSON."""
    return json.dumps(event(record), ensure_ascii=not _can_hold_all(encoding)) + "\n"


def events_csv(records: Iterable[Record]) -> str:
    """Return audit rows as lines of CSV without a heading: the columns are the keys of a line of JSON."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(KEYS[AuditExport]), lineterminator="\n")
    for record in records:
        row = event(record)
        row["evidence"] = json.dumps(row["evidence"], ensure_ascii=False, sort_keys=True)
        writer.writerow({key: _harmless(value) for key, value in row.items()})
    return text.getvalue()


def verified(
    fault: Fault | None, head: Head, anchors: int | None, unreviewed: list[str], sentence: Say, advice: Say | None
) -> dict[str, Any]:
    """Return the document of a verification."""
    return {
        "whole": fault is None,
        "events": head.number,
        "head": head.hash,
        "anchors": anchors,
        "unreviewed": unreviewed,
        "fault": fault and {"number": fault.number, "last": fault.last, "kind": fault.kind.value, "why": fault.why},
        "sentence": str(sentence),
        "advice": str(advice) if advice else None,
    }


def best(winner: compared.Best, sentence: Say) -> dict[str, Any]:
    """Return the document of a metric's winner."""
    blocked = str(winner.blocked) if winner.blocked else None
    return {name: _plain(value) for name, value in asdict(winner).items()} | {
        "blocked": blocked,
        "sentence": str(sentence),
    }


def best_csv(winner: compared.Best, sentence: Say) -> str:
    """Return the winner as CSV, a heading and one row: the columns are the keys of the JSON document."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(KEYS[Best]), lineterminator="\n")
    writer.writeheader()
    writer.writerow({name: _harmless(value) for name, value in best(winner, sentence).items()})
    return text.getvalue()


def _version(found: compared.Comparison, row: int) -> dict[str, Any]:
    facts = found.frame.iloc[row]
    created = facts["created_at"]
    return {
        "version": found.versions[row],
        "semver": facts["semver"],
        "stage": facts["stage"],
        "run_id": facts["run_id"],
        "created_at": f"{created:%Y-%m-%dT%H:%M:%SZ}" if created == created else None,  # noqa: PLR0124 - NaT is not
        "metrics": _numbers(found.row(row)),
        "deltas": _numbers(found.gaps(row)),
        "blocked": str(found.blocked[found.versions[row]]) if found.versions[row] in found.blocked else None,
    }


def _can_hold_all(encoding: str) -> bool:
    return encoding.lower().replace("-", "").startswith("utf")


def _numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: no NaN, no infinity, an enumeration's word."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    return getattr(value, "value", value)


def _harmless(value: object) -> object:
    """Put an apostrophe before text that a spreadsheet would read as a formula, as `comparison.to_csv` does."""
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA else value


_FORMULA = {"=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"}
