"""Answers to people who register, describe, or tag versions."""

from __future__ import annotations

from collections.abc import Mapping

from bot.domain.core.sentence import Code, Name, Sentence, join_sentences, say
from bot.domain.registry.semver import SemverProposal


def registration_confirmation(
    model: str, version: int, proposal: SemverProposal, *, earlier_version: int | None, has_model: bool
) -> Sentence:
    """Return the answer to a registration: the semver, why, and warnings."""
    warnings = []
    if earlier_version is not None:
        warnings.append(say(" {v} was made of the same run.", v=Code(f"v{earlier_version}")))
    if not has_model:
        no_model = say(" The run logged no model that could be read, so nothing can be loaded from this version yet.")
        warnings.append(no_model)
    return say(
        "Registered {v} of {model} as {semver}: {why}.{mind}",
        v=Code(f"v{version}"),
        model=Name(model),
        semver=Code(proposal.semver),
        why=join_sentences(proposal.reasons, "; "),
        mind=join_sentences(warnings, ""),
    )


def description_confirmation(model: str, version: int | None) -> Sentence:
    """Return the answer to a new description."""
    if version is None:
        return say("The description of {model} is written.", model=Name(model))
    return say("The description of {v} of {model} is written.", v=Code(f"v{version}"), model=Name(model))


def tags_confirmation(model: str, version: int, tags: Mapping[str, str | None]) -> Sentence:
    """Return the answer to changed tags."""
    changes = [
        say("{key} is {value}", key=Code(key), value=Name(value)) if value else say("{key} is gone", key=Code(key))
        for key, value in tags.items()
    ]
    return say("{v} of {model}: {said}.", v=Code(f"v{version}"), model=Name(model), said=changes)
