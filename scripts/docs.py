"""Generate the pages of docs/ and the terminal's list of commands from the program's definitions.

With `--check`, write nothing, and exit with 1 if a page is out of date.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from scripts.audit_page import audit_events
from scripts.command_pages import commands, exit_codes, index, terminal_page
from scripts.evidence_page import evidence
from scripts.interface_pages import api, metrics
from scripts.markdown import DOCS, MADE, ROOT, as_sentence, comments, table

sys.path.insert(0, str(ROOT))

from benchmarks.releases.picture import benchmark_picture
from bot.domain.core.durations import format_duration
from bot.domain.policy.authorization import PERMISSION_RULES, Grantee, Permission, PermissionRule
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.policy.monitor_validation import CHECK_RETENTION, MAX_BASELINE_DAYS
from bot.domain.registry.model_card import ModelCard, ValueOrigin
from bot.settings import Settings
from scripts.architecture import layer_table, picture
from scripts.code_tour import code_tour
from scripts.mcp_page import mcp
from scripts.messages_page import message_pages
from scripts.navigation import navigation
from scripts.policy_page import policy, with_links
from scripts.slack_scopes import slack_scopes
from scripts.state_pictures import monitor_picture, request_picture
from scripts.vocabulary import vocabulary


def settings() -> str:
    """Return docs/reference/settings.md."""
    rows = [
        [f"`{field.alias}`", _setting_default(field.default), with_links(as_sentence(str(field.description)))]
        for field in Settings.model_fields.values()
    ]
    return f"""{MADE}

# Settings

Registrar reads these environment variables once, at startup. If one is invalid, `registrar run` names it and exits.
MLflow reads its own credentials, such as `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_TOKEN`.
Permissions are in the [policy file](policy.md), not here.

{table(["variable", "default", "description"], rows)}
"""


def _setting_default(value: object) -> str:
    return "not set" if value in (None, ()) else f"`{value}`"


def authority() -> str:
    """Return docs/reference/permissions.md."""
    acts, asked_for = comments(Permission), _asked_for()
    rows = [
        [
            f"`{act.value}`",
            acts[act.name],
            _whom(row),
            _yes(row.guests),
            _yes(row.programs),
            _yes(row.automations),
            _yes(row.terminal),
            _yes(act.name in asked_for),
        ]
        for act, row in PERMISSION_RULES.items()
    ]
    whom = [[f"*{who.name.lower().replace('_', ' ')}*", comments(Grantee)[who.name]] for who in Grantee]
    head = ["permission", "meaning", "who", "guests", "programs", "automations", "any terminal", "in use"]
    return f"""{MADE}

# Who can do what

This table lists every permission. Slack's commands, buttons, and forms check it, and so do the terminal, the API, and
jobs. A click is checked again, using what Slack says about the person at that time. Every refusal says why, and is
recorded in the [audit log](../operations/audit-log.md).

{table(head, rows)}

*Guests* are single- and multi-channel guests. *Programs* are the policy's `clients`. *Automations* are Registrar's own
jobs. Bots, deactivated accounts, and people from other workspaces can't do anything, no matter what the policy says.

{table(["who", "meaning"], whom)}
"""


def _whom(row: PermissionRule) -> str:
    return f"*{row.grantee.name.lower().replace('_', ' ')}*"


def _yes(true: bool) -> str:
    return "yes" if true else ""


def _asked_for() -> set[str]:
    """Return the names of the permissions that the program uses."""
    folders = ("bot/domain/commands", "bot/services", "handlers")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return {
        node.attr
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Permission"
    }


def monitors() -> str:
    """Return docs/reference/monitors.md."""
    rows = [
        [f"`{name}`", _field_default(field), as_sentence(str(field.description))]
        for name, field in MonitorConfig.model_fields.items()
    ]
    return f"""{MADE}

# Monitor fields

Use these names in the policy file, and dashes in Slack, such as `--greater-than`. Durations look like `30s`, `5m`,
`24h`, or `7d`. [Monitors](../explanation/monitors.md) explains how they work together.

{table(["field", "default", "meaning"], rows)}

## Minimum effect

`min_effect` is the smallest difference from the baseline that counts. Smaller ones never fail, no matter how certain
they are.

| value | meaning | use it for | example |
| --- | --- | --- | --- |
| `2%` (or `0.02`) | a share of the usual value | latency, and scores far from 1 | 300 ms → 306 ms |
| `0.01 abs` | a difference, in the metric's unit | metrics that can be 0 or negative, such as R² | 0.02 → 0.01 |
| `10% of error` | a share of 1 − the metric | accuracy, AUC, or availability close to 1 | 0.990 → 0.989 |

