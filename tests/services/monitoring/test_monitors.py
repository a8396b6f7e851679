"""What people do to monitors and incidents: who may, what is kept, what the channel hears, and what it means later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.backtests import Backtest
from bot.domain.errors import AlreadyDecided, BadInput, Refused, UnknownModel, UnknownRequest
from bot.domain.events import Event, Tag
from bot.domain.incidents import Doing, Ending, Incident, IncidentKind, Tripped
from bot.domain.monitor_rule import MonitorRule
from bot.domain.monitors import Firing, Measurement, Monitor, Outcome, Standing, State
from bot.domain.parsing import parse
from bot.domain.people import Automation, Caller, Client, Profile
from bot.domain.policy import read_policy
from bot.domain.text import Say, say
from bot.ports import NoteKind
from bot.services.context import Rules
from bot.services.homes import Homes
from bot.services.monitors import Monitors
from bot.slack import incident_card
from bot.slack.home import home
from bot.slack.monitoring import monitor_list
from tests.support.services.bench import ALICE, BOB, CAROL, DAVE, GUEST, POLICY, STRANGER, Bench

ADD = "monitor add churn accuracy --source push --greater-than 0.85 --every 5m --action notify"
HALF_A_DAY = 144  # checks: half of those that a day has at five minutes
BOT = Profile(person=BOB.person, is_bot=True)


class Desk:
    """The service over a bench, and a backtest that says what a test wants."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.firings: list[Firing] = []
        self.failed: Firing | None = None
        self.why: Say | None = None
        self.judged = timedelta(hours=166)
        self.service = Monitors(bench.context, bench.gatekeeper, self._replay)

    def _replay(self, monitor: Monitor, span: timedelta) -> Backtest:
        now = self.bench.clock.now()
        return Backtest(
            monitor=monitor,
            since=now - span,
            until=now,
            firings=self.firings,
            failed=self.failed,
            judged=self.judged,
            why=self.why,
        )

    def types(self, text: str, who: Caller = BOB) -> str:
        """Do what was typed, and return the answer."""
        command: Any = parse(text)
        word = command.verb.removeprefix("monitor ")
        if word in {"pause", "resume", "remove"}:
            return str(getattr(self.service, word)(who, command.model, command.name, origin="slack"))
        return str(getattr(self.service, word)(who, command, origin="slack"))

    def find(self, name: str = "accuracy", model: str = "churn") -> Monitor:
        """Return a monitor as it is now."""
        return self.service.find(model, name)

    def standing(self, monitor: Monitor) -> Standing:
        """Return where a monitor stands."""
        with self.bench.ledger.read() as reading:
            return reading.standing(monitor.id)

    def event(self, tag: Tag) -> Event:
        """Return the only event of a kind."""
        [event] = [one for one in self.bench.events() if one.tag is tag]
        return event

    def in_file(self, name: str = "accuracy", **fields: Any) -> Monitor:
        """Write down a monitor of the policy file."""
        fields = {"source": "push", "greater_than": 0.85} | fields
        rule = MonitorRule.model_validate({"name": name} | fields)
        monitor = Monitor(id=f"f{name}", model="churn", rule=rule, created_at=self.bench.clock.now())
        with self.bench.ledger.write() as tx:
            tx.add_monitor(monitor)
        return monitor

    def incident(self, **changes: Any) -> Incident:
        """Open an incident of the monitor."""
        now = self.bench.clock.now()
        incident = Incident(
            id="i4k7q",
            kind=IncidentKind.FAILED,
            model="churn",
            source="",
            version=3,
            move="m1",
            monitors=("accuracy",),
            opened_at=now,
            since=now,
            lines=(),
            doing=Doing.NOTIFIED,
        )
        incident = replace(incident, **changes)
        with self.bench.ledger.write() as tx:
            tx.add_incident(incident)
        return incident

    def incident_now(self) -> Incident:
        """Return the incident as it is now."""
        return self.service.incident("i4k7q")[0]

    def measure(self, monitor: Monitor, slot: int = 1) -> None:
        """Let it have been checked once."""
        now = self.bench.clock.now()
        with self.bench.ledger.write() as tx:
            tx.claim_slots({(monitor.id, slot): now + timedelta(minutes=1)}, "here", now)
            tx.finish_slots(
                [
                    Measurement(
                        monitor=monitor.id,
                        slot=slot,
                        at=now,
                        revision=1,
                        version=3,
                        move="m1",
                        outcome=Outcome.OK,
                        value=0.9,
                        points=1,
                    )
                ],
                "here",
            )


