"""`registrar replay` on only the ledger, as an auditor uses it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from bot.domain.promotions.request import RequestState
from bot.ledger import SqlLedger
from handlers.terminal.command_line.json_keys import DOCUMENT_KEYS
from handlers.terminal.command_line.terminal_only_commands import Replay
from tests.support.ledger.previous_release import LEDGER, database
from tests.support.ledger.tampering import tamper
from tests.support.replay.random_decisions import take_policy
from tests.support.services.bench import DAVE, bench_on
from tests.support.services.gates import ACCURATE
from tests.support.terminal.cli_runner import CliRunner, command

EDITS = {
    "the metric": ("registrar:request:opened", '"metrics":{"accuracy":0.8}', '"metrics":{"accuracy":0.9}'),
    "the gate": ("registrar:request:opened", '"passed":false', '"passed":true'),
    "the required approvals": ("registrar:request:opened", '"required":1', '"required":2'),
    "the voter": ("person:request:voted", '"user":"UBOB"', '"user":"UALICE"'),
    "the voter's account": ("person:request:voted", '"is_guest":false', '"is_guest":true'),
    "the rule": ("person:request:voted", '"rule":"approver"', '"rule":"admin"'),
    "a freeze": ("person:request:voted", '"facts":{', '"facts":{"frozen":"Frozen.",'),
    "the overrider": ("person:request:overridden", "UDAVE", "UCAROL"),
    "the approvers": ("registrar:request:approved", '["slack:T1/UBOB"]', '["slack:T1/UCAROL"]'),
    "the policy": ("registrar:policy:taken", "at_least: 0.85", "at_least: 0.75"),
    "a fact into nonsense": ("registrar:request:opened", '"now":"', '"now":"soon'),
    "the end": ("registrar:version:moved", "UBOB", "UALICE"),
}


@pytest.fixture
def home(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home folder with an empty ledger."""
    folder = tmp_path / ".registrar"
    folder.mkdir()
    (folder / "ledger.db").write_bytes(sqlite_template.read_bytes())
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def request_id(home: Path) -> str:
    """Return a completed promotion whose failed gate an admin overrode."""
    bench = bench_on(f"sqlite:///{home / 'ledger.db'}")
    with closing(bench.ledger):
        take_policy(bench, gates=[ACCURATE], override=["admin"])
        bench.registry.add_run("run4", metrics={"accuracy": 0.8})
        number = bench.registry.add_version("churn", run_id="run4")
        request = bench.open(f"promote churn {number} production")
        bench.override(request, DAVE)
        bench.approve(request)
        bench.moves.execute_due("churn")
        assert bench.state(request) is RequestState.DONE
    return request.id


@pytest.fixture
def registrar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CliRunner:
    """Return the terminal's command."""
    return command(monkeypatch, capsys)


def test_a_decision_that_follows_from_its_facts_agrees(registrar: CliRunner, request_id: str) -> None:
    said = registrar("replay", request_id)
    assert (said.code, said.err) == (0, "")
    first, *steps = said.out.splitlines()
    assert first == f"The replay of {request_id} agrees with the audit log in all of its {len(steps)} steps."
    assert "Gate “accuracy ≥ 0.85” when it was opened: 0.8, failed" in said.out
    assert steps[-1].endswith("Result: done")


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_fact_differs(registrar: CliRunner, home: Path, request_id: str, edit: str) -> None:
    tag, before, after = (text.replace("'", "''") for text in EDITS[edit])
    tamper(home, f"UPDATE audit_events SET body = replace(body, '{before}', '{after}') WHERE tag = '{tag}'")  # noqa: S608 - our own text
    said = registrar("replay", request_id)
    assert said.code == 1
    assert said.out.startswith(f"The replay of {request_id} differs from the audit log in ")
    assert "✗" in said.out


@pytest.mark.parametrize("field", ["target", "requester"])
def test_an_opening_whose_fields_are_nonsense_differs(
    registrar: CliRunner, home: Path, request_id: str, field: str
) -> None:
    body = f"json_set(body, '$.evidence.{field}', json('[{{}}]'))"
    tamper(home, f"UPDATE audit_events SET body = {body} WHERE tag = 'registrar:request:opened'")  # noqa: S608 - our own text
    said = registrar("replay", request_id)
    assert (said.code, said.err) == (1, "")
    assert "Facts of registrar:request:opened: recorded: recorded; derived: unreadable" in said.out


@pytest.mark.parametrize("tag", ["person:request:voted", "registrar:policy:taken"])
def test_an_event_that_is_not_one_anymore_is_refused(
    registrar: CliRunner, home: Path, request_id: str, tag: str
) -> None:
    tamper(home, f"UPDATE audit_events SET body = '[' || body WHERE tag = '{tag}'")  # noqa: S608 - our own text
    said = registrar("replay", request_id)
    assert (said.code, said.err) == (2, "The audit log has events that can't be read. Run registrar audit verify.\n")


def test_the_document_has_every_step(registrar: CliRunner, request_id: str) -> None:
    document = registrar("replay", request_id, "--json").document
    assert list(document) == list(DOCUMENT_KEYS[Replay])
    assert document["agrees"] is True
    assert document["steps"][-1].items() >= {"name": "Result", "recorded": "done", "derived": "done"}.items()


def test_decisions_of_an_older_release_have_no_facts(registrar: CliRunner, home: Path) -> None:
    (home / "ledger.db").unlink()
    database(LEDGER, home / "ledger.db")
    assert registrar("db", "upgrade").code == 0
    with closing(SqlLedger(f"sqlite:///{home / 'ledger.db'}")) as ledger, ledger.read() as reading:
        ids = [request.id for request in reading.requests()]
    assert ids
    for request_id in ids:
        said = registrar("replay", request_id)
        assert said.code == 0
        assert said.out.startswith(f"The replay of {request_id} is incomplete: the facts of ")
        assert "✗" not in said.out


def test_an_unknown_request_is_refused(registrar: CliRunner, home: Path) -> None:
    said = registrar("replay", "r22222")
    assert (said.code, said.err) == (2, "Request “r22222” doesn't exist.\n")
