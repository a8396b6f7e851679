"""The JSON that the HTTP API takes and returns, one model each; the terminal prints the same documents.

A model's fields, with their descriptions, are the document, its part of the OpenAPI document, and the terminal's help.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PlainSerializer,
    WithJsonSchema,
)

from bot.domain.core.strict_model import documented_only
from bot.domain.monitoring.push_payload import ModelName, VersionNumber
from bot.domain.promotions.request import GateResult, RequestState, VoteChoice
from bot.domain.registry.model import TARGET_STAGES, Stage
from bot.domain.registry.semver import Bump

STATE_ASKED: Literal["asked"] = "asked"  # recorded; MLflow hasn't been read yet
STATE_REFUSED: Literal["refused"] = "refused"  # the policy or MLflow refused it before a request was opened


# -- what is sent ------------------------------------------------------------------------------------------------------


class _Body(BaseModel):
    # Strict: true isn't version 1, and "0.9" isn't a number; the OpenAPI document says so, too.
    model_config = ConfigDict(extra="forbid", populate_by_name=True, strict=True)


BodyT = TypeVar("BodyT", bound=_Body)


class CiBody(_Body):
    """The run of a CI service in which a program asks; the card links to it."""

    repository: str = Field("", max_length=200, description="Where its code is", examples=["acme/churn"])
    run: str = Field("", max_length=200, description="Its number or id", examples=["1234567"])
    commit: str = Field(
        "", max_length=200, description="What it works on", examples=["9fceb02d0ae598e95dc970b74767f19372d61af8"]
    )
    url: str = Field(
        "",
        max_length=1000,
        description="Its page, http or https",
        examples=["https://github.com/acme/churn/actions/runs/1234567"],
        json_schema_extra={"pattern": "^(https?://.+)?$"},
    )


class RequestBody(_Body):
    """A promotion that is asked for: what `/model promote` takes."""

    model: ModelName = Field(
        validation_alias=AliasChoices("model", "model_name"),
        examples=["churn"],
        description="The registered model's name; `model_name` is understood as well",
    )
    version: (
        VersionNumber
        | Annotated[
            str,
            documented_only(
                pattern=(r"^([vV]?[0-9]{1,9}|[0-9]+\.[0-9]+\.[0-9]+|@[A-Za-z0-9_\-]+|[Ss]taging|[Pp]roduction|latest)$")
            ),
        ]
    ) = Field(description="7, v7, 2.1.0, @alias, staging, production or latest", examples=[7])
    to: str = Field(
        description="staging or production",
        examples=["production"],
        json_schema_extra={"enum": [word for stage in TARGET_STAGES for word in (stage.value.lower(), stage.value)]},
    )
    reason: str = Field("", description="Why, for the card and the audit")
    keep_existing: bool = Field(False, description="Let the present holder stay in the stage")
    validation: dict[str, float] = Field(default_factory=dict, description="Results of your own, by metric")
    ci: CiBody = Field(default_factory=CiBody, description="The CI run: `repository`, `run`, `commit` and `url`")


class VersionBody(_Body):
    """A version that is to be made: what `/model register` takes."""

    run_id: str = Field(
        description="The run that logged the model",
        examples=["0a1b2c3d4e5f60718293a4b5c6d7e8f9"],
        json_schema_extra={"pattern": "^[A-Za-z0-9_]{1,64}$"},
    )
    model: ModelName = Field(
        validation_alias=AliasChoices("model", "model_name"),
        examples=["churn"],
        description="The registered model's name; `model_name` is understood as well",
    )
    bump: str | None = Field(
        None,
        description="major, minor or patch, where you know better than the rules",
        json_schema_extra={"enum": [*(part.value for part in Bump), None]},
    )
    description: str = Field("", description="What is new")
    tags: list[Annotated[str, documented_only(pattern="^[^=]+=")]] = Field(
        default_factory=list, description="Tags for its card, as key=value", examples=[["owner=ann"]]
    )
    artifact: str = Field("", description="Which of the run's models, where it logged several")
    ci: CiBody = Field(default_factory=CiBody, description="The CI run: `repository`, `run`, `commit` and `url`")


class CancelBody(_Body):
    """Why a request is taken back. The body can be left out."""

    reason: str = Field("", description="Why, for the card and the audit", examples=["wrong version"])


# -- what is answered --------------------------------------------------------------------------------------------------

Number = Annotated[int, documented_only(minimum=1)]
UtcTime = Annotated[
    datetime,
    PlainSerializer(lambda at: f"{at:%Y-%m-%dT%H:%M:%SZ}"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


def _without_defaults(schema: dict[str, Any]) -> None:
    for part in schema["properties"].values():
        part.pop("default", None)


class _Document(BaseModel):
    model_config = ConfigDict(
        extra="forbid", json_schema_serialization_defaults_required=True, json_schema_extra=_without_defaults
    )

    def to_json(self) -> dict[str, Any]:
        """Return the document as plain JSON values."""
        return self.model_dump(mode="json", by_alias=True)


class VoteDocument(_Document):
    """One person's vote."""

    by: str
    choice: VoteChoice
    reason: str
    at: UtcTime
    counts: bool


