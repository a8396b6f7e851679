"""Who can do what: one table for all permissions. This is the only check for Slack, the terminal, the API, and jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from bot.domain.core.actors import Actor, Automation, Caller, Client, Operator, Person, Profile
from bot.domain.core.sentence import Code, Mention, Name, Sentence, say
from bot.domain.policy.authorship import Authorship, missing_person_key, own_user_ids, slack_user_id
from bot.domain.policy.freezes import ActiveFreeze
from bot.domain.policy.policy import Policy, TargetRule
from bot.domain.registry.model import Stage


class Permission(Enum):
    """Every permission. The value is its name in the audit log."""

    READ = "read"  # list, show, history, requests, help
    REQUEST = "ask"  # open a request
    APPROVE = "approve"  # approve a request
    REJECT = "reject"  # reject a request, with a reason
    WITHDRAW = "withdraw"  # withdraw your own vote
    CANCEL = "cancel"  # cancel a pending request
    OVERRIDE = "override"  # override a failed gate
    REGISTER = "register"  # register a run as a version
    DESCRIBE = "describe"  # change a description
    TAG = "tag"  # set or remove a tag
    ARCHIVE = "archive"  # archive a version
    REPAIR = "mend"  # repair a stage with two versions, or an alias that points elsewhere
    ROLL_BACK = "roll_back"  # return Production to the previous good version
    UNBLOCK = "clear"  # unblock a version that was rolled back
    FREEZE = "freeze"  # freeze Production
    UNFREEZE = "unfreeze"  # unfreeze Production
    EDIT_MONITOR = "edit_monitor"  # add, change, or remove a monitor
    CHECK_MONITOR = "check"  # run a monitor's check now; the result counts, so it can cause a rollback
    PAUSE_MONITOR = "pause"  # pause or resume a monitor
    SILENCE_MONITOR = "silence"  # silence a monitor's alerts for a while
    ACKNOWLEDGE_INCIDENT = "acknowledge"  # acknowledge an incident
    ARM_MONITOR = "arm"  # let a monitor roll back automatically
    ARM_WITHOUT_DRY_RUN = "arm_untried"  # arm a monitor that hasn't completed a dry run
    RESET_BREAKER = "reset_breaker"  # allow automatic rollbacks again
    IMPORT_HISTORY = "import_history"  # add serving periods from before Registrar to the history
    BREAK_GLASS = "break_glass"  # promote without approvals, in an emergency
    REVIEW = "review"  # review a promotion that was made without approvals
    LIFT_HOLD = "lift_hold"  # after a restore, let held work run, or drop it


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessTarget(Authorship):
    """What the permission applies to; for a request, also who made it. `frozen` is the freeze that applies now."""

    model: str | None = None
    target: Stage | None = None
    frozen: ActiveFreeze | None = None


@dataclass(frozen=True, slots=True)
class AccessDecision:
    """Whether a caller has a permission, which rule decided, and a sentence that says why (and what to do next)."""

    allowed: bool
    rule: str
    reason: Sentence

    def __bool__(self) -> bool:
        return self.allowed

    @property
    def is_outsider(self) -> bool:
        """Whether the caller has no access at all, and shouldn't even see who decided."""
        return not self.allowed and self.rule in {"stranger", "deactivated", "bot"}


class Grantee(Enum):
    """Who is granted a permission."""

    ANYONE = auto()  # any full member of the home workspace
    APPROVER = auto()  # an approver for this model and stage; not whoever made the request, unless the policy allows it
    REQUESTER_OR_ADMIN = auto()  # whoever made the request, or someone with the `admin` role
    ROLLBACK_OR_ADMIN = auto()  # an admin, or someone in `rollback.by` (without it, an approver for Production)
    OVERRIDER = auto()  # someone in `override`; never whoever made the request, and no one if that's unknown
    ADMIN = auto()  # someone with the `admin` role
    REVIEWER = auto()  # an approver for this model and stage, or an admin; never the person who used break glass


