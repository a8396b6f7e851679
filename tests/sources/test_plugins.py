"""Sources in the policy: built-in ones and plugins, and the errors for sources that can't be opened."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from bot.domain.core.errors import Misconfigured, Unreachable
from bot.domain.monitoring.readings import Answer, CheckOutcome
from bot.domain.policy.parser import validate_policy
from bot.domain.policy.policy import Policy, Source
from bot.ledger import SqlLedger
from bot.ports import MetricSource, Query
from bot.sources import SourceDependencies
from bot.sources.mlflow import LiveMlflowSource, MlflowSource
from bot.sources.plugins import BUILT_IN_OPENERS, ENTRY_POINT_GROUP, MetricSources, open_source
from bot.sources.prometheus import PrometheusSource
from bot.sources.push import PushSource
from tests.support.paths import ROOT
from tests.support.registry.memory import MemoryRegistry

HERE = __name__


class Plugin:
    """A third-party source that records its calls."""

    def __init__(self, name: str, source: Source, parts: SourceDependencies) -> None:
        self.name, self.options, self.parts = name, source.options, parts
        self.is_closed = False

    def read(self, queries: Sequence[Query]) -> list[Answer]:
        """Return an empty answer for each query."""
        return [Answer() for _ in queries]

    def history(self, query: Query, step: timedelta) -> Answer:
        """Return an empty answer."""
        return Answer()

    def close(self) -> None:
        """Record the call."""
        self.is_closed = True


def broken(name: str, source: Source, parts: SourceDependencies) -> MetricSource:
    """Raise an error, as a plugin can."""
    raise KeyError("no\x1b key")


def picky(name: str, source: Source, parts: SourceDependencies) -> MetricSource:
    """Raise Misconfigured, as a plugin should."""
    raise Misconfigured("sources.x.key: is wrong.")


@pytest.fixture
def parts() -> Iterator[SourceDependencies]:
    ledger = SqlLedger("sqlite:////nowhere/ledger.db")
    registry = MemoryRegistry()
    environ = {"PROM_TOKEN": " t0ken\n", "EMPTY": " "}
    yield SourceDependencies(ledger=ledger, registry=registry, tracker=registry, environ=environ)
    ledger.close()


def plugins() -> list[EntryPoint]:
    """Return the entry points of other packages."""
    named = {
        "datadog": f"{HERE}:Plugin",
        "broken": f"{HERE}:broken",
        "picky": f"{HERE}:picky",
        "missing": "no_such_package:open",
        "nameless": f"{HERE}:nothing_of_that_name",
    }
    return [EntryPoint(name, value, ENTRY_POINT_GROUP) for name, value in named.items()]


def opened(parts: SourceDependencies, **data: Any) -> MetricSource:
    return open_source("x", Source(**data), parts, plugins=plugins)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this module importable by name, which pytest prevents."""
    import sys

    monkeypatch.setitem(sys.modules, HERE, sys.modules[__name__])


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"type": "push"}, PushSource),
        ({"type": "push", "keep": "30d", "require_signature": True}, PushSource),
        ({"type": "mlflow"}, MlflowSource),
        ({"type": "mlflow", "live": False}, MlflowSource),
        ({"type": "mlflow", "live": True}, LiveMlflowSource),
        ({"type": "prometheus", "url": "http://prom:9090"}, PrometheusSource),
        ({"type": "prometheus", "url": "https://ann:pw@prom/path", "token_env": "PROM_TOKEN"}, PrometheusSource),
    ],
)
def test_the_built_in_types_open(parts: SourceDependencies, data: dict[str, Any], kind: type[MetricSource]) -> None:
    source = opened(parts, **data)
    assert type(source) is kind
    getattr(source, "close", lambda: None)()