@pytest.fixture
def desk(bench: Bench) -> Desk:
    """Return the service; the registry was looked at before."""
    bench.watch.poll()
    return Desk(bench)


@pytest.fixture
def watched(desk: Desk) -> Desk:
    """Return the service with one monitor, which Bob added."""
    desk.types(ADD)
    return desk


# -- who may -----------------------------------------------------------------------------------------------------------

ACTS = [
    ADD,
    "monitor edit churn accuracy --every 10m",
    "monitor remove churn accuracy",
    "monitor pause churn accuracy",
    "monitor resume churn accuracy",
    "monitor silence churn accuracy 2h",
    "monitor unsilence churn accuracy",
    "monitor arm churn accuracy",
    "monitor reset churn",
    "monitor arm churn accuracy --override --reason x",
]
OUTSIDERS: dict[str, Caller] = {
    "a member": ALICE,
    "a guest": GUEST,
    "a stranger": STRANGER,
    "a bot": BOT,
    "a program": Client("ci"),
    "an automation": Automation("clock"),
}


@pytest.mark.parametrize("who", OUTSIDERS)
@pytest.mark.parametrize("text", ACTS)
def test_who_may_not_changes_nothing_and_is_in_the_audit(watched: Desk, text: str, who: str) -> None:
    before, events = watched.find(), watched.bench.events()
    with pytest.raises(Refused):
        watched.types(text.replace("add churn accuracy", "add churn other"), OUTSIDERS[who])
    assert watched.find() == before
    assert [one.monitor.name for one in watched.service.rows()] == ["accuracy"]
    assert [event.tag for event in watched.bench.events()[len(events) :]] == [Tag.REFUSED]


@pytest.mark.parametrize("who", [one for one in OUTSIDERS if one != "a member"])
def test_only_members_look_after_an_incident(watched: Desk, who: str) -> None:
    watched.incident()
    with pytest.raises(Refused):
        watched.service.acknowledge(OUTSIDERS[who], "i4k7q", origin="slack")
    assert watched.incident_now().acknowledged_by is None


@pytest.mark.parametrize("who", OUTSIDERS)
def test_who_may_not_silence_silences_no_incident(watched: Desk, who: str) -> None:
    watched.incident()
    with pytest.raises(Refused):
        watched.service.silence_incident(OUTSIDERS[who], "i4k7q", timedelta(hours=2), origin="slack")
    assert watched.find().silenced_until is None


@pytest.mark.parametrize("who", OUTSIDERS)
def test_who_may_not_roll_back_has_nothing_checked_out_of_turn(watched: Desk, who: str) -> None:
    with pytest.raises(Refused):
        watched.service.may_check(OUTSIDERS[who], "churn", origin="slack")


def test_a_lead_resets_no_breaker(watched: Desk) -> None:
    with pytest.raises(Refused, match="role admin"):
        watched.types("monitor reset churn", BOB)


# -- adding ------------------------------------------------------------------------------------------------------------


def test_a_monitor_that_was_added_is_checked_soon(desk: Desk) -> None:
    answer = desk.types(ADD)
    monitor = desk.find()
    assert (monitor.created_by, monitor.revision, monitor.rule.greater_than) == (BOB.person, 1, 0.85)
    first = desk.standing(monitor).next_at
    assert first is not None
    assert desk.bench.clock.now() <= first <= desk.bench.clock.now() + timedelta(seconds=30)
    assert "Fails when accuracy is at most 0.85, 2 checks in a row. It tells the channel, and moves nothing." in answer


def test_the_channel_hears_of_it_and_the_audit_has_the_rule(desk: Desk) -> None:
    desk.types(ADD)
    assert "@UBOB added the monitor “churn” accuracy" in desk.bench.told("said:monitor")
    event = desk.event(Tag.MONITOR_ADDED)
    assert (event.model, event.subject, event.evidence["after"]["greater_than"]) == ("churn", "churn accuracy", 0.85)
    assert event.evidence["by"]["roles"] == ["lead"]


