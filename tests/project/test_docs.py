"""The docs are correct: generated parts are up to date, links work, and named things exist."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from bot.domain.audit.events import EventTag
from bot.domain.commands.catalog import COMMAND_ALIASES, COMMANDS
from bot.domain.policy.authorization import Grantee, Permission
from bot.domain.policy.monitor_config import MonitorConfig
from bot.metrics.definitions import METRIC_DEFINITIONS
from bot.policy_file import load_policy
from bot.settings import Settings
from handlers.terminal.main import main
from scripts import docs, interface_pages, markdown, policy_page
from scripts.markdown import DOCS, SOURCE
from tests.support.network.prometheus_server import promtool
from tests.support.paths import ROOT

PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("examples/*/*.md"),
        *ROOT.glob(".github/actions/*/*.md"),
        *ROOT.glob("deploy/**/*.md"),
    ]
)
README = ROOT / "README.md"


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# -- generated ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", docs.PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    assert read(ROOT / name) == docs.PAGES[name](), "run: make docs"


def test_an_outdated_page_is_found_and_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    monkeypatch.setattr(docs, "PAGES", {"docs/reference/settings.md": docs.settings})
    assert docs.main(["--check"]) == 1
    assert docs.main([]) == 0
    assert docs.main(["--check"]) == 0
    assert "settings.md: out of date" in capsys.readouterr().out


def test_text_around_the_generated_part_stays() -> None:
    page = markdown.replace_between(
        "Before.\n<!-- scopes -->\nhand-made\n<!-- end of scopes -->\nAfter.\n", "scopes", "made"
    )
    assert page.startswith("Before.\n<!-- scopes -->\n")
    assert page.endswith("<!-- end of scopes -->\nAfter.\n")
    assert "hand-made" not in page


def test_every_key_of_the_policy_file_is_described_with_its_default() -> None:
    page = policy_page.policy()
    assert "| `required` | `1` | How many different people must approve. |" in page
    assert "| `for` | required | How long it lasts, such as 62h. |" in page
    assert "| `may` | not set | Push: send readings;" in page
    assert "| `semver` | – | The version must have a semver. Always `set`. |" in page


def test_the_policy_page_s_example_is_valid_and_sets_every_section(tmp_path: Path) -> None:
    file = tmp_path / "registrar.yml"
    file.write_text(policy_page.EXAMPLE, encoding="utf-8")
    example = load_policy(file)
    optional = {"directions", "sources", "freeze", "quotas", "max_auto", "edits"}
    assert type(example).model_fields.keys() - example.model_fields_set == optional
    assert f"```yaml\n{policy_page.EXAMPLE}```" in policy_page.policy()


def test_every_api_call_is_described_with_its_fields_and_responses() -> None:
    page = interface_pages.api("<!-- reference -->\n<!-- end of reference -->\n")
    for call in ("POST /v1/metrics", "POST /v1/requests", "GET /v1/requests/{request_id}", "POST /v1/versions"):
        assert f"**{call}**" in page
    assert "| `readings.value` | yes | A finite number. |" in page
    assert "| 409 | The Idempotency-Key was already used with a different body. |" in page


def test_every_field_of_a_monitor_is_described_with_its_default() -> None:
    assert [name for name, field in MonitorConfig.model_fields.items() if not field.description] == []
    assert "| `every` | `5m` | How often to check. |" in docs.monitors()


def alert_file() -> str:
    """Return the rules for Prometheus that docs/operations/metrics.md shows."""
    return read(markdown.DOCS / "operations/metrics.md").partition("```yaml\n")[2].partition("```")[0]


def alerts_ask_for() -> str:
    """Return the metrics and labels in all alerts, from docs/operations/metrics.md and deploy/."""
    files = [alert_file(), read(ROOT / "deploy" / "alerts.yml")]
    return " ".join(rule["expr"] for file in files for rule in yaml.safe_load(file)["groups"][0]["rules"])


def test_prometheus_accepts_the_alerts(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(alert_file())
    checked = promtool("check", "rules", str(tmp_path / "rules.yml"))
    assert checked.returncode == 0, checked.stderr


def test_alerts_use_existing_metrics_and_labels() -> None:
    known = {shape.name: set(shape.labels) for shape in METRIC_DEFINITIONS}
    asked = re.findall(r"(registrar_\w+?)(?:_bucket|_count|_sum)?\b(?:\{(\w+)!?=)?", alerts_ask_for())
    assert len(asked) > 10
    assert [(name, label) for name, label in asked if name not in known or (label and label not in known[name])] == []


def test_alerts_use_existing_label_values() -> None:
    values = {
        value
        for shape in METRIC_DEFINITIONS
        for text in shape.labels.values()
        for value in re.findall(r"`([^`]+)`", text)
    }
    asked = re.findall(r'registrar_\w+\{\w+=~?"([^"]+)"', alerts_ask_for())
    assert [value for text in asked for value in text.split("|") if value not in values] == []


@pytest.mark.parametrize("kind", [EventTag, Permission, Grantee])
def test_every_listed_enum_member_is_described(
    kind: type[EventTag] | type[Permission] | type[Grantee],
) -> None:
    comments = markdown.comments(kind)
    assert [member.name for member in kind if not comments.get(member.name)] == []


def test_every_setting_is_described() -> None:
    assert [field.alias for field in Settings.model_fields.values() if not field.description] == []


def test_every_argument_of_a_verb_is_described() -> None:
    assert [name for verb in COMMANDS.values() for name, _, arg in verb.arguments() if not arg.help] == []


# -- links -------------------------------------------------------------------------------------------------------------


def links() -> Iterator[tuple[Path, str]]:
    """Yield the links of all pages to files of the repository."""
    for page in PAGES:
        text = re.sub(r"```.*?```|`[^`]*`", "", read(page), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if not re.match(r"[a-z]+:", target):
                yield page, target
            elif target.startswith((SOURCE, SOURCE.replace("/blob/", "/tree/"))):  # pages of the site can't use a path
                yield README, target.split("/main/", 1)[1]


@cache
def headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", read(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


def test_every_link_works() -> None:
    assert [f"{page.name}: {target}" for page, target in links() if not leads_somewhere(page, target)] == []


def leads_somewhere(page: Path, target: str) -> bool:
    """Return whether a link's target exists, with its heading or line."""
    name, _, anchor = target.partition("#")
    there = (page.parent / name).resolve() if name else page
    if there.suffix == ".py" and there.exists() and anchor:
        return int(anchor.removeprefix("L")) <= len(read(there).splitlines())
    return there.exists() and (not anchor or anchor in headings(there))