@dataclass(frozen=True, slots=True)
class PermissionRule:
    """One row of the table: who has a permission, and whether guests, programs, automations, and the terminal do.

    If `stopped_by_freeze`, no one has it for Production during a freeze.
    """

    grantee: Grantee
    guests: bool = False
    programs: bool = False
    automations: bool = False
    terminal: bool = False  # anyone on the bot's machine, even if the policy doesn't list them
    stopped_by_freeze: bool = False


PERMISSION_RULES: dict[Permission, PermissionRule] = {
    Permission.READ: PermissionRule(Grantee.ANYONE, guests=True, programs=True, automations=True, terminal=True),
    Permission.REQUEST: PermissionRule(Grantee.ANYONE, programs=True, automations=True),
    Permission.APPROVE: PermissionRule(Grantee.APPROVER, stopped_by_freeze=True),
    Permission.REJECT: PermissionRule(Grantee.APPROVER),
    Permission.WITHDRAW: PermissionRule(Grantee.ANYONE),  # only your own vote
    Permission.CANCEL: PermissionRule(Grantee.REQUESTER_OR_ADMIN, programs=True),
    Permission.OVERRIDE: PermissionRule(Grantee.OVERRIDER, stopped_by_freeze=True),  # it can complete a decision
    Permission.REGISTER: PermissionRule(
        Grantee.ANYONE, programs=True, terminal=True
    ),  # it changes no stage, and MLflow allows it anyway
    Permission.DESCRIBE: PermissionRule(Grantee.ANYONE),
    Permission.TAG: PermissionRule(Grantee.ANYONE),
    Permission.ARCHIVE: PermissionRule(Grantee.ROLLBACK_OR_ADMIN),
    Permission.REPAIR: PermissionRule(Grantee.ROLLBACK_OR_ADMIN, stopped_by_freeze=True),
    Permission.ROLL_BACK: PermissionRule(Grantee.ROLLBACK_OR_ADMIN, automations=True),
    Permission.UNBLOCK: PermissionRule(Grantee.ROLLBACK_OR_ADMIN),
    Permission.FREEZE: PermissionRule(Grantee.ROLLBACK_OR_ADMIN),
    Permission.UNFREEZE: PermissionRule(Grantee.ROLLBACK_OR_ADMIN),
    Permission.EDIT_MONITOR: PermissionRule(Grantee.ROLLBACK_OR_ADMIN),
    Permission.CHECK_MONITOR: PermissionRule(Grantee.ROLLBACK_OR_ADMIN),
    Permission.PAUSE_MONITOR: PermissionRule(Grantee.ROLLBACK_OR_ADMIN),
    Permission.SILENCE_MONITOR: PermissionRule(Grantee.ROLLBACK_OR_ADMIN),
    Permission.ACKNOWLEDGE_INCIDENT: PermissionRule(Grantee.ANYONE),
    Permission.ARM_MONITOR: PermissionRule(Grantee.ROLLBACK_OR_ADMIN),
    Permission.ARM_WITHOUT_DRY_RUN: PermissionRule(Grantee.ADMIN),
    Permission.RESET_BREAKER: PermissionRule(Grantee.ADMIN),
    Permission.IMPORT_HISTORY: PermissionRule(Grantee.ADMIN),
    Permission.BREAK_GLASS: PermissionRule(Grantee.ADMIN),
    Permission.REVIEW: PermissionRule(Grantee.REVIEWER),
    Permission.LIFT_HOLD: PermissionRule(
        Grantee.ADMIN, terminal=True
    ),  # anyone who restores a backup there can change the ledger anyway
}


