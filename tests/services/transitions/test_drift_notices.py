"""Changes by others are reported once, with a repair button; our own transitions aren't reported."""

from __future__ import annotations

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.errors import Refused, RegistryUnreachable, UnknownRequest
from bot.domain.registry.model import Stage
from bot.domain.transitions.drift import DriftNotice, DriftNoticeKind
from tests.support.services.bench import ALICE, BOB, Bench


def lines(finding: DriftNotice) -> list[str]:
    return [str(line) for line in finding.lines]


@pytest.fixture
def watched(bench: Bench) -> Bench:
    """A bench whose registry has been polled before."""
    bench.registry.set_alias("churn", "challenger", 2)
    bench.watch.poll()
    bench.clock.advance(minutes=1)
    return bench


def test_the_first_poll_announces_nothing(bench: Bench) -> None:
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


def test_an_announcement_compares_the_metrics_with_production(watched: Bench) -> None:
    watched.registry.add_run("new", metrics={"f1": 0.9})
    watched.registry.add_version("churn", run_id="new")
    watched.watch.poll()
    [found] = watched.findings()
    assert lines(found)[-1].startswith("f1 0.900")


def test_a_version_whose_metrics_can_t_be_read_is_announced_without_them(
    watched: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(run_ids: list[str]) -> None:
        raise RegistryUnreachable("MLflow isn't responding.")

    watched.registry.add_run("new", metrics={"f1": 0.9})
    watched.registry.add_version("churn", run_id="new")
    monkeypatch.setattr(watched.registry, "runs", refuse)
    watched.watch.poll()
    assert lines(watched.findings()[0]) == ["Run new"]


def test_many_new_versions_share_one_message(watched: Bench) -> None:
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


def test_a_model_in_transition_at_the_first_poll_is_not_reported_as_new(bench: Bench) -> None:
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


def test_a_stage_changed_in_mlflow_is_reported_with_old_and_new_values(watched: Bench) -> None:
    watched.registry.by_hand("churn", 4, Stage.STAGING)
    watched.watch.poll()
    [found] = watched.findings()
    assert lines(found) == [
        "v2 moved from Staging to Archived.",
        "v4 moved from no stage to Staging.",
        "@challenger points to v2, but v4 is in Staging.",
    ]
    assert (found.mend, found.stage) == (4, Stage.STAGING)


def test_an_alias_changed_in_mlflow_is_reported(watched: Bench) -> None:
    watched.registry.set_alias("churn", "blue", 4)
    watched.watch.poll()
    [found] = watched.findings()
    assert (lines(found), found.mend) == (["@blue moved from no version to v4."], None)


def test_a_deleted_version_is_reported(watched: Bench) -> None:
    watched.registry.delete_version("churn", 3)
    watched.watch.poll()
    [found] = watched.findings()
    assert lines(found) == [
        "v3 (in Production) was deleted.",
        "Production is empty now. Request a promotion: /model promote",
    ]


def test_a_deleted_model_is_reported(watched: Bench) -> None:
    watched.registry.delete_model("churn")
    watched.watch.poll()
    [found] = watched.findings()
    assert lines(found) == ["The model “churn” was deleted or renamed in MLflow."]


def test_what_is_found_is_in_the_audit(watched: Bench) -> None:
    watched.registry.by_hand("churn", 4, Stage.STAGING)
    watched.watch.poll()
    event = watched.events()[-1]
    assert (event.tag, event.model) == (EventTag.DRIFT_FOUND, "churn")
    assert "v4 moved from no stage to Staging." in event.why


def test_our_own_transition_has_no_drift_notice(watched: Bench) -> None:
    watched.approved()
    watched.moves.execute_due("churn")
    watched.mirror.write_due()
    watched.watch.poll()
    assert watched.findings() == []


def test_only_the_change_after_our_transition_is_reported(watched: Bench) -> None:
    watched.approved()
    watched.moves.execute_due("churn")
    watched.registry.by_hand("churn", 1, Stage.STAGING, archive_existing=False)
    watched.watch.poll()
    assert lines(watched.findings()[0])[0] == "v1 moved from Archived to Staging."


def test_two_holders_are_reported_with_a_repair_button(watched: Bench) -> None:
    watched.registry.by_hand("churn", 4, Stage.PRODUCTION, archive_existing=False)
    watched.watch.poll()
    [found] = watched.findings()
    assert "Production has 2 versions: v4, v3. It should have only one." in lines(found)
    assert found.mend == 3  # the champion alias points to it


def test_holders_kept_by_a_request_are_not_reported(watched: Bench) -> None:
    watched.approved("promote churn 4 production --keep-existing")
    watched.moves.execute_due("churn")
    watched.watch.poll()
    assert watched.registry.holders() == [4, 3]
    assert watched.findings() == []


def test_two_holders_at_the_first_poll_are_reported(bench: Bench) -> None:
    bench.registry.by_hand("churn", 4, Stage.PRODUCTION, archive_existing=False)
    bench.watch.poll()
    assert bench.findings()[0].mend == 3


def disorder(bench: Bench) -> DriftNotice:
    bench.registry.by_hand("churn", 4, Stage.PRODUCTION, archive_existing=False)
    bench.watch.poll()
    return bench.findings()[-1]


def test_a_repair_leaves_one_holder_with_the_alias(watched: Bench) -> None:
    finding = disorder(watched)
    watched.tending.repair_stage(BOB, finding.id, origin="slack")
    watched.moves.execute_due("churn")
    assert watched.registry.holders() == [3]
    assert watched.registry.model("churn").aliases["champion"] == 3
    with watched.ledger.read() as reading:
        assert reading.drift_notice(finding.id).mended_by == BOB.person
    assert watched.events()[-1].tag is EventTag.STAGE_REPAIRED


def test_a_repair_is_not_reported_as_drift(watched: Bench) -> None:
    watched.tending.repair_stage(BOB, disorder(watched).id, origin="slack")
    watched.moves.execute_due("churn")
    before = len(watched.findings())
    watched.watch.poll()
    assert len(watched.findings()) == before


def test_a_second_repair_is_refused(watched: Bench) -> None:
    finding = disorder(watched)
    watched.tending.repair_stage(BOB, finding.id, origin="slack")
    with pytest.raises(Refused, match="already in progress"):
        watched.tending.repair_stage(BOB, finding.id, origin="slack")
    watched.moves.execute_due("churn")
    with pytest.raises(Refused, match="already been repaired"):
        watched.tending.repair_stage(BOB, finding.id, origin="slack")


def test_people_who_cannot_roll_back_cannot_repair(watched: Bench) -> None:
    finding = disorder(watched)
    with pytest.raises(Refused, match="people who can roll back"):
        watched.tending.repair_stage(ALICE, finding.id, origin="slack")
    assert watched.events()[-1].tag is EventTag.PERMISSION_REFUSED
    assert watched.registry.holders() == [4, 3]


def test_a_repair_after_another_change_does_nothing(watched: Bench) -> None:
    finding = disorder(watched)
    watched.registry.by_hand("churn", 3, Stage.ARCHIVED)
    watched.tending.repair_stage(BOB, finding.id, origin="slack")
    watched.moves.execute_due("churn")
    assert watched.registry.holders() == [4]
    assert watched.events()[-1].tag is EventTag.TRANSITION_NOT_MADE


def test_an_unknown_drift_notice_cannot_be_repaired(watched: Bench) -> None:
    with pytest.raises(UnknownRequest):
        watched.tending.repair_stage(BOB, "nnever", origin="slack")


def test_a_poll_without_changes_takes_one_request(watched: Bench) -> None:
    watched.registry.request_counts.clear()
    watched.watch.poll()
    assert dict(watched.registry.request_counts) == {"models": 1}


def test_a_poll_takes_one_more_request_for_each_changed_model(watched: Bench) -> None:
    watched.registry.add_model("fraud", versions=2)
    watched.registry.request_counts.clear()
    watched.watch.poll()
    assert dict(watched.registry.request_counts) == {"models": 1, "versions": 1}