def test_auto_that_nobody_armed_says_that_it_asks(desk: Desk) -> None:
    answer = desk.types(ADD.replace("notify", "auto"))
    assert "until a second person arms it, it asks: /model monitor arm churn accuracy" in answer
    assert desk.find().acts == "ask"


def test_a_name_that_is_taken_is_not_taken_twice(watched: Desk) -> None:
    with pytest.raises(BadInput, match="Change it with /model monitor edit churn accuracy"):
        watched.types(ADD)


def test_a_name_of_the_policy_file_is_not_taken(desk: Desk) -> None:
    desk.in_file()
    with pytest.raises(BadInput, match=r"stands in the policy file; change it there. Or take another name"):
        desk.types(ADD)


def test_a_name_is_free_again_once_its_monitor_is_removed(watched: Desk) -> None:
    watched.types("monitor remove churn accuracy")
    watched.types(ADD)
    assert watched.find().removed_at is None


def test_an_unknown_model_gets_the_nearest(desk: Desk) -> None:
    with pytest.raises(UnknownModel, match=r"Did you mean churn\?"):
        desk.types(ADD.replace("churn", "chrun"))


def test_before_the_first_look_every_model_may_be_there(bench: Bench) -> None:
    Desk(bench).types(ADD.replace("churn", "elsewhere"))


def test_an_unknown_source_gets_the_nearest(desk: Desk) -> None:
    with pytest.raises(BadInput, match=r"--source: “pusch” is no source. Did you mean push\?"):
        desk.types(ADD.replace("push", "pusch"))


@pytest.mark.parametrize("typed", [ADD + " --of predictions", "monitor edit churn known --of predictions"])
def test_what_is_pushed_is_not_asked_for_its_total(desk: Desk, typed: str) -> None:
    desk.types(ADD.replace("accuracy", "known"))
    with pytest.raises(BadInput, match=r"--of: push takes pushed readings, each with its own total"):
        desk.types(typed)


def test_a_total_is_added_and_taken_away_again(desk: Desk) -> None:
    desk.types(ADD.replace("push", "mlflow") + " --of predictions")
    assert desk.find().rule.of == "predictions"
    desk.types("monitor edit churn accuracy --of none")
    assert (desk.find().rule.of, desk.find().measured_from) == (None, 2)


LIVE, OTHER, PROM = {"type": "push"}, {"type": "push"}, {"type": "prometheus", "url": "http://prom"}


@pytest.mark.parametrize(
    ("sources", "meant"),
    [
        ({}, "push"),
        ({"live": LIVE}, "live"),
        ({"prom": PROM}, "prom"),
        ({"live": LIVE, "prom": PROM}, "live"),
        ({"live": LIVE, "other": OTHER}, None),
        ({"prom": PROM, "two": PROM}, None),
    ],
    ids=str,
)
def test_a_source_can_be_left_out_where_it_is_plain(desk: Desk, sources: dict[str, Any], meant: str | None) -> None:
    policy = read_policy(POLICY | {"sources": sources})
    desk.bench.context.rules.replace(policy, "")
    if meant is None:
        with pytest.raises(BadInput, match="Say where the figures come from, with --source"):
            desk.types(ADD.replace(" --source push", ""))
    else:
        desk.types(ADD.replace(" --source push", ""))
        assert desk.find().rule.source == meant


# -- changing and removing ---------------------------------------------------------------------------------------------


def test_a_change_counts_anew_and_belongs_to_who_made_it(watched: Desk) -> None:
    watched.bench.clock.turn(hours=1)
    watched.types("monitor edit churn accuracy --greater-than 0.9", CAROL)
    monitor = watched.find()
    assert (monitor.revision, monitor.rule.greater_than, monitor.created_by) == (2, 0.9, CAROL.person)
    assert monitor.created_at == watched.bench.clock.now()
    event = watched.event(Tag.MONITOR_EDITED)
    assert (event.evidence["before"]["greater_than"], event.evidence["after"]["greater_than"]) == (0.85, 0.9)


def test_a_change_disarms(watched: Desk) -> None:
    watched.types("monitor edit churn accuracy --action auto")
    watched.types("monitor arm churn accuracy --override --reason known", DAVE)
    assert watched.find().is_armed
    assert "It was armed, and is no longer." in watched.types("monitor edit churn accuracy --every 10m")
    assert not watched.find().is_armed


