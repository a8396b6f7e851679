"""The JSON that the HTTP API accepts and returns, one model for each document. The terminal prints the same JSON.

A model's fields and descriptions define the JSON, its OpenAPI schema, and the terminal's help.
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

from bot.domain.commands.base import MAX_RESULTS, MAX_TAGS
from bot.domain.commands.registry import MAX_ARTIFACT_LENGTH
from bot.domain.core.strict_model import documented_only
from bot.domain.monitoring.push_payload import ModelName, VersionNumber
from bot.domain.promotions.request import GateResult, RequestState
from bot.domain.promotions.votes import VoteChoice
from bot.domain.registry.model import TARGET_STAGES, Stage
from bot.domain.registry.semver import Bump
from bot.domain.transitions.passport_status import PassportState

STATE_ASKED: Literal["asked"] = "asked"  # recorded; MLflow hasn't been read yet
STATE_REFUSED: Literal["refused"] = "refused"  # the policy or MLflow refused it before a request was opened


# -- request bodies ----------------------------------------------------------------------------------------------------


class _Body(BaseModel):
    # Strict, as in the OpenAPI document: true isn't version 1, and "0.9" isn't a number.
    model_config = ConfigDict(extra="forbid", populate_by_name=True, strict=True)


BodyT = TypeVar("BodyT", bound=_Body)


class CiBody(_Body):
    """The CI run that makes the request; the card links to it."""

    repository: str = Field("", max_length=200, description="The code's repository", examples=["acme/churn"])
    run: str = Field("", max_length=200, description="The run's number or ID", examples=["1234567"])
    commit: str = Field(
        "", max_length=200, description="The commit", examples=["9fceb02d0ae598e95dc970b74767f19372d61af8"]
    )
    url: str = Field(
        "",
        max_length=1000,
        description="The run's page (http or https)",
        examples=["https://github.com/acme/churn/actions/runs/1234567"],
        json_schema_extra={"pattern": "^(https?://.+)?$"},
    )
    actor: str = Field("", max_length=200, description="The login of the person who started it", examples=["octocat"])
    service: Literal["", "github", "gitlab"] = Field("", description="The CI service that the login belongs to")


class RequestBody(_Body):
    """A promotion to request: the same input as `/model promote`."""

    model: ModelName = Field(
        validation_alias=AliasChoices("model", "model_name"),
        examples=["churn"],
        description="The registered model's name; `model_name` works, too",
    )
    version: (
        VersionNumber
        | Annotated[
            str,
            documented_only(
                pattern=(r"^([vV]?[0-9]{1,9}|[0-9]+\.[0-9]+\.[0-9]+|@[A-Za-z0-9_\-]+|[Ss]taging|[Pp]roduction|latest)$")
            ),
        ]
    ) = Field(description="7, v7, 2.1.0, @alias, staging, production, or latest", examples=[7])
    to: str = Field(
        description="staging or production",
        examples=["production"],
        json_schema_extra={"enum": [word for stage in TARGET_STAGES for word in (stage.value.lower(), stage.value)]},
    )
    reason: str = Field("", description="The reason, for the card and the audit log")
    keep_existing: bool = Field(False, description="Keep the stage's current version there instead of archiving it")
    validation: Annotated[dict[str, float], documented_only(maxProperties=MAX_RESULTS)] = Field(
        default_factory=dict, description="Your own validation results, by metric"
    )
    ci: CiBody = Field(default_factory=CiBody, description="The CI run, with who started it")


class VersionBody(_Body):
    """A version to register: the same input as `/model register`."""

    run_id: str = Field(
        description="The run that logged the model",
        examples=["0a1b2c3d4e5f60718293a4b5c6d7e8f9"],
        json_schema_extra={"pattern": "^[A-Za-z0-9_]{1,64}$"},
    )
    model: ModelName = Field(
        validation_alias=AliasChoices("model", "model_name"),
        examples=["churn"],
        description="The registered model's name; `model_name` works, too",
    )
    bump: str | None = Field(
        None,
        description="major, minor, or patch, to override the semver rules",
        json_schema_extra={"enum": [*(part.value for part in Bump), None]},
    )
    description: str = Field("", description="What's new in this version")
    tags: Annotated[list[Annotated[str, documented_only(pattern="^[^=]+=")]], documented_only(maxItems=MAX_TAGS)] = (
        Field(default_factory=list, description="Tags for the version's card, as key=value", examples=[["owner=ann"]])
    )
    artifact: Annotated[str, documented_only(maxLength=MAX_ARTIFACT_LENGTH)] = Field(
        "", description="The model to register, if the run logged several"
    )
    ci: CiBody = Field(default_factory=CiBody, description="The CI run, with who started it")


class CancelBody(_Body):
    """Why a request is canceled. The body is optional."""

    reason: str = Field("", description="The reason, for the card and the audit log", examples=["wrong version"])


# -- response documents ------------------------------------------------------------------------------------------------

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

    id: str = Field(description="the request's short ID, shown on the card and accepted by /model approve")
    state: Literal["asked", "refused"] | RequestState = Field(
        description="asked, then pending, approved, executing; finally done, rejected, cancelled, expired, stale, "
        "failed, or refused"
    )
    is_final: bool = Field(description="whether the state can no longer change")
    model: str = Field(description="the model's name")
    version: Number | None = Field(None, description="the version's number; null while the state is asked")
    semver: str | None = Field(None, description="the version's semver, or null")
    from_: Stage | None = Field(None, serialization_alias="from", description="the version's stage before the request")
    to: Stage = Field(description="the requested stage")
    incumbent: Number | None = Field(
        None, description="the version that was in that stage when the request was opened, or null"
    )
    requester: str = Field(description="who made the request, as in the audit log")
    reason: str = Field(description="the requester's reason")
    required: Number | None = Field(None, description="how many people must approve")
    votes: list[VoteDocument] = Field(
        [],
        description="a list: by, choice (approve or reject), reason, at, counts (false once the voter can no longer "
        "vote)",
    )
    gates: list[GateResult] = Field(
        [],
        description="a list: name, bound (the requirement), value, passed, note, limit (the value that a failed metric "
        "needs, or null)",
    )
    is_blocked: bool = Field(False, description="whether a failed gate that no one has overridden blocks the request")
    opened_at: UtcTime | None = Field(None, description="when the request was opened, ISO 8601 in UTC")
    expires_at: UtcTime | None = Field(None, description="when the request expires if it isn't decided")
    decided_at: UtcTime | None = Field(None, description="when it was decided, or null")
    decided_by: str | None = Field(None, description="who decided it, or null")
    outcome: str = Field(description="why it ended this way, if there's a reason")
    review: ReviewDocument | None = Field(
        None, description="the review of a promotion without approvals: due_at, by, at, reason; otherwise null"
    )
    channel: str = Field(description="the card's channel")
    ci: dict[str, str | bool] = Field(
        description="the CI run that made the request: repository, run, commit, url, actor, service, is_verified",
        json_schema_extra={
            "propertyNames": {"enum": ["repository", "run", "commit", "url", "actor", "service", "is_verified"]}
        },
    )
    agent: dict[str, str] = Field(
        {},
        description="the agent that made the request: name, version, acts_for (a Slack user ID, by the policy); no one "
        "verifies its name and version",
        json_schema_extra={"propertyNames": {"enum": ["name", "version", "acts_for"]}},
    )
    error: str | None = Field(
        None,
        description="if it was refused, the kind of error: UnknownModel, UnknownVersion, BadInput, GateFailed, "
        "AlreadyOpen, Refused, …; otherwise null",
    )
    sentence: str = Field(description="the status as a sentence")


class VersionDocument(_Document):
    """A version that was registered."""

    model: str = Field(description="the model's name")
    version: Number = Field(description="the new version's number")
    semver: str = Field(description="the new version's semver")
    run_id: str = Field(description="the run that logged the model")
    against: Number | None = Field(description="the version that it was compared with to choose the semver, or null")
    overridden: bool = Field(description="whether --bump set the semver's step")
    why: str = Field(description="why it has this semver")
    ask: str = Field(description="the registration's ID; the audit log has it as ask:ID")
    sentence: str = Field(description="the result as a sentence")


class QueuedVersionDocument(_Document):
    """A version that's registered as soon as MLflow responds."""

    ask: str
    state: Literal["asked"] = STATE_ASKED
    sentence: str = "Recorded. The version is registered as soon as MLflow responds."


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
        description="the blocked versions, oldest first, each with its time, its reason, and a sentence"
    )


