"""The shell blocks of the docs run: typed page by page, in order, against real parts.

CONTRIBUTING.md says how a page marks its blocks (“Code blocks in the docs”).
"""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.docs.blocks import PAGES, CodeBlock, find_blocks, page_blocks, page_setting
from tests.support.docs.page_world import WHERE_POSTGRES_IS, PageWorld, page_world, wanted_parts
from tests.support.docs.shell import matches_output, run_blocks, shell_environment
from tests.support.ledger.contents import contents
from tests.support.ledger.ledgers import PostgresServer
from tests.support.paths import ROOT

LANGUAGES = {"sh", "yaml", "text", "json", "python", "toml", "ini", "csv", "js", "mermaid"}
MARKS = ("not run: ", "exits with ", "runs until: ")
PLACEHOLDERS = re.compile(r"\b(?:OWNER|VERSION|PID|COMMIT)\b(?<!\$)|(?<![\w$])TOKEN\b(?!=)|…")

# Pages with shell blocks, none of which a test can run.
NOTHING_RUNS = {
    "README.md": "installs packages; tests/project/deploy/test_installing.py does",
    "CONTRIBUTING.md": "each needs a checkout with its own environment",
    "deploy/README.md": "needs root; make image is what it describes",
    "docs/operations/containers.md": "needs Docker; tests/project/deploy runs the files",
    "docs/operations/kubernetes.md": "needs a cluster; tests/project/deploy runs the files",
    "docs/get-started/demo.md": "installs packages; tests/journeys/docs/test_demo.py plays it",
    "docs/get-started/workspace.md": "asks questions; tests/handlers/setup answers them",
    "docs/reference/localslack.md": "has a fixed port; tests/localslack starts it on a free one",
    "docs/explanation/registry.md": "one setting, whose value is a secret",
    "docs/explanation/reliability.md": "takes hours",
    "docs/how-to/let-agents-ask.md": "installs packages; tests/journeys/agents runs the command",
    "docs/how-to/verify-what-you-load.md": "needs a passport; tests/handlers/terminal/verify runs the command",
    "docs/how-to/write-a-registry-adapter.md": "needs a reader's package",
}


def is_run(block: CodeBlock) -> bool:
    return block.language == "sh" and not block.mark.startswith("not run: ")


def pages_to_run() -> list[object]:
    """Return the pages with blocks that run, as parameters."""
    return [
        pytest.param(page, marks=[pytest.mark.postgres] if "postgres" in page_setting(page, "run with") else [])
        for page in PAGES
        if not page_setting(page, "tested by") and any(map(is_run, page_blocks(page)))
    ]


# -- the marks ---------------------------------------------------------------------------------------------------------


def all_blocks(*languages: str) -> list[CodeBlock]:
    return [block for page in PAGES for block in page_blocks(page) if not languages or block.language in languages]


def test_every_block_names_its_language() -> None:
    assert [block.place for block in all_blocks() if block.language not in LANGUAGES] == []


def test_every_mark_of_a_shell_block_is_known() -> None:
    marks = {block.place: block.mark for block in all_blocks("sh") if block.mark}
    assert {place: mark for place, mark in marks.items() if not mark.startswith(MARKS)} == {}


def test_every_reason_is_short() -> None:
    reasons = {block: block.after("not run: ") for block in all_blocks("sh")}
    long = {block.place: why for block, why in reasons.items() if why is not None and not is_a_reason(why)}
    assert long == {}


def is_a_reason(why: str) -> bool:
    return 0 < len(why.split()) <= 12 and not why[0].isupper()


def test_every_test_named_in_a_mark_exists() -> None:
    named = {file for block in all_blocks("sh") for file in re.findall(r"tests/[\w/]+(?:\.py)?", block.mark)}
    assert [file for file in sorted(named) if not (ROOT / file).exists()] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page_setting(page, "tested by")])
def test_a_page_that_another_test_runs_is_read_by_it(page: str) -> None:
    test = (ROOT / page_setting(page, "tested by")).read_text(encoding="utf-8")
    assert page in test or '"' + '" / "'.join(page.split("/")) + '"' in test


