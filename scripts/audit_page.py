"""The generated page about the audit log, with an example that anyone can verify."""

from __future__ import annotations

from datetime import UTC, datetime

from bot.domain.audit.anchors import serialize_anchor
from bot.domain.audit.audit_chain import ChainFaultKind
from bot.domain.audit.events import ChainHead, Event, EventTag, canonical_json, chained_hash
from bot.domain.core.actors import Person
from bot.services.audit.streaming import MAX_EVENTS
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

# The audit log

Every action and every refusal is an event, written in the same transaction as the change it describes, so neither
exists without the other. Nothing edits or deletes an event.

{table(["tag", "recorded when"], rows)}

An event has the fields {fields}.

`actor` is a single word: `slack:TEAM/USER`, `client:NAME`, `operator:NAME`, or `automation:NAME`.
`origin` says where the action came from, and `evidence` says what the decision was based on.

## The chain

Each row of `audit_events` has a consecutive number, its event as text (`body`), the hash of the previous row
(`previous`), and its own hash:

    hash = SHA-256(previous + newline + body)

The first row's `previous` is 64 zeros. `body` is JSON with sorted keys, no spaces, and times in UTC, so the same event
always has the same text:

    {body}

Editing, removing, or reordering a row breaks the chain at that row. `audit_head` contains the last number and hash, so
a cut-off end is detected, too. Triggers in the database refuse to change or delete a row. They prevent mistakes, but
don't stop anyone who can drop them.

## Verify

    registrar audit verify
    registrar audit verify --anchor anchor.jsonl

The command reads the ledger named in the settings from the first row to the last. It says that the audit log is intact,
or it names the first altered row, how that row was altered, and what to do. It exits with 0 or 1, so a job can run it
every day, preferably not on the bot's machine. Verifying 100,000 events takes about two seconds; see the
[benchmarks](benchmarks.md#the-audit-log).

{table(["what it finds", "meaning"], kinds)}

`registrar audit export` writes all events as lines of JSON. You can verify them without Registrar: in each line, `body`
is the text that was hashed.

```python
{EXPORTED}
```

An export for a single model, or since a given time, has gaps; you can still compare each line with its own hash.

## Anchors

Someone who can rewrite the head, and every row from some number on, can leave an unbroken chain. Only a head that was
recorded elsewhere reveals that. The policy says where to record it:

    anchor: {{file: /var/lib/registrar/anchor.jsonl, channel: "#audit", every: 1h}}

At this interval, if there are new events, the bot adds a line to the file and posts the same line in the channel:

    {_anchor()}

Anchoring is an event itself (`{EventTag.ANCHORED.value}`). The next anchor covers this event, but the event alone
doesn't cause another anchor. If the file can't be written, the bot says so in the policy's channel and keeps trying.
With `--anchor`, every line is compared with the chain: the earliest change is between the last line that matches and
the first that doesn't. A line that isn't an anchor, or an empty file, is an error (exit code 2), not an intact chain.
A crash or a full disk can cut off the last line. An incomplete anchor is skipped and reported, here and at
startup, and the next anchor starts a new line. This doesn't weaken the anchors: anyone who can cut off a line could
also delete it.

**The bot must be able to append to the file, but not to change it.** Otherwise, anyone who takes over the bot can
rewrite it together with the ledger. The bot opens the file in append mode, with mode 0600, and never shortens it, but
the system has to prevent the rest. Use one of these:

- `chattr +a anchor.jsonl`, set by root: the file can only grow, no matter who owns it. Create it first, for the bot's
  user.
- A pipe (`mkfifo`) that another user's program or `ssh` reads and stores on another machine. Without a reader, nothing
  is anchored, and the bot reports that.
- A disk that another machine shares and takes snapshots of.

**The channel is for people.** They can see the number grow, and look up a hash months later. It doesn't prove anything,
because a bot can edit and delete its own messages, and so can anyone who has its token. A copy that someone else made
is proof.

## Stream

With a stream, another system gets every event within seconds, so it has a copy that the bot can't change:

    audit: {{stream: {{url_env: AUDIT_STREAM_URL, secret_env: AUDIT_STREAM_SECRET}}}}

`stream: AUDIT_STREAM_URL` is short for `url_env`; without `secret_env`, calls are unsigned. Each call is a `POST`
with up to {MAX_EVENTS} events, one per line (`application/x-ndjson`). The lines are the same as from
`registrar audit export`, so the program above verifies the stream, too. The headers are the same as for
[other events](policy.md#the-serving-side): `X-Registrar-Signature`, `X-Registrar-Timestamp`, and
`X-Registrar-Event-Id`. A call is usually smaller than 500 kB; a single event can be larger, such as one with a long
policy.

- **Order.** Events arrive in the order of the chain, starting with the first one in the ledger. The next call follows
  once the endpoint has answered the previous one with a 2xx.
- **At least once.** If a response is lost, the same call is repeated with the same ID. `number` and `hash` identify an
  event, so store each event once.
- **No gaps.** After any other response, even a 4xx, the call is retried at least every five minutes, for as long as it
  takes. Restarts and crashes lose nothing. If the endpoint hasn't accepted events for an hour, the policy's channel
  gets a message, and another when the endpoint works again. `registrar_outbox_oldest_seconds{{to="audit"}}` shows how
  long the next events have been waiting.
- **A different endpoint** starts with the first event. Registrar remembers the last event sent for each variable in
  `url_env`, and for each `url`. So if you only change the variable's value, the stream continues, and the new system
  needs an export of the earlier events. To send it everything, use another variable.
- **Removing the stream** drops the call that's waiting. If you add it again, it continues without a gap.

After the ledger is restored from a backup, new events have numbers that the other system already has, with different
hashes. That's expected, as with [anchors](databases.md#after-a-restore).

The events include people's reasons and the policy's text, so treat the other system like the ledger.

## What this can't show

- *What happened after the last anchor.* Events newer than `every` can be rewritten together with the head. With a
  stream, that's true only of events that haven't been sent.
- *That an event is true.* The chain shows that nothing has been changed since it was written, not that it was true
  then. Anyone who controls the bot from the start can write anything.
- *Who altered it*, or what the original was. For that, compare with a backup or with an earlier export.
- *What was never recorded.* Changes made in MLflow itself are found by polling
  (`{EventTag.TRANSITION_OBSERVED.value}`), without the name of the person who made them.
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
