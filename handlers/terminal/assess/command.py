"""`registrar assess`: read a registry, and show it as text, JSON, or one HTML page."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from rich.console import Console

from bot.bootstrap.storage import open_registry_to_assess
from bot.domain.core.errors import Misconfigured, Refused
from bot.domain.core.sentence import Code, say
from bot.policy_file import load_policy
from bot.ports import SYSTEM_CLOCK
from bot.services.registry.assessment import RegistryAssessor
from handlers.terminal.assess.json_document import assessment_document
from handlers.terminal.assess.page import assessment_page
from handlers.terminal.assess.report import assessment_report
from handlers.terminal.assess.result import AssessedRegistry
from handlers.terminal.output import console, json_and_csv
from handlers.terminal.output.files import replace_private_file


def run_assess(url: str | None, *, policy: Path | None, reads_files: bool, as_json: bool, page: Path | None) -> int:
    """Assess the registry at `url`, or at the address in the environment if it's None; return the exit code.

    `policy` is a policy file to compare with, and `page` is the HTML file to write; both are optional. Raises
    Misconfigured, RegistryRefused, and RegistryUnreachable.
    """
    if page and not page.parent.is_dir():
        raise Misconfigured(say("Can't write {file}: there's no such folder.", file=Code(page)))
    result = _assess(url, policy, reads_files=reads_files)
    if as_json:
        console.write_output(json_and_csv.to_json(assessment_document(result)))
    else:
        console.write_output(console.render(lambda _: assessment_report(result, with_details=page is None)))
    if page:
        replace_private_file(page, assessment_page(result))
        console.write_output(f"Wrote {page}. It has names from the registry, so only you can read it.\n")
    return Refused.exit_code if result.assessment.has_failed_gates else 0


def _assess(url: str | None, policy_file: Path | None, *, reads_files: bool) -> AssessedRegistry:
    policy = load_policy(policy_file) if policy_file else None
    opened, address = open_registry_to_assess(url)
    now = SYSTEM_CLOCK.now()
    with (
        closing(opened.registry),
        closing(opened.tracker),
        Console(stderr=True).status("Connecting…") as status,  # on a screen only
    ):
        assessor = RegistryAssessor(
            registry=opened.registry,
            tracker=opened.tracker,
            now=now,
            policy=policy,
            reads_files=reads_files,
            show_progress=status.update,
        )
        assessment = assessor.assess()
    return AssessedRegistry(
        assessment=assessment, address=address, assessed_at=now, links=opened.links, policy_file=policy_file
    )
