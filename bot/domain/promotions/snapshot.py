"""Metrics, gates, and the rule when a request was opened. The card shows them; the audit log keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bot.domain.registry.signature_changes import CallerImpact, pack_caller_impact, unpack_caller_impact


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """The result of one gate: the value and the bound. All texts are for people; `name` and `bound` identify it."""

    name: str
    bound: str
    value: str
    passed: bool
    note: str = ""

    @property
    def key(self) -> str:
        """Return what distinguishes this gate from the rule's others."""
        return f"{self.name} {self.bound}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSnapshot:
    """The facts that approvers decide on. `rule` is the fingerprint of the policy's rule, `policy` its revision.

    `metrics` are the candidate's and `against` the incumbent's, without missing ones; `validation` are results that
    the requester reported; `callers` is what changes for callers, if that was compared; `blocked` is the number of the
    blocked version: the candidate, or another number for the same files.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    against: Mapping[str, float] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)
    gates: tuple[GateResult, ...] = ()
    rule: str = ""
    policy: str = ""
    callers: CallerImpact = field(default_factory=CallerImpact)
    blocked: int | None = None
    former: Mapping[str, str | None] = field(default_factory=dict)  # tags that opening it replaced; None: absent

    def fails_gate(self, name: str) -> bool:
        """Return whether a gate of this name failed."""
        return any(gate.name == name for gate in self.failed_gates)

    @property
    def failed_gates(self) -> list[GateResult]:
        """Return the failed gates."""
        return [gate for gate in self.gates if not gate.passed]


def pack_snapshot(snapshot: RequestSnapshot) -> dict[str, Any]:
    """Return the snapshot as plain JSON values, for the ledger and the audit log."""
    optional_fields: dict[str, Any] = (
        {} if snapshot.callers == CallerImpact() else {"callers": pack_caller_impact(snapshot.callers)}
    )
    optional_fields |= {} if snapshot.blocked is None else {"blocked": snapshot.blocked}
    return {
        "metrics": dict(snapshot.metrics),
        "against": dict(snapshot.against),
        "validation": dict(snapshot.validation),
        "gates": [asdict(gate) for gate in snapshot.gates],
        "rule": snapshot.rule,
        "policy": snapshot.policy,
    } | optional_fields


def unpack_snapshot(data: Mapping[str, Any]) -> RequestSnapshot:
    """Return the snapshot that `pack_snapshot` wrote, with the former tags if they're stored."""
    gates = tuple(GateResult(**gate) for gate in data["gates"])
    return RequestSnapshot(**{**data, "gates": gates, "callers": unpack_caller_impact(data.get("callers"))})
