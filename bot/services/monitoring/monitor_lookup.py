"""Finds monitors, models, and sources by name; errors suggest the nearest match."""

from __future__ import annotations

import difflib

from bot.domain.core.errors import BadInput, Refused, UnknownModel, UnknownRequest
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.monitoring import messages as monitor_messages
from bot.domain.monitoring.incident import Incident, monitors_of_incident
from bot.domain.monitoring.monitor import Monitor
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.policy.policy import BUILT_IN_SOURCES, Policy
from bot.ports import LedgerReader


def find_monitor(reader: LedgerReader, model: str, name: str) -> Monitor:
    monitors = reader.monitors(model)
    for monitor in monitors:
        if monitor.name == name:
            return monitor
    if not monitors:
        check_model_known(reader, model)
        add = Code(f"/model monitor add {model} NAME")
        raise UnknownRequest(say("{model} has no monitors. To add one, run {add}.", model=Name(model), add=add))
    nearest = difflib.get_close_matches(name, [monitor.name for monitor in monitors], n=1)
    hint = (
        say("Did you mean {near}?", near=Code(nearest[0]))
        if nearest
        else say("Its monitors: {names}.", names=[Code(monitor.name) for monitor in monitors[:20]])
    )
    raise UnknownRequest(say("{model} has no monitor {name}. {hint}", model=Name(model), name=Name(name), hint=hint))


def require_present(monitor: Monitor) -> Monitor:
    if monitor.removed_at is not None:
        raise UnknownRequest(say("{it} was removed.", it=monitor_messages.qualified_name(monitor)))
    return monitor


def require_editable(monitor: Monitor) -> Monitor:
    if monitor.is_from_file:
        raise Refused(monitor_messages.defined_in_policy_file(monitor))
    return monitor


def select_monitors(reader: LedgerReader, model: str, name: str | None, *, all_monitors: bool) -> list[Monitor]:
    if (name is None) is not all_monitors:
        raise BadInput("Name one monitor, or use --all for every monitor of the model.")
    if name is not None:
        return [find_monitor(reader, model, name)]
    return reader.monitors(model) or [find_monitor(reader, model, "")]  # raises, because the model has no monitors


def incident_monitors(reader: LedgerReader, incident: Incident) -> list[Monitor]:
    return monitors_of_incident(incident, reader.monitors(incident.model or None))


def name_taken(existing: Monitor) -> Sentence:
    if existing.is_from_file:
        return say(
            "{it} already exists. {file} Or choose another name.",
            it=monitor_messages.qualified_name(existing),
            file=monitor_messages.defined_in_policy_file(existing),
        )
    return say(
        "{it} already exists. Change it with {edit}, or choose another name.",
        it=monitor_messages.qualified_name(existing),
        edit=Code(f"/model monitor edit {existing.model} {existing.name} …"),
    )


def check_model_known(reader: LedgerReader, model: str) -> None:
    """Raise UnknownModel if Registrar has never seen the model in MLflow, because there'd be nothing to monitor."""
    names = reader.model_names()
    if not names or model in names:
        return
    nearest = difflib.get_close_matches(model, names, n=1)
    hint = (
        say("Did you mean {near}?", near=Code(nearest[0]))
        if nearest
        else say("To see all models, run {list}. New ones appear within a minute.", list=Code("/model list"))
    )
    sentence = say("{product} has no model {name}. {hint}", name=Name(model), hint=hint)
    raise UnknownModel(sentence, typo=model, suggestion="".join(nearest))


def default_source(policy: Policy) -> str:
    """Return the source to use if none is named. Raises BadInput if the policy has several candidates."""
    pushed = [name for name, source in policy.sources.items() if source.type == "push"]
    if not policy.sources:
        return "push"
    if len(policy.sources) == 1 or len(pushed) == 1:
        return (pushed or list(policy.sources))[0]
    names = [Code(name) for name in sorted({*policy.sources, *BUILT_IN_SOURCES})]
    raise BadInput(say("Choose the source of the metric with {flag}: {names}.", flag=Code("--source"), names=names))


def check_source(rule: MonitorConfig, policy: Policy) -> None:
    name = rule.source
    if policy.source(name) is not None:
        if why := policy.total_refusal(rule):
            raise BadInput(say("{flag}: {why}", flag=Code("--of"), why=why), "of")
        return
    names = sorted({*policy.sources, *BUILT_IN_SOURCES})
    nearest = difflib.get_close_matches(name, names, n=1)
    hint = (
        say("Did you mean {near}?", near=Code(nearest[0]))
        if nearest
        else say("Sources: {names}. An admin can add more in the policy file.", names=[Code(name) for name in names])
    )
    sentence = say("{flag}: {name} isn't a source. {hint}", flag=Code("--source"), name=Name(name), hint=hint)
    raise BadInput(sentence, "source")
