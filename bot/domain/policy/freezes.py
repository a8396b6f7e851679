"""Freezes of Production: by people, or by the policy's recurring windows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from bot.domain.core.actors import Actor, format_actor
from bot.domain.core.cron_windows import cron_window_at
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.policy.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """A freeze of Production by a person. If `model` is None, it applies to all models."""

    id: str
    model: str | None
    by: Actor
    reason: str
    at: datetime
    until: datetime | None = None
    lifted_at: datetime | None = None
    lifted_by: Actor | None = None

    def applies_to(self, model: str, now: datetime) -> bool:
        """Return whether it stops transitions of `model` at `now`."""
        return self.model in {None, model} and self.is_active(now)

    def is_active(self, now: datetime) -> bool:
        """Return whether it's still in effect at `now`: neither ended early nor expired."""
        return self.lifted_at is None and (self.until is None or now < self.until)


@dataclass(frozen=True, slots=True)
class ActiveFreeze:
    """The freeze that applies now: its end, if any, and a sentence that says who set it, why, and until when.

    `reason` is the stated reason; it can be empty.
    """

    description: Sentence
    until: datetime | None
    reason: str = ""


def active_freeze(model: str, freezes: Iterable[Freeze], policy: Policy, now: datetime) -> ActiveFreeze | None:
    """Return the freeze of Production for `model` that's active at `now` and lasts longest, or None."""
    stops = [_describe_freeze(freeze) for freeze in freezes if freeze.applies_to(model, now)]
    for window in policy.windows_for(model):
        span = cron_window_at(window.cron, window.lasts, window.zone, now)
        if span is not None:
            stops.append(_describe_freeze_window(model, window.reason, span[1]))
    return max(stops, key=lambda freeze: (freeze.until is None, freeze.until or now)) if stops else None


def _describe_freeze(freeze: Freeze) -> ActiveFreeze:
    subject = (
        say("Production for {model}", model=Name(freeze.model)) if freeze.model else say("Production for all models")
    )
    until = say("until {when}", when=freeze.until) if freeze.until else say("until further notice")
    why = say(
        "{who} froze {what} {until}: {why}.",
        what=subject,
        who=format_actor(freeze.by),
        until=until,
        why=freeze.reason.rstrip("."),
    )
    return ActiveFreeze(why, freeze.until, freeze.reason)


def _describe_freeze_window(model: str, reason: str, until: datetime) -> ActiveFreeze:
    why = say(
        "The policy freezes Production for {model} until {when}{reason}.",
        model=Name(model),
        when=until,
        reason=f": {reason.rstrip('.')}" if reason else "",
    )
    return ActiveFreeze(why, until, reason)


def unfreeze_command(model: str | None) -> Code:
    """Return the command that unfreezes a model."""
    return Code(f"/model unfreeze {model}" if model else "/model unfreeze --all")
