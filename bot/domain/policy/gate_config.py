"""Gates as the policy file configures them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Discriminator, Field, Tag, model_validator

from bot.domain.core.durations import Duration
from bot.domain.core.strict_model import StrictModel
from bot.domain.registry.model_card import ModelCard

VALIDATION_PREFIX = "validation_"  # before a metric's name: only the result that the requester reported counts
Integrity = Literal["off", "recorded", "required"]
INTEGRITY_LEVELS: tuple[Integrity, ...] = get_args(Integrity)  # the loosest one first


class MetricGate(StrictModel):
    """A bound on a metric: absolute, or relative to current Production."""

    metric: str  # the metric's name, as the run logged it
    at_least: float | None = None  # the lowest value that passes
    at_most: float | None = None  # the highest value that passes
    not_worse_than_incumbent_by: float | None = None  # how much worse than current Production it can be

    @model_validator(mode="after")
    def _check_bound(self) -> MetricGate:
        if self.at_least is None and self.at_most is None and self.not_worse_than_incumbent_by is None:
            raise ValueError("needs at_least, at_most, or not_worse_than_incumbent_by")
        return self


class CardGate(StrictModel):
    """Fields of the model card that must have a value."""

    card: list[str] = Field(min_length=1)  # their names, as listed in docs/reference/model-cards.md

    @model_validator(mode="after")
    def _check_card_fields(self) -> CardGate:
        for name in self.card:
            if name not in ModelCard.model_fields:
                close_matches = difflib.get_close_matches(name, ModelCard.model_fields, n=1)
                hint = (
                    f"did you mean {close_matches[0]}?"
                    if close_matches
                    else f"known fields: {', '.join(ModelCard.model_fields)}"
                )
                raise ValueError(f"{name!r} isn't a field of the metadata card; {hint}")
        return self


class SignatureGate(StrictModel):
    """The version must accept every call that current Production accepts."""

    signature: Literal["compatible"]  # always `compatible`


class SemverGate(StrictModel):
    """The version must have a semver."""

    semver: Literal["set"]  # always `set`


class NotBlockedGate(StrictModel):
    """A version that a rollback blocked must have been unblocked. That's also the default without this gate."""

    not_blocked: bool = Field(strict=True)  # true, or false to allow blocked versions


class InStagingGate(StrictModel):
    """The version must have been in Staging for at least this long."""

    in_staging_for: Duration  # the minimum time, such as 24h


def _gate_kind(gate: Any) -> str:
    for key in ("metric", "card", "signature", "semver", "not_blocked", "in_staging_for"):
        if (key in gate) if isinstance(gate, Mapping) else hasattr(gate, key):
            return key
    return "metric"


Gate = Annotated[
    Annotated[MetricGate, Tag("metric")]
    | Annotated[CardGate, Tag("card")]
    | Annotated[SignatureGate, Tag("signature")]
    | Annotated[SemverGate, Tag("semver")]
    | Annotated[NotBlockedGate, Tag("not_blocked")]
    | Annotated[InStagingGate, Tag("in_staging_for")],
    Discriminator(_gate_kind),
]
