"""TODO bot.slack.policy.gate_rows"""

from __future__ import annotations

from bot.domain.promotions.snapshot import GateResult, Seen
from bot.slack.core.blocks import first
from bot.slack.core.mrkdwn import code, fit

GATES_MOST = 12


GATES_TEXT = 2400  # characters of all gates; the rest is counted


def gate_rows(seen: Seen, *, passed_over: bool = False) -> list[str]:
    """Return a line for each gate, the failed ones first; `passed_over`: somebody has let them pass."""
    failed_first = sorted(seen.gates, key=lambda gate: gate.passed)
    rows = first([_gate(gate, passed_over=passed_over) for gate in failed_first[:GATES_MOST]], GATES_TEXT)
    more = len(failed_first) - len(rows)
    return rows + ([f"and {more} more"] if more > 0 else [])


def _gate(gate: GateResult, *, passed_over: bool) -> str:
    sign = "✅" if gate.passed else "🔶" if passed_over else "❌"
    note = f" ({fit(gate.note, 120)})" if gate.note else ""
    return f"{sign} {code(gate.name, 80)} {fit(gate.value, 120)}, wanted: {fit(gate.bound, 120)}{note}"
