"""What a registry holds (models, versions, stages, runs), references to versions, and the product that it is."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import cache

from bot.domain.core.errors import BadInput, UnknownModel, UnknownVersion
from bot.domain.core.sentence import Code, Name, Sentence, sanitize_text, say, set_product_name, truncate


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryProduct:
    """What the rules have to know of a product.

    `name_error` returns why it takes no model of this name, None if it does. `tag_prefix`: how the tags begin that it
    sets itself.
    """

    name: str
    tag_prefix: str | None = None
    name_error: Callable[[str], Sentence | None] = lambda name: None

    def owns_tag(self, key: str) -> bool:
        """Return whether a tag is the product's own."""
        return self.tag_prefix is not None and key.startswith(self.tag_prefix)


_load_product: list[Callable[[], RegistryProduct]] = [lambda: RegistryProduct(name="The registry")]


def use_product(load: Callable[[], RegistryProduct]) -> None:
    """Set the product that the registry is; `load` is called when it's first needed.

    A program does so once, at its start. Like a locale, it holds for the whole process.
    """
    _load_product[:] = [cache(load)]
    set_product_name(lambda: product().name)


def product() -> RegistryProduct:
    """Return the product that the registry is."""
    return _load_product[0]()


class Stage(Enum):
    """A version's stage, under the name that the registry has for it."""

    NONE = "None"  # registered, and never promoted
    STAGING = "Staging"  # in testing
    PRODUCTION = "Production"  # serving
    ARCHIVED = "Archived"  # served before, or was archived

    def __str__(self) -> str:
        return self.value


SEMVER_TAG = "semver"  # the version tag that holds it
COMMAND_TAG = "registrar.ask"  # the version tag with the queued command that made it, in case the answer was lost
RUN_MODEL_TAG, RUN_VERSION_TAG = "registrar.model", "registrar.version"  # the tags of a run that monitors a version
TARGET_STAGES = (Stage.STAGING, Stage.PRODUCTION)  # what a request can target; each holds one version


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionIdentity:
    """What a version is, apart from its name and number: its run, source, and creation times.

    A time is None if the registry, or the call that this comes from, doesn't report it.
    """

    run_id: str | None = None
    source: str = ""
    created_at: datetime | None = None
    model_created_at: datetime | None = None

    def is_same(self, other: VersionIdentity) -> bool:
        """Return whether both are the same version. A time that one of them lacks isn't compared."""
        return self.is_same_ignoring_source(other) and self.source == other.source

    def is_same_ignoring_source(self, other: VersionIdentity) -> bool:
        """Return whether both are the same version, ignoring where the files are."""
        return (
            self.run_id == other.run_id
            and _is_same_time_if_known(self.created_at, other.created_at)
            and _is_same_time_if_known(self.model_created_at, other.model_created_at)
        )

    @property
    def fingerprint(self) -> str:
        """Return a short text that differs for different versions: a hash of its origin, a dot, a hash of its source.

        The model's creation time is left out, since a list of versions doesn't have it.
        """
        made = self.created_at.isoformat() if self.created_at else ""
        parts = [f"{self.run_id or ''} {made}", self.source]
        return ".".join([hashlib.sha256(part.encode()).hexdigest()[:16] for part in parts])


