"""The wheel, installed the way people install it, and used from an empty folder with an empty home."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from textwrap import dedent
from urllib.request import urlopen

import pytest

from tests.support.app.demo_process import PATIENCE, DemoProcess
from tests.support.deploy.engine import program_of_tools
from tests.support.paths import ROOT

Installer = Callable[
    [Path, Path, Path], Path
]  # installs a wheel with constraints into a home; returns the programs' folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * PATIENCE)]


@dataclass(frozen=True)
class Installation:
    """An installed wheel, and the empty folder where its programs run."""

    programs: Path
    folder: Path

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the empty folder, and return its exit code and output."""
        return subprocess.run(
            [self.programs / words[0], *words[1:]],
            cwd=self.folder,
            env=environment_with(self.folder, **environment),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )


def environment_with(home: Path, **more: str) -> dict[str, str]:
    """Return an environment with another home, and nothing about Slack, MLflow, or this checkout."""
    removed = ("SLACK_", "MLFLOW_", "REGISTRAR_", "PYTHON", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(removed)}
    return kept | {"HOME": str(home), "UV_PYTHON_DOWNLOADS": "never"} | more


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [file] = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def constraints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The locked versions without hashes, which would also require one for the wheel."""
    lock = (ROOT / "requirements-demo.lock").read_text(encoding="utf-8")
    file = tmp_path_factory.mktemp("constraints") / "constraints.txt"
    file.write_text("\n".join(re.findall(r"^[a-z].*?(?= \\$)", lock, flags=re.MULTILINE)))
    return file


def install_with_uv_tool(wheel: Path, constraints: Path, home: Path) -> Path:
    """`uv tool install`, with the demo."""
    words = ["tool", "install", "--quiet", "--python", sys.executable, "--constraints", str(constraints)]
    install([program_of_tools("uv"), *words, f"{wheel}[demo]"], home)
    return home / ".local" / "bin"


def install_with_pipx(wheel: Path, constraints: Path, home: Path) -> Path:
    """`pipx install`."""
    install(
        [program_of_tools("pipx"), "install", f"--pip-args=--no-compile --constraint {constraints}", str(wheel)], home
    )
    return home / ".local" / "bin"


def install_with_pip(wheel: Path, constraints: Path, home: Path) -> Path:
    """`pip install` into a new virtual environment."""
    install([sys.executable, "-m", "venv", "venv"], home)
    pip = [str(home / "venv" / "bin" / "python"), "-m", "pip", "install", "--no-compile"]
    install([*pip, "--constraint", str(constraints), str(wheel)], home)
    return home / "venv" / "bin"


def install(command: list[str], home: Path) -> None:
    done = subprocess.run(
        command,
        cwd=home,
        env=environment_with(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.fixture(scope="module")
def installation_by(
    wheel: Path, constraints: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Installer], Installation]:
    """Return a function that installs the wheel with an installer, once."""

    @cache
    def installation(installer: Installer) -> Installation:
        programs = installer(wheel, constraints, tmp_path_factory.mktemp("home"))
        return Installation(programs, tmp_path_factory.mktemp("empty"))

    return installation


@pytest.fixture(params=[install_with_uv_tool, install_with_pipx, install_with_pip])
def installed(
    request: pytest.FixtureRequest, installation_by: Callable[[Installer], Installation], tmp_path: Path
) -> Installation:
    """Give the installed wheel, and an empty folder."""
    return replace(installation_by(request.param), folder=tmp_path)


@pytest.fixture(scope="module")
def without_demo(installation_by: Callable[[Installer], Installation]) -> Installation:
    """Give the wheel in a virtual environment, without what only the demo needs."""
    return installation_by(install_with_pip)


def test_the_first_commands_work_in_an_empty_folder(installed: Installation) -> None:
    assert re.fullmatch(r"registrar \d+\.\d+\.\d+\S*\n", installed.run("registrar", "--version").stdout)
    assert "Wrote registrar.yml" in installed.run("registrar", "init").stdout
    doctor = installed.run("registrar", "doctor")
    assert "registrar.yml is valid" in doctor.stdout
    assert "SLACK_BOT_TOKEN isn't set" in doctor.stdout
    assert (doctor.returncode, doctor.stderr) == (2, "")
    assert sorted(path.name for path in installed.folder.iterdir()) == ["registrar.yml"]


def test_a_folder_with_the_name_of_one_of_our_packages_is_ignored(installed: Installation) -> None:
    for name in ("bot", "handlers"):
        (installed.folder / name).mkdir()
        (installed.folder / name / "__init__.py").write_text("raise SystemExit('imported the wrong package')")
    assert installed.run("registrar", "--version").returncode == 0


def test_the_demo_says_which_extra_it_needs(without_demo: Installation) -> None:
    demo = without_demo.run("registrar", "demo")
    assert "registrar-bot[demo]" in demo.stderr
    assert (demo.returncode, demo.stdout) == (2, "")
    assert not (without_demo.folder / ".demo").exists()


def test_the_demo_runs_from_an_installed_wheel(
    installation_by: Callable[[Installer], Installation], tmp_path: Path
) -> None:
    program = installation_by(install_with_uv_tool).programs / "registrar"
    with DemoProcess(tmp_path / "demo", command=[str(program), "demo"], **environment_with(tmp_path)) as demo:
        with urlopen(demo.url, timeout=10) as page:  # noqa: S310 - our own server
            assert page.status == 200
        assert demo.end() == 0


def test_the_demo_plays_from_an_installed_wheel(
    installation_by: Callable[[Installer], Installation], tmp_path: Path
) -> None:
    played = replace(installation_by(install_with_uv_tool), folder=tmp_path).run("registrar", "demo", "--play")
    assert (played.returncode, played.stderr) == (0, "")
    assert "churn v4 is verified" in played.stdout


# -- plugins -----------------------------------------------------------------------------------------------------------

PLUGIN = """
    from registrar.plugins import Answer, ModelInfo, OpenRegistry, RegistryAdapter, RegistryProduct, check_options


    class Constant:
        def __init__(self, value):
            self._value = value

        def read(self, queries):
            return [Answer(points=[(query.until, self._value)]) for query in queries]

        def history(self, query, step):
            return self.read([query])[0]


    def open_constant(name, source, dependencies):
        check_options(name, source, ["value"])
        return Constant(source.options["value"])


    class AcmeRegistry:
        def models(self, text=""):
            return [ModelInfo(name="acme-churn")]

        def close(self):
            pass


    def open_acme(options):
        return OpenRegistry(registry=AcmeRegistry(), tracker=AcmeRegistry())


    ACME = RegistryAdapter(RegistryProduct(name="Acme", tag_prefix="acme:", name_error=lambda name: None), open_acme)
