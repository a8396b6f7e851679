"""Check who besides Registrar can transition a model in MLflow. The checks change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from threading import Lock

from bot.domain.core.numbers import pluralize
from bot.domain.policy.policy import Policy
from bot.registry.mlflow import permissions as mlflow
from bot.registry.mlflow.permissions import (
    ANY,
    MODEL,
    TRANSITION_PERMISSIONS,
    VERSION,
    Account,
    AliasAccess,
    Login,
    OtherUserClient,
)
from bot.registry.mlflow.probe import MlflowProbe
from bot.settings import Settings
from handlers.doctor.check import CheckSkippedError, Diagnosis, DiagnosisState, DoctorCheck, join_names, ok, warning
from handlers.doctor.mlflow import model_names, models_covered_by, open_probe, require_answer

_AREA = "MLflow access"
MAX_PROBED_MODELS = 20  # models for which the probe user's permissions are read
MAX_NAMED_USERS = 6  # users that a diagnosis names
_MAX_USER_LIST_LENGTH = 20_000_000  # characters of MLflow's list of users
_HOW_TO = "docs/how-to/lock-mlflow.md shows how."


def mlflow_access_checks(settings: Settings, policy: Policy | None, *, live: bool) -> list[DoctorCheck]:
    """Return the check for who can transition models; empty unless the registry is MLflow."""
    if settings.registry != "mlflow":
        return []
    return [
        DoctorCheck(
            _AREA, lambda: check_access(settings, policy, live=live), "Check the MLflow server's log.", timeout=60
        )
    ]


def check_access(settings: Settings, policy: Policy | None, *, live: bool) -> Iterator[Diagnosis]:
    """Check who can set an alias: anyone without a login, the user in REGISTRAR_PROBE_*, and other MLflow users."""
    if not live:
        raise CheckSkippedError("Not checked: `registrar doctor --live` asks MLflow who else can move models.")
    with open_probe(settings, Lock()) as probe:
        if not probe.is_server:
            raise CheckSkippedError("Not checked: the bot uses MLflow's database directly, which has no logins.")
        require_answer(probe)
        with closing(OtherUserClient(probe.credentials(), Login())) as visitor:
            door = visitor.try_set_alias()
        yield _check_without_login(probe, door)
        if door is AliasAccess.ALLOWED:
            return
        covered = models_covered_by(policy, model_names(settings))
        yield _check_probe_user(settings, probe, covered)
        yield from _check_other_users(probe, covered)


def _check_without_login(probe: MlflowProbe, access: AliasAccess) -> Diagnosis:
    if access is AliasAccess.ALLOWED:
        return warning(
            _AREA,
            f"Anyone who can reach MLflow ({probe.location}) can set `@champion` and move versions without a login.",
            f"Start its server with --app-name basic-auth: {_HOW_TO}",
        )
    if access is AliasAccess.UNCLEAR:
        return Diagnosis(
            _AREA,
            DiagnosisState.SKIPPED,
            "Can't tell whether MLflow requires a login: something else responded in its place.",
        )
    return ok(_AREA, "MLflow rejects changes without a login.")


# -- the user in REGISTRAR_PROBE_* -------------------------------------------------------------------------------------


def read_probe_login(settings: Settings) -> Login | None:
    """Return the login in REGISTRAR_PROBE_*; None if it's incomplete or not set."""
    if settings.probe_token:
        return Login(token=settings.probe_token.get_secret_value())
    if settings.probe_username and settings.probe_password:
        return Login(settings.probe_username, settings.probe_password.get_secret_value())
    return None


def _check_probe_user(settings: Settings, probe: MlflowProbe, covered_models: list[str]) -> Diagnosis:
    login = read_probe_login(settings)
    if login is None:
        return Diagnosis(
            _AREA,
            DiagnosisState.SKIPPED,
            "Not checked as an ordinary user.",
            "Set REGISTRAR_PROBE_USERNAME and REGISTRAR_PROBE_PASSWORD to a data scientist's MLflow login.",
        )
    with closing(OtherUserClient(probe.credentials(), login)) as visitor:
        door = visitor.try_set_alias()
        if door is AliasAccess.LOGIN_REQUIRED:
            return warning(_AREA, "MLflow rejected the credentials in REGISTRAR_PROBE_*.", "Fix them, or remove them.")
        if door is AliasAccess.UNCLEAR:
            return Diagnosis(_AREA, DiagnosisState.SKIPPED, "Can't tell what the user in REGISTRAR_PROBE_* can change.")
        me = mlflow.current_account(visitor.get)
        if door is AliasAccess.ALLOWED and (me is None or me.is_admin):
            return _can_transition_warning(_user_label(me), "every model")
        if me is None:
            return Diagnosis(
                _AREA, DiagnosisState.SKIPPED, "MLflow doesn't report what the user in REGISTRAR_PROBE_* can change."
            )
        return _check_grants(visitor, me, covered_models)


