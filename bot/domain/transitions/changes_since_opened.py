"""What has happened to a model since a request was opened, according to Registrar's own history. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.promotions.request import Request
from bot.domain.registry.model import Stage
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.transitions.drift import stage_label
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState, transition_time


def change_since_opened(
    request: Request, transitions: Iterable[Transition], blocks: Iterable[RollbackBlock]
) -> Sentence | None:
    """Return why a request is outdated, even if the registry looks as it did when the request was opened.

    Changes that were reverted between two polls show up only here. `transitions` are the model's transitions, in any
    order; `blocks` are its blocked versions. Return None if nothing relevant happened.
    """
    block = next(
        (
            candidate
            for candidate in blocks
            if candidate.version == request.version and candidate.at > request.opened_at
        ),
        None,
    )
    if block is not None:
        return say(
            "{v} was rolled back on {when}, after this was requested.", v=Code(f"v{block.version}"), when=block.at
        )
    transition = next((candidate for candidate in transitions if _is_relevant(request, candidate)), None)
    if transition is None:
        return None
    return say(
        "{v} moved from {old} to {new} on {when}, after this was requested.",
        v=Code(f"v{transition.version}"),
        old=stage_label(transition.from_stage),
        new=stage_label(transition.target),
        when=transition_time(transition),
    )


def _is_relevant(request: Request, transition: Transition) -> bool:
    """Return whether a transition changed the request's target stage or version after the request was opened."""
    is_ours = (
        transition.request == request.id or transition.kind is TransitionKind.REPAIR
    )  # a repair leaves the version where it is
    if is_ours or transition.state is not TransitionState.DONE or transition_time(transition) <= request.opened_at:
        return False
    if transition.kind is TransitionKind.OBSERVED:
        return _is_relevant_observation(request, transition)
    return transition.version == request.version or (
        not request.keep_existing and request.target in {transition.from_stage, transition.target}
    )


def _is_relevant_observation(request: Request, transition: Transition) -> bool:
    """Return whether a transition that a poll found, possibly long after it happened, is relevant to the request.

    What the registry already showed when the request was opened doesn't count: the same incumbent in the stage, an
    empty stage, or the request's version outside Production.
    """
    if transition.target is Stage.PRODUCTION and transition.version == request.version:
        return True
    if request.keep_existing:
        return False
    if transition.target is request.target:
        return transition.version != request.incumbent
    return transition.from_stage is request.target and request.incumbent is not None
