"""`/v1/passports`: passports, and the signed list of which ones are valid."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response

from bot.domain.core.errors import Misconfigured, Refused
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.registry.model import Stage
from bot.services.transitions.passports import IssuedPassport
from handlers.api.calls import (
    BEARER,
    REFUSAL_STATUSES,
    ApiCall,
    ApiError,
    client_who_may,
    describe_responses,
    json_response,
)
from handlers.api.schemas import BundleDocument, EnvelopeDocument, PassportDocument

BUNDLE_TYPE = "urn:registrar:passport-bundle:v1"
router = APIRouter(dependencies=[BEARER])

Reader = Annotated[ApiCall, client_who_may("read passports", "read", "request")]
ModelName = Annotated[
    str, Path(description="The registered model's name", max_length=250, pattern=r"^[^/:\x00-\x1f]+$")
]
VersionNumber = Annotated[int, Path(description="The version's number", ge=1, le=2**31 - 1)]
TargetStage = Annotated[Literal["Staging", "Production"], Query(description="The stage that it was moved into")]
_STATUSES = REFUSAL_STATUSES | {
    404: "No passport; `kind` is no_passport if nobody approved the version for the stage, or not_issued_yet",
    422: "The model's name, the version, or the stage is invalid",
}


@router.get(
    "/v1/passports/status",
    name="passport status",
    responses=describe_responses(
        REFUSAL_STATUSES | {200: "The status list, signed", 404: "There's no key, so `kind` is not_issued_yet"},
        {200: EnvelopeDocument},
    ),
    summary="Get the status of all passports",
)
def show_status(call: Reader) -> Response:
    """Return the status of the passports for the client's models, as a signed DSSE envelope that expires soon."""
    try:
        envelope = call.registrar.passports.status_list(tuple(call.rules.models), call.covers_model)
    except Misconfigured as error:
        raise _not_issued(error.sentence) from None
    return json_response(200, envelope)


@router.get(
    "/v1/passports/{model}/{version}",
    name="passport",
    responses=describe_responses(_STATUSES | {200: "The passport, even if it isn't valid"}, {200: PassportDocument}),
    summary="Get a version's passport",
)
def show_passport(
    call: Reader, model: ModelName, version: VersionNumber, stage: TargetStage = "Production"
) -> Response:
    """Return the version's latest passport for a stage, the manifest of its files, and whether it's valid now."""
    found = _find(call, model, version, Stage(stage))
    return json_response(200, _document(found) | {"state": found.state.value})


@router.get(
    "/v1/passports/bundle/{model}/{version}",
    name="passport bundle",
    responses=describe_responses(_STATUSES | {200: "The bundle"}, {200: BundleDocument}),
    summary="Get all that verifies a version offline",
)
def show_bundle(call: Reader, model: ModelName, version: VersionNumber, stage: TargetStage = "Production") -> Response:
    """Return the version's latest passport, its manifest, and the signed status list of its model."""
    found = _find(call, model, version, Stage(stage))
    try:
        status = json.loads(found.status())
    except Misconfigured as error:
        raise _not_issued(error.sentence) from None
    return json_response(200, {"type": BUNDLE_TYPE, **_document(found), "status": status})


def _find(call: ApiCall, model: str, version: int, stage: Stage) -> IssuedPassport:
    """Return the passport. Raises ApiError."""
    call.require_model(model, "read passports of")
    try:
        return call.registrar.passports.find(model, version, stage)
    except (Misconfigured, Refused) as error:
        raise _not_issued(error.sentence) from None
    except LookupError:
        why = say(
            "{v} of {model} has no passport for {stage}: nobody moved it there with Registrar.",
            v=Code(f"v{version}"),
            model=Name(model),
            stage=stage,
        )
        raise ApiError(404, why, kind="no_passport") from None


def _not_issued(why: Sentence) -> ApiError:
    return ApiError(404, why, kind="not_issued_yet")


def _document(found: IssuedPassport) -> dict[str, Any]:
    return {"passport": json.loads(found.envelope), "manifest": found.manifest}
