"""Propose a semver for a new version, with reasons.

The rules compare two builds: what callers see (signature, algorithm, flavors) and how they were trained. Unknown facts
are reported but don't raise the semver, because a missing signature doesn't prove a breaking change. Nothing here reads
MLflow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from semver import Version

from bot.domain.core.sentence import Code, Sentence, join_with_conjunction, say
from bot.domain.registry.model import Signature, Stage
from bot.domain.registry.signature_changes import CallerEffect, caller_changes, list_some, quote_if_needed, quote_name

FIRST_SEMVER = "1.0.0"
MAX_REASONS = 10  # sentences in one proposal; the rest are counted
_MAX_SEMVER_LENGTH = 256  # characters, as in npm


class Bump(Enum):
    """The part of the semver to raise, most significant first."""

    MAJOR = "major"  # callers can break, or it's a different kind of model
    MINOR = "minor"  # something was added or improved, and callers are unaffected
    PATCH = "patch"  # anything else: retrained, fixed, cleaned up


IsBetter = Callable[[str, float, float], bool]  # metric, new value, old value
BumpReason = tuple[Bump, Sentence]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFacts:
    """The facts that the rules compare. Empty means unknown, except for `params` and `metrics`, which can be empty."""

    signature: Signature | None = None
    flavors: frozenset[str] | tuple[str, ...] = ()
    algorithm: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseVersion:
    """The version to compare a new one with: current Production, or else the version with the highest semver."""

    version: int
    stage: Stage
    semver: str | None
    build: BuildFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class SemverProposal:
    """A semver and its reasons, most significant first. There's at least one reason."""

    semver: str
    bump: Bump | None  # None for the first version
    reasons: tuple[Sentence, ...]
    base_version: int | None  # the version that the new one was compared with
    overridden: bool  # a person chose the bump


def parse_semver(text: str) -> Version | None:
    """Parse a semver, or return None. Surrounding spaces and a leading `v` are allowed.

    Prerelease and build parts are kept; missing parts (`1.2`) and leading zeros aren't valid.
    """
    word = text.strip()
    if len(word) > _MAX_SEMVER_LENGTH:
        return None
    try:
        return Version.parse(word[1:] if word[:1] in {"v", "V"} else word)
    except ValueError:
        return None


def highest_semver(existing: Iterable[str]) -> str | None:
    """Return the highest semver in `existing`, spelled as it appears there, or None if there is none.

    Semvers are ordered by MAJOR.MINOR.PATCH first, so `1.2.0-rc.1` counts as 1.2.0: it's lower than 1.2.0 itself, but
    higher than any earlier release.
    """
    candidates = [(_release_numbers(number), number, text) for text in existing if (number := parse_semver(text))]
    return max(candidates)[2] if candidates else None


def propose_semver(
    new: BuildFacts,
    base: BaseVersion | None,
    existing: Iterable[str],
    *,
    override: Bump | None = None,
    is_better: IsBetter,
) -> SemverProposal:
    """Propose a semver for `new`: the highest of `existing` and the base's, raised by what changed since `base`.

    `override` is the bump that a person chose, if any; the reasons then include the bump that the rules propose. If
    there are no semvers yet, the result is always 1.0.0. `is_better(metric, a, b)` returns whether `a` is better than
    `b`; it's never called with NaN.
    """
    top = highest_semver([*existing, *([base.semver] if base and base.semver else [])])
    if top is None:
        return _first_proposal(override)
    rule, reasons = _bump_by_rules(new, base, is_better)
    bump = override or rule
    number = _release_string(top)
    if override is rule:
        reasons.insert(0, say("{bump} bump requested, which matches the rules", bump=rule.value))
    elif override:
        reasons.insert(0, say("{bump} bump requested; the rules propose {rule}", bump=override.value, rule=rule.value))
    if base and (base.semver is None or parse_semver(base.semver) is None or _release_string(base.semver) != number):
        reasons.append(say("{top} is already taken, so numbering continues from there", top=Code(number)))
    omitted = len(reasons) - MAX_REASONS
    return SemverProposal(
        # Without the prerelease part, which would be raised to its own release, a number that counts as taken.
        semver=str(Version.parse(number).next_version(bump.value)),
        bump=bump,
        reasons=(*reasons[:MAX_REASONS], *([say("and {n} more", n=omitted)] if omitted > 0 else [])),
        base_version=base.version if base else None,
        overridden=override is not None,
    )


# --- The number


def _release_numbers(number: Version) -> tuple[int, int, int]:
    return number.major, number.minor, number.patch


def _release_string(semver: str) -> str:
    number = parse_semver(semver)
    assert number is not None  # `highest_semver` returned it
    return str(Version(*_release_numbers(number)))


# --- The proposal's reasons


def _first_proposal(override: Bump | None) -> SemverProposal:
    reasons = [say("no version of this model has a semver yet, so this one gets {first}", first=Code(FIRST_SEMVER))]
    if override:
        reasons.append(say("{bump} bump requested, but there's no earlier semver to raise", bump=override.value))
    return SemverProposal(semver=FIRST_SEMVER, bump=None, reasons=tuple(reasons), base_version=None, overridden=False)