def test_a_plugin_gets_its_options_and_dependencies(parts: SourceDependencies, here: None) -> None:
    source = opened(parts, type="datadog", site="eu")
    assert isinstance(source, Plugin)
    assert (source.name, source.options, source.parts) == ("x", {"site": "eu"}, parts)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"type": "prometeus"}, "sources.x.type: unknown type prometeus. Did you mean prometheus?"),
        ({"type": "datadgo"}, "sources.x.type: unknown type datadgo. Did you mean datadog?"),
        (
            {"type": "\x1b[31m"},
            "sources.x.type: unknown type [31m. Types: broken, datadog, missing, mlflow, "
            "nameless, picky, prometheus, push.",
        ),
        (
            {"type": "missing"},
            "sources.x.type: can't open the plugin missing (ModuleNotFoundError: No module named 'no_such_package').",
        ),
        ({"type": "broken"}, "sources.x.type: can't open the plugin broken (KeyError: 'no\\x1b key')."),
        ({"type": "picky"}, "sources.x.key: is wrong."),
        ({"type": "push", "kep": "3d"}, "sources.x.kep: unknown key. Did you mean keep?"),
        ({"type": "push", "url": "http://x"}, "sources.x.url: unknown key. Known keys: type, keep, require_signature."),
        ({"type": "push", "keep": "long"}, "sources.x.keep: must be a duration, such as 12h or 35d."),
        ({"type": "push", "keep": "1s"}, "sources.x.keep: must be at least an hour."),
        ({"type": "push", "require_signature": "yes"}, "sources.x.require_signature: must be true or false."),
        ({"type": "mlflow", "live": 1}, "sources.x.live: must be true or false."),
        ({"type": "mlflow", "uri": "x"}, "sources.x.uri: unknown key. Known keys: type, live."),
        ({"type": "prometheus"}, "sources.x.url: must be Prometheus's address, such as http://prometheus:9090."),
        (
            {"type": "prometheus", "url": "http://prom", "token": "t"},
            "sources.x.token: unknown key. Did you mean token_env?",
        ),
        (
            {"type": "prometheus", "url": "http://prom", "token_env": "NONE"},
            "sources.x.token_env: NONE isn't set to a valid token in the environment.",
        ),
        (
            {"type": "prometheus", "url": "http://prom", "token_env": "EMPTY"},
            "sources.x.token_env: EMPTY isn't set to a valid token in the environment.",
        ),
    ],
)
def test_an_error_names_its_key(parts: SourceDependencies, here: None, data: dict[str, Any], why: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        opened(parts, **data)
    assert str(refused.value.sentence) == why


@pytest.mark.parametrize(
    "url", ["", "prom:9090", "ftp://prom", "http://", "http://:9090", "http://prom:99999", "http://[", "file:///x"]
)
def test_an_invalid_address_is_refused(parts: SourceDependencies, url: str) -> None:
    with pytest.raises(Misconfigured, match=r"^sources.x.url: must be"):
        opened(parts, type="prometheus", url=url)


def test_a_missing_name_in_a_plugin_is_reported(parts: SourceDependencies, here: None) -> None:
    with pytest.raises(Misconfigured, match="can't open the plugin nameless"):
        opened(parts, type="nameless")


def test_the_declared_entry_points_are_the_built_in_types() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    points = declared["project"]["entry-points"][ENTRY_POINT_GROUP]
    assert {
        name: EntryPoint(name, value, ENTRY_POINT_GROUP).load() for name, value in points.items()
    } == BUILT_IN_OPENERS


@pytest.mark.parametrize("kind", BUILT_IN_OPENERS)
def test_every_option_of_a_built_in_source_is_in_the_docs(parts: SourceDependencies, kind: str) -> None:
    with pytest.raises(Misconfigured, match="unknown key") as caught:
        opened(parts, type=kind, zzzzzz=1)
    known = str(caught.value.sentence).partition("Known keys: type, ")[2].removesuffix(".").split(", ")
    page = (ROOT / "docs" / "reference/sources.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {kind}\n")[2].partition("\n## ")[0]
    assert known == re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)


def test_the_docs_example_is_a_plugin(parts: SourceDependencies) -> None:
    page = (ROOT / "docs" / "how-to/write-a-source.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n([^`]*def open_datadog[^`]*)```", page)
    scope: dict[str, Any] = {}
    exec(code, scope)  # noqa: S102 - it is ours
    source = Source(type="datadog", key_env="PROM_TOKEN")
    assert isinstance(scope["open_datadog"]("dd", source, parts), scope["Datadog"])
    with pytest.raises(Misconfigured, match=r"^sources.dd.key_env: isn't set"):
        scope["open_datadog"]("dd", Source(type="datadog"), parts)


def test_a_plugin_written_for_0_2_still_works(parts: SourceDependencies) -> None:
    code = """
from bot.domain.errors import Misconfigured, Unreachable
from bot.domain.monitors import Answer, Outcome
from bot.ports import Query
from bot.sources import check_options, wrong_option
from bot.sources.contract import SourceContract


class Old:
    def read(self, queries: list[Query]) -> list[Answer]:
        return [Answer(outcome=Outcome.ERROR) for _ in queries]


def open_old(name, source, parts):
    check_options(name, source, ["key_env"])
    if not parts.environ.get(source.options.get("key_env", "")):
        raise wrong_option(name, "key_env", "names no variable.")
    return Old()
"""
    scope: dict[str, Any] = {}
    exec(code, scope)  # noqa: S102 - it is ours
    source = scope["open_old"]("old", Source(type="old", key_env="PROM_TOKEN"), parts)
    assert source.read([None]) == [Answer(outcome=CheckOutcome.ERROR)]
    with pytest.raises(Misconfigured):
        scope["open_old"]("old", Source(type="old"), parts)
    assert (scope["Misconfigured"], scope["Unreachable"], scope["Query"]) == (Misconfigured, Unreachable, Query)


