"""The errors that every registry raises."""

from __future__ import annotations

from bot.domain.core.errors import UnknownModel, UnknownRun, UnknownVersion
from bot.domain.core.sentence import Code, Name, say, truncate


def unknown_model(name: str) -> UnknownModel:
    """Return the error for a model that the registry doesn't have, or that's a prompt."""
    return UnknownModel(say("The registry has no model {name}.", name=Name(name)))


def name_taken_by_prompt(name: str) -> UnknownModel:
    """Return the error for a new model with the name of a prompt."""
    return UnknownModel(say("{name} is a prompt, and no model.", name=Name(name)))


def unknown_version(name: str, version: int) -> UnknownVersion:
    """Return the error for a version that the model doesn't have."""
    return UnknownVersion(say("{name} has no version v{version}.", name=Name(name), version=version))


def unquotable_name(name: str) -> UnknownModel:
    """Return the error for a name that MLflow's filters can't quote."""
    return UnknownModel(say("{name} has both kinds of quotes: MLflow cannot look such a model up.", name=Name(name)))


def unknown_run(run_id: str) -> UnknownRun:
    """Return the error for a run that MLflow doesn't have, or that's deleted."""
    return UnknownRun(say("MLflow has no run {run}, or it was deleted.", run=Code(truncate(run_id, 64))))