def authorize(
    caller: Caller, permission: Permission, access_target: AccessTarget, policy: Policy, now: datetime
) -> AccessDecision:
    """Decide whether `caller` has `permission` for `access_target` under `policy` at `now` (UTC).

    Pure. Pass a profile and a freeze that have just been read.
    """
    row = PERMISSION_RULES[permission]
    if isinstance(caller, Automation):
        return _allow("automation") if row.automations else _refuse("automation", "Automations can't do this.")
    if isinstance(caller, Client):
        return _decide_client(caller, row, access_target, policy)
    if isinstance(caller, Operator):
        user = policy.operators.get(caller.name)
        if user is None:
            return _allow("operator") if row.terminal else unknown_operator_decision(caller)
        caller = Profile(person=Person("", user))
    if (refusal := _membership_refusal(caller, row)) is not None:
        return refusal
    decide = _DECIDE_BY_GRANTEE.get(row.grantee)
    decision = decide(caller, access_target, policy) if decide else _allow("member")
    frozen = access_target.frozen if access_target.target is Stage.PRODUCTION else None
    if decision.allowed and row.stopped_by_freeze and frozen is not None:
        return AccessDecision(False, "frozen", frozen.description)
    return decision


def approver_ids(access_target: AccessTarget, policy: Policy) -> list[str]:
    """Return the IDs of the people and groups who can approve a request, sorted, groups first."""
    rule = _stage_rule(access_target, policy)
    if rule is None:
        return []
    excluded = frozenset() if rule.requester_may_approve else own_user_ids(access_target, policy)
    return sorted(policy.expand_roles(rule.approvers) - excluded)


def overrider_ids(access_target: AccessTarget, policy: Policy) -> list[str]:
    """Return the IDs of the people and groups who can override a request's failed gates, sorted, groups first."""
    rule = _stage_rule(access_target, policy)
    if rule is None or missing_person_key(access_target, policy):
        return []
    return sorted(policy.expand_roles(rule.override) - own_user_ids(access_target, policy))


def is_full_member(profile: Profile) -> bool:
    """Return whether someone is an active member of the workspace: not a guest, a bot, or a deactivated account."""
    return _membership_refusal(profile, PermissionRule(Grantee.ANYONE)) is None


def reviewer_ids(access_target: AccessTarget, policy: Policy) -> list[str]:
    """Return the IDs of the people and groups who can review a break-glass promotion, sorted, groups first."""
    rule = _stage_rule(access_target, policy)
    roles = [*(rule.approvers if rule else []), Policy.ADMIN_ROLE]
    return sorted(policy.expand_roles(roles) - own_user_ids(access_target, policy) - {Policy.ADMIN_ROLE})


def unknown_operator_decision(actor: Actor) -> AccessDecision:
    """Return the refusal for an actor without a known Slack user, such as an operator that the policy doesn't list."""
    name = "" if isinstance(actor, Person) else actor.name
    why = say(
        "The policy's {key} doesn't map {name} to a Slack user. Add them there.", key=Code("operators"), name=Name(name)
    )
    return AccessDecision(False, "operator", why)


def no_approvers_refusal(model: str | None, target: Stage | None) -> Sentence:
    """Return why no one can promote a model to a stage: the policy lists no approvers."""
    return say(
        "The policy lists no approvers for {model} → {stage}. Add some to {file}.",
        model=Name(model or "?"),
        stage=target,
        file=Code("registrar.yml"),
    )


def describe_caller(caller: Caller, policy: Policy) -> dict[str, object]:
    """Return what the audit log records about the caller: display name, and current roles and groups."""
    if not isinstance(caller, Profile):
        return {}
    ids = {caller.person.user} | caller.groups
    roles = [role for role, named in sorted(policy.roles.items()) if ids & set(named)]
    details: dict[str, object] = {"name": caller.name, "roles": roles, "groups": sorted(caller.groups)}
    return details | ({"slack": caller.person.user} if caller.operator else {})


def _decide_client(client: Client, rule: PermissionRule, access_target: AccessTarget, policy: Policy) -> AccessDecision:
    if not rule.programs or client.name not in policy.clients:
        return _refuse("client", "API clients can't do this. A person has to.")
    if rule.grantee is Grantee.REQUESTER_OR_ADMIN and access_target.requester != client:
        return _refuse("client", "An API client can only cancel its own requests.")
    return _allow("client")


