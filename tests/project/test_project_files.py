"""The project's files exist and agree: license, package, contacts, README, changelog."""

from __future__ import annotations

import ast
import hashlib
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image, ImageSequence

from scripts import dependencies
from tests.support.paths import ROOT

APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"  # of www.apache.org's LICENSE-2.0.txt


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads(read("pyproject.toml"))


def version() -> str:
    return str(pyproject()["project"]["version"])


def release() -> str:
    """Return the latest release, the first one in the changelog."""
    return str(re.findall(r"^## \[(\d.*)\]", read("CHANGELOG.md"), flags=re.MULTILINE)[0])


def repository() -> str:
    return str(pyproject()["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"])


# -- license -----------------------------------------------------------------------------------------------------------


def test_the_license_is_the_unmodified_text_of_apache_2() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2


def test_the_notice_names_the_holder_and_every_third_party_file() -> None:
    notice = read("NOTICE")
    assert "The Registrar contributors" in notice
    licenses = [str(file.relative_to(ROOT)) for file in (ROOT / "tests").rglob("*LICENSE*")]
    assert licenses
    assert [name for name in licenses if name not in notice] == []


# -- package -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the wheel."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [file] = folder.glob("*.whl")
    return zipfile.ZipFile(file)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    """Read what a package index would show."""
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(wheel.read(name).decode())


