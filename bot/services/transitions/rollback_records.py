"""What goes with the end of a rollback, in the executor's transaction: bar, tags, messages, the incident's state."""

from __future__ import annotations

from dataclasses import replace

from bot.domain.core.actors import Automation
from bot.domain.core.sentence import Code, Say, say
from bot.domain.monitoring.incident import Decided, Doing
from bot.domain.monitoring.state import Standing, State
from bot.domain.policy.freezes import frozen
from bot.domain.registry.model import Identity, Stage
from bot.domain.rollbacks import messages as words
from bot.domain.rollbacks import rollback as rollback_rules
from bot.domain.rollbacks.rollback import bar, refusal
from bot.domain.transitions import registry_tags
from bot.domain.transitions.transition import Move, MoveKind, MoveState, time_of
from bot.ports import Copy, Note, NoteKind, Reading, Writing
from bot.services.core.context import Context
from bot.services.core.outbox_messages import incident_note, thread_note


def rollback_lane(move: Move) -> str:
    """Return whose thread tells of a rollback: its incident's, or its own."""
    return move.incident or move.id


def rollback_note(move: Move, because: str, channel: str) -> Note:
    """Return the outbox row that draws the message of a rollback anew that a person made."""
    return Note(key=f"rollback:{move.id}:{because}", lane=move.id, kind=NoteKind.ROLLBACK, to=channel)


def no_target(reading: Reading, model: str, version: int) -> Say | None:
    """Return why no rollback can put this version into Production, as the ledger has it now; None where one can."""
    barred = {bar.version for bar in reading.bars(model)}
    why = refusal(version, reading.entries(model, version), barred, reading.look(model))
    return None if why is None else words.not_a_target(model, version, why)


def served_as(reading: Reading, model: str, version: int) -> Identity | None:
    """Return what a version was when it served: that and nothing else is what a rollback moves."""
    return rollback_rules.served_as(reading.entries(model, version), reading.look(model))


def begin(tx: Writing, it: Context, move: Move) -> bool:
    """Write a rollback down as intended, with what is told of it; return False where it is there already."""
    if not tx.add_move(move):
        return False
    channel = it.policy.channel_for(move.model)
    if not move.incident:
        tx.add_note(rollback_note(move, "begun", channel))
    tx.add_note(thread_note(rollback_lane(move), f"{move.id}:begun", words.begun(move)))
    stop = None if isinstance(move.actor, Automation) else frozen(move.model, tx.freezes(), it.policy, it.clock.now())
    if stop is not None:
        tx.add_note(thread_note(rollback_lane(move), f"{move.id}:frozen", words.frozen(stop)))
    return True


def ended(tx: Writing, it: Context, move: Move, instead: Decided | None) -> None:
    """Write what follows from the end of a rollback; `instead` is what its incident comes to, where that is known."""
    lane, channel = rollback_lane(move), it.policy.channel_for(move.model)
    if move.state is MoveState.DONE:
        _done(tx, it, move, lane)
    else:
        tx.add_note(thread_note(lane, f"{move.id}:ended", words.not_made(move)))
    if move.incident:
        _tell_incident(tx, move, instead, channel)
    else:
        tx.add_note(rollback_note(move, "ended", channel))


def watch_anew(tx: Writing, move: Move) -> None:
    """Let the model's monitors begin anew with the version that serves now: what they said was about another one."""
    if move.state is not MoveState.DONE or move.target is not Stage.PRODUCTION or move.kind is MoveKind.MEND:
        return
    for monitor in tx.monitors(move.model):
        before = tx.standing(monitor.id)
        why = say("Nothing is measured yet of {v}.", v=Code(f"v{move.version}"))
        tx.save_standing(
            Standing(
                monitor=monitor.id,
                slot=before.slot,
                next_at=before.next_at,
                revision=monitor.revision,
                version=move.version,
                move=move.id,
                state=State.WARMUP,
                why=why,
                judged_at=before.judged_at,
            )
        )


def redraw(tx: Writing, it: Context, move_id: str, because: str) -> None:
    """Let the message of a rollback be drawn anew, its own or its incident's; of another move there is none."""
    move = tx.move(move_id)
    if move.kind is not MoveKind.ROLLBACK:
        return
    channel = it.policy.channel_for(move.model)
    if move.incident:
        tx.add_note(incident_note(tx.incident(move.incident), f"{move.id}:{because}", channel))
    else:
        tx.add_note(rollback_note(move, because, channel))


def _done(tx: Writing, it: Context, move: Move, lane: str) -> None:
    at = time_of(move)
    tx.add_note(thread_note(lane, f"{move.id}:moved", words.moved(move, it.champion)))
    barred = bar(move, it.new_id(), at)
    if barred:
        tx.add_bar(barred)  # also beside an older one: it came back since, or another version got its number
        tx.add_note(thread_note(lane, f"{move.id}:barred", words.barred(move)))
        tx.add_copy(
            Copy(
                id=f"{move.id}:out", model=move.model, version=barred.version, tags=registry_tags.rolled_back(move, at)
            )
        )
    tx.add_copy(
        Copy(
            id=f"{move.id}:in", model=move.model, version=move.version, tags=registry_tags.restored(move, at), lane=lane
        )
    )


def _tell_incident(tx: Writing, move: Move, instead: Decided | None, channel: str) -> None:
    incident = tx.incident(str(move.incident))
    if instead is None:
        doing = {MoveState.DONE: Doing.ROLLED_BACK, MoveState.STALE: Doing.SUPERSEDED}.get(move.state, Doing.FAILED)
        instead = Decided(doing, say("{why}", why=move.why) if move.why else None)
    tx.save_incident(replace(incident, doing=instead.doing, why=instead.why))
    tx.add_note(incident_note(incident, f"{move.id}:ended", channel))
