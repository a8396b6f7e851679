"""Whether a version is still the one that people decided on, or that served. Pure."""

from __future__ import annotations

from bot.domain.core.sentence import Code, Name, Say, say, short
from bot.domain.registry.model import Identity


def difference(model: str, version: int, was: Identity | None, now: Identity | None) -> Say | None:
    """Return how the version under this name and number differs from what it was, or None where it doesn't.

    `was` is None for what an older Registrar wrote down: then there is nothing to compare. `now` is None for a version
    that is gone.
    """
    if now is None:
        return say("v{v} of {model} is gone from MLflow.", v=version, model=Name(model))
    if was is None or was.is_same(now):
        return None
    if was.is_same_but_moved(now):
        return say(
            "The files of v{v} of {model} are somewhere else now: {now} instead of {was}. "
            "If the registry was migrated, an admin can accept that with {accept}.",
            v=version,
            model=Name(model),
            now=Code(short(now.source, 200)),
            was=Code(short(was.source, 200)),
            accept=Code("registrar db accept --reason …"),
        )
    return replaced(model, version)


def replaced(model: str, version: int) -> Say:
    """Return that another version is found under this name and number."""
    return say(
        "v{v} of {model} isn't the same version any more: it was deleted and created again, or its model was renamed.",
        v=version,
        model=Name(model),
    )
