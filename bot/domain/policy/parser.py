"""TODO bot.domain.policy.parser"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from bot.domain.core.errors import Misconfigured, WrongPolicy
from bot.domain.core.sentence import say
from bot.domain.policy.gate_config import (
    CardGate,
    InStagingGate,
    MetricGate,
    NotBlockedGate,
    SemverGate,
    SignatureGate,
)
from bot.domain.policy.monitor_config import MonitorRule
from bot.domain.policy.policy import (
    Anchor,
    ApiClient,
    EditRule,
    Endpoint,
    FreezeWindow,
    ModelRules,
    Policy,
    RollbackRule,
    ServingProbe,
    TargetRule,
)


def read_policy(data: object) -> Policy:
    """Return the policy that the parsed file holds. Raises Misconfigured with every fault, each with its path."""
    if not isinstance(data, Mapping):
        raise Misconfigured("The policy file must hold keys such as channel, roles and models.")
    try:
        return Policy.model_validate(data)
    except ValidationError as error:
        faults = [fault for one in _errors(data, error) for fault in _faults(one)]
        raise WrongPolicy(say("The policy file is wrong. {faults}", faults=" ".join(faults)), faults) from error


def _errors(data: Mapping[str, Any], error: ValidationError) -> list[Any]:
    """Return pydantic's errors; where all are unknown keys, also those that show once these are left out."""
    found: list[Any] = list(error.errors())
    if not found or any(one["type"] != "extra_forbidden" for one in found):
        return found
    places = [_path_in_file(one["loc"]) for one in found]
    try:
        Policy.model_validate(_without(data, places))
    except ValidationError as more:
        beside = [tuple(place[:-1]) for place in places if len(place) > 1]  # there the lack may be a misspelt key's
        found += [one for one in more.errors() if tuple(_path_in_file(one["loc"])) not in beside]
    return found


def _without(data: Any, places: Sequence[Sequence[int | str]]) -> Any:
    """Return a copy of the file's data without what stands at these places."""
    if isinstance(data, Mapping):
        pairs = data.items()
    elif isinstance(data, list):
        pairs = enumerate(data)  # type: ignore[assignment]
    else:
        return data
    gone = {place[0] for place in places if len(place) == 1}
    left = {
        key: _without(value, [place[1:] for place in places if len(place) > 1 and place[0] == key])
        for key, value in pairs
        if key not in gone
    }
    return left if isinstance(data, Mapping) else list(left.values())


def _faults(error: Any) -> list[str]:
    """Return the sentences about one of pydantic's errors: ours can hold several, one a line."""
    path = _path_in_file(error["loc"])
    if error["type"] == "extra_forbidden":
        return [_unknown_key(path)]
    where = ".".join(str(step) for step in path)
    return [_fault(where, line) for line in str(error["msg"]).removeprefix("Value error, ").split("\n")]


def _fault(where: str, message: str) -> str:
    end = "" if message.endswith("?") else "."
    return f"{where}: {message[:1].lower() + message[1:]}{end}" if where else f"{message}{end}"


def _path_in_file(loc: tuple[int | str, ...]) -> list[int | str]:
    """Return the error's place without the step that pydantic adds for the kind of a gate."""
    before = (None, None, *loc)
    steps = zip(loc, before, before[1:], strict=False)
    return [step for step, two, one in steps if not (two == "gates" and isinstance(one, int))]


def _unknown_key(path: list[int | str]) -> str:
    key, where = str(path[-1]), ".".join(str(step) for step in path)
    known = _known_keys(path[:-1])
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"{where}: unknown key; " + (f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}.")


_KEYS: dict[str, type[BaseModel]] = {
    "staging": TargetRule,
    "production": TargetRule,
    "rollback": RollbackRule,
    "monitors": MonitorRule,
    "clients": ApiClient,
    "notify": Endpoint,
    "serving": ServingProbe,
    "anchor": Anchor,
    "models": ModelRules,
    "freeze": FreezeWindow,
    "policy": EditRule,
}


def _known_keys(path: list[int | str]) -> list[str]:
    """Return the keys that may stand at `path`: of the innermost part that it names."""
    if not path:
        return _keys_of(Policy)
    if "gates" in path:
        gates = (MetricGate, CardGate, SignatureGate, SemverGate, NotBlockedGate, InStagingGate)
        return [name for gate in gates for name in gate.model_fields]
    for step in reversed(path):
        if step in _KEYS:
            return _keys_of(_KEYS[str(step)])
    return _keys_of(Policy)


def _keys_of(part: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in part.model_fields.items()]
