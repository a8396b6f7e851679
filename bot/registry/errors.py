"""TODO bot.registry.errors"""

from __future__ import annotations

from bot.domain.core.errors import UnknownModel, UnknownRun, UnknownVersion
from bot.domain.core.sentence import Code, Name, say, truncate


def unknown_model(name: str) -> UnknownModel:
    """Return the error of a model that the registry does not have, or that is a prompt."""
    return UnknownModel(say("The registry has no model {name}.", name=Name(name)))


def name_taken_by_prompt(name: str) -> UnknownModel:
    """Return the error of a name that a prompt has, where a model was to be made."""
    return UnknownModel(say("{name} is a prompt, and no model.", name=Name(name)))


def unknown_version(name: str, version: int) -> UnknownVersion:
    """Return the error of a version that the model does not have."""
    return UnknownVersion(say("{name} has no version v{version}.", name=Name(name), version=version))


def unquotable_name(name: str) -> UnknownModel:
    """Return the error of a name that MLflow's filters cannot hold."""
    return UnknownModel(say("{name} has both kinds of quotes: MLflow cannot look such a model up.", name=Name(name)))


def unknown_run(run_id: str) -> UnknownRun:
    """Return the error of a run that MLflow does not have, or has in its bin."""
    return UnknownRun(say("MLflow has no run {run}, or it was deleted.", run=Code(truncate(run_id, 64))))