def _check_grants(client: OtherUserClient, account: Account, covered_models: list[str]) -> Diagnosis:
    """Check whether a user can transition models, based on permissions on all models and on each covered one."""
    wide = [mlflow.permission_of(client.get, account.name, kind, ANY) for kind in (MODEL, VERSION)]
    if TRANSITION_PERMISSIONS.intersection(wide):
        return _can_transition_warning(_user_label(account), "every model")
    levels = {
        model: mlflow.permission_of(client.get, account.name, MODEL, model)
        for model in covered_models[:MAX_PROBED_MODELS]
    }
    if moved := [model for model, permission in levels.items() if permission in TRANSITION_PERMISSIONS]:
        return _can_transition_warning(_user_label(account), join_names(moved))
    if not all([*wide, *levels.values()]):
        return Diagnosis(
            _AREA, DiagnosisState.SKIPPED, f"MLflow doesn't report what {_user_label(account)} can change."
        )
    first = "the first " if len(covered_models) > MAX_PROBED_MODELS else ""
    models = f"{first}{pluralize(len(levels), 'model')} that the policy covers"
    return ok(_AREA, f"{_user_label(account)} can't move any model. Checked: {models}.")


def _user_label(account: Account | None) -> str:
    return f"{join_names([account.name])} (REGISTRAR_PROBE_*)" if account else "The user in REGISTRAR_PROBE_*"


def _can_transition_warning(name: str, models: str) -> Diagnosis:
    return warning(
        _AREA,
        f"{name} can move {models} without Registrar.",
        f"Give them only the READ permission in MLflow: {_HOW_TO}",
    )


# -- everyone else -----------------------------------------------------------------------------------------------------


def _check_other_users(probe: MlflowProbe, covered_models: list[str]) -> Iterator[Diagnosis]:
    """Check which other users can transition a covered model, as far as MLflow shows their permissions."""
    ask = partial(probe.get, max_length=_MAX_USER_LIST_LENGTH)
    me = mlflow.current_account(ask)
    everyone = mlflow.list_accounts(ask) if me else None
    if me is None or everyone is None:
        problem = "Can't see who else can move models: that needs MLflow 3.17 or later, with basic auth."
        yield Diagnosis(_AREA, DiagnosisState.SKIPPED, problem)
        return
    if not any(account.is_manager for account in everyone if account.name == me.name):
        yield Diagnosis(
            _AREA,
            DiagnosisState.SKIPPED,
            "Can't see who else can move models: MLflow shows permissions only to its admins.",
            "Run `registrar doctor --live` with an admin's MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
        )
        return
    default = mlflow.default_permission(ask, everyone)
    if default in TRANSITION_PERMISSIONS:
        problem = f"Every user in MLflow can move every model: default_permission is {default}."
        yield warning(_AREA, problem, f"Set default_permission = READ in the server's basic_auth.ini: {_HOW_TO}")
    else:
        yield from check_users(
            join_names([me.name]), [account for account in everyone if account.name != me.name], covered_models, default
        )


def check_users(own_name: str, others: list[Account], covered_models: list[str], default: str) -> Iterator[Diagnosis]:
    """Check which other users can transition a model. Admins always can, so they're named without a warning."""
    admins = join_names([account.name for account in others if account.is_admin], MAX_NAMED_USERS)
    with_access = mlflow.accounts_with_access(
        [account for account in others if not account.is_admin], covered_models, default
    )
    if with_access:
        labels = join_names(
            [
                f"{each.account.name} ({'every model' if each.has_all_models else join_names(each.models, 3)})"
                for each in with_access
            ],
            MAX_NAMED_USERS,
        )
        users = pluralize(len(with_access), "user")
        problem = f"Besides {own_name}, {users} can move models without Registrar: {labels}."
        yield warning(_AREA, problem, f"Give them only the READ permission, and register through Registrar: {_HOW_TO}")
    if admins and with_access:
        yield ok(_AREA, f"MLflow's admins can, too: {admins}.")
    elif not with_access:
        admins_text = f" and MLflow's admins ({admins})" if admins else ""
        yield ok(_AREA, f"Only {own_name}{admins_text} can move the models that the policy covers.")