def policy(**sources: Mapping[str, Any]) -> Policy:
    return validate_policy({"models": {}, "sources": sources})


class TestSources:
    @pytest.fixture
    def held(self) -> list[Policy]:
        """Return the list of policies; the last one is in effect."""
        return [policy(live={"type": "push"})]

    @pytest.fixture
    def sources(self, held: list[Policy], parts: SourceDependencies) -> Iterator[MetricSources]:
        sources = MetricSources(lambda: held[-1], parts)
        yield sources
        sources.close()

    def test_a_source_is_opened_once_and_again_when_its_definition_changes(
        self, sources: MetricSources, held: list[Policy]
    ) -> None:
        held.append(policy(p={"type": "prometheus", "url": "http://a"}))
        first = sources._get("p")
        held.append(policy(p={"type": "prometheus", "url": "http://a"}, other={"type": "push"}))
        assert sources._get("p") is first
        held.append(policy(p={"type": "prometheus", "url": "http://b"}))
        second = sources._get("p")
        assert isinstance(first, PrometheusSource)
        assert isinstance(second, PrometheusSource)
        assert (second.address, first._client.is_closed) == ("http://b", True)
        sources.close()
        assert second._client.is_closed

    @pytest.mark.parametrize("name", ["push", "mlflow", "live"])
    def test_built_in_sources_need_no_definition(self, sources: MetricSources, name: str) -> None:
        assert sources.read(name, []) == [] if name == "mlflow" else sources._get(name)

    @pytest.mark.parametrize("name", ["unknown", "", "Push"])
    def test_an_unknown_name_is_refused(self, sources: MetricSources, name: str) -> None:
        with pytest.raises(Misconfigured, match="The policy has no source"):
            sources.read(name, [])

    def test_all_config_errors_are_reported_together(self, sources: MetricSources, held: list[Policy]) -> None:
        held.append(policy(a={"type": "push", "kep": "3d"}, b={"type": "push"}, c={"type": "prometheus"}))
        assert sources.config_errors() == [
            "sources.a.kep: unknown key. Did you mean keep?",
            "sources.c.url: must be Prometheus's address, such as http://prometheus:9090.",
        ]

    def test_an_error_while_closing_a_source_is_only_logged(
        self, sources: MetricSources, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def close(self: PushSource) -> None:
            raise RuntimeError("stuck")

        monkeypatch.setattr(PushSource, "close", close, raising=False)
        sources._get("live")
        sources.close()
        assert "couldn't close a source" in caplog.text

    def test_a_source_with_too_few_answers_is_an_error(
        self, sources: MetricSources, held: list[Policy], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(PushSource, "read", lambda self, queries: [Answer()])
        with pytest.raises(Misconfigured, match="The source live returned 1 answers for 0 queries"):
            sources.read("live", [])

    def test_a_removed_source_is_closed(self, sources: MetricSources, held: list[Policy]) -> None:
        held.append(policy(p={"type": "prometheus", "url": "http://a"}))
        source = sources._get("p")
        held.append(policy())
        with pytest.raises(Misconfigured):
            sources._get("p")
        assert isinstance(source, PrometheusSource)
        assert source._client.is_closed

    @pytest.mark.parametrize(
        ("named", "days"),
        [
            ({}, 35),
            ({"a": {"type": "push"}}, 35),
            ({"a": {"type": "push", "keep": "7d"}}, 7),
            ({"a": {"type": "push", "keep": "7d"}, "b": {"type": "push", "keep": "90d"}, "c": {"type": "mlflow"}}, 90),
        ],
    )
    def test_readings_are_kept_for_the_longest_retention(
        self, sources: MetricSources, held: list[Policy], named: dict[str, Any], days: int
    ) -> None:
        held.append(policy(**named))
        assert sources.retention() == timedelta(days=days)

    def test_push_sources_accept_readings(self, sources: MetricSources, held: list[Policy]) -> None:
        held.append(policy(signed={"type": "push", "require_signature": True}, prom={"type": "prometheus"}))
        assert [sources.requires_signature(name) for name in ("signed", "push", "prom", "mlflow", "other")] == [
            True,
            False,
            None,
            None,
            None,
        ]
