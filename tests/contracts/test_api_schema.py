"""Schemathesis drives the HTTP API with what its OpenAPI document allows, and with what it does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case

from bot.registrar import Registrar
from handlers.api.calls import ApiServices
from handlers.web.app import create_app
from tests.support.app.app_fixture import MANIFEST, RunningApp, make_policy, running_app
from tests.support.app.workspaces import local_slack
from tests.support.registry.memory import MemoryRegistry

TOKEN = "t0ken-of-whoever-may-everything"
SECRET = "of-mlflow"
CHANGES = {
    "clients": {"ci": {"token_env": "SCHEMA_TOKEN", "may": ["push", "request"]}},
    "sources": {"live": {"type": "push"}},  # as the document's example names it
}
RUN = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"  # as the document's example names it
FEW = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=400)

# The bot lives in the same process, and its threads may use `random` while Hypothesis makes up a call.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """The whole bot in a workspace of its own, with a client that may do everything.

    The registry has what the document's examples name, so that they are answered with success.
    """
    registry = MemoryRegistry()
    registry.add_model("churn", versions=9)
    registry.add_model("apart", versions=9)  # of which nothing is asked but by those tests that name it
    registry.add_run(RUN, metrics={"f1": 0.9}, models=["model"])
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("SCHEMA_TOKEN", TOKEN)
        slack = stack.enter_context(local_slack(MANIFEST))
        home = tmp_path_factory.mktemp("schema")
        policy = make_policy(CHANGES)
        yield stack.enter_context(running_app(slack, Path(home), registry, policy=policy, webhook_secret=SECRET))


def _document() -> dict[str, Any]:
    """Return the API's own description; whoever only describes needs no services."""
    nothing: Any = None
    programs = ApiServices(
        ledger=nothing, policy=nothing, requires_signature=nothing, clock=nothing, registrar=cast(Registrar, object())
    )
    return create_app(nothing, None, webhook_secret=SECRET, on_model_changed=print, api_services=programs).openapi()


CHECKS = {
    # More readings than one call may hold are answered with 413: they are to be sent in several.
    "negative_data_rejection": {"expected-statuses": ["400", "401", "403", "404", "405", "409", "413", "415", "422"]},
    # Only the grammar knows whether a text is a version, a stage or a moment that is past, and says so with 422.
    "positive_data_acceptance": {"expected-statuses": ["2xx", "401", "403", "404", "409", "422"]},
}
# Not from a fixture: Schemathesis does that by subtests, for which this pytest is too new.
schema = schemathesis.openapi.from_dict(_document(), config=schemathesis.Config.from_dict({"checks": CHECKS}))
programs = schema.include(path_regex="^/v1/(metrics|requests|versions)")
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@schema.parametrize()
@FEW
def test_whatever_is_sent_is_answered_as_the_document_says(case: Case[Any], served: RunningApp) -> None:
    case.call_and_validate(base_url=served.service.address, headers=AUTHORIZED)


@pytest.mark.slow
@schema.parametrize()
@MANY
def test_however_much_is_sent_is_answered_as_the_document_says(case: Case[Any], served: RunningApp) -> None:
    case.call_and_validate(base_url=served.service.address, headers=AUTHORIZED)


@programs.parametrize()
@settings(FEW, max_examples=5)
def test_without_a_token_nobody_gets_further(case: Case[Any], served: RunningApp) -> None:
    response = case.call(base_url=served.service.address)
    assert response.status_code in {401, 405, 413, 415, 422}, response.text
    if response.status_code != 405:  # no operation's
        case.validate_response(response)


class Caller:
    """Calls an operation of the document, has the answer checked, and gives status and body."""

    def __init__(self, app: RunningApp) -> None:
        self._address = app.service.address

    def __call__(
        self, method: str, path: str, key: str = "", *, body: dict[str, Any] | None = None, of: str | None = None
    ) -> tuple[int, Any]:
        operation = schema[path][method]
        if body:
            case = operation.Case(body=body, media_type="application/json")
        else:
            case = operation.Case(path_parameters={"request_id": of})
        headers = AUTHORIZED | ({"Idempotency-Key": key} if key else {})
        response = case.call_and_validate(base_url=self._address, headers=headers)
        return response.status_code, response.json()


@pytest.fixture
def call(served: RunningApp) -> Caller:
    return Caller(served)


KEYS = (f"key-{number}" for number in count())


def test_a_request_fits_its_document_as_long_as_it_lives(call: Caller) -> None:
    body, key = {"model": "apart", "version": 8, "to": "staging", "reason": "better f1"}, next(KEYS)
    status, opened = call("POST", "/v1/requests", key, body=body)
    assert (status, opened["state"]) == (201, "pending")
    one = opened["id"]
    assert call("POST", "/v1/requests", key, body=body) == (200, opened)
    assert call("POST", "/v1/requests", key, body=body | {"version": 9})[0] == 409
    assert call("POST", "/v1/requests", body=body)[1]["kind"] == "AlreadyOpen"
    assert call("GET", "/v1/requests/{request_id}", of=one) == (200, opened)
    assert call("DELETE", "/v1/requests/{request_id}", of=one)[1]["state"] == "cancelled"
    assert call("DELETE", "/v1/requests/{request_id}", of=one)[0] == 409
    assert call("GET", "/v1/requests/{request_id}", of=one)[1]["state"] == "cancelled"
    assert call("POST", "/v1/requests", next(KEYS), body=body | {"version": 99})[1]["state"] == "refused"


def test_a_version_fits_its_document_whenever_it_is_asked_for(call: Caller) -> None:
    body, key = {"model": "new and apart", "run_id": RUN, "description": "new", "tags": ["owner=ann"]}, next(KEYS)
    status, made = call("POST", "/v1/versions", key, body=body)
    assert (status, made["version"]) == (201, 1)
    assert call("POST", "/v1/versions", key, body=body) == (200, made)
    assert call("POST", "/v1/versions", body=body | {"run_id": "nowhere"})[1]["kind"] == "UnknownRun"


def test_readings_are_taken_as_the_document_s_example_has_them(call: Caller) -> None:
    reading = {"model": "churn", "version": 7, "metric": "accuracy", "value": 1, "at": "2026-05-04T12:00:00Z"}
    assert call("POST", "/v1/metrics", body={"source": "live", "readings": [reading]})[0] == 202
