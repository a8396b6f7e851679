"""Descriptions, tags, and archiving are applied, verified, and audited."""

from __future__ import annotations

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.errors import BadInput, Refused, RegistryUnreachable
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import TransitionState
from bot.ports import MessageKind
from tests.support.services.bench import ALICE, BOB, CAROL, Bench


def test_a_version_is_described(bench: Bench) -> None:
    done = bench.do("describe churn 4 'the spring campaign'")
    assert bench.registry.version("churn", 4).description == "the spring campaign"
    assert str(done.answer) == "Updated the description of v4 of “churn”."
    assert bench.events()[-1].tag is EventTag.DESCRIBED


def test_a_model_is_described(bench: Bench) -> None:
    bench.do("describe churn 'who leaves'")
    assert bench.registry.model("churn").description == "who leaves"


def test_tags_are_set_and_removed(bench: Bench) -> None:
    bench.do("tag churn 4 owner=ann use_case=retention")
    bench.do("tag churn 4 owner=bob use_case=")
    assert dict(bench.registry.version("churn", 4).tags) == {"owner": "bob"}
    assert bench.events()[-1].evidence == {
        "before": {"owner": "ann", "use_case": "retention"},
        "after": {"owner": "bob", "use_case": None},
    }


def test_people_cannot_set_registrar_s_own_tags(bench: Bench) -> None:
    with pytest.raises(BadInput, match="Registrar manages"):
        bench.do("tag churn 4 approval_status=approved_production")


def test_a_version_is_archived_and_the_channel_gets_the_reason(bench: Bench) -> None:
    done = bench.do("archive churn 4 --reason 'leaked labels'", who=BOB)
    assert bench.registry.version("churn", 4).stage is Stage.ARCHIVED
    with bench.ledger.read() as reading:
        assert reading.transition(done.transition_id or "").state is TransitionState.DONE
    assert "archived v4 of “churn”: leaked labels" in bench.told("said")
    assert bench.events()[-1].tag is EventTag.ARCHIVED


def test_the_version_in_production_is_never_archived(bench: Bench) -> None:
    with pytest.raises(Refused, match="is in Production, so it can't be archived"):
        bench.do("archive churn 3", who=BOB)
    assert bench.registry.holders() == [3]


def test_a_version_promoted_in_the_meantime_is_not_archived(bench: Bench) -> None:
    ask = bench.ask("archive churn 4", BOB)
    bench.errands.execute(ask.id)
    bench.registry.by_hand("churn", 4, Stage.PRODUCTION)
    bench.moves.execute_due("churn")
    assert bench.registry.holders() == [4]
    assert bench.events()[-1].tag is EventTag.TRANSITION_NOT_MADE


def test_only_people_who_can_roll_back_can_archive(bench: Bench) -> None:
    with pytest.raises(Refused):
        bench.do("archive churn 4", who=ALICE)
    assert bench.events()[-1].tag is EventTag.REGISTRY_CHANGE_REFUSED


def test_only_the_person_who_typed_the_command_can_confirm_it(bench: Bench) -> None:
    draft = bench.errands.create_draft(BOB, {"verb": "archive", "model": "churn", "version": "v4"}, channel="C1")
    with pytest.raises(Refused, match="Only the person who typed"):
        bench.errands.submit_draft(CAROL, draft, origin="slack")
    assert bench.errands.submit_draft(BOB, draft, origin="slack").id == draft
    with pytest.raises(Refused, match="already in progress"):
        bench.errands.submit_draft(BOB, draft, origin="slack")


def test_archiving_a_staging_version_removes_its_alias(bench: Bench) -> None:
    bench.registry.set_alias("churn", "challenger", 2)
    bench.do("archive churn 2", who=BOB)
    bench.mirror.write_due()
    assert "challenger" not in bench.registry.model("churn").aliases


def test_an_edit_waits_until_the_registry_responds(bench: Bench) -> None:
    ask = bench.ask("describe churn 4 later")
    bench.registry.is_down = True
    with pytest.raises(RegistryUnreachable):
        bench.errands.execute(ask.id)
    bench.registry.is_down = False
    bench.clock.advance(minutes=1)
    bench.errands.execute_due()
    assert bench.registry.version("churn", 4).description == "later"
    assert [note.kind for note in bench.notes()] == [MessageKind.DIRECT]
