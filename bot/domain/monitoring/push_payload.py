"""Parser for the readings that programs push. Each error names its field."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import sanitize_text, say, truncate
from bot.domain.core.strict_model import documented_only, error_message
from bot.domain.registry.model import check_model_name

MAX_READINGS = 1_000  # in one call
MAX_METRIC_LENGTH = 250  # characters, as in MLflow
MAX_CLOCK_SKEW = timedelta(minutes=5)  # how far the client's clock can be ahead of Registrar's
MAX_FAULTS_SHOWN = 5  # the others are counted

_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


class TooManyReadings(BadInput):
    """A call has too many readings."""


def _parse_model(name: Any) -> str:
    if not isinstance(name, str):
        raise ValueError("must be a string.")
    try:
        checked = check_model_name(name)
    except BadInput as error:
        raise ValueError(str(error)) from None
    if checked != name:
        raise ValueError("can't start or end with a space.")
    return checked


def _parse_version(version: Any) -> int:
    if version is None:
        return 0
    if isinstance(version, str) and re.fullmatch(r"[vV]?[0-9]{1,9}", version):
        version = int(version.lstrip("vV"))
    if isinstance(version, bool) or not isinstance(version, int) or not 0 < version < 1_000_000_000:
        raise ValueError("must be a version number, such as 7.")
    return version


def _parse_metric(name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise ValueError("must be a metric name.")
    if len(name) > MAX_METRIC_LENGTH or sanitize_text(name).strip() != name:
        raise ValueError(f"must be at most {MAX_METRIC_LENGTH} visible characters, without leading or trailing spaces.")
    return name


def _parse_value(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number.")
    try:
        figure = float(value)
    except OverflowError:
        figure = math.inf
    if not math.isfinite(figure):
        raise ValueError("must be a finite number. Leave out readings that couldn't be measured.")
    return figure


def _parse_total(total: Any) -> float | None:
    figure = None if total is None else _parse_value(total)
    if figure is not None and figure < 0:
        raise ValueError("must be 0 or more.")
    return figure


def _parse_time(text: Any, info: ValidationInfo) -> datetime:
    if not isinstance(text, str) or not _RFC_3339.fullmatch(text):
        raise ValueError("must be a time with a time zone, such as 2026-05-04T12:00:00Z.")
    try:
        at = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("isn't a valid time.") from None
    if at.year < 1970:
        raise ValueError("is before 1970.")
    if info.context and at - info.context["now"] > MAX_CLOCK_SKEW:
        raise ValueError("is in the future.")
    return at


def _parse_source(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError("must be the name of a source.")
    return name


ModelName = Annotated[str, documented_only(minLength=1, maxLength=250, pattern=r"^[^/:\x00-\x1f]+$")]
VersionNumber = Annotated[int, documented_only(minimum=1, maximum=999_999_999)]
_Version = VersionNumber | Annotated[str, documented_only(pattern="^[vV]?[0-9]{1,9}$")] | None


class ReadingInput(BaseModel):
    """One reading."""

    model_config = ConfigDict(extra="forbid", title="ReadingBody")  # as the OpenAPI document has always named it

    model: Annotated[ModelName, BeforeValidator(_parse_model)] = Field(
        description="The registered model's name", examples=["churn"]
    )
    version: Annotated[int, PlainValidator(_parse_version, json_schema_input_type=_Version)] = Field(
        0,  # the client didn't say which
        description="7 or v7; by default, the version in Production",
        examples=[7],
        json_schema_extra={"default": None},
    )
    metric: Annotated[
        str, documented_only(minLength=1, maxLength=MAX_METRIC_LENGTH), BeforeValidator(_parse_metric)
    ] = Field(description="The metric that a monitor's query names", examples=["accuracy"])
    value: Annotated[float, BeforeValidator(_parse_value)] = Field(description="A finite number", examples=[0.91])
    total: Annotated[Annotated[float, documented_only(minimum=0)] | None, BeforeValidator(_parse_total)] = Field(
        None, alias="of", description="For counts, the total: 93 of 100 counts as 0.93"
    )
    at: Annotated[
        datetime,
        PlainValidator(_parse_time, json_schema_input_type=Annotated[str, documented_only(format="date-time")]),
    ] = Field(description="When it was measured: RFC 3339 with a time zone", examples=["2026-05-04T12:00:00Z"])

    @model_validator(mode="after")
    def _check_count(self) -> ReadingInput:
        if self.total is not None and not 0 <= self.value <= self.total:
            raise ValueError("must be between 0 and the total (of).")  # see _describe_fault
        return self


class PushPayload(BaseModel):
    """Readings for monitors. Either all are accepted, or none."""

    model_config = ConfigDict(extra="forbid", title="PushBody")

    source: Annotated[
        str, PlainValidator(_parse_source, json_schema_input_type=Annotated[str, documented_only(minLength=1)])
    ] = Field(description="A source of type push in the policy, or push itself", examples=["live"])
    readings: list[ReadingInput] = Field(description="1 to 1,000 readings", min_length=1, max_length=MAX_READINGS)


def parse_push(body: bytes, now: datetime) -> PushPayload:
    """Return the parsed body. Raise BadInput, which names the field of each error, or TooManyReadings."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise BadInput("The body isn't valid JSON.") from None
    if not isinstance(data, dict):
        raise BadInput("The body must be a JSON object with source and readings.")
    if isinstance(readings := data.get("readings"), list) and len(readings) > MAX_READINGS:
        n, most = len(readings), MAX_READINGS
        raise TooManyReadings(
            say("readings: {n} is over the limit of {most} per call. Split them into several calls.", n=n, most=most)
        )
    try:
        return PushPayload.model_validate(data, context={"now": now})
    except ValidationError as error:
        faults = [_describe_fault(fault) for fault in error.errors()]
    more = len(faults) - MAX_FAULTS_SHOWN
    raise BadInput(" ".join(faults[:MAX_FAULTS_SHOWN]) + (f" And {more} more." if more > 0 else ""))


def _describe_fault(fault: Mapping[str, Any]) -> str:
    """Return one of pydantic's errors as text that begins with the field's path."""
    path = [str(step) for step in fault["loc"]]
    if fault["type"] == "extra_forbidden":
        fields = (ReadingInput if len(path) > 1 else PushPayload).model_fields.items()
        path[-1] = truncate(sanitize_text(path[-1]), 50)
        why = f"unknown key. Known keys: {', '.join(field.alias or name for name, field in fields)}."
    elif path == ["source"]:
        why = "must be the name of a source."
    elif path == ["readings"]:
        why = "must be a list of readings."
    else:
        why = {"missing": "is missing.", "model_type": "must be an object."}.get(fault["type"], error_message(fault))
        path += ["value"] if fault["type"] == "value_error" and len(path) == 2 else []  # see _check_count
    return f"{'.'.join(path)}: {why}"
