"""Who may do what: one table for every act there is. Slack, terminal, API and jobs all ask here, and only here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from bot.domain.core.actors import Actor, Automation, Caller, Client, Operator, Person, Profile
from bot.domain.core.sentence import Code, Mention, Name, Say, say
from bot.domain.policy.freezes import Frozen
from bot.domain.policy.policy import Policy, TargetRule
from bot.domain.registry.model import Stage


class Act(Enum):
    """Everything that somebody can do. The value is the word that the audit uses."""

    READ = "read"  # list, show, history, requests, help
    ASK = "ask"  # open a request
    APPROVE = "approve"  # say yes to a request
    REJECT = "reject"  # say no to a request, with a reason
    WITHDRAW = "withdraw"  # take one's vote back
    CANCEL = "cancel"  # end a pending request
    OVERRIDE = "override"  # let a failed gate pass
    REGISTER = "register"  # make a version of a run
    DESCRIBE = "describe"  # change a description
    TAG = "tag"  # set or remove a tag
    ARCHIVE = "archive"  # take a version aside
    MEND = "mend"  # repair two holders, or an alias elsewhere
    ROLL_BACK = "roll_back"  # put the previous good version back
    CLEAR = "clear"  # unblock a version that was rolled back
    FREEZE = "freeze"  # let nothing move in Production
    UNFREEZE = "unfreeze"  # let Production move again
    EDIT_MONITOR = "edit_monitor"  # add, change or remove a monitor
    CHECK = "check"  # have a monitor checked out of turn; it counts, so it may bring a rollback about
    PAUSE = "pause"  # pause or resume a monitor
    SILENCE = "silence"  # mute a monitor's alerts for a while
    ACKNOWLEDGE = "acknowledge"  # say that one looks after an incident
    ARM = "arm"  # let a monitor act by itself
    ARM_UNTRIED = "arm_untried"  # let a monitor act by itself that has not tried itself out
    RESET_BREAKER = "reset_breaker"  # let automatic rollbacks go on
    IMPORT_HISTORY = "import_history"  # add terms of Production from before Registrar to the history
    BREAK_GLASS = "break_glass"  # move without approvals, in an emergency
    REVIEW = "review"  # follow up on what someone moved without approvals
    LIFT_HOLD = "lift_hold"  # after a restore, let what was waiting be carried out, or end it


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is acted on. `target` and `requester` are there where the act is about a request.

    `frozen` is what stops Production of the model now, as whoever asks has read it.
    """

    model: str | None = None
    target: Stage | None = None
    requester: Actor | None = None
    frozen: Frozen | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Allowed or not, by which rule of the table, and the sentence that says why (and what next)."""

    allowed: bool
    rule: str
    why: Say

    def __bool__(self) -> bool:
        return self.allowed

    @property
    def is_outsider(self) -> bool:
        """Tell whether someone has no business here at all, not even to hear who decided."""
        return not self.allowed and self.rule in {"stranger", "deactivated", "bot"}


class Who(Enum):
    """The rules of the table."""

    ANYONE = auto()  # any full member of the home workspace
    APPROVER = auto()  # whom the policy names for this model and stage; not the requester, unless it says so
    REQUESTER_OR_ADMIN = auto()  # who asked, or whom the role `admin` names
    ROLLBACK_OR_ADMIN = auto()  # whom `rollback.by` names, else the approvers for Production; or whom `admin` names
    OVERRIDER = auto()  # whom `override` names
    ADMIN = auto()  # whom the role `admin` names
    REVIEWER = auto()  # an approver for this model and stage, or an admin; never the person who broke the glass


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: who may; whether guests, programs, automations and the terminal may as well.

    `freezes`: nobody does it about Production while that is frozen.
    """

    who: Who
    guests: bool = False
    programs: bool = False
    automations: bool = False
    terminal: bool = False  # whoever sits at the bot's machine, also where the policy does not say who that is
    freezes: bool = False


