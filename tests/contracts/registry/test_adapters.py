"""The registry adapter that a setting selects, and its product's name in messages."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from bot.bootstrap import storage
from bot.bootstrap.storage import load_adapter, open_registry
from bot.domain.commands.registry import SetTags
from bot.domain.core.errors import BadInput, Misconfigured
from bot.domain.core.messages import answer_delayed_notice
from bot.domain.core.sentence import Name, Sentence, say
from bot.domain.registry.model import (
    RUN_MODEL_TAG,
    RegistryProduct,
    RunInfo,
    Stage,
    VersionInfo,
    check_model_name,
    unknown_model_error,
    use_product,
)
from bot.ports import OpenRegistry, RegistryAdapter, RegistryLinks, RegistryOptions
from bot.registry.mlflow.adapter import MLFLOW
from bot.registry.tag_stages import TagStageRegistry
from bot.settings import read_settings
from bot.sources import RegistryWithTracker
from handlers.doctor.check import DiagnosisState
from handlers.doctor.mlflow import mlflow_checks
from handlers.terminal.main import main
from tests.support.paths import ROOT
from tests.support.registry.memory import MemoryRegistry


def no_dots(name: str) -> Sentence | None:
    """Return why the shelf registry doesn't accept a name."""
    return say("{name} has a dot, which the shelf does not take.", name=Name(name)) if "." in name else None


def open_shelf(options: RegistryOptions) -> OpenRegistry:
    """Return an in-memory registry, with a model if the environment names one."""
    memory = MemoryRegistry()
    if name := options.environ.get("SHELF_MODEL"):
        memory.add_model(name, versions=[Stage.NONE])
    return OpenRegistry(
        registry=memory,
        tracker=memory,
        links=RegistryLinks(version=lambda version: f"http://shelf/{version.model}"),
        has_stages=False,
    )


SHELF = RegistryAdapter(RegistryProduct(name="The shelf", tag_prefix="shelf:", name_error=no_dots), open_shelf)


@pytest.fixture
def _shelf_is_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    entries = [
        EntryPoint("shelf", f"{__name__}:SHELF", "registrar.registries"),
        EntryPoint("broken", "no.such.package:ADAPTER", "registrar.registries"),
    ]
    monkeypatch.setattr(storage, "entry_points", lambda *, group: entries if group == "registrar.registries" else [])
    yield
    use_product(lambda: MLFLOW.product)


pytestmark = pytest.mark.usefixtures("_shelf_is_installed")


def test_mlflow_is_the_default_and_ships_as_an_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [(name, value)] = project["entry-points"]["registrar.registries"].items()
    assert (name, EntryPoint(name, value, "registrar.registries").load()) == (read_settings().registry, MLFLOW)
    assert load_adapter("mlflow") is MLFLOW


def test_an_installed_adapter_is_selected_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRAR_REGISTRY", "shelf")
    monkeypatch.setenv("SHELF_MODEL", "churn")
    opened = open_registry(read_settings())
    assert [model.name for model in opened.registry.models()] == ["churn"]
    assert opened.links.version(opened.registry.version("churn", 1)) == "http://shelf/churn"


def test_a_registry_without_stages_gets_them_as_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRAR_REGISTRY", "shelf")
    opened = open_registry(read_settings())
    assert (type(opened.registry), opened.has_stages) == (TagStageRegistry, False)
    monkeypatch.setenv("REGISTRAR_STAGES", "stages")
    opened = open_registry(read_settings())
    assert (type(opened.registry), opened.has_stages) == (MemoryRegistry, True)


