"""Whether higher or lower values of a metric are better, as configured or inferred from its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum


class Direction(Enum):
    """Which values of a metric are better."""

    HIGHER = "higher"  # accuracy, f1, and every unknown name
    LOWER = "lower"  # loss, error, latency

    @property
    def sign(self) -> int:
        """The factor, 1 or -1, that makes a positive difference an improvement."""
        return 1 if self is Direction.HIGHER else -1


def direction_of(metric: str, overrides: Mapping[str, Direction | str] | None = None) -> Direction:
    """Return whether higher or lower values of `metric` are better.

    Higher is better unless a word in the name says otherwise: `val_loss`, `latencyMs`, `top5-error`. Only whole words
    count, and a word after `per` is ignored: for `requests_per_second`, higher is better. For `neg_log_loss`, higher is
    better, as in scikit-learn. A name in `overrides` (ignoring case) takes precedence. Raises ValueError if that
    override isn't a direction.
    """
    for name, override in (overrides or {}).items():
        if name.casefold() == metric.casefold():
            return override if isinstance(override, Direction) else Direction(override.lower())
    words = words_of_metric(metric)
    lower = bool(_LOWER_IS_BETTER_WORDS.intersection(words)) or _is_negative_likelihood(words)
    return Direction.LOWER if lower and not _is_negated(words) else Direction.HIGHER


def is_better(metric: str, new: float, old: float, overrides: Mapping[str, Direction | str] | None = None) -> bool:
    """Return whether `new` is better than `old`; False if either is NaN."""
    return (new - old) * direction_of(metric, overrides).sign > 0


def words_of_metric(metric: str) -> list[str]:
    """Return the words in a metric's name in lowercase: `valLogLoss_p95` has log, loss, and p.

    Leading words that name a data split, such as `val`, and words after `per` are left out.
    """
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+", metric)]
    while len(words) > 1 and words[0] in _DATA_SPLIT_WORDS:
        words.pop(0)
    return [word for before, word in zip(["", *words], words, strict=False) if before != "per"]


def _is_negated(words: list[str]) -> bool:
    return bool(words) and words[0] in _NEGATION_WORDS and not _is_negative_likelihood(words)


def _is_negative_likelihood(words: list[str]) -> bool:
    return bool(words) and words[0] in _NEGATION_WORDS and "likelihood" in words


_DATA_SPLIT_WORDS = frozenset(
    {"val", "valid", "validation", "test", "train", "training", "eval", "evaluation", "dev", "holdout"}
)
_NEGATION_WORDS = frozenset({"neg", "negative"})
_LOWER_IS_BETTER_WORDS = frozenset(
    {
        # losses and errors
        "loss",
        "losses",
        "logloss",
        "error",
        "errors",
        "err",
        "cost",
        "costs",
        "regret",
        "penalty",
        "hinge",
        "huber",
        "pinball",
        "deviance",
        "deviation",
        "divergence",
        "kl",
        "entropy",
        "crossentropy",
        "perplexity",
        "ppl",
        "nll",
        "brier",
        "ece",
        "crps",
        "misclassification",
        "misclassified",
        "false",
        "fpr",
        "fnr",
        "fdr",
        "eer",
        "wer",
        "cer",
        "ter",
        "failure",
        "failures",
        "failed",
        "drift",
        "psi",
        "distance",
        "fid",
        "lpips",
        "residual",
        "residuals",
        "gap",
        "hallucination",
        "hallucinations",
        "toxicity",
        "violations",
        "aic",
        "bic",
        "std",
        "stddev",
        "stdev",
        # deviations from the true value
        "mae",
        "mse",
        "rmse",
        "rmsle",
        "msle",
        "mape",
        "smape",
        "wape",
        "wmape",
        "mdape",
        "medae",
        "mase",
        "nrmse",
        "mad",
        # time and memory
        "latency",
        "duration",
        "time",
        "runtime",
        "walltime",
        "elapsed",
        "delay",
        "lag",
        "wait",
        "timeout",
        "timeouts",
        "ms",
        "msec",
        "millis",
        "milliseconds",
        "sec",
        "secs",
        "seconds",
        "minutes",
        "hours",
        "memory",
        "ram",
        "rss",
        "kb",
        "mb",
        "gb",
        "kib",
        "mib",
        "gib",
        "bytes",
        "size",
    }
)
