"""Checks that registry adapters make before calls (names, tags, descriptions, run IDs), and errors that they raise."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from bot.domain.core.errors import BadInput, UnknownModel, UnknownRun, UnknownVersion
from bot.domain.core.sentence import Code, Name, say, truncate
from bot.domain.registry.model import RUN_MODEL_TAG, RUN_VERSION_TAG

MAX_RUN_IDS = 1_000  # MLflow's databases accept 4,900 IDs in one query and refuse 5,000
_MAX_TAG_KEY_LENGTH = 250
_MAX_TEXT_LENGTH = 5_000  # MLflow accepts longer tags, but not on every database


def monitored_version(tags: Mapping[str, str]) -> tuple[str, int] | None:
    """Return the model and version that a run with these tags monitors; None for any other run."""
    number = re.fullmatch(r"v?(\d{1,9})", tags.get(RUN_VERSION_TAG, ""))
    return (tags.get(RUN_MODEL_TAG, ""), int(number[1])) if number else None


def check_quotable(name: str) -> None:
    """Raise UnknownModel for a name that MLflow's filters can't quote."""
    if "'" in name and '"' in name:
        raise UnknownModel(say("{name} has both kinds of quotes, so MLflow can't look it up.", name=Name(name)))


def is_run_id(text: str) -> bool:
    """Return whether the text can be an MLflow run ID. Any other text is kept out of MLflow's filters."""
    return re.fullmatch(r"[0-9A-Za-z][\w-]{0,255}", text, re.ASCII) is not None


def valid_run_ids(ids: Iterable[str]) -> list[str]:
    """Return the IDs that can be run IDs, without duplicates, in their original order."""
    return [run_id for run_id in dict.fromkeys(ids) if is_run_id(run_id)]


def check_tags(tags: Mapping[str, str | None]) -> None:
    """Raise BadInput for a tag that's too long for at least one of MLflow's databases."""
    for key, value in tags.items():
        if len(key) > _MAX_TAG_KEY_LENGTH:
            raise BadInput(
                say(
                    "The tag name {key} is longer than {most} characters.",
                    key=Name(truncate(key, 40)),
                    most=_MAX_TAG_KEY_LENGTH,
                )
            )
        if value is not None and len(value) > _MAX_TEXT_LENGTH:
            raise BadInput(
                say("The value of tag {key} is longer than {most} characters.", key=Name(key), most=_MAX_TEXT_LENGTH)
            )


def check_description(text: str) -> None:
    """Raise BadInput for a description that's too long for at least one of MLflow's databases."""
    if len(text) > _MAX_TEXT_LENGTH:
        raise BadInput(say("The description is longer than {most} characters.", most=_MAX_TEXT_LENGTH))


def check_artifact_path(path: str) -> None:
    """Raise BadInput for a path that can't name a logged model or a folder in a run's files."""
    if path and not all(re.fullmatch(r"[\w .@+=,()-]+", part) and part.strip(" .") for part in path.split("/")):
        raise BadInput(say("{path} isn't a path to a model in a run's files.", path=Name(truncate(path, 100))))


def choose_logged_model(run_id: str, models: Sequence[tuple[str, str]], artifact: str) -> str | None:
    """Return the ID of the run's logged model that `artifact` names, or None if the run logged no models.

    `models`: each model's ID and name. `artifact`: an ID or a name; if it's empty, any model matches. Raises BadInput,
    which lists the models, unless exactly one matches.
    """
    if not models:
        return None
    matches = [model_id for model_id, name in models if not artifact or artifact in {model_id, name}]
    if len(matches) == 1:
        return matches[0]
    names = [name for _, name in models]
    forms = names if len(set(names)) == len(names) else [model_id for model_id, _ in models]
    raise BadInput(
        say(
            "Run {run} logged {none}{models}. Choose one with {flag}.",
            run=Code(truncate(run_id, 64)),
            none=f"no model “{artifact}”, only " if artifact and not matches else "",
            models=[Code(form) for form in sorted(forms)[:8]],
            flag=Code("--artifact NAME"),
        )
    )


def unknown_model(name: str) -> UnknownModel:
    """Return the error for a model that isn't in the registry, or is a prompt."""
    return UnknownModel(say("The registry has no model {name}.", name=Name(name)))


def name_taken_by_prompt(name: str) -> UnknownModel:
    """Return the error for a new model whose name is taken by a prompt."""
    return UnknownModel(say("{name} is a prompt, not a model.", name=Name(name)))


def unknown_version(name: str, version: int) -> UnknownVersion:
    """Return the error for a version that the model doesn't have."""
    return UnknownVersion(say("{name} has no version v{version}.", name=Name(name), version=version))


def unknown_run(run_id: str) -> UnknownRun:
    """Return the error for a run that isn't in MLflow, or was deleted."""
    return UnknownRun(say("MLflow has no run {run}, or it was deleted.", run=Code(truncate(run_id, 64))))