@pytest.mark.parametrize(
    ("variables", "url", "has_stages"),
    [
        ({}, None, True),
        ({"MLFLOW_TRACKING_URI": "http://ann:secret@mlflow:5000/base/"}, "http://mlflow:5000/base", True),
        ({"MLFLOW_TRACKING_URI": "http://a", "MLFLOW_REGISTRY_URI": "https://b"}, "https://b", True),
        ({"MLFLOW_TRACKING_URI": "http://a", "REGISTRAR_MLFLOW_URL": "https://c/"}, "https://c", True),
        ({"MLFLOW_TRACKING_URI": "databricks", "MLFLOW_REGISTRY_URI": "databricks-uc"}, None, False),
    ],
)
def test_mlflow_s_variables_set_its_links_and_whether_it_has_stages(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str | None, *, has_stages: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    opened = open_registry(read_settings())
    version, run = VersionInfo(model="a b", version=7, stage=Stage.NONE), RunInfo(id="r1", experiment="3")
    assert (opened.links.version(version), opened.links.run(run), opened.has_stages) == (
        url and f"{url}/#/models/a%20b/versions/7",
        url and f"{url}/#/experiments/3/runs/r1",
        has_stages,
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("cellar", "there's no registry named “cellar”. Choose one of broken, mlflow, shelf."),
        ("broken", "Can't load the registry “broken” (ModuleNotFoundError: No module named 'no')."),
    ],
)
def test_an_unusable_adapter_is_named(name: str, told: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        load_adapter(name)
    assert told in str(refused.value)


def test_sentences_name_the_product() -> None:
    sentence = str(answer_delayed_notice())
    assert (sentence, str(unknown_model_error("x", None))) == (
        "MLflow isn't responding. I'll answer as soon as it does.",
        "MLflow has no model “x”.",
    )
    use_product(lambda: SHELF.product)
    assert str(unknown_model_error("x", None)) == "The shelf has no model “x”."
    assert str(answer_delayed_notice()) == sentence.replace("MLflow", "The shelf")


def test_the_product_decides_which_names_and_tags_are_accepted() -> None:
    use_product(lambda: SHELF.product)
    assert check_model_name(" a/b ") == "a/b"
    with pytest.raises(BadInput, match=r"“a\.b” has a dot"):
        check_model_name("a.b")
    with pytest.raises(BadInput, match="The shelf manages the tag shelf:x"):
        SetTags(model="churn", version="1", tags=("shelf:x=1",))
    assert SetTags(model="churn", version="1", tags=("mlflow.x=1",)).tags == ("mlflow.x=1",)


def test_doctor_can_read_any_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRAR_REGISTRY", "shelf")
    monkeypatch.setenv("SHELF_MODEL", "churn")
    [check] = mlflow_checks(read_settings(), None, live=False)
    [found] = check.run()
    assert (found.area, found.state, found.sentence) == (
        "registry",
        DiagnosisState.OK,
        "The registry is readable: 1 model.",
    )


def test_a_source_for_0_2_can_still_read_runs_from_the_registry() -> None:
    registry, tracker = MemoryRegistry(), MemoryRegistry()
    registry.add_model("churn", versions=1)
    run_id = tracker.add_run(tags={RUN_MODEL_TAG: "churn"})
    both = RegistryWithTracker(TagStageRegistry(registry, champion="a", challenger="b"), tracker)
    assert (both.model("churn").name, both.runs([run_id]).keys()) == ("churn", {run_id})
    with pytest.raises(AttributeError, match="no_such_call"):
        both.no_such_call()


def test_no_sentence_names_mlflow_itself() -> None:
    """Messages of the domain, the services, and Slack name the product in use."""
    found = []
    for layer in ("domain", "services", "slack"):
        for path in sorted((ROOT / "bot" / layer).rglob("*.py")):
            found += [f"{path.relative_to(ROOT)}: {text}" for text in sentences_in(path) if "MLflow" in text]
    assert found == []


def sentences_in(path: Path) -> Iterator[str]:
    """Yield a module's strings, except docstrings, log messages, and thread names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            skipped.add(id(node.value))
        if isinstance(node, ast.Dict):  # texts that older releases stored are looked up unchanged
            skipped |= {id(key) for key in node.keys if key}
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("log.", "threading.")):
            skipped |= {id(inner) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.value


@pytest.mark.usefixtures("_shelf_is_installed")
def test_another_product_s_registry_is_assessed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REGISTRAR_REGISTRY", "shelf")
    monkeypatch.setenv("SHELF_MODEL", "churn")
    code = main(["assess"])
    lines = capsys.readouterr().out.splitlines()
    assert (code, lines[0]) == (0, "The shelf: 1 model, 1 version; none in Production.")
    assert "The shelf doesn't record who put a version into Production, or why." in lines