"""
ENTRY_POINTS = """
    [registrar.sources]
    constant = registrar_acme:open_constant

    [registrar.registries]
    acme = registrar_acme:ACME
"""
CONTRACT = """
    from registrar.contracts import RegistryContract, SourceContract, TrackerContract, TransitionContract
    from registrar.plugins import CheckOutcome, Query


    def test_a_contract_is_a_class_with_tests():
        for contract in (RegistryContract, SourceContract, TrackerContract, TransitionContract):
            assert [name for name in dir(contract) if name.startswith("test_")]


    def test_the_names_that_a_plugin_imports_exist():
        assert CheckOutcome.ERROR
        assert Query
"""


@pytest.fixture(scope="module")
def plugin(without_demo: Installation) -> Installation:
    """Install a plugin next to Registrar, as pip would, and pytest for its tests."""
    home = without_demo.programs.parent.parent
    install([str(without_demo.programs / "python"), "-m", "pip", "install", "--no-compile", "pytest"], home)
    [packages] = without_demo.programs.parent.glob("lib/python*/site-packages")
    (packages / "registrar_acme.py").write_text(dedent(PLUGIN))
    information = packages / "registrar_acme-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: registrar-acme\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(dedent(ENTRY_POINTS))
    return without_demo


def test_an_adapter_that_imports_only_the_plugin_module_is_found(plugin: Installation) -> None:
    listed = plugin.run("registrar", "list", REGISTRAR_REGISTRY="acme")
    assert "acme-churn" in listed.stdout, listed.stderr


def test_a_source_that_imports_only_the_plugin_module_is_found(plugin: Installation) -> None:
    opened = "from registrar.plugins import Source; from bot.sources.plugins import open_source"
    read = "print(open_source('c', Source(type='constant', value=0.9), None).__class__.__name__)"
    done = plugin.run("python", "-c", f"{opened}; {read}")
    assert done.stdout == "Constant\n", done.stderr


def test_the_contracts_run_from_an_installed_wheel(plugin: Installation) -> None:
    (plugin.folder / "test_acme.py").write_text(dedent(CONTRACT))
    done = plugin.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_acme.py")
    assert "2 passed" in done.stdout, done.stdout + done.stderr
