"""Schemathesis drives the HTTP API with what its OpenAPI document allows, and with what it does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case

from bot.bootstrap import Registrar
from bot.registry.memory import MemoryRegistry
from handlers.api import Api
from handlers.http import create
from localslack import LocalSlack
from tests.world import MANIFEST, World, policy_of, running

TOKEN = "t0ken-of-whoever-may-everything"
CLIENTS = {"ci": {"token_env": "SCHEMA_TOKEN", "may": ["push", "request"]}}
FEW = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The whole bot in a workspace of its own, with a client that may do everything."""
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("SCHEMA_TOKEN", TOKEN)
        slack = stack.enter_context(LocalSlack.start(MANIFEST))
        policy = policy_of({"clients": CLIENTS})
        home = tmp_path_factory.mktemp("schema")
        yield stack.enter_context(running(slack, Path(home), MemoryRegistry(), policy=policy))


def _document() -> dict[str, Any]:
    """Return the API's own description; whoever only describes needs no services."""
    nothing: Any = None
    programs = Api(ledger=nothing, policy=nothing, takes=nothing, clock=nothing, registrar=cast(Registrar, object()))
    return create(nothing, None, changed=print, programs=programs).openapi()


# Not from a fixture: Schemathesis does that by subtests, for which this pytest is too new.
schema = schemathesis.openapi.from_dict(
    _document(),
    # More readings than one call may hold are answered with 413: they are to be sent in several.
    config=schemathesis.Config.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": [
        "400", "401", "403", "404", "405", "406", "409", "413", "415", "422"]}}}),
)  # fmt: skip
# Only the grammar knows whether a text is a version, a stage or a run id, and says so with 422.
GRAMMAR: list[Any] = [schemathesis.checks.CHECKS.get_one("positive_data_acceptance")]


@schema.parametrize()
@FEW
def test_whatever_is_sent_is_answered_as_the_document_says(case: Case[Any], served: World) -> None:
    token = {"Authorization": f"Bearer {TOKEN}"}
    case.call_and_validate(base_url=served.service.address, headers=token, excluded_checks=GRAMMAR)


@schema.include(path_regex="^/v1/(metrics|requests|versions)").parametrize()
@settings(FEW, max_examples=5)
def test_without_a_token_nobody_gets_further(case: Case[Any], served: World) -> None:
    response = case.call(base_url=served.service.address)
    assert response.status_code in {401, 405, 413, 415, 422}, response.text
