"""Twenty requests for reading tests of the card: ten with a planted fault, ten without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from bot.domain.core.actors import Client
from bot.domain.core.agent import introduce_agent
from bot.domain.core.ci_run import CiRun
from bot.domain.core.sentence import Code, say
from bot.domain.policy.freezes import ActiveFreeze
from bot.domain.policy.gate_config import Gate
from bot.domain.policy.parser import validate_policy
from bot.domain.policy.policy import Policy
from bot.domain.promotions.approvers import describe_starter, pending_approvers, waiting_for_approvers
from bot.domain.promotions.gates import GateFacts, check_gates
from bot.domain.promotions.request import Request, RequestSnapshot
from bot.domain.promotions.votes import Vote
from bot.domain.registry.metric_catalog import MetricCatalog
from bot.domain.registry.model import ModelPackage, Signature, SignatureColumn, Stage, VersionInfo
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.registry.signature_changes import CallerEffect, caller_impact, no_rollback_reason
from bot.slack.core.blocks import Message
from bot.slack.promotions.request_card import request_card
from tests.support.slack.worst_case_values import ALICE, BOB, NOW, a_block, votes

GATES = [
    {"metric": "f1", "at_least": 0.85, "not_worse_than_incumbent_by": 0},
    {"metric": "latency_ms", "at_most": 120},
    {"signature": "compatible"},
]
METRICS = {
    "f1": {"decimals": 3, "noise": 0.005},
    "latency_ms": {"unit": "ms", "decimals": 0, "direction": "lower", "noise": 2},
    "auc": {"decimals": 3},
    "size_mb": {"unit": "MB", "decimals": 1},
}
INCUMBENT = {"f1": 0.886, "latency_ms": 48.0, "auc": 0.941, "size_mb": 12.4, "log_loss": 0.31}
BETTER = {"f1": 0.912, "latency_ms": 38.0, "auc": 0.953, "size_mb": 12.1, "log_loss": 0.27}
INPUTS = ("age:double", "plan:string", "tenure:long")
OUTPUTS = ("score:double",)


def a_policy(**production: Any) -> Policy:
    """Return the policy of the examples; `production` changes its rule."""
    rule = {"approvers": ["U0BOB", "U0CAROL"], "override": ["U0ANN"], "gates": GATES} | production
    return validate_policy({"models": {"*": {"production": rule, "metrics": METRICS}}})


@dataclass(frozen=True, slots=True, kw_only=True)
class CardExample:
    """A request, everything that its card depends on, the right decision, and what must be given as its reason."""

    name: str
    request: Request
    decision: str
    reason: str
    votes: Sequence[Vote] = ()
    freeze: ActiveFreeze | None = None
    block: RollbackBlock | None = None
    policy: Policy = field(default_factory=a_policy)

    @property
    def metrics(self) -> MetricCatalog:
        """What the policy says about the metrics."""
        return self.policy.metrics_for(self.request.model)

    def card(self) -> Message:
        """Return the card, as the bot posts it."""
        pending = pending_approvers(self.request, self.votes, self.policy)
        return request_card(
            self.request,
            self.votes,
            metrics=self.metrics,
            freeze=self.freeze,
            block=self.block,
            status=waiting_for_approvers(pending, None),
            starter=describe_starter(self.request, self.policy),
        )


def _signature(inputs: Sequence[str], outputs: Sequence[str] = OUTPUTS) -> Signature:
    def columns(specs: Sequence[str]) -> tuple[SignatureColumn, ...]:
        return tuple(
            SignatureColumn(name=name, type=kind.rstrip("?"), required=not kind.endswith("?"))
            for name, kind in (spec.split(":") for spec in specs)
        )

    return Signature(inputs=columns(inputs), outputs=columns(outputs))


def a_snapshot(
    metrics: Mapping[str, float],
    *,
    against: Mapping[str, float] | None = None,
    inputs: Sequence[str] = INPUTS,
    policy: Policy | None = None,
    incumbent: int | None = 6,
    **facts: Any,
) -> RequestSnapshot:
    """Return the snapshot of v7 with these metrics, checked by the policy's gates."""
    policy = policy or a_policy()
    rule = policy.rules_for("churn").rule(Stage.PRODUCTION)
    gates: Sequence[Gate] = rule.gates if rule else ()
    old, new = _signature(INPUTS), _signature(inputs)
    against = INCUMBENT if against is None else against
    known = GateFacts(
        version=VersionInfo(model="churn", version=7, stage=Stage.STAGING),
        now=NOW,
        incumbent=incumbent,
        metrics=metrics,
        incumbent_metrics=against,
        signature=new,
        incumbent_signature=old if incumbent else None,
        directions=policy.metrics_for("churn").directions,
        **facts,
    )
    packages = ModelPackage(signature=new), ModelPackage(signature=old)
    snapshot = RequestSnapshot(
        metrics=metrics,
        against=against,
        validation=known.validation,
        gates=check_gates(gates, known),
        rule="0" * 16,
        policy="3f9ab2c41d07",
        blocked=known.block.version if known.block else None,
    )
    if incumbent is None:
        return snapshot
    impact = caller_impact(*packages, 7, incumbent)
    breaks = bool(impact.sentences(CallerEffect.BREAKS))
    no_rollback = no_rollback_reason(*packages, incumbent) if breaks else None
    return replace(snapshot, callers=replace(impact, no_rollback=no_rollback))


def snapshot_of_older_release(metrics: Mapping[str, float]) -> RequestSnapshot:
    """Return a snapshot as an older release stored it: without the values that failed metrics need."""
    snapshot = a_snapshot(metrics)
    return replace(snapshot, gates=tuple(replace(gate, limit=None) for gate in snapshot.gates))


