"""The registry's models, versions, stages, and runs; references to versions; and the registry product."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import cache

from bot.domain.core.errors import BadInput, UnknownModel, UnknownVersion
from bot.domain.core.sentence import Code, Name, Sentence, sanitize_text, say, set_product_name, truncate

MAX_NAME_LENGTH = 250  # characters of a model's name


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryProduct:
    """What the rules need to know about a registry product.

    `name_error` returns why the product rejects a model name, or None if it accepts the name. `tag_prefix` is the
    prefix of the tags that the product sets itself.
    """

    name: str
    tag_prefix: str | None = None
    name_error: Callable[[str], Sentence | None] = lambda name: None

    def owns_tag(self, key: str) -> bool:
        """Return whether the product sets this tag itself."""
        return self.tag_prefix is not None and key.startswith(self.tag_prefix)


_load_product: list[Callable[[], RegistryProduct]] = [lambda: RegistryProduct(name="The registry")]


def use_product(load: Callable[[], RegistryProduct]) -> None:
    """Set the registry product; `load` is called when the product is first needed.

    A program calls this once, at startup. Like a locale, it applies to the whole process.
    """
    _load_product[:] = [cache(load)]
    set_product_name(lambda: product().name)


def product() -> RegistryProduct:
    """Return the registry product."""
    return _load_product[0]()


class Stage(Enum):
    """A version's stage. The values are the registry's names."""

    NONE = "None"  # registered, never promoted
    STAGING = "Staging"  # in testing
    PRODUCTION = "Production"  # serving
    ARCHIVED = "Archived"  # served earlier, or archived by a person

    def __str__(self) -> str:
        return self.value


SEMVER_TAG = "semver"  # the version tag with the semver
COMMAND_TAG = "registrar.ask"  # the version tag with the queued command that created it, in case the response was lost
RUN_MODEL_TAG, RUN_VERSION_TAG = "registrar.model", "registrar.version"  # tags of a run that monitors a version
TARGET_STAGES = (Stage.STAGING, Stage.PRODUCTION)  # what a request can target; each has one version


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionIdentity:
    """What identifies a version besides its name and number: its run, source, and creation times.

    A time is None if the registry, or the call that returned the version, doesn't report it.
    """

    run_id: str | None = None
    source: str = ""
    created_at: datetime | None = None
    model_created_at: datetime | None = None

    def is_same(self, other: VersionIdentity) -> bool:
        """Return whether both identify the same version. A time that either one lacks isn't compared."""
        return self.is_same_ignoring_source(other) and self.source == other.source

    def is_same_ignoring_source(self, other: VersionIdentity) -> bool:
        """Return whether both identify the same version, ignoring where its files are."""
        return (
            self.run_id == other.run_id
            and _is_same_time_if_known(self.created_at, other.created_at)
            and _is_same_time_if_known(self.model_created_at, other.model_created_at)
        )

    @property
    def fingerprint(self) -> str:
        """A short text that's unique to the version: a hash of its origin, a dot, and a hash of its source.

        The model's creation time isn't included, since version lists don't have it.
        """
        made = self.created_at.isoformat() if self.created_at else ""
        parts = [f"{self.run_id or ''} {made}", self.source]
        return ".".join([hashlib.sha256(part.encode()).hexdigest()[:16] for part in parts])


def _is_same_time_if_known(first: datetime | None, second: datetime | None) -> bool:
    return first is None or second is None or first == second


def identity_change_reason(
    model: str, version: int, expected: VersionIdentity | None, found: VersionIdentity | None
) -> Sentence | None:
    """Return how the version with this name and number differs from `expected`, or None if it doesn't.

    `expected` is None for records from older releases, which leave nothing to compare. `found` is None if the version
    was deleted.
    """
    if found is None:
        return say("{product} no longer has v{v} of {model}.", v=version, model=Name(model))
    if expected is None or expected.is_same(found):
        return None
    if expected.is_same_ignoring_source(found):
        return say(
            "The files of v{v} of {model} moved from {was} to {now}. "
            "If the registry was migrated, an admin can accept that: {accept}",
            v=version,
            model=Name(model),
            now=Code(truncate(found.source, 200)),
            was=Code(truncate(expected.source, 200)),
            accept=Code("registrar db accept --reason …"),
        )
    return version_replaced_reason(model, version)