def test_a_change_that_changes_nothing_is_none(watched: Desk) -> None:
    with pytest.raises(BadInput, match="is like that already"):
        watched.types("monitor edit churn accuracy --greater-than 0.85")
    assert watched.find().revision == 1


@pytest.mark.parametrize(
    "text",
    [
        "monitor edit churn accuracy --every 10m",
        "monitor remove churn accuracy",
        "monitor arm churn accuracy",
        "monitor arm churn accuracy --override --reason x",
    ],
)
def test_what_stands_in_the_policy_file_is_changed_there(desk: Desk, text: str) -> None:
    before = desk.in_file(action="auto")
    with pytest.raises(Refused, match="stands in the policy file; change it there"):
        desk.types(text, DAVE if "override" in text else BOB)
    assert desk.find() == before


def test_what_stands_in_the_policy_file_can_be_paused_and_silenced(desk: Desk) -> None:
    desk.in_file()
    desk.types("monitor pause churn accuracy")
    desk.types("monitor silence churn accuracy 1h")
    assert desk.find().is_paused
    assert desk.find().is_silenced(desk.bench.clock.now())


def test_a_removed_monitor_is_gone_and_its_button_says_so(watched: Desk) -> None:
    monitor = watched.find()
    watched.types("monitor remove churn accuracy")
    assert watched.service.rows() == []
    with pytest.raises(UnknownRequest, match="was removed"):
        watched.service.monitor(monitor.id)


def test_an_unknown_monitor_gets_the_nearest(watched: Desk) -> None:
    with pytest.raises(UnknownRequest, match=r"Did you mean accuracy\?"):
        watched.types("monitor pause churn acuracy")
    with pytest.raises(UnknownRequest, match="There are: accuracy"):
        watched.types("monitor pause churn zzz")
    with pytest.raises(UnknownModel, match=r"Did you mean churn\?"):
        watched.types("monitor pause chrun accuracy")
    watched.bench.registry.add("fraud", versions=1)
    watched.bench.watch.poll()
    with pytest.raises(UnknownRequest, match="Nothing watches “fraud”"):
        watched.types("monitor pause fraud zzz")


# -- pausing and silencing ---------------------------------------------------------------------------------------------


def test_a_paused_monitor_is_not_due_until_it_is_resumed(watched: Desk) -> None:
    watched.types("monitor pause churn accuracy")
    watched.bench.clock.turn(hours=1)
    with watched.bench.ledger.read() as reading:
        assert reading.due_monitors(watched.bench.clock.now()) == []
    watched.types("monitor resume churn accuracy")
    watched.bench.clock.turn(minutes=1)
    with watched.bench.ledger.read() as reading:
        assert [one.name for one, _ in reading.due_monitors(watched.bench.clock.now())] == ["accuracy"]


def test_twice_is_said_and_changes_nothing(watched: Desk) -> None:
    with pytest.raises(BadInput, match="is not paused"):
        watched.types("monitor resume churn accuracy")
    watched.types("monitor pause churn accuracy")
    with pytest.raises(BadInput, match="is paused already"):
        watched.types("monitor pause churn accuracy")


def test_a_silence_has_an_end_an_author_and_a_reason(watched: Desk) -> None:
    watched.types('monitor silence churn accuracy 2h --reason "a move"')
    monitor = watched.find()
    assert (monitor.silenced_by, monitor.silence_reason) == (BOB.person, "a move")
    assert monitor.silenced_until == watched.bench.clock.now() + timedelta(hours=2)
    assert watched.event(Tag.MONITOR_SILENCED).why == "a move"


def test_every_monitor_of_a_model_is_silenced_at_once(watched: Desk) -> None:
    watched.types(ADD.replace("accuracy", "f1"))
    assert "the monitors accuracy, f1 of “churn”" in watched.types("monitor silence churn 2h --all")
    now = watched.bench.clock.now()
    assert all(watched.find(name).is_silenced(now) for name in ("accuracy", "f1"))
    watched.types("monitor unsilence churn f1")
    assert [watched.find(name).is_silenced(now) for name in ("accuracy", "f1")] == [True, False]
    an_hour_ago = now - timedelta(hours=1)  # by a clock that is set back
    assert [watched.find(name).is_silenced(an_hour_ago) for name in ("accuracy", "f1")] == [True, False]


