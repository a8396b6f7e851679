"""Answers to commands that register, describe, or tag versions."""

from __future__ import annotations

from collections.abc import Mapping

from bot.domain.core.sentence import Code, Name, Sentence, join_sentences, say
from bot.domain.registry.semver import SemverProposal


def registration_confirmation(
    model: str, version: int, proposal: SemverProposal, *, earlier_version: int | None, has_model: bool
) -> Sentence:
    """Return the answer to a registration: the semver, its reasons, and warnings."""
    warnings = []
    if earlier_version is not None:
        warnings.append(say(" {v} was registered from the same run.", v=Code(f"v{earlier_version}")))
    if not has_model:
        no_model = say(" The run logged no readable model, so this version can't be loaded yet.")
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
    """Return the answer to a command that changed a description."""
    if version is None:
        return say("Updated the description of {model}.", model=Name(model))
    return say("Updated the description of {v} of {model}.", v=Code(f"v{version}"), model=Name(model))


def tags_confirmation(model: str, version: int, tags: Mapping[str, str | None]) -> Sentence:
    """Return the answer to a command that changed tags."""
    changes = [
        say("set {key} to {value}", key=Code(key), value=Name(value)) if value else say("removed {key}", key=Code(key))
        for key, value in tags.items()
    ]
    return say("{v} of {model}: {said}.", v=Code(f"v{version}"), model=Name(model), said=changes)
