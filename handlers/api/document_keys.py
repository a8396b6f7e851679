"""The keys of the documents that both the HTTP API and the terminal return."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # pandas takes a second to load, and the help doesn't need it
    pass


# The HTTP API returns these as well (handlers/api/documents.py builds them).
REQUEST_KEYS = {
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
VERSION_KEYS = {
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
