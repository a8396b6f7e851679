"""Versions whose signatures and metrics differ."""

from __future__ import annotations

from dataclasses import replace

from bot.domain.registry.model import Signature, SignatureColumn, Stage
from bot.domain.registry.semver import (
    BaseVersion,
    BuildFacts,
    Bump,
    BumpReason,
    IsBetter,
    SemverProposal,
    _missing_facts,
    _sorted_bump_reasons,
    propose_semver,
)


def is_better(metric: str, new: float, old: float) -> bool:
    return new < old if "loss" in metric else new > old


def column(text: str) -> SignatureColumn:
    """Read `name:type`, optional where a `?` follows."""
    name, kind = text.removesuffix("?").split(":", 1)
    return SignatureColumn(name=name, type=kind, required=not text.endswith("?"))


def build_with_inputs(*inputs: str, gives: tuple[str, ...] = (":double",), params: tuple[str, ...] = ()) -> BuildFacts:
    """Return the build of a model with this signature; the rest is as ever."""
    signature = Signature(
        inputs=tuple(column(one) for one in inputs),
        outputs=tuple(column(one) for one in gives),
        params=tuple(column(one) for one in params),
    )
    return replace(OLD, signature=signature)


OLD = BuildFacts(
    signature=Signature(
        inputs=(column("tenure:integer"), column("age:long?"), column("region:string")), outputs=(column(":double"),)
    ),
    flavors=("sklearn",),
    algorithm="LogisticRegression",
    params={"C": "1.0", "max_iter": "100"},
    metrics={"f1": 0.81, "loss": 0.4},
)


SAME = ("tenure:integer", "age:long?", "region:string")


def production(build: BuildFacts = OLD, semver: str | None = "1.4.2") -> BaseVersion:
    return BaseVersion(version=5, stage=Stage.PRODUCTION, semver=semver, build=build)


def proposed(
    new: BuildFacts, base: BaseVersion | None = None, taken: tuple[str, ...] = ("1.4.2",), override: Bump | None = None
) -> SemverProposal:
    return propose_semver(new, base, taken, override=override, is_better=is_better)


def bump_reasons(new: BuildFacts, old: BuildFacts, is_better: IsBetter) -> list[BumpReason]:
    """Return what `new` changes from `old`, most significant first, then what couldn't be compared (as PATCH)."""
    gaps = [(Bump.PATCH, gap) for gap in _missing_facts(new, old, "the previous version")]
    return _sorted_bump_reasons(new, old, is_better) + gaps


def told(new: BuildFacts, old: BuildFacts = OLD) -> list[tuple[str, str]]:
    return [(bump.value, str(sentence)) for bump, sentence in bump_reasons(new, old, is_better)]


def why(proposal: SemverProposal) -> list[str]:
    return [str(sentence) for sentence in proposal.reasons]
