"""What others did in the registry is told once, with a way to mend it; what we did ourselves is not."""

from __future__ import annotations

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.errors import Refused, UnknownRequest
from bot.domain.registry.model import Stage
from bot.domain.transitions.drift import DriftNotice, DriftNoticeKind
from tests.support.services.bench import ALICE, BOB, Bench


def lines(finding: DriftNotice) -> list[str]:
    return [str(line) for line in finding.lines]


@pytest.fixture
def watched(bench: Bench) -> Bench:
    """A bench whose registry was looked at before."""
    bench.registry.set_alias("churn", "challenger", 2)
    bench.watch.poll()
    bench.clock.advance(minutes=1)
    return bench


def test_the_first_look_announces_nothing(bench: Bench) -> None:
    bench.watch.poll()
    assert bench.findings() == []


def test_the_first_model_of_an_empty_registry_is_announced(bench: Bench) -> None:
    bench.registry.delete_model("churn")
    bench.watch.poll()
    bench.registry.add_model("fraud", versions=1)
    bench.watch.poll()
    [found] = bench.findings()
    assert (found.kind, found.model, found.versions) == (DriftNoticeKind.REGISTERED, "fraud", (1,))


def test_a_new_version_is_announced_once(watched: Bench) -> None:
    watched.registry.add_version("churn", run_id="abc", description="wider trees")
    assert watched.watch.poll() == 1
    assert watched.watch.poll() == 0
    [found] = watched.findings()
    assert found.versions == (5,)
    assert lines(found) == ["Run abc", "wider trees"]


def test_many_new_versions_come_in_one_message(watched: Bench) -> None:
    for _ in range(12):
        watched.registry.add_version("churn")
    watched.watch.poll()
    [found] = watched.findings()
    assert found.versions == tuple(range(16, 4, -1))


def test_a_version_with_the_number_of_a_deleted_model_is_announced_again(watched: Bench) -> None:
    for _ in range(2):
        watched.registry.add_model("fraud", versions=1)
        watched.watch.poll()
        watched.registry.delete_model("fraud")
        watched.watch.poll()
    assert [f.model for f in watched.findings() if f.kind is DriftNoticeKind.REGISTERED] == ["fraud", "fraud"]


def test_a_model_that_is_moved_at_the_first_look_does_not_pass_for_a_new_one(bench: Bench) -> None:
    bench.approved()
    bench.watch.poll()
    bench.clock.advance(seconds=1)
    bench.moves.execute_due("churn")
    bench.watch.poll()
    assert bench.findings() == []


def test_a_prompt_is_never_announced(watched: Bench) -> None:
    watched.registry.add_model("greeting", versions=2, is_prompt=True)
    assert watched.watch.poll() == 0
    assert not watched.watch.check_model("greeting")
    assert watched.findings() == []


def test_a_stage_that_somebody_else_moved_is_told_with_what_was_and_what_is(watched: Bench) -> None:
    watched.registry.by_hand("churn", 4, Stage.STAGING)
    watched.watch.poll()
    [found] = watched.findings()
    assert lines(found) == [
        "v2 went from Staging to Archived.",
        "v4 went from no stage to Staging.",
        "@challenger names v2, but v4 is in Staging.",
    ]
    assert (found.mend, found.stage) == (4, Stage.STAGING)


def test_an_alias_that_somebody_else_moved_is_told(watched: Bench) -> None:
    watched.registry.set_alias("churn", "blue", 4)
    watched.watch.poll()
    [found] = watched.findings()
    assert (lines(found), found.mend) == (["@blue went from nothing to v4."], None)


def test_a_deleted_version_is_told(watched: Bench) -> None:
    watched.registry.delete_version("churn", 3)
    watched.watch.poll()
    [found] = watched.findings()
    assert lines(found) == [
        "v3 (in Production) was deleted.",
        "Nothing is in Production now. Ask for a version: /model promote",
    ]


def test_a_deleted_model_is_told(watched: Bench) -> None:
    watched.registry.delete_model("churn")
    watched.watch.poll()
    [found] = watched.findings()
    assert lines(found) == ["The model “churn” was deleted or renamed in MLflow."]


def test_what_is_found_is_in_the_audit(watched: Bench) -> None:
    watched.registry.by_hand("churn", 4, Stage.STAGING)
    watched.watch.poll()
    event = watched.events()[-1]
    assert (event.tag, event.model) == (EventTag.DRIFT_FOUND, "churn")
    assert "v4 went from no stage to Staging." in event.why


