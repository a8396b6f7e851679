"""What a request says about callers: compared when it's opened, shown on its card, and repeated after the promotion."""

from __future__ import annotations

from typing import Any

import pytest

from bot.domain.core.actors import Caller
from bot.domain.core.errors import FilesUnreachable
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.model import ModelPackage, Signature, SignatureColumn, VersionInfo
from bot.domain.registry.signature_changes import CallerEffect, CallerImpact
from tests.support.monitoring.monitoring import add_monitor
from tests.support.services.bench import ALICE, BOB, Bench
from tests.support.services.blocked_versions import set_production_rule
from tests.support.services.rollbacks import (
    ROLL_BACK,
    served,  # noqa: F401
)

AGE, CITY = SignatureColumn(name="age", type="long"), SignatureColumn(name="city", type="string")
OPTIONAL = SignatureColumn(name="plan", type="string", required=False)
NEXT = "promote churn 1 production"  # v4 is in Production


def takes(*inputs: SignatureColumn) -> ModelPackage:
    return ModelPackage(flavors=("sklearn",), signature=Signature(inputs=inputs))


def files(bench: Bench, **packages: ModelPackage) -> None:
    """Give versions these files."""
    for version, package in packages.items():
        bench.registry.add_package(bench.registry.version("churn", int(version.removeprefix("v"))), package)


def opened(bench: Bench, text: str = NEXT, who: Caller = ALICE) -> CallerImpact:
    request = bench.open(text, who)
    assert request.seen is not None
    with bench.ledger.read() as reading:  # as the card reads it
        kept = reading.request(request.id).seen
    assert kept == request.seen
    return request.seen.callers


def says(found: CallerImpact) -> list[tuple[CallerEffect, str]]:
    return [(one.effect, str(one.sentence)) for one in found.changes]


def test_a_request_stores_breaking_and_other_changes_for_callers(served: Bench) -> None:  # noqa: F811
    files(served, v4=takes(AGE), v1=takes(AGE, CITY, OPTIONAL))
    assert says(opened(served)) == [
        (CallerEffect.BREAKS, "input city was added and is required"),
        (CallerEffect.ADDS, "input plan was added and is optional"),
    ]


def test_an_unchanged_signature_is_not_mentioned(served: Bench) -> None:  # noqa: F811
    files(served, v4=takes(AGE), v1=takes(AGE))
    assert opened(served) == CallerImpact()


def test_unreachable_files_do_not_prevent_a_request(served: Bench, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    def package(version: VersionInfo) -> ModelPackage:
        raise FilesUnreachable("The files don't come.")

    monkeypatch.setattr(served.registry, "package", package)
    assert str(opened(served).not_compared) == "The files don't come."


def test_each_version_s_files_are_read_once_even_if_a_gate_reads_them(served: Bench) -> None:  # noqa: F811
    files(served, v4=takes(AGE), v1=takes(AGE))
    set_production_rule(served, {"signature": "compatible"})
    read: list[int] = []
    package = served.registry.package

    def counted(version: VersionInfo) -> Any:
        read.append(version.version)
        return package(version)

    served.registry.package = counted  # type: ignore[method-assign]
    opened(served)
    assert sorted(read) == [1, 4]


def test_the_transition_reads_no_files_for_callers(served: Bench, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    files(served, v4=takes(AGE), v1=takes(AGE, OPTIONAL))
    request = served.approve(served.open(NEXT)).request

    def package(version: VersionInfo) -> ModelPackage:
        raise AssertionError(f"v{version.version} was read")

    monkeypatch.setattr(served.registry, "package", package)
    assert done(served, request) is RequestState.DONE


# -- rollbacks ---------------------------------------------------------------------------------------------------------


def done(bench: Bench, request: Request) -> RequestState:
    bench.moves.execute_due("churn")
    return bench.state(request)


def told(bench: Bench, request: Request) -> list[str]:
    """Return what the request's thread says about rollbacks."""
    return [bench.told(note.key) for note in bench.notes() if note.key == f"news:{request.id}:way-back"]


def test_a_request_says_that_its_promotion_cannot_be_rolled_back(served: Bench) -> None:  # noqa: F811
    files(served, v4=takes(AGE), v1=takes(AGE, CITY))
    request = served.open(NEXT)
    why = "No automatic rollback from this version to v4: its signature differs: input city was removed"
    assert request.seen is not None
    assert str(request.seen.callers.no_rollback) == why


def test_the_rollback_warning_matches_what_a_rollback_finds(served: Bench) -> None:  # noqa: F811
    files(served, v4=takes(AGE), v1=takes(AGE, CITY))
    done(served, served.approve(served.open(NEXT)).request)
    against = served.rollbacks._loadability.problems("churn", 4, 1)
    assert [str(one) for one in against] == ["its signature differs: input city was removed"]


def test_a_compatible_change_without_a_rollback_monitor_does_not_mention_rollbacks(
    served: Bench,  # noqa: F811
) -> None:
    files(served, v4=takes(AGE), v1=takes(AGE, OPTIONAL))
    assert opened(served).no_rollback is None


def test_a_compatible_change_with_a_rollback_monitor_mentions_rollbacks(served: Bench) -> None:  # noqa: F811
    files(served, v4=takes(AGE), v1=takes(AGE, OPTIONAL))
    add_monitor(served)
    assert str(opened(served).no_rollback).endswith("input plan was removed")


def test_a_monitored_first_version_has_no_rollback_target(bench: Bench) -> None:
    bench.registry.add_model("fraud", versions=1)
    assert opened(bench, "promote fraud 1 production").no_rollback is None
    with bench.ledger.read() as reading:
        [request] = reading.requests(model="fraud")
    bench.cancel(request, ALICE)
    add_monitor(bench, model="fraud")
    why = opened(bench, "promote fraud 1 production").no_rollback
    assert str(why) == "No automatic rollback: there's no version to roll back to"


def test_rollbacks_are_not_mentioned_for_staging(served: Bench) -> None:  # noqa: F811
    files(served, v3=takes(AGE), v2=takes(AGE, CITY))
    served.do(ROLL_BACK, BOB)
    assert opened(served, "promote churn 1 staging").no_rollback is None