def test_no_page_has_a_local_path() -> None:
    own = re.compile(r"(?<!\w)/(?:home|root|Users|work|tmp)/\w")
    assert [page.name for page in PAGES if own.search(read(page))] == []


def test_the_code_names_existing_pages() -> None:
    files = [
        file for folder in ("bot", "handlers", "registrar", "deploy", "examples") for file in (ROOT / folder).rglob("*")
    ]
    texts = [read(file) for file in files if file.suffix in {".py", ".yml", ".yaml", ".service"}]
    named = {path for text in texts for path in re.findall(r"(?<![\w/.-])docs/[\w/-]+\.md", text)}
    assert len(named) > 15
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


# -- names -------------------------------------------------------------------------------------------------------------


def code(page: Path) -> str:
    """Return all code on a page, one piece per line."""
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`|^    .+$", read(page), flags=re.DOTALL | re.MULTILINE))


def named(pattern: str) -> list[str]:
    """Return the words that the pages name in code."""
    return sorted({word for page in PAGES for word in re.findall(pattern, code(page), flags=re.MULTILINE)})


def test_every_named_make_target_exists() -> None:
    targets = re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), flags=re.MULTILINE)
    assert [target for target in named(r"(?:^|`|\s)make ([a-z][a-z-]*)") if target not in targets] == []