def _is_same_time_if_known(first: datetime | None, second: datetime | None) -> bool:
    return first is None or second is None or first == second


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


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionInfo:
    """A model version in the registry. `aliases` is filled only by calls that say so."""

    model: str
    version: int
    stage: Stage
    run_id: str | None = None
    status: str = "READY"  # what the registry says about its registration; only then can it be promoted
    created_at: datetime | None = None
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    source: str = ""  # the URI of its files, as the registry recorded it
    changed_at: datetime | None = None  # the last change of stage or description; None if unknown

    @property
    def semver(self) -> str | None:
        """Its semantic version, which Registrar keeps in a tag."""
        return self.tags.get(SEMVER_TAG)

    def has_same_files_as(self, other: VersionInfo) -> bool:
        """Return whether the other version is the same files of the same run, registered again."""
        return bool(self.run_id and self.source) and (self.run_id, self.source) == (other.run_id, other.source)

    def identity(self, model_created_at: datetime | None = None) -> VersionIdentity:
        """Return what this version is; `model_created_at`: if the model was read."""
        return VersionIdentity(
            run_id=self.run_id, source=self.source, created_at=self.created_at, model_created_at=model_created_at
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A data set that a run logged. `rows` is None if unknown."""

    name: str
    digest: str = ""
    rows: int | None = None
    context: str = ""  # training, evaluation, …


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """The run that made a version. A metric that's infinite is NaN here. `git_commit`: of the code that ran."""

    id: str
    experiment: str = ""  # its id, which is part of a run's URL
    name: str = ""
    status: str = "FINISHED"  # or FAILED or KILLED; anything else means that it goes on
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
        """Return whether it has ended, so that its metrics are unlikely to change."""
        return self.status in {"FINISHED", "FAILED", "KILLED"}


LoggedValue = tuple[datetime, float]  # when a metric was logged, and its value; infinite is NaN


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureColumn:
    """One input or output of a model, or one parameter of its prediction. `type` is the registry's name for it."""

    name: str
    type: str
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A model's inputs, outputs, and parameters, in the order of its files."""

    inputs: tuple[SignatureColumn, ...] = ()
    outputs: tuple[SignatureColumn, ...] = ()
    params: tuple[SignatureColumn, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPackage:
    """What a version's files say about its model. Nothing is unpickled."""

    flavors: tuple[str, ...] = ()  # sorted; python_function only if it's the only one
    signature: Signature | None = None
    dependencies: tuple[str, ...] = ()  # lines of requirements.txt
    size: int | None = None  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A registered model. `latest` is the highest version number in each stage.

    `identities` are those versions' identities, if the registry's summary has them.
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
    """How people refer to a version: `7`, `v7`, `2.1.0`, `@alias`, `staging`, `production` or `latest`."""

    kind: str  # number, semver, alias, stage, latest
    value: str

    def __str__(self) -> str:
        return {"number": f"v{self.value}", "alias": f"@{self.value}"}.get(self.kind, self.value)


def parse_version_ref(text: str) -> VersionRef:
    """Parse a reference to a version. Raises BadInput with the accepted forms."""
    word = text.strip()
    if number := re.fullmatch(r"[vV]?(\d{1,9})", word):
        return VersionRef("number", str(int(number[1])))
    if re.fullmatch(r"\d+\.\d+\.\d+", word):
        return VersionRef("semver", word)
    if alias := re.fullmatch(r"@([\w-]+)", word):
        return VersionRef("alias", alias[1])
    if word.lower() in {"staging", "production"}:
        return VersionRef("stage", word.capitalize())
    if word.lower() == "latest":
        return VersionRef("latest", "latest")
    raise BadInput(
        say(
            "{word} is no version. Write a number such as {a}, or {b}, {c}, {d}, {e}.",
            word=Name(word),
            a=Code("7"),
            b=Code("2.1.0"),
            c=Code("@champion"),
            d=Code("staging"),
            e=Code("latest"),
        )
    )


def resolve_version(ref: VersionRef, model: ModelInfo, versions: Iterable[VersionInfo]) -> VersionInfo:
    """Return the version that `ref` names among all `versions` of `model`; of several, the newest.

    Raises UnknownVersion, with the existing versions.
    """
    newest_first = sorted(versions, key=lambda v: v.version, reverse=True)
    for version in newest_first:
        if _matches_ref(ref, version, model):
            return version
    existing = [f"v{v.version}" for v in newest_first[:8]]
    raise UnknownVersion(
        say("{model} has no version {ref}. It has: {there}.", model=Name(model.name), ref=Code(ref), there=existing)
        if existing
        else say("{model} has no versions yet.", model=Name(model.name))
    )


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
    raise BadInput(
        say(
            "{word} is no stage to ask for. Write {a} or {b}.", word=Name(text), a=Code("staging"), b=Code("production")
        )
    )


# What joins and varies emoji is seen behind one; elsewhere it is not, and neither is a Hangul filler.
_INVISIBLE_CHARACTERS = re.compile("(?<![\u2000-\u3300\ufe0f\U0001f000-\U0001faff])[\u200d\ufe00-\ufe0f]|\u3164")


def check_model_name(text: str) -> str:
    """Return the name without outer spaces. Raises BadInput for a name that a registry can't store or look up."""
    name = text.strip()
    if not name:
        raise BadInput("A model's name is missing.")
    if len(name) > 250:
        raise BadInput("That model name is longer than the 250 characters a registry holds.")
    if why := product().name_error(name):
        raise BadInput(why)
    if sanitize_text(name) != name or _INVISIBLE_CHARACTERS.search(name):
        raise BadInput(say("{name} has characters that nobody sees; it would pass for another model.", name=Name(name)))
    return name


def unknown_model_message(name: str, suggestion: str | None) -> Sentence:
    """Return the sentence for a name that the registry doesn't have; `suggestions` are names that it has."""
    if suggestion is None:
        return say("{product} has no model {name}.", name=Name(name))
    return say("{product} has no model {name}. Did you mean {near}?", name=Name(name), near=Name(suggestion))


def check_exact_name(name: str, stored_name: str) -> None:
    """Raise UnknownModel unless `name` is the registry's own, letter for letter."""
    if name != stored_name:
        raise UnknownModel(unknown_model_message(name, stored_name))
