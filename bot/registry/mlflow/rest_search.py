"""Parse MLflow's long HTTP responses directly from JSON.

MLflow's own client parses such a response twice, converts it to protocol buffers, and converts those to its entities.
For 1,000 runs, that takes about as long as the server's search, and blocks everything else in our process. So these
requests are sent the way MLflow's client sends them (same address, credentials, headers, timeouts, and errors), and the
response is parsed here (docs/decisions/0024-answers-as-json.md). MLflow's client is still used if the registry isn't a
server, or is a cloud provider's own server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

JsonObject = Mapping[str, Any]
_VIEW_NAMES = {1: "ACTIVE_ONLY", 2: "DELETED_ONLY", 3: "ALL"}  # MLflow's ViewType


class MetricPoint(NamedTuple):
    """The newest point of a metric. `timestamp` is in milliseconds."""

    key: str
    value: float
    timestamp: int


class JsonEntity(SimpleNamespace):
    """A model or a version with the same attribute names as MLflow's own entity."""

    def _is_prompt(self) -> bool:
        return str(self.tags.get("mlflow.prompt.is_prompt", "")).lower() == "true"


def search_runs(
    client: Any,
    experiment_ids: Sequence[str],
    filter_string: str,
    view_type: int,
    max_results: int,
    page_token: str | None,
) -> Any:
    """Return a page of runs, as MLflow's entities or objects with the same attributes. Raises MLflow's errors.

    The page is MLflow's `PagedList`. Its `token` fetches the next page, and is empty or None on the last one.
    """
    # in this order, because the observer counts the last method that was accessed
    store, search = client.store, client.search_runs
    if not _is_standard_store(store):
        return search(list(experiment_ids), filter_string, view_type, max_results=max_results, page_token=page_token)
    body = {
        "experiment_ids": list(experiment_ids),
        "run_view_type": _VIEW_NAMES[view_type],
        "filter": filter_string,
        "max_results": max_results,
    }
    return _read_page(
        store, "POST", "runs/search", body, page_token, lambda document: map(_parse_run, document.get("runs") or ())
    )


def search_model_versions(
    client: Any, filter_string: str, max_results: int, order_by: Sequence[str], page_token: str | None
) -> Any:
    """Return a page of versions, like `search_runs`."""
    store, search = client.store, client.search_model_versions
    if not _is_standard_store(store):
        return search(filter_string, max_results, list(order_by), page_token)
    body = {"filter": filter_string, "max_results": max_results, "order_by": list(order_by)}
    return _read_page(
        store,
        "GET",
        "model-versions/search",
        body,
        page_token,
        lambda document: map(_parse_version, document.get("model_versions") or ()),
    )


def search_registered_models(client: Any, max_results: int, order_by: Sequence[str], page_token: str | None) -> Any:
    """Return a page of models, like `search_runs`. It can include prompts."""
    store, search = client.store, client.search_registered_models
    if not _is_standard_store(store):
        return search(max_results=max_results, order_by=list(order_by) or None, page_token=page_token)
    body = {"max_results": max_results, "order_by": list(order_by)}
    return _read_page(
        store,
        "GET",
        "registered-models/search",
        body,
        page_token,
        lambda document: map(_parse_model, document.get("registered_models") or ()),
    )


def get_registered_model(client: Any, name: str) -> Any:
    """Return a model, as MLflow's entity or an object with the same attributes. Raises MLflow's errors."""
    store, get = client.store, client.get_registered_model
    if not _is_standard_store(store):
        return get(name)
    [model] = _read_page(
        store,
        "GET",
        "registered-models/get",
        {"name": name},
        None,
        lambda document: [_parse_model(document["registered_model"])],
    )
    return model


def _is_standard_store(store: Any) -> bool:
    """Return whether this is MLflow's standard client for its own server."""
    return type(store).__module__ in {"mlflow.store.tracking.rest_store", "mlflow.store.model_registry.rest_store"}