@pytest.mark.parametrize("verb", sorted({*named(r"(?:^|`|/|\s)registrar ([a-z]+)")} - {"help"}))
def test_every_named_terminal_command_exists(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([verb, "--help"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: registrar {verb}")


def test_every_named_slack_command_exists() -> None:
    words = {word for name in [*COMMANDS, *COMMAND_ALIASES] for word in (name, name.split()[0])}
    assert [verb for verb in named(r"/model ([a-z]+)") if verb not in words] == []


def test_every_named_setting_exists() -> None:
    aliases = {field.alias for field in Settings.model_fields.values()}
    words = [name for name in named(r"\b((?:REGISTRAR|SLACK)_[A-Z_]+)\b") if not name.startswith("REGISTRAR_CLIENT_")]
    assert [name for name in words if name not in aliases] == []


def test_every_named_test_exists() -> None:
    files = (ROOT / "tests").rglob("test_*.py")
    tests = {name for file in files for name in re.findall(r"^ *def (test_\w+)\(", read(file), flags=re.MULTILINE)}
    assert [name for name in named(r"\b(test_\w+[a-z0-9])`") if name not in tests] == []


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.relative_to(DOCS).as_posix())
def test_the_site_keeps_a_lists_parts_together(page: Path) -> None:
    """GitHub needs less space: a step's blocks indented by 3, and no blank line before a list."""
    text = re.sub(r"```.*?```", "```", read(page), flags=re.DOTALL)
    assert re.findall(r"^ *(?:[-*]|\d+\.) .*(?:\n +\S.*)*\n\n {1,3}\S.*", text, flags=re.MULTILINE) == []
    assert re.findall(r"^(?! *(?:[-*]|\d+\.) )\S.*\n(?:[-*]|\d+\.) .*", text, flags=re.MULTILINE) == []


def test_every_page_is_in_the_sites_navigation() -> None:
    site = tomllib.loads(read(ROOT / "zensical.toml"))["project"]
    assert site["site_name"] == "Registrar"
    listed = re.findall(r"[\w/.-]+\.md", str(site["nav"]))
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


# -- length ------------------------------------------------------------------------------------------------------------

TO_READ = ("get-started", "how-to", "explanation", "operations")  # the rest is looked up
MOST_WORDS = 30_000


def word_count(pages: list[Path]) -> int:
    """Return the number of words, as `wc -w` counts them."""
    return sum(len(read(page).split()) for page in pages)


def test_what_is_to_be_read_stays_short() -> None:
    pages = [page for section in TO_READ for page in (DOCS / section).rglob("*.md")]
    assert len(pages) > 30
    assert word_count(pages) <= MOST_WORDS


def test_every_word_counts(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("# A page\n\n| a | b |\n\n    code is counted, too\n", encoding="utf-8")
    assert word_count([tmp_path / "page.md"]) == 12


@pytest.mark.parametrize("index", [index for index in DOCS.rglob("index.md") if index.parent != DOCS], ids=str)
def test_the_navigation_names_a_page_as_it_names_itself(index: Path) -> None:
    listed = re.findall(r"^(?:-|\d+\.) \[([^]]+)\]\(([^)#]+\.md)\)", read(index), flags=re.MULTILINE)
    titles = {
        target: re.findall(r"^# (.+)$", read(index.parent / target), flags=re.MULTILINE)[0] for _, target in listed
    }
    assert [
        (title, titles[target]) for title, target in listed if title != titles[target].removeprefix("Messages: ")
    ] == []


# -- words -------------------------------------------------------------------------------------------------------------

WORDS = (
    "model",
    "version",
    "semver",
    "stage",
    "alias",
    "incumbent",
    "request",
    "vote",
    "promotion",
    "monitor",
    "measurement",
    "verdict",
    "incident",
    "transition",
    "ledger",
)


def test_the_glossary_gives_every_word_one_meaning() -> None:
    terms = [term.lower() for term in re.findall(r"\*\*(.+?)\*\*", read(ROOT / "docs" / "reference/glossary.md"))]
    assert {word: terms.count(word) for word in WORDS} == dict.fromkeys(WORDS, 1)


def test_the_runbook_quotes_existing_messages() -> None:
    """People search the runbook for a message's exact words."""
    runbook = re.sub(r"\*\*[^*]+\*\*", "", read(ROOT / "docs" / "how-to/roll-back.md"))
    quotes = re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", runbook)
    # Placeholders are left out; the text between them must be in a message.
    pieces = {
        piece.strip(" ,.:?")
        for quote in quotes
        for piece in re.split(r"…|\bv\d\b|\bchurn\b|\blive\b|[:(]|, ", quote)
        if " " in piece.strip(" ,.:?")
    }
    assert len(pieces) > 15
    assert [piece for piece in sorted(pieces) if not any(piece in said for said in texts_of_the_program())] == []


@cache
def texts_of_the_program() -> frozenset[str]:
    """Return every string in the code, with placeholders removed."""
    found = set()
    for path in (ROOT / "bot").rglob("*.py"):
        for node in ast.walk(ast.parse(read(path))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(re.sub(r"\{\w+\}", "", node.value.replace("{product}", "MLflow")))
    return frozenset(found)
