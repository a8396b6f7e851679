"""What Registrar's own history says happened to a model since a request was opened. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from bot.domain.core.sentence import Code, Say, say
from bot.domain.promotions.request import Request
from bot.domain.registry.model import Stage
from bot.domain.registry.rollback_block import Bar
from bot.domain.transitions.transition import Move, MoveKind, MoveState, time_of


def since_opened(request: Request, moves: Iterable[Move], bars: Iterable[Bar]) -> Say | None:
    """Return why a request is outdated although the registry may look as it did when the request was opened.

    A change that came and went between two polls shows only here: `moves` are the model's, in any order, and `bars`
    its blocked versions. None where nothing happened that the request's approvers should have known.
    """
    bar = next((one for one in bars if one.version == request.version and one.at > request.opened_at), None)
    if bar is not None:
        return say("{v} was rolled back on {when}, after this was requested.", v=Code(f"v{bar.version}"), when=bar.at)
    move = next((one for one in moves if _is_news(request, one)), None)
    if move is None:
        return None
    return say(
        "{v} moved from {old} to {new} on {when}, after this was requested.",
        v=Code(f"v{move.version}"),
        old=_named(move.from_stage),
        new=_named(move.target),
        when=time_of(move),
    )


def _is_news(request: Request, move: Move) -> bool:
    """Tell whether a move changed the request's target stage or its version after the request was opened."""
    is_ours = move.request == request.id or move.kind is MoveKind.MEND  # repairing leaves the version where it is
    if is_ours or move.state is not MoveState.DONE or time_of(move) <= request.opened_at:
        return False
    if move.kind is MoveKind.OBSERVED:
        return _is_news_from_mlflow(request, move)
    return move.version == request.version or (not request.keep_existing and request.target in _stages(move))


def _is_news_from_mlflow(request: Request, move: Move) -> bool:
    """Tell the same of a move that the poll found, perhaps long after it was made.

    What the registry already said when the request was opened isn't news: the incumbent of that time in the stage, an
    empty stage, or the request's version outside Production.
    """
    if move.target is Stage.PRODUCTION and move.version == request.version:
        return True
    if request.keep_existing:
        return False
    if move.target is request.target:
        return move.version != request.incumbent
    return move.from_stage is request.target and request.incumbent is not None


def _stages(move: Move) -> set[Stage]:
    return {move.from_stage, move.target}


def _named(stage: Stage) -> str:
    return "no stage" if stage is Stage.NONE else stage.value
