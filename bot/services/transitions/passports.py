"""Issue passports in ledger transactions, and tell programs which ones are valid."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from bot.domain.audit.events import ChainedEvent, Event, EventTag
from bot.domain.core.actors import Automation
from bot.domain.core.errors import Misconfigured, Refused
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.integrity.digest import VersionDigest
from bot.domain.registry.model import TARGET_STAGES, Stage
from bot.domain.transitions import passport_status, registry_tags
from bot.domain.transitions.passport import (
    PAYLOAD_TYPE,
    Passport,
    PassportFacts,
    passport_statement,
    signed_envelope,
)
from bot.domain.transitions.passport_status import PASSPORT_KINDS, PassportState, PassportStatus, StatusFacts
from bot.domain.transitions.transition import Transition, TransitionState
from bot.ports import LedgerReader, LedgerTransaction, PassportSigner, TagUpdate
from bot.services.core.context import Context

log = logging.getLogger(__name__)

ISSUER = Automation("passports")
CACHE_TIME = timedelta(seconds=3)  # for which a status list is served again
RENEWED_PART = 10  # a passport is renewed in the last tenth of its lifetime
MAX_LATER = 1000  # audit events after a transition that are searched for the transition's own
MAX_CHANGES = 200  # latest transitions of a stage that are searched for the one that put the current version there
NO_KEY = say("Registrar has no key to sign passports. To create one, run {it}.", it=Code("registrar keys init"))
_MOVE_TAGS = (EventTag.TRANSITION_DONE, EventTag.ROLLED_BACK)


def issue_waiting(context: Context, tx: LedgerTransaction, digest: VersionDigest) -> None:
    """Issue the passports that a version in Staging or Production was waiting for, now that its digest is recorded."""
    for stage in TARGET_STAGES:
        current = current_transition(tx, digest.model, stage)
        if current and current.version == digest.version and tx.passport(current.id) is None:
            issue(tx, context, current)


def current_transition(reader: LedgerReader, model: str, stage: Stage) -> Transition | None:
    """Return the transition whose passport would currently be valid for a model's stage, or None."""
    changes = reversed(reader.transitions(model, stage=stage, limit=MAX_CHANGES))
    done = [change for change in changes if change.state is TransitionState.DONE]
    return passport_status.current_transition(done, stage)


def issue(tx: LedgerTransaction, context: Context, transition: Transition) -> bool:
    """Issue a passport for a finished transition; return whether it was issued.

    Issues nothing for other kinds of transitions, before the version's digest is recorded, or without a key. A problem
    with the key never raises an error, because the transition is done and the passport can be issued later.
    """
    is_move = transition.kind in PASSPORT_KINDS and transition.target in TARGET_STAGES
    if not is_move or transition.state is not TransitionState.DONE:
        return False
    digest = recorded_digest(tx, transition)
    try:
        signer = context.signer() if digest else None
    except Misconfigured as error:
        log.warning("can't issue a passport for %s: %s", transition.id, error)
        return False
    if digest is None or signer is None:
        return False
    tx.append_audit()  # the passport names the number and the hash of the transition's event
    events = tx.latest_audit_events(
        model=transition.model, tags=_MOVE_TAGS, since=transition.intended_at, limit=MAX_LATER
    )
    event = next((each for each in events if each.event.subject in {transition.id, transition.request}), None)
    return event is not None and _add_passport(tx, context, transition, digest, event, signer)


def recorded_digest(reader: LedgerReader, transition: Transition) -> VersionDigest | None:
    """Return the recorded digest of the transition's version; None if it isn't recorded yet."""
    identity = transition.identity
    found = reader.digests_of(transition.model, transition.version) if identity else []
    return next((each for each in found if each.is_recorded and identity and identity.is_same(each.identity)), None)


def _add_passport(
    tx: LedgerTransaction,
    context: Context,
    transition: Transition,
    digest: VersionDigest,
    event: ChainedEvent,
    signer: PassportSigner,
) -> bool:
    """Sign and add the transition's next passport. Return False if another process has just added it."""
    now = context.clock.now()
    issued = sum(each.move == transition.id for each in tx.passports(transition.model, transition.version))
    passport_id, expires = f"{transition.id}:{issued + 1}", now + context.passport_lifetime  # unique in the ledger
    request = tx.request(transition.request) if transition.request else None
    votes = tx.votes(request.id) if request else []
    loaded = tx.latest_audit_events(tags=[EventTag.POLICY_LOADED], before_number=event.number, limit=1)
    policy = str(loaded[0].event.after) if loaded else context.active_policy.revision
    facts = PassportFacts(request=request, votes=votes, policy=policy, event=event)
    statement = passport_statement(passport_id, transition, digest, facts, now, expires)
    passport = Passport(
        id=passport_id,
        move=transition.id,
        model=transition.model,
        version=transition.version,
        stage=transition.target,
        identity=digest.identity,
        digest=digest.manifest.digest,
        key=signer.key_id,
        envelope=signed_envelope(PAYLOAD_TYPE, statement, signer.key_id, signer.sign),
        issued_at=now,
        expires_at=expires,
    )
    if not tx.add_passport(passport):
        return False
    tx.add_audit_event(
        Event(
            at=passport.issued_at,
            actor=ISSUER,
            tag=EventTag.PASSPORT_ISSUED,
            subject=passport.id,
            model=passport.model,
            after=f"v{passport.version}",
            origin="job",
            evidence={
                "version": passport.version,
                "to": passport.stage.value,
                "sha256": hashlib.sha256(passport.envelope.encode()).hexdigest(),
                "key": passport.key,
            },
        )
    )
    tx.add_tag_update(
        TagUpdate(
            id=f"passport:{passport.id}",
            model=passport.model,
            version=passport.version,
            tags=registry_tags.passport_tags(passport.envelope),
        )
    )
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedPassport:
    """A passport as programs receive it, with its state, and the version's manifest as a statement.

    `status` returns the signed status list for its model, as of the same moment. It raises Misconfigured.
    """

    envelope: str
    state: PassportState
    manifest: Mapping[str, Any]
    status: Callable[[], str]


