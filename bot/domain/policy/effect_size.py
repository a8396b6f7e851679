"""How large a drop must be to matter: relative to the baseline, absolute, or relative to the error. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from math import isfinite
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from bot.domain.core.numbers import format_number
from bot.domain.core.sentence import Code, Sentence, say

if TYPE_CHECKING:  # numpy is slow to import, and the terminal imports this module
    import numpy as np
    import numpy.typing as npt

MAX_RELATIVE_EFFECT = 10.0  # times the baseline, or times the error


class EffectKind(Enum):
    """What an effect is relative to."""

    RELATIVE = "relative"  # a fraction of the baseline
    ABSOLUTE = "absolute"  # in the metric's unit
    OF_ERROR = "of error"  # a fraction of 1 − p, for a p that is best at 1: accuracy, AUC, availability


@dataclass(frozen=True, slots=True)
class MinimumEffect:
    """The smallest drop that counts. `amount` is 0.02 for 2%; an absolute one is in the metric's unit."""

    amount: float
    kind: EffectKind = EffectKind.RELATIVE

    def __str__(self) -> str:
        """Return the form that `parse_effect` reads: `2%`, `0.01 abs`, `10% of error`."""
        if self.kind is EffectKind.ABSOLUTE:
            return f"{self.amount:.12g} abs"
        return f"{100 * self.amount:.12g}%{' of error' if self.kind is EffectKind.OF_ERROR else ''}"

    @property
    def in_words(self) -> Sentence:
        """The effect as it reads in a sentence: `2%`, `0.01`, `10% of the error`."""
        if self.kind is EffectKind.ABSOLUTE:
            return say("{amount}", amount=format_number(self.amount))
        return say(
            "{amount}%{of}",
            amount=format_number(100 * self.amount),
            of=" of the error" if self.kind is EffectKind.OF_ERROR else "",
        )

    def absolute_distance(self, expected: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the effect's size at each expected value, in the metric's unit, as an array of the same shape."""
        import numpy as np

        baseline = np.asarray(expected, dtype=np.float64)
        if self.kind is EffectKind.ABSOLUTE:
            return np.full(baseline.shape, self.amount)
        return self.amount * np.abs(1 - baseline if self.kind is EffectKind.OF_ERROR else baseline)

    def meaningless_reason(self, low: float, high: float) -> Sentence | None:
        """Return why it's meaningless for a metric with readings between `low` and `high`, or None."""
        instead = Code("--min-effect '0.01 abs'")
        if self.kind is EffectKind.RELATIVE and (low < 0 < high or low == high == 0):
            where = "are on both sides of 0" if low < high else "are all 0"
            return say(
                "The baseline's readings {where}, so a percentage of them is meaningless. Use an absolute amount, "
                "such as {instead}.",
                where=where,
                instead=instead,
            )
        if self.kind is EffectKind.OF_ERROR and not 0 <= low <= high <= 1:
            out = low if low < 0 else high
            return say(
                "The baseline contains {out}, which isn't between 0 and 1, so there's no error rate. Use an absolute "
                "amount, such as {instead}.",
                out=format_number(out),
                instead=instead,
            )
        if self.kind is EffectKind.OF_ERROR and low == 1:
            return say(
                "The baseline's readings are all 1, so a percentage of the error is 0. Use an absolute amount, such "
                "as {instead}.",
                instead=instead,
            )
        return None


def parse_effect(value: object) -> MinimumEffect:
    """Parse an effect: `2%`, `0.02` (a fraction of the baseline), `0.01 abs`, `10% of error`.

    Amounts are rounded to 12 significant digits, so writing and reading them doesn't change them. Raises ValueError for
    anything else, for negative amounts, and for more than ten times the baseline or the error.
    """
    if isinstance(value, MinimumEffect):
        return value
    match = _EFFECT_PATTERN.fullmatch(str(value).strip().casefold()) if not isinstance(value, bool) else None
    if match is None:
        raise ValueError("isn't an effect size; use a value such as 2%, 0.01 abs, or 10% of error")
    kind = EffectKind.ABSOLUTE if match["abs"] else EffectKind.OF_ERROR if match["error"] else EffectKind.RELATIVE
    amount = float(f"{float(match['amount']) / (100 if match['percent'] else 1):.12g}")
    if kind is EffectKind.ABSOLUTE and match["percent"]:
        raise ValueError("is both a percentage and an absolute amount; use 2% or 0.02 abs")
    if kind is not EffectKind.ABSOLUTE and amount > MAX_RELATIVE_EFFECT:
        raise ValueError(f"is too large; use at most {100 * MAX_RELATIVE_EFFECT:.0f}%")
    if not isfinite(amount):
        raise ValueError("is too large; use a finite number")
    return MinimumEffect(amount, kind)


def serialize_effect(effect: MinimumEffect) -> float | str:
    """Return the effect as a JSON value. For compatibility, a relative effect is a plain number."""
    return effect.amount if effect.kind is EffectKind.RELATIVE else str(effect)


_EFFECT_PATTERN = re.compile(
    r"(?P<amount>\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+)\s*(?P<percent>%)?\s*(?:(?P<abs>abs(?:olute)?)|(?P<error>of\s+(?:the\s+)?error))?"
)

EffectSize = Annotated[
    MinimumEffect,
    BeforeValidator(parse_effect),
    PlainSerializer(serialize_effect),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": MAX_RELATIVE_EFFECT}, {"type": "string"}]}),
]
