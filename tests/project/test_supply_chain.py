"""Registrar's dependencies, and calls that its code must never make."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts import audit_packages
from scripts.audit_packages import Found, findings, ignored, judge, unknown, was_asked
from tests.support.deploy.deployment import compose, stages
from tests.support.paths import ROOT

FOLDERS = ("bot", "handlers", "localslack", "examples", "scripts", "benchmarks")
LOCKS = sorted([*ROOT.glob("*.lock"), *ROOT.glob("deploy/*.lock")])

# -- what the code never does ------------------------------------------------------------------------------------------

# These create objects from bytes, and so can run any code. MLflow's own `load_model`, which examples/ calls, also
# unpickles scikit-learn models, but only those that the example trained, or that its user names. Registrar's own
# processes (bot/, handlers/) load no models, which a test below checks.
UNPACKING = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve", "jsonpickle"}
CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "joblib.load",
    "os.system",
    "os.popen",
    "yaml.unsafe_load",
    "yaml.full_load",
    "yaml.unsafe_load_all",
    "yaml.full_load_all",
    "pandas.read_pickle",
    "pd.read_pickle",
    "torch.load",
    "commands.getoutput",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
}
LOADERS = {
    "SafeLoader",
    "CSafeLoader",
    "yaml.SafeLoader",
    "yaml.CSafeLoader",
    "getattr(yaml, 'CSafeLoader', yaml.SafeLoader)",
}

# `make mutate` has to compile a module of Registrar's that it has changed, to find out whether tests notice. It runs
# only for developers, and compiles nothing else.
ALLOWED = [("scripts/mutants.py", "compile")]


def unsafe(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the code of each unsafe call in a program."""
    tree = ast.parse(text)
    safe = LOADERS | set(_safe_loaders(tree))
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names) if found := {one.name.partition(".")[0] for one in names} & UNPACKING:
                yield node.lineno, f"import {min(found)}"
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in UNPACKING:
                yield node.lineno, f"from {module}"
            case ast.ImportFrom(module="joblib", names=names) if any(one.name == "load" for one in names):
                yield node.lineno, "from joblib import load"
            case ast.ImportFrom(module="os", names=names) if any(one.name in {"system", "popen"} for one in names):
                yield node.lineno, "from os import system"
            case ast.Call():
                yield from ((node.lineno, words) for words in _unsafe_call(node, safe))


def _safe_loaders(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a program assigns to, or derives from, a safe loader."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef() if {ast.unparse(base) for base in node.bases} & LOADERS:
                yield node.name
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if ast.unparse(value) in LOADERS:
                yield name


def _unsafe_call(node: ast.Call, safe: set[str]) -> Iterator[str]:
    name = ast.unparse(node.func)
    keywords = {one.arg: one.value for one in node.keywords}
    if name in CALLS:
        yield name
    if name in {"yaml.load", "yaml.load_all"}:
        loader = keywords.get("Loader") or (node.args[1] if len(node.args) > 1 else None)
        if loader is None or ast.unparse(loader) not in safe:
            yield f"{name} without SafeLoader"
    shell = keywords.get("shell")
    if shell is not None and not (isinstance(shell, ast.Constant) and shell.value is False):
        yield f"{name} with shell"


def sources() -> list[Path]:
    """Return every Python file of the project except tests."""
    return sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))


def test_nothing_unpickles_evaluates_or_starts_a_shell() -> None:
    found = [
        (file.relative_to(ROOT).as_posix(), words)
        for file in sources()
        for _, words in unsafe(file.read_text(encoding="utf-8"))
    ]
    assert len(sources()) > 250
    assert found == ALLOWED


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "import cloudpickle as c",
        "from marshal import loads",
        "import shelve",
        "from joblib import load",
        "joblib.load(f)",
        "eval('1')",
        "exec(s)",
        "compile(s, 'x', 'exec')",
        "yaml.load(f)",
        "yaml.load(f, yaml.Loader)",
        "yaml.load(f, Loader=yaml.FullLoader)",
        "yaml.unsafe_load(f)",
        "yaml.load_all(f)",
        "os.system('ls')",
        "from os import system",
        "subprocess.run('ls', shell=True)",
        "subprocess.Popen(x, shell=y)",
        "pd.read_pickle(f)",
    ],
)
def test_each_unsafe_call_is_found(text: str) -> None:
    assert list(unsafe(text))