TABLE: dict[Act, Row] = {
    Act.READ: Row(Who.ANYONE, guests=True, programs=True, automations=True, terminal=True),
    Act.ASK: Row(Who.ANYONE, programs=True, automations=True),
    Act.APPROVE: Row(Who.APPROVER, freezes=True),
    Act.REJECT: Row(Who.APPROVER),
    Act.WITHDRAW: Row(Who.ANYONE),  # one's own vote and no other: there is nothing else to take back
    Act.CANCEL: Row(Who.REQUESTER_OR_ADMIN, programs=True),
    Act.OVERRIDE: Row(Who.OVERRIDER, freezes=True),  # it may be the last word that a decision waits for
    Act.REGISTER: Row(Who.ANYONE, programs=True, terminal=True),  # it moves nothing, and MLflow lets them as well
    Act.DESCRIBE: Row(Who.ANYONE),
    Act.TAG: Row(Who.ANYONE),
    Act.ARCHIVE: Row(Who.ROLLBACK_OR_ADMIN),
    Act.MEND: Row(Who.ROLLBACK_OR_ADMIN, freezes=True),
    Act.ROLL_BACK: Row(Who.ROLLBACK_OR_ADMIN, automations=True),
    Act.CLEAR: Row(Who.ROLLBACK_OR_ADMIN),
    Act.FREEZE: Row(Who.ROLLBACK_OR_ADMIN),
    Act.UNFREEZE: Row(Who.ROLLBACK_OR_ADMIN),
    Act.EDIT_MONITOR: Row(Who.ROLLBACK_OR_ADMIN),
    Act.CHECK: Row(Who.ROLLBACK_OR_ADMIN),
    Act.PAUSE: Row(Who.ROLLBACK_OR_ADMIN),
    Act.SILENCE: Row(Who.ROLLBACK_OR_ADMIN),
    Act.ACKNOWLEDGE: Row(Who.ANYONE),
    Act.ARM: Row(Who.ROLLBACK_OR_ADMIN),
    Act.ARM_UNTRIED: Row(Who.ADMIN),
    Act.RESET_BREAKER: Row(Who.ADMIN),
    Act.IMPORT_HISTORY: Row(Who.ADMIN),
    Act.BREAK_GLASS: Row(Who.ADMIN),
    Act.REVIEW: Row(Who.REVIEWER),
    Act.LIFT_HOLD: Row(Who.ADMIN, terminal=True),  # whoever restores a backup on that machine can change the file, too
}


def authorize(caller: Caller, act: Act, subject: Subject, policy: Policy, now: datetime) -> Decision:
    """Decide whether `caller` may do `act` to `subject` under `policy` at `now` (UTC).

    Pure: whoever calls has read the caller's profile and what is frozen freshly.
    """
    row = TABLE[act]
    if isinstance(caller, Automation):
        return _allow("automation") if row.automations else _refuse("automation", "An automation never does this.")
    if isinstance(caller, Client):
        return _client(caller, row, subject, policy)
    person = _person_behind(caller, policy)
    if isinstance(person, Decision):
        return _allow("operator") if row.terminal else person
    refusal = _stranger(person, row)  # a refusal is falsy
    if refusal is not None:
        return refusal
    return _unless_frozen(_CHECKS[row.who](person, subject, policy), row, subject)


def deciders(model: str, target: Stage, requester: Actor, policy: Policy) -> list[str]:
    """Return the ids of the people and groups who can decide such a request, sorted, groups first."""
    rule = policy.rules_for(model).rule(target)
    if rule is None:
        return []
    own = None if rule.requester_may_approve else user_of(requester, policy)
    return sorted(policy.ids(rule.approvers) - {own})


def is_full_member(profile: Profile) -> bool:
    """Tell whether someone is an active member of the workspace: neither a guest, a bot, nor a deactivated account."""
    return _stranger(profile, Row(Who.ANYONE)) is None


