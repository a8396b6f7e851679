"""The generated page about the audit, with an example that anybody can verify."""

from __future__ import annotations

from datetime import UTC, datetime

from bot.domain.audit.anchors import serialize_anchor
from bot.domain.audit.audit_chain import ChainFaultKind
from bot.domain.audit.events import ChainHead, Event, EventTag, canonical_json, chained_hash
from bot.domain.core.actors import Person
from scripts.markdown import MADE, as_sentence, comments, table


def audit() -> str:
    """Return docs/audit.md."""
    tags = comments(EventTag)
    rows = [[f"`{tag.value}`", as_sentence(tags[tag.name])] for tag in EventTag]
    fields = ", ".join(f"`{name}`" for name in Event.__dataclass_fields__)
    body = _example()
    found = comments(ChainFaultKind)
    kinds = [[f"*{kind.value}*", as_sentence(found[kind.name])] for kind in ChainFaultKind]
    return f"""{MADE}

# The audit

Every act and every refusal is an event, written in the same transaction as what it tells of: neither is there without
the other. Nothing edits or deletes an event.

{table(["tag", "written when"], rows)}

An event holds {fields}.

`actor` is one word: `slack:TEAM/USER`, `client:NAME`, `operator:NAME` or `automation:NAME`.
`origin` says where the act came from, `evidence` what it was decided on.

## The chain

Each row of `audit_events` has a number without gaps, its event as text (`body`), the hash of the row before it
(`previous`) and its own:

    hash = SHA-256(previous + line end + body)

The first row's `previous` is 64 zeros. `body` is JSON with sorted keys, no spaces, and times in UTC, so the same event
is always the same text:

    {body}

Whoever edits, removes or reorders a row breaks the chain there; `audit_head` holds the last number and hash, so a
cut-off end shows as well. The database itself refuses to change or delete a row; these triggers stop a slip, and not
somebody who may drop them.

## Verify

    registrar audit verify
    registrar audit verify --anchor anchor.jsonl

reads the ledger that the settings name, from the first row to the last, and says in one sentence that it is whole, or
which is the first row that is not, what was done to it, and what to do. It exits with 0 or 1, so that a job can run it
every day; best on a machine that is not the bot's. A hundred thousand events take about two seconds; the figures are
among the [benchmarks](benchmarks.md#the-audit).

{table(["what it finds", "that is"], kinds)}

`registrar audit export` writes everything as lines of JSON. They need no Registrar to be verified: in each, `body` is
the text that was hashed.

```python
{EXPORTED}
```

An export of one model, or since some time, has gaps; in it each line can still be compared with its own hash.

## Anchors

Somebody who can rewrite every row from some number on, and the head, leaves a chain that is whole. Only a head that was
written down elsewhere finds that out. The policy says where:

    anchor: {{file: /var/lib/registrar/anchor.jsonl, channel: "#audit", every: 1h}}

Every so often, if anything has happened since, the bot adds a line to the file and says the same in the channel:

    {_anchor()}

That is an event too (`{EventTag.ANCHORED.value}`), which is anchored the next time, and alone is no reason to anchor.
A file that cannot be written is told in the policy's channel, and tried again. With `--anchor` every line is compared
with the chain: the first one that does not agree, and the last one before it that does, say between which numbers the
earliest change lies. A line that is no anchor, or an empty file, is an error (exit code 2), and not an intact chain.

**The file must be where the bot can add and not change**, else whoever takes over the bot rewrites it together with the
ledger. The bot opens it to append, with mode 0600, and never shortens it; but it is the system that has to
forbid the rest. Any of these does:

- `chattr +a anchor.jsonl`, set by root: the file can only grow, whoever owns it. Make it first, for the bot's user.
- A pipe (`mkfifo`) that a program of another user, or `ssh`, reads and stores on another machine. Without a reader
  nothing is anchored, and that is told.
- A disk that another machine shares out and keeps snapshots of.

**The channel is for people.** They can see the number grow, and read a hash months later. It is no proof: a bot can
edit and delete its own messages, and who has its token can, too. A copy that somebody else made of one is.

What an anchor cannot show:

- *What happened after the last one.* Events younger than `every` can be rewritten together with the head.
- *That an event is true.* The chain says that nothing was changed since it was written; not that it was right then.
  Whoever controls the bot from the start writes what they like.
- *Who did it*, or what stood there before. For that compare with a backup, or with an export that was kept.
- *What was never written.* What people do in MLflow itself is found by looking
  (`{EventTag.TRANSITION_OBSERVED.value}`), with the name of nobody.
"""


EXPORTED = """\
import hashlib, json, sys

last = "0" * 64
for line in sys.stdin:
    row = json.loads(line)
    assert row["previous"] == last, row["number"]
    last = hashlib.sha256(f"{last}\\n{row['body']}".encode()).hexdigest()
    assert row["hash"] == last, row["number"]
print(last)"""


def _anchor() -> str:
    return serialize_anchor(
        ChainHead(3, chained_hash("0" * 64, _example())), datetime(2026, 5, 4, 13, tzinfo=UTC)
    ).rstrip()


def _example() -> str:
    event = Event(
        at=datetime(2026, 5, 4, 12, 30, tzinfo=UTC),
        actor=Person("T0LOCAL", "U0BOB"),
        tag=EventTag.VOTED,
        subject="r4k7q",
        model="churn",
        origin="slack",
        evidence={"approvals": 1, "choice": "approve", "required": 2},
    )
    return canonical_json(event, 3)