@pytest.mark.parametrize(
    "text",
    [
        "re.compile('x')",
        "yaml.safe_load(f)",
        "yaml.load(f, Loader=yaml.SafeLoader)",
        "subprocess.run(['ls'], shell=False)",
        "class Ours(yaml.SafeLoader): pass\nyaml.load(f, Ours)",
        "model.eval()",
        "json.load(f)",
        "Ours = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)\nyaml.load(f, Loader=Ours)",
    ],
)
def test_similar_safe_calls_are_allowed(text: str) -> None:
    assert list(unsafe(text)) == []


def test_the_bot_itself_loads_no_model() -> None:
    """Versions are compared and moved by name, so a model that's harmful when loaded can't do harm."""
    for file in sources():
        if file.relative_to(ROOT).parts[0] in {"bot", "handlers"}:
            names = {
                ast.unparse(node.func)
                for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
                if isinstance(node, ast.Call)
            }
            assert [name for name in names if name.endswith("load_model")] == [], file


# -- what is installed -------------------------------------------------------------------------------------------------


def requirements(lock: Path) -> list[str]:
    """Return a lock file's requirements, each with all its lines."""
    code = "\n".join(
        line for line in lock.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")
    )
    return [line.strip() for line in code.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_requirement_of_a_lock_is_one_version_with_hashes(lock: Path) -> None:
    whole = re.compile(r"[a-z0-9-]+==[\w.+!]+(?: ; [^#]+?)?(?:\s+--hash=sha256:[0-9a-f]{64})+")
    found = requirements(lock)
    assert found
    assert [one[:60] for one in found if not whole.fullmatch(one)] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_no_lock_has_a_download_location(lock: Path) -> None:
    assert re.findall(r"://|index-url|find-links|trusted-host", lock.read_text(encoding="utf-8")) == []


def test_every_lock_is_written_by_make_lock() -> None:
    script = (ROOT / "scripts" / "lock").read_text(encoding="utf-8")
    assert [lock.name for lock in LOCKS if f"compile {lock.relative_to(ROOT)}" not in script] == []


def uses() -> Iterator[tuple[str, str]]:
    """Yield the actions that workflows and actions use, each with its file."""
    for file in [*(ROOT / ".github").rglob("*.yml"), *(ROOT / ".github").rglob("*.yaml")]:
        for used in re.findall(r"^\s*(?:- )?uses:\s*(\S+)", file.read_text(encoding="utf-8"), flags=re.MULTILINE):
            yield file.name, used


def test_every_third_party_action_is_pinned_to_a_commit() -> None:
    found = list(uses())
    assert len(found) > 5
    assert [one for one in found if not re.fullmatch(r"\./\S+|[\w./-]+@[0-9a-f]{40}", one[1])] == []


def test_every_base_image_is_pinned_to_a_digest() -> None:
    """A tag can move to another image. Dependabot updates the tag and the digest together."""
    built = {stage.name for stage in stages()}
    bases = [stage.base for stage in stages() if stage.base not in built]
    pulled = [service["image"] for service in compose()["services"].values() if "build" not in service]
    assert len(bases) == 1
    assert [one for one in bases + pulled if not re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", one)] == []


# -- what it is made of ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sbom(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The output of `scripts/sbom`; skip if its tool isn't installed."""
    if not (ROOT / ".tools" / "installed").exists():
        pytest.skip("no tools here; scripts/install-tools fetches them")
    file = tmp_path_factory.mktemp("sbom") / "sbom.json"
    subprocess.run([ROOT / "scripts" / "sbom", file], check=True, capture_output=True, timeout=100)
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def test_the_sbom_has_every_package_of_the_lock_with_its_hashes(sbom: dict[str, Any]) -> None:
    locked = {}
    for one in requirements(ROOT / "requirements.lock"):
        name, version = re.split("==| ", one)[:2]
        locked[f"pkg:pypi/{name}@{version}"] = set(re.findall(r"sha256:(\w+)", one))
    told = {}
    for component in sbom["components"]:
        files = [file for reference in component["externalReferences"] for file in reference["hashes"]]
        told[component["purl"]] = {file["content"] for file in files}
    assert told == locked
    assert [one["name"] for one in sbom["components"] if one["version"] != one["purl"].partition("@")[2]] == []


def test_the_sbom_is_cyclonedx_and_of_registrar(sbom: dict[str, Any]) -> None:
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")
    assert sbom["metadata"]["component"]["name"] == "registrar-bot"
    assert "--validate" in (ROOT / "scripts" / "sbom").read_text(encoding="utf-8")  # against CycloneDX's own schema


@pytest.mark.slow
def test_the_same_lock_gives_the_same_sbom(sbom: dict[str, Any], tmp_path: Path) -> None:
    subprocess.run([ROOT / "scripts" / "sbom", tmp_path / "again.json"], check=True, capture_output=True, timeout=100)
    assert json.loads((tmp_path / "again.json").read_text(encoding="utf-8")) == sbom


# -- known vulnerabilities ---------------------------------------------------------------------------------------------


def report(*, fixes: tuple[str, ...] = ("2.4.2",), **more: Any) -> dict[str, Any]:
    flaw = {"id": "PYSEC-1", "aliases": ["GHSA-1", "CVE-1"], "fix_versions": list(fixes)}
    other = {"name": "b", "version": "1", "vulns": []} | more
    return {"dependencies": [{"name": "jinja2", "version": "2.4.1", "vulns": [flaw]}, other]}


SKIPPED = {"dependencies": [{"name": "a", "skip_reason": "Dependency not found on PyPI"}]}


def test_a_vulnerability_with_a_fix_fails_and_one_without_is_reported() -> None:
    lines, is_bad = judge(findings(report()), {})
    assert (lines, is_bad) == (["jinja2 2.4.1: PYSEC-1 (fixed in 2.4.2)"], True)
    lines, is_bad = judge(findings(report(fixes=())), {})
    assert (lines, is_bad) == (["jinja2 2.4.1: PYSEC-1 (no fix yet)"], False)


@pytest.mark.parametrize("name", ["PYSEC-1", "GHSA-1", "CVE-1"])
def test_a_vulnerability_is_ignored_by_any_of_its_names(name: str) -> None:
    lines, is_bad = judge(findings(report()), {name: "we render nothing of others"})
    assert not is_bad
    assert "we render nothing of others" in lines[0]


def test_an_obsolete_ignore_entry_is_reported() -> None:
    lines, _ = judge([], {"GHSA-9": "once"})
    assert "Remove it from the list" in lines[0]


def test_an_ignore_entry_needs_a_reason() -> None:
    assert ignored("# why\n\nGHSA-1 we render nothing of others # since May\n") == {
        "GHSA-1": "we render nothing of others"
    }
    with pytest.raises(ValueError, match="line 2: GHSA-2 needs a reason"):
        ignored("GHSA-1 a reason\nGHSA-2 # none\n")


def test_the_ignore_list_is_valid() -> None:
    assert all(ignored(audit_packages.IGNORED.read_text(encoding="utf-8")).values())


def test_a_report_without_packages_is_an_error() -> None:
    assert not was_asked(SKIPPED)
    assert was_asked(report())
    assert unknown(report(skip_reason="x")) == ["b"]


def audited(capsys: pytest.CaptureFixture[str], tmp_path: Path, answer: str) -> tuple[int, str]:
    """Run the check with a fake program's answer; return its exit code and output."""
    program = tmp_path / "answer.py"
    program.write_text(f"print({answer!r})")
    code = audit_packages.main([sys.executable, str(program)])
    return code, capsys.readouterr().out


def test_unreachable_vulnerability_data_is_reported_without_failing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for answer in ("", "[", json.dumps(SKIPPED)):
        code, said = audited(capsys, tmp_path, answer)
        assert code == 0
        assert "nothing was checked" in said


def test_with_data_a_fixable_vulnerability_fails_the_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, said = audited(capsys, tmp_path, json.dumps(report()))
    assert code == 1
    assert said.startswith("jinja2 2.4.1: PYSEC-1 (fixed in 2.4.2)\n")
    assert said.count("PYSEC-1") == 1  # in three locks


def test_pip_audit_accepts_the_arguments(tmp_path: Path) -> None:
    program = shutil.which(audit_packages.PIP_AUDIT)
    if program is None:
        pytest.skip("no tools here; scripts/install-tools fetches them")
    said = subprocess.run([program, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
    for option in ("--requirement", "--require-hashes", "--disable-pip", "--progress-spinner", "--format", "--desc"):
        assert option in said


def test_a_finding_is_one_line() -> None:
    assert str(Found("a", "1", ("GHSA-1",), ())) == "a 1: GHSA-1 (no fix yet)"