def reviewers(model: str, target: Stage, requester: Actor, policy: Policy) -> list[str]:
    """Return the ids of the people and groups who can review what `requester` moved without approvals, sorted."""
    rule = policy.rules_for(model).rule(target)
    named = [*(rule.approvers if rule else []), Policy.ADMIN]
    return sorted(policy.ids(named) - {user_of(requester, policy), Policy.ADMIN})


def user_of(actor: Actor, policy: Policy) -> str | None:
    """Return the Slack id of whoever acted, also of who sat at the bot's terminal; None where there is no person."""
    if isinstance(actor, Operator):
        return policy.operators.get(actor.name)
    return actor.user if isinstance(actor, Person) else None


def operator_unknown(actor: Actor) -> Decision:
    """Return the refusal of someone at the terminal whom the policy doesn't name, or of what is no person."""
    name = "" if isinstance(actor, Person) else actor.name
    why = say("The policy's {key} does not say who {name} is in Slack.", key=Code("operators"), name=Name(name))
    return Decision(False, "operator", why)


def standing(caller: Caller, policy: Policy) -> dict[str, object]:
    """Return what the audit keeps of who acts: the name that people saw, and the roles and groups of that moment."""
    if not isinstance(caller, Profile):
        return {}
    ids = {caller.person.user} | caller.groups
    roles = sorted(role for role, named in policy.roles.items() if ids & set(named))
    said: dict[str, object] = {"name": caller.name, "roles": roles, "groups": sorted(caller.groups)}
    return said | ({"slack": caller.person.user} if caller.operator else {})


def _client(client: Client, row: Row, subject: Subject, policy: Policy) -> Decision:
    if not row.programs or client.name not in policy.clients:
        return _refuse("client", "A program may not do this; a person has to.")
    if row.who is Who.REQUESTER_OR_ADMIN and subject.requester != client:
        return _refuse("client", "A program may only cancel what it asked for itself.")
    return _allow("client")


def _person_behind(caller: Profile | Operator, policy: Policy) -> Profile | Decision:
    if isinstance(caller, Profile):
        return caller
    user = policy.operators.get(caller.name)
    if user is None:
        return operator_unknown(caller)
    return Profile(person=Person("", user))


def _stranger(profile: Profile, row: Row) -> Decision | None:
    if not profile.is_home:
        return _refuse("stranger", "Only members of this workspace can use Registrar.")
    if profile.is_bot or profile.is_deleted:
        return _refuse("deactivated" if profile.is_deleted else "bot", "Bots and deactivated accounts never act here.")
    if profile.is_guest and not row.guests:
        return _refuse("guest", "Guests can look, but not ask or decide. Ask a full member of the workspace.")
    return None


def _unless_frozen(decision: Decision, row: Row, subject: Subject) -> Decision:
    if not decision or not row.freezes or subject.frozen is None or subject.target is not Stage.PRODUCTION:
        return decision
    return Decision(False, "frozen", subject.frozen.why)


def _anyone(profile: Profile, subject: Subject, policy: Policy) -> Decision:
    return _allow("member")


def _approver(profile: Profile, subject: Subject, policy: Policy) -> Decision:
    rule = _rule(subject, policy)
    if rule is None or not rule.approvers:
        why = say(
            "The policy names nobody who may decide {model} → {stage}. Add approvers to {file}.",
            model=Name(subject.model or "?"),
            stage=subject.target,
            file=Code("registrar.yml"),
        )
        return Decision(False, "no approvers", why)
    if _asked(profile, subject, policy) and not rule.requester_may_approve:
        others = policy.ids(rule.approvers) - {profile.person.user}
        words = "You asked for this, so somebody else has to decide: {who}."
        return _refuse_naming("own request", words, others, "nobody else is named")
    if not _is_named(profile, rule.approvers, policy):
        words = "You are not among those who may decide this: {who}."
        return _refuse_naming("not an approver", words, policy.ids(rule.approvers), "nobody is named")
    return _allow("approver")