def test_the_wheel_carries_the_license_and_the_notice(wheel: zipfile.ZipFile, metadata: Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    for name in ("LICENSE", "NOTICE"):
        [packed] = [path for path in wheel.namelist() if path.endswith(f".dist-info/licenses/{name}")]
        assert wheel.read(packed).decode() == read(name)


def test_the_package_says_what_it_is_and_where_it_lives(metadata: Message) -> None:
    assert metadata["Version"] == version()
    assert metadata["Summary"]
    assert metadata["Author"] == "The Registrar contributors"
    assert "mlflow" in metadata["Keywords"]
    urls = dict(one.split(", ") for one in metadata.get_all("Project-URL") or [])
    assert {"Repository", "Documentation", "Changelog", "Issues"} <= set(urls)
    assert [url for url in urls.values() if not url.startswith(repository())] == []


def test_the_classifiers_name_the_pythons_that_ci_tests(metadata: Message) -> None:
    pythons = re.findall(r"Python :: (3\.\d+)", "\n".join(metadata.get_all("Classifier") or []))
    matrix = yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"]["check"]["strategy"]["matrix"]
    assert pythons == matrix["python"]


def test_the_wheel_has_both_programs_and_their_files(wheel: zipfile.ZipFile) -> None:
    [entry_points] = [name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt")]
    programs = wheel.read(entry_points).decode()
    assert "registrar = registrar.__main__:main" in programs
    assert "localslack = registrar.__main__:localslack" in programs
    packed = ("bot/", "handlers/", "localslack/", "examples/", "manifest.yml")
    files = [f"registrar/app/{name}" for name in tracked() if name.startswith(packed)]
    assert len(files) > 500
    assert [name for name in files if name not in wheel.namelist()] == []


def test_the_wheel_adds_only_one_name_to_site_packages(wheel: zipfile.ZipFile) -> None:
    names = {name.partition("/")[0] for name in wheel.namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"registrar"}


def test_every_link_of_the_readme_works_outside_the_repository_too(metadata: Message) -> None:
    shown = metadata.get_payload()
    assert isinstance(shown, str)
    targets = re.findall(r"\]\(([^)\s]+)\)", shown)
    assert [target for target in targets if not re.match(r"https://|#", target)] == []
    assert f"{repository()}/blob/v{version()}/docs/reference/commands.md" in targets
    assert len(targets) == len(re.findall(r"\]\(([^)\s]+)\)", read("README.md")))


def test_the_api_document_and_the_metrics_have_the_installed_version(monkeypatch: pytest.MonkeyPatch) -> None:
    from bot.metrics.recorder import PrometheusMetrics
    from handlers.web.app import create_app

    monkeypatch.setattr("importlib.metadata.version", {"registrar-bot": "9.8.7"}.__getitem__)
    nothing: Any = None
    assert create_app(nothing, None, on_model_changed=print).openapi()["info"]["version"] == "9.8.7"
    assert 'registrar_build_info{version="9.8.7"} 1.0' in PrometheusMetrics().exposition()[0].decode()


# -- settings that only a publisher knows ------------------------------------------------------------------------------

MARK = "SET BEFORE PUBLISHING"


def tracked() -> list[str]:
    """Return the text files of the repository."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, text=True, capture_output=True, check=False).stdout.split()
    if not listed:
        pytest.skip("this is no checkout")
    binary = {".png", ".gif", ".skops", ".db", ".gz"}
    return [
        name for name in listed if Path(name).suffix not in binary and name != "tests/project/test_project_files.py"
    ]


def test_every_publishing_placeholder_is_marked_once_and_listed() -> None:
    guide = read("CONTRIBUTING.md").partition("## Before you publish")[2]
    marked = [name for name in tracked() if name != "CONTRIBUTING.md" for _ in range(read(name).count(MARK))]
    assert sorted(marked) == sorted(re.findall(r"^\| .+ \| `([^`]+)` \|$", guide, flags=re.MULTILINE))


def test_every_copy_of_the_repository_s_address_agrees() -> None:
    address = re.compile(r"https://github\.com/[\w.-]+/registrar\b|(?<=git clone )https://\S+(?=\.git)")
    others = [
        f"{name}:{number}: {found[0]}"
        for name in tracked()
        for number, line in enumerate(read(name).splitlines(), 1)
        for found in address.finditer(line)
        if found[0] != repository()
    ]
    assert "\n".join(others) == ""
    assert f"git clone {repository()}.git\n" in read("README.md")
    assert f"[{release()}]: {repository()}/releases/tag/v{release()}\n" in read("CHANGELOG.md")


# -- GitHub ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["bug", "feature"])
def test_issue_forms_have_only_github_s_fields(form: str) -> None:
    page = yaml.safe_load(read(f".github/ISSUE_TEMPLATE/{form}.yml"))
    assert set(page) == {"name", "description", "labels", "body"}
    asked = [part for part in page["body"] if part["type"] != "markdown"]
    assert {part["type"] for part in asked} <= {"input", "textarea", "dropdown", "checkboxes"}
    assert len({part["id"] for part in asked}) == len({part["attributes"]["label"] for part in asked}) == len(asked)


def test_dependabot_checks_existing_folders() -> None:
    updates = yaml.safe_load(read(".github/dependabot.yml"))["updates"]
    found = {"pip": "*.in", "github-actions": "action.yml", "docker": "Dockerfile", "docker-compose": "compose.yaml"}
    assert {update["package-ecosystem"] for update in updates} == set(found)
    for update in updates:
        for folder in update.get("directories") or [update["directory"]]:
            if (update["package-ecosystem"], folder) != ("github-actions", "/"):  # which means .github/workflows
                assert list((ROOT / folder.lstrip("/")).glob(found[update["package-ecosystem"]])), folder


# -- README, changelog, security policy --------------------------------------------------------------------------------


def test_the_readme_is_short() -> None:
    assert len(read("README.md").splitlines()) <= 120


def test_the_readme_starts_with_a_recording_that_loads() -> None:
    [first] = re.findall(r"^!\[.+\]\((\S+)\)$", read("README.md"), flags=re.MULTILINE)
    assert (ROOT / first).stat().st_size < 1_500_000
    with Image.open(ROOT / first) as recording:
        assert recording.format == "GIF"
        assert sum(1 for _ in ImageSequence.Iterator(recording)) >= 10
        assert recording.width <= 1000


def test_the_changelog_follows_keep_a_changelog() -> None:
    page = read("CHANGELOG.md")
    headings = re.findall(r"^## (.+)$", page, flags=re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert re.fullmatch(rf"\[{re.escape(release())}\] - \d{{4}}-\d\d-\d\d", headings[1])
    dates = [heading.split(" - ")[1] for heading in headings[1:]]
    assert dates == sorted(dates, reverse=True)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", page, flags=re.MULTILINE)) <= kinds
    linked = re.findall(r"^\[(.+)\]: https://", page, flags=re.MULTILINE)
    assert linked == re.findall(r"^## \[(.+?)\]", page, flags=re.MULTILINE)


def test_the_version_is_the_latest_release_or_a_development_version_after_it() -> None:
    numbers, _, suffix = version().partition(".dev")
    is_after = [int(part) for part in numbers.split(".")] > [int(part) for part in release().split(".")]
    assert version() == release() or (is_after and suffix == "0")


def test_the_security_policy_supports_the_latest_release() -> None:
    assert f"| {release().rpartition('.')[0]} | yes |" in read("SECURITY.md")


def test_every_cell_of_the_compatibility_page_has_one_of_three_answers() -> None:
    page = read("docs/reference/compatibility.md")
    assert f"This page is for Registrar {release().rpartition('.')[0]}." in page
    rows = [row.strip("| ").split(" | ") for row in re.findall(r"^\| .+$", page, flags=re.MULTILINE)]
    cells = [cell for row in rows for cell in row[1:]]
    assert len(cells) > 40
    assert [cell for cell in cells if not re.match(r"\*\*Tested\*\*|Expected to work|Not supported", cell)] == []


# -- dependencies ------------------------------------------------------------------------------------------------------


def test_every_dependency_has_one_row_with_a_reason_and_an_alternative() -> None:
    listed = [dependencies.name_of(line) for lines in dependencies.direct_dependencies().values() for line in lines]
    cells = [
        line.strip("| ").split(" | ")
        for line in read("docs/reference/dependencies.md").splitlines()
        if line[:3] == "| `"
    ]
    assert sorted(row[0].strip("`") for row in cells) == sorted(set(listed))
    assert not [row for row in cells if len(row) != 8 or "?" in row or not all(row)]


def test_everything_that_the_program_imports_is_listed_and_the_rest_has_a_reason() -> None:
    groups = dependencies.direct_dependencies()
    listed = {dependencies.name_of(line) for line in [*groups[""], *groups["mcp"]]}
    owners = packages_distributions()
    imported = {
        dependencies.normalized(owner)
        for top in ("bot", "handlers", "localslack")
        for file in (ROOT / top).rglob("*.py")
        for module in imported_modules(ast.parse(file.read_text(encoding="utf-8")))
        for owner in owners.get(module, [])
    }
    also_in = {"psycopg-pool", "mlflow", "mlflow-tracing", "registrar-bot"}  # an extra, and the same modules
    also_in |= {"pytest"}  # in the contract suites for plugins' tests
    assert imported - listed <= also_in
    assert listed - imported == {"fastapi-swagger", "python-multipart"}  # files, and Starlette imports it


def imported_modules(tree: ast.Module) -> Iterator[str]:
    """Yield the top-level module of each import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
