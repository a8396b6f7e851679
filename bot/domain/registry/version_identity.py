"""Whether a version is still the one that people decided on, or that served. Pure."""

from __future__ import annotations

from bot.domain.core.sentence import Code, Name, Sentence, say, truncate
from bot.domain.registry.model import VersionIdentity


def identity_change_reason(
    model: str, version: int, expected: VersionIdentity | None, found: VersionIdentity | None
) -> Sentence | None:
    """Return how the version under this name and number differs from `expected`, or None if it doesn't.

    `expected` is None for records of older releases: then there's nothing to compare. `found` is None for a version
    that was deleted.
    """
    if found is None:
        return say("v{v} of {model} is gone from {product}.", v=version, model=Name(model))
    if expected is None or expected.is_same(found):
        return None
    if expected.is_same_ignoring_source(found):
        return say(
            "The files of v{v} of {model} are somewhere else now: {now} instead of {was}. "
            "If the registry was migrated, an admin can accept that with {accept}.",
            v=version,
            model=Name(model),
            now=Code(truncate(found.source, 200)),
            was=Code(truncate(expected.source, 200)),
            accept=Code("registrar db accept --reason …"),
        )
    return version_replaced_reason(model, version)


def version_replaced_reason(model: str, version: int) -> Sentence:
    """Return that there's another version under this name and number."""
    return say(
        "v{v} of {model} isn't the same version any more: it was deleted and created again, or its model was renamed.",
        v=version,
        model=Name(model),
    )