def _requester_or_admin(profile: Profile, subject: Subject, policy: Policy) -> Decision:
    if _asked(profile, subject, policy) or _is_named(profile, [Policy.ADMIN], policy):
        return _allow("requester or admin")
    return _refuse("not the requester", "Only who asked, or an admin, can cancel a request. You can reject it.")


def _rollback(profile: Profile, subject: Subject, policy: Policy) -> Decision:
    rules = policy.rules_for(subject.model or "")
    names = rules.rollback.by if rules.rollback else rules.production.approvers if rules.production else []
    if _is_named(profile, names, policy):
        return _allow("rollback")
    words = "Only those who may roll back can do this: {who}."
    return _refuse_naming("not in rollback.by", words, policy.ids(names), "the policy names nobody")


def _rollback_or_admin(profile: Profile, subject: Subject, policy: Policy) -> Decision:
    return _admin(profile, subject, policy) or _rollback(profile, subject, policy)  # a refusal is falsy


def _overrider(profile: Profile, subject: Subject, policy: Policy) -> Decision:
    rule = _rule(subject, policy)
    if rule and _is_named(profile, rule.override, policy):
        return _allow("override")
    return _refuse("not in override", "The policy does not let you pass a failed gate.")


def _admin(profile: Profile, subject: Subject, policy: Policy) -> Decision:
    if _is_named(profile, [Policy.ADMIN], policy):
        return _allow("admin")
    return _refuse("not an admin", "Only those with the role admin may do this.")


def _reviewer(profile: Profile, subject: Subject, policy: Policy) -> Decision:
    if isinstance(subject.requester, Operator) and user_of(subject.requester, policy) is None:
        return operator_unknown(subject.requester)  # it may be the same person
    if subject.model is None or subject.target is None or subject.requester is None:
        return _refuse("not a reviewer", "There's nothing to review here.")
    named = reviewers(subject.model, subject.target, subject.requester, policy)
    if _asked(profile, subject, policy):
        return _refuse_naming(
            "own request", "You broke the glass, so someone else has to review it: {who}.", named, "nobody is named"
        )
    if not _is_named(profile, named, policy):
        words = "Only approvers and admins can review this: {who}."
        return _refuse_naming("not a reviewer", words, named, "nobody is named")
    return _allow("reviewer")


_CHECKS: dict[Who, Callable[[Profile, Subject, Policy], Decision]] = {
    Who.ANYONE: _anyone,
    Who.APPROVER: _approver,
    Who.REQUESTER_OR_ADMIN: _requester_or_admin,
    Who.ROLLBACK_OR_ADMIN: _rollback_or_admin,
    Who.OVERRIDER: _overrider,
    Who.ADMIN: _admin,
    Who.REVIEWER: _reviewer,
}


def _rule(subject: Subject, policy: Policy) -> TargetRule | None:
    if subject.model is None or subject.target is None:
        return None
    return policy.rules_for(subject.model).rule(subject.target)


def _asked(profile: Profile, subject: Subject, policy: Policy) -> bool:
    """Tell whether it's their own request, whichever workspace they made it from: a user id belongs to one person."""
    return subject.requester is not None and user_of(subject.requester, policy) == profile.person.user


def _is_named(profile: Profile, names: list[str], policy: Policy) -> bool:
    ids = policy.ids(names)
    return profile.person.user in ids or bool(profile.groups & ids)


def _allow(rule: str) -> Decision:
    return Decision(True, rule, say("Allowed: {rule}.", rule=rule))


def _refuse(name: str, words: str) -> Decision:
    return Decision(False, name, say(words))


def _refuse_naming(name: str, words: str, ids: Iterable[str], nobody: str) -> Decision:
    """Return the refusal that names who can do it; `nobody` is said where there is none."""
    who: list[object] = [Mention(one) for one in sorted(ids)]
    return Decision(False, name, say(words, who=who or [nobody]))