def test_our_own_move_is_told_by_nobody_else(watched: Bench) -> None:
    watched.approved()
    watched.moves.execute_due("churn")
    watched.mirror.write_due()
    watched.watch.poll()
    assert watched.findings() == []


def test_what_somebody_changes_after_our_move_is_told_alone(watched: Bench) -> None:
    watched.approved()
    watched.moves.execute_due("churn")
    watched.registry.by_hand("churn", 1, Stage.STAGING, archive_existing=False)
    watched.watch.poll()
    assert lines(watched.findings()[0])[0] == "v1 went from Archived to Staging."


def test_two_holders_are_told_with_a_way_to_mend_it(watched: Bench) -> None:
    watched.registry.by_hand("churn", 4, Stage.PRODUCTION, archive_existing=False)
    watched.watch.poll()
    [found] = watched.findings()
    assert "Production has 2 holders: v4, v3. It should have one." in lines(found)
    assert found.mend == 3  # the champion names it


def test_holders_that_a_request_kept_are_meant(watched: Bench) -> None:
    watched.approved("promote churn 4 production --keep-existing")
    watched.moves.execute_due("churn")
    watched.watch.poll()
    assert watched.registry.holders() == [4, 3]
    assert watched.findings() == []


def test_two_holders_at_the_first_look_are_shown_too(bench: Bench) -> None:
    bench.registry.by_hand("churn", 4, Stage.PRODUCTION, archive_existing=False)
    bench.watch.poll()
    assert bench.findings()[0].mend == 3


def disorder(bench: Bench) -> DriftNotice:
    bench.registry.by_hand("churn", 4, Stage.PRODUCTION, archive_existing=False)
    bench.watch.poll()
    return bench.findings()[-1]


def test_mending_leaves_one_holder_with_the_alias(watched: Bench) -> None:
    finding = disorder(watched)
    watched.tending.repair_stage(BOB, finding.id, origin="slack")
    watched.moves.execute_due("churn")
    assert watched.registry.holders() == [3]
    assert watched.registry.model("churn").aliases["champion"] == 3
    with watched.ledger.read() as reading:
        assert reading.drift_notice(finding.id).mended_by == BOB.person
    assert watched.events()[-1].tag is EventTag.STAGE_REPAIRED


def test_what_was_mended_is_no_news(watched: Bench) -> None:
    watched.tending.repair_stage(BOB, disorder(watched).id, origin="slack")
    watched.moves.execute_due("churn")
    before = len(watched.findings())
    watched.watch.poll()
    assert len(watched.findings()) == before


def test_mending_twice_is_refused(watched: Bench) -> None:
    finding = disorder(watched)
    watched.tending.repair_stage(BOB, finding.id, origin="slack")
    with pytest.raises(Refused, match="mending it already"):
        watched.tending.repair_stage(BOB, finding.id, origin="slack")
    watched.moves.execute_due("churn")
    with pytest.raises(Refused, match="mended already"):
        watched.tending.repair_stage(BOB, finding.id, origin="slack")


def test_who_may_not_roll_back_may_not_mend(watched: Bench) -> None:
    finding = disorder(watched)
    with pytest.raises(Refused, match="may roll back"):
        watched.tending.repair_stage(ALICE, finding.id, origin="slack")
    assert watched.events()[-1].tag is EventTag.PERMISSION_REFUSED
    assert watched.registry.holders() == [4, 3]


def test_mending_what_has_changed_since_changes_nothing(watched: Bench) -> None:
    finding = disorder(watched)
    watched.registry.by_hand("churn", 3, Stage.ARCHIVED)
    watched.tending.repair_stage(BOB, finding.id, origin="slack")
    watched.moves.execute_due("churn")
    assert watched.registry.holders() == [4]
    assert watched.events()[-1].tag is EventTag.TRANSITION_NOT_MADE


def test_a_finding_that_nobody_made_cannot_be_mended(watched: Bench) -> None:
    with pytest.raises(UnknownRequest):
        watched.tending.repair_stage(BOB, "nnever", origin="slack")


def test_a_look_costs_one_request_where_nothing_changed(watched: Bench) -> None:
    watched.registry.request_counts.clear()
    watched.watch.poll()
    assert dict(watched.registry.request_counts) == {"models": 1}


def test_a_look_costs_one_request_more_for_each_model_that_changed(watched: Bench) -> None:
    watched.registry.add_model("fraud", versions=2)
    watched.registry.request_counts.clear()
    watched.watch.poll()
    assert dict(watched.registry.request_counts) == {"models": 1, "versions": 1}
