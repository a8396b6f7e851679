"""Who besides Registrar could move a model in MLflow. It's read, and nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from threading import Lock

from bot.domain.core.numbers import counted
from bot.domain.policy.policy import Policy
from bot.registry.mlflow import permissions as mlflow
from bot.registry.mlflow.permissions import ANY, MODEL, MOVES, VERSION, Account, Door, Login, Reach, Visitor
from bot.registry.mlflow.probe import MlflowProbe, Reply
from bot.settings import Settings
from handlers.doctor.check import Check, NotLookedAtError, listed
from handlers.doctor.diagnosis import Finding, State, mind, ok
from handlers.doctor.mlflow import covered_by, model_names, must_answer, probing

_AREA = "MLflow access"
PROBED_MOST = 20  # models for which we ask what the probe's user can do
TOLD_MOST = 6  # users that are named
_USERS_MOST = 20_000_000  # characters of MLflow's list of users
_HOW = "docs/locking-mlflow.md shows how."


def checks(settings: Settings, policy: Policy | None, *, live: bool) -> list[Check]:
    """Return the look at who can move models."""
    return [Check(_AREA, lambda: access(settings, policy, live=live), "Check the MLflow server's log.", seconds=60)]


def access(settings: Settings, policy: Policy | None, *, live: bool) -> Iterator[Finding]:
    """Yield who could set an alias: anyone at all, the user of REGISTRAR_PROBE_*, and other users of MLflow's."""
    if not live:
        raise NotLookedAtError("Not tried: `registrar doctor --live` asks MLflow who else can move models.")
    with probing(settings, Lock()) as probe:
        if not probe.is_server:
            raise NotLookedAtError("Not tried: MLflow's database is used directly, and has no logins.")
        must_answer(probe)
        door = _knock(probe, Login())
        yield _anyone(probe, door)
        if door is Door.OPEN:
            return
        covered = covered_by(policy, model_names(settings))
        yield _probed(settings, probe, covered)
        yield from _others(probe, covered)


def _knock(probe: MlflowProbe, login: Login) -> Door:
    with closing(Visitor(probe.credentials(), login)) as visitor:
        return visitor.knock()


def _anyone(probe: MlflowProbe, door: Door) -> Finding:
    if door is Door.OPEN:
        return mind(
            _AREA,
            f"Anyone who reaches MLflow ({probe.place}) can set `@champion` and move versions without a login.",
            f"Start its server with --app-name basic-auth; {_HOW}",
        )
    if door is Door.UNCLEAR:
        return Finding(_AREA, State.SKIPPED, "Can't tell whether MLflow asks for a login: its answer isn't MLflow's.")
    return ok(_AREA, "MLflow refuses changes without a login.")


# -- the user of REGISTRAR_PROBE_* -------------------------------------------------------------------------------------


def probe_login(settings: Settings) -> Login | None:
    """Return the login of REGISTRAR_PROBE_*; None where it isn't set, or only half of it is."""
    if settings.probe_token:
        return Login(token=settings.probe_token.get_secret_value())
    if settings.probe_username and settings.probe_password:
        return Login(settings.probe_username, settings.probe_password.get_secret_value())
    return None


def _probed(settings: Settings, probe: MlflowProbe, covered: list[str]) -> Finding:
    login = probe_login(settings)
    if login is None:
        return Finding(
            _AREA,
            State.SKIPPED,
            "Not tried as an ordinary user.",
            "Set REGISTRAR_PROBE_USERNAME and REGISTRAR_PROBE_PASSWORD to a data scientist's user in MLflow.",
        )
    with closing(Visitor(probe.credentials(), login)) as visitor:
        door = visitor.knock()
        if door is Door.LOGIN:
            return mind(_AREA, "MLflow doesn't accept the login in REGISTRAR_PROBE_*.", "Fix it, or remove it.")
        if door is Door.UNCLEAR:
            return Finding(_AREA, State.SKIPPED, "Can't tell what the user in REGISTRAR_PROBE_* can change.")
        me = mlflow.who(visitor.get)
        if door is Door.OPEN and (me is None or me.is_admin):
            return _can(_named(me), "every model")
        if me is None:
            return Finding(_AREA, State.SKIPPED, "MLflow doesn't say what the user in REGISTRAR_PROBE_* can change.")
        return _granted(visitor, me, covered)