@pytest.mark.parametrize("text", ["monitor silence churn 2h", "monitor silence churn accuracy 2h --all"])
def test_one_or_all_has_to_be_said(watched: Desk, text: str) -> None:
    with pytest.raises(BadInput, match="Name one monitor, or write --all"):
        watched.types(text)


def test_what_is_not_silenced_cannot_be_let_speak(watched: Desk) -> None:
    with pytest.raises(BadInput, match="Nothing of that is silenced"):
        watched.types("monitor unsilence churn accuracy")


# -- arming ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tried(desk: Desk) -> Desk:
    """Return the service with a monitor of Bob's that is to roll back, and was measured for a day."""
    desk.types(ADD.replace("notify", "auto"))
    for slot in range(1, 1 + HALF_A_DAY):
        desk.bench.clock.turn(minutes=10)
        desk.measure(desk.find(), slot)
    return desk


def test_a_second_person_arms_what_has_tried_itself_out(tried: Desk) -> None:
    assert "from now on it rolls back by itself" in tried.types("monitor arm churn accuracy", CAROL)
    monitor = tried.find()
    assert (monitor.is_armed, monitor.armed_by, monitor.acts) == (True, CAROL.person, "auto")
    assert tried.event(Tag.MONITOR_ARMED).evidence["untried"] is False


def test_nobody_arms_their_own(tried: Desk) -> None:
    with pytest.raises(Refused, match="somebody else has to arm it"):
        tried.types("monitor arm churn accuracy", BOB)
    assert not tried.find().is_armed


def test_nobody_arms_what_they_changed_last(tried: Desk) -> None:
    tried.types("monitor edit churn accuracy --every 10m", CAROL)
    with pytest.raises(Refused, match="somebody else has to arm it"):
        tried.types("monitor arm churn accuracy", CAROL)


def _younger(desk: Desk) -> None:
    desk.bench.clock.turn(minutes=-1)


def _changed(desk: Desk) -> None:
    desk.types("monitor edit churn accuracy --every 10m")


def _fires(desk: Desk) -> None:
    desk.firings = [Firing(desk.bench.clock.now(), 0.5, say("low"))]


def _failing(desk: Desk) -> None:
    desk.failed = Firing(desk.bench.clock.now() - timedelta(days=9), 0.5, say("low"))


def _sleeps(desk: Desk) -> None:
    desk.bench.clock.turn(minutes=10)  # of the oldest value a day has passed, and no new one came


def _short(desk: Desk) -> None:
    desk.judged, desk.why = timedelta(hours=151), say("The windows were not complete.")


def _blind(desk: Desk) -> None:
    with desk.bench.ledger.write() as tx:
        now = tx.standing(desk.find().id)
        why = say("The baseline covers 1d, and 7d are needed.")
        tx.save_standing(replace(now, state=State.CANT_JUDGE, unjudged=3, why=why))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_blind, "can be armed once it can judge. The baseline covers 1d, and 7d are needed."),
        (_younger, "has to be measured for 24 hours"),
        (_changed, "has to be measured for 24 hours"),
        (_fires, "would have fired once in 7d"),
        (_failing, "It had failed on .* and hadn't recovered"),
        (_sleeps, "at least 144 of its checks .* and 143 did"),
        (_short, r"would not have fired in 7d \(judged 151 of 168 hours, 0 values\)\. The windows were not complete\."),
    ],
)
def test_what_has_not_tried_itself_out_is_not_armed(tried: Desk, spoil: Callable[[Desk], None], said: str) -> None:
    spoil(tried)
    with pytest.raises(Refused, match=said):
        tried.types("monitor arm churn accuracy", CAROL)
    assert not tried.find().is_armed
    tried.types('monitor arm churn accuracy --override --reason "it is known"', DAVE)
    assert tried.find().is_armed
    event = tried.event(Tag.MONITOR_ARMED)
    assert (event.why, event.evidence["untried"]) == ("it is known", True)


def test_what_has_measured_nothing_is_not_armed(desk: Desk) -> None:
    desk.types(ADD.replace("notify", "auto"))
    desk.bench.clock.turn(hours=25)
    with pytest.raises(Refused, match="and 0 did"):
        desk.types("monitor arm churn accuracy", CAROL)


