"""The generated page about audit events, with an example that anyone can verify."""

from __future__ import annotations

from datetime import UTC, datetime

from bot.domain.audit.anchors import serialize_anchor
from bot.domain.audit.audit_chain import ChainFaultKind
from bot.domain.audit.events import ChainHead, Event, EventTag, canonical_json, chained_hash
from bot.domain.core.actors import Person
from scripts.markdown import MADE, as_sentence, comments, table


def audit_events() -> str:
    """Return docs/reference/audit-events.md."""
    tags, found = comments(EventTag), comments(ChainFaultKind)
    rows = [[f"`{tag.value}`", as_sentence(tags[tag.name])] for tag in EventTag]
    kinds = [[f"*{kind.value}*", as_sentence(found[kind.name])] for kind in ChainFaultKind]
    fields = ", ".join(f"`{name}`" for name in Event.__dataclass_fields__)
    return f"""{MADE}

# Audit events

Actions and refusals are events in the [audit log](../operations/audit-log.md).

{table(["tag", "recorded when"], rows)}

## Fields

An event has the fields {fields}.

`actor` is a single word: `slack:TEAM/USER`, `client:NAME`, `operator:NAME`, or `automation:NAME`.
`origin` says where the action came from, and `evidence` says what the decision was based on.

In the ledger and in exports, an event is text (`body`): JSON with sorted keys, no spaces, and times in UTC, so the same
event always has the same text:

    {_example()}

An anchor is a line like this:

    {_anchor()}

## What `registrar audit verify` finds

{table(["what it finds", "meaning"], kinds)}

## Verify an export without Registrar

`registrar audit export` writes all events as lines of JSON. In each line, `body` is the text that was hashed.

```python
{EXPORTED}
```

An export for a single model, or since a given time, has gaps; you can still check each line against its own hash.
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