def _granted(visitor: Visitor, me: Account, covered: list[str]) -> Finding:
    """Return what MLflow says this user can do: with every model or its versions, and with each of the policy's."""
    wide = [mlflow.level(visitor.get, me.name, kind, ANY) for kind in (MODEL, VERSION)]
    if MOVES.intersection(wide):
        return _can(_named(me), "every model")
    levels = {one: mlflow.level(visitor.get, me.name, MODEL, one) for one in covered[:PROBED_MOST]}
    if moved := [one for one, permission in levels.items() if permission in MOVES]:
        return _can(_named(me), listed(moved))
    if not all([*wide, *levels.values()]):
        return Finding(_AREA, State.SKIPPED, f"MLflow doesn't say what {_named(me)} can change.")
    first = "the first " if len(covered) > PROBED_MOST else ""
    models = f"{first}{counted(len(levels), 'model')} that the policy covers"
    return ok(_AREA, f"{_named(me)} can't move any model. Checked: {models}.")


def _named(me: Account | None) -> str:
    return f"{listed([me.name])} (REGISTRAR_PROBE_*)" if me else "The user in REGISTRAR_PROBE_*"


def _can(name: str, what: str) -> Finding:
    return mind(_AREA, f"{name} can move {what} without Registrar.", f"Give them READ in MLflow; {_HOW}")


# -- everyone else -----------------------------------------------------------------------------------------------------


def _others(probe: MlflowProbe, covered: list[str]) -> Iterator[Finding]:
    """Yield the other users that can move a model that the policy covers, as far as we can see what MLflow grants."""

    def ask(path: str, params: Mapping[str, str]) -> Reply:
        return probe.get(path, params, _USERS_MOST)

    me = mlflow.who(ask)
    everyone = mlflow.accounts(ask) if me else None
    if me is None or everyone is None:
        what = "Can't see who else can move models: MLflow's login isn't basic auth, or it's older than 3.17."
        yield Finding(_AREA, State.SKIPPED, what)
        return
    if not any(one.is_manager for one in everyone if one.name == me.name):
        yield Finding(
            _AREA,
            State.SKIPPED,
            "Can't see who else can move models: MLflow shows permissions only to its admins.",
            "Run `registrar doctor --live` with an admin's MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
        )
        return
    default = mlflow.default_permission(ask, everyone)
    if default in MOVES:
        what = f"Every user in MLflow can move every model: default_permission is {default}."
        yield mind(_AREA, what, f"Set default_permission = READ in the server's basic_auth.ini; {_HOW}")
    else:
        yield from able(listed([me.name]), [one for one in everyone if one.name != me.name], covered, default)


def able(us: str, others: list[Account], covered: list[str], default: str) -> Iterator[Finding]:
    """Yield which of the others can move a model. Admins always can, so they're named and aren't worth a warning."""
    admins = listed([one.name for one in others if one.is_admin], TOLD_MOST)
    found = mlflow.reaches([one for one in others if not one.is_admin], covered, default)
    if found:
        them = listed([_reach(one) for one in found], TOLD_MOST)
        users = counted(len(found), "user")
        what = f"Besides {us}, {users} can move models without Registrar: {them}."
        yield mind(_AREA, what, f"Give them READ, and register through Registrar; {_HOW}")
    if admins and found:
        yield ok(_AREA, f"MLflow's admins can, too: {admins}.")
    elif not found:
        more = f" and MLflow's admins ({admins})" if admins else ""
        yield ok(_AREA, f"Only {us}{more} can move the models that the policy covers.")


def _reach(reach: Reach) -> str:
    return f"{reach.account.name} ({'every model' if reach.every else listed(reach.models, 3)})"