class ReviewDocument(_Document):
    """The review of a promotion without approvals."""

    due_at: UtcTime | None
    by: str | None
    at: UtcTime | None
    reason: str


class RequestDocument(_Document):
    """The status of a request, or of a command that hasn't opened one."""

    id: str = Field(description="the short id: it stands on the card, and /model approve takes it")
    state: Literal["asked", "refused"] | RequestState = Field(
        description="asked, then pending, approved, executing; at the end done, rejected, cancelled, expired, stale, "
        "failed or refused"
    )
    is_final: bool = Field(description="whether nothing can happen to it any more")
    model: str = Field(description="the model's name")
    version: Number | None = Field(None, description="the version's number; null while it is only asked")
    semver: str | None = Field(None, description="its semver, or null")
    from_: Stage | None = Field(None, serialization_alias="from", description="the stage in which it was")
    to: Stage = Field(description="the stage that is asked for")
    incumbent: Number | None = Field(
        None, description="the number of the version that held that stage when it was opened, or null"
    )
    requester: str = Field(description="who asked, as in the audit")
    reason: str = Field(description="why")
    required: Number | None = Field(None, description="how many different people have to approve")
    votes: list[VoteDocument] = Field(
        [],
        description="a list: by, choice (approve or reject), reason, at, counts (false once the voter can no longer "
        "vote)",
    )
    gates: list[GateResult] = Field([], description="a list: name, bound (what has to be), value, passed, note")
    is_blocked: bool = Field(False, description="whether a failed gate stands in the way that nobody has let pass")
    opened_at: UtcTime | None = Field(None, description="when its card was written, ISO 8601 in UTC")
    expires_at: UtcTime | None = Field(None, description="when it ends if nobody decides")
    decided_at: UtcTime | None = Field(None, description="when it was decided, or null")
    decided_by: str | None = Field(None, description="who decided it, or null")
    outcome: str = Field(description="why it ended so, where there is something to say")
    review: ReviewDocument | None = Field(
        None, description="of one moved without approvals: due_at, by, at, reason; else null"
    )
    channel: str = Field(description="where its card is")
    ci: dict[str, str] = Field(
        description="the run in which a program asked: repository, run, commit, url",
        json_schema_extra={"propertyNames": {"enum": ["repository", "run", "commit", "url"]}},
    )
    error: str | None = Field(
        None,
        description="of a refused one the kind: UnknownModel, UnknownVersion, BadInput, GateFailed, AlreadyOpen, "
        "Refused, …; else null",
    )
    sentence: str = Field(description="how it stands, as a person reads it")


class VersionDocument(_Document):
    """A version that was registered."""

    model: str = Field(description="the model's name")
    version: Number = Field(description="the new version's number")
    semver: str = Field(description="its semver")
    run_id: str = Field(description="the run that it was made of")
    against: Number | None = Field(
        description="the number of the version that it was compared with for its semver; null: none"
    )
    overridden: bool = Field(description="whether --bump said the semver's step")
    why: str = Field(description="why that semver")
    ask: str = Field(description="the id of what you asked for, as in the audit: ask:ID")
    sentence: str = Field(description="all that as a person reads it")


class QueuedVersionDocument(_Document):
    """A version that's registered once MLflow answers."""

    ask: str
    state: Literal["asked"] = STATE_ASKED
    sentence: str = "It is written down, and done as soon as MLflow answers."


class BlockDocument(_Document):
    """A blocked version."""

    version: Number
    at: UtcTime
    reason: str
    sentence: str


class BlocksDocument(_Document):
    """The blocked versions of a model."""

    model: str
    blocks: list[BlockDocument] = Field(
        description="the oldest first: since when, why, and all that as a person reads it"
    )


class PushDocument(_Document):
    """How many of the readings were new."""

    accepted: NonNegativeInt
    duplicates: NonNegativeInt


class ErrorDocument(_Document):
    """Why a call was refused. Only `error` is always there."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    error: str = Field(description="what stands against it, as a person reads it")
    kind: str | None = Field(None, description="the class of what stands against it, such as UnknownVersion")
    id: str = Field("", description="the id of what was asked for, where it was written down")
    state: Literal["refused"] = Field(STATE_REFUSED, description="of a request that was written down and is none")
    field: str = Field("", description="the field of the body that it's about, where it's about one")


def document_keys(model: type[BaseModel]) -> Mapping[str, str]:
    """Return a document's keys, in order, each with its description."""
    return {field.serialization_alias or name: field.description or "" for name, field in model.model_fields.items()}
