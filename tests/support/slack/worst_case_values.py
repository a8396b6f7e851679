"""Worst-case values of people and registries."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.domain.audit.events import ChainedEvent, Event, EventTag
from bot.domain.core.actors import Actor, Person
from bot.domain.core.agent import introduce_agent
from bot.domain.core.ci_run import CiRun
from bot.domain.core.sentence import Sentence, say
from bot.domain.policy.freezes import ActiveFreeze
from bot.domain.policy.parser import validate_policy
from bot.domain.policy.policy import Policy
from bot.domain.promotions.approvers import PendingApprovers, waiting_for_approvers
from bot.domain.promotions.request import GateResult, Request, RequestSnapshot, RequestState
from bot.domain.promotions.votes import Vote, VoteChoice
from bot.domain.registry import rollback_block
from bot.domain.registry.comparison import Comparison, compare_versions
from bot.domain.registry.model import (
    Dataset,
    ModelInfo,
    ModelPackage,
    RunInfo,
    Signature,
    SignatureColumn,
    Stage,
    VersionInfo,
)
from bot.domain.registry.model_card import VersionCard
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.registry.signature_changes import caller_impact, no_rollback_reason
from bot.domain.rollbacks.history import Timeline
from bot.domain.rollbacks.rollback_targets import ServingPeriod
from bot.domain.transitions.model_card_sources import ModelCardSources, fill_model_card
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState

NOW = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)


ALICE, BOB = Person("T1", "U0ALICE"), Person("T1", "U0BOB")


NASTY = "<!channel> <@U0EVIL> <http://evil|x> <#C1> @here `code` ```x``` *b* _i_ & &amp; {0} \u202e\u200b\n> quote"


TEXTS = {
    "plain": "churn",
    "empty": "",
    "long": "a" * 250,
    "ampersands": "&" * 250,
    "brackets": "<" * 250,
    "backticks": "`" * 250,
    "nasty": NASTY,
    "right to left": "\u202e" + "ם" * 200,
    "emoji": "👩‍👩‍👧" * 30,
    "lines": "a\n" * 100,
}


REASONS = {name: (text * 1000)[:1000] for name, text in TEXTS.items()}


def a_request(name: str = "plain", state: RequestState = RequestState.PENDING, **changes: Any) -> Request:
    """Return a request with one of the texts in every possible place."""
    decided = state not in {RequestState.PENDING, RequestState.EXPIRED}
    request = Request(
        id="r4k7q",
        model=TEXTS[name] or "m",
        version=999_999_999,
        from_stage=Stage.STAGING,
        target=Stage.PRODUCTION,
        incumbent=999_999_998,
        requester=ALICE,
        reason=REASONS[name],
        required=50,
        opened_at=NOW,
        expires_at=NOW + timedelta(days=1),
        semver=TEXTS[name] * 20,
        state=state,
        keep_existing=True,
        decided_at=None if state is RequestState.PENDING else NOW,
        decided_by=BOB if decided else None,
        outcome="" if state is RequestState.PENDING else REASONS[name],
        seen=seen(name),
        ci=a_run(name),
        agent=introduce_agent(TEXTS[name] * 9, TEXTS[name] * 9, "U0ALICE"),
    )
    return replace(request, **changes)


def a_run(name: str = "plain") -> CiRun:
    """Return a CI run with the longest possible texts."""
    word = (TEXTS[name] * 200)[:200]
    return CiRun(repository=word, run=word, commit=word, actor=word, url=f"https://ci.example/{'r' * 900}?a=1&b=2")


def seen(name: str = "plain") -> RequestSnapshot:
    """Return a request's snapshot with a hundred of everything."""
    text = TEXTS[name] or "m"
    gates = tuple(
        GateResult(name=f"{text}{n}", bound=text * 3, value=text * 5, passed=n % 2 > 0, note=text) for n in range(100)
    )
    figures = {f"{text}{n}": 1.0 / (n + 1) for n in range(100)}
    old, new = (
        Signature(inputs=tuple(SignatureColumn(name=f"{text}{n}", type=kind * 9) for n in range(60)))
        for kind in ("a", text)
    )
    callers = caller_impact(ModelPackage(signature=new), ModelPackage(signature=old), 999_999_999, 999_999_998)
    way_back = no_rollback_reason(ModelPackage(signature=new), ModelPackage(signature=old), 999_999_998)
    return RequestSnapshot(
        metrics=figures,
        against=figures,
        validation=figures,
        gates=gates,
        rule="f" * 16,
        policy="0123456789ab",
        callers=replace(callers, not_compared=say("{it}", it=text), no_rollback=way_back),
    )


def votes(number: int) -> list[Vote]:
    """Return `number` approvals."""
    voters = [Person("T1", f"U0{'X' * 8}{one:02d}") for one in range(number)]
    return [Vote(request="r4k7q", voter=one, choice=VoteChoice.APPROVE, reason="", at=NOW) for one in voters]


def a_version(name: str = "plain", number: int = 7, **changes: Any) -> VersionInfo:
    """Return a version with one of the texts in every possible place."""
    text = TEXTS[name]
    version = VersionInfo(
        model=text or "m",
        version=number,
        stage=Stage.PRODUCTION,
        run_id=text,
        status=text or "READY",
        created_at=NOW,
        description=text * 40,
        tags={"semver": text * 20},
        aliases=("champion", *(f"a{n}" * 60 for n in range(20))),
    )
    return replace(version, **changes)


def a_model(name: str = "plain") -> ModelInfo:
    """Return a model with one of the texts in every possible place."""
    return ModelInfo(
        name=TEXTS[name] or "m", description=TEXTS[name] * 40, latest={Stage.PRODUCTION: 999_999_999, Stage.STAGING: 4}
    )