def _bump_by_rules(new: BuildFacts, base: BaseVersion | None, is_better: IsBetter) -> tuple[Bump, list[Sentence]]:
    if base is None:
        return Bump.PATCH, [say("there's no version to compare it with")]
    v = Code(f"v{base.version}")
    called: object = say("Production {v}", v=v) if base.stage is Stage.PRODUCTION else v
    reasons = _sorted_bump_reasons(new, base.build, is_better) or [
        (Bump.PATCH, _unchanged_reason(new, base.build, called))
    ]
    return reasons[0][0], [*(sentence for _, sentence in reasons), *_missing_facts(new, base.build, called)]


def _unchanged_reason(new: BuildFacts, old: BuildFacts, old_label: object) -> Sentence:
    facts = [fact_name for fact_name, new_fact, old_fact in _comparable_facts(new, old) if new_fact and old_fact]
    together = join_with_conjunction([*facts, "parameters"], "and")
    return say("{facts} are the same as in {old}", facts=together, old=old_label)


# --- Missing facts


def _comparable_facts(new: BuildFacts, old: BuildFacts) -> list[tuple[str, object, object]]:
    """Return each fact that can be missing: its name, and its value in `new` and in `old`.

    If both builds have a signature, the inputs and outputs are separate facts, since either can be missing.
    """
    facts: list[tuple[str, object, object]] = [("signature", new.signature, old.signature)]
    if new.signature and old.signature:
        facts = [
            ("inputs", new.signature.inputs, old.signature.inputs),
            ("outputs", new.signature.outputs, old.signature.outputs),
        ]
    return [*facts, ("algorithm", new.algorithm, old.algorithm), ("flavors", new.flavors, old.flavors)]


def _missing_facts(new: BuildFacts, old: BuildFacts, old_label: object) -> Iterator[Sentence]:
    for fact_name, new_fact, old_fact in _comparable_facts(new, old):
        then = {"signature": "inputs and outputs", "algorithm": "algorithms"}.get(fact_name, fact_name)
        if not new_fact and not old_fact:
            yield say("no {what} logged for either version, so {then} couldn't be compared", what=fact_name, then=then)
        elif not new_fact or not old_fact:
            build_label = old_label if new_fact else "the new version"
            yield say(
                "no {what} logged for {who}, so {then} couldn't be compared", who=build_label, what=fact_name, then=then
            )


# --- What changed


def _sorted_bump_reasons(new: BuildFacts, old: BuildFacts, is_better: IsBetter) -> list[BumpReason]:
    changes = caller_changes(new.signature, old.signature) if new.signature and old.signature else []
    reasons = [(_BUMP_BY_EFFECT[change.effect], change.sentence) for change in changes]
    reasons += [*_model_kind_reasons(new, old), *_training_reasons(new, old, is_better)]
    return sorted(reasons, key=lambda change: list(Bump).index(change[0]))


_BUMP_BY_EFFECT = {CallerEffect.BREAKS: Bump.MAJOR, CallerEffect.ADDS: Bump.MINOR, CallerEffect.COMPATIBLE: Bump.PATCH}


def _model_kind_reasons(new: BuildFacts, old: BuildFacts) -> Iterator[BumpReason]:
    if new.algorithm and old.algorithm and new.algorithm != old.algorithm:
        yield (
            Bump.MAJOR,
            say(
                "algorithm changed from {old} to {new}",
                old=quote_if_needed(old.algorithm),
                new=quote_if_needed(new.algorithm),
            ),
        )
    new_flavors, old_flavors = sorted(set(new.flavors)), sorted(set(old.flavors))
    if new_flavors and old_flavors and new_flavors != old_flavors:
        noun = "flavor" if len(new_flavors) == len(old_flavors) == 1 else "flavors"
        before, after = (list_some([quote_if_needed(flavor) for flavor in side]) for side in (old_flavors, new_flavors))
        yield Bump.MAJOR, say("{what} changed from {old} to {new}", what=noun, old=before, new=after)


def _training_reasons(new: BuildFacts, old: BuildFacts, is_better: IsBetter) -> Iterator[BumpReason]:
    names = sorted(key for key in {*new.params, *old.params} if new.params.get(key) != old.params.get(key))
    if not names:
        return
    noun, listed = "parameter" if len(names) == 1 else "parameters", list_some([quote_name(name) for name in names])
    if improved := _improved_metrics(new.metrics, old.metrics, is_better):
        yield Bump.MINOR, say("{what} {these} changed, and {gain}", what=noun, these=listed, gain=list_some(improved))
    elif new.metrics.keys() & old.metrics.keys():
        yield Bump.PATCH, say("{what} {these} changed, and no metric improved", what=noun, these=listed)
    else:
        yield Bump.PATCH, say("{what} {these} changed, and no metric could be compared", what=noun, these=listed)


def _improved_metrics(new: Mapping[str, float], old: Mapping[str, float], is_better: IsBetter) -> list[Sentence]:
    improved = []
    for metric in sorted(new.keys() & old.keys()):
        new_value, old_value = new[metric], old[metric]
        # Equal values are skipped, like NaN: "rose from 0.8 to 0.8" isn't a reason.
        if not (math.isnan(new_value) or math.isnan(old_value) or new_value == old_value) and is_better(
            metric, new_value, old_value
        ):
            before, after = f"{old_value:.6g}", f"{new_value:.6g}"
            if before == after:  # they differ, so the sentence must show it
                before, after = repr(float(old_value)), repr(float(new_value))
            template = (
                "{metric} rose from {old} to {new}" if new_value > old_value else "{metric} fell from {old} to {new}"
            )
            improved.append(say(template, metric=quote_name(metric), old=before, new=after))
    return improved