def test_what_runs_has_no_placeholders() -> None:
    left = {block.place: found for block in all_blocks("sh") if is_run(block) if (found := placeholders(block.text))}
    assert left == {}


def placeholders(text: str) -> list[str]:
    return PLACEHOLDERS.findall(text.replace(WHERE_POSTGRES_IS, ""))


def test_only_these_pages_run_nothing() -> None:
    with_blocks = {block.page for block in all_blocks("sh") if not page_setting(block.page, "tested by")}
    silent = {page for page in with_blocks if not any(map(is_run, page_blocks(page)))}
    assert silent == set(NOTHING_RUNS)


def test_each_page_asks_for_known_parts() -> None:
    settings = [page_setting(page, "run with") for page in PAGES]
    assert all(wanted_parts(setting) for setting in settings if setting)


def test_an_unknown_part_is_found() -> None:
    with pytest.raises(AssertionError, match="unknown parts"):
        wanted_parts("policy, kafka")
    assert wanted_parts("ledger, registrar") == ["policy", "mlflow", "slack", "registrar"]


# -- what they do ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", pages_to_run())
def test_a_page_can_be_typed_from_its_beginning_to_its_end(
    page: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    parts = wanted_parts(page_setting(page, "run with"))
    databases = set(postgres_databases(request)) if "postgres" in parts else set()
    (tmp_path / "scratch").mkdir()
    with page_world(parts, tmp_path, request) as world:
        before = audit_events(world) if {"ledger", "postgres"} <= set(parts) else []
        try:
            type_page(page, world, tmp_path / "scratch")
            if "postgres" in parts:
                made = [name for name in postgres_databases(request) if name not in databases]
                server: PostgresServer = request.getfixturevalue("postgres_server")
                for name in made:
                    assert contents(server.url(name))["audit_events"][: len(before)] == before, name
        finally:
            if "postgres" in parts:
                drop_databases(request, databases)


def type_page(page: str, world: PageWorld, scratch: Path) -> None:
    """Type all blocks of a page, and compare what they print with what the page says."""
    blocks = {block: world.as_typed(block) for block in page_blocks(page) if is_run(block)}
    printed = run_blocks([*world.first, *blocks.values()], world.folder, world.environment(), scratch)
    last: CodeBlock | None = None
    for block in page_blocks(page):
        if block.mark == "output":
            assert last, f"{block.place}: no block above it runs"
            text = printed[blocks[last]]
            assert matches_output(block.text, text), f"{block.place}: {last.place} printed:\n{text}"
        elif block.language == "sh":
            last = block if is_run(block) else None


def audit_events(world: PageWorld) -> list[object]:
    return contents(f"sqlite:///{world.folder / '.registrar' / 'ledger.db'}")["audit_events"]


def postgres_databases(request: pytest.FixtureRequest) -> list[str]:
    import psycopg

    server: PostgresServer = request.getfixturevalue("postgres_server")
    with closing(psycopg.connect(server.url("postgres"))) as connection:
        return [str(name) for (name,) in connection.execute("SELECT datname FROM pg_database")]


def drop_databases(request: pytest.FixtureRequest, leave: set[str]) -> None:
    server: PostgresServer = request.getfixturevalue("postgres_server")
    for name in postgres_databases(request):
        if name not in leave:
            server.drop(name)


# -- a page that's wrong is found --------------------------------------------------------------------------------------


def typed(text: str, tmp_path: Path) -> dict[CodeBlock, str]:
    """Type the blocks of a page that says this."""
    for name in ("page", "scratch"):
        (tmp_path / name).mkdir()
    blocks = [block for block in find_blocks("page.md", text) if is_run(block)]
    env = shell_environment(tmp_path / "home", [])
    return run_blocks(blocks, tmp_path / "page", env, tmp_path / "scratch", seconds=30)


def sh(text: str, mark: str = "") -> str:
    return f"{f'<!-- {mark} -->' if mark else ''}\n```sh\n{text}\n```\n"


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize(
    ("parts", "block", "says"),
    [
        ("policy, ledger", "registrar policy check; registrar audit verify", "The audit log is intact"),
        (
            "postgres",
            "export PGHOST=db.internal PGUSER=registrar PGPASSWORD=…; psql --list | grep migrated; pg_dump --version",
            "pg_dump (PostgreSQL)",
        ),
        ("registrar", "registrar monitor list; registrar show churn", "churn"),
        ("mlflow", 'curl -sf "$MLFLOW_TRACKING_URI/health"; curl -sf http://mlflow.internal:5000/health', "OKOK"),
        ("checkout", ".venv/bin/registrar policy check examples/churn/registrar.yml", "valid"),
        (
            "slack",
            'curl -sf -X POST -H "Authorization: Bearer $SLACK_BOT_TOKEN" "${SLACK_API_URL}auth.test"',
            '"ok":true',
        ),
        (
            "client",
            "curl -sf http://localhost:3000/healthz; registrar promote churn 4 production --reason better --wait",
            "v4",
        ),
    ],
)
def test_a_page_finds_the_parts_that_it_asks_for(
    parts: str, block: str, says: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "scratch").mkdir()
    with page_world(wanted_parts(parts), tmp_path, request) as world:
        [typed_block] = [world.as_typed(one) for one in find_blocks("page.md", sh(block))]
        printed = run_blocks(
            [*world.first, typed_block], world.folder, world.environment(), tmp_path / "scratch", seconds=60
        )
    assert says in printed[typed_block]


def test_variables_functions_and_the_folder_stay_from_block_to_block(tmp_path: Path) -> None:
    page = sh("mkdir a; cd a; name=b; f() { echo $name; }") + sh("f >c; pwd")
    assert list(typed(page, tmp_path).values())[1] == f"{tmp_path / 'page' / 'a'}\n"
    assert (tmp_path / "page" / "a" / "c").read_text() == "b\n"


@pytest.mark.parametrize(
    ("wrong", "mark", "says"),
    [
        ("echo before; false; echo unreached", "", "before"),
        ("false | true", "", "page.md:"),
        ("echo $not_set", "", "not_set"),
        ("true", "exits with 3", "exited with 0 instead of 3"),
        ("echo something else", "runs until: ready", "something else"),
        ("curl --fail --max-time 5 https://example.org", "", "page.md:"),
    ],
)
def test_a_block_that_fails_is_told(wrong: str, mark: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception) as told:
        typed(sh("echo first") + sh(wrong, mark) + sh("echo last"), tmp_path)
    assert "page.md:6 failed" in str(told.value)
    assert says in str(told.value)
    assert "unreached" not in str(told.value).partition("printed")[2]


def test_a_block_can_end_with_another_code_and_one_can_go_on_in_the_background(tmp_path: Path) -> None:
    page = sh("echo no; exit 3", "exits with 3") + sh("echo ready; sleep 600", "runs until: ready") + sh("echo yes")
    assert [text.strip() for text in typed(page, tmp_path).values()] == ["no", "ready", "yes"]


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("v4 is in …", "v4 is in Production\n", True),
        ("v4 is in …", "v4 is in Production\nmore\n", False),
        ("first\n…\nlast\n", "first\nb\nc\nlast\n", True),
        ("first\n…", "first\n", True),
        ("first", "second\n", False),
    ],
)
def test_output_is_compared(expected: str, printed: str, same: bool) -> None:
    assert matches_output(expected, printed) is same


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("git clone https://github.com/OWNER/registrar", ["OWNER"]),
        ("export PASSWORD=…", ["…"]),
        (f"export {WHERE_POSTGRES_IS}", []),
        ('curl -H "Bearer $TOKEN"; TOKEN=$(cat x)', []),
    ],
)
def test_placeholders_are_found(text: str, found: list[str]) -> None:
    assert placeholders(text) == found


def test_marks_and_indentation_are_read() -> None:
    page = "1. Do:\n   <!-- not run: needs root -->\n   ```sh\n   apt-get\n     more\n   ```\n\n````text\n```sh\n````\n"
    [block, _] = find_blocks("page.md", page)
    assert (block.line, block.text, block.mark) == (3, "apt-get\n  more\n", "not run: needs root")
    assert not is_run(block)
    assert not is_a_reason("Needs a workspace")
    assert not is_a_reason("it needs so many things that nobody could ever name all of them here")