class SignatureDocument(_Document):
    """A signature on a DSSE envelope, in base64."""

    keyid: str
    sig: str


class EnvelopeDocument(_Document):
    """A DSSE envelope (version 1.0.2) with one Ed25519 signature; the payload is JSON in base64."""

    payload_type: str = Field(serialization_alias="payloadType")
    payload: str
    signatures: list[SignatureDocument]


class PassportDocument(_Document):
    """A version's passport."""

    passport: EnvelopeDocument
    manifest: dict[str, Any]
    state: PassportState


class BundleDocument(_Document):
    """Everything that's needed to verify a version offline, except the public key."""

    type: Literal["urn:registrar:passport-bundle:v1"]
    passport: EnvelopeDocument
    manifest: dict[str, Any]
    status: EnvelopeDocument


class PushDocument(_Document):
    """How many of the readings were new."""

    accepted: NonNegativeInt
    duplicates: NonNegativeInt


class ErrorDocument(_Document):
    """Why a call was refused. Only `error` is always present."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    error: str = Field(description="the error as a sentence")
    kind: str | None = Field(None, description="the kind of error, such as UnknownVersion")
    id: str = Field("", description="the ID of the request, if it was recorded")
    state: Literal["refused"] = Field(
        STATE_REFUSED, description="refused, if the request was recorded and then refused"
    )
    field: str = Field("", description="the field of the body that caused the error, if any")
    retry_after: int | None = Field(None, description="the seconds until a call is accepted again, after status 429")


def document_keys(model: type[BaseModel]) -> Mapping[str, str]:
    """Return a document's keys, in order, each with its description."""
    return {field.serialization_alias or name: field.description or "" for name, field in model.model_fields.items()}