def a_term(name: str = "plain", by: Actor = BOB, **changes: Any) -> ServingPeriod:
    """Return a serving period in Production."""
    move = Transition(
        id="m1",
        kind=TransitionKind.PROMOTION,
        model=TEXTS[name] or "m",
        version=7,
        from_stage=Stage.STAGING,
        target=Stage.PRODUCTION,
        expected_incumbent=5,
        actor=by,
        intended_at=NOW,
        finished_at=NOW,
        request="r4k7q",
        state=TransitionState.DONE,
    )
    return ServingPeriod(replace(move, **changes), move)


def a_timeline(name: str = "plain", number: int = 1, by: Actor = BOB, **changes: Any) -> Timeline:
    """Return a timeline of `number` serving periods, each with a reason."""
    changes = {"reason": TEXTS[name]} | changes
    served = (a_term(name, by, **changes),) * number
    return Timeline(
        model=TEXTS[name] or "m",
        periods=served,
        chart_periods=served,
        now=NOW + timedelta(days=3),
        requests={"r4k7q": a_request(name)},
        has_older=number > 20,
        watched_since=NOW,
    )


def a_card(name: str = "plain") -> VersionCard:
    """Return a metadata card with one of the texts in every possible place, and a hundred times in each list."""
    text = TEXTS[name]
    many = {f"{text}{number}": text for number in range(100)}
    run = RunInfo(
        id=text or "r1",
        experiment=text,
        user=text,
        metrics={f"{text}{n}": 10.0**n for n in range(-50, 50)},
        params=many,
        tags={"estimator_name": text},
        started_at=NOW,
        ended_at=NOW + timedelta(minutes=3),
        datasets=(Dataset(name=text, digest=text, rows=10**9),),
    )
    package = ModelPackage(flavors=(text,), dependencies=(text,) * 100)
    version = a_version(name, tags=many | {"semver": text * 20, "owner": text, "use_case": text})
    request = a_request(name, RequestState.DONE)
    sources = ModelCardSources(
        version=version,
        model=a_model(name),
        run=run,
        package=package,
        request=request,
        votes=tuple(votes(50)),
        deployment=a_term(name).started_by,
    )
    return VersionCard(version=version, run=run, card=fill_model_card(sources), block=a_block(name))


def a_block(name: str) -> RollbackBlock:
    """Return the block of a version that was rolled back for a long reason."""
    return RollbackBlock(
        id="b1",
        model=TEXTS[name] or "m",
        version=999_999_999,
        move="rollback:r4k7q",
        at=NOW,
        by=ALICE,
        reason=REASONS[name],
    )


def a_bare_card() -> VersionCard:
    """Return the metadata card of a version without any details."""
    version = VersionInfo(model="m", version=1, stage=Stage.NONE)
    return VersionCard(
        version=version, run=None, card=fill_model_card(ModelCardSources(version=version, model=ModelInfo(name="m")))
    )


def a_comparison(name: str, versions: int, metrics: int = 30) -> Comparison:
    """Return a comparison of `versions` versions by `metrics` metrics, with the first version in Production."""
    rows = [
        a_version(name, number, run_id=f"run{number}", stage=Stage.PRODUCTION if number == 1 else Stage.NONE)
        for number in range(1, versions + 1)
    ]
    values = {f"{TEXTS[name]}{metric}": metric / 7 for metric in range(metrics)}
    runs = {
        f"run{number}": RunInfo(id=f"run{number}", metrics={m: v * number for m, v in values.items()})
        for number in range(1, versions + 1)
    }
    blocked = {
        row.version: rollback_block.block_reason(replace(a_block(name), version=row.version)) for row in rows[1:4]
    }
    return compare_versions(TEXTS[name] or "m", rows, runs, blocked=blocked)


def a_freeze(name: str) -> ActiveFreeze:
    """Return a freeze with the longest possible reason."""
    return ActiveFreeze(say("{it}.", it=TEXTS[name] * 3), None, REASONS[name])


def a_wait(name: str) -> Sentence:
    """Return who a request is waiting for: more people than are named, with the longest possible names."""
    ids = ["S0LEADS", *(f"U0{number:08}" for number in range(30))]
    return waiting_for_approvers(PendingApprovers(ids, 2), dict.fromkeys(ids[:10], TEXTS[name]))


def a_policy() -> Policy:
    """Return a policy with every part that messages show."""
    rule = {
        "approvers": ["lead", "S0GROUP"],
        "required": 2,
        "expires_after": "24h",
        "remind_after": "4h",
        "override": ["U0ANN"],
        "gates": [
            {"metric": "accuracy", "at_least": 0.85, "at_most": 0.99, "not_worse_than_incumbent_by": 0.01},
            {"card": ["owner", "use_case"]},
            {"signature": "compatible"},
            {"semver": "set"},
            {"in_staging_for": "24h"},
        ],
    }
    window = {"cron": "0 18 * * 5", "for": "62h", "zone": "Europe/Berlin", "reason": "weekend"}
    return validate_policy({"roles": {"lead": ["U0BOB"]}, "models": {"*": {"production": rule}}, "freeze": [window]})


def a_link(name: str, tag: EventTag) -> ChainedEvent:
    """Return an audit event with one of the texts in every possible place."""
    text = TEXTS[name]
    event = Event(
        at=NOW,
        actor=BOB,
        tag=tag,
        subject=text * 3,
        model=text or "m",
        before=text,
        after=text,
        why=REASONS[name],
        evidence={
            "version": 7,
            "target": "Production",
            "choice": text,
            "act": text,
            "verb": text,
            "by": {"name": text},
        },
    )
    return ChainedEvent(number=999_999_999, event=event, previous="", hash="")