class Passports:
    """Issues missing passports, and reports which ones are valid.

    `status_lifetime`: how long a status list can be used.
    """

    def __init__(self, context: Context, status_lifetime: timedelta) -> None:
        self._context = context
        self._status_lifetime = status_lifetime
        self._lock = threading.Lock()  # many programs that ask at once cause one computation
        self._lists: dict[tuple[str, ...], tuple[datetime, str]] = {}

    def issue_due(self) -> int:
        """Issue passports that are due for versions in Staging and Production; return the number of new ones.

        A passport is due if it's missing, expires soon, or was signed with an older key. Each is issued in its own
        transaction. Raises Misconfigured if the key can't be used.
        """
        context, now = self._context, self._context.clock.now()
        signer = context.signer()
        if signer is None:
            return 0
        terms = signer.key_id, signer.created_at, now + context.passport_lifetime / RENEWED_PART
        with context.ledger.read() as reader:
            due = reader.transitions_to_certify(*terms)
        if not due or not context.startup_check.has_passed():
            return 0
        return sum(self._issue_if_due(transition, *terms) for transition in due)

    def _issue_if_due(self, transition: Transition, key: str, issued_since: datetime, valid_until: datetime) -> bool:
        """Issue a passport, unless another process has done so or the version isn't current anymore.

        Return whether it was issued.
        """
        with self._context.ledger.write() as tx:
            current = current_transition(tx, transition.model, transition.target)
            if current is None or current.id != transition.id:
                return False
            latest = tx.passport(current.id)
            if latest and latest.expires_at > valid_until and (latest.key == key or latest.issued_at >= issued_since):
                return False
            return issue(tx, self._context, current)

    def find(self, model: str, version: int, stage: Stage) -> IssuedPassport:
        """Return a version's latest passport for a stage.

        Raises Refused or Misconfigured if there's none yet, and LookupError if there won't be one, because Registrar
        didn't put the version into the stage or it isn't there anymore.
        """
        now = self._context.clock.now()
        with self._context.ledger.read() as reader:
            found = [each for each in reader.passports(model, version) if each.stage is stage]
            if not found:
                raise Refused(self._why_not_issued(reader, model, version, stage))
            passport, statuses = found[0], read_statuses(reader, now, model)
            digests = [each for each in reader.digests_of(model, version) if each.manifest.digest == passport.digest]
        state = next((each.state for each in statuses if each.passport.id == passport.id), PassportState.EXPIRED)
        return IssuedPassport(
            envelope=passport.envelope,
            state=state,
            manifest=digests[0].manifest.statement(f"{model}/{version}"),
            status=partial(self._sign_list, statuses, now),
        )

    def _why_not_issued(self, reader: LedgerReader, model: str, version: int, stage: Stage) -> Sentence:
        """Return what a missing passport is waiting for. Raises LookupError if there won't be one."""
        current = current_transition(reader, model, stage)
        if current is None or current.version != version:
            raise LookupError
        digest = next(iter(reader.digests_of(model, version)), None)
        if self._context.signer() is None:
            return NO_KEY
        if digest and digest.is_recorded:
            return say("The passport is issued within a minute.")
        is_off = self._context.policy.rules_for(model).integrity(stage) == "off"
        why = digest.why if digest else "The policy says integrity: off." if is_off else ""
        return say(
            "The files of {model} {v} aren't recorded yet. {why}",
            model=Name(model),
            v=Code(f"v{version}"),
            why=why or "They're being hashed.",
        )

    def status_list(self, patterns: tuple[str, ...], covers: Callable[[str], bool]) -> str:
        """Return the signed status list for the models that `covers` accepts; `patterns` identify these models.

        It's at most a few seconds old. Raises Misconfigured if there's no usable key.
        """
        now = self._context.clock.now()
        with self._lock:
            computed, envelope = self._lists.get(patterns, (None, ""))
            if computed is None or not computed <= now < computed + CACHE_TIME:
                with self._context.ledger.read() as reader:
                    statuses = read_statuses(reader, now)
                envelope = self._sign_list((each for each in statuses if covers(each.passport.model)), now)
                self._lists[patterns] = now, envelope
        return envelope

    def _sign_list(self, statuses: Iterable[PassportStatus], now: datetime) -> str:
        signer = self._context.signer()
        if signer is None:
            raise Misconfigured(NO_KEY)
        payload = passport_status.status_list(statuses, now, now + self._status_lifetime)
        return signed_envelope(passport_status.STATUS_PAYLOAD_TYPE, payload, signer.key_id, signer.sign)


def read_statuses(reader: LedgerReader, now: datetime, model: str | None = None) -> list[PassportStatus]:
    """Return the status of each unexpired passport, for one model or for all."""
    reviews = reader.requests_to_review(model)
    facts = StatusFacts(
        blocks=reader.rollback_blocks(model),
        overdue={each.id: each.review_due for each in reviews if each.review_due and each.review_due <= now},
        changed={
            (each.model, each.version, each.manifest.digest): each.compared_at for each in reader.changed_digests()
        },
    )
    passports, changes = reader.unexpired_passports(now, model), reader.changes_since_passports(now, model)
    return passport_status.passport_statuses(passports, changes, facts, now)