def test_only_auto_is_armed_and_only_once(tried: Desk) -> None:
    tried.types("monitor arm churn accuracy", CAROL)
    with pytest.raises(BadInput, match="is armed already"):
        tried.types("monitor arm churn accuracy", CAROL)
    tried.types("monitor edit churn accuracy --action ask")
    with pytest.raises(BadInput, match=r"only auto is armed. First: /model monitor edit churn accuracy --action auto"):
        tried.types("monitor arm churn accuracy", CAROL)


def test_an_override_needs_a_reason(tried: Desk) -> None:
    with pytest.raises(BadInput, match="needs a reason"):
        tried.types("monitor arm churn accuracy --override", DAVE)


def test_what_changes_while_the_past_is_replayed_is_not_armed(tried: Desk) -> None:
    service, plain = tried.service, tried._replay

    def replay(monitor: Monitor, span: timedelta) -> Backtest:
        tried.service = service
        tried.types("monitor edit churn accuracy --every 20m")
        return plain(monitor, span)

    tried.service = Monitors(tried.bench.context, tried.bench.gatekeeper, replay)
    with pytest.raises(Refused, match="Somebody changed it meanwhile"):
        tried.types("monitor arm churn accuracy", CAROL)
    assert not tried.find().is_armed


# -- the breaker -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "model"), [("monitor reset churn", "churn"), ("monitor reset --all", "")])
def test_an_admin_lets_automatic_rollbacks_go_on(desk: Desk, text: str, model: str) -> None:
    with desk.bench.ledger.write() as tx:
        tx.trip(Tripped(model=model, at=desk.bench.clock.now(), why=say("Too many.")))
    assert "go on" in desk.types(text, DAVE)
    with desk.bench.ledger.read() as reading:
        assert reading.breakers() == []
    assert desk.event(Tag.BREAKER_RESET).model == (model or None)


def test_what_has_not_stopped_is_not_reset(desk: Desk) -> None:
    with pytest.raises(BadInput, match="have not stopped"):
        desk.types("monitor reset churn", DAVE)
    with pytest.raises(BadInput, match="Name one model"):
        desk.types("monitor reset", DAVE)


# -- incidents ---------------------------------------------------------------------------------------------------------


def notes(desk: Desk, kind: NoteKind) -> list[str]:
    return [note.key for note in desk.bench.notes() if note.kind is kind and note.lane == "i4k7q"]


def test_who_looks_after_an_incident_is_seen_and_told(watched: Desk) -> None:
    watched.incident()
    watched.service.acknowledge(ALICE, "i4k7q", origin="slack")
    incident = watched.incident_now()
    assert (incident.acknowledged_by, incident.acknowledged_at) == (ALICE.person, watched.bench.clock.now())
    assert notes(watched, NoteKind.INCIDENT) == ["incident:i4k7q:acknowledged"]
    assert watched.bench.told("news:i4k7q:acknowledged") == "@UALICE looks after it. I stop reminding."
    assert watched.event(Tag.INCIDENT_ACKNOWLEDGED).actor == ALICE.person


def test_the_second_one_hears_who_was_first(watched: Desk) -> None:
    watched.incident()
    watched.service.acknowledge(ALICE, "i4k7q", origin="slack")
    with pytest.raises(AlreadyDecided, match="@UALICE looks after it already"):
        watched.service.acknowledge(BOB, "i4k7q", origin="slack")


def test_what_is_over_is_not_looked_after(watched: Desk) -> None:
    watched.incident(resolved_at=watched.bench.clock.now())
    with pytest.raises(AlreadyDecided, match="over already"):
        watched.service.acknowledge(BOB, "i4k7q", origin="slack")


def test_an_incident_s_monitors_are_silenced_together(watched: Desk) -> None:
    watched.types(ADD.replace("accuracy", "f1"))
    watched.incident()
    watched.service.silence_incident(BOB, "i4k7q", timedelta(hours=2), origin="slack")
    assert [bool(watched.find(name).silenced_until) for name in ("accuracy", "f1")] == [True, False]
    assert "silenced this until" in watched.bench.told("news:i4k7q")