A drop from 0.999 to 0.98 is only 2% of 0.999, but 20 times the errors: `2%` doesn't detect it, but `10% of error` does.
`of error` needs a metric for which higher is better; for one that measures errors, such as `log_loss`, use a plain
percentage. In Slack and in a shell, use quotes: `--min-effect '0.01 abs'`.

## Requirements

Registrar refuses a monitor that could never reach a verdict, in Slack and in the policy file. It still checks one
that's older than these requirements, but the next edit must meet them. They apply to rules that compare with a
baseline:

- `history` is at most {CHECK_RETENTION.days} days, which is how long checks are kept. The checks behind a baseline are
  kept longer.
- `every` and, for `default` and `blocks`, `window` are at most a fifth of the baseline: four days or, if
  `history` is over {MAX_BASELINE_DAYS} days, a fifth of it.
- For `default` and `blocks`, `window` isn't shorter than `every`, and windows cover at least 90% of a day: `7h` leaves
  3 hours that are never evaluated, so use `6h` or `8h`.
"""


def _field_default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None or value == "":
        return "not set"
    return f"`{format_duration(value) if isinstance(value, timedelta) else value}`"


def tour() -> str:
    """Return docs/reference/code-tour.md."""
    return f"""{MADE}

# Layers and code tour

`domain`, `services`, and `slack` are divided into the same packages. Inside a layer, a package imports only packages
above it in this table. [Architecture](../explanation/architecture.md) explains the layers.

{layer_table()}

## Code tour

This tour shows three jobs, with the functions that run, in order. The sentence after each link is the function's own
docstring. A test runs each job in the local workspace and fails if the functions aren't called in this order. The tests
use an in-memory registry; the links go to the same methods for MLflow.

{code_tour()}
"""


def metadata() -> str:
    """Return docs/reference/model-cards.md."""
    rows = [
        [f"`{name}`", next(one.description for one in field.metadata if isinstance(one, ValueOrigin))]
        for name, field in ModelCard.model_fields.items()
    ]
    return f"""{MADE}

# Model cards

To see a version's model card, type `/model show MODEL VERSION` or click *Details*. The card shows every field with its
value, or *missing*, and how complete it is. If a field has several sources, the first one with a value is used.

{table(["field", "source"], rows)}
"""


def _messages(name: str) -> str:
    return message_pages()[name]


# By path, relative to the repository.
PAGES: dict[str, Callable[[], str]] = {
    "handlers/terminal/command_line/index.txt": index,
    "zensical.toml": navigation,
    "docs/pictures/architecture.svg": picture,
    "docs/pictures/benchmarks.svg": benchmark_picture,
    "docs/pictures/monitor-states.svg": monitor_picture,
    "docs/pictures/request-life.svg": request_picture,
    "docs/reference/api.md": lambda: api((DOCS / "reference" / "api.md").read_text(encoding="utf-8")),
    "docs/reference/audit-events.md": audit_events,
    "docs/reference/code-tour.md": tour,
    "docs/reference/commands.md": commands,
    "docs/reference/evidence.md": evidence,
    "docs/reference/exit-codes.md": exit_codes,
    "docs/reference/mcp.md": mcp,
    "docs/reference/metrics.md": metrics,
    "docs/reference/model-cards.md": metadata,
    "docs/reference/monitors.md": monitors,
    "docs/reference/permissions.md": authority,
    "docs/reference/policy.md": policy,
    "docs/reference/settings.md": settings,
    "docs/reference/slack-scopes.md": slack_scopes,
    "docs/reference/terminal.md": terminal_page,
    "docs/reference/vocabulary.md": vocabulary,
    **{f"docs/reference/messages/{name}": partial(_messages, name) for name in message_pages()},
}


def stale() -> Iterator[tuple[Path, str]]:
    """Yield the pages that are out of date, each with its new text."""
    for name, make in PAGES.items():
        path, text = ROOT / name, make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield path, text


def main(argv: list[str] | None = None) -> int:
    """Write the outdated pages or, with `--check`, list them; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is out of date")
    only_checks: Any = parser.parse_args(argv).check
    found = list(stale())
    for path, text in found:
        print(f"{path.relative_to(ROOT)}: {'out of date' if only_checks else 'written'}")
        if not only_checks:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if only_checks and found else 0


if __name__ == "__main__":
    sys.exit(main())
