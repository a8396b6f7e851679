"""The bodies that the HTTP API accepts, and their parser."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from bot.domain.core.sentence import Code, Name, say
from bot.domain.registry.model import TARGET_STAGES
from bot.domain.registry.semver import Bump
from handlers.api.calls import ApiError, ModelName, VersionNumber, documented_only


class _Body(BaseModel):
    # Strict: true isn't version 1, and "0.9" isn't a number; the OpenAPI document says so, too.
    model_config = ConfigDict(extra="forbid", populate_by_name=True, strict=True)


_VersionText = Annotated[
    str,
    documented_only(
        pattern=(r"^([vV]?[0-9]{1,9}|[0-9]+\.[0-9]+\.[0-9]+|@[A-Za-z0-9_\-]+|[Ss]taging|[Pp]roduction|latest)$")
    ),
]


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
    version: VersionNumber | _VersionText = Field(
        description="7, v7, 2.1.0, @alias, staging, production or latest", examples=[7]
    )
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


BodyT = TypeVar("BodyT", bound=_Body)


def parse_body(body_type: type[BodyT], body: bytes | None) -> BodyT:
    """Return the parsed body. Raises ApiError that names the first wrong field."""
    try:
        return body_type.model_validate_json(body or b"")
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(step) for step in fault["loc"]) or "body"
        if fault["type"] == "extra_forbidden":
            fields = [Code(name) for name in body_type.model_fields]
            raise ApiError(
                422, say("{place}: unknown key; known are {known}.", place=Name(field[:60]), known=fields)
            ) from None
        raise ApiError(422, say("{place}: {what}.", place=Name(field[:60]), what=str(fault["msg"]))) from None