@pytest.mark.parametrize(
    ("text", "ending", "title"),
    [
        ("monitor remove churn accuracy", Ending.REMOVED, "⏹️ churn v7: accuracy removed"),
        ("monitor pause churn accuracy", Ending.PAUSED, "⏹️ churn v7: accuracy paused"),
        ("monitor edit churn accuracy --every 10m", Ending.EDITED, "⏹️ churn v7: accuracy changed"),
    ],
)
def test_what_nobody_watches_any_more_ends_with_who_did_what(
    watched: Desk, text: str, ending: Ending, title: str
) -> None:
    watched.incident()
    watched.types(text)
    incident = watched.incident_now()
    assert not incident.is_open
    assert (incident.ending, incident.ended_by) == (ending, BOB.person)
    assert incident_card.title(incident) == title.replace("v7", f"v{incident.version}")
    assert str(incident.resolution).startswith(f"@{BOB.person.user} {title.rpartition(' ')[2]} accuracy, so")
    assert incident.ended_in in {note.key for note in watched.bench.notes() if note.kind is NoteKind.SAID}
    assert notes(watched, NoteKind.INCIDENT) == ["incident:i4k7q:resolved"]
    assert watched.event(Tag.INCIDENT_RESOLVED).subject == "i4k7q"


@pytest.mark.parametrize("changes", [{"monitors": ("accuracy", "f1")}, {"doing": Doing.INTENT}], ids=str)
def test_what_somebody_else_watches_or_is_under_way_goes_on(watched: Desk, changes: dict[str, Any]) -> None:
    watched.incident(**changes)
    watched.types("monitor pause churn accuracy")
    assert watched.incident_now().is_open


# -- looking -----------------------------------------------------------------------------------------------------------


def test_those_that_need_somebody_are_listed_first(watched: Desk) -> None:
    for name, state in (("bad", State.FAILED), ("odd", State.NO_DATA), ("ill", State.ERROR)):
        watched.types(ADD.replace("accuracy", name))
        with watched.bench.ledger.write() as tx:
            tx.save_standing(Standing(monitor=watched.find(name).id, state=state))
    watched.types("monitor pause churn ill")
    assert [one.monitor.name for one in watched.service.rows()] == ["bad", "odd", "accuracy", "ill"]
    with pytest.raises(UnknownModel):
        watched.service.rows("chrun")


def test_a_view_has_the_incident_and_the_breaker(watched: Desk) -> None:
    watched.incident()
    with watched.bench.ledger.write() as tx:
        tx.trip(Tripped(model="", at=watched.bench.clock.now(), why=say("Too many.")))
    watched.measure(watched.find())
    view = watched.service.view(watched.find().id)
    assert view.incident is not None
    assert view.tripped is not None
    assert [one.value for one in view.recent] == [0.9]
    assert watched.service.chart(watched.find().id).values == [0.9]


def test_the_sources_are_the_policy_s_and_those_that_need_none(desk: Desk) -> None:
    desk.bench.context.rules.replace(read_policy(POLICY | {"sources": {"live": LIVE}}), "")
    assert desk.service.sources() == ["live", "push", "mlflow"]


def test_rules_are_read_at_each_act(watched: Desk) -> None:
    assert isinstance(watched.bench.context.rules, Rules)
    rules = POLICY["models"]["*"] | {"rollback": {"by": ["UALICE"]}}
    watched.bench.context.rules.replace(read_policy(POLICY | {"models": {"*": rules}}), "")
    watched.types("monitor pause churn accuracy", ALICE)
    with pytest.raises(Refused):
        watched.types("monitor resume churn accuracy", BOB)


# -- what armed monitors cost ------------------------------------------------------------------------------------------


def costs(desk: Desk) -> list[bool]:
    """Tell whether the list says what to expect of what is armed, and whether Home does."""
    shown = monitor_list(desk.service.rows(), desk.bench.clock.now()).blocks, home(Homes(desk.bench.context).of(BOB))
    return ["rollbacks a month without a cause" in str(one) for one in shown]


def test_the_list_and_home_say_what_to_expect_of_armed_monitors(desk: Desk) -> None:
    desk.types("monitor add churn accuracy --source push --action auto")
    assert costs(desk) == [False, False]
    desk.types('monitor arm churn accuracy --override --reason "known"', DAVE)
    assert costs(desk) == [True, True]


def test_home_counts_armed_monitors_beyond_those_that_it_shows(desk: Desk) -> None:
    for number in range(25):
        desk.types(f"monitor add churn m{number} --source push --action auto")
        desk.types(f'monitor arm churn m{number} --override --reason "known"', DAVE)
    view = Homes(desk.bench.context).of(BOB)
    assert (len(view.monitors), view.armed and view.armed.armed) == (20, 25)
