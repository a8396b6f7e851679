"""MLflow's long answers over HTTP, read as the JSON that they are.

MLflow's own client parses such an answer twice, turns it into protocol buffers and those into its entities:
for a thousand runs that takes about as long as the server needs to find them, and holds up whatever else our process
does. So these two questions go out as MLflow's client sends them (its address, credentials, headers, patience and
errors), and what comes back is read here (docs/decisions/0024-answers-as-json.md). A registry that is no server, and a
server that is a cloud's own, are asked as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
Json = Mapping[str, Any]
_VIEWS = {1: "ACTIVE_ONLY", 2: "DELETED_ONLY", 3: "ALL"}  # MLflow's ViewType


class Page(list[T]):
    """A page of what was asked for; `token` gets the next one, where there is one."""

    def __init__(self, items: Iterable[T], token: str | None) -> None:
        super().__init__(items)
        self.token = token or None


class Metric(NamedTuple):
    """The newest point of a metric. `timestamp` is in milliseconds."""

    key: str
    value: float
    timestamp: int


class Version(SimpleNamespace):
    """A version of a model, by the names that MLflow's own has."""

    def _is_prompt(self) -> bool:
        return str(self.tags.get("mlflow.prompt.is_prompt", "")).lower() == "true"


def search_runs(
    client: Any, experiments: Sequence[str], where: str, view: int, most: int, token: str | None
) -> Page[Any]:
    """Return a page of runs, each as MLflow's entity or as what has the same names. Raises what MLflow raises."""
    store, asked = client.store, client.search_runs  # in this order: whoever counts questions hears of the last one
    if not _is_plain(store):
        found = asked(list(experiments), where, view, max_results=most, page_token=token)
        return Page(found, found.token)
    wanted = {"experiment_ids": list(experiments), "run_view_type": _VIEWS[view], "filter": where, "max_results": most}
    return _read(store, "POST", "runs/search", wanted, token, lambda said: map(_run, said.get("runs") or ()))


def search_model_versions(client: Any, where: str, most: int, order: Sequence[str], token: str | None) -> Page[Any]:
    """Return a page of versions, in the same way."""
    store, asked = client.store, client.search_model_versions
    if not _is_plain(store):
        found = asked(where, most, list(order), token)
        return Page(found, found.token)
    wanted = {"filter": where, "max_results": most, "order_by": list(order)}
    return _read(
        store,
        "GET",
        "model-versions/search",
        wanted,
        token,
        lambda said: map(_version, said.get("model_versions") or ()),
    )


def _is_plain(store: Any) -> bool:
    """Tell whether this is MLflow's own way to a server of its own."""
    return type(store).__module__ in {"mlflow.store.tracking.rest_store", "mlflow.store.model_registry.rest_store"}


def _read(
    store: Any,
    method: str,
    path: str,
    wanted: dict[str, Any],
    token: str | None,
    items: Callable[[Json], Iterable[Any]],
) -> Page[Any]:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - see mlflow_calls.Line
    from mlflow.utils.rest_utils import http_request, verify_rest_response  # noqa: PLC0415

    if token:
        wanted = {**wanted, "page_token": token}
    getattr(store, "_validate_workspace_support_if_specified", lambda: None)()  # as before each of MLflow's own
    endpoint = f"/api/2.0/mlflow/{path}"
    response = http_request(  # type: ignore[no-untyped-call]
        store.get_host_creds(), endpoint, method, **{"params" if method == "GET" else "json": wanted}
    )
    try:
        if response.status_code == 200:
            said = response.json()
            return Page(items(said), said.get("next_page_token"))
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise MlflowException("The answer is not in a valid JSON format of MLflow's.") from error
    verify_rest_response(response, endpoint)
    raise MlflowException(f"MLflow answered {response.status_code}.")


def _run(said: Json) -> Any:
    info, data = said["info"], said.get("data") or {}
    metrics = [_metric(each) for each in data.get("metrics") or ()]
    inputs = (said.get("inputs") or {}).get("dataset_inputs") or ()
    return SimpleNamespace(
        info=SimpleNamespace(
            run_id=info["run_id"],
            experiment_id=str(info["experiment_id"]),
            run_name=info.get("run_name"),
            status=info.get("status"),
            user_id=info.get("user_id"),
            start_time=_whole(info.get("start_time")),
            end_time=_whole(info.get("end_time")),
            lifecycle_stage=info.get("lifecycle_stage"),
            artifact_uri=info.get("artifact_uri"),
        ),
        data=SimpleNamespace(
            metrics={each.key: each.value for each in metrics},
            params=_pairs(data.get("params")),
            tags=_pairs(data.get("tags")),
            _metric_objs=metrics,
        ),
        inputs=SimpleNamespace(dataset_inputs=[_input(each) for each in inputs]),
    )


def _metric(said: Json) -> Metric:
    # What is no number comes as text: JSON has none for infinity.
    return Metric(said["key"], float(said.get("value") or 0.0), int(said.get("timestamp") or 0))


def _input(said: Json) -> Any:
    dataset = said.get("dataset") or {}
    return SimpleNamespace(
        tags=[SimpleNamespace(key=tag["key"], value=tag.get("value") or "") for tag in said.get("tags") or ()],
        dataset=SimpleNamespace(
            name=dataset.get("name", ""), digest=dataset.get("digest"), profile=dataset.get("profile")
        ),
    )


def _version(said: Json) -> Version:
    return Version(
        name=said["name"],
        version=said["version"],
        current_stage=said.get("current_stage"),
        run_id=said.get("run_id"),
        status=said.get("status"),
        creation_timestamp=_whole(said.get("creation_timestamp")),
        last_updated_timestamp=_whole(said.get("last_updated_timestamp")),
        description=said.get("description"),
        tags=_pairs(said.get("tags")),
        aliases=said.get("aliases") or (),
        source=said.get("source"),
    )


def _pairs(said: Iterable[Json] | None) -> dict[str, str]:
    return {each["key"]: each.get("value") or "" for each in said or ()}


def _whole(said: str | int | None) -> int | None:
    """Return a number of 64 bits, which is text in the JSON of some."""
    return int(said) if said else None