def _membership_refusal(profile: Profile, rule: PermissionRule) -> AccessDecision | None:
    if not profile.is_home:
        return _refuse("stranger", "Only members of this workspace can use Registrar.")
    if profile.is_bot or profile.is_deleted:
        return _refuse(
            "deactivated" if profile.is_deleted else "bot", "Bots and deactivated accounts can't use Registrar."
        )
    if profile.is_guest and not rule.guests:
        return _refuse("guest", "Guests can view, but can't request or decide. Ask a full member of the workspace.")
    return None


def _decide_approver(profile: Profile, access_target: AccessTarget, policy: Policy) -> AccessDecision:
    rule = _stage_rule(access_target, policy)
    if rule is None or not rule.approvers:
        why = no_approvers_refusal(access_target.model, access_target.target)
        return AccessDecision(False, "no approvers", why)
    others = approver_ids(access_target, policy)
    own = None if rule.requester_may_approve else _own_refusal(profile, access_target, policy, "decide", others)
    if own is not None:
        return own
    if not _is_named(profile, rule.approvers, policy):
        words = "Only approvers can decide this: {who}."
        return _refuse_with_names("not an approver", words, policy.expand_roles(rule.approvers))
    return _allow("approver")


def _decide_requester_or_admin(profile: Profile, access_target: AccessTarget, policy: Policy) -> AccessDecision:
    if _is_own(profile, access_target, policy) or _is_named(profile, [Policy.ADMIN_ROLE], policy):
        return _allow("requester or admin")
    return _refuse("not the requester", "Only the requester or an admin can cancel a request. Approvers can reject it.")


def _decide_rollback_or_admin(profile: Profile, access_target: AccessTarget, policy: Policy) -> AccessDecision:
    if _is_named(profile, [Policy.ADMIN_ROLE], policy):
        return _allow("admin")
    names = policy.rules_for(access_target.model or "").rollback_names
    if _is_named(profile, names, policy):
        return _allow("rollback")
    words = "Only people who can roll back can do this: {who}."
    return _refuse_with_names("not in rollback.by", words, policy.expand_roles(names))


def _decide_overrider(profile: Profile, access_target: AccessTarget, policy: Policy) -> AccessDecision:
    rule = _stage_rule(access_target, policy)
    if not rule or not _is_named(profile, rule.override, policy):
        return _refuse("not in override", "The policy doesn't let you override a failed gate.")
    if (key := missing_person_key(access_target, policy)) is not None:
        return AccessDecision(False, *_UNKNOWN_PERSON[key])
    others = overrider_ids(access_target, policy)
    own = _own_refusal(profile, access_target, policy, "override its gates", others)
    return _allow("override") if own is None else own


def _decide_admin(profile: Profile, access_target: AccessTarget, policy: Policy) -> AccessDecision:
    if _is_named(profile, [Policy.ADMIN_ROLE], policy):
        return _allow("admin")
    return _refuse("not an admin", "Only admins can do this.")


def _decide_reviewer(profile: Profile, access_target: AccessTarget, policy: Policy) -> AccessDecision:
    if (unknown := _unknown_requester_refusal(access_target, policy)) is not None:
        return unknown
    if access_target.model is None or access_target.target is None or access_target.requester is None:
        return _refuse("not a reviewer", "There's nothing to review here.")
    reviewers = reviewer_ids(access_target, policy)
    if _is_own(profile, access_target, policy):
        return _refuse_with_names(
            "own request", "You used break glass, so someone else has to review it: {who}.", reviewers
        )
    if not _is_named(profile, reviewers, policy):
        words = "Only approvers and admins can review this: {who}."
        return _refuse_with_names("not a reviewer", words, reviewers)
    return _allow("reviewer")


