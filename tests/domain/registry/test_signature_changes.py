"""What changes for callers between two signatures, and whether one version's files can serve the other's callers."""

from __future__ import annotations

import json

import pytest

from bot.domain.promotions.snapshot import Seen, pack_seen, unpack_seen
from bot.domain.registry.model import Column, Package, Signature
from bot.domain.registry.signature_changes import (
    Effect,
    ForCallers,
    caller_changes,
    for_callers,
    misfit,
    no_way_back,
    nothing_before,
)

OUTPUT = (Column(name="p", type="double"),)
AGE = Column(name="age", type="long")
CITY = Column(name="city", type="string")


def takes(*inputs: Column, params: tuple[Column, ...] = ()) -> Signature:
    return Signature(inputs=inputs, outputs=OUTPUT, params=params)


def files(signature: Signature | None) -> Package:
    return Package(flavors=("sklearn",), signature=signature)


def optional(column: Column) -> Column:
    return Column(name=column.name, type=column.type, required=False)


def test_what_breaks_callers_comes_first() -> None:
    old, new = takes(AGE), takes(AGE, optional(CITY), params=(Column(name="top_k", type="long"),))
    assert [(one.effect, str(one.says)) for one in caller_changes(new, old)] == [
        (Effect.BREAKS, "prediction parameter top_k was added and is required"),
        (Effect.ADDS, "input city was added"),
    ]


@pytest.mark.parametrize(
    ("new", "effects"),
    [
        (takes(AGE, CITY), [Effect.BREAKS]),
        (takes(AGE, optional(CITY)), [Effect.ADDS]),
        (takes(optional(AGE)), [Effect.FITS]),
        (takes(CITY), [Effect.BREAKS, Effect.BREAKS]),
        (takes(AGE), []),
        (Signature(outputs=OUTPUT), []),
    ],
    ids=["required input", "optional input", "made optional", "another input", "the same", "no inputs stated"],
)
def test_a_change_has_one_effect_on_callers(new: Signature, effects: list[Effect]) -> None:
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
def test_files_that_answer_every_call_fit(new: Package | None, old: Package | None) -> None:
    assert misfit(new, old) is None


@pytest.mark.parametrize(
    ("new", "old", "why"),
    [
        (files(takes(AGE)), files(takes(AGE, CITY)), "its signature differs: input city was removed"),
        (files(takes(AGE, CITY)), files(takes(AGE)), "its signature differs: input city was added and is required"),
        (None, files(takes(AGE)), "its MLmodel file is gone"),
        (files(None), files(takes(AGE)), "its signature differs from the incumbent's"),
        (files(takes(AGE)), files(None), "its signature differs from the incumbent's"),
        (files(Signature(inputs=(AGE,))), files(takes(AGE)), "its signature differs from the incumbent's"),
        (files(takes()), files(takes(AGE)), "its signature differs from the incumbent's"),
    ],
    ids=["input missing", "input required", "no files", "no signature", "none before", "no outputs", "no inputs"],
)
def test_files_that_callers_cannot_use_say_why(new: Package | None, old: Package, why: str) -> None:
    assert str(misfit(new, old)) == why


def test_of_many_breaks_a_few_are_named_and_the_rest_is_counted() -> None:
    old = takes(*(Column(name=f"x{n}", type="long") for n in range(5)))
    new = takes(*(Column(name=f"x{n}", type=f"t{n}") for n in range(5)))
    assert str(misfit(files(new), files(old))).endswith("; 2 more")


# -- on a request ------------------------------------------------------------------------------------------------------


def test_what_changes_for_callers_is_kept_with_a_request() -> None:
    found = for_callers(files(takes(AGE, CITY)), files(takes(AGE)), 4, 3)
    assert [str(one) for one in found.says(Effect.BREAKS)] == ["input city was added and is required"]
    seen = Seen(callers=ForCallers(changes=found.changes, more=2, unknown=nothing_before(), way_back=nothing_before()))
    assert unpack_seen(json.loads(json.dumps(pack_seen(seen)))) == seen


def test_a_request_that_an_older_registrar_opened_says_nothing_of_callers() -> None:
    packed = pack_seen(Seen())
    assert "callers" not in packed
    assert unpack_seen(packed).callers == ForCallers()


@pytest.mark.parametrize(
    ("new", "old", "unknown"),
    [
        (files(None), files(takes(AGE)), "v4 has no signature"),
        (None, files(takes(AGE)), "v4 has no signature"),
        (files(takes(AGE)), files(None), "v3 has no signature"),
        (files(None), None, None),
        (files(Signature(inputs=(AGE,))), files(takes(AGE)), "only one of them states its outputs"),
        (files(takes(AGE)), files(takes(AGE)), None),
    ],
    ids=["no signature", "no files", "none before", "neither has one", "no outputs", "the same"],
)
def test_what_cannot_be_compared_is_said(new: Package | None, old: Package | None, unknown: str | None) -> None:
    found = for_callers(new, old, 4, 3)
    assert (found.unknown and str(found.unknown), found.changes) == (unknown, ())


def test_of_many_changes_some_are_kept_and_the_others_counted() -> None:
    old = takes(*(Column(name=f"x{n}", type="long") for n in range(50)))
    new = takes(*(Column(name=f"x{n}", type=f"t{n}") for n in range(50)))
    found = for_callers(files(new), files(old), 4, 3)
    assert (len(found.changes), found.more) == (20, 30)


def test_a_move_after_which_callers_could_not_go_back_says_so() -> None:
    assert no_way_back(files(takes(AGE)), files(takes(AGE)), 3) is None
    why = no_way_back(files(takes(AGE, CITY)), files(takes(AGE)), 3)
    assert str(why) == "No automatic rollback to v3: its signature differs: input city was removed"