def a_churn_request(seen: RequestSnapshot | None, **changes: Any) -> Request:
    """Return Alice's request to promote v7 to Production."""
    request = Request(
        id="r4k7q",
        model="churn",
        version=7,
        from_stage=Stage.STAGING,
        target=Stage.PRODUCTION,
        incumbent=6,
        requester=ALICE,
        reason="Retrained on November data",
        required=1,
        opened_at=NOW,
        expires_at=NOW + timedelta(days=2),
        semver="2.1.0",
        seen=seen,
    )
    return replace(request, **changes)


def faulty_examples() -> list[CardExample]:
    """Return the ten examples with a planted fault."""
    block = replace(a_block("plain"), version=7, reason="Accuracy fell to 0.71 within an hour", by=BOB)
    two, ungated, only_latency = a_policy(required=2), a_policy(gates=[]), a_policy(gates=GATES[1:])
    breaking = a_snapshot(BETTER, inputs=(*INPUTS, "region:string"), policy=ungated)
    claimed = a_snapshot(BETTER | {"f1": 0.874, "latency_ms": 47.0}, validation={"f1": 0.95}, policy=only_latency)
    old = snapshot_of_older_release(BETTER | {"f1": 0.83})
    return [
        CardExample(
            name="a gate failed on noise",
            request=a_churn_request(a_snapshot(BETTER | {"f1": 0.884})),
            decision="can't be approved; override or leave it",
            reason="f1 is below v6's, but by less than noise",
        ),
        CardExample(
            name="breaks callers",
            request=a_churn_request(breaking),
            policy=ungated,
            decision="reject",
            reason="callers must send a new input, region",
        ),
        CardExample(
            name="a blocked version",
            request=a_churn_request(a_snapshot(BETTER, block=block)),
            block=block,
            decision="reject",
            reason="it was rolled back",
        ),
        CardExample(
            name="latency doubled",
            request=a_churn_request(a_snapshot(BETTER | {"latency_ms": 98.0})),
            decision="reject",
            reason="latency doubled",
        ),
        CardExample(
            name="a frozen model",
            request=a_churn_request(a_snapshot(BETTER)),
            freeze=ActiveFreeze(
                say(
                    "{who} froze Production of {model} until {until}: audit.",
                    who=Code("carol"),
                    model=Code("churn"),
                    until=NOW + timedelta(days=3),
                ),
                NOW + timedelta(days=3),
                "audit",
            ),
            decision="can't be approved now",
            reason="Production is frozen",
        ),
        CardExample(
            name="a quorum half met",
            request=a_churn_request(a_snapshot(BETTER, policy=two), required=2),
            votes=[replace(votes(1)[0], voter=BOB)],
            policy=two,
            decision="approve",
            reason="it's waiting for one more approval",
        ),
        CardExample(
            name="posted before an upgrade",
            request=a_churn_request(old),
            decision="can't be approved; reject",
            reason="f1 is 0.83, needs at least 0.85",
        ),
        CardExample(
            name="a reported value far above the measured one",
            request=a_churn_request(claimed, reason="f1 0.95 on our own holdout set"),
            policy=only_latency,
            decision="reject",
            reason="the requester reports 0.95, the run measured 0.874, less than v6",
        ),
        CardExample(
            name="a gain within noise, and a bigger model",
            request=a_churn_request(
                a_snapshot(INCUMBENT | {"f1": 0.889, "size_mb": 31.0}), expires_at=NOW + timedelta(minutes=50)
            ),
            decision="reject",
            reason="no real gain, and the model is 2.5 times as big",
        ),
        CardExample(
            name="failed gates overridden",
            request=a_churn_request(
                a_snapshot(BETTER | {"latency_ms": 131.0}),
                overridden_by=BOB,
                override_reason="The batch job has no latency limit",
            ),
            decision="approve if the override's reason holds",
            reason="latency is above its limit, and Bob overrode that",
        ),
    ]


def good_examples() -> list[CardExample]:
    """Return the ten examples that can be approved."""
    first = a_snapshot(BETTER, against={}, incumbent=None)
    segments = [f"segment_{n}_recall" for n in range(12)]
    requests = {
        "everything better": a_churn_request(a_snapshot(BETTER)),
        "same latency": a_churn_request(a_snapshot(BETTER | {"latency_ms": 48.0})),
        "latency within noise": a_churn_request(a_snapshot(BETTER | {"latency_ms": 49.0})),
        "first version": a_churn_request(first, incumbent=None),
        "new optional input": a_churn_request(a_snapshot(BETTER, inputs=(*INPUTS, "region:string?"))),
        "many metrics": a_churn_request(
            a_snapshot(BETTER | dict.fromkeys(segments, 0.81), against=INCUMBENT | dict.fromkeys(segments, 0.8))
        ),
        "requested by CI": a_churn_request(
            a_snapshot(BETTER),
            requester=Client("ci"),
            ci=CiRun(
                repository="acme/churn",
                run="4711",
                commit="0b1f7a9c2d",
                url="https://ci.example/rr?a=1&b=2",
                actor="octocat",
                service="github",
            ),
        ),
        "requested by an agent": a_churn_request(
            a_snapshot(BETTER), requester=Client("claude"), agent=introduce_agent("claude-code", "2.1", "U0ALICE")
        ),
        "keeps the incumbent": a_churn_request(a_snapshot(BETTER), keep_existing=True),
        "posted by the previous release": a_churn_request(snapshot_of_older_release(BETTER)),
        "a long reason": a_churn_request(a_snapshot(BETTER), reason="Retrained on November data. " * 30),
    }
    return [
        CardExample(name=name, request=request, decision="approve", reason="all gates pass, nothing got worse")
        for name, request in requests.items()
    ]