# `ANYONE` needs no entry: every member has it, and guests do if the rule says so.
_DECIDE_BY_GRANTEE: dict[Grantee, Callable[[Profile, AccessTarget, Policy], AccessDecision]] = {
    Grantee.APPROVER: _decide_approver,
    Grantee.REQUESTER_OR_ADMIN: _decide_requester_or_admin,
    Grantee.ROLLBACK_OR_ADMIN: _decide_rollback_or_admin,
    Grantee.OVERRIDER: _decide_overrider,
    Grantee.ADMIN: _decide_admin,
    Grantee.REVIEWER: _decide_reviewer,
}


def _stage_rule(access_target: AccessTarget, policy: Policy) -> TargetRule | None:
    if access_target.model is None or access_target.target is None:
        return None
    return policy.rules_for(access_target.model).rule(access_target.target)


def _is_own(profile: Profile, access_target: AccessTarget, policy: Policy) -> bool:
    """Return whether the request is the person's own. The workspace isn't compared; a user ID belongs to one person."""
    return profile.person.user in own_user_ids(access_target, policy)


def _own_refusal(
    profile: Profile, access_target: AccessTarget, policy: Policy, act: str, others: Iterable[str]
) -> AccessDecision | None:
    """Return the refusal if the request is the person's own, or might be; otherwise, return None."""
    if (unknown := _unknown_requester_refusal(access_target, policy)) is not None:
        return unknown
    if not _is_own(profile, access_target, policy):
        return None
    who: list[object] = [Mention(user_id) for user_id in others] or ["no one else is listed"]
    if access_target.requester and slack_user_id(access_target.requester, policy) == profile.person.user:
        why = say("This is your own request, so someone else has to {act}: {who}.", act=act, who=who)
        return AccessDecision(False, "own request", why)
    ci = access_target.ci
    if access_target.agent is None and ci and policy.people.find(ci) == profile.person.user:
        why = say("You started this CI job, so someone else has to {act}: {who}.", act=act, who=who)
        return AccessDecision(False, "own CI job", why)
    why = say("This agent acts for you, so someone else has to {act}: {who}.", act=act, who=who)
    return AccessDecision(False, "own agent", why)


# Why no one can override the gates of a request, by the policy's key that should say who is behind it.
_UNKNOWN_PERSON = {
    "people": (
        "unknown starter",
        say(
            "The policy's {key} doesn't say who started this job, so no one can override its gates. "
            "Add them there, or request it in Slack.",
            key=Code("people"),
        ),
    ),
    "acts_for": (
        "unknown person",
        say(
            "The policy doesn't say who this agent acts for, so no one can override its gates. "
            "Set {key} for the client, or request it in Slack.",
            key=Code("acts_for"),
        ),
    ),
}


def _unknown_requester_refusal(access_target: AccessTarget, policy: Policy) -> AccessDecision | None:
    """Return a refusal if the policy doesn't list the operator who made the request (who could be anyone), or None."""
    requester = access_target.requester
    if isinstance(requester, Operator) and slack_user_id(requester, policy) is None:
        return unknown_operator_decision(requester)
    return None


def _is_named(profile: Profile, names: list[str], policy: Policy) -> bool:
    ids = policy.expand_roles(names)
    return profile.person.user in ids or bool(profile.groups & ids)


def _allow(rule: str) -> AccessDecision:
    return AccessDecision(True, rule, say("Allowed: {rule}.", rule=rule))


def _refuse(rule: str, template: str) -> AccessDecision:
    return AccessDecision(False, rule, say(template))


def _refuse_with_names(rule: str, template: str, ids: Iterable[str]) -> AccessDecision:
    """Return the refusal that lists who can do it, or says `if_nobody` if no one can."""
    people: list[object] = [Mention(user_id) for user_id in sorted(ids)]
    return AccessDecision(False, rule, say(template, who=people or ["no one is listed"]))
