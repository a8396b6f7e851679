"""The results of gates as rows of a card or an answer."""

from __future__ import annotations

from bot.domain.promotions.request import GateResult, RequestSnapshot
from bot.slack.core.blocks import fitting_rows
from bot.slack.core.mrkdwn import code, escape_and_cut

MAX_GATES = 12
MAX_GATES_LENGTH = 2400  # characters of all gates; the rest is counted


def gate_rows(snapshot: RequestSnapshot, *, is_overridden: bool = False) -> list[str]:
    """Return a line for each gate, the failed ones first. `is_overridden`: someone has overridden the failed ones."""
    failed_first = sorted(snapshot.gates, key=lambda gate: gate.passed)
    rows = fitting_rows(
        [_gate_row(gate, is_overridden=is_overridden) for gate in failed_first[:MAX_GATES]], MAX_GATES_LENGTH
    )
    more = len(failed_first) - len(rows)
    return rows + ([f"and {more} more"] if more > 0 else [])


def _gate_row(gate: GateResult, *, is_overridden: bool) -> str:
    sign = "✅" if gate.passed else "🔶" if is_overridden else "❌"
    note = f" ({escape_and_cut(gate.note, 120)})" if gate.note else ""
    bound = escape_and_cut(gate.bound, 120)
    return f"{sign} {code(gate.name, 80)} {escape_and_cut(gate.value, 120)}, wanted: {bound}{note}"
