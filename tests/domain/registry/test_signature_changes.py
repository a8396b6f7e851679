"""Changes for callers between two signatures, and whether one version can serve the other's callers."""

from __future__ import annotations

import json

import pytest

from bot.domain.promotions.request import RequestSnapshot, pack_snapshot, unpack_snapshot
from bot.domain.registry.model import ModelPackage, Signature, SignatureColumn
from bot.domain.registry.signature_changes import (
    CallerEffect,
    CallerImpact,
    caller_changes,
    caller_impact,
    incompatibility_reason,
    no_earlier_version_reason,
    no_rollback_reason,
)

OUTPUT = (SignatureColumn(name="p", type="double"),)
AGE = SignatureColumn(name="age", type="long")
CITY = SignatureColumn(name="city", type="string")


def takes(*inputs: SignatureColumn, params: tuple[SignatureColumn, ...] = ()) -> Signature:
    return Signature(inputs=inputs, outputs=OUTPUT, params=params)


def files(signature: Signature | None) -> ModelPackage:
    return ModelPackage(flavors=("sklearn",), signature=signature)


def optional(column: SignatureColumn) -> SignatureColumn:
    return SignatureColumn(name=column.name, type=column.type, required=False)


def test_breaking_changes_come_first() -> None:
    old, new = takes(AGE), takes(AGE, optional(CITY), params=(SignatureColumn(name="top_k", type="long"),))
    assert [(one.effect, str(one.sentence)) for one in caller_changes(new, old)] == [
        (CallerEffect.BREAKS, "prediction parameter top_k was added and is required"),
        (CallerEffect.ADDS, "input city was added and is optional"),
    ]


@pytest.mark.parametrize(
    ("new", "effects"),
    [
        (takes(AGE, CITY), [CallerEffect.BREAKS]),
        (takes(AGE, optional(CITY)), [CallerEffect.ADDS]),
        (takes(optional(AGE)), [CallerEffect.COMPATIBLE]),
        (takes(CITY), [CallerEffect.BREAKS, CallerEffect.BREAKS]),
        (takes(AGE), []),
        (Signature(outputs=OUTPUT), []),
    ],
    ids=["required input", "optional input", "made optional", "another input", "the same", "no inputs stated"],
)
def test_each_change_has_one_effect_on_callers(new: Signature, effects: list[CallerEffect]) -> None:
    assert [change.effect for change in caller_changes(new, takes(AGE))] == effects


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (files(takes(AGE)), files(takes(AGE))),
        (files(takes(AGE)), None),
        (None, None),
        (files(takes(AGE, CITY)), files(takes(CITY, AGE))),
        (files(takes(optional(AGE))), files(takes(AGE))),
        (files(takes(AGE, optional(CITY))), files(takes(AGE))),
        (files(None), files(None)),
    ],
    ids=[
        "the same",
        "nothing to compare",
        "no files at all",
        "another order",
        "made optional",
        "optional input more",
        "no signatures",
    ],
)
def test_files_that_serve_every_call_are_compatible(new: ModelPackage | None, old: ModelPackage | None) -> None:
    assert incompatibility_reason(new, old) is None


@pytest.mark.parametrize(
    ("new", "old", "why"),
    [
        (files(takes(AGE)), files(takes(AGE, CITY)), "its signature differs: input city was removed"),
        (files(takes(AGE, CITY)), files(takes(AGE)), "its signature differs: input city was added and is required"),
        (None, files(takes(AGE)), "its MLmodel file is missing"),
        (files(None), files(takes(AGE)), "its signature can't be compared with the other version's"),
        (files(takes(AGE)), files(None), "its signature can't be compared with the other version's"),
        (
            files(Signature(inputs=(AGE,))),
            files(takes(AGE)),
            "its signature can't be compared with the other version's",
        ),
        (files(takes()), files(takes(AGE)), "its signature can't be compared with the other version's"),
    ],
    ids=["input missing", "input required", "no files", "no signature", "none before", "no outputs", "no inputs"],
)
def test_incompatible_files_have_a_reason(new: ModelPackage | None, old: ModelPackage, why: str) -> None:
    assert str(incompatibility_reason(new, old)) == why


def test_a_few_breaking_changes_are_named_and_the_rest_counted() -> None:
    old = takes(*(SignatureColumn(name=f"x{n}", type="long") for n in range(5)))
    new = takes(*(SignatureColumn(name=f"x{n}", type=f"t{n}") for n in range(5)))
    assert str(incompatibility_reason(files(new), files(old))).endswith("; 2 more")


# -- on a request ------------------------------------------------------------------------------------------------------


def test_a_request_stores_what_changes_for_callers() -> None:
    found = caller_impact(files(takes(AGE, CITY)), files(takes(AGE)), 4, 3)
    assert [str(one) for one in found.sentences(CallerEffect.BREAKS)] == ["input city was added and is required"]
    seen = RequestSnapshot(
        callers=CallerImpact(
            changes=found.changes,
            omitted=2,
            not_compared=no_earlier_version_reason(),
            no_rollback=no_earlier_version_reason(),
        )
    )
    assert unpack_snapshot(json.loads(json.dumps(pack_snapshot(seen)))) == seen


def test_a_request_from_an_older_release_has_no_caller_impact() -> None:
    packed = pack_snapshot(RequestSnapshot())
    assert "callers" not in packed
    assert unpack_snapshot(packed).callers == CallerImpact()


@pytest.mark.parametrize(
    ("new", "old", "unknown"),
    [
        (files(None), files(takes(AGE)), "v4 has no signature"),
        (None, files(takes(AGE)), "v4 has no signature"),
        (files(takes(AGE)), files(None), "v3 has no signature"),
        (files(None), None, None),
        (files(Signature(inputs=(AGE,))), files(takes(AGE)), "only one version declares its outputs"),
        (files(takes(AGE)), files(takes(AGE)), None),
    ],
    ids=["no signature", "no files", "none before", "neither has one", "no outputs", "the same"],
)
def test_signatures_that_cannot_be_compared_are_reported(
    new: ModelPackage | None, old: ModelPackage | None, unknown: str | None
) -> None:
    found = caller_impact(new, old, 4, 3)
    assert (found.not_compared and str(found.not_compared), found.changes) == (unknown, ())


def test_some_changes_are_stored_and_the_rest_counted() -> None:
    old = takes(*(SignatureColumn(name=f"x{n}", type="long") for n in range(50)))
    new = takes(*(SignatureColumn(name=f"x{n}", type=f"t{n}") for n in range(50)))
    found = caller_impact(files(new), files(old), 4, 3)
    assert (len(found.changes), found.omitted) == (20, 30)


def test_a_transition_that_no_automatic_rollback_can_undo_is_reported() -> None:
    assert no_rollback_reason(files(takes(AGE)), files(takes(AGE)), 3) is None
    why = no_rollback_reason(files(takes(AGE, CITY)), files(takes(AGE)), 3)
    assert str(why) == "No automatic rollback from this version to v3: its signature differs: input city was removed"