def _read_page(
    store: Any,
    method: str,
    path: str,
    parameters: dict[str, Any],
    page_token: str | None,
    parse_items: Callable[[JsonObject], Iterable[Any]],
) -> Any:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - takes seconds
    from mlflow.store.entities import PagedList  # noqa: PLC0415
    from mlflow.utils.rest_utils import http_request, verify_rest_response  # noqa: PLC0415

    if page_token:
        parameters = {**parameters, "page_token": page_token}
    getattr(store, "_validate_workspace_support_if_specified", lambda: None)()  # as MLflow does before each request
    endpoint = f"/api/2.0/mlflow/{path}"
    response = http_request(  # type: ignore[no-untyped-call]
        store.get_host_creds(), endpoint, method, **{"params" if method == "GET" else "json": parameters}
    )
    try:
        if response.status_code == 200:
            document = response.json()
            return PagedList(list(parse_items(document)), document.get("next_page_token"))
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise MlflowException("The response isn't in a valid JSON format that MLflow uses.") from error
    verify_rest_response(response, endpoint)
    raise MlflowException(f"MLflow returned HTTP {response.status_code}.")


def _parse_run(fields: JsonObject) -> Any:
    info, data = fields["info"], fields.get("data") or {}
    metrics = [_parse_metric(metric) for metric in data.get("metrics") or ()]
    inputs = (fields.get("inputs") or {}).get("dataset_inputs") or ()
    return SimpleNamespace(
        info=SimpleNamespace(
            run_id=info["run_id"],
            experiment_id=str(info["experiment_id"]),
            run_name=info.get("run_name"),
            status=info.get("status"),
            user_id=info.get("user_id"),
            start_time=_parse_int(info.get("start_time")),
            end_time=_parse_int(info.get("end_time")),
            lifecycle_stage=info.get("lifecycle_stage"),
            artifact_uri=info.get("artifact_uri"),
        ),
        data=SimpleNamespace(
            metrics={metric.key: metric.value for metric in metrics},
            params=_parse_pairs(data.get("params")),
            tags=_parse_pairs(data.get("tags")),
            _metric_objs=metrics,
        ),
        inputs=SimpleNamespace(
            dataset_inputs=[
                SimpleNamespace(
                    tags=[
                        SimpleNamespace(key=tag["key"], value=tag.get("value") or "") for tag in each.get("tags") or ()
                    ],
                    dataset=SimpleNamespace(
                        name=dataset.get("name", ""), digest=dataset.get("digest"), profile=dataset.get("profile")
                    ),
                )
                for each in inputs
                for dataset in [each.get("dataset") or {}]
            ]
        ),
    )


def _parse_metric(fields: JsonObject) -> MetricPoint:
    # Values that aren't finite are strings, because JSON has no infinity.
    return MetricPoint(fields["key"], float(fields.get("value") or 0.0), int(fields.get("timestamp") or 0))


def _parse_model(fields: JsonObject) -> JsonEntity:
    return JsonEntity(
        name=fields["name"],
        creation_timestamp=_parse_int(fields.get("creation_timestamp")),
        last_updated_timestamp=_parse_int(fields.get("last_updated_timestamp")),
        description=fields.get("description"),
        latest_versions=[_parse_version(version) for version in fields.get("latest_versions") or ()],
        tags=_parse_pairs(fields.get("tags")),
        aliases={each["alias"]: each["version"] for each in fields.get("aliases") or ()},
    )


def _parse_version(fields: JsonObject) -> JsonEntity:
    return JsonEntity(
        name=fields["name"],
        version=fields["version"],
        current_stage=fields.get("current_stage"),
        run_id=fields.get("run_id"),
        status=fields.get("status"),
        creation_timestamp=_parse_int(fields.get("creation_timestamp")),
        last_updated_timestamp=_parse_int(fields.get("last_updated_timestamp")),
        description=fields.get("description"),
        tags=_parse_pairs(fields.get("tags")),
        aliases=fields.get("aliases") or (),
        source=fields.get("source"),
    )


def _parse_pairs(pairs: Iterable[JsonObject] | None) -> dict[str, str]:
    return {pair["key"]: pair.get("value") or "" for pair in pairs or ()}


def _parse_int(value: str | int | None) -> int | None:
    """Return a 64-bit integer, which some servers send as a JSON string."""
    return int(value) if value else None
