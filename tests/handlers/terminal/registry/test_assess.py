"""`registrar assess` on a real MLflow: what it shows, and that it changes nothing."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from bot.domain.registry.model import Dataset, ModelPackage, Stage
from handlers.terminal.assess import page
from handlers.terminal.assess.json_document import HOLDER_KEYS, KEYS
from tests.support.network.ports import free_port
from tests.support.paths import ROOT
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import MlflowBackend
from tests.support.services.gates import SIGNATURE
from tests.support.terminal.cli_runner import CliRunner, CommandOutput

ESCAPES = "x\x1b]0;pwned\x07\x9b31m\u202ey"  # changes a terminal's title and color, and the direction of text
HOSTILE = ["<script>alert(1)<", "a@b", "🦊 fox", "{{ 7 * 7 }}", "W" * 250]
READING_POSTS = {"POST /api/2.0/mlflow/runs/search", "POST /api/2.0/mlflow/experiments/search"}
GATES = "{metric: f1, at_least: 0.9}, {in_staging_for: 24h}"
POLICY = f"""\
roles: {{lead: [U05ANN]}}
models:
  churn: {{production: {{approvers: [lead], gates: [{GATES}]}}}}
"""


@pytest.fixture
def registry(mlflow_backend: MlflowBackend, mlflow_server: MlflowServer, tmp_path: Path) -> MlflowServer:
    """Return a server with `churn`, complete but with two versions in Production, and `fraud`, which lacks everything.

    `fraud` has no stages, and its alias champion is v2.
    """
    source = str(tmp_path / "files")
    mlflow_backend.add_model("churn")
    for _ in range(2):
        run = mlflow_backend.add_run(metrics={"f1": 0.8}, user="ann", datasets=[Dataset(name="d", digest="1")])
        mlflow_backend.add_version("churn", run_id=run, stage=Stage.PRODUCTION, source=source)
    mlflow_backend.add_package(source, ModelPackage(flavors=("sklearn",), signature=SIGNATURE))
    mlflow_backend.add_model("fraud", versions=2)
    mlflow_backend._client.set_registered_model_alias("fraud", "champion", 2)
    mlflow_server.requests.clear()
    return mlflow_server


@pytest.fixture
def assess(registrar: CliRunner, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Return the command, without an address in the environment."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI")

    def run(*words: str, **settings: str) -> CommandOutput:
        return registrar("assess", *words, **settings)

    return run


def production(said: CommandOutput) -> dict[tuple[str, int], dict[str, Any]]:
    return {(one["model"], one["version"]): one for one in said.document["production"]}


# -- what it shows -----------------------------------------------------------------------------------------------------


def test_the_summary_comes_first_then_the_worst_problem(assess: CliRunner, registry: MlflowServer) -> None:
    said = assess(registry.uri)
    lines = said.out.splitlines()
    assert (said.code, said.err) == (0, "")
    assert lines[0] == f"{registry.uri}: 2 models, 4 versions; 3 versions of 2 models in Production."
    assert lines[2].split() == ["Problem", "Number", "What", "to", "do"]
    assert lines[4].startswith("More than one version in Production")
    assert "  “churn”: v2, v1 are in Production." in lines
    assert "  “fraud” v2 has no run." in lines


def test_the_address_comes_from_the_environment_if_it_is_omitted(assess: CliRunner, registry: MlflowServer) -> None:
    assert assess("--json", MLFLOW_TRACKING_URI=registry.uri).document["registry"] == registry.uri


def test_json_has_the_documented_keys(assess: CliRunner, registry: MlflowServer) -> None:
    document = assess(registry.uri, "--json").document
    assert (list(document), list(document["production"][0])) == (list(KEYS), list(HOLDER_KEYS))
    docs = (ROOT / "docs" / "how-to/adopt-a-registry.md").read_text(encoding="utf-8")
    missing = [key for key, text in (KEYS | HOLDER_KEYS).items() if f"| `{key}` | {text} |" not in docs]
    assert missing == []


def test_json_says_what_is_known_about_each_version_in_production(assess: CliRunner, registry: MlflowServer) -> None:
    found = production(assess(registry.uri, "--json"))
    assert list(found) == [("churn", 2), ("churn", 1), ("fraud", 2)]
    facts = ("decided_by", "run", "has_signature", "dataset", "owner", "aliases")
    assert [found["churn", 2][key] for key in facts] == ["stage", "found", True, "d@1", "ann", []]
    assert [found["fraud", 2][key] for key in facts] == ["alias", "none", False, None, None, ["champion"]]
    assert found["fraud", 2]["last_changed"] is None


def test_a_long_list_is_cut_and_counted(assess: CliRunner, mlflow_backend: MlflowBackend, mlflow_sqlite: str) -> None:
    for number in range(5):
        mlflow_backend.add_model(f"m{number}", versions=[Stage.PRODUCTION])
    assert "  and 2 more; for all, add --json or --html FILE" in assess(mlflow_sqlite).out.splitlines()


def test_an_empty_registry_has_no_problems(assess: CliRunner, mlflow_server: MlflowServer) -> None:
    said = assess(mlflow_server.uri)
    assert (said.code, "No problems found." in said.out) == (0, True)


def test_the_page_of_a_registry_without_problems_has_no_empty_table(
    assess: CliRunner, mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    assess(mlflow_server.uri, "--html", "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert ("<p>No problems found.</p>" in html, ">Problem</th>" in html) == (True, False)


def test_without_files_no_file_is_read(assess: CliRunner, registry: MlflowServer) -> None:
    said = assess(registry.uri, "--no-files", "--json")
    assert production(said)["churn", 2]["has_signature"] is None
    assert not [request for request in registry.requests if "download" in request or "artifacts" in request]


# -- a policy ----------------------------------------------------------------------------------------------------------


def test_a_version_that_fails_the_policy_exits_with_1(
    assess: CliRunner, registry: MlflowServer, tmp_path: Path
) -> None:
    (tmp_path / "draft.yml").write_text(POLICY)
    said = assess(registry.uri, "--json", "--policy", "draft.yml")
    found = production(said)
    assert (said.code, found["churn", 2]["failed_gates"]) == (1, ["f1 is 0.8, required: ≥ 0.9"])
    assert found["churn", 2]["unchecked_gates"] == ["in_staging_for: only Registrar's ledger has the time in Staging"]
    assert (found["fraud", 2]["has_rule"], found["churn", 2]["has_rule"]) == (False, True)


def test_a_policy_that_every_version_passes_exits_with_0(
    assess: CliRunner, registry: MlflowServer, tmp_path: Path
) -> None:
    (tmp_path / "draft.yml").write_text(f"{POLICY.replace('0.9', '0.7')}  fraud: {{production: {{approvers: [lead]}}}}")
    assert assess(registry.uri, "--policy", "draft.yml").code == 0


def test_a_wrong_policy_is_reported_before_the_registry_is_read(
    assess: CliRunner, registry: MlflowServer, tmp_path: Path
) -> None:
    (tmp_path / "draft.yml").write_text("models: 7")
    assert (assess(registry.uri, "--policy", "draft.yml").code, registry.requests) == (2, [])


# -- the page ----------------------------------------------------------------------------------------------------------


def test_the_page_is_readable_only_by_its_owner(assess: CliRunner, registry: MlflowServer, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("an older page")
    (tmp_path / "page.html").chmod(0o644)
    said = assess(registry.uri, "--html", "page.html")
    assert stat.S_IMODE((tmp_path / "page.html").stat().st_mode) == 0o600
    assert said.out.endswith("Wrote page.html. It has names from the registry, so only you can read it.\n")


def test_names_are_escaped_on_the_page(
    assess: CliRunner, mlflow_backend: MlflowBackend, mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    for name in HOSTILE:
        mlflow_backend.add_model(name, versions=[Stage.PRODUCTION])
    mlflow_backend.add_model("churn")
    mlflow_backend.add_version("churn", stage=Stage.PRODUCTION, tags={"owner": "</td><img src=x>", "semver": "<b>"})
    assess(mlflow_server.uri, "--html", "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert [text for text in ("<script", "<img", "<b>", ">49<") if text in html] == []
    assert all(text in html for text in ("&lt;script&gt;alert(1)&lt;", "a@b", "🦊 fox", "{{ 7 * 7 }}", "W" * 250))


@pytest.mark.parametrize("output", [[], ["--json"]])
def test_no_name_controls_the_terminal(
    assess: CliRunner, mlflow_backend: MlflowBackend, mlflow_server: MlflowServer, output: list[str]
) -> None:
    mlflow_backend.add_model(ESCAPES)
    run = mlflow_backend.add_run()
    tags = {"owner": ESCAPES, "semver": ESCAPES}
    mlflow_backend.add_version(ESCAPES, run_id=run, stage=Stage.PRODUCTION, tags=tags)
    said = assess(f"{mlflow_server.uri}/\x1b[31m\x9b31m/..", *output)
    text = said.out.replace("\n", "")
    assert (said.code, said.err, text.isprintable()) == (0, "", True)


def test_the_page_loads_nothing(assess: CliRunner, registry: MlflowServer, tmp_path: Path) -> None:
    assess(registry.uri, "--html", "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert [text for text in ("<script", "<link", "<img", "src=", "url(", "@import") if text in html] == []
    assert "default-src 'none'" in html


def test_every_table_on_the_page_has_a_heading_and_a_caption(
    assess: CliRunner, registry: MlflowServer, tmp_path: Path
) -> None:
    assess(registry.uri, "--html", "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    tables = html.count("<table>")
    assert tables > 3
    assert (html.count("<h2"), html.count("<caption>")) == (tables + 1, tables)  # the limits are a list
    assert "What this page doesn't show" in html


def test_a_long_table_on_the_page_says_how_much_it_shows(
    assess: CliRunner, registry: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MAX_ROWS", 2)
    assess(registry.uri, "--html", "page.html")
    assert "The first 2 of 3; --json has all." in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_page_in_a_missing_folder_is_refused_before_the_registry_is_read(
    assess: CliRunner, registry: MlflowServer
) -> None:
    said = assess(registry.uri, "--html", "missing/page.html")
    assert (said.code, registry.requests) == (2, [])
    assert said.err == "Can't write missing/page.html: there's no such folder.\n"


# -- nothing is changed ------------------------------------------------------------------------------------------------


def test_a_server_gets_only_requests_that_read(assess: CliRunner, registry: MlflowServer) -> None:
    assess(registry.uri, "--html", "page.html")
    assert {each for each in registry.requests if not each.startswith("GET ")} <= READING_POSTS


def test_requests_do_not_grow_with_the_number_of_models(
    assess: CliRunner, registry: MlflowServer, mlflow_backend: MlflowBackend
) -> None:
    for number in range(20):
        mlflow_backend.add_model(f"m{number}", versions=[Stage.PRODUCTION])
    registry.requests.clear()
    assess(registry.uri, "--no-files")
    assert [request.split("/mlflow/")[1] for request in registry.requests] == [
        "registered-models/search",
        "model-versions/search",
        "experiments/search",
        "runs/search",
    ]


def test_a_database_is_not_changed(
    assess: CliRunner, registry: MlflowServer, mlflow_backend: MlflowBackend, mlflow_sqlite: str, tmp_path: Path
) -> None:
    database = Path(mlflow_sqlite.removeprefix("sqlite:///"))
    before, files = database.read_bytes(), sorted(tmp_path.rglob("*"))
    assert assess(mlflow_sqlite).code == 0
    assert (database.read_bytes() == before, sorted(tmp_path.rglob("*"))) == (True, files)


@pytest.mark.parametrize("content", [None, b""])
def test_no_tables_are_created(assess: CliRunner, tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "new.db").write_bytes(content)
    files = sorted(tmp_path.rglob("*"))
    said = assess(f"sqlite:///{tmp_path / 'new.db'}")
    assert (said.code, sorted(tmp_path.rglob("*"))) == (2, files)
    assert said.err == "That database doesn't exist or lacks MLflow's tables. Check the URL.\n"


# -- errors ------------------------------------------------------------------------------------------------------------


def test_a_missing_address_is_a_usage_error(assess: CliRunner, tmp_path: Path) -> None:
    files = sorted(tmp_path.rglob("*"))
    said = assess()
    assert (said.code, said.err) == (2, "Missing URL. Usage: registrar assess URL\n")
    assert sorted(tmp_path.rglob("*")) == files


@pytest.mark.parametrize("url", ["localhost:5000", "./mlruns", "file:///tmp/mlruns"])
def test_what_is_not_an_address_is_a_usage_error(assess: CliRunner, url: str) -> None:
    said = assess(url)
    assert (said.code, said.err.startswith("That isn't an MLflow server's address")) == (2, True)


def test_a_server_that_does_not_respond_exits_with_3_and_hides_the_password(assess: CliRunner) -> None:
    port = free_port()
    said = assess(f"http://ann:secret@127.0.0.1:{port}")
    assert (said.code, said.err) == (3, f"MLflow (http://127.0.0.1:{port}) isn't responding.\n")


def test_a_server_that_is_not_mlflow_is_reported(assess: CliRunner, mlflow_server: MlflowServer) -> None:
    mlflow_server.answer(404, "<html>Not found</html>")
    said = assess(mlflow_server.uri)
    assert said.err == f"The server at {mlflow_server.uri} isn't MLflow. Check the URL.\n"


@pytest.mark.parametrize(("status", "code"), [(401, "UNAUTHENTICATED"), (403, "PERMISSION_DENIED")])
def test_a_rejected_login_exits_with_1(assess: CliRunner, mlflow_server: MlflowServer, status: int, code: str) -> None:
    mlflow_server.answer(status, {"error_code": code, "message": "no"})
    said = assess(mlflow_server.uri)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("MLflow rejected Registrar's credentials." if status == 401 else "MLflow denied this.")
