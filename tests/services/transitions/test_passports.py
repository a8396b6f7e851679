"""Passports: issued once per move, with the move or when the files are recorded, and again only for a reason."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.domain.audit.events import EventTag, canonical_time
from bot.domain.core.errors import BadInput, Misconfigured, Refused
from bot.domain.integrity.digest import DigestState
from bot.domain.registry.model import Stage, VersionIdentity
from bot.domain.transitions.passport_status import PassportState
from bot.domain.transitions.registry_tags import PASSPORT_TAG, passport_tags
from bot.key_folder import KeyFolder
from bot.ledger.stores.integrity import DigestStore
from bot.services.transitions.passports import Passports
from tests.support.passports.harness import (
    RECORDED_AT,
    PassportHarness,
    a_manifest,
    new_key,
    opened_envelope,
    recorded,
)
from tests.support.services.bench import BOB, DAVE, Bench, second_bench

VALID, ROLLED_BACK, REPLACED = PassportState.VALID, PassportState.ROLLED_BACK, PassportState.REPLACED
REISSUED = PassportState.REISSUED
RECORDED = canonical_time(RECORDED_AT)

# -- issuing -----------------------------------------------------------------------------------------------------------


def test_a_promotion_ends_with_a_passport_that_states_who_decided_what(office: PassportHarness) -> None:
    move = office.promote()
    [passport] = office.issued()
    statement = office.statement()
    predicate = statement["predicate"]
    assert passport.move == predicate["move"] == move
    assert statement["subject"] == [{"name": "churn/4", "digest": {"sha256": a_manifest(4).root_digest}}]
    assert predicate["manifest"] == {"sha256": a_manifest(4).digest, "files": 1, "bytes": 12, "recorded": RECORDED}
    facts = ("model", "version", "stage", "cause", "request", "requested_by", "approved_by", "executed_for")
    assert [predicate[name] for name in facts] == [
        "churn", 4, "Production", "promotion", move.partition(":")[2], "slack:T1/UALICE", ["slack:T1/UBOB"],
        "slack:T1/UBOB",
    ]  # fmt: skip


def test_a_passport_names_the_number_and_the_hash_of_the_move_in_the_audit_log(office: PassportHarness) -> None:
    office.promote()
    with office.bench.ledger.read() as reader:
        [moved] = reader.latest_audit_events(tags=[EventTag.TRANSITION_DONE])
    assert office.statement()["predicate"]["audit"] == {"number": moved.number, "hash": moved.hash}


def test_the_audit_log_has_the_hash_of_each_passport(office: PassportHarness) -> None:
    office.promote()
    [passport] = office.issued()
    issued = office.bench.events()[-1]
    assert (issued.tag, issued.subject) == (EventTag.PASSPORT_ISSUED, passport.id)
    assert issued.evidence["sha256"] == hashlib.sha256(passport.envelope.encode()).hexdigest()
    assert issued.evidence["key"] == passport.key


def test_a_passport_waits_until_the_files_are_recorded(office: PassportHarness) -> None:
    office.promote(2)
    assert office.issued(2) == []
    office.record(2)
    assert office.statement(2)["predicate"]["version"] == 2


def test_the_files_of_a_replaced_version_give_no_passport(office: PassportHarness) -> None:
    office.promote(2)
    office.promote(4)
    office.record(2)
    assert office.issued(2) == []


def test_recording_the_files_again_gives_no_second_passport(office: PassportHarness) -> None:
    office.promote()
    office.record(4)
    assert len(office.issued()) == 1


def test_without_a_key_the_move_is_made_and_has_no_passport(office: PassportHarness) -> None:
    office.keys = KeyFolder(office.folder / "empty")
    object.__setattr__(office.bench.context, "signer", office.keys.signer)
    office.promote()
    assert office.bench.registry.holders() == [4]
    assert office.issued() == []


def test_a_key_that_others_can_read_stops_no_move(office: PassportHarness) -> None:
    [key] = office.folder.glob("*.pem")
    key.chmod(0o644)
    office.promote()
    assert office.bench.registry.holders() == [4]
    assert office.issued() == []
    key.chmod(0o600)
    office.bench.watch.poll()
    assert office.passports.issue_due() == 1


def test_a_recreated_version_gets_no_passport_for_another_one_s_files(office: PassportHarness) -> None:
    former = VersionIdentity(run_id="an earlier run", source="somewhere")
    with office.bench.ledger.write() as tx:
        tx.add_digest(recorded(office.bench, 2, id="churn/2/earlier", identity=former))
    office.promote(2)
    assert office.issued(2) == []


def test_a_rollback_gives_a_passport_without_approvals(office: PassportHarness) -> None:
    office.promote(1)
    office.promote(4)
    office.roll_back()
    predicate = office.statement(1)["predicate"]
    assert (predicate["cause"], predicate["request"]) == ("rollback", None)
    assert (predicate["approved_by"], predicate["requested_by"]) == ([], "slack:T1/UBOB")


def test_break_glass_is_named_as_the_cause(office: PassportHarness) -> None:
    office.bench.open('promote churn 4 production --break-glass --reason "outage"', DAVE)
    office.bench.moves.execute_due("churn")
    predicate = office.statement()["predicate"]
    assert (predicate["cause"], predicate["approved_by"]) == ("break_glass", [])
    assert predicate["requested_by"] == "slack:T1/UDAVE"


def test_neither_an_archive_nor_a_change_in_the_registry_gives_a_passport(office: PassportHarness) -> None:
    office.bench.watch.poll()
    office.bench.do("archive churn 4", BOB)
    office.bench.registry.transition_stage("churn", 2, Stage.PRODUCTION, archive_existing=True)
    office.record(2)
    office.bench.clock.advance(minutes=2)
    office.bench.watch.poll()
    assert (office.passports.issue_due(), office.issued(2), office.issued(4)) == (0, [], [])


# -- once, and again ---------------------------------------------------------------------------------------------------


def test_the_job_issues_what_a_process_without_a_key_left(office: PassportHarness) -> None:
    office.bench.watch.poll()
    (office.folder / "active").rename(office.folder / "later")
    office.promote()
    assert office.passports.issue_due() == 0
    (office.folder / "later").rename(office.folder / "active")
    assert office.passports.issue_due() == 1
    with office.bench.ledger.read() as reader:
        [moved] = reader.latest_audit_events(tags=[EventTag.TRANSITION_DONE])
    assert office.statement()["predicate"]["audit"]["number"] == moved.number


def test_the_job_has_nothing_left_to_do(office: PassportHarness) -> None:
    office.bench.watch.poll()
    office.promote()
    assert office.passports.issue_due() == 0


def test_several_processes_issue_one_passport(office: PassportHarness) -> None:
    office.bench.watch.poll()
    (office.folder / "active").rename(office.folder / "later")
    office.promote()
    (office.folder / "later").rename(office.folder / "active")
    processes = [office.passports, office_of(second_bench(office.bench), office)]
    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(Passports.issue_due, processes * 4)) == 1
    assert len(office.issued()) == 1


def _die(*_: object) -> bool:
    raise ZeroDivisionError


def office_of(bench: Bench, like: PassportHarness) -> Passports:
    return PassportHarness(bench=bench, folder=like.folder).passports


def test_a_passport_is_renewed_in_the_last_tenth_of_its_lifetime(office: PassportHarness) -> None:
    office.bench.watch.poll()
    office.promote()
    office.bench.clock.advance(days=328)
    assert office.passports.issue_due() == 0
    office.bench.clock.advance(days=1)
    assert office.passports.issue_due() == 1
    first, second = office.issued()
    assert office.states() == {first.id: REISSUED, second.id: VALID}


def test_a_new_key_signs_again_what_is_in_the_stages(office: PassportHarness) -> None:
    office.bench.watch.poll()
    office.promote(1, "staging")
    office.promote(4)
    new = new_key(office.keys)
    assert (office.passports.issue_due(), office.passports.issue_due()) == (2, 0)
    assert [each.key for each in (office.issued(1)[-1], office.issued(4)[-1])] == [new, new]


def test_processes_with_different_keys_do_not_sign_each_other_s_passports_again(office: PassportHarness) -> None:
    office.bench.watch.poll()
    other = KeyFolder(office.folder.parent / "other")
    [key] = [office.folder.parent / "other" / f"{new_key(other)}.pem"]
    before = office.bench.clock.now() - timedelta(days=1)
    os.utime(key, (before.timestamp(), before.timestamp()))
    office.promote()
    object.__setattr__(office.bench.context, "signer", other.signer)
    assert office.passports.issue_due() == 0


def test_a_process_that_dies_while_the_move_ends_loses_nothing(
    office: PassportHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(DigestStore, "add_passport", _die)
        with pytest.raises(ZeroDivisionError):
            office.promote()
    office.bench.moves.execute_due("churn")  # releases it
    office.bench.clock.advance(minutes=2)
    office.bench.moves.execute_due("churn")
    assert (len(office.issued()), office.bench.registry.holders()) == (1, [4])
    assert office.bench.tags().count("registrar:version:moved") == 1


# -- which ones are valid ----------------------------------------------------------------------------------------------


def test_a_rollback_revokes_the_passport_and_issues_another(office: PassportHarness) -> None:
    first, second = office.promote(1), office.promote(4)
    office.roll_back()
    states = office.states()
    rolled_back_to = next(name for name in states if name.startswith("rollback"))
    assert states[f"{first}:1"] is REPLACED
    assert states[f"{second}:1"] is ROLLED_BACK
    assert states[rolled_back_to] is VALID


def test_a_change_in_the_registry_revokes_the_passport(office: PassportHarness) -> None:
    office.bench.watch.poll()
    move = office.promote()
    office.bench.registry.transition_stage("churn", 2, Stage.PRODUCTION, archive_existing=True)
    office.bench.clock.advance(minutes=2)
    office.bench.watch.poll()
    assert office.states()[f"{move}:1"] is PassportState.MOVED_OUTSIDE


def test_an_overdue_review_revokes_the_passport_until_it_is_done(office: PassportHarness) -> None:
    request = office.bench.open('promote churn 4 production --break-glass --reason "outage"', DAVE)
    office.bench.moves.execute_due("churn")
    due = office.bench.now(request).review_due
    assert due is not None
    office.bench.clock.time = due
    assert [*office.states().values()] == [PassportState.UNREVIEWED]
    office.bench.execute(BOB, f'review {request.id} --reason "fine"')
    assert [*office.states().values()] == [VALID]


def test_changed_files_revoke_the_passport(office: PassportHarness) -> None:
    office.promote()
    with office.bench.ledger.write() as tx:
        tx.save_digest(recorded(office.bench, 4, changed=("model/MLmodel",), compared_at=office.bench.clock.now()))
    assert office.found().state is PassportState.FILES_CHANGED


def test_an_expired_passport_is_still_found(office: PassportHarness) -> None:
    office.promote()
    office.bench.clock.advance(days=366)
    assert office.found().state is PassportState.EXPIRED
    assert office.states() == {}


def test_a_passport_is_found_with_the_manifest_of_its_files(office: PassportHarness) -> None:
    office.promote()
    found = office.found()
    assert (found.envelope, found.manifest) == (office.issued()[0].envelope, a_manifest(4).statement("churn/4"))


def test_nobody_approved_a_version_that_was_never_moved(office: PassportHarness) -> None:
    with pytest.raises(LookupError):
        office.found(1)


def why_not_issued(office: PassportHarness) -> str:
    with pytest.raises((Refused, Misconfigured)) as refused:
        office.passports.find("churn", 2, Stage.PRODUCTION)
    return str(refused.value)


def test_a_passport_that_waits_says_for_what(office: PassportHarness) -> None:
    office.promote(2)
    assert why_not_issued(office) == "The files of “churn” v2 aren't recorded yet. They're being hashed."
    with office.bench.ledger.write() as tx:
        tx.save_digest(recorded(office.bench, 2, state=DigestState.TOO_LARGE, why="They have 9 GB."))
    assert why_not_issued(office) == "The files of “churn” v2 aren't recorded yet. They have 9 GB."
    with office.bench.ledger.write() as tx:
        tx.save_digest(recorded(office.bench, 2))
    assert "within a minute" in why_not_issued(office)
    (office.folder / "active").unlink()
    assert why_not_issued(office).startswith("Registrar has no key")


# -- the status list ---------------------------------------------------------------------------------------------------


def listed(office: PassportHarness, covers: Callable[[str], bool] = lambda model: True) -> dict[str, Any]:
    envelope = office.passports.status_list(((covers("churn") and "*") or "",), covers)
    return opened_envelope(envelope, next(office.folder.glob("*.pub")))


def test_the_status_list_names_every_passport_and_its_state(office: PassportHarness) -> None:
    first, second = office.promote(1), office.promote(4)
    entries = {each["id"]: (each["version"], each["stage"], each["status"]) for each in listed(office)["passports"]}
    assert entries[f"{first}:1"] == (1, "Production", "replaced")
    assert entries[f"{second}:1"] == (4, "Production", "valid")


def test_a_status_list_lasts_an_hour(office: PassportHarness) -> None:
    found = listed(office)
    assert datetime.fromisoformat(found["issued"]) == office.bench.clock.now()
    assert datetime.fromisoformat(found["expires"]) == office.bench.clock.now() + timedelta(hours=1)


def test_a_status_list_has_only_the_models_that_the_client_may_read(office: PassportHarness) -> None:
    office.promote()
    assert listed(office, lambda model: model != "churn")["passports"] == []


def test_a_status_list_is_a_few_seconds_old_at_most(office: PassportHarness) -> None:
    before = listed(office)["passports"]
    office.promote()
    office.bench.clock.advance(seconds=3)
    assert (before, len(listed(office)["passports"])) == ([], 1)


def test_a_status_list_from_before_the_clock_was_set_back_is_not_served(office: PassportHarness) -> None:
    listed(office)
    office.bench.clock.time = datetime(2026, 5, 4, 11, tzinfo=UTC)
    assert listed(office)["issued"] == "2026-05-04T11:00:00.000000+00:00"


def test_the_status_with_a_passport_has_only_its_model(office: PassportHarness) -> None:
    move = office.promote()
    status = opened_envelope(office.found().status(), next(office.folder.glob("*.pub")))
    assert [each["id"] for each in status["passports"]] == [f"{move}:1"]


def test_without_a_key_there_is_no_status_list(office: PassportHarness) -> None:
    (office.folder / "active").unlink()
    with pytest.raises(Misconfigured, match="no key"):
        office.passports.status_list((), lambda model: True)


# -- in MLflow ---------------------------------------------------------------------------------------------------------


def test_a_passport_is_written_next_to_the_version(office: PassportHarness) -> None:
    office.promote()
    office.bench.mirror.write_due()
    assert office.bench.registry.version("churn", 4).tags[PASSPORT_TAG] == office.issued()[0].envelope


def test_a_long_passport_is_written_as_its_hash() -> None:
    assert passport_tags("x" * 4500) == {PASSPORT_TAG: "x" * 4500}
    assert passport_tags("x" * 4501) == {PASSPORT_TAG: "sha256:" + hashlib.sha256(b"x" * 4501).hexdigest()}


def test_people_cannot_set_the_tag(office: PassportHarness) -> None:
    with pytest.raises(BadInput, match="Registrar manages the tag"):
        office.bench.do(f"tag churn 4 {PASSPORT_TAG}=forged", BOB)
