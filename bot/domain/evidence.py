"""What a request was opened on: figures, gates and rule as they were seen. The card shows it, the audit keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """One gate with what was found and what has to be. All texts are for people; `name` and `bound` tell it apart."""

    name: str
    bound: str
    value: str
    passed: bool
    note: str = ""

    @property
    def key(self) -> str:
        """Return what tells this gate from the others of the rule."""
        return f"{self.name} {self.bound}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The facts that people decide on. `rule` is the fingerprint of the policy's rule, `policy` its revision.

    `metrics` are the candidate's and `against` the incumbent's, without what is missing; `validation` are results of
    the asker's own.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    against: Mapping[str, float] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)
    gates: tuple[GateResult, ...] = ()
    rule: str = ""
    policy: str = ""

    @property
    def failed(self) -> list[GateResult]:
        """Return the gates that did not pass."""
        return [gate for gate in self.gates if not gate.passed]


def pack_seen(seen: Seen) -> dict[str, Any]:
    """Return it as plain JSON values, for the ledger and the audit."""
    return {
        "metrics": dict(seen.metrics), "against": dict(seen.against), "validation": dict(seen.validation),
        "gates": [asdict(gate) for gate in seen.gates], "rule": seen.rule, "policy": seen.policy,
    }  # fmt: skip


def unpack_seen(data: Mapping[str, Any]) -> Seen:
    """Return what `pack_seen` wrote."""
    gates = tuple(GateResult(**gate) for gate in data["gates"])
    return Seen(**{**data, "gates": gates})
