"""The model registry: MLflow, and one in memory that behaves like it. Both pass the same contract suite."""

from bot.domain.errors import UnknownModel, UnknownVersion
from bot.domain.text import Name, say


def unknown_model(name: str) -> UnknownModel:
    """Return the error of a model that the registry does not have, or that is a prompt."""
    return UnknownModel(say("The registry has no model {name}.", name=Name(name)))


def unknown_version(name: str, version: int) -> UnknownVersion:
    """Return the error of a version that the model does not have."""
    return UnknownVersion(say("{name} has no version v{version}.", name=Name(name), version=version))


def unspeakable_model(name: str) -> UnknownModel:
    """Return the error of a name that MLflow's filters cannot hold."""
    return UnknownModel(say("{name} has both kinds of quotes: MLflow cannot look such a model up.", name=Name(name)))