def version_replaced_reason(model: str, version: int) -> Sentence:
    """Return the sentence that says a different version has this name and number now."""
    return say(
        "v{v} of {model} is a different version now: it was deleted and recreated, or its model was renamed.",
        v=version,
        model=Name(model),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionInfo:
    """A model version in the registry. `aliases` is filled only by calls whose docstring says so."""

    model: str
    version: int
    stage: Stage
    run_id: str | None = None
    status: str = "READY"  # the registry's registration status; only a READY version can be promoted
    created_at: datetime | None = None
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    source: str = ""  # the URI of its files, as the registry recorded it
    changed_at: datetime | None = None  # last change of stage or description; None if unknown

    @property
    def semver(self) -> str | None:
        """The semantic version, which Registrar stores in a tag."""
        return self.tags.get(SEMVER_TAG)

    def has_same_files_as(self, other: VersionInfo) -> bool:
        """Return whether the other version is a registration of the same files from the same run."""
        return bool(self.run_id and self.source) and (self.run_id, self.source) == (other.run_id, other.source)

    def identity(self, model_created_at: datetime | None = None) -> VersionIdentity:
        """Return this version's identity; `model_created_at` is None if the model wasn't read."""
        return VersionIdentity(
            run_id=self.run_id, source=self.source, created_at=self.created_at, model_created_at=model_created_at
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A dataset that a run logged. `rows` is None if unknown."""

    name: str
    digest: str = ""
    rows: int | None = None
    context: str = ""  # training, evaluation, …


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """The run that created a version. Infinite metrics are NaN here. `git_commit` is the commit of the code it ran."""

    id: str
    experiment: str = ""  # its ID, which is part of a run's URL
    name: str = ""
    status: str = "FINISHED"  # or FAILED or KILLED; any other status means that it's still running
    user: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    datasets: tuple[Dataset, ...] = ()
    is_deleted: bool = False  # in the trash, still readable
    git_commit: str | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the run has ended, so its metrics are unlikely to change."""
        return self.status in {"FINISHED", "FAILED", "KILLED"}


LoggedValue = tuple[datetime, float]  # when a metric was logged, and its value (NaN if infinite)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureColumn:
    """One input, output, or prediction parameter of a model. `type` is the registry's name for the type."""

    name: str
    type: str
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A model's inputs, outputs, and prediction parameters, in the order of its MLmodel file."""

    inputs: tuple[SignatureColumn, ...] = ()
    outputs: tuple[SignatureColumn, ...] = ()
    params: tuple[SignatureColumn, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPackage:
    """What a version's files say about the model, read without unpickling anything."""

    flavors: tuple[str, ...] = ()  # sorted; python_function only if it's the only one
    signature: Signature | None = None
    dependencies: tuple[str, ...] = ()  # lines of requirements.txt
    size: int | None = None  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A registered model. `latest` is the highest version number in each stage.

    `identities` has the identities of those versions, if the registry's summary includes them.
    """

    name: str
    description: str = ""
    latest: Mapping[Stage, int] = field(default_factory=dict)
    aliases: Mapping[str, int] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    updated_at: datetime | None = None
    created_at: datetime | None = None
    identities: Mapping[int, VersionIdentity] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VersionRef:
    """How people refer to a version: `7`, `v7`, `2.1.0`, `@alias`, `staging`, `production`, or `latest`."""

    kind: str  # number, semver, alias, stage, latest
    value: str

    def __str__(self) -> str:
        return {"number": f"v{self.value}", "alias": f"@{self.value}"}.get(self.kind, self.value)


def parse_version_ref(text: str) -> VersionRef:
    """Parse a version reference. Raises BadInput, which lists the accepted forms, if it's invalid."""
    word = text.strip()
    if number := re.fullmatch(r"[vV]?(\d{1,9})", word):
        return VersionRef("number", str(int(number[1])))
    if re.fullmatch(r"\d+\.\d+\.\d+", word) and len(word) <= MAX_NAME_LENGTH:
        return VersionRef("semver", word)
    if alias := re.fullmatch(rf"@([\w-]{{1,{MAX_NAME_LENGTH}}})", word):
        return VersionRef("alias", alias[1])
    if word.lower() in {"staging", "production"}:
        return VersionRef("stage", word.capitalize())
    if word.lower() == "latest":
        return VersionRef("latest", "latest")
    raise BadInput(
        say(
            "Can't read {word} as a version. Try {a}, {b}, {c}, {d}, or {e}.",
            word=Name(word[:80]),
            a=Code("7"),
            b=Code("2.1.0"),
            c=Code("@champion"),
            d=Code("staging"),
            e=Code("latest"),
        )
    )


def resolve_version(ref: VersionRef, model: ModelInfo, versions: Iterable[VersionInfo]) -> VersionInfo:
    """Return the version of `model` that `ref` names; if several match, the newest.

    `versions` are all of the model's versions. Raises UnknownVersion, which lists the newest ones, if none matches.
    """
    newest_first = sorted(versions, key=lambda v: v.version, reverse=True)
    for version in newest_first:
        if _matches_ref(ref, version, model):
            return version
    existing = [f"v{v.version}" for v in newest_first[:8]]
    if not existing:
        raise UnknownVersion(say("{model} has no versions yet.", model=Name(model.name)))
    sentence = say(
        "{model} has no version {ref}. Newest versions: {there}.", model=Name(model.name), ref=Code(ref), there=existing
    )
    similar = _similar_ref(ref, model, newest_first)
    raise UnknownVersion(sentence, typo=ref.value if ref.kind == "number" else str(ref), suggestion=similar)


def _similar_ref(ref: VersionRef, model: ModelInfo, newest_first: Sequence[VersionInfo]) -> str:
    """Return the most similar existing reference of the same kind, or an empty string if none is similar."""
    names = {
        "number": [f"v{version.version}" for version in newest_first],
        "semver": [version.semver for version in newest_first if version.semver],
        "alias": [f"@{alias}" for alias in sorted(model.aliases)],
    }.get(ref.kind, [])
    return "".join(difflib.get_close_matches(str(ref), names, n=1))


def _matches_ref(ref: VersionRef, version: VersionInfo, model: ModelInfo) -> bool:
    match ref.kind:
        case "number":
            return version.version == int(ref.value)
        case "semver":
            return version.semver == ref.value
        case "alias":
            return model.aliases.get(ref.value) == version.version
        case "stage":
            return version.stage is Stage(ref.value)
        case _:
            return True


def parse_target_stage(text: str) -> Stage:
    """Parse the target stage of a request. Raises BadInput unless it's Staging or Production."""
    for stage in TARGET_STAGES:
        if text.strip().lower() == stage.value.lower():
            return stage
    a, b = (stage.value.lower() for stage in TARGET_STAGES)
    sentence = say("Can't read {word} as a target stage. Try {a} or {b}.", word=Name(text), a=Code(a), b=Code(b))
    close_matches = difflib.get_close_matches(text.strip().lower(), (a, b), n=1, cutoff=0.5)
    raise BadInput(sentence, typo=text.strip(), suggestion="".join(close_matches))


# Joiners and variation selectors are visible only after an emoji; a Hangul filler never is.
_INVISIBLE_CHARACTERS = re.compile("(?<![\u2000-\u3300\ufe0f\U0001f000-\U0001faff])[\u200d\ufe00-\ufe0f]|\u3164")


def check_model_name(text: str) -> str:
    """Return a model name without surrounding spaces.

    Raises BadInput if the registry can't store or look up the name, or if it has invisible characters.
    """
    name = text.strip()
    if not name:
        raise BadInput("Missing model name.")
    if len(name) > MAX_NAME_LENGTH:
        raise BadInput("That model name is longer than 250 characters.")
    if why := product().name_error(name):
        raise BadInput(why)
    if sanitize_text(name) != name or _INVISIBLE_CHARACTERS.search(name):
        raise BadInput(
            say("{name} contains invisible characters, so it could be mistaken for another model.", name=Name(name))
        )
    return name


def unknown_model_error(name: str, suggestion: str | None) -> UnknownModel:
    """Return the error for a model that isn't in the registry; `suggestion` is a similar name that is, if any."""
    if suggestion is None:
        return UnknownModel(say("{product} has no model {name}.", name=Name(name)))
    sentence = say("{product} has no model {name}. Did you mean {near}?", name=Name(name), near=Name(suggestion))
    return UnknownModel(sentence, typo=name, suggestion=suggestion)


def check_exact_name(name: str, stored_name: str) -> None:
    """Raise UnknownModel unless `name` matches the registry's name exactly, including case."""
    if name != stored_name:
        raise unknown_model_error(name, stored_name)
