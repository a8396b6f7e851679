"""The generated page about evidence reports: controls, kinds of exceptions, and the keys of the JSON."""

from __future__ import annotations

from bot.domain.evidence.controls import NEVER_SHOWN, Control, ExceptionKind
from bot.domain.evidence.population import CHANGE_KEYS
from bot.domain.evidence.report import DRAWING, REPORT_KEYS
from scripts.markdown import MADE, as_sentence, table


def evidence() -> str:
    """Return docs/reference/evidence.md."""
    controls = [[f"`{one.value}`", one.text.title, one.text.asks, " ".join(one.text.not_shown)] for one in Control]
    kinds = [[f"`{kind.code}`", kind.meaning] for kind in ExceptionKind]
    keys, changes = (
        [[f"`{key}`", as_sentence(meaning)] for key, meaning in found.items()] for found in (REPORT_KEYS, CHANGE_KEYS)
    )
    never = "\n".join(f"- {sentence}" for sentence in NEVER_SHOWN)
    return f"""{MADE}

# Evidence reports

`registrar audit evidence` reports what the ledger shows about a control, as text, JSON, or one HTML page.
[Answer an auditor](../how-to/answer-an-auditor.md) describes how to use it. A report isn't legal advice.

{table(["control", "title", "it asks", "the report doesn't show"], controls)}

No report shows:

{never}

## Exceptions

{table(["kind", "meaning"], kinds)}

## JSON

{table(["key", "meaning"], keys)}

Each change in `population` and `sample` has these keys:

{table(["key", "meaning"], changes)}

The sample: {DRAWING[0].lower()}{DRAWING[1:]}
"""
