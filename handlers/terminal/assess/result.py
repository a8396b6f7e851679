"""The result that all three outputs of `registrar assess` show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Sentence, say
from bot.domain.registry.assessment import RegistryAssessment
from bot.ports import RegistryLinks


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessedRegistry:
    """An assessment, the registry's address without credentials, when it was read, and the policy file, if any."""

    assessment: RegistryAssessment
    address: str
    assessed_at: datetime
    links: RegistryLinks
    policy_file: Path | None

    @property
    def summary(self) -> Sentence:
        """What the registry contains, in a sentence."""
        found = self.assessment
        held = f"{pluralize(len(found.holders), 'version')} of {pluralize(found.held_models, 'model')}"
        return say(
            "{models}, {versions}; {held} in Production.",
            models=pluralize(found.models, "model"),
            versions=pluralize(found.versions, "version"),
            held=held if found.holders else "none",
        )

    @property
    def limits(self) -> list[Sentence]:
        """What the assessment can't determine, and what it didn't read or check."""
        found = self.assessment
        return [
            *found.unrecorded,
            *found.unread,
            *(say("Not checked: {gate}.", gate=gate) for gate in found.unchecked),
            say("Models that your login can't read aren't counted, and prompts aren't models."),
        ]
